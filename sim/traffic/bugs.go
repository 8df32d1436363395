package trafficsim

import (
	"fmt"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/traffic"
)

// Bug is a mistake that is planted in what surrounds the controllers, or in what they are given.
type Bug struct {
	Name     string
	config   func(c *traffic.Config, node int)
	links    func(*traffic.Replication)
	forget   func(*traffic.State)                      // at each commit
	proposal func(was traffic.State, s *traffic.State) // at each proposal
	anyBase  bool                                      // the log takes what was decided on another state
	keep     bool                                      // a decision that was not agreed is not taken back
	solo     bool                                      // nodes act on what they decide and ask nobody

	oldVotes, lendAlone, longLease, grantAtOnce bool
}

// NoBug plants nothing.
var NoBug Bug

// Bugs are the planted ones: the checkers find each.
func Bugs() []Bug {
	return []Bug{
		{Name: "one vote decides", config: func(c *traffic.Config, node int) {
			c.Vantages = c.Vantages[node : node+1]
		}},
		{Name: "old votes count as new", oldVotes: true},
		{Name: "a node at its region speaks for the others", config: func(c *traffic.Config, _ int) {
			c.Vantages = []traffic.Vantage{{Name: "node-1"}, {Name: "node-2"}, {Name: "node-3"}}
		}},
		{Name: "silence is not noticed", config: func(c *traffic.Config, _ int) { c.StaleAfter = time.Hour }},
		{Name: "no hold-down", config: func(c *traffic.Config, _ int) { c.HoldDown = 0 }},
		{Name: "no dwell", config: func(c *traffic.Config, _ int) { c.Dwell = 0 }},
		{Name: "lag is taken for known", links: func(r *traffic.Replication) { r.Known = true }},
		{Name: "lag is not measured", links: func(r *traffic.Replication) { r.Lag = 0 }},
		{Name: "backlog is not counted", links: func(r *traffic.Replication) {
			r.Backlog, r.Through = 0, time.Time{}
		}},
		{Name: "one node forgets the budget", forget: func(s *traffic.State) { s.Switches = nil }},
		{Name: "one node forgets holds", forget: func(s *traffic.State) { s.Held = nil }},
		{Name: "one node forgets who chose", forget: func(s *traffic.State) { s.Pinned = false }},
		{Name: "rules do not reach the policy", config: func(c *traffic.Config, _ int) { c.Rules = nil }},
		{Name: "the log takes any base", anyBase: true},
		{Name: "a lost decision is not taken back", keep: true},
		{Name: "nodes ask nobody", solo: true},
		{Name: "epochs are used again", proposal: func(was traffic.State, s *traffic.State) {
			s.Plan.Epoch = was.Plan.Epoch
		}},
		{Name: "owners are replaced before their lease ends", config: func(c *traffic.Config, _ int) {
			c.OwnerSilence = 300 * time.Millisecond
		}},
		{Name: "owners keep their lease too long", longLease: true},
		{Name: "leases are given without asking", lendAlone: true},
		{Name: "write leases do not wait for others", grantAtOnce: true},
		{Name: "switchovers do not fence", proposal: func(_ traffic.State, s *traffic.State) {
			if s.Writers != nil && s.Writers.Region == "" {
				s.Writers.Region = s.Plan.Active
			}
		}},
		{Name: "a drain is never ended", proposal: func(was traffic.State, s *traffic.State) {
			s.Plan.Drain = s.Plan.Drain || was.Plan.Drain
		}},
	}
}

// BugNamed returns the planted bug of that name; "" is none.
func BugNamed(name string) (Bug, error) {
	if name == "" {
		return NoBug, nil
	}
	for _, b := range Bugs() {
		if b.Name == name {
			return b, nil
		}
	}
	return Bug{}, fmt.Errorf("planted bug %q: %w", name, proa.ErrNotFound)
}

func (b *Bug) configure(c *traffic.Config, node int) {
	if b.config != nil {
		b.config(c, node)
	}
}

func (b *Bug) commit(s *traffic.State) {
	if b.forget != nil {
		b.forget(s)
	}
}

func (b *Bug) agree(was, s *traffic.State) {
	if b.proposal == nil {
		return
	}
	if s.Writers != nil {
		writers := *s.Writers
		s.Writers = &writers
	}
	b.proposal(*was, s)
}
