package trafficsim

import (
	"fmt"
	"slices"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/traffic"
)

// Failure is a promise that was broken.
type Failure struct {
	Check string
	What  string
}

// Error renders "check: what".
func (f *Failure) Error() string { return f.Check + ": " + f.What }

// checker watches what is agreed and what the nodes show. It counts votes and times by itself.
type checker struct {
	failed   *Failure
	plans    map[uint64]proa.Plan
	switches []time.Duration
	moved    time.Duration // when traffic last moved
	ordered  time.Duration // when an operator last moved data sync: leases overlap, epochs fence
}

func (c *checker) begin(w *world) {
	p := w.agreed[0].Plan
	c.plans = map[uint64]proa.Plan{p.Version: p}
	c.moved, c.ordered = -never, -never
}

func (c *checker) fail(check, format string, args ...any) {
	if c.failed == nil {
		c.failed = &Failure{check, fmt.Sprintf(format, args...)}
	}
}

// votes judges a region by what the node was told: an implementation of its own.
func (w *world) votes(n *node, k int) proa.Health {
	var all, up, down int
	for j := range w.nodes {
		v := n.heard[j][k]
		if w.now-v.at > w.cfg.StaleAfter || v.health == proa.Unknown {
			continue
		}
		all++
		if v.health == proa.Unhealthy {
			down++
		} else if w.cfg.Vantages[j].Beside != regions[k] {
			up++
		}
	}
	switch { // of two who report, one is outside
	case all < 2:
		return proa.Unknown
	case down > up:
		return proa.Unhealthy
	case up > down:
		return proa.Healthy
	}
	return proa.Unknown
}

// listen follows since when a node has been told that region and direction are in order.
func (c *checker) listen(w *world, n *node) {
	for k := range regions {
		if w.votes(n, k) != proa.Healthy {
			n.good[k] = never
		} else if n.good[k] == never {
			n.good[k] = w.now
		}
		r := n.links[k]
		fine := r.told && w.now-r.at <= w.cfg.StaleAfter && r.state.Known &&
			r.state.Lag <= w.cfg.LagObjective
		if !fine {
			n.flowing[k] = never
		} else if n.flowing[k] == never {
			n.flowing[k] = w.now
		}
	}
}

// publish looks at a plan that a node gives to its name server.
func (c *checker) publish(w *world, n *node, p proa.Plan) {
	if p.Version < n.shown {
		c.fail("no stale plan", "node-%d shows plan %d after plan %d", n.id+1, p.Version, n.shown)
	}
	if was, ok := c.plans[p.Version]; ok && was != p {
		c.fail("one plan a version", "node-%d shows %+v, agreed is %+v", n.id+1, p, was)
	} else if !ok {
		c.fail("one plan a version", "node-%d shows plan %d, which nobody agreed on", n.id+1, p.Version)
	}
	n.shown = p.Version
}

// entry looks at a state that is agreed.
func (c *checker) entry(w *world, n *node, was, next traffic.State) {
	p := next.Plan
	c.shape(was, next)
	if other, ok := c.plans[p.Version]; ok {
		if other != p {
			c.fail("one plan a version", "agreed twice: %+v and %+v", other, p)
		}
		return
	}
	if p.Version != was.Plan.Version+1 {
		c.fail("one plan a version", "plan %d follows plan %d", p.Version, was.Plan.Version)
	}
	c.plans[p.Version] = p
	c.downs(w, n, was, p)
	e := next.History[len(next.History)-1].Evidence
	switch e.Cause {
	case traffic.CauseFailover:
		c.failover(w, n, was, p)
	case traffic.CauseFailback:
		c.failback(w, n, was, p)
	case traffic.CauseSwitchover:
		c.switchover(w, n, was, p, e)
	case traffic.CauseOwner:
		if e.By != "" {
			c.ordered = w.now
		}
	case traffic.CauseWithdraw:
		if e.By == "" && (c.held(w, was) || w.votes(n, index(p.Active.Other())) != proa.Unhealthy) {
			c.fail("failback only behind its gate", "plan %d is withdrawn, held %v", p.Version, was.Held)
		}
	}
	w.reach.cause(e.Cause)
	if p.Active != was.Plan.Active || (p.Share == 0) != (was.Plan.Share == 0) {
		c.switches = append(c.switches, w.now)
		c.moved = w.now
	}
}

// shape looks at what must hold of any state.
func (c *checker) shape(was, next traffic.State) {
	p := next.Plan
	if p.Active.Other() == p.Active || p.Share < 0 || p.Share > 99 {
		c.fail("an answer names a region", "plan %+v", p)
	}
	moved := p.Owner != was.Plan.Owner
	if moved && p.Epoch != was.Plan.Epoch+1 || !moved && p.Epoch != was.Plan.Epoch {
		c.fail("one owner an epoch", "%s %d after %s %d", p.Owner, p.Epoch, was.Plan.Owner,
			was.Plan.Epoch)
	}
	if a, b := was.Writers, next.Writers; a != nil && b != nil && a.Region != b.Region &&
		b.Seq != a.Seq+1 {
		c.fail("one region writes", "writers %+v after %+v", b, a)
	}
}

// held reports whether an operator's hold is in force, as far as clocks agree.
func (c *checker) held(w *world, s traffic.State) bool {
	return s.Held != nil && (s.Held.Until.IsZero() || s.Held.Until.After(epoch.Add(w.now+tolerance)))
}

// spent reports whether the flap budget certainly is.
func (c *checker) spent(w *world) bool {
	recent := 0
	for _, at := range c.switches {
		if w.now-at < w.cfg.FlapWindow-tolerance {
			recent++
		}
	}
	return recent >= w.cfg.FlapBudget
}

// downs looks at which regions get no clients of policies that use several.
func (c *checker) downs(w *world, n *node, was traffic.State, p proa.Plan) {
	if p.Down == was.Plan.Down {
		return
	}
	if c.held(w, was) {
		c.fail("held means held", "plan %d: down %q after %q", p.Version, p.Down, was.Plan.Down)
	}
	for k, r := range regions {
		switch before := was.Plan.IsDown(r); {
		case !before && p.IsDown(r) && w.votes(n, k) != proa.Unhealthy:
			c.fail("down by a majority", "plan %d: %s, %s", p.Version, r, w.votes(n, k))
		case before && !p.IsDown(r) && r == p.Active && w.votes(n, k) == proa.Healthy:
		case before && !p.IsDown(r) && n.good[k]+w.cfg.HoldDown > w.now:
			c.fail("up after the hold-down", "plan %d: %s", p.Version, r)
		}
	}
}

func (c *checker) failover(w *world, n *node, was traffic.State, p proa.Plan) {
	from := was.Plan.Active
	if v := w.votes(n, index(from)); v != proa.Unhealthy {
		c.fail("failover by a majority", "plan %d leaves %s, whose votes say %s", p.Version, from, v)
	}
	if v := w.votes(n, index(p.Active)); v != proa.Healthy || p.Active == from {
		c.fail("failover to a healthy region", "plan %d goes to %s, %s", p.Version, p.Active, v)
	}
	if c.held(w, was) {
		c.fail("held means held", "plan %d: failover", p.Version)
	}
	if w.cfg.StayPastBudget && c.spent(w) {
		c.fail("flap budget", "plan %d: failover at %v", p.Version, c.switches)
	}
}

func (c *checker) failback(w *world, n *node, was traffic.State, p proa.Plan) {
	k := index(w.cfg.Preferred)
	for what, since := range map[string]time.Duration{
		"health": n.good[k] + w.cfg.HoldDown, "aws": n.flowing[0] + w.cfg.Dwell,
		"azure": n.flowing[1] + w.cfg.Dwell,
	} {
		if since > w.now {
			c.fail("failback only behind its gate", "plan %d: %s is not in order yet", p.Version, what)
		}
	}
	if w.cfg.Failback == traffic.FailbackManual || was.Pinned {
		c.fail("failback only behind its gate", "plan %d: nobody asked for it", p.Version)
	}
	if c.held(w, was) {
		c.fail("held means held", "plan %d: failback", p.Version)
	}
	if c.spent(w) {
		c.fail("flap budget", "plan %d: failback at %v", p.Version, c.switches)
	}
	if was.Plan.Share == 0 {
		c.rule(w, p)
	}
	if p.Share > 0 && w.cfg.OneWriter {
		c.fail("one region writes", "plan %d shares traffic", p.Version)
	}
}

func (c *checker) switchover(w *world, n *node, was traffic.State, p proa.Plan, e traffic.Evidence) {
	from := index(was.Plan.Active)
	if n.links[from].state.Backlog != 0 || !n.links[from].told {
		c.fail("nothing is lost by a switchover", "plan %d with a backlog of %d", p.Version,
			n.links[from].state.Backlog)
	}
	if w.cfg.OneWriter && (w.waits[from] != 0 || w.grants[from] > w.now) {
		c.fail("nothing is lost by a switchover", "plan %d: %d changes wait, writes until %s", p.Version,
			w.waits[from], w.grants[from])
	}
	if v := w.votes(n, index(p.Active)); v != proa.Healthy {
		c.fail("at least one region serves", "plan %d goes to %s, %s", p.Version, p.Active, v)
	}
	if len(e.Overridden) == 0 && w.now-c.moved > 6*time.Second { // it may have begun just before
		c.rule(w, p)
	}
}

// rule is the policy's: so much time between two moves.
func (c *checker) rule(w *world, p proa.Plan) {
	if len(w.cfg.Rules) > 0 && w.now-c.moved < 8*time.Second-2*tolerance-3*time.Second {
		c.fail("rules refuse", "plan %d moves %s after the last move", p.Version, w.now-c.moved)
	}
}

// round looks at the nodes.
func (c *checker) round(w *world) {
	var epoch uint64
	for i := range w.nodes {
		n := &w.nodes[i]
		if n.lease <= w.now {
			continue
		}
		if epoch != 0 && epoch != n.epoch && w.now-c.ordered > lease {
			c.fail("one owner of data sync", "leases under epochs %d and %d", epoch, n.epoch)
		}
		epoch = n.epoch
	}
	if w.cfg.OneWriter && w.grants[0] > w.now && w.grants[1] > w.now {
		c.fail("one region writes", "leases until %v", w.grants)
	}
}

// settled looks at a world in which all has been well for a while.
func (c *checker) settled(w *world) {
	s := w.agreed[len(w.agreed)-1]
	p := s.Plan
	if w.leader < 0 || !w.nodes[w.leader].leads {
		c.fail("all well", "nobody decides")
		return
	}
	for i := range w.nodes {
		if got := w.nodes[i].ctl.State().Plan; got != p {
			c.fail("all well", "node-%d has %+v, agreed is %+v", i+1, got, p)
		}
	}
	if p.Down != "" {
		c.fail("all well", "%s get no clients", p.Down)
	}
	if p.Drain || s.Writers != nil && s.Writers.Region != p.Active {
		c.fail("all well", "a switchover has left %+v, writers %+v", p, s.Writers)
	}
	if w.cfg.Failback != traffic.FailbackManual && (p.Active != w.cfg.Preferred || p.Share != 0) {
		c.fail("all well", "traffic goes to %s, %d %%: %v", p.Active, p.Share,
			w.nodes[w.leader].ctl.Explain().Waiting)
	}
	owner := slices.IndexFunc(w.nodes[:], func(n node) bool { return n.lease > w.now })
	if owner < 0 || w.name(owner) != p.Owner {
		c.fail("all well", "node %d runs data sync, the owner is %q", owner+1, p.Owner)
	}
	if w.cfg.OneWriter && w.grants[index(p.Active)] < w.now {
		c.fail("all well", "nobody may write in %s", p.Active)
	}
}
