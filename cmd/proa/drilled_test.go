package main

import (
	"testing"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/traffic"
)

// A node that came to decide after the failover has judged the region later than the plan that left it.
func TestDetectionIsTimedByWhoMadeThePlan(t *testing.T) {
	t.Parallel()
	judged := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	plan := proa.Plan{Version: 3, Active: proa.Azure, Since: judged.Add(7 * time.Millisecond)}
	later := plan
	later.Version++ // data sync's owner moved
	e := traffic.Explanation{
		Plan: later,
		Regions: map[proa.Region]traffic.Judgement{
			proa.AWS: {Health: proa.Unhealthy, Since: judged.Add(90 * time.Millisecond)}, proa.Azure: {Health: proa.Healthy},
		},
		History: []traffic.PlanChanged{
			{Plan: proa.Plan{Version: 1, Active: proa.AWS}, Evidence: traffic.Evidence{Cause: traffic.CauseStart}},
			{Plan: plan, Evidence: traffic.Evidence{Cause: traffic.CauseFailover, Judged: judged}},
			{Plan: later, Evidence: traffic.Evidence{Cause: traffic.CauseOwner}},
		},
	}
	if v := viewOf(&e); len(v.Unhealthy) != 1 || !v.Unhealthy[proa.AWS].Equal(judged) {
		t.Errorf("unhealthy %v, want aws at %v", v.Unhealthy, judged)
	}
}
