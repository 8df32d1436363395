package s3

import (
	"os"
	"sync"
)

// pins keep the files of a multipart object while a reader is somewhere in them, so that a read that has begun
// ends with the object it began with, also when that is replaced meanwhile. (A file that is open needs none.)
type pins struct {
	mu     sync.Mutex
	held   map[string]int
	doomed map[string]bool // to be removed by the last reader
}

func (p *pins) hold(files []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held == nil {
		p.held, p.doomed = map[string]int{}, map[string]bool{}
	}
	for _, f := range files {
		p.held[f]++
	}
}

// release lets files go and returns those that are now to be removed.
func (p *pins) release(files []string) (free []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range files {
		if p.held[f]--; p.held[f] > 0 {
			continue
		}
		delete(p.held, f)
		if p.doomed[f] {
			delete(p.doomed, f)
			free = append(free, f)
		}
	}
	return free
}

// doom reports whether a file may be removed now; if not, its last reader will.
func (p *pins) doom(file string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held[file] == 0 {
		return true
	}
	p.doomed[file] = true
	return false
}

// openChain opens a body put together from parts. The files are pinned first and the list of parts looked up again
// after that: while it is there, no removal of the files can have begun without seeing the pins.
func (s *Server) openChain(ref bodyRef, slices []slice) (*chain, error) {
	c := &chain{open: s.openSegment, rest: slices}
	var files []string
	for _, part := range slices {
		if part.Body.Kind == "f" {
			files = append(files, part.Body.ID)
		}
	}
	s.pins.hold(files)
	c.done = func() { s.sweep(s.pins.release(files)) }
	err := c.loadInline()
	if err == nil {
		var ok bool
		if ok, err = s.has(row(rowSegments + ref.ID)); err == nil && !ok {
			err = os.ErrNotExist
		}
	}
	if err == nil {
		err = c.advance()
	}
	if err != nil {
		c.done()
		return nil, err
	}
	return c, nil
}
