package objects

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/shadow"
	"github.com/proa-cloud/proa/hlc"
)

// turn is an operator's word that a side, or both, was put back to an earlier state. It is on stable storage from the
// order until the shadow index has been gone through.
type turn struct {
	Side  proa.Region `json:"side"` // "": both
	At    time.Time   `json:"at"`   // what was written later is no part of the restore
	After string      `json:"after,omitempty"`
}

func turnName(side proa.Region) string { return "restored/" + string(side) }

// turnPage is how many objects of the shadow index are turned in one batch.
const turnPage = 500

// Restored takes an operator's word that a region's bucket was put back to an earlier state, or was emptied, at the
// time that is given; region "" says that both were. A new epoch of that side begins: what it lacks is put back from
// the other side, and what it holds that is not the winner loses to it and is kept, unless it was written later than
// that time. What was deleted since then is deleted again. Where both were put back, all is forgotten: each side gets
// what only the other one has, of two different contents the newer wins, and nothing is deleted. Held deletes are held
// no more, and a pause ends. It returns once the order is on stable storage.
func (r *Replicator) Restored(region proa.Region, at time.Time) error {
	record, err := json.Marshal(turn{Side: region, At: at})
	if err != nil {
		return err
	}
	r.turning.Lock()
	defer r.turning.Unlock()
	r.mu.Lock()
	for i := range r.sides { // nothing counts as deleted from here on
		r.sides[i].guard.Hold = &Hold{Region: proa.Regions()[i], Since: r.now(), Reason: "restored"}
	}
	r.mu.Unlock()
	err = r.store.Commit(func(tx *shadow.Tx) error {
		return tx.SetObject(r.passes(), turnName(region), record)
	})
	if err != nil {
		return fmt.Errorf("restored: bucket %s: %w", r.cfg.Name, err)
	}
	r.log.Info("an operator says that the bucket was restored", "region", region, "at", at)
	r.interrupt()
	return nil
}

// interrupt has Run begin a new round.
func (r *Replicator) interrupt() {
	select {
	case r.again <- struct{}{}:
	default:
	}
}

// turn goes through the shadow index where a side was put back. Nothing else works meanwhile.
func (r *Replicator) turn(ctx context.Context) error {
	r.turning.Lock()
	defer r.turning.Unlock()
	turned := false
	for _, side := range []proa.Region{"", proa.AWS, proa.Azure} {
		ok, err := r.turnSide(ctx, side)
		if err != nil {
			return err
		}
		turned = turned || ok
	}
	if !turned {
		return nil
	}
	return r.recount()
}

func (r *Replicator) turnSide(ctx context.Context, side proa.Region) (ok bool, err error) {
	record, err := r.store.Object(r.passes(), turnName(side))
	if err != nil || record == nil {
		return false, err
	}
	var t turn
	if err := json.Unmarshal(record, &t); err != nil {
		return false, fmt.Errorf("restored: bucket %s: %w", r.cfg.Name, err)
	}
	for more := true; more; {
		if ctx.Err() != nil {
			return false, nil //nolint:nilerr // the end of ctx; the next process goes on
		}
		if more, err = r.turnSome(&t); err != nil {
			return false, err
		}
	}
	return true, r.turned(&t)
}

// turnSome turns some objects and keeps how far that has come, in one batch.
func (r *Replicator) turnSome(t *turn) (more bool, err error) {
	var page []*State
	_, err = r.store.WalkObjects(r.cfg.Name, t.After, "", -1, func(name string, record []byte) error {
		if len(page) == turnPage {
			more = true
			return errFull
		}
		st, err := decode(name, record)
		page = append(page, st)
		return err
	})
	if err != nil && !errors.Is(err, errFull) || len(page) == 0 {
		return false, err
	}
	now := r.now()
	t.After = page[len(page)-1].Name
	return more, r.store.Commit(func(tx *shadow.Tx) error {
		for _, st := range page {
			v, region := st.turn(t, now)
			if err := r.put(tx, st, v, region); err != nil {
				return err
			}
		}
		record, err := json.Marshal(t)
		if err != nil {
			return err
		}
		return tx.SetObject(r.passes(), turnName(t.Side), record)
	})
}

// turned has the sides swept from the beginning, with nothing held.
func (r *Replicator) turned(t *turn) error {
	return r.store.Commit(func(tx *shadow.Tx) error {
		errs := []error{tx.SetObject(r.passes(), turnName(t.Side), nil), tx.SetObject(r.passes(), pausedName, nil)}
		for _, region := range proa.Regions() {
			errs = append(errs, tx.SetObject(r.passes(), guardName(region), nil))
			if t.Side == "" || t.Side == region {
				errs = append(errs, tx.SetObject(r.passes(), string(region), nil))
			}
		}
		return errors.Join(errs...)
	})
}

// turn makes of a side a new one, of which nothing is known.
func (st *State) turn(t *turn, now time.Time) (verdict, proa.Region) {
	for i := range st.Sides {
		sd := &st.Sides[i]
		sd.Unfit, sd.Attempts, sd.RetryAt = "", 0, time.Time{}
	}
	if t.Side == "" {
		for i := range st.Sides {
			sd := &st.Sides[i]
			sd.Assigned = max(sd.Assigned, st.Winner.Version.Time)
			*sd = Side{Assigned: sd.Assigned, Writing: sd.Writing}
		}
		st.Winner = Winner{}
		return verdict{}, ""
	}
	sd, other := st.at(t.Side), t.Side.Other()
	undo := st.Winner.Tombstone && st.Winner.Version.Region == t.Side && st.at(other).Exists
	*sd = Side{Assigned: sd.Assigned, Writing: sd.Writing, Past: t.At}
	if !undo {
		return verdict{}, ""
	}
	st.adopt(other, now)
	return verdict{captured: true, won: true}, other
}

// adopt makes what a side holds the winner, after everything that is known of the object.
func (st *State) adopt(region proa.Region, now time.Time) {
	sd := st.at(region)
	parent := sd.Version
	sd.Assigned = max(sd.Assigned, parent.Time, st.Winner.Version.Time).Next()
	sd.Version = proa.Version{Time: sd.Assigned, Region: region, Hash: parent.Hash}
	sd.Keep = nil
	st.Winner = Winner{Version: sd.Version, Parent: parent, Content: sd.Content, Origin: now, Decided: now}
}

// stands reports whether something is known to which an older state can lose: at the other side, or a delete.
func (st *State) stands(other proa.Region) bool {
	return !st.Winner.Version.IsZero() && (st.Winner.Tombstone || st.at(other).Exists)
}

// past judges what a side that was put back holds: an older state, which loses to the winner.
func (st *State) past(region proa.Region, o seen) verdict {
	sd, other := st.at(region), st.at(region.Other())
	t := min(hlc.At(o.info.LastModified), st.Winner.Version.Time)
	if other.Exists {
		t = min(t, other.Version.Time)
	}
	sd.Version = proa.Version{Time: max(t, 2) - 1, Region: region, Hash: fingerprint(region, o.info)}
	old := Winner{Version: sd.Version, Content: sd.Content}
	return verdict{
		durable: true,
		clash: &clash{
			winner: st.candidate(st.Winner, false), loser: st.candidate(old, true),
			reason: "older state of a restored side",
		},
	}
}

// orphaned makes the newest of what is there the winner where no side holds the winner any more: the one that alone had it
// was put back.
func (st *State) orphaned(now time.Time) {
	if st.Winner.Version.IsZero() || st.Winner.Tombstone {
		return
	}
	newest := proa.Region("")
	for _, region := range proa.Regions() {
		sd := st.at(region)
		if !sd.Known || st.inSync(region) {
			return
		}
		if sd.Exists && (newest == "" || sd.Version.Compare(st.at(newest).Version) > 0) {
			newest = region
		}
	}
	if newest == "" {
		st.Winner = Winner{}
		return
	}
	st.adopt(newest, now)
}

// recount counts anew what the shadow index holds, and forgets what was under way.
func (r *Replicator) recount() error {
	r.mu.Lock()
	r.objects, r.busy, r.later, r.missed = 0, map[string]bool{}, map[string]time.Time{}, true
	r.queued, r.paused = map[string]bool{}, time.Time{}
	for len(r.work) > 0 {
		<-r.work
	}
	for i := range r.sides {
		sd := &r.sides[i]
		sd.backlog, sd.held, sd.oldest, sd.guard = 0, nil, map[string]time.Time{}, guard{}
		sd.gate = r.newGate(i)
	}
	r.mu.Unlock()
	for i, region := range proa.Regions() {
		kept, err := r.pass(region)
		if err != nil {
			return err
		}
		r.mu.Lock()
		sd := &r.sides[i]
		sd.fresh, sd.took, sd.pages = kept.Fresh, kept.Took, kept.Pages
		r.mu.Unlock()
	}
	_, err := r.store.WalkObjects(r.cfg.Name, "", "", -1, func(name string, record []byte) error {
		st, err := decode(name, record)
		if err != nil {
			return err
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.count(tally{}, st)
		return nil
	})
	return err
}

// ordered ends a round once an operator has given an order.
func (r *Replicator) ordered(ctx context.Context, stop func()) {
	select {
	case <-r.again:
		stop()
	case <-ctx.Done():
	}
}
