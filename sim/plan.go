package sim

import (
	"fmt"
	"time"

	"github.com/proa-cloud/proa/sim/internal/dice"
)

// kind is what an action does.
type kind int

// The actions.
const (
	appPut kind = iota
	appUpdate
	appStale   // a put that leaves an envelope beside other content
	appDelete  // by the vendor's SDK
	appPutBack // a former image verbatim, envelope and all
	tablePut   // function.Table: read, compare-and-set, stamped
	tableDelete
	twoStepDelete // a stamped tombstone image
	appRead       // the first half of a conditional write
	appCAS        // the second half: take the lock
	capture
	dispatch
	fly
	scan
	tick
	land
	appExpire // the store's time-to-live
	appPoison // an envelope that cannot be read, or one of the far future
	appUnfit  // content that the other side refuses
	crash
	loseDisk // a node without memory takes over
	freeze   // and the former one lives on, frozen
	thaw
	cut
	mend
	stepClock
	stopClock
	restore // one side goes back to yesterday
	jump    // hours pass
	away    // days pass
	rescan
	settle // the operator takes one of two states that a key waits with
	keep   // the owner writes to a side's sidecar
	kinds
)

var kindNames = [kinds]string{
	appPut: "put", appUpdate: "update", appStale: "stale put", appDelete: "delete",
	appPutBack: "put back", tablePut: "table put", tableDelete: "table delete",
	twoStepDelete: "two-step delete", appRead: "read", appCAS: "conditional put",
	capture: "capture", dispatch: "dispatch", fly: "fly", scan: "scan", tick: "tick", land: "land",
	appExpire: "expire", appPoison: "poison", appUnfit: "unfit", crash: "crash",
	loseDisk: "lose disk", freeze: "freeze", thaw: "thaw", cut: "cut", mend: "mend",
	stepClock: "step clock", stopClock: "stop clock", restore: "restore", jump: "jump",
	away: "away", rescan: "rescan", settle: "settle", keep: "keep",
}

// action is one thing that happens, after a pause.
type action struct {
	kind  kind
	pause time.Duration
	side  int
	key   int
	arg   uint64 // what it chooses comes from this
	op    int    // its bit among the key's writes; -1: it is none
}

func (a action) String() string {
	return fmt.Sprintf("+%-10s %-15s side %d key %d arg %x", a.pause, kindNames[a.kind], a.side, a.key,
		a.arg)
}

// Plan is a history before it is played.
type Plan struct {
	Seed    uint64
	cfg     config
	actions []action
}

// config is what stays the same during a history.
type config struct {
	keys     int
	faults   int // one write of a node in so many meets one; 0: none
	noOld    bool
	noETag   bool
	latest   bool
	ignore   [2]bool // expiry at this side is no delete
	skew     [2]time.Duration
	nodeSkew time.Duration
	writers  [2][2]time.Duration // skews of two function instances at each side
	tight    bool                // bursts within one second
	policies [maxKeys]int        // by key, of thePolicies
	resident bool                // an attribute never leaves its region
	shared   bool                // what must outlive an owner is kept in the regions
	late     bool                // the place at which a feed is begun is kept later than it is begun
}

const second = time.Second

// Generate makes the history of a seed. Which faults a history may have, and how often, is drawn
// first, so that the rare come together often enough (swarm testing).
func Generate(seed uint64) Plan {
	d := dice.Dice{State: seed * 0x2545f4914f6cdd1d}
	p := Plan{Seed: seed, cfg: generateConfig(&d)}
	weights := swarm(&d)
	if p.cfg.shared = d.One(2); p.cfg.shared {
		weights[keep] = 4 + d.N(30)
		if d.One(4) {
			handOvers(&weights, &d)
		}
	}
	if p.cfg.latest {
		weights[restore] = 0 // no change says what it took the place of
	}
	if p.cfg.noOld { // what a gap hides can then not be told
		for _, k := range []kind{jump, away, loseDisk, freeze, restore} {
			weights[k] = 0
		}
	}
	total := 0
	for _, w := range weights {
		total += w
	}
	n := 24 + d.N(50)
	if d.One(5) {
		n += 60
	}
	ops := [maxKeys]int{}
	rare := 0
	for len(p.actions) < n {
		a := action{op: -1, side: d.N(2), key: d.N(p.cfg.keys), arg: d.Next()}
		if p.cfg.keys > 1 && d.One(2) {
			a.key = 0
		}
		for at := d.N(total); ; a.kind++ {
			if at < weights[a.kind] {
				break
			}
			at -= weights[a.kind]
		}
		if a.kind == loseDisk || a.kind == freeze || a.kind == away {
			if rare++; rare > 3 || rare > 2 && weights[keep] < 20 {
				continue
			}
		}
		a.pause = pause(&d, p.cfg.tight)
		if a.kind.writes() {
			if ops[a.key] == maxOps {
				continue
			}
			a.op = ops[a.key]
			ops[a.key]++
		}
		p.actions = append(p.actions, a)
	}
	if d.One(16) {
		p.tell(stories[d.N(len(stories))], ops[0], &d)
	}
	p.cfg.late = d.One(8)
	return p
}

// writes reports whether the action is one write of an application.
func (k kind) writes() bool {
	return k <= twoStepDelete || k == appCAS || k == appExpire || k == appPoison || k == appUnfit
}

func pause(d *dice.Dice, tight bool) time.Duration {
	switch n := d.N(20); {
	case tight:
		return time.Duration(d.N(40)) * time.Millisecond
	case n < 12:
		return time.Duration(d.N(100)) * time.Millisecond
	case n < 19:
		return time.Duration(d.N(1500)) * time.Millisecond
	}
	return time.Duration(d.N(8000)) * time.Millisecond
}

func generateConfig(d *dice.Dice) config {
	c := config{keys: 1}
	switch n := d.N(10); {
	case n >= 9:
		c.keys = 4
	case n >= 6:
		c.keys = 2
	}
	c.faults = []int{0, 3, 6, 12}[d.N(4)]
	c.noOld, c.noETag, c.latest, c.tight = d.One(6), d.One(2), d.One(12), d.One(4)
	c.noETag = c.noETag && !c.latest
	c.noOld = c.noOld && !c.latest
	c.ignore[d.N(2)] = d.One(12)
	c.resident = d.One(8)
	if d.One(3) {
		for k := range c.keys {
			c.policies[k] = d.N(len(thePolicies))
		}
	}
	switch d.N(4) {
	case 0: // none
	case 1:
		c.skew = [2]time.Duration{d.Spread(15 * time.Minute), d.Spread(15 * time.Minute)}
		c.nodeSkew = d.Spread(15 * time.Minute)
	default:
		c.skew = [2]time.Duration{d.Spread(2 * second), d.Spread(2 * second)}
		c.nodeSkew = d.Spread(2 * second)
	}
	for side := range c.writers {
		if d.One(2) {
			c.writers[side] = [2]time.Duration{d.Spread(5 * time.Minute), d.Spread(5 * time.Minute)}
		} else {
			c.writers[side] = [2]time.Duration{d.Spread(second), d.Spread(second)}
		}
	}
	return c
}

// handOvers makes histories of owners that follow each other, while a side cannot be reached that has not
// been told of a delete.
func handOvers(w *[kinds]int, d *dice.Dice) {
	*w = [kinds]int{
		appPut: 6, appDelete: 12, capture: 45, dispatch: 5 + d.N(20), fly: 5 + d.N(30), keep: 35,
	}
	w[loseDisk], w[freeze], w[thaw], w[crash] = 1+d.N(5), d.N(6), d.N(20), d.N(6)
	if d.One(2) { // a former owner thaws while deletes wait
		w[dispatch], w[fly], w[freeze], w[crash] = 2, 4, 5, 0
	} else if d.One(2) {
		w[appUpdate], w[loseDisk], w[freeze], w[keep] = 12, 5, 0, 20
	}
	w[cut], w[mend] = d.N(5), d.N(4)
	if d.One(2) {
		w[tablePut], w[twoStepDelete] = 4, 6
	}
}

// swarm draws the weights of all actions.
func swarm(d *dice.Dice) [kinds]int {
	w := [kinds]int{
		appPut: 8, appUpdate: 5, appDelete: 5, capture: 45, dispatch: 40, fly: 55, land: 4, scan: 6,
		tick: 1,
	}
	maybe := func(k kind, weight, odds int) {
		if d.One(odds) {
			w[k] = weight
		}
	}
	maybe(tick, 12, 8)
	maybe(appStale, 4, 3)
	maybe(appPutBack, 5, 3)
	maybe(tablePut, 10, 2)
	maybe(tableDelete, 5, 3)
	maybe(twoStepDelete, 5, 3)
	if d.One(3) {
		w[appRead], w[appCAS] = 6, 6
	}
	maybe(appExpire, 5, 5)
	maybe(appPoison, 3, 12)
	maybe(appUnfit, 3, 20)
	maybe(crash, 5, 2)
	maybe(loseDisk, 2, 12)
	if d.One(12) {
		w[freeze], w[thaw] = 2, 3
	}
	if d.One(4) || w[loseDisk]+w[freeze] > 0 && d.One(2) {
		w[cut], w[mend] = 4, 5 // a side that a new owner cannot reach at first
	}
	if w[loseDisk]+w[freeze] > 0 && d.One(2) {
		w[capture], w[appDelete] = 12, 15 // much happens before a new owner reads
	}
	maybe(stepClock, 3, 8)
	maybe(stopClock, 2, 12)
	maybe(restore, 3, 20)
	maybe(jump, 2, 6)
	maybe(away, 1, 25)
	maybe(rescan, 2, 10)
	maybe(settle, 3, 3)
	return w
}
