package traffic

import (
	"fmt"
	"time"
)

// Phase is how far a planned move has come.
type Phase string

// The phases of a planned move, in their order; those that the policy does not ask for are left
// out.
const (
	// PhaseDrain: short TTLs are asked for, and long ones run out
	PhaseDrain Phase = "drain"
	// PhaseFence: nobody may write tables with one writer, leases run out, credentials are revoked
	PhaseFence Phase = "fence"
	// PhaseCross: what was written before this phase must have arrived: backlog 0 and, where
	// heartbeats are written, a later one has crossed
	PhaseCross Phase = "cross"
)

// Pending is a planned move under way. What it has done so far is in the state (Plan.Drain,
// Writers); it is not: a controller that finds a move half done and does not know of it undoes it.
type Pending struct {
	Command    Command   `json:"command"`
	Since      time.Time `json:"since"`
	Deadline   time.Time `json:"deadline"`
	Phase      Phase     `json:"phase"`
	PhaseSince time.Time `json:"phase_since"`
	Overridden []string  `json:"overridden,omitempty"`
}

// nextPhase enters the next phase that the policy asks for.
func (c *Controller) nextPhase() {
	p := c.pending
	p.PhaseSince = c.now
	switch {
	case p.Phase == "" && c.cfg.Drain > 0:
		p.Phase = PhaseDrain
		plan := c.state.Plan
		plan.Version++
		plan.Drain = true
		c.enact(plan, Evidence{Cause: CauseDrain, By: p.Command.By}, "short TTLs: "+
			string(p.Command.Action)+" to "+string(p.Command.To)+" is near")
	case (p.Phase == "" || p.Phase == PhaseDrain) && c.cfg.OneWriter:
		p.Phase = PhaseFence
		c.moveWriters("")
		c.out = append(c.out, StateChanged{State: c.State()})
		c.event(EventCommand, p.Command.To.Other(), "nobody may write tables with one writer until the "+
			string(p.Command.Action)+" is done")
	default:
		p.Phase = PhaseCross
	}
}

// advanceSwitchover goes on with a planned move, or gives it up.
func (c *Controller) advanceSwitchover() {
	p := c.pending
	if err := c.mayMove(p.Command); err != nil {
		c.abandon(err.Error())
		return
	}
	if p.Phase == "" {
		c.nextPhase()
		return
	}
	if waits := c.phaseWaits(); waits != "" && !c.now.Before(p.Deadline) {
		c.abandon(fmt.Sprintf("%s after %s", waits, seconds(c.now.Sub(p.Since))))
		return
	}
	if c.phaseWaits() != "" {
		return
	}
	if p.Phase != PhaseCross {
		c.nextPhase()
		return
	}
	cmd := p.Command
	c.pending = nil
	c.state.Pinned = cmd.To != c.cfg.Preferred
	c.switchTo(cmd.To, Evidence{Cause: CauseSwitchover, By: cmd.By, Overridden: p.Overridden},
		fmt.Sprintf("%s by %s, backlog 0%s", cmd.Action, cmd.By, because(cmd.Reason)))
	c.done = p
}

// phaseWaits says what the phase still waits for, "" when it is over.
func (c *Controller) phaseWaits() string {
	p := c.pending
	spent := c.now.Sub(p.PhaseSince)
	switch p.Phase {
	case PhaseDrain:
		if spent < c.cfg.Drain {
			return "TTLs run out in " + seconds(c.cfg.Drain-spent)
		}
	case PhaseFence:
		return c.fenceWaits()
	case PhaseCross:
		from := p.Command.To.Other()
		l := c.links[from]
		name := fmt.Sprintf("replication %s→%s", from, from.Other())
		switch {
		case c.cfg.OneWriter && !c.fenced():
			return "the fence is not up"
		case !l.at.After(p.PhaseSince):
			return name + " has not reported since"
		case l.state.Backlog != 0:
			return fmt.Sprintf("backlog of %s is %d", name, l.state.Backlog)
		case !l.state.Through.IsZero() && !l.state.Through.After(p.PhaseSince):
			return "no heartbeat has crossed by " + name
		}
	}
	return ""
}

// rewind goes back to the phase that the agreed state has reached, when the log did not take what the
// planned move decided.
func (c *Controller) rewind() {
	p := c.pending
	switch {
	case p == nil:
	case p.Phase == PhaseDrain && !c.state.Plan.Drain:
		p.Phase = ""
	case (p.Phase == PhaseFence || p.Phase == PhaseCross) && c.cfg.OneWriter && !c.fenced():
		p.Phase, p.PhaseSince = PhaseDrain, c.now.Add(-c.cfg.Drain)
	}
}

// abandon gives the planned move up and undoes what it did.
func (c *Controller) abandon(why string) {
	c.dropPending(why)
	c.undo(why)
}

// unfinished reports whether a planned move has left something behind.
func (c *Controller) unfinished() bool {
	return c.state.Plan.Drain || c.fenced()
}

// fenced reports whether a planned move has taken the right to write from all.
func (c *Controller) fenced() bool { return c.state.Writers != nil && c.state.Writers.Region == "" }

// undo ends drain and fence: the active region writes again, as it did before.
func (c *Controller) undo(why string) {
	if c.fenced() {
		c.moveWriters(c.state.Plan.Active)
		c.out = append(c.out, StateChanged{State: c.State()})
		c.event(EventCommand, c.state.Plan.Active, "may write again: "+why)
	}
	if c.state.Plan.Drain && !c.planned() {
		p := c.state.Plan
		p.Version++
		p.Drain = false
		c.enact(p, Evidence{Cause: CauseDrain}, "TTLs as configured: "+why)
	}
}
