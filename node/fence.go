package node

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/traffic"
	"github.com/proa-cloud/proa/traffic/capacity"
)

// leasePath is where functions ask whether they may write a table with fencing; their token is the
// announcements'.
const leasePath = "/v1/lease"

const (
	fenceEvery = 100 * time.Millisecond // how often the record is looked at
	fenceAgain = 2 * time.Second        // after a hook that failed
)

// fence gives write leases, and has credentials revoked and allowed again while this node decides.
type fence struct {
	node  *node
	lease time.Duration
	one   bool // some table has one writer
	hook  capacity.Hook

	mu      sync.Mutex
	granter *traffic.Granter
}

func newFence(n *node, policy traffic.Config) *fence {
	f := &fence{node: n, lease: policy.WriteLease, one: policy.OneWriter, granter: traffic.NewGranter(policy.WriteLease)}
	if policy.FenceHook {
		f.hook = n.cfg.Traffic.Fence.Hook()
	}
	return f
}

// writers are those that are agreed, and when this node last knew that they were the latest: it is
// the moment of its last word that who decides has acknowledged, which it does only for a node that
// has all that is agreed.
func (f *fence) writers() (*traffic.Writers, time.Time) {
	if f.node.cluster == nil {
		return f.node.traffic.Explain().Writers, time.Now()
	}
	known := f.node.cluster.Acknowledged() // before the record is read, which can only be newer
	return f.node.cluster.View().Record.State.Writers, known
}

// grant reports whether a region may write until the lease, counted from before it asked, is over.
func (f *fence) grant(r proa.Region) error {
	if !f.one {
		return fmt.Errorf("no table has fencing: %w", proa.ErrInvalid)
	}
	w, known := f.writers()
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	if now.Sub(known) > traffic.GrantFresh {
		return fmt.Errorf("write lease for %s: this node is out of touch with the one that decides: %w", r, proa.ErrUnavailable)
	}
	f.granter.Hear(now, w)
	return f.granter.Grant(now, r)
}

// LeaseReply is POST /v1/lease?region=aws|azure: for how long the region may write tables with
// fencing, from before it asked.
type LeaseReply struct {
	LeaseMS int64 `json:"lease_ms"`
}

func (a *api) lease(r *http.Request) (any, error) {
	region, err := proa.ParseRegion(r.FormValue("region"))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", proa.ErrInvalid, err)
	}
	if err := a.node.fence.grant(region); err != nil {
		return nil, err
	}
	return LeaseReply{a.node.fence.lease.Milliseconds()}, nil
}

// run follows the record of writers, so that a later request finds the granter up to date, and calls
// the hook where this node decides.
func (f *fence) run(ctx context.Context) error {
	if !f.one {
		return nil
	}
	ticker := time.NewTicker(fenceEvery)
	defer ticker.Stop()
	var done uint64 // the change of writers that the hook has been told of
	var again time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		w, known := f.writers()
		if now := time.Now(); w != nil && now.Sub(known) <= traffic.GrantFresh {
			f.mu.Lock()
			f.granter.Hear(now, w)
			f.mu.Unlock()
		}
		if w == nil || f.hook.IsZero() || w.Seq == done || time.Now().Before(again) ||
			f.node.traffic.Explain().Standby != "" {
			continue
		}
		if f.tell(ctx, *w) {
			done = w.Seq
		} else {
			again = time.Now().Add(fenceAgain)
		}
	}
}

// tell has the hook revoke the credentials of the region that may not write, and allow the other's,
// and puts the outcome on the record. It reports whether nothing is left to do.
func (f *fence) tell(ctx context.Context, w traffic.Writers) bool {
	active := f.node.traffic.Plan().Active
	revoke := active
	if w.Region != "" {
		revoke = w.Region.Other()
	}
	report := traffic.Fenced{Seq: w.Seq}
	if !w.Revoked {
		report.Err = f.call(ctx, revoke, "fence", active)
		if err := f.node.traffic.Fenced(ctx, report); err != nil {
			f.node.logger.Warn("fence not recorded", "err", err)
			return false
		}
	}
	if report.Err == "" && w.Region != "" {
		return f.call(ctx, w.Region, "allow", active) == ""
	}
	return report.Err == ""
}

// call runs the hook and returns why it failed, "" when it did not.
func (f *fence) call(ctx context.Context, r proa.Region, event string, active proa.Region) string {
	a := f.hook.Ask(ctx, capacity.Question{Region: r, Event: event, Active: active})
	f.node.logger.Info("fence hook", "region", r, "event", event, "done", a.Known && a.Enough, "said", a.Reason)
	switch {
	case a.Known && a.Enough:
		return ""
	case a.Reason != "":
		return a.Reason
	}
	return "the hook failed"
}
