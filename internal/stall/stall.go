// Package stall keeps an HTTP server's goroutines from being held by peers that neither send what they announced nor take what they
// asked for, and lets peers read a refusal that comes before their body has ended.
//
// net/http has two blind spots that matter to a public listener without a ReadTimeout (which cannot be had where bodies are large):
// an answer that begins before the request's body was read waits for up to 256 KiB of that body without any deadline, whoever the
// peer is; and a body that is larger is cut off by a reset that often reaches the peer before the answer does.
package stall

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"time"
)

// Limits are what a peer is granted. The zero value grants nothing: start from Default.
type Limits struct {
	// Idle is how long one read of a body or one write of an answer may take.
	Idle time.Duration
	// BytesPerSecond is the least rate at which a body must come, after a credit of Idle; the time that the handler spends between
	// its reads does not count.
	BytesPerSecond int64
	// DrainBytes is how much of a body that the handler left is still taken, within DrainTime, before the answer ends. None is where
	// the peer waits for a 100 Continue.
	DrainBytes int64
	DrainTime  time.Duration
}

// Default suits large bodies over slow links: 60 s without a byte, 1 KiB a second, 32 MiB and 5 s for bodies that nobody wants.
func Default() Limits {
	return Limits{Idle: time.Minute, BytesPerSecond: 1 << 10, DrainBytes: 32 << 20, DrainTime: 5 * time.Second}
}

// Wrap returns a handler that breaks peers off which do not keep to the limits: their body fails with os.ErrDeadlineExceeded, their
// answer with a write error.
func (l Limits) Wrap(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		out := &writer{ResponseWriter: w, control: control, limits: l}
		if r.Body != nil && r.Body != http.NoBody {
			out.body = &body{source: r.Body, control: control, limits: l}
			out.body.waiting = r.Header.Get("Expect") != ""
			r.Body = out.body
		}
		h.ServeHTTP(out, r)
		if out.body != nil {
			out.body.finish(r.ContentLength)
		}
	})
}

// body sets the deadline for each read alone: one that stood beyond it would end a request whose handler is still at work.
type body struct {
	control *http.ResponseController
	limits  Limits

	mu      sync.Mutex // held during a read; a proxy's transport may still read when its handler has returned
	source  io.ReadCloser
	waiting bool // for 100 Continue, which the first read sends
	ended   bool
	read    int64
	spent   time.Duration

	closing sync.Mutex
	closed  bool
}

// Read reads a part of the body.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closing.Lock()
	closed := b.closed
	b.closing.Unlock()
	if closed {
		return 0, http.ErrBodyReadAfterClose
	}
	credit := b.limits.Idle - b.spent
	if b.limits.BytesPerSecond > 0 {
		credit += time.Duration(b.read) * time.Second / time.Duration(b.limits.BytesPerSecond)
	}
	if credit <= 0 {
		return 0, os.ErrDeadlineExceeded
	}
	return b.take(p, min(credit, b.limits.Idle))
}

// take reads within a time. The lock is held.
func (b *body) take(p []byte, limit time.Duration) (int, error) {
	b.waiting = false
	began := time.Now()
	// A connection that cannot have a deadline goes without: httptest's recorders.
	_ = b.control.SetReadDeadline(began.Add(limit))
	n, err := b.source.Read(p)
	_ = b.control.SetReadDeadline(time.Time{})
	b.read += int64(n)
	b.spent += time.Since(began)
	b.ended = b.ended || errors.Is(err, io.EOF)
	return n, err
}

// Close ends the handler's reads. The connection's own body stays open for finish, and is closed by the server.
func (b *body) Close() error {
	b.closing.Lock()
	defer b.closing.Unlock()
	b.closed = true
	return nil
}

// finish takes what the handler left of a body of some length (-1: unknown), so that the peer comes to read its answer. Of a body that
// does not end by then nothing more is waited for.
func (b *body) finish(length int64) {
	_ = b.Close() // after this, no new read begins
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return
	}
	if !b.waiting && length-b.read <= b.limits.DrainBytes {
		b.drain()
	}
	if !b.ended {
		_ = b.control.SetReadDeadline(time.Unix(1, 0))
	}
}

func (b *body) drain() {
	buffer := make([]byte, 32<<10)
	until := time.Now().Add(b.limits.DrainTime)
	for taken := int64(0); !b.ended && taken <= b.limits.DrainBytes; {
		left := time.Until(until)
		if left <= 0 {
			return
		}
		n, err := b.take(buffer, left)
		if taken += int64(n); err != nil {
			return
		}
	}
}

// unfinished reports that the server may have to wait for the rest of the body before it can send an answer's head.
func (b *body) unfinished() bool {
	if b == nil || !b.mu.TryLock() {
		return false // a read is under way and sets its own deadline
	}
	defer b.mu.Unlock()
	return !b.ended
}

type writer struct {
	http.ResponseWriter
	control *http.ResponseController
	limits  Limits
	body    *body // nil: none
}

// Write writes a part of the answer. The first one may wait for the rest of the request's body.
func (w *writer) Write(p []byte) (int, error) {
	defer w.guard()()
	return w.ResponseWriter.Write(p)
}

// FlushError sends what has been written.
func (w *writer) FlushError() error {
	defer w.guard()()
	return w.control.Flush()
}

// Flush sends what has been written.
func (w *writer) Flush() { _ = w.FlushError() }

// guard sets the deadlines of one step of an answer and returns what takes them away.
func (w *writer) guard() (release func()) {
	limit := w.limits.Idle
	reads := w.body.unfinished()
	if reads {
		_ = w.control.SetReadDeadline(time.Now().Add(w.limits.DrainTime))
		limit += w.limits.DrainTime // the write comes after the read that it may wait for
	}
	_ = w.control.SetWriteDeadline(time.Now().Add(limit))
	return func() {
		_ = w.control.SetWriteDeadline(time.Time{})
		if reads {
			_ = w.control.SetReadDeadline(time.Time{})
		}
	}
}

// Unwrap lets http.ResponseController reach the connection.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }
