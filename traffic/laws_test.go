package traffic

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/proa-cloud/proa"
)

// laws is a controller under random inputs, restarts included, with a model of what was reported.
type laws struct {
	cfg      Config
	ctl      *Controller
	now      time.Time
	saved    State
	versions map[uint64]proa.Plan
	switches []time.Time // of automatic switches
	// preferredBad and linkBad are when the preferred region, or each direction, was last not in
	// order as far as was reported.
	preferredBad time.Time
	linkBad      map[proa.Region]time.Time
	lastLink     map[proa.Region]time.Time
	said         map[ballot]heard
}

func newLaws(t *rapid.T) *laws {
	cfg := Default()
	cfg.FlapBudget = rapid.IntRange(1, 4).Draw(t, "budget")
	cfg.StayPastBudget = rapid.Bool().Draw(t, "stay")
	if rapid.Bool().Draw(t, "three") {
		cfg.Vantages = []Vantage{{"node-1", proa.AWS}, {"node-2", proa.Azure}, {Name: "node-3"}}
	}
	l := &laws{
		cfg: cfg, now: epoch, versions: map[uint64]proa.Plan{}, preferredBad: epoch,
		linkBad: map[proa.Region]time.Time{proa.AWS: epoch, proa.Azure: epoch},
	}
	if rapid.Bool().Draw(t, "failed over") {
		l.saved = State{Plan: proa.Plan{Version: 2, Active: proa.Azure}}
	}
	l.restart(t)
	return l
}

// restart loses everything but what was saved.
func (l *laws) restart(t *rapid.T) {
	ctl, err := NewController(l.cfg, l.saved, l.now)
	if err != nil {
		t.Fatal(err)
	}
	l.ctl, l.saved = ctl, ctl.State()
	l.versions[l.saved.Plan.Version] = l.saved.Plan
	l.preferredBad, l.linkBad[proa.AWS], l.linkBad[proa.Azure] = l.now, l.now, l.now
	l.lastLink = map[proa.Region]time.Time{}
	l.said = map[ballot]heard{}
}

func (l *laws) step(t *rapid.T, in Input) {
	if o, ok := in.(Observed); ok {
		for _, v := range o.Verdicts {
			l.said[ballot{v.By, v.Region}] = heard{v, l.now}
		}
	}
	before := l.ctl.State().Plan
	plans := 0
	saved := false
	for _, out := range l.ctl.Step(l.now, in) {
		switch out := out.(type) {
		case StateChanged:
			l.saved, saved = out.State, true
		case PlanChanged:
			if plans++; plans > 1 {
				t.Fatal("two plans in one step")
			}
			if !saved || l.saved.Plan != out.Plan {
				t.Fatal("a plan that was not saved first")
			}
			l.judgePlan(t, before, out)
		}
	}
	if l.ctl.judged[l.cfg.Preferred].Health != proa.Healthy {
		l.preferredBad = l.now
	}
}

func (l *laws) judgePlan(t *rapid.T, before proa.Plan, p PlanChanged) {
	to := p.Plan.Active
	if p.Plan.Version != before.Version+1 {
		t.Fatalf("plan %d follows %d", p.Plan.Version, before.Version)
	}
	if was, ok := l.versions[p.Plan.Version]; ok {
		t.Fatalf("two plans of version %d: %+v and %+v", p.Plan.Version, was, p.Plan)
	}
	l.versions[p.Plan.Version] = p.Plan
	if to != before.Active.Other() {
		t.Fatalf("from %s to %q", before.Active, to)
	}
	if p.Evidence.Cause != CauseForce && l.ctl.judged[to].Health != proa.Healthy {
		t.Fatalf("%s to %s, which is %s", p.Evidence.Cause, to, l.ctl.judged[to].Health)
	}
	switch p.Evidence.Cause {
	case CauseFailover:
		if l.ctl.judged[before.Active].Health != proa.Unhealthy {
			t.Fatalf("failover from %s, which is %s", before.Active, l.ctl.judged[before.Active].Health)
		}
		for _, r := range proa.Regions() { // never on silence
			if fresh := l.fresh(r); fresh < l.cfg.majority() {
				t.Fatalf("failover while %d of %d vantages report on %s", fresh, len(l.cfg.Vantages), r)
			}
		}
		if l.cfg.StayPastBudget {
			l.checkBudget(t, "failover")
		}
	case CauseFailback:
		if to != l.cfg.Preferred {
			t.Fatalf("failback to %s", to)
		}
		if d := l.now.Sub(l.preferredBad); d < l.cfg.HoldDown {
			t.Fatalf("failback %s after the preferred region was not healthy", d)
		}
		for from, bad := range l.linkBad {
			if d := l.now.Sub(bad); d < l.cfg.Dwell {
				t.Fatalf("failback %s after replication from %s was not in order", d, from)
			}
		}
		l.checkBudget(t, "failback")
	}
	if l.saved.Held != nil && p.Evidence.Cause != CauseForce && p.Evidence.Cause != CauseSwitchover {
		t.Fatal("an automatic switch under a hold")
	}
	l.switches = append(l.switches, l.now)
}

// fresh counts the vantages that have told something of a region lately.
func (l *laws) fresh(r proa.Region) int {
	n := 0
	for b, h := range l.said {
		if b.region == r && h.verdict.Health != proa.Unknown && l.now.Sub(h.at) <= l.cfg.StaleAfter {
			n++
		}
	}
	return n
}

// checkBudget holds for every automatic switch that the budget binds: before it there were fewer
// than the budget in the window.
func (l *laws) checkBudget(t *rapid.T, what string) {
	used := 0
	for _, at := range l.switches {
		if l.now.Sub(at) < l.cfg.FlapWindow {
			used++
		}
	}
	if used >= l.cfg.FlapBudget {
		t.Fatalf("%s after %d switches in the window, budget %d", what, used, l.cfg.FlapBudget)
	}
}

func TestLawsOfTheController(t *testing.T) {
	health := rapid.SampledFrom([]proa.Health{proa.Healthy, proa.Healthy, proa.Unhealthy, proa.Unknown})
	region := rapid.SampledFrom([]proa.Region{proa.AWS, proa.Azure})
	rapid.Check(t, func(t *rapid.T) {
		l := newLaws(t)
		observe := func(t *rapid.T, same bool, regions ...proa.Region) {
			var verdicts []proa.Verdict
			for _, r := range regions {
				h := health.Draw(t, "health")
				for _, v := range l.cfg.Vantages {
					if !same {
						h = health.Draw(t, "health")
					}
					verdicts = append(verdicts, proa.Verdict{Region: r, Health: h, By: v.Name})
				}
			}
			l.step(t, Observed{verdicts})
		}
		t.Repeat(map[string]func(*rapid.T){
			"agree":    func(t *rapid.T) { observe(t, true, proa.AWS, proa.Azure) },
			"disagree": func(t *rapid.T) { observe(t, false, proa.AWS, proa.Azure) },
			"one":      func(t *rapid.T) { observe(t, true, region.Draw(t, "region")) },
			"replicate": func(t *rapid.T) {
				s := Replication{
					From: region.Draw(t, "from"), Known: rapid.Bool().Draw(t, "known"), CaughtUp: true,
					Lag: time.Duration(rapid.IntRange(0, 8).Draw(t, "lag")) * time.Second,
				}
				l.replicate(t, s)
			},
			"calm": func(t *rapid.T) { // a stretch in which all is well, but for one breach of the lag objective
				breach := rapid.IntRange(0, 60).Draw(t, "breach")
				for second := range rapid.IntRange(1, 60).Draw(t, "seconds") {
					l.now = l.now.Add(time.Second)
					lag := time.Second
					if second == breach {
						lag = time.Minute
					}
					l.replicate(t, Replication{From: proa.AWS, Known: true, CaughtUp: true, Lag: time.Second})
					l.replicate(t, Replication{From: proa.Azure, Known: true, CaughtUp: true, Lag: lag})
					var verdicts []proa.Verdict
					for _, r := range proa.Regions() {
						for _, v := range l.cfg.Vantages {
							verdicts = append(verdicts, proa.Verdict{Region: r, Health: proa.Healthy, By: v.Name})
						}
					}
					l.step(t, Observed{verdicts})
				}
			},
			"tick": func(t *rapid.T) {
				l.now = l.now.Add(time.Duration(rapid.IntRange(1, 8000).Draw(t, "ms")) * time.Millisecond)
				l.step(t, Tick{})
			},
			"freeze": func(t *rapid.T) { // time goes by without a step
				l.now = l.now.Add(time.Duration(rapid.IntRange(1, 20).Draw(t, "s")) * time.Second)
			},
			"command": func(t *rapid.T) {
				l.step(t, Command{
					Action: rapid.SampledFrom([]Action{Switchover, Failback, Force, Hold, Release}).Draw(t, "action"),
					To:     region.Draw(t, "to"), By: "ops", Reason: "law",
					For: time.Duration(rapid.IntRange(1, 60).Draw(t, "for")) * time.Second,
				})
			},
			"restart": func(t *rapid.T) { l.restart(t) },
			"": func(t *rapid.T) {
				if p := l.ctl.State().Plan; p.Active.Other() == p.Active {
					t.Fatalf("a plan without a region: %+v", p)
				}
				_ = l.ctl.Explain()
			},
		})
	})
}

// replicate feeds one direction's state and keeps the model: silence, too, is not in order.
func (l *laws) replicate(t *rapid.T, s Replication) {
	last, heard := l.lastLink[s.From]
	if !s.Known || s.Lag > l.cfg.LagObjective || !heard || l.now.Sub(last) > l.cfg.StaleAfter {
		l.linkBad[s.From] = l.now
	}
	l.lastLink[s.From] = l.now
	l.step(t, Replicated{s})
}
