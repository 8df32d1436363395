package lambda

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/proa-cloud/proa/aws/local/wire"
)

const (
	asyncWorkers = 4
	// maxAsync bounds the events that wait, those to be retried included.
	maxAsync = 1000
	// A failed event is tried again after one minute and once more after two, as the vendor does.
	asyncAttempts = 3
	asyncPause    = time.Minute
	throttlePause = time.Second
)

type event struct {
	call    Call
	attempt int // made so far
	due     time.Time
}

// asyncQueue holds asynchronous invocations in memory: they do not survive the process, unlike the
// vendor's.
type asyncQueue struct {
	ready chan event

	mu    sync.Mutex
	later []event
	count int
}

func newAsyncQueue() *asyncQueue { return &asyncQueue{ready: make(chan event, maxAsync)} }

func (q *asyncQueue) add(e event) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.count >= maxAsync {
		return false
	}
	q.count++
	q.ready <- e // has room for count events
	return true
}

func (q *asyncQueue) done() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.count--
}

func (q *asyncQueue) postpone(e event) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.later = append(q.later, e)
}

// wake moves the events that are due to the workers.
func (q *asyncQueue) wake(now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	rest := q.later[:0]
	for _, e := range q.later {
		if e.due.After(now) {
			rest = append(rest, e)
			continue
		}
		q.ready <- e // every event is counted once, so there is room
	}
	q.later = rest
}

// InvokeAsync queues an event for the function and returns at once. Events are tried three times.
func (s *Server) InvokeAsync(call Call) error {
	name, refusal := resolve(call.Function)
	if refusal != nil {
		return refusal
	}
	if len(call.Payload) > MaxAsyncPayload {
		return wire.Errorf(http.StatusRequestEntityTooLarge, "RequestTooLargeException",
			"%d byte payload is too large for the Event invocation type (limit %d bytes)",
			len(call.Payload), MaxAsyncPayload)
	}
	s.mu.Lock()
	known := s.functions[name] != nil
	s.mu.Unlock()
	if !known {
		return s.notFound(name)
	}
	if !s.async.add(event{call: call}) {
		return s.throttled(name, "CallerRateLimitExceeded")
	}
	return nil
}

// deliver runs queued events until ctx ends.
func (s *Server) deliver(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-s.async.ready:
			s.attempt(ctx, e)
		}
	}
}

func (s *Server) attempt(ctx context.Context, e event) {
	result, err := s.Invoke(ctx, e.call)
	var refusal *wire.Error
	switch throttled := errors.As(err, &refusal) && refusal.Status == http.StatusTooManyRequests; {
	case throttled:
		e.due = s.cfg.Clock().Add(throttlePause)
		s.async.postpone(e)
		return
	case err == nil && result.FunctionError == "":
	default:
		if e.attempt++; e.attempt < asyncAttempts && refusal == nil {
			e.due = s.cfg.Clock().Add(time.Duration(e.attempt) * asyncPause)
			s.async.postpone(e)
			return
		}
		s.cfg.Logger.Warn("asynchronous invocation failed for good",
			"function", e.call.Function, "attempts", e.attempt, "error", err)
	}
	s.async.done()
}
