package objects

import (
	"errors"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/datasync/resolve"
)

// count takes the difference between two states into the counts. The caller holds the lock, or is
// alone.
func (r *Replicator) count(old tally, st *State) {
	now := tallyOf(st)
	r.objects += now.exists - old.exists
	for i := range r.sides {
		sd := &r.sides[i]
		was, is := old.behind[i], now.behind[i]
		if was {
			sd.backlog--
			delete(sd.oldest, st.Name)
		}
		if is {
			sd.backlog++
			if len(sd.oldest) < oldestKept {
				sd.oldest[st.Name] = st.Winner.Origin
			}
		}
	}
}

// tally is what is counted of an object.
type tally struct {
	exists int64
	behind [2]bool // by the region where the winner was written
}

func tallyOf(st *State) (t tally) {
	if !st.Winner.Version.IsZero() && !st.Winner.Tombstone {
		t.exists = 1
	}
	for i, from := range proa.Regions() {
		t.behind[i] = behind(st, from)
	}
	return t
}

// behind reports whether the other region lacks what was written in this one.
func behind(st *State, from proa.Region) bool {
	return st.Winner.Version.Region == from && !st.inSync(from.Other()) &&
		st.at(from.Other()).Unfit == ""
}

// Objects is the number of objects that exist.
func (r *Replicator) Objects() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.objects
}

// Listed is how many objects the last complete sweep of a side has met.
func (r *Replicator) Listed(region proa.Region) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sides[resolve.Index(region)].listed
}

// Direction is how far a bucket's changes have come from one region to the other.
type Direction struct {
	Known    bool
	Scanning bool // the first sweep is not complete
	Backlog  int
	Through  time.Time // everything before it is at the other side, as far as sweeps tell
	Err      error
}

var errPaused = errors.New("the bucket is paused by an operator")

// Direction returns how far changes of a region have come.
func (r *Replicator) Direction(from proa.Region) Direction {
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	sd := &r.sides[resolve.Index(from)]
	fresh := r.freshOf(sd, now)
	d := Direction{
		Known:    !fresh.IsZero() && now.Sub(fresh) < max(r.cfg.Stale, 3*sd.took),
		Scanning: sd.fresh.IsZero(),
		Backlog:  sd.backlog, Through: fresh, Err: sd.err,
	}
	if !r.paused.IsZero() {
		d.Known, d.Err = false, errPaused
	}
	if sd.backlog > 0 {
		for _, at := range sd.oldest {
			if at.Before(d.Through) {
				d.Through = at
			}
		}
	}
	return d
}

// Fresh is until when changes of the region have been seen: when its last complete sweep began or, if
// notices are relied on, when they were last found to be all read. Zero before the first sweep.
func (r *Replicator) Fresh(region proa.Region) time.Time {
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.freshOf(&r.sides[resolve.Index(region)], now)
}

func (r *Replicator) freshOf(sd *sideStatus, now time.Time) time.Time {
	heard := sd.ear.through()
	if !r.unhurried(sd, now) || heard.Before(sd.fresh) {
		return sd.fresh
	}
	return heard
}

// unhurried reports whether notices are relied on: they arrive, and a sweep was complete not long ago.
func (r *Replicator) unhurried(sd *sideStatus, now time.Time) bool {
	return !sd.fresh.IsZero() && now.Sub(sd.fresh) < 3*r.cfg.SweepEvery &&
		sd.ear.trusted(now, r.cfg.BeatEvery)
}

// Waiting is an object that the other side lacks.
type Waiting struct {
	Name    string
	Version proa.Version
	Deleted bool
	At      time.Time
}

// Pending lists up to limit objects of a region that the other one lacks.
func (r *Replicator) Pending(from proa.Region, limit int) ([]Waiting, error) {
	r.mu.Lock()
	names := make([]string, 0, min(limit, len(r.sides[resolve.Index(from)].oldest)))
	for name := range r.sides[resolve.Index(from)].oldest {
		if len(names) == limit {
			break
		}
		names = append(names, name)
	}
	r.mu.Unlock()
	var out []Waiting
	for _, name := range names {
		st, err := r.load(name)
		if err != nil {
			return nil, err
		}
		if behind(st, from) {
			out = append(out, Waiting{
				Name: name, Version: st.Winner.Version, Deleted: st.Winner.Tombstone,
				At: st.Winner.Origin,
			})
		}
	}
	return out, nil
}

// InFlight reports whether an object is yet to be written somewhere.
func (r *Replicator) InFlight(name string) (bool, error) {
	st, err := r.load(name)
	if err != nil {
		return false, err
	}
	return !st.inSync(proa.AWS) && st.Sides[0].Unfit == "" || !st.inSync(proa.Azure) &&
		st.Sides[1].Unfit == "", nil
}

// Sides are the buckets.
func (r *Replicator) Sides() map[proa.Region]cloud.Bucket { return r.cfg.Sides }
