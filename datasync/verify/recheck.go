package verify

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	lookers     = 16     // keys that are read at the same time
	maxSuspects = 10_000 // keys that are read again under one deadline
	lookAgain   = 50 * time.Millisecond
)

// sight is how a key looks now.
type sight struct {
	d       *Difference // nil: the sides agree
	pending bool        // the replicator has yet to write it somewhere
	final   bool        // it need not be read again
}

// looker reads keys of a table, or objects of a bucket, on both sides.
type looker[K any] struct {
	look    func(context.Context, K) (sight, error)
	clock   func() time.Time
	recheck time.Duration
}

// all looks at several keys at the same time.
func (l *looker[K]) all(ctx context.Context, keys []K) ([]sight, error) {
	seen := make([]sight, len(keys))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(lookers)
	for i, key := range keys {
		g.Go(func() (err error) {
			seen[i], err = l.look(ctx, key)
			return err
		})
	}
	return seen, g.Wait()
}

// settle reads keys that differ until they agree or the time is over: all of them under one deadline.
func (l *looker[K]) settle(ctx context.Context, keys []K, res *Result) error {
	for until := l.clock().Add(l.recheck); len(keys) > 0; {
		over := l.clock().After(until)
		seen, err := l.all(ctx, keys)
		if err != nil {
			return err
		}
		var rest []K
		for i, s := range seen {
			switch {
			case s.d == nil:
			case s.pending && over:
				res.InFlight++
			case over || s.final:
				res.Differ(*s.d)
			default:
				rest = append(rest, keys[i])
			}
		}
		if keys = rest; len(keys) == 0 {
			return nil
		}
		select {
		case <-time.After(lookAgain):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
