package objects

import (
	"context"
	"errors"
	"time"

	"github.com/proa-cloud/proa"
)

// laterKept bounds the names whose next try is remembered; of what is beyond, the shadow index is asked.
const laterKept = 10_000

// retryPause is the least pause between two looks at what is to be tried again.
const retryPause = 20 * time.Millisecond

// putOff has a name looked at again at a time.
func (r *Replicator) putOff(name string, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.later[name]; ok || len(r.later) < laterKept {
		r.later[name] = at
		r.wakeRetries()
	} else {
		r.missLocked()
	}
}

// wakeRetries never blocks.
func (r *Replicator) wakeRetries() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// retries has workers look again at what failed, and at what was too much to wait for a worker: no sweep
// may come for a long time.
func (r *Replicator) retries(ctx context.Context) error {
	from, spent, rested := "", time.Duration(0), time.Time{}
	for ctx.Err() == nil {
		wait := r.ripe()
		if missed, room := r.feeds(); missed {
			var err error
			began := r.now()
			if room && began.After(rested) {
				from, err = r.feed(from)
				spent += r.now().Sub(began)
			}
			if err != nil {
				return err
			}
			if from == "" && spent > 0 { // walks of the whole index are a tenth of the time at most
				rested, spent = r.now().Add(9*spent), 0
			}
			wait = min(wait, max(10*retryPause, rested.Sub(began)))
		}
		sleep(ctx, retryPause, nil)
		sleep(ctx, wait-retryPause, r.wake)
	}
	return nil
}

// ripe takes what is to be tried now to the workers and returns how long the next one has.
func (r *Replicator) ripe() time.Duration {
	now, wait := r.now(), time.Hour
	var names []string
	r.mu.Lock()
	for name, at := range r.later {
		if left := at.Sub(now); left > 0 {
			wait = min(wait, left)
		} else {
			names = append(names, name)
			delete(r.later, name)
		}
	}
	r.mu.Unlock()
	for _, name := range names {
		r.enqueue(name)
	}
	return wait
}

// feeds reports whether the shadow index is to be asked, and whether the workers have room.
func (r *Replicator) feeds() (missed, room bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.missed, len(r.work) < workKept/2
}

// errFull ends a walk.
var errFull = errors.New("the workers have enough")

// feed takes what is due in the shadow index to the workers, from a name on, until they have enough. It
// returns where to go on, "" at the end.
func (r *Replicator) feed(from string) (next string, err error) {
	now := r.now()
	if from == "" {
		r.mu.Lock()
		r.missed = false // what is missed from now on has it asked again
		r.mu.Unlock()
	}
	_, err = r.store.WalkObjects(r.cfg.Name, from, "", -1, func(name string, record []byte) error {
		st, err := decode(name, record)
		if err != nil {
			return err
		}
		at, ok := st.next()
		switch {
		case !ok:
		case len(r.work) >= workKept-r.cfg.Workers:
			return errFull
		case at.After(now):
			r.putOff(name, at)
		default:
			r.enqueue(name)
		}
		next = name
		return nil
	})
	switch {
	case errors.Is(err, errFull):
		r.miss()
		return next, nil
	case err != nil:
		return "", err
	}
	return "", nil
}

// next is when something is to be done for an object; ok is false where there is nothing.
func (st *State) next() (at time.Time, ok bool) {
	for _, region := range proa.Regions() {
		sd := st.at(region)
		if sd.Unfit != "" || st.inSync(region) {
			continue
		}
		if !ok || sd.RetryAt.Before(at) {
			at = sd.RetryAt
		}
		ok = true
	}
	return at, ok || st.Mark != nil
}

// miss has the shadow index asked for what is due.
func (r *Replicator) miss() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.missLocked()
}

func (r *Replicator) missLocked() {
	r.missed = true
	r.wakeRetries()
}
