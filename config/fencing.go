package config

import (
	"time"

	"github.com/proa-cloud/proa/internal/strictyaml"
)

// Kinds of fencing of a table.
const (
	FencingNone  = "none"
	FencingLease = "lease"
	FencingHook  = "hook"
)

// Fenced reports whether only the region that serves may write the table.
func (t Table) Fenced() bool { return t.Fencing == FencingLease || t.Fencing == FencingHook }

func (c Config) checkFencing(f *strictyaml.File, path string, t Table) error {
	switch t.Fencing {
	case "", FencingNone:
		return nil
	case FencingLease:
	case FencingHook:
		if c.Traffic.Fence == nil {
			return f.Errorf(path+".fencing", "give traffic.fence, or write lease", "there is no hook that revokes credentials")
		}
	default:
		return f.Errorf(path+".fencing", "none, lease or hook", "%q is not known", t.Fencing)
	}
	if c.Traffic.Failback == "gradual" {
		return f.Errorf(path+".fencing", "use automatic or manual failback, or no fencing",
			"a gradual failback needs tables that both regions may write")
	}
	if d := c.Traffic.WriteLease.D(); d != 0 && (d < 500*time.Millisecond || d > time.Minute) {
		return f.Errorf("traffic.write_lease", "from 500ms to 1m", "%s is out of range", c.Traffic.WriteLease)
	}
	return c.Traffic.Fence.check(f, "traffic.fence")
}
