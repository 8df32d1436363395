package traffic

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/proa-cloud/proa"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// rig drives a controller through virtual time, keeping its inputs fresh.
type rig struct {
	t      *testing.T
	ctl    *Controller
	now    time.Time
	health map[proa.Region]proa.Health // as every vantage reports it
	repl   map[proa.Region]Replication
	plans  []PlanChanged
	events []Event
	refuse error
}

func newRig(t *testing.T, cfg Config, saved State) *rig {
	t.Helper()
	c, err := NewController(cfg, saved, epoch)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{
		t: t, ctl: c, now: epoch,
		health: map[proa.Region]proa.Health{proa.AWS: proa.Healthy, proa.Azure: proa.Healthy},
		repl:   map[proa.Region]Replication{},
	}
	for _, from := range proa.Regions() {
		r.repl[from] = Replication{From: from, Known: true, CaughtUp: true}
	}
	return r
}

func (r *rig) step(in Input) {
	for _, out := range r.ctl.Step(r.now, in) {
		switch out := out.(type) {
		case PlanChanged:
			r.plans = append(r.plans, out)
		case Event:
			r.events = append(r.events, out)
		case Refused:
			r.refuse = out.Err
		}
	}
}

// command returns the refusal.
func (r *rig) command(cmd Command) error {
	r.refuse = nil
	if cmd.By == "" {
		cmd.By = "ops"
	}
	r.step(cmd)
	return r.refuse
}

// pass lets time go by in steps of a second, with everything reported at each.
func (r *rig) pass(d time.Duration) {
	for end := r.now.Add(d); r.now.Before(end); {
		r.now = r.now.Add(time.Second)
		var verdicts []proa.Verdict
		for _, region := range proa.Regions() {
			for _, v := range r.ctl.cfg.Vantages {
				verdicts = append(verdicts, proa.Verdict{
					Region: region, Health: r.health[region], By: v.Name, Reason: "test",
				})
			}
			if s, ok := r.repl[region]; ok {
				r.step(Replicated{s})
			}
		}
		r.step(Observed{verdicts})
		r.step(Tick{})
	}
}

func (r *rig) active() proa.Region { return r.ctl.State().Plan.Active }

func (r *rig) wantActive(want proa.Region, version uint64) {
	r.t.Helper()
	if p := r.ctl.State().Plan; p.Active != want || p.Version != version {
		r.t.Fatalf("plan %d on %s (%s), want plan %d on %s", p.Version, p.Active, p.Reason, version, want)
	}
}

func (r *rig) wantWaiting(want string) {
	r.t.Helper()
	if got := strings.Join(r.ctl.Explain().Waiting, "\n"); !strings.Contains(got, want) {
		r.t.Errorf("explained waits:\n%s\nwant %q among them", got, want)
	}
}

func TestFailoverNeedsAHealthyTarget(t *testing.T) {
	for _, c := range []struct {
		aws, azure proa.Health
		want       proa.Region
	}{
		{proa.Unhealthy, proa.Healthy, proa.Azure},
		{proa.Unhealthy, proa.Unhealthy, proa.AWS},
		{proa.Unhealthy, proa.Unknown, proa.AWS},
		{proa.Unknown, proa.Healthy, proa.AWS},
		{proa.Unknown, proa.Unknown, proa.AWS},
		{proa.Healthy, proa.Unhealthy, proa.AWS},
	} {
		r := newRig(t, Default(), State{})
		r.pass(5 * time.Second)
		r.health[proa.AWS], r.health[proa.Azure] = c.aws, c.azure
		r.pass(20 * time.Second)
		if got := r.active(); got != c.want {
			t.Errorf("aws %s, azure %s: active %s, want %s", c.aws, c.azure, got, c.want)
		}
	}
}

func TestFailoverHappensInTheStepOfTheVerdict(t *testing.T) {
	r := newRig(t, Default(), State{})
	r.pass(2 * time.Second)
	r.step(Observed{[]proa.Verdict{{Region: proa.AWS, Health: proa.Unhealthy, By: "node-1", Reason: "connection refused"}}})
	r.wantActive(proa.Azure, 2)
	e := r.plans[0].Evidence
	if e.Cause != CauseFailover || len(e.Verdicts) != 2 || e.Judged.IsZero() || e.Judged.After(r.plans[0].Plan.Since) || !strings.Contains(r.plans[0].Plan.Reason, "connection refused") {
		t.Errorf("evidence %+v, reason %q", e, r.plans[0].Plan.Reason)
	}
}

func TestSilenceIsNotUnhealthy(t *testing.T) {
	r := newRig(t, Default(), State{})
	r.pass(5 * time.Second)
	for range 100 {
		r.now = r.now.Add(time.Second)
		r.step(Tick{})
	}
	r.wantActive(proa.AWS, 1)
	if got := r.ctl.Explain().Regions[proa.AWS].Health; got != proa.Unknown {
		t.Errorf("a silent region is %s, want unknown", got)
	}
}

func TestFailbackWaitsForHoldDownAndLag(t *testing.T) {
	r := newRig(t, Default(), State{})
	r.pass(5 * time.Second)
	r.health[proa.AWS] = proa.Unhealthy
	r.repl[proa.Azure] = Replication{From: proa.Azure, Reason: "aws is not reached"}
	r.pass(10 * time.Second)
	r.wantActive(proa.Azure, 2)
	r.wantWaiting("failback waits: aws is unhealthy")

	r.health[proa.AWS] = proa.Healthy
	r.pass(20 * time.Second)
	r.wantWaiting("of the hold-down of 30s")
	r.wantWaiting("failback waits: replication azure→aws lag unknown: aws is not reached")
	r.pass(60 * time.Second)
	r.wantActive(proa.Azure, 2)

	r.repl[proa.Azure] = Replication{From: proa.Azure, Known: true, Reason: "backfill"}
	r.pass(30 * time.Second)
	r.wantWaiting("replication azure→aws still catches up")
	r.repl[proa.Azure] = Replication{From: proa.Azure, Known: true, CaughtUp: true, Lag: 6 * time.Second, Backlog: 9}
	r.pass(30 * time.Second)
	r.wantWaiting("lag 6s is over its objective of 5s (backlog 9)")
	r.repl[proa.Azure] = Replication{From: proa.Azure, Known: true, CaughtUp: true, Lag: 2 * time.Second, Backlog: 3}
	r.pass(9 * time.Second)
	r.wantActive(proa.Azure, 2)
	r.wantWaiting("under its objective for")
	r.pass(3 * time.Second)
	r.wantActive(proa.AWS, 3) // the lag was never zero: no livelock under constant writes
}

func TestDwellBeginsAgainAfterABreach(t *testing.T) {
	r := newRig(t, Default(), State{Plan: proa.Plan{Version: 4, Active: proa.Azure}})
	r.pass(25 * time.Second)
	over := r.repl[proa.AWS]
	over.Lag = time.Minute
	r.repl[proa.AWS] = over
	r.pass(time.Second)
	over.Lag = 0
	r.repl[proa.AWS] = over
	r.pass(9 * time.Second)
	r.wantActive(proa.Azure, 4)
	r.pass(3 * time.Second)
	r.wantActive(proa.AWS, 5)
}

func TestManualFailbackWaitsForTheOperator(t *testing.T) {
	cfg := Default()
	cfg.Failback = FailbackManual
	r := newRig(t, cfg, State{Plan: proa.Plan{Version: 2, Active: proa.Azure}})
	r.pass(time.Hour)
	r.wantActive(proa.Azure, 2)
	r.wantWaiting("failback is manual")
	if err := r.command(Command{Action: Failback}); err != nil {
		t.Fatal(err)
	}
	r.pass(2 * time.Second)
	r.wantActive(proa.AWS, 3)
}

func TestSwitchoverWaitsForBacklogZeroAndPins(t *testing.T) {
	r := newRig(t, Default(), State{})
	r.pass(5 * time.Second)
	r.repl[proa.AWS] = Replication{From: proa.AWS, Known: true, CaughtUp: true, Backlog: 7, Lag: time.Second}
	r.pass(time.Second)
	if err := r.command(Command{Action: Switchover, To: proa.Azure, Reason: "maintenance"}); err != nil {
		t.Fatal(err)
	}
	r.pass(10 * time.Second)
	r.wantActive(proa.AWS, 1)
	r.wantWaiting("switchover waits: backlog of replication aws→azure is 7")
	r.repl[proa.AWS] = Replication{From: proa.AWS, Known: true, CaughtUp: true}
	r.pass(time.Second)
	r.wantActive(proa.Azure, 2)
	r.pass(10 * time.Minute)
	r.wantActive(proa.Azure, 2) // an operator's choice is not undone by itself
	if err := r.command(Command{Action: Failback}); err != nil {
		t.Fatal(err)
	}
	r.pass(2 * time.Second)
	r.wantActive(proa.AWS, 3)
}

func TestSwitchoverGivesUpAtItsDeadline(t *testing.T) {
	r := newRig(t, Default(), State{})
	r.repl[proa.AWS] = Replication{From: proa.AWS, Known: true, CaughtUp: true, Backlog: 1}
	r.pass(5 * time.Second)
	if err := r.command(Command{Action: Switchover, To: proa.Azure}); err != nil {
		t.Fatal(err)
	}
	r.pass(40 * time.Second)
	r.wantActive(proa.AWS, 1)
	if r.ctl.Explain().Pending != nil {
		t.Error("the switchover still waits after its deadline")
	}
	if last := r.events[len(r.events)-1]; !strings.Contains(last.Text, "abandoned: backlog") {
		t.Errorf("last event %q", last.Text)
	}
}

func TestCommandsAreRefusedWithAReason(t *testing.T) {
	for _, c := range []struct {
		name  string
		setUp func(*rig)
		cmd   Command
		want  string
		is    error
	}{
		{
			"unhealthy target", func(r *rig) { r.health[proa.Azure] = proa.Unhealthy },
			Command{Action: Switchover, To: proa.Azure},
			"azure is unhealthy", proa.ErrConflict,
		},
		{
			"unknown lag", func(r *rig) { r.repl[proa.AWS] = Replication{From: proa.AWS} },
			Command{Action: Switchover, To: proa.Azure},
			"aws→azure lag unknown", proa.ErrConflict,
		},
		{"already there", nil, Command{Action: Switchover, To: proa.AWS}, "active already", proa.ErrConflict},
		{"no such region", nil, Command{Action: Switchover, To: "gcp"}, "unknown region", proa.ErrInvalid},
		{"force without a reason", nil, Command{Action: Force, To: proa.Azure}, "reason is needed", proa.ErrInvalid},
		{"release of nothing", nil, Command{Action: Release}, "nothing is held", proa.ErrConflict},
		{"unknown action", nil, Command{Action: "dance"}, "unknown action", proa.ErrInvalid},
		{"negative hold", nil, Command{Action: Hold, For: -1}, "negative", proa.ErrInvalid},
	} {
		r := newRig(t, Default(), State{})
		if c.setUp != nil {
			c.setUp(r)
		}
		r.pass(5 * time.Second)
		err := r.command(c.cmd)
		if err == nil || !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
		r.wantActive(proa.AWS, 1)
	}
}

func TestForceIsNotUndoneUntilTheRegionHasBeenHealthy(t *testing.T) {
	r := newRig(t, Default(), State{})
	r.health[proa.Azure] = proa.Unhealthy
	r.pass(5 * time.Second)
	if err := r.command(Command{Action: Force, To: proa.Azure, Reason: "aws lies"}); err != nil {
		t.Fatal(err)
	}
	r.pass(time.Minute)
	r.wantActive(proa.Azure, 2)
	r.health[proa.Azure] = proa.Healthy
	r.pass(5 * time.Second)
	r.health[proa.Azure] = proa.Unhealthy
	r.pass(time.Second)
	r.wantActive(proa.AWS, 3)
}

func TestHoldStopsAutomaticSwitchesAndEnds(t *testing.T) {
	r := newRig(t, Default(), State{})
	r.pass(5 * time.Second)
	if err := r.command(Command{Action: Hold, For: time.Minute, Reason: "drill"}); err != nil {
		t.Fatal(err)
	}
	r.health[proa.AWS] = proa.Unhealthy
	r.pass(30 * time.Second)
	r.wantActive(proa.AWS, 1)
	r.wantWaiting("failover waits: held by ops until 00:01:05: drill")
	r.pass(31 * time.Second)
	r.wantActive(proa.Azure, 2)
}

func TestFlapBudgetStopsFailbackButNotFailover(t *testing.T) {
	cfg := Default()
	cfg.FlapBudget = 3
	r := newRig(t, cfg, State{})
	r.pass(5 * time.Second)
	for range 2 {
		r.health[proa.AWS] = proa.Unhealthy
		r.pass(5 * time.Second)
		r.health[proa.AWS] = proa.Healthy
		r.pass(45 * time.Second)
	}
	r.wantActive(proa.Azure, 4) // over, back, over: the second failback is over the budget
	r.wantWaiting("failback waits: flap budget spent: 3 switches within 1h0m0s, at most 3; free again at 01:00:06")
	r.health[proa.Azure] = proa.Unhealthy
	r.pass(5 * time.Second)
	r.wantActive(proa.AWS, 5)
	r.health[proa.AWS], r.health[proa.Azure] = proa.Unhealthy, proa.Healthy
	cfg.StayPastBudget = true
	r.step(Reconfigured{cfg})
	r.pass(time.Minute)
	r.wantActive(proa.AWS, 5)
	r.pass(time.Hour)
	r.wantActive(proa.Azure, 6)
}

func TestVantagesVote(t *testing.T) {
	cfg := Default()
	cfg.Vantages = []Vantage{{"node-aws", proa.AWS}, {"node-azure", proa.Azure}, {Name: "witness"}}
	const up, down, unknown, silent = proa.Healthy, proa.Unhealthy, proa.Unknown, proa.Health("")
	for _, c := range []struct {
		beside, other, witness, want proa.Health
	}{ // after the wait of a minority
		{up, up, up, up},
		{down, down, down, down},
		{down, up, up, up},
		{up, down, down, down},
		{up, down, unknown, down}, // the neighbour's "up" does not outvote the outside
		{up, unknown, down, down},
		{down, up, down, down},
		{down, up, unknown, unknown}, // one against one
		{up, up, unknown, up},
		{down, unknown, unknown, unknown}, // a minority cannot tell
		{unknown, down, unknown, unknown},
		{silent, down, silent, unknown},
		{up, unknown, silent, unknown},
		{unknown, up, up, up},
	} {
		r := newRig(t, cfg, State{})
		for i, h := range []proa.Health{c.beside, c.other, c.witness} {
			if h != silent {
				r.step(Observed{[]proa.Verdict{{Region: proa.AWS, Health: h, By: cfg.Vantages[i].Name}}})
			}
		}
		if got := r.ctl.Explain().Regions[proa.AWS].Health; got == proa.Unhealthy && (c.other != down || c.witness != down) && c.beside != down {
			t.Errorf("beside %q, other %q, witness %q: %s at once", c.beside, c.other, c.witness, got)
		}
		r.now = r.now.Add(fewWait)
		r.step(Tick{})
		if got := r.ctl.Explain().Regions[proa.AWS].Health; got != c.want {
			t.Errorf("beside %q, other %q, witness %q: %s, want %s", c.beside, c.other, c.witness, got, c.want)
		}
	}
}

// What vantages say changes with each probe ("no answer in 312 ms"): the log does not follow it.
func TestAnObstacleIsToldOnce(t *testing.T) {
	r := newRig(t, Default(), State{})
	r.pass(5 * time.Second)
	for i := range 20 {
		r.now = r.now.Add(time.Second)
		var verdicts []proa.Verdict
		for _, region := range proa.Regions() {
			verdicts = append(verdicts, proa.Verdict{
				Region: region, Health: proa.Unhealthy, By: "node-1", Reason: fmt.Sprintf("no answer in %d ms", 300+i),
			})
		}
		r.step(Observed{verdicts})
	}
	told := 0
	for _, e := range r.events {
		if e.Kind == EventWaiting {
			told++
		}
	}
	if told != 1 {
		t.Errorf("one obstacle was told %d times", told)
	}
	r.wantWaiting("no answer in 319 ms")
}

// A process that was stopped has seen nothing meanwhile: its hold-down begins again.
func TestAFreezeBreaksTheHoldDown(t *testing.T) {
	r := newRig(t, Default(), State{})
	r.pass(5 * time.Second)
	r.health[proa.AWS] = proa.Unhealthy
	r.pass(5 * time.Second)
	r.wantActive(proa.Azure, 2)
	r.health[proa.AWS] = proa.Healthy
	r.pass(20 * time.Second)
	r.now = r.now.Add(time.Minute)
	r.step(Observed{[]proa.Verdict{
		{Region: proa.AWS, Health: proa.Healthy, By: "node-1"}, {Region: proa.Azure, Health: proa.Healthy, By: "node-1"},
	}})
	r.pass(25 * time.Second)
	r.wantActive(proa.Azure, 2)
	r.pass(10 * time.Second)
	r.wantActive(proa.AWS, 3)
}

func TestVotesOutliveANewPolicy(t *testing.T) {
	cfg := Default()
	cfg.Vantages = []Vantage{{Name: "a"}, {Name: "b"}, {Name: "c"}}
	r := newRig(t, cfg, State{})
	r.step(Observed{[]proa.Verdict{
		{Region: proa.AWS, Health: proa.Healthy, By: "b"}, {Region: proa.AWS, Health: proa.Healthy, By: "c"},
	}})
	cfg.Vantages = []Vantage{{Name: "c"}, {Name: "d"}, {Name: "b"}}
	r.step(Reconfigured{cfg})
	if got := r.ctl.Explain().Regions[proa.AWS].Health; got != proa.Healthy {
		t.Errorf("two of three vantages stayed: %s", got)
	}
	cfg.Vantages = []Vantage{{Name: "c"}, {Name: "d"}, {Name: "e"}}
	r.step(Reconfigured{cfg})
	if got := r.ctl.Explain().Regions[proa.AWS].Health; got != proa.Unknown {
		t.Errorf("one of three vantages stayed: %s", got)
	}
}

func TestStrangersHaveNoVote(t *testing.T) {
	r := newRig(t, Default(), State{})
	r.pass(5 * time.Second)
	r.step(Observed{[]proa.Verdict{{Region: proa.AWS, Health: proa.Unhealthy, By: "mallory"}}})
	r.step(Observed{[]proa.Verdict{{Region: "gcp", Health: proa.Unhealthy, By: "node-1"}}})
	r.wantActive(proa.AWS, 1)
}

func TestRestartResumesPlanVersionBudgetAndPin(t *testing.T) {
	r := newRig(t, Default(), State{})
	r.pass(5 * time.Second)
	if err := r.command(Command{Action: Switchover, To: proa.Azure}); err != nil {
		t.Fatal(err)
	}
	r.pass(time.Second)
	r.wantActive(proa.Azure, 2)
	saved := r.ctl.State()
	again := newRig(t, Default(), saved)
	again.now = r.now
	if diff := cmp.Diff(saved, again.ctl.State()); diff != "" {
		t.Errorf("state changed over a restart (-saved +resumed)\n%s", diff)
	}
	again.pass(10 * time.Minute)
	again.wantActive(proa.Azure, 2)
	if got := again.ctl.Explain().Budget.Used; got != 1 {
		t.Errorf("budget used %d, want 1", got)
	}
}

func TestAdoptedPlanMustBeNewer(t *testing.T) {
	r := newRig(t, Default(), State{Plan: proa.Plan{Version: 5, Active: proa.AWS}})
	r.step(Adopted{State{Plan: proa.Plan{Version: 5, Active: proa.Azure}}})
	if !errors.Is(r.refuse, proa.ErrStalePlan) {
		t.Errorf("got %v, want ErrStalePlan", r.refuse)
	}
	r.wantActive(proa.AWS, 5)
	r.step(Adopted{State{Plan: proa.Plan{Version: 6, Active: proa.Azure}}})
	r.wantActive(proa.Azure, 6)
}

func TestBadConfigurationIsRefusedAndTheOldOneStays(t *testing.T) {
	r := newRig(t, Default(), State{})
	bad := Default()
	bad.Vantages, bad.FlapBudget, bad.Failback = nil, 0, "sometimes"
	r.step(Reconfigured{bad})
	if !errors.Is(r.refuse, proa.ErrInvalidConfig) {
		t.Errorf("got %v", r.refuse)
	}
	r.pass(5 * time.Second)
	r.health[proa.AWS] = proa.Unhealthy
	r.pass(2 * time.Second)
	r.wantActive(proa.Azure, 2)
}
