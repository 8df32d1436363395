// Package traffic is the TrafficManager's brain: the pure controller that decides which region
// serves, and the shell that feeds it and carries its plans out.
//
// Guarantees of the controller: plan versions rise strictly, one plan a version; a failover goes
// only from an unhealthy region to a healthy one, and never on missing evidence; an automatic
// failback happens only behind its gate; a plan always names exactly one region. It does not
// promise zero loss: only a switchover that waited for the backlog can.
package traffic

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/proa-cloud/proa"
)

// Controller decides which region serves. It does no I/O, reads no clock and never blocks. It is
// not for concurrent use.
type Controller struct {
	cfg     Config
	now     time.Time
	state   State
	heard   [][2]heard // by vantage, as configured, and region
	judged  map[proa.Region]Judgement
	few     [2]time.Time          // since when fewer than a majority have said "unhealthy", by region; zero: they do not
	counted time.Time             // when votes were last counted and ages looked at; zero: votes have changed
	links   map[proa.Region]*link // by the region that changes come from
	pending *Pending
	done    *Pending  // the planned move that the last plan ended, until that is agreed
	waiting string    // the last reported obstacle, so that each is told once
	standby string    // why another node decides, "" when this one does
	decides time.Time // since when this node decides
	out     []Output

	lives      map[string]life
	ownerNamed time.Time // when data sync's owner was last seen to change
	ownerWaits bool      // a hand-over's obstacle was told
}

// NewController starts from a saved state; the zero State starts with plan 1 on the preferred
// region. It fails with proa.ErrInvalidConfig or, for a state that no controller saved,
// proa.ErrInvalid.
func NewController(cfg Config, saved State, now time.Time) (*Controller, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	c := &Controller{
		cfg: cfg, now: now, state: cloneState(saved),
		heard:  make([][2]heard, len(cfg.Vantages)),
		judged: map[proa.Region]Judgement{},
		links:  map[proa.Region]*link{},
		lives:  map[string]life{}, decides: now, ownerNamed: now,
	}
	for _, r := range proa.Regions() {
		c.judged[r] = Judgement{Health: proa.Unknown, Since: now}
		c.links[r] = &link{state: Replication{From: r}}
	}
	if saved.Plan.Version == 0 {
		c.state = State{Plan: proa.Plan{
			Version: 1, Active: cfg.Preferred, Since: now,
			Reason: "first start: " + string(cfg.Preferred) + " is preferred",
		}}
		if cfg.OneWriter {
			c.moveWriters(cfg.Preferred)
		}
		c.remember(Evidence{Cause: CauseStart})
		return c, nil
	}
	if _, err := proa.ParseRegion(string(saved.Plan.Active)); err != nil {
		return nil, fmt.Errorf("saved plan %d: %w: %w", saved.Plan.Version, proa.ErrInvalid, err)
	}
	return c, nil
}

// State returns a copy of what must survive a restart.
func (c *Controller) State() State { return cloneState(c.state) }

// Step takes one input and returns what the shell must do. Same state, same inputs, same outputs.
// A now before the last one counts as the last one.
func (c *Controller) Step(now time.Time, in Input) []Output {
	if now.After(c.now) {
		c.now = now
	}
	c.out = nil
	c.look() // first at what has grown old, or a node that was frozen would take its gap for health
	switch in := in.(type) {
	case Observed:
		for _, v := range in.Verdicts {
			c.observe(v)
		}
	case Replicated:
		c.hearReplication(in.State)
	case Reconfigured:
		c.reconfigure(in.Config)
	case Adopted:
		c.adopt(in.State)
	case Committed:
		c.commit(in.State)
		return c.out // whether a decision came about is told before the next one is made
	case Assigned:
		c.assign(in.Standby)
	case NodeHeard:
		c.hearNode(in)
	case Fenced:
		c.hearFence(in)
	}
	c.expireHold()
	c.look()
	if cmd, ok := in.(Command); ok {
		c.command(cmd)
	}
	c.decide()
	return c.out
}

// look counts votes and looks at ages, unless nothing can have changed.
func (c *Controller) look() {
	if c.counted.Equal(c.now) {
		return
	}
	c.counted = c.now
	c.refreshJudgements()
	c.refreshLinks()
}

// observe notes a verdict of a configured vantage; others have no vote.
func (c *Controller) observe(v proa.Verdict) {
	i := slices.IndexFunc(c.cfg.Vantages, func(o Vantage) bool { return o.Name == v.By })
	if _, ok := c.judged[v.Region]; i < 0 || !ok {
		return
	}
	if v.Health != proa.Healthy && v.Health != proa.Unhealthy {
		v.Health = proa.Unknown
	}
	c.heard[i][place(v.Region)] = heard{verdict: v, at: c.now}
	c.counted = time.Time{}
}

// decide makes at most one plan.
func (c *Controller) decide() {
	if c.standby != "" || c.planned() {
		return
	}
	c.decideTraffic()
	if !c.planned() {
		c.spread()
	}
	if !c.planned() {
		c.decideOwner()
	}
}

// planned reports whether this step has made a plan: it makes no second one.
func (c *Controller) planned() bool {
	return slices.ContainsFunc(c.out, func(o Output) bool { _, ok := o.(PlanChanged); return ok })
}

func (c *Controller) decideTraffic() {
	c.settleWriters()
	active := c.state.Plan.Active
	other := active.Other()
	if c.state.Forced && c.judged[active].Health == proa.Healthy {
		c.state.Forced = false
		c.out = append(c.out, StateChanged{State: c.State()})
	}
	if c.judged[active].Health == proa.Unhealthy && c.failover(active, other) {
		return
	}
	switch {
	case c.pending != nil:
		c.advanceSwitchover()
	case c.unfinished():
		c.undo("the switchover that asked for it is over")
	case c.judged[active].Health != proa.Unhealthy:
		c.failback()
	}
}

// failover leaves an unhealthy region for a healthy one, and otherwise says what holds it back. It
// reports whether it made a plan.
func (c *Controller) failover(from, to proa.Region) bool {
	if h := c.judged[to].Health; h != proa.Healthy { // who says so is in Explain: it changes with time
		c.wait(fmt.Sprintf("failover %s→%s waits: %s is %s too; the plan stands", from, to, to, h))
		return false
	}
	if blocked := c.failoverWaits(from, to); len(blocked) > 0 {
		c.wait(fmt.Sprintf("failover %s→%s waits: %s", from, to, blocked[0]))
		return false
	}
	c.state.Pinned = false
	c.dropPending("its source failed")
	c.switchTo(to, Evidence{Cause: CauseFailover, Judged: c.judged[from].Since},
		fmt.Sprintf("failover: %s is unhealthy (%s)", from, c.reason(from, proa.Unhealthy)))
	return true
}

// failoverWaits lists what is in the way of leaving an unhealthy region.
func (c *Controller) failoverWaits(from, to proa.Region) []string {
	var waits []string
	if h := c.judged[to].Health; h != proa.Healthy {
		waits = append(waits, fmt.Sprintf("%s is %s too; the plan stands: %s", to, h, c.reason(to, h)))
	}
	if c.state.Held != nil {
		waits = append(waits, c.heldText())
	}
	if c.state.Forced {
		waits = append(waits, c.forcedText())
	}
	if c.cfg.StayPastBudget && c.budgetLeft() == 0 {
		waits = append(waits, c.budgetText())
	}
	return append(waits, c.ruled(CauseFailover, to, Command{})...)
}

// switchTo makes the next plan. The caller has checked that it may.
func (c *Controller) switchTo(to proa.Region, e Evidence, reason string) {
	p := c.state.Plan
	p.Version++
	p.Active, p.Reason, p.Since = to, reason, c.now
	p.Share, p.Drain, p.Down = 0, false, c.down(to)
	c.state.StageSince = time.Time{}
	c.state.Switches = append(c.recentSwitches(), c.now)
	c.moveWriters(to)
	c.enact(p, e, fmt.Sprintf("traffic goes to %s: %s", to, reason))
}

// enact puts the next plan in force.
func (c *Controller) enact(p proa.Plan, e Evidence, what string) {
	c.state.Plan = p
	c.waiting, c.ownerWaits, c.done = "", false, nil
	e.What = what
	e.Verdicts = c.verdicts()
	for _, r := range proa.Regions() {
		e.Replication = append(e.Replication, c.replicationView(r))
	}
	changed := c.remember(e)
	c.out = append(c.out, StateChanged{State: c.State()}, changed)
	c.event(EventPlan, p.Active, fmt.Sprintf("plan %d: %s", p.Version, what))
}

// remember puts the present plan at the end of the history.
func (c *Controller) remember(e Evidence) PlanChanged {
	p := PlanChanged{Plan: c.state.Plan, Evidence: e}
	h := append(slices.Clone(c.state.History), p)
	if over := len(h) - c.cfg.HistoryLimit; over > 0 {
		h = slices.Delete(h, 0, over)
	}
	c.state.History = h
	return p
}

// verdicts lists what every vantage last said, in a fixed order.
func (c *Controller) verdicts() []proa.Verdict {
	list := make([]proa.Verdict, 0, 2*len(c.heard))
	for i := range c.heard {
		for _, h := range c.heard[i] {
			if !h.at.IsZero() {
				list = append(list, h.verdict)
			}
		}
	}
	slices.SortFunc(list, func(a, b proa.Verdict) int {
		return cmp.Or(cmp.Compare(a.Region, b.Region), cmp.Compare(a.By, b.By))
	})
	return list
}

// replicationView is a direction's state with a stale one as unknown.
func (c *Controller) replicationView(from proa.Region) Replication {
	l := c.links[from]
	switch age := c.now.Sub(l.at); {
	case l.at.IsZero():
		return Replication{From: from, Reason: "nothing heard yet"}
	case age > c.cfg.StaleAfter:
		return Replication{From: from, Reason: "silent for " + seconds(age)}
	}
	return l.state
}

// verdictsHeard is what was heard of each vantage.
func (c *Controller) verdictsHeard() map[string][2]heard {
	m := make(map[string][2]heard, len(c.heard))
	for i, v := range c.cfg.Vantages {
		m[v.Name] = c.heard[i]
	}
	return m
}

func (c *Controller) reconfigure(cfg Config) {
	if err := cfg.Validate(); err != nil {
		c.refuse(err)
		c.event(EventConfig, "", "policy refused, the last good one stays: "+err.Error())
		return
	}
	was := c.verdictsHeard()
	c.cfg, c.counted = cfg, time.Time{}
	c.heard = make([][2]heard, len(cfg.Vantages))
	for i, v := range cfg.Vantages {
		c.heard[i] = was[v.Name]
	}
	c.event(EventConfig, "", "policy changed")
}

func (c *Controller) adopt(s State) {
	if _, err := proa.ParseRegion(string(s.Plan.Active)); err != nil {
		c.refuse(fmt.Errorf("adopt plan %d: %w: %w", s.Plan.Version, proa.ErrInvalid, err))
		return
	}
	if s.Plan.Version <= c.state.Plan.Version || s.Plan.Epoch < c.state.Plan.Epoch {
		c.refuse(fmt.Errorf("adopt plan %d: plan %d is in force: %w",
			s.Plan.Version, c.state.Plan.Version, proa.ErrStalePlan))
		return
	}
	if s.Plan.Epoch != c.state.Plan.Epoch {
		c.ownerNamed = c.now
	}
	c.state = cloneState(s)
	c.pending = nil
	var e Evidence
	if n := len(s.History); n > 0 && s.History[n-1].Plan.Version == s.Plan.Version {
		e = s.History[n-1].Evidence
	}
	c.out = append(c.out, StateChanged{State: c.State()}, PlanChanged{Plan: s.Plan, Evidence: e})
	c.event(EventPlan, s.Plan.Active, fmt.Sprintf("plan %d adopted: %s", s.Plan.Version,
		s.Plan.Reason))
}

func (c *Controller) event(kind EventKind, r proa.Region, text string) {
	c.out = append(c.out, Event{At: c.now, Kind: kind, Region: r, Text: text})
}

func (c *Controller) refuse(err error) { c.out = append(c.out, Refused{Err: err}) }

// wait reports an obstacle when it is not the one reported last.
func (c *Controller) wait(obstacle string) {
	if c.waiting != obstacle {
		c.waiting = obstacle
		c.event(EventWaiting, "", obstacle)
	}
}

func cloneState(s State) State {
	s.Switches = slices.Clone(s.Switches)
	s.History = slices.Clone(s.History)
	if s.Held != nil {
		held := *s.Held
		s.Held = &held
	}
	if s.Writers != nil {
		w := *s.Writers
		s.Writers = &w
	}
	return s
}
