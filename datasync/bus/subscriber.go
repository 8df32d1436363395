package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/proa-cloud/proa"
)

// Message is one event on its way to a subscriber.
type Message struct {
	Offset   uint64 // in this node's log
	ID, Type string // the CloudEvent's
	Body     []byte // the CloudEvent in JSON
}

// Sink delivers messages to one subscriber. An error that wraps proa.ErrInvalid or proa.ErrTooLarge
// says that the messages will be refused each time; every other one that they may be tried again.
type Sink interface {
	Send(ctx context.Context, batch []Message) error
}

// Subscription is one subscriber: it gets every event that its filter chooses at least once, those
// of one key in order, and keeps its own place in the log. An event that it refuses is a dead
// letter: kept, counted, and sent again on an operator's order. While it cannot be reached, events
// wait in the log, up to the log's bounds; what goes past them is counted as missed.
type Subscription struct {
	Name   string
	Sink   Sink
	Filter *Filter
	Batch  int // the most messages a Send; 1 when 0

	DB     *pebble.DB
	Prefix byte // of its keys in DB
	Log    *Log
	Clock  func() time.Time
	Logger *slog.Logger
	// First and Longest bound the pause between two tries, Timeout one try.
	First, Longest, Timeout time.Duration
	// MaxDead and MaxDeadBytes bound the dead letters; the oldest go first and are counted.
	MaxDead      int
	MaxDeadBytes int64

	mu    sync.Mutex
	state subscriptionState
	retry chan struct{}
}

// SubscriptionStatus is how far a subscription has come.
type SubscriptionStatus struct {
	Name      string    `json:"name"`
	Next      uint64    `json:"next"`    // the offset that it goes on from
	Waiting   uint64    `json:"waiting"` // events in the log past it, before the filter
	Delivered uint64    `json:"delivered"`
	Skipped   uint64    `json:"skipped"` // by the filter
	Failed    uint64    `json:"failed"`  // tries
	Dead      int       `json:"dead"`    // dead letters that are kept
	Dropped   uint64    `json:"dropped"` // dead letters that are not
	Missed    uint64    `json:"missed"`  // events that left the log before they were delivered
	Error     string    `json:"error,omitempty"`
	LastAt    time.Time `json:"last_at,omitzero"`
}

// subscriptionState is what is kept on disk.
type subscriptionState struct {
	Next      uint64 `json:"next"`
	Delivered uint64 `json:"delivered"`
	Skipped   uint64 `json:"skipped"`
	Failed    uint64 `json:"failed"`
	Dropped   uint64 `json:"dropped"`
	Missed    uint64 `json:"missed"`

	err    string
	lastAt time.Time
	dead   int
	bytes  int64 // of dead letters
}

func (s *Subscription) stateKey() []byte {
	return append([]byte{s.Prefix, 'c'}, s.Name...)
}

// Open reads what an earlier process left. A new subscription starts at the log's end.
func (s *Subscription) Open() error {
	s.retry = make(chan struct{}, 1)
	s.Batch, s.MaxDead, s.MaxDeadBytes = max(s.Batch, 1), max(s.MaxDead, 1), max(s.MaxDeadBytes, 1)
	_, s.state.Next = s.Log.Ends()
	body, closer, err := s.DB.Get(s.stateKey())
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		return s.save()
	case err != nil:
		return fmt.Errorf("open subscription %s: %w", s.Name, err)
	}
	err = errors.Join(json.Unmarshal(body, &s.state), closer.Close())
	if err != nil {
		return fmt.Errorf("open subscription %s: %w", s.Name, err)
	}
	return s.countDead()
}

func (s *Subscription) save() error {
	s.mu.Lock()
	body, err := json.Marshal(&s.state)
	s.mu.Unlock()
	if err != nil {
		return fmt.Errorf("subscription %s: %w", s.Name, err)
	}
	if err := s.DB.Set(s.stateKey(), body, pebble.NoSync); err != nil {
		return fmt.Errorf("subscription %s: %w", s.Name, err)
	}
	return nil
}

// Status returns how far the subscription has come.
func (s *Subscription) Status() SubscriptionStatus {
	_, next := s.Log.Ends()
	s.mu.Lock()
	defer s.mu.Unlock()
	st := &s.state
	return SubscriptionStatus{
		Name: s.Name, Next: st.Next, Waiting: next - min(st.Next, next), Delivered: st.Delivered,
		Skipped: st.Skipped, Failed: st.Failed, Dead: st.dead, Dropped: st.Dropped,
		Missed: st.Missed, Error: st.err, LastAt: st.lastAt,
	}
}

// Run delivers until the context ends, then returns nil. It fails when the database does.
func (s *Subscription) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		next := s.Status().Next
		err := s.Log.Wait(ctx, next)
		if err == nil {
			err = s.round(ctx, next)
		}
		switch {
		case ctx.Err() != nil:
		case errors.Is(err, ErrGap):
			err = s.skipGap(next)
		}
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("subscription %s: %w", s.Name, err)
		}
	}
	return s.save()
}

// skipGap goes on from the log's first event.
func (s *Subscription) skipGap(next uint64) error {
	first, _ := s.Log.Ends()
	s.mu.Lock()
	s.state.Missed += first - next
	s.state.Next = first
	s.mu.Unlock()
	s.Logger.Warn("events left the log before they were delivered", "subscriber", s.Name, "missed",
		first-next)
	return s.save()
}

// readAhead is how many events are read from the log at a time.
const readAhead = 256

// round delivers the events from an offset on, as many as there are, up to a bound.
func (s *Subscription) round(ctx context.Context, from uint64) error {
	events, after, err := s.Log.Read(from, readAhead)
	if err != nil {
		return err
	}
	var batch []Message
	for i := range events {
		ok, _ := s.Filter.Match(&events[i])
		if !ok {
			s.count(func(st *subscriptionState) { st.Skipped++ })
			continue
		}
		body, err := events[i].CloudEvent()
		if err != nil {
			return err
		}
		e := &events[i]
		batch = append(batch, Message{Offset: e.Offset, ID: e.ID(), Type: e.Type(), Body: body})
		if len(batch) < s.Batch {
			continue
		}
		if err := s.deliver(ctx, batch); err != nil {
			return err
		}
		s.moved(events[i].Offset + 1)
		batch = batch[:0]
	}
	if len(batch) > 0 {
		if err := s.deliver(ctx, batch); err != nil {
			return err
		}
	}
	s.moved(after)
	return s.save()
}

func (s *Subscription) count(fn func(*subscriptionState)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fn(&s.state)
}

func (s *Subscription) moved(next uint64) {
	s.count(func(st *subscriptionState) { st.Next = max(st.Next, next) })
}

// deliver tries until the batch is delivered or refused. Where several are refused together, each
// is tried alone. It fails when the context ends or the database fails.
func (s *Subscription) deliver(ctx context.Context, batch []Message) error {
	for attempt := 1; ; attempt++ {
		err := s.send(ctx, batch)
		if err == nil {
			s.count(func(st *subscriptionState) {
				st.Delivered += uint64(len(batch))
				st.err, st.lastAt = "", s.Clock()
			})
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		s.count(func(st *subscriptionState) { st.Failed++; st.err = err.Error() })
		if refused(err) {
			return s.refused(ctx, batch, err)
		}
		if attempt == 1 {
			s.Logger.Warn("subscriber cannot be reached", "subscriber", s.Name, "error", err)
		}
		if err := s.pause(ctx, attempt); err != nil {
			return err
		}
	}
}

func refused(err error) bool {
	return errors.Is(err, proa.ErrInvalid) || errors.Is(err, proa.ErrTooLarge)
}

func (s *Subscription) send(ctx context.Context, batch []Message) error {
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	return s.Sink.Send(ctx, batch)
}

func (s *Subscription) pause(ctx context.Context, attempt int) error {
	d := s.First << min(attempt-1, 16)
	if d <= 0 || d > s.Longest {
		d = s.Longest
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.retry:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// refused keeps a refused message as a dead letter; of several it finds out which.
func (s *Subscription) refused(ctx context.Context, batch []Message, cause error) error {
	if len(batch) > 1 {
		for i := range batch {
			if err := s.deliver(ctx, batch[i:i+1]); err != nil {
				return err
			}
		}
		return nil
	}
	m := batch[0]
	s.Logger.Warn("event refused: kept as a dead letter", "subscriber", s.Name, "offset", m.Offset,
		"error", cause)
	return s.bury(DeadLetter{Offset: m.Offset, At: s.Clock(), Reason: cause.Error(), Event: m.Body})
}
