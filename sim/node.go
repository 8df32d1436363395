package sim

import (
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/datasync/resolve"
)

// node is a replicator: the production core with a modelled store.
type node struct {
	w      *world
	id     int
	skew   time.Duration
	stuck  time.Time
	memory          // as of now
	saved  []memory // what a crash may come back to: the first is synced, the others are not
	flying []flight
	fresh  [2]time.Time
	pages  [2]page
	epoch  int
	born   time.Time // when the shadow index was begun anew after another node's; zero: never
	tenure
}

// memory is what a node knows. States are not changed in place, so that a copy is a snapshot.
type memory struct {
	states  [maxKeys]*resolve.State
	cursors [2]cursor
	ready   [2]bool
	scans   [2]scanning
	journal []entry
	begun   [2]cursor    // where the feeds were begun, at first or after a gap
	judged  [2]cursor    // how far the changes of the feeds are in the log
	resumed [2]time.Time // when the feeds were last begun anew after a gap
	last    time.Time    // of the clock
}

// scanning is the checkpoint of a scan.
type scanning struct {
	due, sweep bool
	began      time.Time
}

// entry is a loser in the journal.
type entry struct {
	key     int
	version proa.Version
}

// page is rows that were read and wait for the feed to catch up.
type page struct {
	rows   []flight
	began  time.Time
	readAt time.Time
	full   bool
}

// flight is something that the core asked for, and what came of it.
type flight struct {
	key    int
	out    resolve.Output
	done   bool
	result resolve.Input
	ghost  uint64
}

func (w *world) newNode() *node {
	w.nodes++
	n := &node{w: w, id: w.nodes, skew: w.cfg.nodeSkew}
	if w.nodes > 1 {
		n.skew = -w.cfg.nodeSkew
	}
	for k := range w.cfg.keys {
		n.states[k] = &resolve.State{Key: theKeys[k]}
	}
	for i := range n.scans {
		n.scans[i].due = true
	}
	n.anew, n.epoch = true, w.nodes
	if w.cfg.shared && n.epoch > 1 && !w.bug.is(BugEchoReversioned) {
		n.born = n.clock()
	}
	n.saved = []memory{n.memory}
	return n
}

// wall is what the node's clock says.
func (n *node) wall() time.Time {
	if !n.stuck.IsZero() {
		return n.stuck
	}
	return n.w.now.Add(n.skew)
}

// clock is the shell's: it rises strictly, whatever the wall says.
func (n *node) clock() time.Time {
	t := n.wall()
	if !t.After(n.last) {
		t = n.last.Add(time.Nanosecond)
	}
	n.last = t
	return t
}

// commit ends a batch of the store. Batches become durable in their order.
func (n *node) commit(sync bool) {
	for side := range n.cursors {
		for k := range n.w.cfg.keys {
			if n.cursors[side][k] > n.judged[side][k] {
				n.w.fail("log", "the checkpoint of %s is at %d of key %d, the log at %d",
					n.w.sites[side].region, n.cursors[side][k], k, n.judged[side][k])
			}
		}
	}
	if sync {
		n.saved = n.saved[:0]
	}
	n.saved = append(n.saved, n.memory)
}

// capture reads a feed once.
func (n *node) capture(side int) {
	w, s := n.w, n.w.sites[side]
	began := n.clock()
	if s.deaf || s.mute || n.fenced {
		return
	}
	if w.cfg.shared && !n.claimed[side] && !n.open(side) {
		return
	}
	s.expire()
	if !n.ready[side] && w.bug.is(BugWriteBeforeFeed) && !w.quiet && !w.dice.One(4) {
		return // more is written before
	}
	if !n.ready[side] {
		n.missed(side)
		n.cursors[side] = s.end()
		n.judged[side], n.begun[side], n.ready[side] = n.cursors[side], n.cursors[side], true
		for k := range w.cfg.keys {
			w.missed[k] = w.missed[k] || n.cursors[side][k] > 0
		}
		n.commit(true)
		if !w.cfg.late { // within some tenths of a second
			n.keep(side)
		}
		return
	}
	if s.gap(n.cursors[side]) {
		w.reach(FeedGap)
		w.say("the feed of %s has a gap", s.region)
		n.missed(side)
		n.cursors[side] = s.end()
		n.judged[side], n.begun[side], n.resumed[side] = n.cursors[side], n.cursors[side], began
		n.scans[side] = scanning{due: true, sweep: !w.bug.is(BugNoSweep), began: began}
		if w.bug.is(BugNoScanAfterGap) {
			n.scans[side] = scanning{}
		}
		n.pages[side] = page{}
		n.commit(true)
		return
	}
	changes, next, all := s.read(n.cursors[side], n.begun[side], &w.dice, w.quiet)
	if w.bug.is(BugCheckpointFirst) {
		n.cursors[side] = next
		n.commit(false)
	}
	at := n.clock()
	for _, c := range changes {
		e := &s.events[c.key][c.index]
		e.captured = e.captured || c.index >= n.judged[side][c.key]
		if w.trace != nil {
			w.say("capture %s #%s key %d %s", s.region, c.change.Position, c.key, show(c.change.New))
		}
		n.step(c.key, at, resolve.Captured{Change: c.change, Resumed: n.resumed[side]}, e.ghost)
		n.judged[side][c.key] = max(n.judged[side][c.key], c.index+1)
		at = n.clock()
	}
	for k := range next { // a feed that hides versions has no more to say of them
		n.judged[side][k] = max(n.judged[side][k], next[k])
	}
	n.cursors[side] = next
	if len(changes) > 0 {
		n.commit(w.dice.One(3))
	}
	if all {
		n.fresh[side] = began
	}
}

// missed notes what no node will hear of any more.
func (n *node) missed(side int) {
	s := n.w.sites[side]
	for k := range n.w.cfg.keys {
		for i := n.judged[side][k]; i < len(s.events[k]); i++ {
			e := &s.events[k][i]
			e.captured, e.gone = false, e.gone || i < s.epoch[k]
		}
	}
}

// dispatch lets a side's apply loop look at a key. What it will write is durable before it is sent.
func (n *node) dispatch(side, key int) {
	region := n.w.sites[side].region
	due, at := n.w.rules[key].Due(n.states[key], region)
	if !due || !n.ready[side] && !n.w.bug.is(BugWriteBeforeFeed) {
		return // without a cursor, its feed might not show the write
	}
	now := n.clock()
	if at.After(now) {
		return
	}
	in := resolve.Dispatch{Side: region, Fresh: n.fresh[side], Kept: n.kept[side][key]}
	n.kept[side][key] = proa.Version{}
	for _, o := range n.step(key, now, in, 0) {
		n.flying = append(n.flying, flight{key: key, out: o})
	}
	n.commit(!n.w.bug.is(BugIntentNotDurable))
}

// fly sends something, or takes an answer.
func (n *node) fly() {
	if len(n.flying) == 0 {
		return
	}
	i := n.w.dice.N(len(n.flying))
	f := &n.flying[i]
	if !f.done {
		f.done = true
		n.perform(f)
		return
	}
	done := *f
	n.flying = append(n.flying[:i:i], n.flying[i+1:]...)
	if done.result == nil {
		return
	}
	n.step(done.key, n.clock(), done.result, done.ghost)
	n.commit(false)
}

// scan reads a page of a side, or takes one once the feed has been read past it.
func (n *node) scan(side int) {
	s, p := n.w.sites[side], &n.pages[side]
	sc := &n.scans[side]
	if !sc.due || !n.ready[side] {
		return
	}
	if !p.full {
		if s.deaf || s.mute {
			return
		}
		*p = page{began: n.clock(), full: true}
		if sc.began.IsZero() {
			sc.began = p.began
		}
		for k := range n.w.cfg.keys {
			if r := s.get(k); r.Image.Exists() {
				in := resolve.Observed{Side: s.region, Row: r, Began: p.began}
				p.rows = append(p.rows, flight{key: k, result: in, ghost: s.rows[k].ghost})
			}
		}
		p.readAt = n.clock()
		return
	}
	if !n.fresh[side].After(p.readAt) {
		return
	}
	for _, f := range p.rows {
		n.w.say("scanned at %s key %d", s.region, f.key)
		n.step(f.key, n.clock(), f.result, f.ghost)
	}
	if sc.sweep {
		n.sweep(side, sc.began)
	}
	n.w.reach(ScanDone)
	*p, *sc = page{}, scanning{}
	n.commit(true)
}

// sweep tells the core what a complete scan did not meet.
func (n *node) sweep(side int, began time.Time) {
	region := n.w.sites[side].region
	for k := range n.w.cfg.keys {
		if n.states[k].Unmet(region, began) {
			in := resolve.Observed{Side: region, Row: cloud.Row{Key: theKeys[k]}, Began: began}
			n.step(k, n.clock(), in, 0)
		}
	}
}

// rescan orders a scan, as an operator does.
func (n *node) rescan(side int) {
	n.scans[side] = scanning{due: true, sweep: true, began: n.clock()}
	n.pages[side] = page{}
	n.commit(true)
}

func (n *node) tick(key int) {
	n.step(key, n.clock(), resolve.Tick{Fresh: n.fresh}, 0)
	n.commit(false)
}

// halfSent lets some of what was recorded reach its side, though nobody takes the answers.
func (n *node) halfSent() {
	for i := range n.flying {
		if f := &n.flying[i]; !f.done && n.w.dice.One(2) {
			f.done = true
			n.perform(f)
		}
	}
	n.flying = nil
}

// crash ends the process and starts another on the same disk, which may have lost what was not synced.
func (n *node) crash() {
	w := n.w
	w.reach(Crash)
	if len(n.flying) > 0 {
		w.reach(CrashInFlight)
	}
	n.halfSent()
	i := w.dice.N(len(n.saved))
	if i < len(n.saved)-1 {
		w.reach(UnsyncedLost)
	}
	n.memory = n.saved[i]
	n.saved = []memory{n.memory}
	n.fresh, n.pages = [2]time.Time{}, [2]page{}
	n.tenure = tenure{fenced: n.fenced, anew: !n.ready[0] && !n.ready[1]}
	for side, s := range w.sites {
		if s.latest { // its feed need not show again what was forgotten
			n.missed(side)
		}
	}
	w.bug.restarted(n)
	w.say("the node crashes and starts again")
	for k := range w.cfg.keys {
		for side, s := range w.sites {
			if n.states[k].Sides[side].InFlight != 0 && !w.bug.is(BugNoRestarted) {
				n.step(k, n.clock(), resolve.Restarted{Side: s.region}, 0)
			}
		}
	}
	n.commit(false)
}
