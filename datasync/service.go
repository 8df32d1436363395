// Package datasync replicates tables and buckets between two clouds, in both directions,
// level-triggered: it keeps per key which state is the winner and what each side holds, and writes
// by compare-and-set until both hold the winner.
//
// What it guarantees, per key or object: when links heal and writes stop, both sides hold the same
// content or nothing, at the same version; a write that saw another one is never beaten by it while
// the feeds are unbroken; the loser of concurrent writes is in the conflict journal, whole; a
// delete does not come back, and nothing is deleted on missing evidence. What it does not: order
// between keys, transactions, or compare-and-set on a key that the other region also writes.
//
// The rules are in package resolve, which does no I/O. This package is its shell.
package datasync

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/bus"
	"github.com/proa-cloud/proa/datasync/resolve"
	"github.com/proa-cloud/proa/datasync/resolve/journal"
	"github.com/proa-cloud/proa/datasync/shadow"
	"github.com/proa-cloud/proa/datasync/verify"
)

// Service is data sync of one node.
type Service struct {
	cfg   Config
	store *shadow.Store
	clock *clock
	log   *slog.Logger
	m     counters
	cost  *meter
	owner owner
	parts atomic.Pointer[parts] // of the present tenure, or the last one

	subscriptions []*bus.Subscription

	mu       sync.Mutex
	verified *verify.Result
	line     *statusLine

	verifying sync.Mutex
}

// New makes a service and reads what the last process left. It starts nothing and calls no cloud.
func New(cfg Config) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	log := cfg.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	store, err := shadow.New(cfg.DB, cfg.Limits)
	if err != nil {
		return nil, fmt.Errorf("datasync: %w", err)
	}
	s := &Service{cfg: cfg, store: store, log: log, clock: &clock{
		read: cfg.Clock,
		last: store.Clock(),
	}}
	s.cost = newMeter(cfg.Budget, cfg.RequestUnits, s.clock.now(), log)
	if err := s.subscribe(); err != nil {
		return nil, fmt.Errorf("datasync: %w", err)
	}
	if s.cfg.Deployment == "" {
		s.cfg.Deployment = "proa"
	}
	s.owner.init(&s.cfg)
	if err := errors.Join(s.renew(time.Time{}), s.loadVerified(), s.awake()); err != nil {
		return nil, fmt.Errorf("datasync: %w", err)
	}
	return s, nil
}

// Run takes part until the context ends; then it returns nil once everything has stopped. It
// replicates while this node is the owner (Assign), which it is from the start where nodes do not
// take turns. It fails when the store is lost: a new process must start from what is on disk.
func (s *Service) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.tenures(ctx) })
	g.Go(func() error { return s.trim(ctx) })
	for _, sub := range s.subscriptions {
		g.Go(func() error { return sub.Run(ctx) })
	}
	g.Go(func() error { return s.alive(ctx) })
	if err := g.Wait(); err != nil {
		return fmt.Errorf("datasync: %w", err)
	}
	return nil
}

// trim keeps the log, the journal and the announcements within their bounds.
func (s *Service) trim(ctx context.Context) error {
	l := s.cfg.Limits
	for sleep(ctx, s.cfg.Upkeep, nil) == nil {
		now := s.clock.now()
		if _, err := s.store.Log.Trim(now.Add(-l.LogAge), l.LogBytes); err != nil {
			return err
		}
		dropped, err := s.store.Journal.Trim(now.Add(-l.JournalAge), l.JournalBytes)
		if err != nil {
			return err
		}
		if err := s.store.TrimMalformed(); err != nil {
			return err
		}
		if dropped > 0 {
			s.log.Warn("conflicts dropped at the journal's bounds", "dropped", dropped)
		}
		err = s.store.Lazy(func(tx *shadow.Tx) error { return tx.TrimAnnounced(now.Add(-l.AnnouncedValid)) })
		if err != nil {
			return err
		}
	}
	return nil
}

// Log is the durable log of captured changes, for subscribers.
func (s *Service) Log() *bus.Log { return s.store.Log }

// Conflicts searches the conflict journal.
func (s *Service) Conflicts(q journal.Query) ([]journal.Conflict, error) {
	return s.store.Journal.Find(q)
}

// Announce keeps an acknowledged write until its region's feed shows it. It returns once it is on
// stable storage; concurrent calls share one fsync. Fails with proa.ErrNotFound for a table or
// bucket that is not replicated.
func (s *Service) Announce(ctx context.Context, a proa.Announcement) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var key proa.Key
	if a.Bucket == "" {
		t := s.table(a.Table)
		if t == nil {
			return fmt.Errorf("announce: table %q: %w", a.Table, proa.ErrNotFound)
		}
		var err error
		if key, err = t.schema.KeyOf(a.Key); err != nil {
			return fmt.Errorf("announce: %w", err)
		}
	} else if !s.hasBucket(a.Bucket) {
		return fmt.Errorf("announce: bucket %q: %w", a.Bucket, proa.ErrNotFound)
	}
	if _, err := proa.ParseRegion(string(a.Region)); err != nil {
		return fmt.Errorf("announce: %w: %w", proa.ErrInvalid, err)
	}
	s.m.announced.Add(1)
	began := s.clock.now()
	err := s.store.Commit(func(tx *shadow.Tx) error { return tx.Announce(key, a) })
	if now := s.clock.now(); now.Sub(began) > deafAfter {
		err = errors.Join(err, s.unheard(Unheard{From: began, To: now.Add(deafFor)}))
	}
	s.look(a)
	return err
}

// look has the feed that will show an announced write read soon, which is what keeps the lag of an
// idle system low.
func (s *Service) look(a proa.Announcement) {
	if t := s.table(a.Table); a.Bucket == "" && t != nil {
		poke(t.sides[resolve.Index(a.Region)].poll)
	}
	for _, b := range s.buckets() {
		if b.Name() == a.Bucket {
			b.Look(a.Region)
		}
	}
}

func (s *Service) table(name string) *table {
	for _, t := range s.tables() {
		if t.schema.Table == name {
			return t
		}
	}
	return nil
}

func (s *Service) hasBucket(name string) bool { return s.bucket(name) != nil }

// Retry judges a quarantined key anew: a state whose envelope could not be trusted counts as if it
// had none.
func (s *Service) Retry(key proa.Key) error {
	if err := s.mustOwn("retry"); err != nil {
		return err
	}
	t := s.table(key.Table)
	if t == nil {
		return fmt.Errorf("retry: table %q: %w", key.Table, proa.ErrNotFound)
	}
	return t.retry([]proa.Key{key})
}
