package datasync

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/capture"
	"github.com/proa-cloud/proa/datasync/resolve"
	"github.com/proa-cloud/proa/datasync/shadow"
	"github.com/proa-cloud/proa/datasync/sidecar"
)

const (
	// keepEvery lies between two writes of a region's sidecar, which are made only where something has
	// changed. What an owner has captured in that time is captured again by its successor.
	keepEvery = 200 * time.Millisecond
	// keepBytes is the size of the root that is written as often as that; a larger one is written less often.
	keepBytes = 16 << 10
	// keepIdle is how often the place in a feed is kept that gives nothing: a place grows too old for
	// the feed.
	keepIdle = 10 * time.Minute
	// keepRounds is the pause between two looks at whether segments are to be made fewer.
	keepRounds = time.Minute
	// keepPending bounds the deletes that wait to be kept while a region cannot be reached.
	keepPending = 100_000
)

// keeper claims one region for a tenure, and keeps in its sidecar what must outlive this node's disk:
// how far the region's feeds were captured, and deletes.
type keeper struct {
	s      *Service
	region proa.Region
	car    *sidecar.Sidecar
	log    *slog.Logger
	wake   chan struct{}
	opened chan struct{} // closed once the region is claimed and its deletes are read

	mu      sync.Mutex
	room    int // for pending, and for kept
	pending []sidecar.Tombstone
	asked   map[string]proa.Version // by key ID: pending, and its purge waits for it
	kept    map[string]proa.Version // by key ID: kept, and waiting for its purge
	feeds   map[string]sidecar.Feed // what is durable here
	moved   bool                    // some of feeds gave changes since they were saved
	saving  bool
	savedAt time.Time
	left    uint64                 // deletes for which there was no room, since the last walk for them began
	leftOut time.Time              // when the earliest of them was decided; zero: all are pending or kept
	large   *sidecar.TooLargeError // a place that is not kept
	bytes   int                    // of the last write of the root
	missing bool                   // the table is, and this node is alone: it goes on without
}

func (s *Service) newKeeper(region proa.Region, instance string) *keeper {
	k := &keeper{
		s: s, region: region, log: s.log.With("region", region),
		wake: make(chan struct{}, 1), opened: make(chan struct{}),
		asked: map[string]proa.Version{}, kept: map[string]proa.Version{}, feeds: map[string]sidecar.Feed{},
		room: keepPending,
	}
	if t := s.cfg.Sidecars[region]; t != nil {
		wrote := func(bytes int) { s.cost.kept(s.clock.now(), region, bytes) }
		k.car = sidecar.New(t, s.cfg.Deployment, instance, wrote)
	}
	return k
}

// feed records how far a table's feed has been captured, on stable storage here.
func (k *keeper) feed(table, cursor string, at time.Time, moved bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.car == nil || k.missing || cursor == "" {
		return
	}
	k.feeds[table] = sidecar.Feed{Cursor: cursor, At: at}
	if moved && !k.moved || k.savedAt.IsZero() {
		poke(k.wake)
	}
	k.moved = k.moved || moved
}

// remember has a delete kept, before the feed's place moves past it. Where there is no room the place waits
// until gather has found the delete.
func (k *keeper) remember(key proa.Key, w *resolve.Winner) {
	if k.car == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.missing {
		return
	}
	if len(k.pending) >= k.room {
		k.left++
		if k.leftOut.IsZero() || w.Decided.Before(k.leftOut) {
			k.leftOut = w.Decided
		}
		return
	}
	k.pending = append(k.pending, tombstone(key, w))
	poke(k.wake)
}

func tombstone(key proa.Key, w *resolve.Winner) sidecar.Tombstone {
	return sidecar.Tombstone{Key: key, Version: w.Version, Parent: w.Parent, At: w.Decided}
}

// ask has a delete kept before its image at this region is purged. It is asked for again until it is.
func (k *keeper) ask(key proa.Key, w *resolve.Winner) {
	if k.car == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	id := key.ID()
	switch {
	case k.missing:
		k.keptFor(id, w.Version)
		return
	case len(k.pending) >= k.room || k.asked[id] == w.Version:
		return
	}
	k.asked[id] = w.Version
	k.pending = append(k.pending, tombstone(key, w))
	poke(k.wake)
}

// keptFor notes that a purge may begin. One that never comes, since something newer is there, makes room.
func (k *keeper) keptFor(id string, v proa.Version) {
	for other := range k.kept {
		if len(k.kept) < k.room {
			break
		}
		delete(k.kept, other) // asked for again where it is still needed
	}
	k.kept[id] = v
}

// isKept returns the version of a key's delete that was kept for its purge; zero: none.
func (k *keeper) isKept(id string) proa.Version {
	k.mu.Lock()
	defer k.mu.Unlock()
	v := k.kept[id]
	delete(k.kept, id)
	return v
}

// run claims the region, lets its tables begin, and keeps what there is to keep until the context
// ends. It fails when the store is lost.
func (k *keeper) run(ctx context.Context, t Tenure) error {
	epoch := t.Epoch
	var before sidecar.Root
	if k.car != nil {
		var ok bool
		if before, ok = k.claim(ctx, t); !ok {
			return nil
		}
		epoch = k.car.Root().Epoch
		if err := k.open(ctx, before); err != nil || ctx.Err() != nil {
			return ignoreEnd(ctx, err)
		}
	}
	k.s.owner.claims(k.region, epoch)
	close(k.opened)
	if k.car == nil || k.isMissing() {
		return nil
	}
	if err := k.recollect(ctx, before); err != nil {
		return ignoreEnd(ctx, err)
	}
	return k.keep(ctx)
}

func (k *keeper) isMissing() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.missing
}

// keep writes what there is to keep, at most every keepEvery.
func (k *keeper) keep(ctx context.Context) error {
	rounds := k.s.clock.now()
	for ctx.Err() == nil {
		if now := k.s.clock.now(); now.Sub(rounds) > keepRounds {
			rounds = now
			k.compact(ctx)
		}
		if !k.due() {
			_ = sleep(ctx, keepRounds, k.wake)
			continue
		}
		err := k.save(ctx)
		if err == nil {
			err = k.gather(ctx)
		}
		pause := k.pause()
		if err != nil && ctx.Err() == nil {
			if k.stale(err) {
				return nil
			}
			k.log.Warn("the sidecar cannot be written", "error", err)
			pause = k.s.cfg.RetryMax
		}
		_ = sleep(ctx, pause, nil)
	}
	return nil
}

func ignoreEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil //nolint:nilerr // the end of ctx
	}
	return err
}

// claim makes this node the region's owner, as often as it takes. It reports whether it is.
func (k *keeper) claim(ctx context.Context, t Tenure) (sidecar.Root, bool) {
	for failures := 0; ctx.Err() == nil; failures++ {
		callCtx, cancel := context.WithTimeout(ctx, k.s.cfg.WriteTimeout)
		before, err := k.car.Claim(callCtx, t.Epoch, k.s.cfg.Node)
		cancel()
		if err == nil {
			k.log.Info("region claimed", "epoch", k.car.Root().Epoch, "before", before.Owner,
				"epoch_before", before.Epoch)
			return before, true
		}
		if k.stale(err) {
			return before, false
		}
		if errors.Is(err, proa.ErrNotFound) && !k.s.cfg.Shared {
			k.mu.Lock()
			k.missing = true
			k.mu.Unlock()
			k.log.Warn("the sidecar table is missing: a lost disk would lose deletes", "error", err)
			return sidecar.Root{}, true
		}
		k.s.owner.troubled(k.region, err)
		if failures%50 == 0 {
			k.log.Warn("the region cannot be claimed yet", "error", err)
		}
		_ = sleep(ctx, capture.Backoff(failures+1, k.s.cfg.PollMax, k.s.cfg.RetryMax, nil), nil)
	}
	return sidecar.Root{}, false
}

// stale ends the tenure where a region knows of a later owner.
func (k *keeper) stale(err error) bool {
	var stale *sidecar.StaleError
	if !errors.As(err, &stale) {
		return false
	}
	k.log.Warn("another node is the owner: this one stops", "error", err)
	k.s.owner.fence(stale.Later, stale.By)
	return true
}

// open reads the region's deletes into a shadow index that is begun anew, and sets its feeds to where
// the predecessor was.
func (k *keeper) open(ctx context.Context, before sidecar.Root) error {
	for failures := 1; !k.isMissing(); failures++ {
		err := k.load(ctx)
		if err == nil {
			break
		}
		if ctx.Err() != nil || errors.Is(err, shadow.ErrBroken) {
			return err
		}
		k.s.owner.troubled(k.region, err)
		k.log.Warn("the sidecar cannot be read yet", "error", err)
		_ = sleep(ctx, capture.Backoff(failures, k.s.cfg.PollMax, k.s.cfg.RetryMax, nil), nil)
	}
	for _, t := range k.s.tables() {
		if err := t.resume(t.side(k.region), before.Feeds[t.schema.Table]); err != nil {
			return err
		}
	}
	return k.met(before)
}

// loadChunk is the most deletes that one batch of the store takes.
const loadChunk = 500

func (k *keeper) load(ctx context.Context) error {
	n := 0
	err := k.car.Load(ctx, func(deletes []sidecar.Tombstone) error {
		for len(deletes) > 0 {
			some := deletes[:min(len(deletes), loadChunk)]
			deletes = deletes[len(some):]
			n += len(some)
			if err := k.s.recall(k.region, some); err != nil {
				return err
			}
		}
		return ctx.Err()
	})
	k.log.Info("deletes read from the sidecar", "deletes", n)
	return err
}

// warning says what a successor would miss; "" for nothing.
func (k *keeper) warning() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.missing:
		return fmt.Sprintf("%s has no table %s: if this node's disk is lost, deletes that wait come back",
			k.region, k.s.cfg.Sidecars[k.region].Schema().Table)
	case k.large != nil:
		return fmt.Sprintf("%s: %v", k.region, k.large)
	case !k.leftOut.IsZero():
		return fmt.Sprintf("more than %d deletes wait to be kept outside this node: the table %s of %s is behind, "+
			"and the place of its feeds waits for them", k.room, k.s.cfg.Sidecars[k.region].Schema().Table, k.region)
	}
	return ""
}

// recall steps the core with deletes, in tables whose shadow index was begun anew and has not begun to
// read the region's feed: a process before this one may have ended before it came to this region.
func (s *Service) recall(region proa.Region, deletes []sidecar.Tombstone) error {
	if s.parts.Load().born.IsZero() {
		return nil
	}
	return s.store.Lazy(func(tx *shadow.Tx) error {
		for _, d := range deletes {
			t := s.table(d.Key.Table)
			if t == nil {
				continue
			}
			if cp, err := s.store.Checkpoint(t.feedName(region)); err != nil || cp.Cursor != "" {
				if err != nil {
					return err
				}
				continue
			}
			in := resolve.Remembered{Side: region, Version: d.Version, Parent: d.Parent, At: d.At}
			if _, err := t.step(tx, d.Key, s.clock.now(), in); err != nil {
				return err
			}
		}
		return nil
	})
}

// resume sets a feed that has no place on this disk to where the predecessor was, and has the side
// scanned.
func (t *table) resume(sd *side, from sidecar.Feed) error {
	cp, err := t.store.Checkpoint(t.feedName(sd.region))
	if err != nil || cp.Cursor != "" || from.Cursor == "" {
		return err
	}
	now := t.clock.now()
	sd.scan.Lock()
	defer sd.scan.Unlock()
	scan, err := t.newScan(sd, now)
	if err != nil {
		return err
	}
	scan.ScanBegan, scan.Sweep = time.Time{}, false
	t.log.Info("the feed goes on where the last owner was", "region", sd.region, "kept", from.At)
	heard := shadow.Checkpoint{At: from.At}
	sd.hear(heard)
	return t.store.Commit(func(tx *shadow.Tx) error {
		if err := tx.SetCheckpoint(t.scanName(sd.region), scan); err != nil {
			return err
		}
		if err := tx.SetCheckpoint(t.heardName(sd.region), heard); err != nil {
			return err
		}
		return tx.SetCheckpoint(t.feedName(sd.region), shadow.Checkpoint{Cursor: from.Cursor, At: now})
	})
}

// due reports whether there is something to keep, or being kept.
func (k *keeper) due() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	idle := len(k.feeds) > 0 && k.s.clock.now().Sub(k.savedAt) > keepIdle
	return k.moved || k.saving || len(k.pending) > 0 || idle
}

// keepMost is the most deletes of one save: a write that takes long must not fail as a whole.
const keepMost = 8000

// save keeps what has changed: the deletes first, so that no feed's place is past one that is not
// kept.
func (k *keeper) save(ctx context.Context) error {
	k.mu.Lock()
	deletes, feeds := k.pending, maps.Clone(k.feeds)
	k.pending, k.moved, k.saving = nil, false, true
	if len(deletes) > keepMost {
		deletes, k.pending = deletes[:keepMost:keepMost], deletes[keepMost:]
	}
	if len(k.pending) > 0 || !k.leftOut.IsZero() {
		feeds, k.moved = nil, true // they are past deletes that are not kept
	}
	k.mu.Unlock()
	err := k.write(ctx, deletes, feeds)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.saving = false
	k.fits(&err)
	if err != nil {
		k.pending, k.moved = append(deletes, k.pending...), true
		return err
	}
	k.savedAt = k.s.clock.now()
	for _, d := range deletes {
		if id := d.Key.ID(); k.asked[id] == d.Version {
			delete(k.asked, id)
			k.keptFor(id, d.Version)
		}
	}
	return nil
}

// fits takes a place that no row can hold for a warning: all else was kept.
func (k *keeper) fits(err *error) {
	if *err == nil {
		k.large = nil
	}
	var large *sidecar.TooLargeError
	if errors.As(*err, &large) {
		if k.large == nil {
			k.log.Error("a feed's place is not kept", "error", large)
		}
		k.large, *err = large, nil
	}
	k.bytes = k.car.Size()
}

// pause is how long lies between two saves: longer for a root that is large, which each of them writes.
func (k *keeper) pause() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	return min(keepEvery*time.Duration(max(k.bytes/keepBytes, 1)), keepIdle/60)
}

// compact keeps the segments few.
func (k *keeper) compact(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, k.s.cfg.ReadTimeout)
	defer cancel()
	grace := resolve.DefaultRules(proa.Schema{}).TombstoneGrace
	err := k.car.Compact(ctx, k.s.clock.now(), grace, k.s.live)
	if err != nil && ctx.Err() == nil && !k.stale(err) {
		k.log.Warn("the sidecar's deletes cannot be gathered", "error", err)
	}
}

// replacedFor is how long something newer has been there before it makes a kept delete needless: by then it
// is on this node's disk for certain.
const replacedFor = time.Minute

// live reports whether a delete is still needed: until both sides have long applied it and both feeds
// have shown that, when the core forgets the key, or until something newer is there.
func (s *Service) live(d sidecar.Tombstone) (bool, error) {
	live := false
	err := s.store.View(d.Key, func(st *resolve.State) {
		live = st != nil && (st.Winner.Tombstone || s.clock.now().Sub(st.Winner.Decided) < replacedFor)
	})
	if err != nil {
		return true, fmt.Errorf("look for %s: %w", d.Key, err)
	}
	return live, nil
}
