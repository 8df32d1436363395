package node

import (
	"context"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/traffic"
	"github.com/proa-cloud/proa/traffic/capacity"
)

// watches look at what a failover will need: the zone's delegation and the regions' capacity.
type watches struct {
	delegation *delegationWatch // nil: nobody looks
	capacity   *capacity.Watch
}

// newWatches starts nothing.
func (n *node) newWatches() (*watches, error) {
	var regions []capacity.Region
	for _, r := range n.cfg.Capacity {
		interval := r.Interval.D()
		if interval == 0 {
			interval = 5 * time.Minute
		}
		regions = append(regions, capacity.Region{
			Region: r.Region, Check: r.Check.Hook(), Scale: r.Scale.Hook(), Interval: interval,
		})
	}
	hooks, err := capacity.New(capacity.Config{
		Regions: regions, Clock: n.clock, Logger: n.logger,
		Active: func() (proa.Region, bool) {
			return n.traffic.Plan().Active, n.traffic.Explain().Standby == ""
		},
	})
	if err != nil {
		return nil, err
	}
	return &watches{n.newDelegationWatch(), hooks}, nil
}

func (w *watches) run(ctx context.Context) error {
	var g errgroup.Group
	g.Go(func() error { return w.delegation.run(ctx) })
	g.Go(func() error { return w.capacity.Run(ctx) })
	return g.Wait()
}

func (w *watches) warnings() []string {
	return slices.Concat(w.delegation.warnings(), w.capacity.Warnings())
}

// allow refuses a planned move to a region that is known not to carry all traffic.
func (n *node) allow(ctx context.Context, cmd traffic.Command) error {
	switch cmd.Action {
	case traffic.Switchover:
		return n.watches.capacity.Allow(ctx, cmd.To)
	case traffic.Failback:
		return n.watches.capacity.Allow(ctx, n.inForce().Primary)
	}
	return nil
}
