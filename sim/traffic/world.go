package trafficsim

import (
	"fmt"
	"slices"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/sim/internal/dice"
	"github.com/proa-cloud/proa/traffic"
)

const (
	nodes     = 3
	short     = 28                     // rounds of most schedules
	long      = 80                     // of one in eight, and of more where traffic comes back by stages
	lease     = 800 * time.Millisecond // of data sync's owner
	tolerance = time.Second            // by which the nodes' clocks make times uncertain
	electing  = 600 * time.Millisecond
	quorumTry = 1200 * time.Millisecond // then a leader that hears no majority gives up
)

var (
	epoch   = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	regions = proa.Regions()
)

func index(r proa.Region) int {
	if r == proa.AWS {
		return 0
	}
	return 1
}

// world is one schedule under way. Times are since its start, by no node's clock.
type world struct {
	seed   uint64
	dice   dice.Dice
	rounds int
	calm   int // one round in so many has a mishap
	cfg    traffic.Config
	bug    Bug
	now    time.Duration
	turn   int
	nodes  [nodes]node
	cut    [nodes][nodes]bool // what the first sends the second is lost
	up     [2]bool
	broken [2]bool // no change of that region crosses
	// Data sync cannot tell how far that region's changes have come
	unknown [2]bool
	waits   [2]int // changes of that region that wait to cross
	oldest  [2]time.Duration
	grants  [2]time.Duration // until when some function in the region holds a write lease

	agreed []traffic.State
	leader int // -1: none
	term   int // counts elections
	vacant time.Duration
	check  checker
	reach  Reach
	log    func(string, ...any) // nil: nobody listens
}

// node is one node's process.
type node struct {
	id      int
	ctl     *traffic.Controller
	granter *traffic.Granter
	skew    time.Duration
	frozen  time.Duration // until when
	blind   time.Duration // until when its probes are lost
	timid   bool          // when blind, it says "unknown"
	seq     int           // of the agreed states, the last one that it has
	leads   bool          // as it believes
	term    int           // the last election that it knows of
	quorum  time.Duration // when it last heard a majority as leader
	lease   time.Duration // until when it may run data sync
	epoch   uint64        // under which epoch
	heard   [nodes][2]vote
	links   [2]report
	shown   uint64 // the version that its name server has
	batch   []proa.Verdict
	good    [2]time.Duration // since when region and direction are in order, as far as it was told
	flowing [2]time.Duration
}

type vote struct {
	health proa.Health
	at     time.Duration
}

type report struct {
	state traffic.Replication
	at    time.Duration
	told  bool
}

// never is a time that has not come.
const never = time.Duration(1) << 62

func newWorld(seed uint64, bug Bug) *world {
	w := &world{seed: seed, dice: dice.Dice{State: seed}, bug: bug, up: [2]bool{true, true}, leader: -1}
	w.cfg = w.policy()
	w.rounds, w.calm = short, 2+w.dice.N(3)
	if w.dice.One(8) || w.cfg.Failback == traffic.FailbackGradual && w.dice.One(4) {
		w.rounds = long
	}
	first, err := traffic.NewController(w.cfg, traffic.State{}, epoch)
	if err != nil {
		panic(fmt.Sprintf("seed %d: %v", seed, err)) // the simulator's own mistake
	}
	w.agreed = []traffic.State{first.State()}
	w.check.begin(w)
	for i := range w.nodes {
		n := &w.nodes[i]
		n.id = i
		w.boot(n)
	}
	w.elect()
	return w
}

// policy draws one.
func (w *world) policy() traffic.Config {
	d := &w.dice
	c := traffic.Default()
	c.Preferred = regions[d.N(2)]
	c.Vantages = []traffic.Vantage{
		{Name: "node-1", Beside: proa.AWS}, {Name: "node-2", Beside: proa.Azure}, {Name: "node-3"},
	}
	c.StaleAfter, c.HoldDown, c.Dwell = 1500*time.Millisecond, 2*time.Second, time.Second
	c.FlapBudget, c.FlapWindow = 1+d.N(4), 15*time.Second
	c.StayPastBudget = d.One(4)
	c.SwitchoverTimeout, c.StageTime = 4*time.Second, time.Second
	c.Stages = []int{1, 10}
	c.OwnerSilence, c.WriteLease = time.Second, 500*time.Millisecond
	c.HistoryLimit = 2
	c.Drain = time.Duration(d.N(2)) * time.Second
	c.Spread = d.One(2)
	switch d.N(6) {
	case 0:
		c.Failback = traffic.FailbackManual
	case 1, 2:
		c.Failback = traffic.FailbackGradual
	default:
		c.OneWriter = d.One(2)
	}
	if d.One(3) {
		c.Rules = []traffic.Rule{traffic.MinBetween(8 * time.Second)}
	}
	return c
}

// boot starts a node's process with what it last had.
func (w *world) boot(n *node) {
	saved := w.agreed[n.seq]
	cfg := w.cfg
	w.bug.configure(&cfg, n.id)
	n.skew = time.Duration(w.dice.N(600)-300) * time.Millisecond
	ctl, err := traffic.NewController(cfg, saved, w.clock(n))
	if err != nil {
		panic(fmt.Sprintf("seed %d: %v", w.seed, err))
	}
	n.ctl, n.granter = ctl, traffic.NewGranter(cfg.WriteLease)
	n.ctl.Step(w.clock(n), traffic.Assigned{Standby: "the nodes have not met yet"})
	n.leads, n.lease, n.links = false, 0, [2]report{}
	for i := range n.heard {
		n.heard[i] = [2]vote{{proa.Unknown, -never}, {proa.Unknown, -never}}
	}
	n.good, n.flowing = [2]time.Duration{never, never}, [2]time.Duration{never, never}
	n.shown = saved.Plan.Version
}

func (w *world) clock(n *node) time.Time { return epoch.Add(w.now + n.skew) }

func (w *world) name(i int) string { return w.cfg.Vantages[i].Name }

func (w *world) frozen(i int) bool { return w.nodes[i].frozen > w.now }

// reaches reports whether two nodes can talk both ways.
func (w *world) reaches(i, j int) bool {
	return !w.frozen(i) && (i == j || !w.cut[i][j] && !w.cut[j][i] && !w.frozen(j))
}

// majority reports whether the node can talk to enough others.
func (w *world) majority(i int) bool {
	n := 0
	for j := range w.nodes {
		if w.reaches(i, j) {
			n++
		}
	}
	return !w.frozen(i) && n >= nodes/2+1
}

// elect has a leader stand down that has lost its majority, and finds another.
func (w *world) elect() {
	for i := range w.nodes {
		n := &w.nodes[i]
		if !n.leads || w.frozen(i) {
			continue
		}
		if w.majority(i) {
			n.quorum = w.now
		}
		newer := func(m node) bool { return m.term > n.term && w.reaches(i, m.id) }
		if slices.ContainsFunc(w.nodes[:], newer) || w.now-n.quorum > quorumTry {
			w.stand(n, false)
		}
	}
	if w.leader >= 0 && w.majority(w.leader) && w.nodes[w.leader].leads {
		w.vacant = w.now
		return
	}
	if w.now != 0 && w.now-w.vacant < electing {
		return
	}
	for k, at := 0, w.dice.N(nodes); k < nodes; k++ {
		if i := (at + k) % nodes; w.majority(i) {
			if w.leader != i {
				w.reach.count(reachElection)
			}
			w.leader, w.vacant = i, w.now
			w.term++
			n := &w.nodes[i]
			for j := range w.nodes {
				if w.reaches(i, j) {
					w.nodes[j].term = w.term
				}
			}
			w.catchUp(n) // it decides only on all that was agreed
			n.quorum = w.now
			w.stand(n, true)
			return
		}
	}
}

func (w *world) stand(n *node, leads bool) {
	n.leads = leads
	standby := ""
	if !leads {
		standby = "another decides"
	}
	_ = w.step(n, traffic.Assigned{Standby: standby}) // only orders are refused
}

// catchUp gives a node what was agreed since it last heard.
func (w *world) catchUp(n *node) {
	if n.seq == len(w.agreed)-1 {
		return
	}
	n.seq = len(w.agreed) - 1
	s := w.agreed[n.seq]
	w.bug.commit(&s)
	_ = w.step(n, traffic.Committed{State: s}) // only orders are refused
}

// round is one turn of everything.
func (w *world) round(faults bool) {
	w.turn++
	w.now += time.Duration(100+w.dice.N(300)) * time.Millisecond
	d := dice.Dice{State: w.dice.Next()}
	if faults {
		w.mishap(&d)
	}
	w.elect()
	for i := range w.nodes {
		if w.leader >= 0 && w.reaches(i, w.leader) {
			w.nodes[i].term = w.term
			w.catchUp(&w.nodes[i])
		}
	}
	w.replicate(&d)
	for i := range w.nodes {
		if !w.frozen(i) {
			w.listen(&w.nodes[i])
		}
	}
	w.lend()
	for i := range w.nodes {
		if n := &w.nodes[i]; !w.frozen(i) {
			w.fenceHook(n)
			if n.leads {
				_ = w.step(n, traffic.Tick{}) // only orders are refused
			}
		}
	}
	w.check.round(w)
}

// listen has a node hear its peers and itself.
func (w *world) listen(n *node) {
	n.batch = n.batch[:0]
	w.check.listen(w, n) // what it was told has grown old
	for j := range w.nodes {
		hears := w.hears(n, j)
		if !hears && !w.bug.oldVotes {
			continue
		}
		for k, r := range regions {
			if hears {
				n.heard[j][k] = vote{w.sees(&w.nodes[j], k), w.now}
			}
			n.batch = append(n.batch, proa.Verdict{
				Region: r, Health: n.heard[j][k].health, By: w.name(j), Reason: "probe",
			})
		}
	}
	w.check.listen(w, n)
	_ = w.step(n, traffic.Observed{Verdicts: n.batch})
	for j := range w.nodes {
		if !w.hears(n, j) {
			continue
		}
		if !n.leads && (w.turn+n.id)%4 != 0 { // to stand by, now and then is often enough
			continue
		}
		_ = w.step(n, traffic.NodeHeard{Node: w.name(j)})
		if w.nodes[j].lease > w.now {
			w.hearLinks(n)
		}
	}
	w.check.listen(w, n)
}

// hears reports whether what one node tells arrives at the other.
func (w *world) hears(n *node, from int) bool {
	return from == n.id || !w.cut[from][n.id] && !w.frozen(from)
}

// sees is what a node's probes say of a region.
func (w *world) sees(n *node, region int) proa.Health {
	switch {
	case n.blind > w.now && n.timid:
		return proa.Unknown
	case n.blind > w.now, !w.up[region]:
		return proa.Unhealthy
	}
	return proa.Healthy
}

// hearLinks is the owner's word on replication.
func (w *world) hearLinks(n *node) {
	for k, r := range regions {
		s := traffic.Replication{From: r, Known: w.up[k] && !w.unknown[k], CaughtUp: true, Backlog: int64(w.waits[k])}
		if w.waits[k] > 0 {
			s.Lag = w.now - w.oldest[k]
		} else {
			s.Through = w.clock(n)
		}
		n.links[k] = report{s, w.now, true}
		if w.bug.links != nil {
			w.bug.links(&s)
		}
		_ = w.step(n, traffic.Replicated{State: s})
	}
}

// replicate has changes happen and cross.
func (w *world) replicate(d *dice.Dice) {
	owned := false
	for i := range w.nodes {
		owned = owned || w.nodes[i].lease > w.now && !w.frozen(i)
	}
	plan := w.agreed[len(w.agreed)-1].Plan
	for k, r := range regions {
		if owned && !w.broken[k] && w.up[0] && w.up[1] {
			w.waits[k] = max(0, w.waits[k]-4)
			w.oldest[k] = w.now
		}
		writes := plan.Active == r || plan.Share > 0
		if w.cfg.OneWriter {
			writes = w.grants[k] > w.now
		}
		if writes && w.up[k] && d.One(2) {
			if w.waits[k] == 0 {
				w.oldest[k] = w.now
			}
			w.waits[k] += d.N(3)
		}
	}
}

// lend renews the owner's lease and gives write leases.
func (w *world) lend() {
	for i := range w.nodes {
		n := &w.nodes[i]
		touch := w.leader >= 0 && w.reaches(i, w.leader) && w.majority(w.leader) && w.nodes[w.leader].leads
		touch = touch && n.seq == len(w.agreed)-1 // the leader says which state it has
		if w.bug.lendAlone {
			touch = !w.frozen(i)
		}
		plan := w.agreed[n.seq].Plan
		if plan.Owner == w.name(i) && touch {
			n.lease, n.epoch = w.now+lease, plan.Epoch
			if w.bug.longLease {
				n.lease += 2 * time.Second
			}
		} else if plan.Owner != w.name(i) {
			n.lease = 0
		}
		if w.frozen(i) || !w.cfg.OneWriter {
			continue
		}
		if touch {
			n.granter.Hear(w.clock(n), w.agreed[n.seq].Writers)
		}
		for k, r := range regions {
			given := n.granter.Grant(w.clock(n), r) == nil
			if w.bug.grantAtOnce {
				given = w.agreed[n.seq].Writers.Region == r
			}
			if given {
				w.grants[k] = max(w.grants[k], w.now+w.cfg.WriteLease)
			}
		}
	}
}

// fenceHook reports that credentials were revoked.
func (w *world) fenceHook(n *node) {
	if f := w.agreed[n.seq].Writers; n.leads && f != nil && !f.Revoked && w.dice.One(3) {
		_ = w.step(n, traffic.Fenced{Seq: f.Seq})
	}
}

// step gives the node's controller an input and has the others agree on what it decides, as
// traffic.Service does.
func (w *world) step(n *node, in traffic.Input) error {
	var refused error
	for _, out := range n.ctl.Step(w.clock(n), in) {
		switch out := out.(type) {
		case traffic.StateChanged:
			if _, ok := in.(traffic.Committed); ok || w.bug.solo {
				continue
			}
			if !w.propose(n, out.State) {
				if !w.bug.keep {
					n.ctl.Step(w.clock(n), traffic.Committed{State: w.agreed[n.seq]})
				}
				return nil // what follows did not come about
			}
		case traffic.PlanChanged:
			w.check.publish(w, n, out.Plan)
		case traffic.Refused:
			refused = out.Err
		case traffic.Event:
			if w.log != nil && n.leads {
				w.log("%8s node-%d: %s", w.now, n.id+1, out.Text)
			}
		}
	}
	return refused
}

// propose reports whether the node knows that a majority has the state.
func (w *world) propose(n *node, s traffic.State) bool {
	current := w.leader == n.id && w.majority(n.id)
	if !w.bug.anyBase && (!current || n.seq != len(w.agreed)-1) {
		w.reach.count(reachRefused)
		return false
	}
	lost := w.dice.One(12)
	if lost && w.dice.One(2) {
		w.reach.count(reachLost)
		return false
	}
	was := w.agreed[n.seq]
	w.bug.agree(&was, &s)
	w.check.entry(w, n, was, s)
	w.agreed = append(w.agreed, s)
	if lost {
		w.reach.count(reachUntold)
		return false
	}
	n.seq = len(w.agreed) - 1
	return true
}
