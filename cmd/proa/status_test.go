package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync"
	"github.com/proa-cloud/proa/internal/supervisor"
	"github.com/proa-cloud/proa/node"
	"github.com/proa-cloud/proa/traffic/cluster"
)

func TestStatusCheckFindsWhatIsNotWell(t *testing.T) {
	for name, tc := range map[string]struct {
		spoil func(*supervisor.Status, *datasync.Status)
		want  string // "" for nothing
	}{
		"well":        {func(*supervisor.Status, *datasync.Status) {}, ""},
		"no plan":     {func(s *supervisor.Status, _ *datasync.Status) { s.Plan = nil }, "where traffic is"},
		"fault":       {func(s *supervisor.Status, _ *datasync.Status) { s.Faults = []supervisor.Fault{{}} }, "fault is in force"},
		"partition":   {func(s *supervisor.Status, _ *datasync.Status) { s.Partitioned = []proa.Region{proa.AWS} }, "cut from aws"},
		"no leader":   {func(s *supervisor.Status, _ *datasync.Status) { s.Cluster.Leader = "" }, "no node leads"},
		"dead node":   {func(s *supervisor.Status, _ *datasync.Status) { s.Cluster.Nodes[1].Alive = false }, "node-2 is not heard"},
		"differences": {func(s *supervisor.Status, _ *datasync.Status) { s.Verified.Differences = 3 }, "3 of 7 keys differ"},
		"warning":     {func(_ *supervisor.Status, d *datasync.Status) { d.Warnings = []string{"budget spent"} }, "budget spent"},
		"quarantine":  {func(_ *supervisor.Status, d *datasync.Status) { d.Directions[0].Quarantined = 2 }, "2 changes of"},
		"lag": {func(s *supervisor.Status, _ *datasync.Status) {
			r, late := s.Regions[proa.AWS], int64(5001)
			r.LagMS = &late
			s.Regions[proa.AWS] = r
		}, "from aws is over the objective of 5s"},
	} {
		t.Run(name, func(t *testing.T) {
			pid, lag := 1, int64(20)
			region := supervisor.RegionStatus{Health: proa.Healthy, PID: &pid, LagMS: &lag}
			s := supervisor.Status{
				Plan: &proa.Plan{}, Regions: map[proa.Region]supervisor.RegionStatus{proa.AWS: region, proa.Azure: region},
				Verified: &node.Verified{Keys: 7},
				Cluster:  &node.ClusterStatus{Leader: "node-1", Nodes: []cluster.NodeView{{Name: "node-1", Alive: true}, {Name: "node-2", Alive: true}}},
			}
			var d datasync.Status
			tc.spoil(&s, &d)
			why := degraded(s, &d, 5*time.Second)
			if tc.want == "" && len(why) > 0 || tc.want != "" && !slices.ContainsFunc(why, func(w string) bool { return strings.Contains(w, tc.want) }) {
				t.Errorf("found %q, want %q", why, tc.want)
			}
		})
	}
}
