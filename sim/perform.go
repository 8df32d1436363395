package sim

import (
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/datasync/resolve"
)

// fate is what happens to one request of a node.
type fate int

const (
	arrives fate = iota
	throttled
	requestLost
	answerLost
	delayed // no answer; it arrives later, or never
	twice   // the SDK sends it again after a lost answer
	echoed  // the network delivers it once more, later
)

// lateAfter is how long after its intent a write is on its way at most that an heir may take for its
// predecessor's: later it is as one that an application puts back.
const lateAfter = 5 * second

// fate draws what happens to a request.
func (w *world) fate(s *site) fate {
	switch {
	case s.deaf:
		return requestLost
	case s.mute:
		return answerLost
	case w.quiet || w.cfg.faults == 0 || !w.dice.One(w.cfg.faults):
		return arrives
	}
	return []fate{throttled, requestLost, answerLost, delayed, delayed, twice, echoed}[w.dice.N(7)]
}

// perform does what a flight asks for.
func (n *node) perform(f *flight) {
	switch o := f.out.(type) {
	case resolve.Observe:
		s := n.w.sites[resolve.Index(o.Side)]
		if s.deaf || s.mute {
			return
		}
		began := n.clock()
		f.ghost = s.rows[f.key].ghost
		f.result = resolve.Observed{Side: o.Side, Row: s.get(f.key), Began: began}
	case resolve.Write:
		f.result = n.write(f.key, o)
	}
}

// write is what the shell does with a Write.
func (n *node) write(key int, o resolve.Write) resolve.Applied {
	w, s := n.w, n.w.sites[resolve.Index(o.Side)]
	in := resolve.Applied{Side: o.Side, Intent: o.Intent}
	if n.states[key].Superseded(o) {
		w.reach(WriteFenced)
		in.Outcome = resolve.Dropped
		return in
	}
	fate := w.fate(s)
	if !o.Whole {
		w.reach(BodyReadAgain)
		switch row := s.get(key); {
		case s.deaf || s.mute:
			in.Outcome = resolve.Ambiguous
			return in
		case resolve.PrintOf(row.Image, schema) != o.Print:
			in.Outcome, in.Row = resolve.Conflict, row
			return in
		default:
			o.Seen = row
		}
	}
	if s.cosmos && o.Seen.Image.Exists() && o.Seen.ETag == "" || w.cfg.resident {
		// the driver reads the row first, and compares what it has read
		switch row := s.get(key); {
		case s.deaf || s.mute:
			in.Outcome = resolve.Ambiguous
			return in
		case !same(row.Image, o.Seen.Image):
			in.Outcome, in.Row = resolve.Conflict, row
			return in
		default:
			o.Seen, o.Next = s.joined(key, o.Next)
		}
	}
	do := func() (cloud.Row, bool) { return n.store(s, key, o) }
	in.Outcome = resolve.Ambiguous
	switch fate {
	case arrives, twice, echoed:
		if !o.Purge && refuses(s, o.Next) {
			in.Outcome, in.Reason = resolve.Invalid, "content that this side refuses"
			return in
		}
		row, ok := do()
		if fate == twice {
			w.reach(SentTwice)
			row, ok = do()
		}
		in.Outcome, in.Row = resolve.Conflict, row
		if ok {
			in.Outcome = resolve.Done
		}
		if fate == echoed && s.cosmos && o.Seen.Image.Exists() {
			n.delay(s, key, do)
		}
	case throttled:
		w.reach(Throttled)
		in.Outcome = resolve.Throttled
	case answerLost:
		if o.Purge || !refuses(s, o.Next) {
			do()
			w.reach(AnswerLost)
		}
	case delayed:
		n.delay(s, key, do)
	}
	if w.trace != nil {
		w.say("write %s key %d purge %t %s over [%s]: fate %d, outcome %d", o.Side, key, o.Purge,
			show(o.Next), show(o.Seen.Image), fate, in.Outcome)
	}
	return w.bug.outcome(o, in)
}

func (n *node) delay(s *site, key int, do func() (cloud.Row, bool)) {
	s.late = append(s.late, late{key: key, at: n.w.now, node: n.id, do: func() bool {
		_, ok := do()
		if ok {
			n.w.say("a write lands late at %s key %d", s.region, key)
		}
		return ok
	}})
}

// store is the store's part of a write.
func (n *node) store(s *site, key int, o resolve.Write) (cloud.Row, bool) {
	w := n.w
	if n.clock().Sub(time.UnixMilli(int64(o.Intent))) > lateAfter { //nolint:gosec // a time in milliseconds
		w.reach(LateWriteLanded)
	}
	if !o.Purge && refuses(s, o.Next) {
		return s.get(key), false
	}
	seen := w.bug.condition(s, key, o)
	if o.Purge {
		return s.purge(key, seen, -1, 0)
	}
	before := s.rows[key]
	row, ok := s.swap(key, seen, o.Next)
	if ok && !w.project(before.img).Item.Equal(w.project(seen.Image).Item) {
		w.reach(SlippedUnder)
	}
	return row, ok
}

// refuses reports whether a side can never store a content.
func refuses(s *site, img proa.Image) bool {
	return s.cosmos && img.Item["x"].Str == "!"
}
