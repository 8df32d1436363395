package traffic

import (
	"fmt"
	"time"

	"github.com/proa-cloud/proa"
)

// Writers says which region may write the tables that have one writer.
type Writers struct {
	// Seq counts the changes of Region.
	Seq uint64 `json:"seq"`
	// Region is the one that may, "" for none while a planned move is under way.
	Region proa.Region `json:"region"`
	// Since is when Region changed.
	Since time.Time `json:"since"`
	// Revoked says that the hook has revoked the other regions' credentials.
	Revoked bool `json:"revoked,omitempty"`
	// Failure is why the hook could not.
	Failure string `json:"failure,omitempty"`
}

// Fenced reports how the hook that revokes credentials fared, by the Writers.Seq that it was
// started for.
type Fenced struct {
	Seq uint64
	Err string // "" when the credentials are revoked
}

func (Fenced) isInput() {}

// GrantFresh is how old a node's word from the node that decides may be when it gives a write lease.
const GrantFresh = 500 * time.Millisecond

// Granter decides, on one node, whether a function may write tables with one writer for the length
// of a lease, which the function counts from before it asked. No two regions hold a lease at once,
// whatever wall clocks say: all times are of the node's own monotonic clock, a node that has not
// heard from the deciding node, with all that was agreed, for GrantFresh gives none, and after a
// change it gives none to the new region until those that any node gave before are over.
type Granter struct {
	lease time.Duration
	w     Writers
	known bool
	heard time.Time
	clear time.Time // when leases of other regions than w.Region are over
}

// NewGranter makes one for leases of that length.
func NewGranter(lease time.Duration) *Granter { return &Granter{lease: lease} }

// Hear takes the writers as of now: the node is in touch with the one that decides and has applied
// all that was agreed by then. nil: no table has one writer.
func (g *Granter) Hear(now time.Time, w *Writers) {
	if w == nil {
		g.known = false
		return
	}
	if !g.known || w.Seq != g.w.Seq {
		fenced := g.known && g.w.Region == "" && w.Seq == g.w.Seq+1
		if !fenced {
			g.clear = now.Add(g.lease + GrantFresh)
		}
	}
	g.w, g.known, g.heard = *w, true, now
}

// Grant reports whether the region may write, and why not.
func (g *Granter) Grant(now time.Time, r proa.Region) error {
	switch {
	case !g.known || now.Sub(g.heard) > GrantFresh:
		return fmt.Errorf("write lease for %s: this node is out of touch with the one that decides: %w",
			r, proa.ErrUnavailable)
	case g.w.Region == "":
		return fmt.Errorf("write lease for %s: a planned switch is under way: %w", r,
			proa.ErrUnavailable)
	case g.w.Region != r:
		return fmt.Errorf("write lease for %s: %s is the writer: %w", r, g.w.Region, proa.ErrConflict)
	case now.Before(g.clear):
		return fmt.Errorf("write lease for %s: leases of before run out in %s: %w", r,
			seconds(g.clear.Sub(now)), proa.ErrUnavailable)
	}
	return nil
}

// settleWriters follows a policy that has begun, or ceased, to have tables with one writer.
func (c *Controller) settleWriters() {
	switch w := c.state.Writers; {
	case c.cfg.OneWriter && w == nil:
		c.moveWriters(c.state.Plan.Active)
	case !c.cfg.OneWriter && w != nil:
		c.state.Writers = nil
	default:
		return
	}
	c.out = append(c.out, StateChanged{State: c.State()})
}

// moveWriters gives the right to write to a region, "" for none.
func (c *Controller) moveWriters(to proa.Region) {
	if !c.cfg.OneWriter {
		c.state.Writers = nil
		return
	}
	w := Writers{Seq: 1, Region: to, Since: c.now}
	if was := c.state.Writers; was != nil {
		w.Seq = was.Seq + 1
		w.Revoked = was.Revoked && was.Region == ""
	}
	c.state.Writers = &w
}

// hearFence notes the hook's report, if it is about the fence in force.
func (c *Controller) hearFence(in Fenced) {
	w := c.state.Writers
	if c.standby != "" || w == nil || w.Seq != in.Seq || w.Revoked && in.Err == "" {
		return
	}
	if len(in.Err) > maxCommandText {
		in.Err = in.Err[:maxCommandText]
	}
	next := *w
	next.Revoked, next.Failure = in.Err == "", in.Err
	if next == *w {
		return
	}
	c.state.Writers = &next
	c.out = append(c.out, StateChanged{State: c.State()})
	if in.Err != "" {
		c.event(EventCommand, "", "credentials were not revoked: "+in.Err)
	}
}

// fenceWaits says what the fence of a planned move waits for, "" when nobody can write any more.
func (c *Controller) fenceWaits() string {
	w := c.state.Writers
	if w == nil || w.Region != "" {
		return "the fence is not up"
	}
	if left := w.Since.Add(c.cfg.WriteLease + GrantFresh).Sub(c.now); left > 0 {
		return "leases run out in " + seconds(left)
	}
	if c.cfg.FenceHook && !w.Revoked {
		return "credentials are not revoked yet" + because(w.Failure)
	}
	return ""
}
