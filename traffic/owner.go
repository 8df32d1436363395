package traffic

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/proa-cloud/proa"
)

// NodeHeard is a node's sign of life, this node's own included, sent at least every OwnerSilence/3.
// Nodes that are not among the configured vantages are not heard.
type NodeHeard struct {
	Node string
	// Unfit says why the node cannot run data sync (it is cut off, its disk is full, it was
	// fenced), "" when it can.
	Unfit string
}

func (NodeHeard) isInput() {}

// life is what is known of a node as a runner of data sync.
type life struct {
	at         time.Time // when it was last heard
	unfit      string
	unfitSince time.Time // zero: it is fit
}

// NodeView is a node as the choice of data sync's owner sees it.
type NodeView struct {
	Node  string    `json:"node"`
	Owner bool      `json:"owner"`
	Heard time.Time `json:"heard,omitzero"`
	State string    `json:"state"` // "fit", or why it is not
}

// hearNode notes a sign of life.
func (c *Controller) hearNode(in NodeHeard) {
	if !slices.ContainsFunc(c.cfg.Vantages, func(v Vantage) bool { return v.Name == in.Node }) {
		return
	}
	l := life{at: c.now, unfit: in.Unfit}
	if was := c.lives[in.Node]; in.Unfit != "" {
		l.unfitSince = was.unfitSince
		if l.unfitSince.IsZero() {
			l.unfitSince = c.now
		}
	}
	c.lives[in.Node] = l
}

// lapse says why the node cannot run data sync now, "" when it can.
func (c *Controller) lapse(node string) string {
	l, known := c.lives[node]
	switch {
	case !known:
		return "not heard of yet"
	case c.now.Sub(l.at) > c.cfg.OwnerSilence:
		return "silent for " + seconds(c.now.Sub(l.at))
	}
	return l.unfit
}

// ownerLapse is lapse of the owner, with patience: silence counts from the moment at which this
// node began to decide or the owner was named, whichever is later, so that a lease that was given
// before is over; and an owner that calls itself unfit is given the same time to get well.
func (c *Controller) ownerLapse() string {
	owner := c.state.Plan.Owner
	l := c.lives[owner]
	from := l.at
	for _, t := range []time.Time{c.decides, c.ownerNamed} {
		if t.After(from) {
			from = t
		}
	}
	configured := slices.ContainsFunc(c.cfg.Vantages, func(v Vantage) bool { return v.Name == owner })
	switch silent := c.now.Sub(from); {
	case silent > c.cfg.OwnerSilence && !configured:
		return "is not among the nodes any more"
	case silent > c.cfg.OwnerSilence:
		return "silent for " + seconds(silent)
	case l.unfit != "" && c.now.Sub(l.unfitSince) > c.cfg.OwnerSilence:
		return "unfit for " + seconds(c.now.Sub(l.unfitSince)) + ": " + l.unfit
	}
	return ""
}

// decideOwner names data sync's owner when there is none, or when the present one has lapsed and
// another node is fit. It never moves it for a preference: each move costs a claim and a rebuild.
// It reports whether it made a plan.
func (c *Controller) decideOwner() bool {
	if c.cfg.OwnerSilence == 0 {
		return false
	}
	owner, why := c.state.Plan.Owner, "nobody runs data sync yet"
	if owner != "" {
		if why = c.ownerLapse(); why == "" {
			return false
		}
		why = owner + " " + why
	}
	next, ok := c.candidate(owner)
	if !ok {
		c.waitOwner(why + "; no other node is fit: " + c.unfitText(owner))
		return false
	}
	c.nameOwner(next, why, Evidence{Cause: CauseOwner})
	return true
}

// candidate is the fit node that a cloud's loss would hurt least: the witness, then one beside the
// region that does not serve, then by name.
func (c *Controller) candidate(except string) (string, bool) {
	rank := func(v Vantage) int {
		switch v.Beside {
		case "":
			return 0
		case c.state.Plan.Active:
			return 2
		}
		return 1
	}
	fit := slices.DeleteFunc(slices.Clone(c.cfg.Vantages), func(v Vantage) bool {
		return v.Name == except || c.lapse(v.Name) != ""
	})
	if len(fit) == 0 {
		return "", false
	}
	return slices.MinFunc(fit, func(a, b Vantage) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Name, b.Name))
	}).Name, true
}

// nameOwner makes the plan with another owner. Where traffic goes does not change, and the flap
// budget is not touched.
func (c *Controller) nameOwner(next, why string, e Evidence) {
	p := c.state.Plan
	p.Version++
	p.Epoch++
	p.Owner = next
	c.ownerNamed = c.now
	c.enact(p, e, fmt.Sprintf("data sync moves to %s, epoch %d: %s", next, p.Epoch, why))
}

// handOver is the operator's order to move data sync to a named node.
func (c *Controller) handOver(cmd Command) {
	switch why := c.lapse(cmd.Node); {
	case c.cfg.OwnerSilence == 0:
		c.refuse(fmt.Errorf("%s: this node alone runs data sync: %w", cmd.Action, proa.ErrConflict))
	case cmd.Node == c.state.Plan.Owner:
		c.refuse(fmt.Errorf("%s: %s owns data sync already since epoch %d: %w", cmd.Action, cmd.Node,
			c.state.Plan.Epoch, proa.ErrConflict))
	case why != "":
		c.refuse(fmt.Errorf("%s: %q: %s: %w", cmd.Action, cmd.Node, why, proa.ErrConflict))
	default:
		c.nameOwner(cmd.Node, "by "+cmd.By+because(cmd.Reason), Evidence{Cause: CauseOwner, By: cmd.By})
	}
}

func (c *Controller) unfitText(except string) string {
	text := ""
	for _, v := range c.cfg.Vantages {
		if v.Name != except {
			text += v.Name + " " + c.lapse(v.Name) + "; "
		}
	}
	if text == "" {
		return "there is no other"
	}
	return text[:len(text)-2]
}

// waitOwner tells an obstacle to a hand-over once.
func (c *Controller) waitOwner(obstacle string) {
	if !c.ownerWaits {
		c.ownerWaits = true
		c.event(EventWaiting, "", "data sync's hand-over waits: "+obstacle)
	}
}

// nodes lists the nodes for Explain, nil where no owner is chosen.
func (c *Controller) nodes() []NodeView {
	if c.cfg.OwnerSilence == 0 {
		return nil
	}
	list := make([]NodeView, 0, len(c.cfg.Vantages))
	for _, v := range c.cfg.Vantages {
		view := NodeView{Node: v.Name, Owner: v.Name == c.state.Plan.Owner, State: c.lapse(v.Name)}
		view.Heard = c.lives[v.Name].at
		if view.State == "" {
			view.State = "fit"
		}
		list = append(list, view)
	}
	return list
}
