package traffic

import (
	"fmt"
	"time"

	"github.com/proa-cloud/proa"
)

// failback moves traffic to the preferred region once its gate is open, at once or by stages.
func (c *Controller) failback() {
	to := c.cfg.Preferred
	if why := c.shareEnds(); why != "" && c.state.Held == nil {
		c.withdraw(why, "")
		return
	}
	if c.state.Plan.Active == to {
		c.waiting = ""
		return
	}
	if c.judged[to].Health != proa.Healthy || !c.replicated() || len(c.failbackWaits()) > 0 {
		c.noteFailbackWait()
		return
	}
	gate := fmt.Sprintf("%s healthy for %s, replication both ways under %s for %s", to,
		seconds(c.now.Sub(c.judged[to].Since)), seconds(c.cfg.LagObjective), seconds(c.cfg.Dwell))
	if next := c.nextStage(); next > 0 {
		c.stage(next, Evidence{Cause: CauseFailback}, fmt.Sprintf(
			"%d %% of clients go to %s: failback: %s", next, to, gate))
		return
	}
	c.switchTo(to, Evidence{Cause: CauseFailback}, "failback: "+gate)
}

// shareEnds says why the other region must lose its share of clients, "" when it need not.
func (c *Controller) shareEnds() string {
	active := c.state.Plan.Active
	to := active.Other()
	switch {
	case c.state.Plan.Share == 0:
		return ""
	case c.judged[to].Health == proa.Unhealthy:
		return fmt.Sprintf("%s is unhealthy (%s)", to, c.reason(to, proa.Unhealthy))
	case c.cfg.Preferred == active:
		return string(active) + " is preferred now"
	case c.cfg.OneWriter:
		return "only one region may write now"
	}
	return ""
}

// nextStage is the share that comes next, 0 when all traffic may move.
func (c *Controller) nextStage() int {
	if c.cfg.Failback != FailbackGradual {
		return 0
	}
	for _, s := range c.cfg.Stages {
		if s > c.state.Plan.Share {
			return s
		}
	}
	return 0
}

// stage sets the share of clients that go to the other region. The first one counts against the flap
// budget, as the last step and a withdrawal do.
func (c *Controller) stage(share int, e Evidence, what string) {
	p := c.state.Plan
	if p.Share == 0 || share == 0 {
		c.state.Switches = append(c.recentSwitches(), c.now)
	}
	p.Version++
	p.Share = share
	c.state.StageSince = c.now
	c.enact(p, e, what)
}

// withdraw ends a gradual failback: all traffic goes to the active region.
func (c *Controller) withdraw(why, by string) {
	c.stage(0, Evidence{Cause: CauseWithdraw, By: by},
		"all traffic goes to "+string(c.state.Plan.Active)+" again: "+why)
}

// failbackWaits lists everything that an automatic failback still waits for, in the order in which
// it is looked at.
func (c *Controller) failbackWaits() []string {
	var waits []string
	to := c.cfg.Preferred
	if c.cfg.Failback == FailbackManual {
		waits = append(waits, "failback is manual: an operator must ask for it")
	}
	if c.state.Pinned {
		waits = append(waits,
			"an operator chose "+string(c.state.Plan.Active)+": an operator must fail back")
	}
	if c.state.Held != nil {
		waits = append(waits, c.heldText())
	}
	j := c.judged[to]
	switch healthy := c.now.Sub(j.Since); {
	case j.Health != proa.Healthy:
		waits = append(waits, fmt.Sprintf("%s is %s: %s", to, j.Health, c.reason(to, j.Health)))
	case healthy < c.cfg.HoldDown:
		waits = append(waits, fmt.Sprintf("%s healthy for %s of the hold-down of %s",
			to, seconds(healthy), seconds(c.cfg.HoldDown)))
	}
	for _, from := range proa.Regions() {
		if t := c.trouble(from); t != "" {
			waits = append(waits, t)
		} else if dwell := c.now.Sub(c.links[from].okSince); dwell < c.cfg.Dwell {
			waits = append(waits, fmt.Sprintf("replication %s→%s under its objective for %s of %s",
				from, from.Other(), seconds(dwell), seconds(c.cfg.Dwell)))
		}
	}
	if c.budgetLeft() == 0 {
		waits = append(waits, c.budgetText())
	}
	if at := c.since(c.state.StageSince); c.state.Plan.Share > 0 && at < c.cfg.StageTime {
		waits = append(waits, fmt.Sprintf("%d %% of clients for %s of %s", c.state.Plan.Share,
			seconds(at), seconds(c.cfg.StageTime)))
	}
	if c.state.Plan.Share > 0 {
		return waits // its first stage passed the rules
	}
	return append(waits, c.ruled(CauseFailback, to, Command{})...)
}

// noteFailbackWait reports an obstacle that will not pass by itself; the rest is for Explain, or
// the log would fill.
func (c *Controller) noteFailbackWait() {
	switch {
	case c.budgetLeft() == 0:
		c.wait("failback waits: " + c.budgetText())
	case c.judged[c.cfg.Preferred].Health != proa.Healthy:
		c.wait("failback waits: " + string(c.cfg.Preferred) + " is not healthy")
	case !c.replicated():
		c.wait("failback waits: replication is unknown or over its objective")
	default:
		c.wait("failback waits: hold-down, dwell time or an operator")
	}
}

// replicated reports whether both directions are known and under their objective.
func (c *Controller) replicated() bool {
	return c.inOrder(c.links[proa.AWS]) && c.inOrder(c.links[proa.Azure])
}

// since is how long ago a time of the agreed state was. It is of the wall clock of whoever decided then, so it may be
// ahead: one that is far ahead was written by a clock that was wrong, and counts as long ago.
func (c *Controller) since(t time.Time) time.Duration { return c.now.Sub(t).Abs() }

// recentSwitches returns the switches that still count against the budget.
func (c *Controller) recentSwitches() []time.Time {
	var recent []time.Time
	for _, t := range c.state.Switches {
		if c.since(t) < c.cfg.FlapWindow {
			recent = append(recent, t)
		}
	}
	return recent
}

func (c *Controller) budgetLeft() int {
	return max(0, c.cfg.FlapBudget-len(c.recentSwitches()))
}

func (c *Controller) budgetText() string {
	recent := c.recentSwitches()
	if len(recent) == 0 {
		return "flap budget free"
	}
	free := recent[max(0, len(recent)-c.cfg.FlapBudget)].Add(c.cfg.FlapWindow)
	return fmt.Sprintf("flap budget spent: %d switches within %s, at most %d; free again at %s",
		len(recent), seconds(c.cfg.FlapWindow), c.cfg.FlapBudget, free.UTC().Format(time.TimeOnly))
}
