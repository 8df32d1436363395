package datasync

import (
	"context"
	"fmt"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/bus"
	"github.com/proa-cloud/proa/datasync/shadow"
)

// Subscriber is one receiver of changes.
type Subscriber struct {
	Name   string
	Sink   bus.Sink
	Filter *bus.Filter // nil: everything
	Batch  int         // the most events of one Send; 1 when 0
}

// The bounds of deliveries.
const (
	deliverFirst   = 200 * time.Millisecond
	deliverLongest = time.Minute
	deliverTimeout = 15 * time.Second
	maxDeadLetters = 10_000
	maxDeadBytes   = 256 << 20
)

// subscribe opens the subscriptions. New ones start at the log's end.
func (s *Service) subscribe() error {
	for _, sub := range s.cfg.Subscribers {
		one := &bus.Subscription{
			Name: sub.Name, Sink: sub.Sink, Filter: sub.Filter, Batch: sub.Batch,
			DB: s.store.Database(), Prefix: shadow.Subscribers(), Log: s.store.Log, Clock: s.clock.now,
			Logger: s.log, First: deliverFirst, Longest: deliverLongest, Timeout: deliverTimeout,
			MaxDead: maxDeadLetters, MaxDeadBytes: maxDeadBytes,
		}
		if err := one.Open(); err != nil {
			return err
		}
		s.subscriptions = append(s.subscriptions, one)
	}
	return nil
}

// Subscribers returns how far each subscriber has come.
func (s *Service) Subscribers() []bus.SubscriptionStatus {
	list := []bus.SubscriptionStatus{}
	for _, sub := range s.subscriptions {
		list = append(list, sub.Status())
	}
	return list
}

func (s *Service) subscription(name string) (*bus.Subscription, error) {
	for _, sub := range s.subscriptions {
		if sub.Name == name {
			return sub, nil
		}
	}
	return nil, fmt.Errorf("subscriber %q: %w", name, proa.ErrNotFound)
}

// DeadLetters lists up to limit events that a subscriber refused, the oldest first, or as many as come to
// 16 MiB.
func (s *Service) DeadLetters(name string, limit int) ([]bus.DeadLetter, error) {
	sub, err := s.subscription(name)
	if err != nil {
		return nil, err
	}
	return sub.Dead(0, limit)
}

// Redeliver sends a subscriber's dead letters once more and returns how many it took.
func (s *Service) Redeliver(ctx context.Context, name string) (int, error) {
	sub, err := s.subscription(name)
	if err != nil {
		return 0, err
	}
	return sub.Redeliver(ctx)
}
