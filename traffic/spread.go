package traffic

import (
	"fmt"
	"strings"

	"github.com/proa-cloud/proa"
)

// down is which regions get no clients of policies that use several regions at once: one that is
// unhealthy, until it has been healthy for the hold-down or, the active one, at all; what is not
// known changes nothing.
func (c *Controller) down(active proa.Region) string {
	if !c.cfg.Spread {
		return ""
	}
	if c.state.Held != nil {
		return c.state.Plan.Down
	}
	var list []string
	for _, r := range proa.Regions() {
		j := c.judged[r]
		back := j.Health == proa.Healthy && (r == active || c.now.Sub(j.Since) >= c.cfg.HoldDown)
		if j.Health == proa.Unhealthy || c.state.Plan.IsDown(r) && !back {
			list = append(list, string(r))
		}
	}
	return strings.Join(list, ",")
}

// spread makes the plan that takes a region out of such policies, or puts it back. It is no switch:
// the flap budget is not touched, and the hold-down bounds how often it can happen.
func (c *Controller) spread() {
	next := c.down(c.state.Plan.Active)
	if next == c.state.Plan.Down {
		return
	}
	p := c.state.Plan
	p.Version++
	p.Down = next
	what := "all regions get clients again"
	if next != "" {
		what = fmt.Sprintf("no clients for %s", next)
	}
	c.enact(p, Evidence{Cause: CauseHealth}, what)
}
