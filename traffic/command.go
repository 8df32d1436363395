package traffic

import (
	"fmt"
	"time"

	"github.com/proa-cloud/proa"
)

// maxCommandText bounds what an operator's words may add to the durable state.
const maxCommandText = 512

// command takes an operator's order or refuses it with the reason.
func (c *Controller) command(cmd Command) {
	if cmd.By == "" || len(cmd.By) > maxCommandText || len(cmd.Reason) > maxCommandText {
		c.refuse(fmt.Errorf("%s: the operator's name is missing, or name or reason is over %d bytes: %w",
			cmd.Action, maxCommandText, proa.ErrInvalid))
		return
	}
	if c.standby != "" {
		c.refuse(fmt.Errorf("%s: %s: %w", cmd.Action, c.standby, proa.ErrUnavailable))
		return
	}
	switch cmd.Action {
	case Hold:
		c.hold(cmd)
	case Release:
		c.release(cmd)
	case Failback:
		cmd.To = c.cfg.Preferred
		c.startSwitchover(cmd)
	case Switchover:
		c.startSwitchover(cmd)
	case Force:
		c.force(cmd)
	case HandOver:
		c.handOver(cmd)
	default:
		c.refuse(fmt.Errorf("unknown action %q: %w", cmd.Action, proa.ErrInvalid))
	}
}

// target refuses a region that does not exist or is active already.
func (c *Controller) target(cmd Command) error {
	if _, err := proa.ParseRegion(string(cmd.To)); err != nil {
		return fmt.Errorf("%s: %w: %w", cmd.Action, proa.ErrInvalid, err)
	}
	if cmd.To == c.state.Plan.Active {
		return fmt.Errorf("%s: %s is active already since plan %d: %w",
			cmd.Action, cmd.To, c.state.Plan.Version, proa.ErrConflict)
	}
	return nil
}

// startSwitchover begins a planned move. The safety rules come first.
func (c *Controller) startSwitchover(cmd Command) {
	if cmd.Action == Failback && cmd.To == c.state.Plan.Active && c.state.Pinned {
		c.state.Pinned = false // the operator is done with choosing; nothing has to move
		c.out = append(c.out, StateChanged{State: c.State()})
		return
	}
	if cmd.To == c.state.Plan.Active && c.state.Plan.Share > 0 {
		c.state.Pinned = true
		c.withdraw("by "+cmd.By+because(cmd.Reason), cmd.By)
		return
	}
	if err := c.target(cmd); err != nil {
		c.refuse(err)
		return
	}
	if c.pending != nil {
		c.refuse(fmt.Errorf("%s: a switchover to %s waits already since %s: %w", cmd.Action,
			c.pending.Command.To, c.pending.Since.UTC().Format(time.TimeOnly), proa.ErrConflict))
		return
	}
	if err := c.mayMove(cmd); err != nil {
		c.refuse(err)
		return
	}
	overridden, err := c.mayOverride(cmd)
	if err != nil {
		c.refuse(err)
		return
	}
	c.pending = &Pending{
		Command: cmd, Since: c.now, Overridden: overridden,
		Deadline: c.now.Add(c.cfg.Drain + c.cfg.SwitchoverTimeout),
	}
	if c.cfg.OneWriter {
		c.pending.Deadline = c.pending.Deadline.Add(c.cfg.WriteLease)
	}
	c.event(EventCommand, cmd.To, fmt.Sprintf("%s to %s by %s begins%s", cmd.Action, cmd.To, cmd.By,
		because(cmd.Reason)))
	c.nextPhase()
}

// mayMove is the safety rule of planned moves: the target serves, and both directions of
// replication are in order.
func (c *Controller) mayMove(cmd Command) error {
	if j := c.judgement(cmd.To); j.Health != proa.Healthy {
		return fmt.Errorf("%s: %s is %s (%s): %w", cmd.Action, cmd.To, j.Health, j.Reason,
			proa.ErrConflict)
	}
	for _, from := range proa.Regions() {
		if t := c.trouble(from); t != "" {
			return fmt.Errorf("%s: %s: %w", cmd.Action, t, proa.ErrConflict)
		}
	}
	return nil
}

func (c *Controller) dropPending(why string) {
	if c.pending == nil {
		return
	}
	cmd := c.pending.Command
	c.pending = nil
	c.event(EventCommand, cmd.To, fmt.Sprintf("%s to %s by %s abandoned: %s", cmd.Action, cmd.To,
		cmd.By, why))
}

// force switches whatever health and data say.
func (c *Controller) force(cmd Command) {
	if err := c.target(cmd); err != nil {
		c.refuse(err)
		return
	}
	if cmd.Reason == "" {
		c.refuse(fmt.Errorf("force: a reason is needed for the record: %w", proa.ErrInvalid))
		return
	}
	aside := c.ruled(CauseForce, cmd.To, cmd) // for the record
	c.dropPending("forced by " + cmd.By)
	c.state.Pinned = cmd.To != c.cfg.Preferred
	c.state.Forced = c.judged[cmd.To].Health != proa.Healthy
	c.switchTo(cmd.To, Evidence{Cause: CauseForce, By: cmd.By, Overridden: aside},
		fmt.Sprintf("forced by %s: %s (%s was %s)", cmd.By, cmd.Reason, cmd.To, c.judged[cmd.To].Health))
}

func (c *Controller) hold(cmd Command) {
	if cmd.For < 0 {
		c.refuse(fmt.Errorf("hold: duration %s is negative: %w", cmd.For, proa.ErrInvalid))
		return
	}
	h := &HoldState{By: cmd.By, Reason: cmd.Reason, Since: c.now}
	if cmd.For > 0 {
		h.Until = c.now.Add(cmd.For)
	}
	c.state.Held = h
	c.out = append(c.out, StateChanged{State: c.State()})
	c.event(EventCommand, "", c.heldText())
}

func (c *Controller) release(cmd Command) {
	if c.state.Held == nil && c.pending == nil && !c.state.Forced {
		c.refuse(fmt.Errorf("release: nothing is held: %w", proa.ErrConflict))
		return
	}
	c.dropPending("released by " + cmd.By)
	if c.state.Held != nil || c.state.Forced {
		c.state.Held, c.state.Forced = nil, false
		c.out = append(c.out, StateChanged{State: c.State()})
		c.event(EventCommand, "", "released by "+cmd.By)
	}
}

func (c *Controller) forcedText() string {
	return "an operator forced " + string(c.state.Plan.Active) + " and it has not been healthy since"
}

// expireHold ends a hold whose time is over.
func (c *Controller) expireHold() {
	h := c.state.Held
	if h == nil || c.standby != "" || h.Until.IsZero() || c.now.Before(h.Until) {
		return
	}
	c.state.Held = nil
	c.out = append(c.out, StateChanged{State: c.State()})
	c.event(EventCommand, "", "hold by "+h.By+" has ended")
}

func (c *Controller) heldText() string {
	h := c.state.Held
	until := "until released"
	if !h.Until.IsZero() {
		until = "until " + h.Until.UTC().Format(time.TimeOnly)
	}
	return fmt.Sprintf("held by %s %s%s", h.By, until, because(h.Reason))
}
