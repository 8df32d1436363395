package traffic

import (
	"testing"
	"time"

	"github.com/proa-cloud/proa"
)

// Times in the agreed state are of the wall clock of whoever decided then. One that was wrong, far
// ahead, must not hold moves back once it has been put right.
func TestTimesOfAClockThatWasAheadHoldNothingBack(t *testing.T) {
	ahead := epoch.AddDate(1, 0, 0)
	saved := func() State {
		s := State{Plan: proa.Plan{Version: 9, Active: proa.Azure, Share: 1}, StageSince: ahead}
		for range Default().FlapBudget {
			s.Switches = append(s.Switches, ahead)
		}
		return s
	}
	t.Run("failback by stages", func(t *testing.T) {
		cfg := Default()
		cfg.Failback = FailbackGradual
		r := newRig(t, cfg, saved())
		r.pass(31 * time.Second)
		r.wantShare(10)
		r.pass(61 * time.Second)
		r.wantActive(proa.AWS, 11)
	})
	t.Run("time between moves", func(t *testing.T) {
		cfg := Default()
		cfg.Rules = []Rule{MinBetween(10 * time.Minute)}
		s := saved()
		s.Plan.Share = 0
		r := newRig(t, cfg, s)
		r.pass(5 * time.Second)
		if err := r.command(Command{Action: Failback}); err != nil {
			t.Error(err)
		}
	})
}

// A share of clients is on its way to the preferred region. Where the policy changes so that it is
// on its way nowhere, or may not be, it ends.
func TestAShareEndsWithThePolicyThatAskedForIt(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"another region is preferred": func(c *Config) { c.Preferred = proa.Azure },
		"one region may write":        func(c *Config) { c.Failback, c.OneWriter = FailbackAuto, true },
	} {
		t.Run(name, func(t *testing.T) {
			r := gradual(t)
			r.wantShare(1)
			cfg := Default()
			cfg.Failback = FailbackGradual
			change(&cfg)
			r.step(Reconfigured{Config: cfg})
			r.pass(time.Second)
			if p := r.ctl.State().Plan; p.Share != 0 {
				t.Errorf("%s, %d %%", p.Active, p.Share)
			}
		})
	}
}
