package objects

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/bus"
	"github.com/proa-cloud/proa/datasync/capture"
	"github.com/proa-cloud/proa/datasync/resolve/journal"
	"github.com/proa-cloud/proa/datasync/shadow"
)

// Replicator replicates one bucket.
type Replicator struct {
	cfg   Bucket
	store *shadow.Store
	now   func() time.Time
	log   *slog.Logger
	work  chan string // names that may be due at a side
	// buffers of parts, nil until their first use: as many parts are under way
	buffers chan []byte
	wake    chan struct{} // retries
	again   chan struct{} // an operator has said that a side was restored
	turning sync.Mutex    // orders that, and the turning of the shadow index

	captured atomic.Uint64

	mu      sync.Mutex
	busy    map[string]bool // names that are being observed or written; true: a worker came for it meanwhile
	queued  map[string]bool // names in work
	refused map[string]struct{}
	later   map[string]time.Time // names whose next try is put off, until when
	missed  bool                 // the shadow index knows of more than the workers were told
	sides   [2]sideStatus
	objects int64
	heard   [2]time.Time // up to when a predecessor has met what was written at a side; zero: none has
	paused  time.Time    // since when an operator has it stand still; zero: it does not
}

// sideStatus is what is shown of one side.
type sideStatus struct {
	fresh   time.Time     // when the last complete sweep began
	listed  int64         // objects that it met
	took    time.Duration // of it, without the pauses
	pages   int           // of it
	ear     ear
	err     error
	backlog int                  // objects of this region that the other one lacks
	oldest  map[string]time.Time // origins of some of them
	sweep   chan struct{}        // sweep now

	guard guard // of deletes that nobody has said

	gate *capture.Gate // of copies into it
	held []string      // names whose copy into it waits for the gate

	lame     bool // its last write failed in a way that the next one may
	recalled bool // its kept deletes have been read
}

// oldestKept bounds sideStatus.oldest; workKept the names that wait for a worker. What is beyond is
// found in the shadow index.
const (
	oldestKept = 10_000
	workKept   = 10_000
)

// New makes a replicator and counts what the last process left. It starts nothing and calls no
// cloud.
func New(
	b Bucket, store *shadow.Store, now func() time.Time, log *slog.Logger,
) (*Replicator, error) {
	if b.Name == "" || b.Sides[proa.AWS] == nil || b.Sides[proa.Azure] == nil {
		return nil, fmt.Errorf("bucket %q: needs a name and both sides: %w", b.Name,
			proa.ErrInvalidConfig)
	}
	r := &Replicator{
		cfg: b.withDefaults(), store: store, now: now, log: log.With("bucket", b.Name),
		work: make(chan string, workKept), busy: map[string]bool{}, queued: map[string]bool{},
		refused: map[string]struct{}{}, later: map[string]time.Time{}, wake: make(chan struct{}, 1),
		again: make(chan struct{}, 1),
	}
	r.buffers = make(chan []byte, r.cfg.PartBuffers)
	for range r.cfg.PartBuffers {
		r.buffers <- nil
	}
	for i := range r.sides {
		r.sides[i].oldest = map[string]time.Time{}
		r.sides[i].sweep = make(chan struct{}, 1)
		r.sides[i].ear.sent = map[string]time.Time{}
		r.sides[i].gate = r.newGate(i)
		kept, err := r.pass(proa.Regions()[i])
		if err != nil {
			return nil, err
		}
		r.sides[i].fresh, r.sides[i].took, r.sides[i].pages = kept.Fresh, kept.Took, kept.Pages
		r.sides[i].listed = kept.Met
		if r.heard[i], err = r.loadHeard(proa.Regions()[i]); err != nil {
			return nil, err
		}
		if r.sides[i].guard, err = r.loadGuard(proa.Regions()[i]); err != nil {
			return nil, err
		}
	}
	if err := r.loadPaused(); err != nil {
		return nil, err
	}
	_, err := store.WalkObjects(b.Name, "", "", -1, func(name string, record []byte) error {
		st, err := decode(name, record)
		if err == nil {
			r.count(tally{}, st)
		}
		return err
	})
	return r, err
}

func (r *Replicator) newGate(side int) *capture.Gate {
	//nolint:gosec // jitter only
	return capture.NewGate(r.cfg.Workers, r.cfg.RetryMax, rand.New(rand.NewPCG(uint64(side)+1, 7)))
}

func decode(name string, record []byte) (*State, error) {
	st := &State{Name: name}
	if record == nil {
		return st, nil
	}
	if err := json.Unmarshal(record, st); err != nil {
		return nil, fmt.Errorf("shadow of object %q: %w", name, err)
	}
	return st, nil
}

// Name is the bucket's.
func (r *Replicator) Name() string { return r.cfg.Name }

// Run sweeps and copies until the context ends; then it returns nil. It fails when the store is
// lost.
func (r *Replicator) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := r.turn(ctx); err != nil {
			return err
		}
		if !r.Paused().IsZero() {
			r.ordered(ctx, func() {})
			continue
		}
		if err := r.round(ctx); err != nil {
			return err
		}
	}
	return nil
}

// round sweeps and copies until the context ends or an operator says that a side was restored.
func (r *Replicator) round(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { r.ordered(ctx, stop); return nil })
	for _, region := range proa.Regions() {
		g.Go(func() error { return r.recall(ctx, region) })
		g.Go(func() error { return r.sweeps(ctx, region) })
		g.Go(func() error { return r.trim(ctx, region) })
		if queue := r.cfg.Events[region]; queue != nil {
			g.Go(func() error { return r.hear(ctx, region, queue) })
			g.Go(func() error { return r.beat(ctx, region) })
		}
	}
	g.Go(func() error { return r.retries(ctx) })
	for range r.cfg.Workers {
		g.Go(func() error { return r.worker(ctx) })
	}
	return g.Wait()
}

// worker writes what is due.
func (r *Replicator) worker(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case name := <-r.work:
			r.mu.Lock()
			delete(r.queued, name)
			r.mu.Unlock()
			if !r.takeOr(name) {
				continue
			}
			err := r.apply(ctx, name)
			r.release(name)
			if err != nil {
				return err
			}
		}
	}
}

// take reserves a name for one observation or write.
func (r *Replicator) take(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.takeLocked(name)
}

func (r *Replicator) takeLocked(name string) bool {
	if _, ok := r.busy[name]; ok {
		return false
	}
	r.busy[name] = false
	return true
}

// takeOr is take for a worker: a name that somebody has is looked at again when it is released, since what it
// came for may be due only now.
func (r *Replicator) takeOr(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.takeLocked(name) {
		return true
	}
	r.busy[name] = true
	return false
}

func (r *Replicator) release(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	again := r.busy[name]
	delete(r.busy, name)
	if again {
		r.enqueueLocked(name)
	}
	r.resumeLocked()
}

// enqueue has a worker look at a name; when too many wait, the shadow index is asked later.
func (r *Replicator) enqueue(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.enqueueLocked(name)
}

func (r *Replicator) enqueueLocked(name string) {
	if r.queued[name] {
		return
	}
	select {
	case r.work <- name:
		r.queued[name] = true
	default:
		r.missLocked()
	}
}

// load reads an object's state.
func (r *Replicator) load(name string) (*State, error) {
	record, err := r.store.Object(r.cfg.Name, name)
	if err != nil {
		return nil, err
	}
	return decode(name, record)
}

// change loads a state, has fn change it and keeps it, in one batch with what follows from a
// verdict. The caller has taken the name.
func (r *Replicator) change(
	name string, durable bool, fn func(st *State) (verdict, proa.Region, error),
) error {
	st, err := r.load(name)
	if err != nil {
		return err
	}
	old := tallyOf(st)
	v, region, err := fn(st)
	if err != nil {
		return err
	}
	write := r.store.Lazy
	if durable || v.captured || v.durable {
		write = r.store.Commit
	}
	if err := write(func(tx *shadow.Tx) error { return r.put(tx, st, v, region) }); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count(old, st)
	return nil
}

func (r *Replicator) put(tx *shadow.Tx, st *State, v verdict, region proa.Region) error {
	tx.Saw(r.now())
	record, err := json.Marshal(st)
	if err != nil {
		return fmt.Errorf("shadow of object %q: %w", st.Name, err)
	}
	errs := []error{tx.SetObject(r.cfg.Name, st.Name, record)}
	if region != "" {
		errs = append(errs, tx.ShownObject(region, r.cfg.Name, st.Name, st.at(region).ETag))
	}
	if v.captured && !r.toldBefore(st, v, region) {
		errs = append(errs, tx.Append(r.event(st, v, region)))
		r.captured.Add(1)
	}
	if v.clash != nil {
		errs = append(errs, tx.Conflict(journal.ObjectID(r.cfg.Name, st.Name), r.conflict(st, v.clash)))
	}
	return errors.Join(errs...)
}

func (r *Replicator) event(st *State, v verdict, region proa.Region) *bus.Event {
	sd := st.at(region)
	e := &bus.Event{
		Region: region, Bucket: r.cfg.Name, Object: st.Name, ETag: sd.ETag,
		Size:    sd.Content.Size,
		Version: sd.Version, Origin: sd.Modified, Captured: r.now(), Won: v.won,
	}
	if v.won {
		e.Parent, e.Origin = st.Winner.Parent, st.Winner.Origin
	}
	return e
}

func (r *Replicator) conflict(st *State, c *clash) journal.Conflict {
	return journal.Conflict{
		Time: r.now().UTC(), Bucket: r.cfg.Name, Object: st.Name,
		Reason: c.reason, Policy: "lww",
		Winner: journalSide(c.winner), Loser: journalSide(c.loser),
	}
}

func journalSide(c Candidate) journal.Side {
	s := journal.Side{
		Version: c.Version, Parent: c.Parent, Region: c.Version.Region,
		Time:      c.Version.Time.Time(),
		Tombstone: c.Tombstone,
	}
	if !c.Tombstone {
		s.Missing = c.KeptAt == ""
		s.Object = &journal.Object{
			Size: c.Content.Size, ETag: c.ETag, VersionID: c.VersionID,
			Kept:   c.Kept,
			KeptAt: c.KeptAt, ContentType: c.Content.ContentType, Metadata: c.Content.Metadata,
		}
	}
	return s
}
