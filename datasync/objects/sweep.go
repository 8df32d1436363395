package objects

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/datasync/resolve"
	"github.com/proa-cloud/proa/datasync/shadow"
)

// shownAfter is how much later than an announcement a complete sweep must have begun to settle it:
// the clocks of functions and nodes are this close.
const shownAfter = 5 * time.Second

// sweeps lists one side over and over.
func (r *Replicator) sweeps(ctx context.Context, region proa.Region) error {
	pause, failures := r.cfg.SweepMin, 0
	for ctx.Err() == nil {
		changed, took, err := r.sweep(ctx, region)
		if errors.Is(err, errStore) {
			return err
		}
		if err != nil && ctx.Err() == nil {
			r.sweepFailed(region, err)
		}
		switch {
		case err != nil:
			failures++
			pause = min(r.cfg.SweepMin<<min(failures, 4), time.Second)
		case changed:
			failures, pause = 0, r.cfg.SweepMin
		default:
			failures, pause = 0, min(pause+pause/4, r.cfg.SweepMax)
		}
		least := max(r.cfg.SweepMin, took)
		sleep(ctx, least, nil)
		sleep(ctx, max(pause, took)-least, r.sides[resolve.Index(region)].sweep)
	}
	return nil
}

// Look has a side swept soon: something is known to have changed there. Where notices are relied on,
// they say what. It never blocks.
func (r *Replicator) Look(region proa.Region) {
	now := r.now()
	r.mu.Lock()
	sd := &r.sides[resolve.Index(region)]
	unhurried := r.unhurried(sd, now)
	r.mu.Unlock()
	if unhurried {
		return
	}
	select {
	case sd.sweep <- struct{}{}:
	default:
	}
}

func sleep(ctx context.Context, d time.Duration, wake <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-wake:
	case <-ctx.Done():
	}
}

func (r *Replicator) sweepFailed(region proa.Region, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	sd := &r.sides[resolve.Index(region)]
	if sd.err == nil {
		r.log.Warn("bucket cannot be swept", "region", region, "error", err)
	}
	sd.err = err
}

// errStore wraps failures of the store, which end the process.
var errStore = errors.New("objects store")

// pass is how far a sweep has come, and what the last complete one was. It is kept, so that another
// process goes on where this one stops.
type pass struct {
	After string    `json:"after,omitempty"` // "": at the beginning
	Began time.Time `json:"began,omitzero"`
	Done  int       `json:"done,omitempty"` // pages
	// objects met, and held ones that were missing
	Met     int64 `json:"met,omitempty"`
	Missing int   `json:"missing,omitempty"`

	Fresh time.Time     `json:"fresh,omitzero"` // when the last complete one began
	Took  time.Duration `json:"took,omitempty"` // its work, without the pauses
	Pages int           `json:"pages,omitempty"`
}

// passes is where they are kept: as uploads are, beside the objects.
func (r *Replicator) passes() string { return r.cfg.Name + "\x00sweeps" }

func (r *Replicator) pass(region proa.Region) (p pass, err error) {
	record, err := r.store.Object(r.passes(), string(region))
	if err == nil && record != nil {
		err = json.Unmarshal(record, &p)
	}
	if err != nil {
		return pass{}, fmt.Errorf("sweep of bucket %s: %w", r.cfg.Name, err)
	}
	return p, nil
}

func (r *Replicator) keepPass(region proa.Region, p pass) error {
	record, err := json.Marshal(p)
	if err != nil {
		return err
	}
	err = r.store.Lazy(func(tx *shadow.Tx) error {
		if p.After != "" {
			return tx.SetObject(r.passes(), string(region), record)
		}
		return errors.Join(
			tx.SetObject(r.passes(), string(region), record),
			tx.ShownObjects(region, r.cfg.Name, p.Fresh.Add(-shownAfter)),
		)
	})
	if err != nil {
		return fmt.Errorf("%w: %w", errStore, err)
	}
	return nil
}

// sweep compares one side's whole listing with the shadow index, page by page from where the last
// process stopped. It reports whether anything had changed there and how long it worked.
func (r *Replicator) sweep(
	ctx context.Context, region proa.Region,
) (changed bool, took time.Duration, err error) {
	p, err := r.pass(region)
	if err != nil {
		return false, 0, fmt.Errorf("%w: %w", errStore, err)
	}
	if p.After == "" {
		p.Began, p.Done, p.Met, p.Missing = r.now(), 0, 0, 0
	}
	r.counts(region, p.Missing)
	for more := true; more; {
		began := r.now()
		var found bool
		if found, err = r.page(ctx, region, &p); err != nil {
			return changed, took, err
		}
		more, changed = p.After != "", changed || found
		worked := r.now().Sub(began)
		took += worked
		if p.Done++; !more {
			p.Fresh, p.Took, p.Pages = p.Began, took, p.Done
		}
		if err := r.keepPass(region, p); err != nil {
			return changed, took, err
		}
		if !more {
			if err := r.swept(region, p); err != nil {
				return changed, took, err
			}
		}
		if !found {
			r.rest(ctx, region, worked)
		}
		if ctx.Err() != nil {
			return changed, took, ctx.Err()
		}
	}
	return changed, took, nil
}

// rest spaces the pages in which nothing had changed. Where notices are relied on, all pages together
// take SweepEvery; else half the time is left to others.
func (r *Replicator) rest(ctx context.Context, region proa.Region, worked time.Duration) {
	now := r.now()
	r.mu.Lock()
	sd := &r.sides[resolve.Index(region)]
	unhurried, pages := r.unhurried(sd, now) && sd.guard.Released.IsZero(), max(sd.pages, 1)
	r.mu.Unlock()
	if unhurried {
		sleep(ctx, r.cfg.SweepEvery/time.Duration(pages), sd.sweep)
		return
	}
	sleep(ctx, min(worked, r.cfg.SweepMin), nil)
}

func (r *Replicator) swept(region proa.Region, p pass) error {
	r.mu.Lock()
	sd := &r.sides[resolve.Index(region)]
	sd.err = nil
	sd.fresh, sd.took, sd.pages, sd.listed = p.Fresh, p.Took, p.Pages, p.Met
	r.mu.Unlock()
	return r.counted(region, p.Began)
}

// page compares one page and moves the pass past it, to "" at the end of the listing.
func (r *Replicator) page(
	ctx context.Context, region proa.Region, p *pass,
) (changed bool, err error) {
	page, more, err := r.list(ctx, region, p.After)
	if err != nil {
		return false, err
	}
	last, foreign := "", int64(0)
	if more {
		last = page[len(page)-1].Name
	}
	for _, o := range page {
		if !Own(o.Name) {
			foreign++
		}
	}
	look, err := r.differing(region, page, p.After, last)
	if err != nil {
		return false, err
	}
	look, held, err := r.withhold(ctx, region, look, !more && p.Met+foreign == 0)
	if err != nil {
		return false, err
	}
	if err := r.look(ctx, region, look); err != nil {
		return len(look) > 0, err
	}
	p.After, p.Met, p.Missing = last, p.Met+foreign, p.Missing+held
	r.counts(region, p.Missing)
	return len(look) > 0, nil
}

func (r *Replicator) list(
	ctx context.Context, region proa.Region, after string,
) ([]cloud.ObjectInfo, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.CallTimeout)
	defer cancel()
	page, more, err := r.cfg.Sides[region].List(ctx, after, r.cfg.Page)
	if more && len(page) == 0 {
		return nil, false, fmt.Errorf("list bucket %s: an empty page with more to come: %w", r.cfg.Name,
			proa.ErrUnavailable)
	}
	return page, more, err
}

// differing returns the names of a page that are new, changed or missing, and queues those that are
// due anyway.
func (r *Replicator) differing(
	region proa.Region, page []cloud.ObjectInfo, after, last string,
) ([]sight, error) {
	var look []sight
	now, next := r.now(), 0
	isNew := func(o cloud.ObjectInfo) {
		if !Own(o.Name) {
			look = append(look, sight{name: o.Name, size: o.Size})
		}
	}
	_, err := r.store.WalkObjects(r.cfg.Name, after, last, -1, func(name string, record []byte) error {
		for next < len(page) && page[next].Name < name {
			isNew(page[next])
			next++
		}
		st, err := decode(name, record)
		if err != nil {
			return err
		}
		sd := st.at(region)
		if next < len(page) && page[next].Name == name {
			if !sd.unchanged(page[next]) {
				look = append(look, sight{name: name, size: page[next].Size})
			}
			next++
		} else if sd.Exists || !sd.Known && (st.Winner.Tombstone || st.Winner.Version.IsZero()) || st.lonely(region) {
			look = append(look, sight{name: name, size: gone, costs: st.costs(region) && st.inSync(region)})
		}
		if st.due(proa.AWS, now) || st.due(proa.Azure, now) {
			r.enqueue(name)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errStore, err)
	}
	for ; next < len(page); next++ {
		isNew(page[next])
	}
	return look, nil
}

// sight is an object that is to be looked at, and how large it is said to be.
type sight struct {
	name string
	size int64
	// costs says that to find it missing deletes it at the other side; sure, that it may
	costs, sure bool
}

// gone is the size of what is said not to be there.
const gone = -1

// Own reports whether an object is proa's own.
func Own(name string) bool { return strings.HasPrefix(name, OwnPrefix) }

// look observes objects, side by side.
func (r *Replicator) look(ctx context.Context, region proa.Region, sights []sight) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(r.cfg.Workers)
	for _, s := range sights {
		g.Go(func() error {
			if !r.take(s.name) {
				return nil // the next sweep sees it
			}
			return r.aside(r.visit(ctx, region, s), region, s.name)
		})
	}
	return g.Wait()
}

// aside keeps a fault of one object from stopping the sweep of all others: what its own store says of
// it alone, such as that it may not be read.
func (r *Replicator) aside(err error, region proa.Region, name string) error {
	if errors.Is(err, errHeld) {
		return nil
	}
	if err == nil || errors.Is(err, errStore) || errors.Is(err, proa.ErrUnavailable) ||
		errors.Is(err, proa.ErrThrottled) || errors.Is(err, context.Canceled) {
		return err
	}
	r.mu.Lock()
	_, known := r.refused[name]
	if !known && len(r.refused) < refusedKept {
		r.refused[name] = struct{}{}
	}
	r.mu.Unlock()
	if !known {
		r.log.Warn("object cannot be read", "object", name, "region", region, "error", err)
	}
	return nil
}

// refusedKept bounds the objects of which it is remembered that they were logged.
const refusedKept = 1000

// visit observes one object, and copies it at once where it is small. The caller has taken the name;
// visit releases it.
func (r *Replicator) visit(ctx context.Context, region proa.Region, s sight) error {
	look := r.observe
	if s.size >= 0 && s.size <= r.cfg.Small {
		look = r.carry
	}
	exists, err := look(ctx, region, s.name, s.sure)
	if err == nil && !exists {
		err = r.settle(ctx, region, s.name)
	}
	st, loadErr := r.load(s.name)
	r.release(s.name)
	if loadErr != nil {
		return fmt.Errorf("%w: %w", errStore, loadErr)
	}
	if _, due := st.next(); due || s.size > r.cfg.Small || !exists {
		r.enqueue(s.name) // also to give up an upload that nothing goes on with
	}
	return err
}

// observe asks a side for an object and judges the answer; sure says that a notice has told of its delete. The
// caller has taken the name.
func (r *Replicator) observe(
	ctx context.Context, region proa.Region, name string, sure bool,
) (exists bool, err error) {
	began := r.now()
	callCtx, cancel := context.WithTimeout(ctx, r.cfg.CallTimeout)
	defer cancel()
	info, err := r.cfg.Sides[region].Head(callCtx, name)
	o := seen{exists: err == nil, info: info, began: began}
	if err != nil && !errors.Is(err, proa.ErrNotFound) {
		return false, err
	}
	if !o.exists {
		if err := r.absentHere(region, name, sure); err != nil {
			return false, err
		}
	}
	if o.exists && !info.HasCRC64 {
		if err := r.sumWhereNeeded(ctx, region, &o.info); err != nil {
			return true, err
		}
	}
	winner, err := r.sumWinner(ctx, region, o)
	if err != nil {
		return o.exists, err
	}
	err = r.change(name, false, func(st *State) (verdict, proa.Region, error) {
		st.summed(winner)
		return st.observe(region, o, r.now()), region, nil
	})
	if err != nil {
		return o.exists, fmt.Errorf("%w: %w", errStore, err)
	}
	return o.exists, nil
}

// sum is what was computed of a version that had been stored without a CRC-64.
type sum struct {
	version proa.Version // zero: nothing was
	crc64   uint64
}

// sumWinner reads the winner at the other side where it was stored without a CRC-64 and an object
// of the same size has been found at a side of which nothing is known: they may be equal.
func (r *Replicator) sumWinner(ctx context.Context, region proa.Region, o seen) (sum, error) {
	if !o.exists {
		return sum{}, nil
	}
	st, err := r.load(o.info.Name)
	if err != nil {
		return sum{}, fmt.Errorf("%w: %w", errStore, err)
	}
	w, other := st.Winner, st.at(region.Other())
	if st.at(region).Known || w.Version.IsZero() || w.Tombstone || w.Content.HasCRC64 ||
		w.Content.Size != o.info.Size || !other.Exists || other.Version != w.Version {
		return sum{}, nil
	}
	crc, err := Sum(ctx, r.cfg.Sides[region.Other()], o.info.Name, other.ETag)
	if err != nil {
		return sum{}, err
	}
	return sum{version: w.Version, crc64: crc}, nil
}

// summed keeps the CRC-64 of the winner.
func (st *State) summed(s sum) {
	if s.version.IsZero() || st.Winner.Version != s.version {
		return
	}
	st.Winner.Content.CRC64, st.Winner.Content.HasCRC64 = s.crc64, true
	for i := range st.Sides {
		if sd := &st.Sides[i]; sd.Exists && sd.Version == s.version {
			sd.Content.CRC64, sd.Content.HasCRC64 = s.crc64, true
		}
	}
}

// sumWhereNeeded reads an object that its writer stored without a CRC-64, where only that can tell
// whether it is what proa knows already: the same size at this side or at the other one.
func (r *Replicator) sumWhereNeeded(
	ctx context.Context, region proa.Region, info *cloud.ObjectInfo,
) error {
	st, err := r.load(info.Name)
	if err != nil {
		return fmt.Errorf("%w: %w", errStore, err)
	}
	needed := !st.Winner.Version.IsZero() && !st.Winner.Tombstone &&
		st.Winner.Content.Size == info.Size
	for _, sd := range st.Sides {
		needed = needed || sd.Exists && sd.Content.Size == info.Size
		for _, w := range sd.Writing {
			needed = needed || !w.Tombstone && w.Content.Size == info.Size
		}
	}
	if !needed {
		return nil
	}
	sum, err := Sum(ctx, r.cfg.Sides[region], info.Name, info.ETag)
	if err != nil {
		return err
	}
	info.CRC64, info.HasCRC64 = sum, true
	return nil
}
