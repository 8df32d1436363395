package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/internal/supervisor"
	"github.com/proa-cloud/proa/node"
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

// A list of conflicts that lacks a node's is asked for again, and never taken for the whole.
func TestADrillWaitsForTheJournalsOfAllNodes(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	silentFor := int32(2)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		reply := node.ConflictsReply{Conflicts: make([]node.Conflict, 1)}
		if asked.Add(1) <= silentFor {
			reply.Silent = []node.Silence{{Node: "node-3", Why: "connection refused"}}
		} else {
			reply.Conflicts = make([]node.Conflict, 2)
		}
		_ = json.NewEncoder(w).Encode(reply) // the test would see what is missing
	}))
	t.Cleanup(s.Close)
	d := &drilled{Client: supervisor.Remote(strings.TrimPrefix(s.URL, "http://"), "t")}
	list, err := d.Conflicts(t.Context(), time.Now())
	if err != nil || len(list) != 2 || asked.Load() != 3 {
		t.Errorf("%d conflicts after %d questions, %v", len(list), asked.Load(), err)
	}
	silentFor = 1 << 30
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err = d.Conflicts(ctx, time.Now()); !errors.Is(err, proa.ErrUnavailable) && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a list without a node's: %v", err)
	}
}
