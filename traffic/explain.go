package traffic

import (
	"fmt"
	"slices"
	"time"

	"github.com/proa-cloud/proa"
)

// Explanation is a structured account of why traffic is where it is and what could move it.
type Explanation struct {
	At          time.Time                 `json:"at"`
	Summary     string                    `json:"summary"` // one sentence
	Plan        proa.Plan                 `json:"plan"`
	Preferred   proa.Region               `json:"preferred"`
	Quorum      string                    `json:"quorum"`            // how many vantages decide
	Standby     string                    `json:"standby,omitempty"` // why this node does not decide
	Regions     map[proa.Region]Judgement `json:"regions"`
	Vantages    []VantageView             `json:"vantages"`
	Nodes       []NodeView                `json:"nodes,omitempty"` // where data sync's owner is chosen
	Replication []Replication             `json:"replication"`
	// What the switch that is wanted now waits for
	Waiting []string     `json:"waiting"`
	Next    []Transition `json:"next"`
	Budget  Budget       `json:"budget"`
	Held    *HoldState   `json:"held,omitempty"`
	Writers *Writers     `json:"writers,omitempty"` // who may write tables with one writer
	Rules   []string     `json:"rules,omitempty"`   // the safety rules' names
	Pending *Pending     `json:"pending,omitempty"`
	// Pinned, Forced, Switches and StageSince are the State's.
	Pinned     bool          `json:"pinned,omitempty"`
	Forced     bool          `json:"forced,omitempty"`
	Switches   []time.Time   `json:"switches,omitempty"`
	StageSince time.Time     `json:"stage_since,omitzero"`
	History    []PlanChanged `json:"history"` // the present plan last
}

// Transition is a switch that could come next.
type Transition struct {
	Cause   Cause       `json:"cause"`
	To      proa.Region `json:"to"`
	Blocked []string    `json:"blocked"` // what is in its way; empty: it happens at once
}

// Budget is the flap budget's account.
type Budget struct {
	Limit  int           `json:"limit"`
	Used   int           `json:"used"`
	Window time.Duration `json:"window"`
}

// Explain gives the account as of the last step.
func (c *Controller) Explain() Explanation {
	s := c.State()
	e := Explanation{
		At: c.now, Plan: s.Plan, Preferred: c.cfg.Preferred, Quorum: c.quorumText(), Standby: c.standby,
		Regions: map[proa.Region]Judgement{},
		Budget:  Budget{Limit: c.cfg.FlapBudget, Used: len(c.recentSwitches()), Window: c.cfg.FlapWindow},
		Held:    s.Held, History: s.History, Nodes: c.nodes(), Writers: s.Writers,
		Pinned: s.Pinned, Forced: s.Forced, Switches: s.Switches, StageSince: s.StageSince,
	}
	if c.pending != nil {
		p := *c.pending
		e.Pending = &p
	}
	for _, r := range proa.Regions() {
		e.Regions[r] = c.judgement(r)
		e.Vantages = append(e.Vantages, c.votes(r)...)
		e.Replication = append(e.Replication, c.replicationView(r))
	}
	for _, r := range c.cfg.Rules {
		e.Rules = append(e.Rules, r.Name())
	}
	e.Next = c.transitions()
	e.Waiting = c.waits()
	e.Summary = fmt.Sprintf("traffic goes to %s since %s by plan %d: %s", s.Plan.Active,
		s.Plan.Since.UTC().Format(time.RFC3339), s.Plan.Version, s.Plan.Reason)
	return e
}

// waits lists what holds back the switch that is wanted now, each with the switch's name.
func (c *Controller) waits() []string {
	var list []string
	active := c.state.Plan.Active
	if c.pending != nil {
		list = append(list, fmt.Sprintf("%s waits: %s", c.pending.Command.Action, c.phaseWaits()))
	}
	for _, t := range c.transitions() {
		wanted := t.Cause == CauseFailback && c.judged[active].Health != proa.Unhealthy ||
			t.Cause == CauseFailover && c.judged[active].Health == proa.Unhealthy
		if !wanted {
			continue
		}
		for _, b := range t.Blocked {
			list = append(list, string(t.Cause)+" waits: "+b)
		}
	}
	return list
}

// transitions lists the automatic switches that the present plan can lead to.
func (c *Controller) transitions() []Transition {
	active := c.state.Plan.Active
	other := active.Other()
	over := Transition{Cause: CauseFailover, To: other, Blocked: []string{}}
	if j := c.judged[active]; j.Health != proa.Unhealthy {
		over.Blocked = append(over.Blocked, fmt.Sprintf("%s is %s, not unhealthy", active, j.Health))
	}
	over.Blocked = append(over.Blocked, c.failoverWaits(active, other)...)
	list := []Transition{over}
	if active != c.cfg.Preferred {
		back := Transition{
			Cause: CauseFailback, To: c.cfg.Preferred,
			Blocked: slices.Concat([]string{}, c.failbackWaits()),
		}
		list = append(list, back)
	}
	return list
}

func (c *Controller) quorumText() string {
	n := len(c.cfg.Vantages)
	if n == 1 {
		return "one vantage: no quorum, it decides alone"
	}
	return fmt.Sprintf("%d of %d vantages decide", c.cfg.majority(), n)
}
