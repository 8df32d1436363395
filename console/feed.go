package console

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// The stream's bounds.
const (
	keptFrames   = 60 // half a minute that a page can catch up with
	maxViewers   = 32
	viewerQueue  = 8 // frames that may wait for a slow page; it then misses the oldest
	writeTimeout = 5 * time.Second
)

// feed hands frames to the pages that watch.
type feed struct {
	mu      sync.Mutex
	last    uint64
	ring    []event
	viewers map[chan event]bool
	broken  Faults
	closed  bool
}

type event struct {
	id   uint64
	data []byte
}

func newFeed() *feed { return &feed{viewers: map[chan event]bool{}} }

func (f *feed) setFaults(b Faults) {
	f.mu.Lock()
	f.broken = b
	f.mu.Unlock()
}

func (f *feed) faults() Faults {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.broken
}

// send numbers a frame and gives it to every viewer without waiting.
func (f *feed) send(frame *Frame) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last++
	frame.ID = f.last
	data, err := json.Marshal(frame)
	if err != nil || f.closed {
		return // times out of range are the only thing that does not marshal
	}
	e := event{f.last, data}
	if len(f.ring) >= keptFrames {
		f.ring = append(f.ring[:0], f.ring[1:]...)
	}
	f.ring = append(f.ring, e)
	for v := range f.viewers {
		if len(v) == cap(v) {
			select {
			case <-v: // the oldest makes room
			default:
			}
		}
		select {
		case v <- e:
		default:
		}
	}
}

// close ends all streams.
func (f *feed) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for v := range f.viewers {
		close(v)
		delete(f.viewers, v)
	}
}

// join adds a viewer and returns what it missed after the given frame; without one only the newest. false: there is no room.
func (f *feed) join(after uint64) (chan event, []event, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || len(f.viewers) >= maxViewers {
		return nil, nil, false
	}
	var missed []event
	for i, e := range f.ring {
		newest := i == len(f.ring)-1
		if newest && (after == 0 || after > f.last) || after > 0 && after <= f.last && e.id > after {
			missed = append(missed, e)
		}
	}
	v := make(chan event, viewerQueue)
	f.viewers[v] = true
	return v, missed, true
}

func (f *feed) leave(v chan event) {
	f.mu.Lock()
	delete(f.viewers, v)
	f.mu.Unlock()
}

// ServeHTTP is GET /v1/events.
func (f *feed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	after, _ := strconv.ParseUint(r.Header.Get("Last-Event-ID"), 10, 64) // none, or not ours: from now on
	viewer, missed, ok := f.join(after)
	if !ok {
		w.Header().Set("Retry-After", "5")
		refuse(w, http.StatusServiceUnavailable, fmt.Sprintf("%d pages watch already", maxViewers))
		return
	}
	defer f.leave(viewer)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	out := http.NewResponseController(w)
	write := func(e event) bool {
		_ = out.SetWriteDeadline(time.Now().Add(writeTimeout)) // a page that does not read is let go
		_, err := fmt.Fprintf(w, "id: %d\ndata: %s\n\n", e.id, e.data)
		return err == nil && out.Flush() == nil
	}
	if _, err := fmt.Fprint(w, "retry: 1000\n\n"); err != nil || out.Flush() != nil {
		return
	}
	for _, e := range missed {
		if !write(e) {
			return
		}
	}
	for {
		select {
		case <-r.Context().Done():
			return
		case e, open := <-viewer:
			if !open || !write(e) {
				return
			}
		}
	}
}
