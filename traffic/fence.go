package traffic

import (
	"time"

	"github.com/proa-cloud/proa"
)

// Writers says which region may write the tables that have one writer.
type Writers struct {
	// Region is the one that may, "" for none while a planned move is under way.
	Region proa.Region `json:"region"`
	// From is when it may begin: leases that the other region was given before are over by then.
	From time.Time `json:"from"`
	// Revoked says that the hook has revoked the other regions' credentials.
	Revoked bool `json:"revoked,omitempty"`
	// Failure is why the hook could not.
	Failure string `json:"failure,omitempty"`
}

// Fenced reports how the hook that revokes credentials fared, by the Writers.From that it was
// started for.
type Fenced struct {
	From time.Time
	Err  string // "" when the credentials are revoked
}

func (Fenced) isInput() {}

// MayWrite reports whether a function in the region may be told now that it may write tables with
// one writer, for the length of a lease. Only a node that is sure of the state, since it is in touch
// with a majority, may tell; the lease is counted from before it was asked for.
func (s State) MayWrite(r proa.Region, now time.Time) bool {
	w := s.Writers
	return w != nil && w.Region == r && !now.Before(w.From)
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

// moveWriters gives the right to write to the region that traffic moves to: at once where nobody had
// it, and otherwise when the old region's leases are over.
func (c *Controller) moveWriters(to proa.Region) {
	if !c.cfg.OneWriter {
		c.state.Writers = nil
		return
	}
	w := Writers{Region: to, From: c.now}
	switch was := c.state.Writers; {
	case was == nil:
		w.From = c.now.Add(c.cfg.WriteLease)
	case was.Region != "":
		w.From = c.now.Add(c.cfg.WriteLease)
	default: // none could be given since; those of before end so
		w.Revoked = was.Revoked
		if end := was.From.Add(c.cfg.WriteLease); end.After(w.From) {
			w.From = end
		}
	}
	c.state.Writers = &w
}

// hearFence notes the hook's report, if it is about the fence in force.
func (c *Controller) hearFence(in Fenced) {
	w := c.state.Writers
	if c.standby != "" || w == nil || !w.From.Equal(in.From) || w.Revoked && in.Err == "" {
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
	if left := w.From.Add(c.cfg.WriteLease).Sub(c.now); left > 0 {
		return "leases run out in " + seconds(left)
	}
	if c.cfg.FenceHook && !w.Revoked {
		return "credentials are not revoked yet" + because(w.Failure)
	}
	return ""
}
