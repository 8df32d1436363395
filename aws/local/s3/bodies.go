package s3

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/proa-cloud/proa/internal/store"
)

const (
	inlineMax = 64 << 10 // bytes; larger bodies are files
	copyBytes = 64 << 10 // bytes of one read
	bodiesDir = "objects"
)

func unmarshal(b []byte, v any) error {
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("decode row: %w", err)
	}
	return nil
}

// buffers are the copy buffers; a request holds at most one.
type buffers struct{ pool sync.Pool }

func (b *buffers) get() *[copyBytes + 1]byte {
	if p, ok := b.pool.Get().(*[copyBytes + 1]byte); ok {
		return p
	}
	return new([copyBytes + 1]byte)
}

func (b *buffers) put(p *[copyBytes + 1]byte) { b.pool.Put(p) }

// stored is a body that is on disk (or in memory when inline) but that no metadata refers to yet.
type stored struct {
	ref    bodyRef
	inline []byte
	size   int64
}

// ingest streams src into the store, through the digest. On an error nothing stays behind.
func (s *Server) ingest(src io.Reader, d *digest, limit int64) (stored, error) {
	buf := s.bufs.get()
	defer s.bufs.put(buf)
	src = io.TeeReader(src, d)
	n, err := fill(src, buf[:])
	switch {
	case errors.Is(err, io.EOF) && n <= inlineMax:
		return s.inline(buf[:n])
	case err != nil && !errors.Is(err, io.EOF):
		return stored{}, bodyError(err)
	}
	return s.spill(buf[:n], src, limit, buf[:])
}

// fill reads until the buffer is full or the source ends; unlike io.ReadFull it returns the
// source's own error.
func fill(src io.Reader, buf []byte) (n int, err error) {
	for n < len(buf) && err == nil {
		var m int
		m, err = src.Read(buf[n:])
		n += m
	}
	return n, err
}

func bodyError(err error) error {
	if asAPIError(err).status != http.StatusInternalServerError {
		return err // the verifier's own
	}
	return badRequest("IncompleteBody",
		"You did not provide the number of bytes specified by the Content-Length HTTP header")
}

func (s *Server) inline(data []byte) (stored, error) {
	if len(data) == 0 {
		return stored{}, nil
	}
	seq, err := s.nextSeq(s.cfg.Clock())
	if err != nil {
		return stored{}, err
	}
	id := strconv.FormatUint(seq, 36)
	return stored{bodyRef{"d", id}, bytes.Clone(data), int64(len(data))}, nil
}

// spill writes a file and makes it and its name durable. The name is new and nothing refers to it
// before the metadata is committed, so a partial file can never be read. head is what has been read
// already, in the front of buf.
func (s *Server) spill(head []byte, src io.Reader, limit int64, buf []byte) (_ stored, err error) {
	seq, err := s.nextSeq(s.cfg.Clock())
	if err != nil {
		return stored{}, err
	}
	dir, err := s.generation()
	if err != nil {
		return stored{}, err
	}
	id := s.gen + "/" + strconv.FormatUint(seq, 36)
	f, err := s.fs.Create(s.bodyPath(id), vfs.WriteCategoryUnspecified)
	if err != nil {
		return stored{}, fmt.Errorf("create body file: %w", err)
	}
	defer func() {
		if err != nil {
			_ = s.fs.Remove(s.bodyPath(id)) // what stays is an orphan that the next start collects
		}
	}()
	n := int64(len(head))
	if _, err = f.Write(head); err == nil {
		var more int64
		more, err = copyBody(f, io.LimitReader(src, limit+1-n), buf)
		n += more
	}
	if err == nil && n > limit {
		err = entityTooLarge(n)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return stored{}, err
	}
	if err = s.syncDir(dir); err != nil {
		return stored{}, err
	}
	return stored{ref: bodyRef{"f", id}, size: n}, nil
}

// copyBody tells failures of the client's body from those of the disk.
func copyBody(dst io.Writer, src io.Reader, buf []byte) (total int64, err error) {
	for {
		n, rerr := src.Read(buf)
		if n > 0 {
			if _, err := dst.Write(buf[:n]); err != nil {
				return total, fmt.Errorf("write body file: %w", err)
			}
			total += int64(n)
		}
		if errors.Is(rerr, io.EOF) {
			return total, nil
		}
		if rerr != nil {
			return total, bodyError(rerr)
		}
	}
}

func (s *Server) bodyPath(id string) string {
	return s.fs.PathJoin(append([]string{s.cfg.Dir, bodiesDir}, strings.Split(id, "/")...)...)
}

// generation returns this run's folder, made durable before its first use.
func (s *Server) generation() (string, error) {
	dir := s.fs.PathJoin(s.cfg.Dir, bodiesDir, s.gen)
	s.genMu.Lock()
	defer s.genMu.Unlock()
	if s.made {
		return dir, nil
	}
	if err := s.fs.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("create body folder: %w", err)
	}
	for _, d := range []string{s.fs.PathJoin(s.cfg.Dir, bodiesDir), s.cfg.Dir} {
		if err := s.syncDir(d); err != nil {
			return "", err
		}
	}
	s.made = true
	return dir, nil
}

func (s *Server) syncDir(dir string) error {
	d, err := s.fs.OpenDir(dir)
	if err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	return nil
}

// discard removes a body that will not be committed.
func (s *Server) discard(st stored) {
	if st.ref.Kind == "f" {
		_ = s.fs.Remove(s.bodyPath(st.ref.ID)) // what stays is an orphan that the next start collects
	}
}

// stage adds what keeps the body to the batch that commits the metadata.
func (s *Server) stage(b *pebble.Batch, st stored) error {
	switch st.ref.Kind {
	case "d":
		return b.Set(row(rowInline+st.ref.ID), st.inline, nil)
	case "f":
		return b.Set(row(rowFile+st.ref.ID), nil, nil)
	}
	return nil
}

// release adds to the batch what lets a body go, and returns the files to remove once the batch is
// committed.
func (s *Server) release(b *pebble.Batch, ref bodyRef) (files []string, err error) {
	switch ref.Kind {
	case "d":
		return nil, b.Delete(row(rowInline+ref.ID), nil)
	case "f":
		return []string{ref.ID}, errors.Join(b.Delete(row(rowFile+ref.ID), nil),
			b.Set(row(rowTrash+ref.ID), nil, nil))
	case "s":
		segments, err := s.segments(ref)
		if err != nil {
			return nil, err
		}
		for _, seg := range segments {
			more, err := s.release(b, seg.Body)
			if err != nil {
				return nil, err
			}
			files = append(files, more...)
		}
		return files, b.Delete(row(rowSegments+ref.ID), nil)
	}
	return nil, nil
}

// sweep removes files that a committed batch let go. A crash before it leaves the trash row for the
// next start.
func (s *Server) sweep(files []string) {
	for _, id := range files {
		if !s.pins.doom(id) {
			continue
		}
		if err := s.fs.Remove(s.bodyPath(id)); err != nil && !errors.Is(err, os.ErrNotExist) {
			s.cfg.Logger.Warn("body file stays until the next start", "file", id, "error", err)
			continue
		}
		if err := s.db.Delete(row(rowTrash+id), pebble.NoSync); err != nil {
			s.cfg.Logger.Warn("trash row stays until the next start", "file", id, "error", err)
		}
	}
}

func (s *Server) segments(ref bodyRef) ([]segment, error) {
	var segments []segment
	ok, err := s.get(row(rowSegments+ref.ID), &segments)
	if err == nil && !ok {
		err = os.ErrNotExist
	}
	return segments, err
}

// collectOrphans empties the trash, and removes the files of the runs since the last check that
// nothing refers to: those of uploads that a crash cut off.
func (s *Server) collectOrphans() error {
	var trash []string
	err := s.scan(row(rowTrash), nil, func(k, _ []byte) (bool, error) {
		trash = append(trash, strings.TrimPrefix(string(k), rowTrash))
		return true, nil
	})
	if err != nil {
		return err
	}
	s.sweep(trash)
	verified, last := uint64(0), uint64(0)
	if v, closer, err := s.db.Get(row(rowVerified)); err == nil {
		verified = binary.BigEndian.Uint64(v)
		if err := closer.Close(); err != nil {
			return err
		}
	}
	dirs, err := s.fs.List(s.fs.PathJoin(s.cfg.Dir, bodiesDir))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("list body folders: %w", err)
	}
	for _, name := range dirs {
		gen, err := strconv.ParseUint(name, 10, 64)
		if err != nil {
			continue // not ours
		}
		last = max(last, gen)
		if gen > verified {
			if err := s.collectGeneration(name); err != nil {
				return err
			}
		}
	}
	s.gen = strconv.FormatUint(max(last, verified)+1, 10)
	return s.db.Set(row(rowVerified), binary.BigEndian.AppendUint64(nil, last), store.Sync)
}

func (s *Server) collectGeneration(gen string) error {
	files, err := s.fs.List(s.fs.PathJoin(s.cfg.Dir, bodiesDir, gen))
	if err != nil {
		return fmt.Errorf("list body files: %w", err)
	}
	for _, name := range files {
		id := gen + "/" + name
		used, err := s.has(row(rowFile + id))
		if err != nil {
			return err
		}
		if used {
			continue
		}
		s.cfg.Logger.Info("removing a body that a crash left behind", "file", id)
		if err := s.fs.Remove(s.bodyPath(id)); err != nil {
			return fmt.Errorf("remove orphan: %w", err)
		}
	}
	return nil
}
