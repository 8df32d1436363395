package sim

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/resolve"
	"github.com/proa-cloud/proa/sim/internal/dice"
)

var start = time.Unix(1_700_000_000, 0).UTC()

// world is one history under way.
type world struct {
	cfg   config
	bug   Bug
	rules [maxKeys]resolve.Rules
	now   time.Time
	sites [2]*site
	owner *node
	old   []*node // frozen former owners
	nodes int
	dice  dice.Dice // of the action under way
	quiet bool      // all is repaired: no more faults

	// What only the checkers know.
	ghosts  [maxKeys]map[proa.Version]uint64    // what a version knows
	losers  [maxKeys]map[proa.Version]bool      // in a journal that is gone with its disk, or known to be safe
	doubts  [maxKeys]map[proa.Version]bool      // losers whose age was not known
	written [maxKeys]map[proa.Version]time.Time // when a version was really written
	deletes [maxKeys]map[proa.Version]string    // which delete a version was given to
	skewed  bool                                // clocks were moved
	unclear bool                                // clocks were moved, or a node has lost what it knew
	ops     [maxKeys][]op
	seen    [2][maxKeys]*row // what a conditional writer has read
	unions  [maxKeys]bool    // something was missing and was written again
	bare    [maxKeys]bool    // a policy lacked its base
	settled [maxKeys]bool    // an operator has chosen between two states
	missed  [maxKeys]bool    // an heir has begun a feed after writes of it
	plain   [maxKeys]bool    // something was written that is no addition

	reached   Reach
	trace     *strings.Builder // nil: none
	told      func(resolve.Output)
	broken    error
	disksLost int
	restored  int
	poisoned  [maxKeys]bool
}

// op is one write of an application.
type op struct {
	side  int
	event int  // its event in its side's feed of its key; -1: it changed nothing
	back  bool // an item is put back as it was
	// poison says that what it stores is to be quarantined
	poison bool
}

func newWorld(cfg config, bug Bug) *world {
	w := &world{cfg: cfg, bug: bug, now: start}
	for k := range w.rules {
		w.rules[k] = resolve.DefaultRules(schema)
		w.rules[k].Expiry.Ignore = cfg.ignore
		w.rules[k].Policy = w.decidedBy(k).policy
		bug.rules(&w.rules[k], w.decidedBy(k))
	}
	for i, region := range proa.Regions() {
		w.sites[i] = &site{
			w: w, region: region, cosmos: i == 1, latest: i == 1 && cfg.latest,
			noOld: i == 1 && cfg.noOld, noETag: cfg.noETag, skew: cfg.skew[i],
		}
	}
	for k := range cfg.keys {
		w.ghosts[k], w.losers[k] = map[proa.Version]uint64{}, map[proa.Version]bool{}
		w.doubts[k], w.deletes[k] = map[proa.Version]bool{}, map[proa.Version]string{}
		w.written[k] = map[proa.Version]time.Time{}
	}
	w.owner = w.newNode()
	for i := range w.sites { // the first node has been there from the beginning
		w.owner.capture(i)
		w.owner.scans[i] = scanning{}
	}
	w.owner.commit(true)
	return w
}

func (w *world) say(format string, args ...any) {
	if w.trace == nil {
		return
	}
	fmt.Fprintf(w.trace, "%12.3f  ", w.now.Sub(start).Seconds())
	fmt.Fprintf(w.trace, format+"\n", args...)
}

// fail records the first promise that was broken.
func (w *world) fail(check, format string, args ...any) {
	if w.broken == nil {
		w.broken = &Failure{Check: check, Text: fmt.Sprintf(format, args...)}
		w.say("BROKEN %v", w.broken)
	}
}

// play runs the actions and then the end.
func (w *world) play(actions []action) error {
	for i := range actions {
		w.act(&actions[i])
		if w.broken != nil {
			return w.broken
		}
	}
	w.end()
	return w.broken
}

// act does one action.
func (w *world) act(a *action) {
	w.now = w.now.Add(a.pause)
	w.dice = dice.Dice{State: a.arg}
	n, s := w.owner, w.sites[a.side]
	switch a.kind {
	case capture:
		n.capture(a.side)
	case dispatch:
		n.dispatch(a.side, a.key)
	case fly:
		n.fly()
	case scan:
		n.scan(a.side)
	case tick:
		n.tick(a.key)
	case land:
		if len(s.late) > 0 {
			s.land(w.dice.N(len(s.late)))
		}
	case crash:
		n.crash()
	case loseDisk:
		w.replace(false)
	case freeze:
		w.replace(true)
	case thaw:
		w.thaw()
	case cut:
		switch w.dice.N(3) {
		case 0:
			s.deaf, s.mute = true, true
		case 1:
			s.deaf = true
		default:
			s.mute = true
		}
		w.say("%s: deaf %t, mute %t", s.region, s.deaf, s.mute)
	case mend:
		s.deaf, s.mute = false, false
	case stepClock:
		w.stepClock(s)
	case stopClock:
		w.stopClock(s)
	case restore:
		if w.dice.One(3) {
			w.save(s)
		} else {
			w.restore(s)
		}
	case jump:
		n.stuck = time.Time{}
		w.now = w.now.Add(time.Duration(1+w.dice.N(2000)) * time.Minute)
	case away:
		n.stuck = time.Time{}
		w.now = w.now.Add(time.Duration(1+w.dice.N(10)) * retention)
	case settle:
		w.settleHold(a.key)
	case rescan:
		n.rescan(a.side)
	case keep:
		n.keep(a.side)
	default:
		w.apply(a)
	}
}

// stepClock moves a clock, as a correction does: a side's by up to fifteen minutes from the truth, a
// node's by up to two minutes.
func (w *world) stepClock(s *site) {
	w.unclear, w.skewed = true, true
	if w.dice.One(2) {
		s.skew = w.dice.Spread(15 * time.Minute)
		w.say("%s's clock is off by %s", s.region, s.skew)
		return
	}
	n := w.owner
	n.skew = min(max(n.skew+w.dice.Spread(2*time.Minute), -15*time.Minute), 15*time.Minute)
	w.say("the node's clock is off by %s", n.skew)
}

// stopClock stops a clock, or lets it go on.
func (w *world) stopClock(s *site) {
	w.unclear, w.skewed = true, true
	switch w.dice.N(3) {
	case 0:
		if s.stuck.IsZero() {
			s.stuck = s.clock()
		} else {
			s.stuck = time.Time{}
		}
	case 1:
		w.owner.stuck = w.owner.wall()
	default:
		w.owner.stuck = time.Time{}
	}
}

// save keeps what a side holds, for a restore.
func (w *world) save(s *site) {
	s.yesterday = s.rows
	w.say("%s is saved", s.region)
}

// restore puts a side back to what it held at its last save, in a new table with a new feed; what was
// under way to the old one is refused.
func (w *world) restore(s *site) {
	w.reach(SideRestored)
	w.restored++
	w.unclear = true
	w.say("%s is restored", s.region)
	for k := range w.cfg.keys {
		for i := range s.events[k] {
			e := &s.events[k][i]
			e.gone = e.gone || !e.captured || e.lost && w.cfg.shared
		}
		if same(s.rows[k].img, s.yesterday[k].img) {
			s.yesterday[k].ghost = s.rows[k].ghost
		}
		if n := w.owner.judged[sideOf(s)][k]; n > 0 {
			// what the feed has last shown is there again, or still: nobody can tell
			if e := s.events[k][n-1]; same(e.new, s.yesterday[k].img) {
				s.yesterday[k].ghost |= e.ghost
			}
		}
		s.rows[k] = s.yesterday[k]
		if s.cosmos && s.rows[k].img.Exists() {
			s.etags++
			s.rows[k].etag = strconv.Itoa(s.etags)
		}
		s.trim[k], s.epoch[k] = len(s.events[k])+1, len(s.events[k])
		s.events[k] = append(s.events[k], event{at: w.now, op: -1, lost: true, new: s.rows[k].img})
	}
	s.late = nil
	s.pos, s.gen = 0, s.gen+1
}

// replace lets a node without memory take over; the former owner is dead, or frozen.
func (w *world) replace(frozen bool) {
	old := w.owner
	w.disksLost++
	w.unclear = true
	if frozen {
		w.reach(OwnerFrozen)
		w.old = append(w.old, old)
		w.say("the owner is frozen; another takes over")
	} else {
		w.reach(DiskLost)
		old.halfSent()
		w.say("the owner is gone with its disk; another takes over")
	}
	w.keepJournal(old)
	for k := range w.cfg.keys {
		for i := range w.sites {
			for e := range w.sites[i].events[k] {
				ev := &w.sites[i].events[k][e]
				ev.lost, ev.gone = true, ev.gone || w.cfg.shared && e < w.sites[i].epoch[k]
			}
		}
		w.unions[k] = true
	}
	w.owner = w.newNode()
}

// thaw lets the frozen owner go on with what it was doing, until it notices that it is no longer the
// owner.
func (w *world) thaw() {
	if len(w.old) == 0 {
		return
	}
	n := w.old[0]
	w.old = w.old[1:]
	w.reach(OwnerThawed)
	w.say("the former owner thaws")
	for side := range w.sites {
		for k := range w.cfg.keys {
			if w.dice.One(2) {
				n.dispatch(side, k)
			}
		}
	}
	n.halfSent()
	for side := range w.sites {
		n.keep(side)
	}
	w.keepJournal(n)
}

// keepJournal keeps what is in the journal of a node's disk, or waits there for an operator.
func (w *world) keepJournal(n *node) {
	for _, e := range n.saved[0].journal {
		w.losers[e.key][e.version] = true
	}
	for k := range w.cfg.keys { // what waits for an operator is in no journal yet
		if h := n.saved[0].states[k].Hold; h != nil {
			w.losers[k][h.Other.Version], w.losers[k][n.saved[0].states[k].Winner.Version] = true, true
		}
	}
}
