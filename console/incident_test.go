package console

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/internal/telemetry"
)

// story drives a watcher through time.
type story struct {
	t    *testing.T
	w    *watcher
	now  time.Time
	live Live
	bad  Faults
}

func newStory(t *testing.T) *story {
	now := time.Unix(1_800_000_000, 0).UTC()
	return &story{
		t: t, w: openWatcher(filepath.Join(t.TempDir(), "incidents.json"), slog.New(slog.DiscardHandler)), now: now,
		live: Live{
			Node: "node-1", Primary: proa.AWS, TTLSeconds: 2, Plan: proa.Plan{Version: 1, Active: proa.AWS, Since: now},
			Published: Published{1, now},
			Regions: map[proa.Region]Region{
				proa.AWS: {Health: proa.Healthy}, proa.Azure: {Health: proa.Healthy},
			},
			Checks: []Check{{Region: proa.AWS, Name: "tcp", Health: proa.Healthy, Fall: 3}},
			Votes: []Vote{
				{Vantage: "node-1", Region: proa.AWS, Health: proa.Healthy},
				{Vantage: "node-2", Region: proa.AWS, Health: proa.Healthy},
				{Vantage: "node-3", Region: proa.AWS, Health: proa.Healthy},
			},
		},
	}
}

func (s *story) after(d time.Duration) {
	for end := s.now.Add(d); s.now.Before(end); {
		s.now = s.now.Add(tick)
		s.w.step(s.now, &s.live, s.bad)
	}
}

func (s *story) steps() []StepKind {
	var kinds []StepKind
	if i := s.w.current(); i != nil {
		for _, step := range i.Steps {
			kinds = append(kinds, step.Kind)
		}
	}
	return kinds
}

func TestAFailoverIsToldFromTheFaultToEqualSides(t *testing.T) {
	s := newStory(t)
	s.after(time.Second)
	if s.w.current() != nil {
		t.Fatal("an incident while all is well")
	}
	s.w.expect(s.now, "aws")
	killed := s.now
	s.bad = Faults{Died: map[proa.Region]time.Time{proa.AWS: s.now.Add(20 * time.Millisecond)}}
	s.live.Checks[0].Fails, s.live.Checks[0].Reason = 2, "connection refused"
	s.live.Votes[1].Health, s.live.Votes[1].Since = proa.Unhealthy, s.now.Add(50*time.Millisecond)
	s.after(tick)
	i := s.w.current()
	if i == nil || !i.Began.Equal(killed) {
		t.Fatalf("incident %+v", i)
	}
	want := []string{"1 of 3 vantages say that aws is down, 2 needed", "1 more failed probe of tcp"}
	if len(i.Waiting) != 2 || i.Waiting[0] != want[0] || i.Waiting[1] != want[1] {
		t.Errorf("waiting for %q", i.Waiting)
	}
	unreplicated := 3
	s.live.Regions[proa.AWS] = Region{Health: proa.Unhealthy, Since: killed.Add(200 * time.Millisecond), Unreplicated: &unreplicated}
	s.live.Plan = proa.Plan{Version: 2, Active: proa.Azure, Since: killed.Add(210 * time.Millisecond)}
	s.live.Published = Published{2, killed.Add(212 * time.Millisecond)}
	s.after(2 * tick)
	i = s.w.current()
	if *i.Parts.DetectMS != 200 || *i.Parts.DecideMS != 10 || *i.Parts.PublishMS != 2 || *i.Parts.TTLMS != 2000 {
		t.Errorf("parts %+v", i.Parts)
	}
	if i.Unreplicated == nil || *i.Unreplicated != 3 {
		t.Errorf("unreplicated %v", i.Unreplicated)
	}
	s.w.traffic(s.now, map[string]telemetry.Stats{telemetry.FailoverGateway: {Delta: 5}})
	s.after(3 * time.Second)
	s.bad = Faults{}
	s.live.Checks[0].Fails = 0
	s.after(tick)
	s.live.Regions[proa.AWS] = Region{Health: proa.Healthy, Since: s.now}
	s.live.Plan = proa.Plan{Version: 3, Active: proa.AWS, Since: s.now}
	s.after(time.Second)
	s.live.Verified = &Verified{Through: s.now, Keys: 10}
	s.after(time.Second)
	got := s.steps()
	wantSteps := []StepKind{StepFault, StepVote, StepProbe, StepVerdict, StepPlan, StepDNS, StepServing, StepTTL, StepHealed, StepHealthy, StepFailback, StepEqual}
	if len(got) != len(wantSteps) {
		t.Fatalf("steps %v, want %v", got, wantSteps)
	}
	for n := range got {
		if got[n] != wantSteps[n] {
			t.Errorf("step %d is %s, want %s (%v)", n, got[n], wantSteps[n], got)
		}
	}
	s.after(5 * time.Second)
	if s.w.current() != nil {
		t.Error("the incident does not end")
	}
	again := openWatcher(s.w.path, slog.New(slog.DiscardHandler))
	if len(again.all()) != 1 || again.next != 2 {
		t.Errorf("after a restart: %+v", again.all())
	}
}

// The second run of a drill begins before the first one's incident has come to rest.
func TestASecondFaultAfterTheReturnIsAnIncidentOfItsOwn(t *testing.T) {
	s := newStory(t)
	s.after(time.Second)
	for version := uint64(2); version < 6; version += 2 {
		s.bad = Faults{Died: map[proa.Region]time.Time{proa.AWS: s.now}}
		s.after(tick)
		s.live.Regions[proa.AWS] = Region{Health: proa.Unhealthy, Since: s.now}
		s.live.Plan = proa.Plan{Version: version, Active: proa.Azure, Since: s.now}
		s.live.Published = Published{version, s.now}
		s.after(3 * time.Second)
		s.bad = Faults{}
		s.after(tick)
		s.live.Regions[proa.AWS] = Region{Health: proa.Healthy, Since: s.now}
		s.live.Plan = proa.Plan{Version: version + 1, Active: proa.AWS, Since: s.now}
		s.live.Verified = &Verified{Through: s.now.Add(tick), Keys: 10}
		s.after(time.Second)
	}
	s.after(10 * time.Second)
	all := s.w.all()
	if len(all) != 2 {
		t.Fatalf("%d incidents", len(all))
	}
	for _, i := range all {
		for _, kind := range []StepKind{StepFault, StepVerdict, StepPlan, StepDNS, StepTTL, StepHealed, StepHealthy, StepFailback, StepEqual} {
			if !i.has(kind, "") {
				t.Errorf("incident %d has no %s: %+v", i.ID, kind, i.Steps)
			}
		}
	}
	s.bad = Faults{List: []Fault{{Target: "aws", Kind: "brownout", Since: s.now}}}
	s.after(time.Second)
	s.bad = Faults{}
	s.after(tick)
	s.bad = Faults{List: []Fault{{Target: "azure", Kind: "throttle", Since: s.now}}}
	s.after(tick)
	if i := s.w.current(); i == nil || i.Region != proa.Azure {
		t.Errorf("a fault elsewhere, after one was healed, is not shown: %+v", i)
	}
}

func TestAFailedProbeThatLeadsToNothingIsForgotten(t *testing.T) {
	s := newStory(t)
	s.after(time.Second)
	s.live.Checks[0].Fails = 1
	s.after(time.Second)
	if s.w.current() == nil {
		t.Fatal("a failed probe is not shown")
	}
	s.live.Checks[0].Fails = 0
	s.after(20 * time.Second)
	if s.w.current() != nil || len(s.w.all()) != 0 {
		t.Errorf("it is remembered: %+v", s.w.all())
	}
}

func TestAPlannedSwitchIsNoFailure(t *testing.T) {
	s := newStory(t)
	s.after(time.Second)
	s.live.Plan = proa.Plan{Version: 2, Active: proa.Azure, Since: s.now, Reason: "switchover by ops"}
	s.live.Published = Published{2, s.now}
	s.after(time.Second)
	i := s.w.current()
	if i == nil || !i.Planned {
		t.Fatalf("%+v", i)
	}
	s.live.Verified = &Verified{Through: s.now.Add(5 * time.Second)}
	s.after(10 * time.Second)
	if s.w.current() != nil {
		t.Error("a planned switch does not end")
	}
}

func TestABrownOutIsAnIncidentOfItsRegion(t *testing.T) {
	s := newStory(t)
	s.after(time.Second)
	s.bad = Faults{List: []Fault{{Target: "azure", Kind: "brownout", Text: "latency 300 ms", Since: s.now}}}
	s.after(time.Second)
	if i := s.w.current(); i == nil || i.Region != proa.Azure || i.Cause != "brownout: latency 300 ms" {
		t.Errorf("%+v", i)
	}
}

func TestThePartsOfTheTimeAddUpOnANodeThatDoesNotDecide(t *testing.T) {
	s := newStory(t)
	s.after(time.Second)
	killed := s.now
	s.w.expect(s.now, "aws")
	s.live.Regions[proa.AWS] = Region{Health: proa.Unhealthy, Since: killed.Add(196 * time.Millisecond)}
	s.live.Plan = proa.Plan{Version: 2, Active: proa.Azure, Since: killed.Add(144 * time.Millisecond)}
	s.live.Published = Published{2, killed.Add(357 * time.Millisecond)}
	s.after(5 * tick)
	p := s.w.current().Parts
	if *p.DetectMS != 144 || *p.DecideMS != 0 || *p.PublishMS != 213 {
		t.Errorf("%v + %v + %v ms", *p.DetectMS, *p.DecideMS, *p.PublishMS)
	}
}
