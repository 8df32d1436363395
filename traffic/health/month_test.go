package health

import (
	"container/heap"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/traffic"
)

// burst is a kind of trouble that comes and goes: the mean time from one to the next, how long one lasts,
// and the share of probes that it loses.
type burst struct {
	every, mean, most time.Duration
	loss              float64
}

// weather is one place's bursts.
type weather struct {
	burst
	rng        *rand.Rand
	began, end time.Time
}

func newWeather(b burst, seed uint64, now time.Time) *weather {
	w := &weather{burst: b, rng: rand.New(rand.NewPCG(seed, 1)), began: now, end: now}
	w.next()
	return w
}

func (w *weather) next() {
	w.began = w.end.Add(time.Duration(w.rng.ExpFloat64() * float64(w.every)))
	w.end = w.began.Add(min(time.Duration(w.rng.ExpFloat64()*float64(w.mean)), w.most))
}

// loses reports whether a probe at that time is lost. Times never go back.
func (w *weather) loses(now time.Time) bool {
	for !now.Before(w.end) {
		w.next()
	}
	return !now.Before(w.began) && w.rng.Float64() < w.loss
}

// The month's weather. What is lost for longer than a probe's time-out from everywhere at once is an
// outage, and no part of this.
var (
	ingress = burst{5 * time.Minute, 200 * time.Millisecond, 600 * time.Millisecond, 1}
	lossy   = burst{10 * time.Minute, 5 * time.Second, 20 * time.Second, 0.15} // a region's, for everyone
	uplink  = burst{time.Hour, 3 * time.Second, time.Minute, 1}                // a vantage's, to everywhere
	path    = burst{2 * time.Hour, time.Second, 3 * time.Second, 1}            // a vantage's, to one region
	freeze  = burst{3 * time.Hour, time.Second, 10 * time.Second, 1}           // of the vantage's process
)

// event is a vantage's wake-up, or the landing of one of its probes.
type event struct {
	at      time.Time
	vantage int
	wake    int // the number of the wake-up; only the last one asked for counts
	landed  *landing
}

type agenda []event

func (a agenda) Len() int           { return len(a) }
func (a agenda) Less(i, j int) bool { return a[i].at.Before(a[j].at) }
func (a agenda) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(x any)        { *a = append(*a, x.(event)) }
func (a *agenda) Pop() any {
	last := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return last
}

// virtual is three vantages that watch two healthy regions through the weather, and the controller that
// counts their votes.
type virtual struct {
	t        *testing.T
	now      time.Time
	cores    []*core
	wakes    []int
	agenda   agenda
	ctl      *traffic.Controller
	rng      *rand.Rand
	ingress  [2][2]*weather
	uplinks  []*weather
	freezes  []*weather
	paths    [3][2]*weather
	probes   int
	lost     int
	verdicts map[proa.Health]int
	plans    []traffic.PlanChanged
}

func newVirtual(t *testing.T, seed uint64, timing Timing) *virtual {
	v := &virtual{
		t: t, now: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), rng: rand.New(rand.NewPCG(seed, 2)),
		verdicts: map[proa.Health]int{},
	}
	policy := traffic.Default()
	policy.StaleAfter = time.Hour
	policy.Vantages = []traffic.Vantage{
		{Name: "node-1", Beside: proa.AWS}, {Name: "node-2", Beside: proa.Azure}, {Name: "node-3"},
	}
	var err error
	if v.ctl, err = traffic.NewController(policy, traffic.State{}, v.now); err != nil {
		t.Fatal(err)
	}
	for r := range 2 {
		v.ingress[r] = [2]*weather{
			newWeather(ingress, seed+uint64(r), v.now), newWeather(lossy, seed+10+uint64(r), v.now),
		}
	}
	for i, vantage := range policy.Vantages {
		s := seed + 100*uint64(i+1)
		v.uplinks = append(v.uplinks, newWeather(uplink, s, v.now))
		v.freezes = append(v.freezes, newWeather(freeze, s+1, v.now))
		for r := range 2 {
			v.paths[i][r] = newWeather(path, s+2+uint64(r), v.now)
		}
		v.cores = append(v.cores, newCore(Config{
			Vantage: vantage.Name, Renew: time.Minute, Late: 250 * time.Millisecond, Seed: s,
			Endpoints: []Endpoint{virtualEndpoint(proa.AWS, timing), virtualEndpoint(proa.Azure, timing)},
		}, v.now))
		v.wakes = append(v.wakes, 0)
		v.step(i)
	}
	return v
}

func virtualEndpoint(r proa.Region, timing Timing) Endpoint {
	return Endpoint{Region: r, Checks: []CheckConfig{
		{Name: "port", Probe: &fake{}, Timing: timing},
		{Name: "service", Probe: &fake{}, Timing: timing},
	}}
}

// probe decides at once how a probe that starts now will end, and when.
func (v *virtual) probe(vantage int, r ref) event {
	v.probes++
	weathers := []*weather{
		v.ingress[r.endpoint][0], v.ingress[r.endpoint][1], v.uplinks[vantage], v.paths[vantage][r.endpoint],
	}
	lost := v.rng.Float64() < 0.002 // and now and then for no reason
	for _, w := range weathers {
		if w.loses(v.now) {
			lost = true
		}
	}
	l := &landing{ref: r, outcome: Outcome{Result: Pass, Reason: "status 200"}}
	at := v.now.Add(5*time.Millisecond + time.Duration(v.rng.ExpFloat64()*float64(10*time.Millisecond)))
	if lost {
		v.lost++
		l.outcome = Outcome{Result: Fail, Timeout: true, Reason: "no answer in time"}
		at = v.now.Add(r.timeout)
	}
	return event{at: at, vantage: vantage, landed: l}
}

// step lets one vantage do what it does now.
func (v *virtual) step(vantage int) {
	c := v.cores[vantage]
	start, report, next := c.step(v.now)
	for _, r := range start {
		heap.Push(&v.agenda, v.probe(vantage, r))
	}
	for _, r := range c.taken() { // the peers are asked at once
		for peer, other := range v.cores {
			if peer != vantage {
				other.heed(v.now, regionIndex(r))
				v.wake(peer, v.now.Add(20*time.Millisecond))
			}
		}
	}
	for _, verdict := range report {
		v.verdicts[verdict.Health]++
		for _, out := range v.ctl.Step(v.now, traffic.Observed{Verdicts: []proa.Verdict{verdict}}) {
			if plan, ok := out.(traffic.PlanChanged); ok {
				v.plans = append(v.plans, plan)
			}
		}
	}
	v.wake(vantage, next)
}

func regionIndex(r proa.Region) int {
	if r == proa.AWS {
		return 0
	}
	return 1
}

func (v *virtual) wake(vantage int, at time.Time) {
	v.wakes[vantage]++
	heap.Push(&v.agenda, event{at: at, vantage: vantage, wake: v.wakes[vantage]})
}

// run lets time pass.
func (v *virtual) run(until time.Time) {
	for v.now.Before(until) {
		e := heap.Pop(&v.agenda).(event)
		if f := v.freezes[e.vantage]; f.loses(e.at) { // frozen: it happens when the process thaws
			e.at = f.end
			heap.Push(&v.agenda, e)
			continue
		}
		if e.landed == nil && e.wake != v.wakes[e.vantage] {
			continue
		}
		v.now = e.at
		if e.landed != nil {
			v.cores[e.vantage].done(v.now, e.landed.ref, e.landed.outcome, 0)
		}
		v.step(e.vantage)
	}
}

// TestNoFailoverForBurstsOfLoss is a month of virtual time (PROA_HEALTH_HOURS=720, four hours by default)
// in which both regions are well all the time.
func TestNoFailoverForBurstsOfLoss(t *testing.T) {
	hours := 4
	if text := os.Getenv("PROA_HEALTH_HOURS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		hours = n
	}
	v := newVirtual(t, 1, DefaultTiming())
	v.run(v.now.Add(time.Duration(hours) * time.Hour))
	t.Logf("%d hours, %d probes, %d lost, verdicts %v", hours, v.probes, v.lost, v.verdicts)
	for _, plan := range v.plans {
		t.Errorf("%s: %s: %s", plan.Plan.Since, plan.Evidence.Cause, plan.Plan.Reason)
	}
	if v.lost < 100*hours || v.verdicts[proa.Unhealthy]+v.verdicts[proa.Unknown] < hours {
		t.Error("the weather was too good to prove anything")
	}
}

// TestTheMonthFindsAHastyCheck: the same weather fails over falsely where one lost probe is enough.
func TestTheMonthFindsAHastyCheck(t *testing.T) {
	hasty := DefaultTiming()
	hasty.Fall, hasty.Timeout = 1, 100*time.Millisecond
	v := newVirtual(t, 1, hasty)
	for end := v.now.Add(48 * time.Hour); v.now.Before(end); {
		v.run(v.now.Add(time.Hour))
		for _, plan := range v.plans {
			if plan.Evidence.Cause == traffic.CauseFailover {
				return
			}
		}
	}
	t.Errorf("none in 48 hours: %d probes, %d lost, verdicts %v", v.probes, v.lost, v.verdicts)
}
