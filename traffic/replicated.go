package traffic

import "fmt"

// commit takes over what the replicated log holds.
func (c *Controller) commit(s State) {
	was := c.state.Plan
	if was.Epoch != s.Plan.Epoch {
		c.ownerNamed = c.now
	}
	c.state = cloneState(s)
	switch {
	case s.Plan.Version < was.Version && c.done != nil:
		c.pending, c.done = c.done, nil
	case s.Plan.Version > was.Version && s.Plan.Active != was.Active:
		c.pending, c.waiting = nil, ""
	}
	c.rewind()
	if was.Version == s.Plan.Version && was.Active == s.Plan.Active && was.Epoch == s.Plan.Epoch {
		c.out = append(c.out, StateChanged{State: c.State()})
		return
	}
	var e Evidence
	if n := len(s.History); n > 0 && s.History[n-1].Plan.Version == s.Plan.Version {
		e = s.History[n-1].Evidence
	}
	what := e.What
	if what == "" {
		what = fmt.Sprintf("traffic goes to %s: %s", s.Plan.Active, s.Plan.Reason)
	}
	c.out = append(c.out, StateChanged{State: c.State()}, PlanChanged{Plan: s.Plan, Evidence: e})
	c.event(EventPlan, s.Plan.Active, fmt.Sprintf("plan %d: %s", s.Plan.Version, what))
}

// assign begins or ends this node's turn to decide. A switchover that waits is given up with the
// turn: it is not in the log, and who decides next does not know of it.
func (c *Controller) assign(standby string) {
	if standby != "" && c.standby == "" {
		c.dropPending(standby)
	}
	c.done = nil
	if standby == "" { // also when it was so: another may have decided in between
		c.decides = c.now
	}
	c.standby = standby
}
