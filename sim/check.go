package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/resolve"
	"github.com/proa-cloud/proa/hlc"
	"github.com/proa-cloud/proa/sim/internal/dice"
)

// Failure is a promise that a history broke.
type Failure struct {
	Check string // its name
	Text  string
}

// Error says what did not hold.
func (f *Failure) Error() string { return f.Check + ": " + f.Text }

// maxRounds bounds how long the world may take to come to rest.
const maxRounds = 400

// end repairs everything, lets the world come to rest, and checks the promises.
func (w *world) end() {
	w.dice, w.quiet = dice.Dice{State: 1}, true
	w.owner.stuck = time.Time{}
	for len(w.old) > 0 {
		w.thaw()
	}
	for _, s := range w.sites {
		s.deaf, s.mute = false, false
		for len(s.late) > 0 {
			s.land(0)
		}
	}
	if behind := w.owner.last.Sub(w.owner.wall()); behind > 0 {
		w.now = w.now.Add(behind) // what waits for a clock that was set back
	}
	w.calm()
	for side, s := range w.sites {
		if s.latest { // its feed hides deletes, which only a scan can find
			w.owner.rescan(side)
			w.calm()
		}
	}
	w.settleHolds()
	for k := range w.cfg.keys {
		if !w.poisonedNow(k) {
			w.check(k) // one key's poison delays no other
		}
	}
	w.retry()
	w.settleHolds()
	for k := range w.cfg.keys {
		if w.broken == nil {
			w.check(k)
		}
	}
	if w.broken == nil {
		w.still()
	}
}

func (w *world) poisonedNow(k int) bool {
	st := w.owner.states[k]
	return st.Sides[0].Poison != nil || st.Sides[1].Poison != nil
}

// retry has the operator release what is quarantined.
func (w *world) retry() {
	some := false
	for k := range w.cfg.keys {
		if w.poisonedNow(k) {
			some = true
			w.reach(PoisonReleased)
			for _, o := range w.owner.step(k, w.owner.clock(), resolve.Retry{}, 0) {
				w.owner.flying = append(w.owner.flying, flight{key: k, out: o})
			}
		}
	}
	if some {
		w.calm()
	}
}

// calm lets everything be done that there is to do.
func (w *world) calm() {
	for rounds, still := 0, 0; still < 3 && w.broken == nil; rounds++ {
		if rounds == maxRounds {
			w.fail("rest", "it does not come to rest")
			return
		}
		w.now = w.now.Add(700 * time.Millisecond)
		w.settle()
		still++
		if w.busy() != "" {
			still = 0
		}
	}
}

// busy says what is still to be done.
func (w *world) busy() string {
	for side, s := range w.sites {
		if w.owner.scans[side].due {
			return "a scan of " + string(s.region)
		}
		for k := range w.cfg.keys {
			if due, _ := w.rules[k].Due(w.owner.states[k], s.region); due {
				return fmt.Sprintf("key %d at %s", k, s.region)
			}
		}
	}
	if len(w.owner.flying) > 0 {
		return "a write"
	}
	return ""
}

// settle does everything that there is to do now, once.
func (w *world) settle() {
	n := w.owner
	for side, s := range w.sites {
		n.scan(side)
		n.capture(side)
		for n.ready[side] && n.cursors[side] != s.end() && w.broken == nil {
			n.capture(side)
		}
		n.capture(side)
		n.scan(side)
		n.keep(side)
		for k := range w.cfg.keys {
			n.dispatch(side, k)
		}
		for len(n.flying) > 0 {
			n.fly()
		}
	}
}

// check holds the end of a key's history against the promises.
func (w *world) check(k int) {
	if w.poisonedNow(k) || w.broken != nil {
		return
	}
	if !w.converged(k) {
		return
	}
	st := w.owner.states[k]
	if st.Sides[0].Unfit != nil || st.Sides[1].Unfit != nil {
		return // what that side has is compared when the winner fits
	}
	w.summed(k)
	w.kept(k)
	knows := w.ghosts[k][st.Winner.Version]
	for i, o := range w.ops[k] {
		if o.event < 0 || knows&(1<<i) != 0 {
			continue
		}
		if w.excused(k, o) || w.excusedBy(k, i) || w.prevails(k, o) || w.surfaced(k, i) {
			continue
		}
		ghost := w.sites[o.side].events[k][o.event].ghost
		if ghost&knows == knows && !w.doubtful(k, i) && w.causal(k) && !w.sites[o.side].latest {
			w.fail("causality", "key %d: op%d saw all that the end knows, and is lost", k, i)
			return
		}
		if !w.journaled(k, i) {
			w.fail("journal", "key %d: op%d is lost and not in the journal", k, i)
			return
		}
	}
}

// deletedAgain reports whether the end knows of another delete, which a delete did not know.
func (w *world) deletedAgain(k int, o op) bool {
	seen := w.sites[o.side].events[k][o.event].ghost
	knows := w.ghosts[k][w.owner.states[k].Winner.Version]
	for i, other := range w.ops[k] {
		if other.event >= 0 && knows&(1<<i) != 0 && seen&(1<<i) == 0 {
			if img := w.sites[other.side].events[k][other.event].new; !img.Exists() || img.Tombstone() {
				return true
			}
		}
	}
	return false
}

// causal reports whether a write must not be beaten by what it saw: feeds were not broken in a way that
// nothing tells of, or begun by an heir after writes of the key, no operator has chosen, and no write of ours has made of a write that it could not
// see what a policy makes of both.
func (w *world) causal(k int) bool {
	broken := w.cfg.policies[k] != 0 && w.reached[FeedGap]+w.reached[MergedUnder] > 0
	late := w.reached[FeedGap] + w.reached[OwnerFrozen] + w.reached[LateWriteLanded]
	lost := w.disksLost > 0 && (!w.agree() || late > 0 || w.missed[k])
	return !lost && w.restored == 0 && !broken && !w.settled[k]
}

// agree reports whether clocks tell what a predecessor has written from what an application puts back.
func (w *world) agree() bool {
	off := max(w.cfg.skew[0].Abs(), w.cfg.skew[1].Abs(), w.cfg.nodeSkew.Abs())
	return w.cfg.shared && !w.skewed && off < second/2
}

// prevails reports whether what a write left is what the end is, or knows, whoever wrote it.
func (w *world) prevails(k int, o op) bool {
	img, win := w.sites[o.side].events[k][o.event].new, &w.owner.states[k].Winner
	gone := win.Tombstone || win.Version.IsZero()
	if !img.Exists() || img.Tombstone() {
		return gone || w.deletedAgain(k, o)
	}
	hash, knows := w.contentOf(k, o), w.ghosts[k][win.Version]
	for i, other := range w.ops[k] {
		if other.event >= 0 && knows&(1<<i) != 0 &&
			w.contentOf(k, other) == hash {
			return true // the same content, once more
		}
	}
	return !gone && hash == win.Version.Hash
}

// contentOf is the hash of what a write left.
func (w *world) contentOf(k int, o op) proa.Hash {
	e := &w.sites[o.side].events[k][o.event]
	if e.hash == nil {
		h := w.hashOf(e.new.Item)
		e.hash = &h
	}
	return *e.hash
}

// excused reports whether a write's loss is by design: a delete that no feed showed, or only to a node
// whose disk is gone, leaves nothing behind; the item is then kept and reported. What a restore undid
// before it was captured is gone; what it brought back that had been deleted stays, as a row of unknown
// age. An expiry that the rules ignore is none. The latest-version feed
// hides deletes and what was there in between. An item put back in a gap leaves what a scan knows. What was
// quarantined is superseded by any later write, and its delete is the state before it.
func (w *world) excused(k int, o op) bool {
	s := w.sites[o.side]
	e := &s.events[k][o.event]
	switch {
	case e.gone, o.poison, o.back && w.reached[FeedGap] > 0, e.expired && w.rules[k].Expiry.Ignore[o.side],
		!e.captured && (s.latest || o.back), s.latest && o.back:
		return true
	case e.new.Exists() && !e.new.Tombstone():
		return false
	}
	return !e.captured || e.lost && w.unions[k] && (!w.cfg.shared || s.latest) || w.poisoned[k] || w.restored > 0
}

// surfaced reports whether a delete is superseded by a write that came after its purge at a side whose feed hides
// both what a former owner's write left there in between, and that it was there: the writer saw that, and stored a
// content of its own.
func (w *world) surfaced(k, i int) bool {
	if img := w.sites[w.ops[k][i].side].events[k][w.ops[k][i].event].new; img.Exists() && !img.Tombstone() {
		return false
	}
	for j, o := range w.ops[k] {
		s := w.sites[o.side]
		if o.event < 0 || !s.latest || w.reached[OwnerThawed]+w.reached[LateWriteLanded] == 0 {
			continue
		}
		purged := slices.ContainsFunc(s.events[k][:o.event], func(e event) bool {
			return !e.new.Exists() && e.ghost&(1<<i) != 0
		})
		e := &s.events[k][o.event]
		if purged && e.new.Exists() && e.new.Envelope == nil && (w.knows(k, j) || w.journaled(k, j)) {
			return true
		}
	}
	return false
}

// knows reports whether the end knows a write.
func (w *world) knows(k, i int) bool {
	return w.ghosts[k][w.owner.states[k].Winner.Version]&(1<<i) != 0
}

// excusedBy reports whether a write was seen by one whose loss is by design, or that is the end.
func (w *world) excusedBy(k, i int) bool {
	for _, o := range w.ops[k] {
		if o.event >= 0 {
			ghost := w.sites[o.side].events[k][o.event].ghost
			if ghost&(1<<i) != 0 && (w.excused(k, o) || w.prevails(k, o)) {
				return true
			}
		}
	}
	return false
}

func (w *world) doubtful(k, i int) bool {
	for v := range w.doubts[k] {
		if w.ghosts[k][v]&(1<<i) != 0 {
			return true
		}
	}
	return false
}

// journaled reports whether a lost write, or one that saw it, or the content of either, is in the journal.
func (w *world) journaled(k, i int) bool {
	for j, o := range w.ops[k] {
		if o.event >= 0 && w.sites[o.side].events[k][o.event].ghost&(1<<i) != 0 && w.entered(k, j) {
			return true
		}
	}
	return false
}

// entered reports whether a write, or one that saw it, or its content, is in the journal.
func (w *world) entered(k, i int) bool {
	o := w.ops[k][i]
	hash, bits := w.contentOf(k, o), uint64(1)<<i
	for j, other := range w.ops[k] { // the same content, once more
		if img := w.sites[o.side].events[k][o.event].new; other.event >= 0 && img.Exists() &&
			!img.Tombstone() && w.contentOf(k, other) == hash {
			bits |= 1 << j
		}
	}
	at := proa.Version{Time: ^hlc.Timestamp(0)} // of what was put back and is taken at its envelope's word
	if e := w.sites[o.side].events[k][o.event].new.Envelope; e != nil && o.back {
		at = e.Version
	}
	for _, e := range w.owner.journal {
		if e.key == k && (w.ghosts[k][e.version]&bits != 0 || e.version.Hash == hash || e.version == at) {
			return true
		}
	}
	for v := range w.losers[k] {
		if w.ghosts[k][v]&bits != 0 || v.Hash == hash || v == at {
			return true
		}
	}
	return false
}

// converged checks that both sides hold the winner and nothing is left to do.
func (w *world) converged(k int) bool {
	st := w.owner.states[k]
	for side, s := range w.sites {
		sd := &st.Sides[side]
		if due, _ := w.rules[k].Due(st, s.region); due || sd.InFlight != 0 {
			w.fail("rest", "key %d is still due at %s", k, s.region)
			return false
		}
		if n := len(sd.Intents); n > 16 {
			w.fail("rest", "key %d: %d intents are remembered at %s", k, n, s.region)
			return false
		}
		if sd.Unfit != nil && sd.Unfit.Version == st.Winner.Version || sd.Current().Lapsed {
			if w.poisoned[k] || w.rules[k].Expiry.Ignore[side] {
				continue
			}
		}
		if why := holds(&st.Winner, w.project(s.rows[k].img)); why != "" {
			w.fail("convergence", "key %d: %s has %s: %s (winner %s)", k, s.region,
				show(s.rows[k].img), why, st.Winner.Version)
			return false
		}
	}
	return true
}

// holds says why an image is not the winner, "" when it is.
func holds(win *resolve.Winner, img proa.Image) string {
	switch e := img.Envelope; {
	case win.Version.IsZero() || win.Tombstone:
		if img.Exists() {
			return "something is stored that is not the winner"
		}
	case !img.Exists():
		return "nothing is stored"
	case proa.ContentHash(img.Item) != win.Version.Hash:
		return "another content"
	case e == nil || e.Version != win.Version:
		return "another version"
	}
	return ""
}

// still checks that nothing is written any more, now or in the days in which deletes are forgotten.
func (w *world) still() {
	writes := w.sites[0].writes + w.sites[1].writes
	ops := 0
	for k := range w.cfg.keys {
		ops += len(w.ops[k])
	}
	if most := 6*ops + 10 + 12*(w.disksLost+w.restored)*w.cfg.keys; writes > most {
		w.fail("writes", "%d writes for %d operations", writes, ops)
		return
	}
	for _, pause := range []time.Duration{time.Minute, time.Hour, 9 * retention, 9 * retention} {
		w.now = w.now.Add(pause)
		w.settle()
		for k := range w.cfg.keys {
			w.owner.tick(k)
		}
		w.settle()
	}
	if n := w.sites[0].writes + w.sites[1].writes - writes; n > 0 {
		w.fail("writes", "%d writes after all was quiet", n)
	}
	for k := range w.cfg.keys {
		if st := w.owner.states[k]; st.Winner.Tombstone && !w.poisonedNow(k) {
			w.fail("rest", "the delete of key %d is never forgotten", k)
		}
	}
}
