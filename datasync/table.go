package datasync

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/datasync/bus"
	"github.com/proa-cloud/proa/datasync/capture"
	"github.com/proa-cloud/proa/datasync/residency"
	"github.com/proa-cloud/proa/datasync/resolve"
	"github.com/proa-cloud/proa/datasync/shadow"
)

// table replicates one table: two capture loops, two apply loops and two scans around the pure
// core.
type table struct {
	cfg     *Config
	schema  proa.Schema
	rules   resolve.Rules
	stays   *residency.Rules
	store   *shadow.Store
	clock   *clock
	log     *slog.Logger
	sides   [2]*side
	m       *counters
	cost    *meter
	may     func() bool // a write may be sent now
	keepers [2]*keeper
}

// side is one region of a table.
type side struct {
	region proa.Region
	table  cloud.Table
	feed   cloud.Feed
	gate   *capture.Gate
	pace   capture.Pace

	poll    chan struct{} // read the feed now
	work    chan struct{} // a key may be due, or a write has ended
	room    chan struct{} // a write has ended
	results chan result
	seek    chan proa.Key   // keys to look up while the side is being scanned
	anew    chan chan error // an operator has the feed begun anew

	scan sync.Mutex // orders changes of the scan's checkpoint

	ahead, aheadBytes atomic.Int64 // writes that are recorded and not yet answered
	heard             atomic.Int64 // up to when a predecessor has read the feed, in ns since 1970; 0: none has

	mu           sync.Mutex
	fresh        time.Time // when the last read that reached the feed's end began
	ready        bool      // the feed has a cursor
	lastErr      error     // of the feed; nil after a read that succeeded
	scanned      bool
	lastWriteErr string   // cleared by a read of the feed
	lags         lagMeter // of changes written here and applied on the other side
}

func newTable(
	cfg *Config, t Table, store *shadow.Store, clk *clock, m *counters, cost *meter, log *slog.Logger,
) *table {
	rules := t.Rules
	if rules == (resolve.Rules{}) {
		rules = resolve.DefaultRules(t.Schema)
	}
	if rules.Policy.NeedsBase() {
		rules.InlineBody = max(rules.InlineBody, wholeBody)
	}
	tb := &table{
		cfg: cfg, schema: t.Schema, rules: rules, stays: t.Residency, store: store, clock: clk, m: m, cost: cost,
		log: log.With("table", t.Schema.Table),
	}
	for i, region := range proa.Regions() {
		r := rand.New(rand.NewPCG(uint64(i)+1, uint64(len(t.Schema.Table)))) //nolint:gosec // jitter only
		tb.sides[i] = &side{
			region: region,
			gate:   capture.NewGate(cfg.Workers, cfg.RetryMax, rand.New(rand.NewPCG(r.Uint64(), 3))),
			//nolint:gosec // jitter
			pace: capture.Pace{
				Min: cfg.PollMin, Max: cfg.PollMax, RetryMax: cfg.RetryMax, IdleMax: cfg.IdleMax,
				IdleAfter: cfg.IdleAfter, Rand: r,
			},
			poll:    make(chan struct{}, 1),
			work:    make(chan struct{}, 1),
			room:    make(chan struct{}, 1),
			results: make(chan result, cfg.Workers),
			seek:    make(chan proa.Key, seekBatch),
			anew:    make(chan chan error),
		}
		sd := tb.sides[i]
		sd.table, sd.feed = residency.Wrap(t.Sides[region].Table, t.Sides[region].Feed, t.Residency)
	}
	return tb
}

// loops are what the table runs until its context ends. One that fails has lost its store.
func (t *table) loops() []func(context.Context) error {
	var fns []func(context.Context) error
	for _, sd := range t.sides {
		fns = append(fns,
			func(ctx context.Context) error { return t.capture(ctx, sd) },
			func(ctx context.Context) error { return t.apply(ctx, sd) },
			func(ctx context.Context) error { return t.collect(ctx, sd) },
			func(ctx context.Context) error { return t.backfill(ctx, sd) },
			func(ctx context.Context) error { return t.seek(ctx, sd) })
	}
	return append(fns, t.upkeep)
}

// step runs one input through the core within a batch and returns the I/O that it asks for.
func (t *table) step(
	tx *shadow.Tx, key proa.Key, now time.Time, in resolve.Input,
) ([]resolve.Output, error) {
	r, err := tx.Load(key)
	if err != nil {
		return nil, err
	}
	tx.Saw(now)
	was := r.State.Winner.Version
	outs := t.rules.Step(r.State, now, in)
	t.deleted(r.State, was, in)
	var todo []resolve.Output
	for _, o := range outs {
		switch o := o.(type) {
		case resolve.Write, resolve.Observe:
			todo = append(todo, o)
		case resolve.Append:
			if !t.toldBefore(o, in) {
				err = tx.Append(t.event(key, o, in, now))
			}
		case resolve.Clash:
			t.m.conflicts.Add(1)
			err = tx.Conflict(key.ID(), t.conflict(key, o, now))
		case resolve.Shown:
			var removed time.Time
			if !o.Change.New.Exists() || o.Change.New.Tombstone() {
				removed = o.Change.Time
			}
			err = tx.Shown(o.Region, key.ID(), r.State.At(o.Region).Shown, removed)
		case resolve.Synced:
			t.synced(o, now)
		case resolve.Quarantined:
			t.m.quarantined.Add(1)
			t.log.Warn("key quarantined", "key", t.keyText(key), "region", o.Side, "reason", o.Reason)
		case resolve.Remember:
			t.keepers[resolve.Index(o.Side)].ask(key, &o.Winner)
		case resolve.Note:
			t.m.note(o)
		case resolve.Forget:
			return nil, tx.Forget(key)
		}
		if err != nil {
			return nil, err
		}
	}
	return todo, tx.Requeue(t.rules, r)
}

// deleted has a delete that has just won kept in the sidecar of the region where it was made.
func (t *table) deleted(st *resolve.State, was proa.Version, in resolve.Input) {
	w := &st.Winner
	if _, known := in.(resolve.Remembered); known || !w.Tombstone || w.Version == was {
		return
	}
	t.keepers[resolve.Index(w.Version.Region)].remember(st.Key, w)
}

func (t *table) event(key proa.Key, o resolve.Append, in resolve.Input, now time.Time) *bus.Event {
	o.Image.Item, _ = t.stays.Logged(o.Image.Item)
	e := &bus.Event{
		Region: o.Region, Key: t.shown(key), Mark: t.stays.Mark(key), Image: o.Image,
		Version: o.Version, Parent: o.Parent,
		Origin:   o.Origin,
		Captured: now, Expired: o.Expired, Won: o.Won,
	}
	if c, ok := in.(resolve.Captured); ok {
		e.Position = c.Change.Position
	}
	return e
}

// synced measures the lag of a change that the other side's readers now see.
func (t *table) synced(o resolve.Synced, now time.Time) {
	t.m.applied.Add(1)
	from := t.sides[resolve.Index(o.Winner.Version.Region)]
	from.mu.Lock()
	defer from.mu.Unlock()
	from.lags.add(now, now.Sub(o.Winner.Origin))
}

func (t *table) wake() {
	for _, sd := range t.sides {
		poke(sd.work)
	}
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// sleep waits for a time to pass or a poke; it fails when the context ends.
func sleep(ctx context.Context, d time.Duration, wake <-chan struct{}) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-wake:
	case <-ctx.Done():
	}
	return ctx.Err()
}

// upkeep collects what is no more needed, a page of keys at a time.
func (t *table) upkeep(ctx context.Context) error {
	after := ""
	for {
		if err := sleep(ctx, t.cfg.Upkeep, nil); err != nil {
			return nil //nolint:nilerr // the end of ctx
		}
		next, err := t.collectTombstones(after)
		if err != nil {
			return err
		}
		after = next
	}
}

// collectTombstones forgets deletes that both sides have long applied, and intents that can show up
// no more.
func (t *table) collectTombstones(after string) (string, error) {
	fresh := [2]time.Time{t.sides[0].freshness(), t.sides[1].freshness()}
	var keys []proa.Key
	next, err := t.store.Walk(t.schema.Table, after, 2000, func(_ string, st *resolve.State) error {
		if st.Winner.Tombstone || len(st.Sides[0].Intents)+len(st.Sides[1].Intents) > 0 {
			keys = append(keys, st.Key)
		}
		return nil
	})
	if err != nil || len(keys) == 0 {
		return next, err
	}
	return next, t.store.Lazy(func(tx *shadow.Tx) error {
		for _, key := range keys {
			if _, err := t.step(tx, key, t.clock.now(), resolve.Tick{Fresh: fresh}); err != nil {
				return err
			}
		}
		return nil
	})
}

func (sd *side) freshness() time.Time {
	sd.mu.Lock()
	defer sd.mu.Unlock()
	return sd.fresh
}

// retry gives quarantined keys another chance. What only a later proa could read is read again.
func (t *table) retry(keys []proa.Key) error {
	ctx, cancel := context.WithTimeout(context.Background(), t.cfg.ReadTimeout)
	defer cancel()
	var again []job
	err := t.store.Commit(func(tx *shadow.Tx) error {
		for _, key := range keys {
			todo, err := t.step(tx, key, t.clock.now(), resolve.Retry{})
			if err != nil {
				return err
			}
			for _, o := range todo {
				again = append(again, job{key: key, out: o})
			}
		}
		return nil
	})
	for _, j := range again {
		if err == nil {
			err = t.reread(ctx, j)
		}
	}
	t.wake()
	return err
}

// reread tells the core what is stored of a key now.
func (t *table) reread(ctx context.Context, j job) error {
	o, ok := j.out.(resolve.Observe)
	if !ok {
		return nil
	}
	began := t.clock.now()
	row, err := t.sides[resolve.Index(o.Side)].table.Get(ctx, j.key)
	if err != nil {
		return fmt.Errorf("retry: read %s: %w", o.Side, err)
	}
	return t.store.Commit(func(tx *shadow.Tx) error {
		_, err := t.step(tx, j.key, t.clock.now(), resolve.Observed{Side: o.Side, Row: row, Began: began})
		return err
	})
}

// restart tells the core that what was in flight when the last process ended will not be answered.
func (t *table) restart() error {
	for _, sd := range t.sides {
		keys, err := t.store.InFlight(t.schema.Table, sd.region)
		if err != nil {
			return err
		}
		err = t.store.Lazy(func(tx *shadow.Tx) error {
			for _, key := range keys {
				if _, err := t.step(tx, key, t.clock.now(), resolve.Restarted{Side: sd.region}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("restart table %s: %w", t.schema.Table, err)
		}
	}
	return nil
}

// ended reports whether an error is only the context's end.
func ended(ctx context.Context, err error) bool {
	return ctx.Err() != nil && (errors.Is(err, ctx.Err()) || errors.Is(err, context.Canceled))
}
