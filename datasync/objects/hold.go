package objects

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/resolve"
	"github.com/proa-cloud/proa/datasync/shadow"
)

// holdWithin is the time in which missing objects are counted together; a sweep that takes longer counts as one.
const holdWithin = time.Minute

// emptied is how many objects a bucket must have held for its being found empty to be held, however few they were.
const emptied = 10

// Hold says that objects which are missing at a region stay at the other one until somebody says what
// happened: Restored or Release.
type Hold struct {
	Region proa.Region `json:"region"` // where they are missing
	Since  time.Time   `json:"since"`
	Reason string      `json:"reason"`
	// Missing counts them, as of the last complete sweep or, before that, as far as this one has come.
	Missing int `json:"missing"`
}

// guard is what is known of deletes at one side that nobody has said. It is kept beside the sweeps' places.
type guard struct {
	Hold *Hold `json:"hold,omitempty"`
	// Released is when an operator said that what is missing was deleted: until a sweep that began later is complete,
	// nothing is counted.
	Released time.Time `json:"released,omitzero"`

	began time.Time // of the count
	count int
	met   int // missing objects that the present sweep has passed by
}

// errHeld says that an object is missing and stays at the other side for now.
var errHeld = errors.New("deletes of the bucket are held")

func guardName(region proa.Region) string { return "guard/" + string(region) }

func (r *Replicator) loadGuard(region proa.Region) (g guard, err error) {
	record, err := r.store.Object(r.passes(), guardName(region))
	if err == nil && record != nil {
		err = json.Unmarshal(record, &g)
	}
	if err != nil {
		return guard{}, fmt.Errorf("held deletes of bucket %s: %w", r.cfg.Name, err)
	}
	return g, nil
}

// keepGuard puts a side's hold on stable storage.
func (r *Replicator) keepGuard(region proa.Region) error {
	r.mu.Lock()
	record, err := json.Marshal(r.sides[resolve.Index(region)].guard)
	r.mu.Unlock()
	if err != nil {
		return err
	}
	err = r.store.Commit(func(tx *shadow.Tx) error {
		return tx.SetObject(r.passes(), guardName(region), record)
	})
	if err != nil {
		return fmt.Errorf("%w: %w", errStore, err)
	}
	return nil
}

// costs reports whether to find the object missing at a region deletes it at the other one.
func (st *State) costs(region proa.Region) bool {
	return st.at(region).Exists && st.at(region.Other()).Exists && !st.Winner.Tombstone
}

// admit decides whether n missing objects of a side count as deleted: those of which a notice has told always do. count
// has them counted where they do; empty says that nothing else is there.
func (r *Replicator) admit(region proa.Region, n int, count, empty bool) (bool, error) {
	now := r.now()
	r.mu.Lock()
	g := &r.sides[resolve.Index(region)].guard
	switch bound := r.holdBoundLocked(); {
	case g.Hold != nil:
		r.mu.Unlock()
		return false, nil
	case bound < 0 || !g.Released.IsZero():
		r.mu.Unlock()
		return true, nil
	case g.count+n <= bound && (!empty || n < emptied):
		if count {
			if g.count == 0 {
				g.began = now
			}
			g.count += n
		}
		r.mu.Unlock()
		return true, nil
	case !count:
		r.mu.Unlock()
		return false, nil
	}
	g.Hold = &Hold{
		Region: region, Since: now, Missing: n,
		Reason: fmt.Sprintf("%d of %d objects went missing, and no notice says that they were deleted", g.count+n, r.objects),
	}
	r.mu.Unlock()
	r.log.Warn("many objects are missing at once: their deletes are held", "region", region, "missing", n,
		"hint", "was the bucket put back or emptied? proa backfill restored; were they deleted? proa backfill release")
	return false, r.keepGuard(region)
}

// holdBoundLocked is how many objects may be missing at once; negative: any number.
func (r *Replicator) holdBoundLocked() int {
	if r.cfg.HoldObjects < 0 {
		return -1
	}
	return max(r.cfg.HoldObjects, int(r.objects*int64(r.cfg.HoldPercent)/100))
}

// withhold takes those of a page out that are missing and must not count as deleted, and says how many these are. A
// listing may be older than a copy of ours: what would be too much is asked for once more.
func (r *Replicator) withhold(
	ctx context.Context, region proa.Region, look []sight, empty bool,
) (rest []sight, held int, err error) {
	var missing []string
	for _, s := range look {
		if s.costs {
			missing = append(missing, s.name)
		} else {
			rest = append(rest, s)
		}
	}
	if ok, err := r.admit(region, len(missing), false, empty); ok || err != nil || len(missing) == 0 {
		return look, 0, err
	}
	if !r.holds(region) {
		if missing, err = r.absent(ctx, region, missing); err != nil {
			return nil, 0, err
		}
	}
	ok, err := r.admit(region, len(missing), true, empty)
	if err != nil || !ok {
		return rest, len(missing), err
	}
	for _, name := range missing {
		rest = append(rest, sight{name: name, size: gone, sure: true})
	}
	return rest, 0, nil
}

func (r *Replicator) holds(region proa.Region) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sides[resolve.Index(region)].guard.Hold != nil
}

// absent returns those of some objects that Head does not find.
func (r *Replicator) absent(ctx context.Context, region proa.Region, names []string) ([]string, error) {
	missing := make([]bool, len(names))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(r.cfg.Workers)
	for i, name := range names {
		g.Go(func() error {
			callCtx, cancel := context.WithTimeout(ctx, r.cfg.CallTimeout)
			defer cancel()
			_, err := r.cfg.Sides[region].Head(callCtx, name)
			if missing[i] = errors.Is(err, proa.ErrNotFound); missing[i] {
				return nil
			}
			return r.aside(err, region, name)
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var list []string
	for i, name := range names {
		if missing[i] {
			list = append(list, name)
		}
	}
	return list, nil
}

// absentHere decides on one object that Head does not find. It returns errHeld where that must not count as a
// delete; a write of the other side that is not here yet goes on nevertheless. The caller has taken the name.
func (r *Replicator) absentHere(region proa.Region, name string, sure bool) error {
	st, err := r.load(name)
	if err != nil {
		return fmt.Errorf("%w: %w", errStore, err)
	}
	if !st.costs(region) {
		return nil
	}
	if sure {
		return nil
	}
	ok, err := r.admit(region, 1, true, false)
	if err != nil || ok {
		return err
	}
	if st.inSync(region) {
		return errHeld
	}
	err = r.change(name, true, func(st *State) (verdict, proa.Region, error) {
		sd := st.at(region)
		*sd = Side{Known: true, Assigned: sd.Assigned, Writing: sd.Writing}
		return verdict{}, "", nil
	})
	if err != nil {
		return fmt.Errorf("%w: %w", errStore, err)
	}
	return errHeld
}

// counts takes over how many missing objects a sweep has passed by so far. Its first look ends the count of one that
// is long over.
func (r *Replicator) counts(region proa.Region, missing int) {
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	g := &r.sides[resolve.Index(region)].guard
	if missing == 0 && now.Sub(g.began) > holdWithin && g.Hold == nil {
		g.count = 0
	}
	g.met = missing
}

// counted takes over a complete sweep. A hold ends by itself where all is there again, or was said to be deleted.
func (r *Replicator) counted(region proa.Region, began time.Time) error {
	r.mu.Lock()
	g := &r.sides[resolve.Index(region)].guard
	changed := false
	if g.Hold != nil && began.After(g.Hold.Since) {
		g.Hold.Missing = g.met
		if g.met == 0 {
			g.Hold, g.count, changed = nil, 0, true
			r.log.Info("no object is missing any more: deletes are held no longer", "region", region)
		}
	}
	if !g.Released.IsZero() && began.After(g.Released) {
		g.Released, g.count, changed = time.Time{}, 0, true
	}
	r.mu.Unlock()
	if !changed {
		return nil
	}
	return r.keepGuard(region)
}

// Holds are the sides at which missing objects do not count as deleted.
func (r *Replicator) Holds() []Hold {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []Hold
	for i := range r.sides {
		if h := r.sides[i].guard.Hold; h != nil {
			list = append(list, *h)
		}
	}
	return list
}

// Pause stops all work on the bucket, also over restarts, until Resume or Restored: before a side is put back to an
// earlier state, which would count as so many writes. It returns once that is on stable storage.
func (r *Replicator) Pause() error { return r.pause(true) }

// Resume lets the work on the bucket go on.
func (r *Replicator) Resume() error { return r.pause(false) }

// pausedName is where it is kept since when a bucket is paused.
const pausedName = "paused"

func (r *Replicator) pause(yes bool) error {
	var record []byte
	var since time.Time
	if yes {
		since = r.now()
		record = since.AppendFormat(nil, time.RFC3339Nano)
	}
	err := r.store.Commit(func(tx *shadow.Tx) error { return tx.SetObject(r.passes(), pausedName, record) })
	if err != nil {
		return fmt.Errorf("pause bucket %s: %w", r.cfg.Name, err)
	}
	r.mu.Lock()
	r.paused = since
	r.mu.Unlock()
	r.log.Info("an operator has paused the bucket, or let it go on", "paused", yes)
	r.interrupt()
	return nil
}

func (r *Replicator) loadPaused() error {
	record, err := r.store.Object(r.passes(), pausedName)
	if err == nil && record != nil {
		r.paused, err = time.Parse(time.RFC3339Nano, string(record))
	}
	if err != nil {
		return fmt.Errorf("pause of bucket %s: %w", r.cfg.Name, err)
	}
	return nil
}

// Paused is since when an operator has stopped the work on the bucket; zero: it goes on.
func (r *Replicator) Paused() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.paused
}

// Release says that what is missing was deleted. Both sides are swept soon, and nothing is counted until those sweeps
// are complete. It fails with proa.ErrConflict where nothing is held.
func (r *Replicator) Release() error {
	now := r.now()
	held := false
	for _, region := range proa.Regions() {
		r.mu.Lock()
		sd := &r.sides[resolve.Index(region)]
		mine := sd.guard.Hold != nil
		if mine {
			held = true
			sd.guard = guard{Released: now}
		}
		r.mu.Unlock()
		if !mine {
			continue
		}
		if err := r.keepGuard(region); err != nil {
			return err
		}
		r.log.Info("held deletes are released by an operator", "region", region)
		select {
		case sd.sweep <- struct{}{}:
		default:
		}
	}
	if !held {
		return fmt.Errorf("release bucket %s: no deletes are held: %w", r.cfg.Name, proa.ErrConflict)
	}
	return nil
}
