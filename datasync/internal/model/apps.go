package model

import (
	"errors"
	"fmt"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/resolve"
	"github.com/proa-cloud/proa/hlc"
)

// apply is one write of an application at a side.
func (w *world) apply(side int) {
	s, n := w.sides[side], len(w.ops)
	bit := uint64(1) << n
	text := proa.String(fmt.Sprint("op", n))
	before := s.table.Events()
	stored := s.table.Item(theKey)
	o := op{side: side, event: -1}
	switch k := w.rng.IntN(16); {
	case k < 4:
		o.name = "put"
		s.table.Put(proa.Item{"id": theKey.Hash, "x": text, "y": text}, bit)
	case k < 7 && !s.table.Cosmos:
		o.name = "update"
		s.table.Update(theKey, proa.Item{[]string{"x", "y", "z"}[w.rng.IntN(3)]: text}, bit)
	case k < 8 && stored != nil:
		o.name = "put with a stale envelope"
		item := stored.Without("x")
		item = merged(item, "x", text)
		s.table.Put(item, bit)
	case k < 11:
		o.name = "delete"
		s.table.Delete(theKey, w.rng.IntN(4) == 0, bit)
	case k < 12 && w.cfg.PutBacks && before > 0:
		o.name = "put back"
		if old := s.table.Event(w.rng.IntN(before)).New; old != nil {
			s.table.Put(old, bit)
		}
	case k < 15 && w.cfg.Tables:
		o.name = "stamped write"
		s.table.PutIf(stored, w.stamped(side, stored, proa.Item{"id": theKey.Hash, "x": text}, false),
			bit)
	case k < 16 && w.cfg.Tables && stored != nil:
		o.name = "stamped delete"
		s.table.PutIf(stored, w.stamped(side, stored, proa.Item{"id": theKey.Hash}, true), bit)
	default:
		o.name = "put"
		s.table.Put(proa.Item{"id": theKey.Hash, "w": text}, bit)
	}
	// a tombstone image is nothing to delete
	void := o.name == "delete" && proa.SplitEnvelope(stored).Tombstone() && len(stored) == 2
	if s.table.Events() > before && !void {
		o.event = before
	}
	w.ops = append(w.ops, o)
	w.rep.Ops++
	w.say("%s op%d %s → %s", s.region, n, o.name, show(proa.Image{Item: s.table.Item(theKey)}))
}

func merged(item proa.Item, name string, v proa.Value) proa.Item {
	c := proa.Item{name: v}
	for n, o := range item {
		if n != name {
			c[n] = o
		}
	}
	return c
}

// stamped is what function.Table stores: content and an envelope by the instance's own clock, which
// may be minutes off.
func (w *world) stamped(side int, stored, content proa.Item, tombstone bool) proa.Item {
	s := w.sides[side]
	at := hlc.At(w.now.Add(s.skew))
	if w.rng.IntN(4) == 0 {
		at = hlc.At(w.now.Add(time.Duration(w.rng.Int64N(int64(10*time.Minute))) - 5*time.Minute))
	}
	var parent proa.Version
	if e := proa.SplitEnvelope(stored).Envelope; e != nil {
		parent = e.Version
		at = max(at, parent.Time.Next())
	}
	e := proa.Envelope{
		Version: proa.Version{
			Time: at, Region: s.region,
			Hash: proa.ContentHash(content),
		}, Parent: parent,
		Tombstone: tombstone,
	}
	if tombstone {
		e.Version.Hash = proa.Hash{}
	}
	return proa.Image{Item: content, Envelope: &e}.Stored()
}

func outcome(err error) resolve.Outcome {
	switch {
	case err == nil:
		return resolve.Done
	case errors.Is(err, proa.ErrConflict):
		return resolve.Conflict
	case errors.Is(err, proa.ErrThrottled):
		return resolve.Throttled
	}
	return resolve.Ambiguous
}

// check holds the end of the history against the promises.
func (w *world) check() error {
	if err := w.converged(); err != nil {
		return err
	}
	final := w.state.Winner
	knows := w.ghosts[final.Version]
	last := -1
	for i, o := range w.ops {
		if o.version == final.Version && o.event >= 0 {
			last = i
		}
	}
	for i, o := range w.ops {
		if o.event < 0 || knows&(1<<i) != 0 {
			continue
		}
		g := w.sides[o.side].table.Event(o.event).Ghost
		if last >= 0 && g&(1<<last) != 0 && !w.doubts[o.version] {
			return fmt.Errorf("op%d saw op%d, which is the end, and is lost", i, last)
		}
		if !w.accounted(i) {
			return fmt.Errorf("op%d is lost and not in the journal", i)
		}
	}
	return w.still()
}

// accounted reports whether a lost write, or one that saw it, is in the journal.
func (w *world) accounted(n int) bool {
	for v := range w.losers {
		if w.ghosts[v]&(1<<n) != 0 {
			return true
		}
	}
	return false
}

// converged checks that both sides hold the winner and nothing is left to do.
func (w *world) converged() error {
	a, z := w.sides[0].table.Item(theKey), w.sides[1].table.Item(theKey)
	if !a.Without(proa.EnvelopeAttr).Equal(z.Without(proa.EnvelopeAttr)) || (a == nil) != (z == nil) {
		return fmt.Errorf("diverged: %s and %s", show(proa.Image{Item: a}), show(proa.Image{Item: z}))
	}
	win := w.state.Winner
	if win.Tombstone && a != nil {
		return fmt.Errorf("deleted but stored: %s", show(proa.Image{Item: a}))
	}
	if !win.Tombstone && !win.Version.IsZero() {
		e := proa.SplitEnvelope(a).Envelope
		if e == nil || e.Version != win.Version {
			return fmt.Errorf("the winner %s is not what is stored: %s", win.Version,
				show(proa.Image{Item: a}))
		}
	}
	for _, s := range w.sides {
		if due, _ := w.rules.Due(w.state, s.region); due || len(w.flying) > 0 {
			return fmt.Errorf("not quiet: %s is due", s.region)
		}
		if n := len(w.state.At(s.region).Intents); n > 16 {
			return fmt.Errorf("%d intents remembered at %s", n, s.region)
		}
	}
	return nil
}

// still checks that nothing is written any more.
func (w *world) still() error {
	before := w.sides[0].table.Writes + w.sides[1].table.Writes
	for range 20 {
		w.now = w.now.Add(time.Minute)
		if err := w.settle(); err != nil {
			return err
		}
	}
	if n := w.sides[0].table.Writes + w.sides[1].table.Writes - before; n > 0 {
		return fmt.Errorf("%d writes after all was quiet", n)
	}
	if n, most := before, 6*len(w.ops)+10; n > most {
		return fmt.Errorf("%d writes for %d operations", n, len(w.ops))
	}
	return nil
}
