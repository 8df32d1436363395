package traffic

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/proa-cloud/proa"
)

// careful is a policy that drains and fences.
func careful() Config {
	cfg := Default()
	cfg.Drain = 10 * time.Second
	cfg.OneWriter, cfg.FenceHook = true, true
	return cfg
}

func switchOver(r *rig) {
	r.t.Helper()
	if err := r.command(Command{Action: Switchover, To: proa.Azure}); err != nil {
		r.t.Fatal(err)
	}
}

// report tells that the hook has revoked credentials for the fence in force.
func (r *rig) report(err string) {
	r.step(Fenced{Seq: r.ctl.State().Writers.Seq, Err: err})
}

// writer is the region with the right to write.
func (r *rig) writer() proa.Region { return r.ctl.State().Writers.Region }

func TestSwitchoverDrainsThenFencesThenCrosses(t *testing.T) {
	r := newRig(t, careful(), State{})
	r.pass(5 * time.Second)
	if r.writer() != proa.AWS {
		t.Fatal("the active region may not write")
	}
	switchOver(r)
	r.pass(8 * time.Second)
	if p := r.ctl.State().Plan; !p.Drain || p.Active != proa.AWS || r.writer() != proa.AWS {
		t.Fatalf("while it drains: %+v, writer %q", p, r.writer())
	}
	r.pass(2 * time.Second)
	if r.writer() != "" || r.active() != proa.AWS {
		t.Fatalf("while it is fenced %q may write", r.writer())
	}
	r.pass(10 * time.Second)
	r.wantWaiting("credentials are not revoked yet")
	r.report("the hook's host is down")
	r.wantWaiting("not revoked yet: the hook's host is down")
	behind := Replication{From: proa.AWS, Known: true, CaughtUp: true, Backlog: 3}
	r.repl[proa.AWS] = behind
	r.report("")
	r.pass(3 * time.Second)
	r.wantWaiting("backlog of replication aws→azure is 3")
	behind.Backlog, behind.Through = 0, epoch
	r.repl[proa.AWS] = behind
	r.pass(3 * time.Second)
	r.wantWaiting("no heartbeat has crossed")
	behind.Through = r.now
	r.repl[proa.AWS] = behind
	r.pass(2 * time.Second)
	r.wantActive(proa.Azure, 3)
	if p := r.ctl.State().Plan; p.Drain || r.writer() != proa.Azure {
		t.Errorf("after the switch: %+v, writer %q", p, r.writer())
	}
}

func TestAnAbandonedSwitchoverLetsTheOldRegionWriteAgain(t *testing.T) {
	r := newRig(t, careful(), State{})
	r.pass(5 * time.Second)
	switchOver(r)
	r.pass(15 * time.Second)
	r.health[proa.Azure] = proa.Unhealthy
	r.pass(2 * time.Second)
	if p := r.ctl.State().Plan; p.Drain || p.Active != proa.AWS || r.writer() != proa.AWS {
		t.Errorf("after it was given up: %+v, writer %q", p, r.writer())
	}
}

func TestWhoeverTakesOverUndoesAHalfDoneSwitchover(t *testing.T) {
	r := newRig(t, careful(), State{})
	r.pass(5 * time.Second)
	switchOver(r)
	r.pass(12 * time.Second)
	next := newRig(t, careful(), r.ctl.State())
	next.now = r.now
	next.pass(2 * time.Second)
	if p := next.ctl.State().Plan; p.Drain || next.writer() != proa.AWS {
		t.Errorf("taken over: %+v, writer %q", p, next.writer())
	}
}

func TestAPolicyThatBeginsToFenceAndEnds(t *testing.T) {
	r := newRig(t, Default(), State{})
	r.pass(5 * time.Second)
	r.step(Reconfigured{careful()})
	if r.writer() != proa.AWS {
		t.Errorf("%q may write", r.writer())
	}
	r.step(Reconfigured{Default()})
	if r.ctl.State().Writers != nil {
		t.Error("a fence without a policy")
	}
}

func TestAGranterWaitsForTheLeasesOfOthers(t *testing.T) {
	g, now := NewGranter(2*time.Second), epoch
	pass := func(d time.Duration, w *Writers, want proa.Region) {
		t.Helper()
		for end := now.Add(d); now.Before(end); now = now.Add(100 * time.Millisecond) {
			g.Hear(now, w)
		}
		for _, r := range proa.Regions() {
			if err := g.Grant(now, r); (err == nil) != (r == want) {
				t.Fatalf("%s: %v, want %q to write", r, err, want)
			}
		}
	}
	aws := &Writers{Seq: 1, Region: proa.AWS}
	pass(2400*time.Millisecond, aws, "") // what was before this process is not known
	pass(200*time.Millisecond, aws, proa.AWS)
	azure := &Writers{Seq: 2, Region: proa.Azure}
	pass(2400*time.Millisecond, azure, "")
	pass(200*time.Millisecond, azure, proa.Azure)
	none := &Writers{Seq: 3}
	pass(2600*time.Millisecond, none, "")
	pass(100*time.Millisecond, &Writers{Seq: 4, Region: proa.AWS}, proa.AWS) // the fence was long enough
	pass(100*time.Millisecond, &Writers{Seq: 6, Region: proa.AWS}, "")       // one was missed
	pass(3*time.Second, &Writers{Seq: 6, Region: proa.AWS}, proa.AWS)
	now = now.Add(600 * time.Millisecond)
	if err := g.Grant(now, proa.AWS); !errors.Is(err, proa.ErrUnavailable) {
		t.Errorf("out of touch: %v", err)
	}
	pass(100*time.Millisecond, nil, "")
}

func gradual(t *testing.T) *rig {
	cfg := Default()
	cfg.Failback = FailbackGradual
	r := newRig(t, cfg, State{Plan: proa.Plan{Version: 2, Active: proa.Azure}})
	r.pass(31 * time.Second)
	return r
}

func (r *rig) wantShare(want int) {
	r.t.Helper()
	if p := r.ctl.State().Plan; p.Share != want || p.Active != proa.Azure {
		r.t.Fatalf("%s, %d %%, want %d %%", p.Active, p.Share, want)
	}
}

func TestGradualFailbackGoesByStages(t *testing.T) {
	r := gradual(t)
	r.wantShare(1)
	r.pass(59 * time.Second)
	r.wantShare(1)
	r.pass(2 * time.Second)
	r.wantShare(10)
	r.pass(time.Minute)
	r.wantActive(proa.AWS, 5)
	if used := len(r.ctl.State().Switches); used != 2 {
		t.Errorf("%d of the budget used, want 2", used)
	}
}

func TestGradualFailbackIsWithdrawnWhenItsTargetFails(t *testing.T) {
	r := gradual(t)
	r.pass(time.Minute)
	r.health[proa.AWS] = proa.Unhealthy
	r.pass(time.Second)
	r.wantShare(0)
	r.health[proa.AWS] = proa.Healthy
	r.pass(29 * time.Second)
	r.wantShare(0) // the hold-down again
	r.pass(3 * time.Second)
	r.wantShare(1)
}

func TestGradualFailbackWaitsAtItsStageWhileItsGateIsShut(t *testing.T) {
	r := gradual(t)
	r.repl[proa.AWS] = Replication{From: proa.AWS, Known: true, CaughtUp: true, Lag: time.Minute}
	r.pass(5 * time.Minute)
	r.wantShare(1)
}

func TestAFailoverEndsAGradualFailback(t *testing.T) {
	r := gradual(t)
	r.health[proa.Azure] = proa.Unhealthy
	r.pass(time.Second)
	if p := r.ctl.State().Plan; p.Active != proa.AWS || p.Share != 0 {
		t.Errorf("%+v", p)
	}
}

func TestAnOperatorTakesAGradualFailbackBack(t *testing.T) {
	r := gradual(t)
	switchOver(r)
	r.wantShare(0)
	r.pass(10 * time.Minute)
	r.wantShare(0)
	r.wantWaiting("an operator chose azure")
}

func TestRulesRefuseUnlessOverridden(t *testing.T) {
	cfg := Default()
	cfg.Rules = []Rule{MinBetween(10 * time.Minute)}
	r := newRig(t, cfg, State{})
	r.pass(5 * time.Second)
	switchOver(r) // the first one: nothing was before it
	r.pass(2 * time.Second)
	err := r.command(Command{Action: Failback})
	if !errors.Is(err, proa.ErrConflict) || !strings.Contains(err.Error(), "rule min-between") {
		t.Fatalf("refused with %v", err)
	}
	if err := r.command(Command{Action: Failback, Override: true}); !errors.Is(err, proa.ErrInvalid) {
		t.Errorf("an override without a reason: %v", err)
	}
	if err := r.command(Command{Action: Failback, Override: true, Reason: "drill"}); err != nil {
		t.Fatal(err)
	}
	r.pass(2 * time.Second)
	r.wantActive(proa.AWS, 3)
	e := r.plans[len(r.plans)-1].Evidence
	said := func(s string) bool { return strings.Contains(s, "min-between") }
	if !slices.ContainsFunc(e.Overridden, said) || e.By != "ops" {
		t.Errorf("the record says %+v", e)
	}
	r.health[proa.AWS] = proa.Unhealthy
	r.pass(time.Second)
	r.wantActive(proa.Azure, 4) // a failover is not refused
	r.health[proa.AWS] = proa.Healthy
	r.pass(9 * time.Minute)
	r.wantActive(proa.Azure, 4)
	r.wantWaiting("rule min-between")
	r.pass(2 * time.Minute)
	r.wantActive(proa.AWS, 5)
	if err := r.command(Command{Action: Force, To: proa.Azure, Reason: "aws lies"}); err != nil {
		t.Fatal(err)
	}
	if e := r.plans[len(r.plans)-1].Evidence; !slices.ContainsFunc(e.Overridden, said) {
		t.Errorf("a forced move's record does not say what was set aside: %+v", e)
	}
}

func TestPoliciesThatUseSeveralRegionsLoseAnUnhealthyOne(t *testing.T) {
	cfg := Default()
	cfg.Spread = true
	r := newRig(t, cfg, State{})
	r.pass(5 * time.Second)
	down := func(want string) {
		t.Helper()
		if got := r.ctl.State().Plan.Down; got != want {
			t.Fatalf("down %q, want %q", got, want)
		}
	}
	r.health[proa.Azure] = proa.Unhealthy
	r.pass(time.Second)
	r.wantActive(proa.AWS, 2)
	down("azure")
	r.health[proa.AWS] = proa.Unhealthy
	r.pass(time.Second)
	down("aws,azure") // what is said then is each record's to choose
	r.health[proa.Azure] = proa.Healthy
	r.pass(2 * time.Second)
	if r.active() != proa.Azure {
		t.Fatal("no failover")
	}
	down("aws") // the active one is up as soon as it is healthy
	r.health[proa.AWS] = proa.Healthy
	r.pass(29 * time.Second)
	down("aws")
	r.pass(3 * time.Second)
	down("")
	if used := len(r.ctl.State().Switches); used > 2 { // there and back
		t.Errorf("%d switches counted", used)
	}
}
