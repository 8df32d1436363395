package traffic

import (
	"fmt"
	"strings"
	"time"

	"github.com/proa-cloud/proa"
)

// Rule refuses moves. It must be pure: the same move, the same answer.
type Rule interface {
	// Name names the rule in refusals and in the record.
	Name() string
	// Refuse says why the move must not be made, "" when it may.
	Refuse(Move) string
}

// Move is a switch that is about to be made, and what is known.
type Move struct {
	Cause   Cause
	From    proa.Region
	To      proa.Region
	By      string // the operator, "" for the controller
	Reason  string // the operator's
	At      time.Time
	Since   time.Time // when Active last changed by a switch; zero: never
	Regions map[proa.Region]Judgement
	// Replication is both directions, as last heard.
	Replication []Replication
}

// MinBetween refuses planned moves and failbacks soon after the last switch. A failover is never
// refused by it.
type MinBetween time.Duration

// Name is "min-between".
func (MinBetween) Name() string { return "min-between" }

// Refuse refuses a move within the time.
func (d MinBetween) Refuse(m Move) string {
	least := time.Duration(d)
	ago := m.At.Sub(m.Since)
	if m.Cause == CauseFailover || m.Since.IsZero() || ago >= least {
		return ""
	}
	return fmt.Sprintf("the last switch was %s ago, and %s must lie between two", seconds(ago),
		seconds(least))
}

// move describes a switch to the rules.
func (c *Controller) move(cause Cause, to proa.Region, cmd Command) Move {
	m := Move{
		Cause: cause, From: to.Other(), To: to, By: cmd.By, Reason: cmd.Reason, At: c.now,
		Regions: map[proa.Region]Judgement{},
	}
	if n := len(c.state.Switches); n > 0 {
		m.Since = c.now.Add(-c.since(c.state.Switches[n-1]))
	}
	for _, r := range proa.Regions() {
		m.Regions[r] = c.judgement(r)
		m.Replication = append(m.Replication, c.replicationView(r))
	}
	return m
}

// ruled lists what the safety rules say against a move.
func (c *Controller) ruled(cause Cause, to proa.Region, cmd Command) []string {
	if len(c.cfg.Rules) == 0 {
		return nil
	}
	var said []string
	m := c.move(cause, to, cmd)
	for _, r := range c.cfg.Rules {
		if why := r.Refuse(m); why != "" {
			said = append(said, "rule "+r.Name()+": "+why)
		}
	}
	return said
}

// mayOverride refuses an order that a rule refuses, unless the operator sets the rules aside. It
// returns what was set aside.
func (c *Controller) mayOverride(cmd Command) ([]string, error) {
	said := c.ruled(CauseSwitchover, cmd.To, cmd)
	switch {
	case len(said) == 0:
		return nil, nil
	case !cmd.Override:
		return nil, fmt.Errorf("%s: %s (an override with a reason sets it aside): %w", cmd.Action,
			strings.Join(said, "; "), proa.ErrConflict)
	case cmd.Reason == "":
		return nil, fmt.Errorf("%s: an override needs a reason for the record: %w", cmd.Action,
			proa.ErrInvalid)
	}
	return said, nil
}
