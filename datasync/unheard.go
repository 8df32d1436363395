package datasync

import (
	"context"
	"slices"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/shadow"
)

// Unheard is a span of time in which functions could not announce their writes, since the node was
// not there or too slow: of what a region acknowledged then, only what its feed has shown is known.
type Unheard = shadow.Span

const (
	// aliveEvery is how often the node notes that it is there.
	aliveEvery = 250 * time.Millisecond
	// deafAfter is how long an announcement may take before its writer may have given it up; a
	// writer that has given up announces nothing for deafFor.
	deafAfter = 150 * time.Millisecond
	deafFor   = 1500 * time.Millisecond
	// shownAfter is how late a feed may show a write.
	shownAfter = 2 * time.Second
	aliveName  = "alive"
)

// awake notes that nobody listened since the last process was alive.
func (s *Service) awake() error {
	cp, err := s.store.Checkpoint(aliveName)
	if err != nil || cp.At.IsZero() {
		return err
	}
	now := s.clock.now()
	return s.unheard(Unheard{From: cp.At, To: now.Add(deafFor)})
}

func (s *Service) unheard(span Unheard) error {
	return s.store.Commit(func(tx *shadow.Tx) error {
		for _, r := range proa.Regions() {
			if err := tx.AddUnheard(r, span); err != nil {
				return err
			}
		}
		return nil
	})
}

// alive notes that the node is there, and forgets what the feeds have filled since: spans, and writes
// announced before a feed began, which a scan has shown and no feed ever will.
func (s *Service) alive(ctx context.Context) error {
	for {
		err := s.store.Lazy(func(tx *shadow.Tx) error {
			for _, r := range proa.Regions() {
				through := s.shownThrough(r)
				if err := tx.DropUnheard(r, through); err != nil {
					return err
				}
				if through.IsZero() {
					continue
				}
				if _, err := tx.ShownBefore(r, through.Add(-followMargin)); err != nil {
					return err
				}
			}
			return tx.SetCheckpoint(aliveName, shadow.Checkpoint{At: s.clock.now()})
		})
		if err != nil {
			return err
		}
		if err := sleep(ctx, aliveEvery, nil); err != nil {
			return nil //nolint:nilerr // the end of ctx
		}
	}
}

// Unheard lists the spans whose writes the region's feeds have not all shown yet: while there is
// one, the list of unreplicated writes may lack some.
func (s *Service) Unheard(from proa.Region) ([]Unheard, error) {
	spans, err := s.store.Unheard(from)
	if err != nil {
		return nil, err
	}
	through := s.shownThrough(from)
	return slices.DeleteFunc(spans, func(u Unheard) bool { return u.To.Before(through) }), nil
}

// shownThrough is the time before which all of a region's writes have been shown by its feeds; zero
// when that is not known.
func (s *Service) shownThrough(region proa.Region) time.Time {
	through := s.clock.now()
	for _, t := range s.tables() {
		sd := t.side(region)
		sd.mu.Lock()
		fresh, scanned := sd.fresh, sd.scanned
		sd.mu.Unlock()
		if fresh.IsZero() || !scanned {
			return time.Time{}
		}
		if fresh.Before(through) {
			through = fresh
		}
	}
	for _, b := range s.buckets() {
		fresh := b.Fresh(region)
		if fresh.IsZero() {
			return time.Time{}
		}
		if fresh.Before(through) {
			through = fresh
		}
	}
	return through.Add(-shownAfter)
}
