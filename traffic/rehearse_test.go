package traffic

import (
	"testing"
	"time"

	"github.com/proa-cloud/proa"
)

func TestARehearsalTellsWhatWouldComeAndDecidesNothing(t *testing.T) {
	cfg := Default()
	r := newRig(t, cfg, State{})
	r.pass(time.Minute)
	before := r.ctl.State()
	dead := []proa.Verdict{{Region: proa.AWS, Health: proa.Unhealthy, Reason: "what if"}}
	plans, then, err := Rehearsal{Policy: cfg, Known: r.ctl.Explain(), Verdicts: dead}.Play(r.now)
	if err != nil {
		t.Fatal(err)
	}
	if len(plans) != 1 || plans[0].Plan.Active != proa.Azure || plans[0].Evidence.Cause != CauseFailover ||
		plans[0].Plan.Version != before.Plan.Version+1 {
		t.Errorf("plans %+v", plans)
	}
	if then.Plan.Active != proa.Azure || r.active() != proa.AWS {
		t.Errorf("then %+v, now %s", then.Plan, r.active())
	}
	cfg.Preferred = proa.Azure
	plans, _, err = Rehearsal{Policy: cfg, Known: r.ctl.Explain()}.Play(r.now)
	if err != nil || len(plans) != 1 || plans[0].Evidence.Cause != CauseFailback {
		t.Errorf("another preference: %+v %v", plans, err)
	}
	cfg.HoldDown = 10 * time.Minute
	plans, then, err = Rehearsal{Policy: cfg, Known: r.ctl.Explain()}.Play(r.now)
	if err != nil || len(plans) != 0 || len(then.Waiting) == 0 {
		t.Errorf("a hold-down that is not over: %+v %v", plans, then.Waiting)
	}
}
