package health

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/proa-cloud/proa"
)

// mode is how a fake endpoint behaves.
type mode int

const (
	up mode = iota
	refused
	hung
	error503
	blind
)

// fake is an endpoint whose behaviour the test sets.
type fake struct {
	mu      sync.Mutex
	mode    mode
	latency time.Duration
	probes  int
	flying  int
	most    int // probes in flight at once
}

func (f *fake) set(m mode) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mode = m
}

func (f *fake) Name() string { return "fake" }

func (f *fake) Probe(ctx context.Context) Outcome {
	f.mu.Lock()
	f.probes++
	f.flying++
	f.most = max(f.most, f.flying)
	m := f.mode
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.flying--
		f.mu.Unlock()
	}()
	switch m {
	case refused:
		return Outcome{Result: Fail, Reason: "connection refused"}
	case hung:
		<-ctx.Done()
		return Outcome{Result: Fail, Timeout: true, Reason: "no answer in time"}
	case error503:
		time.Sleep(f.latency)
		return Outcome{Result: Fail, Reason: "status 503"}
	case blind:
		return Outcome{Result: Blind, Reason: "too many open files"}
	}
	time.Sleep(f.latency)
	return Outcome{Result: Pass, Reason: "status 200"}
}

// watch runs a prober over fakes and keeps the verdicts.
type watch struct {
	mu       sync.Mutex
	verdicts map[proa.Region][]proa.Verdict
	prober   *Prober
}

func (w *watch) report(v proa.Verdict) {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := w.verdicts[v.Region]
	if n := len(list); n == 0 || list[n-1].Health != v.Health {
		w.verdicts[v.Region] = append(list, v)
	}
}

func (w *watch) last(r proa.Region) proa.Verdict {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := w.verdicts[r]
	if len(list) == 0 {
		return proa.Verdict{Health: proa.Unknown}
	}
	return list[len(list)-1]
}

// ever reports whether a region was once called h.
func (w *watch) ever(r proa.Region, h proa.Health) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(w.verdicts[r], func(v proa.Verdict) bool { return v.Health == h })
}

// start probes in the bubble until the returned function is called.
func start(t *testing.T, seed uint64, endpoints ...Endpoint) (*watch, func()) {
	t.Helper()
	w := &watch{verdicts: map[proa.Region][]proa.Verdict{}}
	p, err := New(Config{Vantage: "node-1", Endpoints: endpoints, Report: w.report, Seed: seed, Clock: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	w.prober = p
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	return w, func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
}

func endpoint(r proa.Region, probes ...Probe) Endpoint {
	e := Endpoint{Region: r}
	for _, p := range probes {
		e.Checks = append(e.Checks, CheckConfig{Probe: p, Timing: DefaultTiming()})
	}
	return e
}

// settle lets d pass and waits until the prober has taken it in.
func settle(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestDetectionMeetsItsTargets(t *testing.T) {
	for _, c := range []struct {
		name        string
		tcp, http   mode // as a TCP and an HTTP check find it
		median, p99 time.Duration
	}{
		{"connection refused", refused, refused, 500 * time.Millisecond, time.Second},
		{"blackhole", hung, hung, 1500 * time.Millisecond, 2500 * time.Millisecond},
		{"hang behind an open port", up, hung, 1500 * time.Millisecond, 2500 * time.Millisecond},
		{"status 503", up, error503, 700 * time.Millisecond, 1300 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			var took []time.Duration
			for seed := range uint64(100) {
				synctest.Test(t, func(t *testing.T) {
					const rtt = 5 * time.Millisecond
					tcp, http := &fake{latency: rtt}, &fake{latency: rtt}
					w, stop := start(t, seed, endpoint(proa.AWS, tcp, http),
						endpoint(proa.Azure, &fake{latency: rtt}, &fake{latency: rtt}))
					defer stop()
					settle(5*time.Second + time.Duration(seed)*10*time.Millisecond)
					if h := w.last(proa.AWS).Health; h != proa.Healthy {
						t.Fatalf("before the fault: %s", h)
					}
					tcp.set(c.tcp)
					http.set(c.http)
					began := time.Now()
					for w.last(proa.AWS).Health != proa.Unhealthy && time.Since(began) < 10*time.Second {
						settle(time.Millisecond)
					}
					took = append(took, time.Since(began))
				})
			}
			slices.Sort(took)
			t.Logf("median %s, p99 %s, most %s", took[50], took[98], took[99])
			if took[50] > c.median || took[98] > c.p99 {
				t.Errorf("median %s and p99 %s, want at most %s and %s", took[50], took[98], c.median, c.p99)
			}
		})
	}
}

func TestTripwireMakesACrashKnownAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		aws, azure := &fake{}, &fake{}
		w, stop := start(t, 1, endpoint(proa.AWS, aws), endpoint(proa.Azure, azure))
		defer stop()
		settle(5 * time.Second)
		aws.set(refused)
		w.prober.Recheck(proa.AWS) // what a broken tripwire does, and a peer
		settle(110 * time.Millisecond)
		if h := w.last(proa.AWS).Health; h != proa.Unhealthy {
			t.Errorf("110 ms after the crash: %s", h)
		}
	})
}

func TestFirstVerdictDoesNotWaitForTheInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, stop := start(t, 1, endpoint(proa.AWS, &fake{}), endpoint(proa.Azure, &fake{mode: refused}))
		defer stop()
		settle(200 * time.Millisecond)
		if a, z := w.last(proa.AWS).Health, w.last(proa.Azure).Health; a != proa.Healthy || z != proa.Unhealthy {
			t.Errorf("after 200 ms: aws %s, azure %s", a, z)
		}
	})
}

func TestRecoveryNeedsRise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		aws := &fake{}
		w, stop := start(t, 1, endpoint(proa.AWS, aws), endpoint(proa.Azure, &fake{}))
		defer stop()
		settle(3 * time.Second)
		aws.set(refused)
		settle(3 * time.Second)
		aws.set(up)
		settle(1500 * time.Millisecond)
		if h := w.last(proa.AWS).Health; h != proa.Unhealthy {
			t.Errorf("after one or two passes: %s", h)
		}
		settle(2500 * time.Millisecond)
		if h := w.last(proa.AWS).Health; h != proa.Healthy {
			t.Errorf("after three passes: %s", h)
		}
	})
}

func TestSingleLostProbeChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		aws := &fake{}
		w, stop := start(t, 1, endpoint(proa.AWS, aws), endpoint(proa.Azure, &fake{}))
		defer stop()
		settle(5 * time.Second)
		for range 20 {
			aws.set(refused)
			w.prober.Recheck(proa.AWS)
			settle(10 * time.Millisecond)
			aws.set(up)
			settle(2 * time.Second)
		}
		if w.ever(proa.AWS, proa.Unhealthy) {
			t.Error("a lost probe made the region unhealthy")
		}
	})
}

func TestVantageThatSeesNothingDistrustsItself(t *testing.T) {
	for _, fault := range []mode{refused, hung} {
		synctest.Test(t, func(t *testing.T) {
			aws, azure := &fake{}, &fake{}
			w, stop := start(t, 3, endpoint(proa.AWS, aws), endpoint(proa.Azure, azure))
			defer stop()
			settle(5 * time.Second)
			aws.set(fault)
			azure.set(fault)
			settle(10 * time.Second)
			for _, r := range proa.Regions() {
				if w.ever(r, proa.Unhealthy) {
					t.Errorf("fault %d: %s was called unhealthy by a vantage that sees nothing", fault, r)
				}
			}
			if v := w.last(proa.AWS); v.Health != proa.Unknown || !strings.Contains(v.Reason, "distrusts itself") {
				t.Errorf("fault %d: %+v", fault, v)
			}
			azure.set(up)
			settle(5 * time.Second)
			if h := w.last(proa.AWS).Health; h != proa.Unhealthy {
				t.Errorf("fault %d: with azure in sight again, aws is %s", fault, h)
			}
		})
	}
}

func TestReferenceProvesSightWhenBothRegionsAreDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		aws, azure := &fake{}, &fake{}
		w, stop := start(t, 3, endpoint(proa.AWS, aws), endpoint(proa.Azure, azure), endpoint("", &fake{}))
		defer stop()
		settle(5 * time.Second)
		aws.set(refused)
		azure.set(refused)
		settle(5 * time.Second)
		for _, r := range proa.Regions() {
			if h := w.last(r).Health; h != proa.Unhealthy {
				t.Errorf("%s is %s", r, h)
			}
		}
	})
}

func TestOwnFaultIsUnknownAndNeverUnhealthy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		aws := &fake{}
		w, stop := start(t, 1, endpoint(proa.AWS, aws), endpoint(proa.Azure, &fake{}))
		defer stop()
		settle(5 * time.Second)
		aws.set(blind)
		settle(10 * time.Second)
		if v := w.last(proa.AWS); v.Health != proa.Unknown || w.ever(proa.AWS, proa.Unhealthy) {
			t.Errorf("verdict %+v", v)
		}
	})
}

func TestHangKeepsProbesBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		aws := &fake{}
		_, stop := start(t, 1, endpoint(proa.AWS, aws), endpoint(proa.Azure, &fake{}))
		defer stop()
		settle(5 * time.Second)
		aws.set(hung)
		settle(time.Minute)
		if aws.most > DefaultTiming().Fall+DefaultTiming().Rise+1 {
			t.Errorf("%d probes in flight at once", aws.most)
		}
		if aws.probes > 90 {
			t.Errorf("%d probes in a minute", aws.probes)
		}
	})
}

func TestMonitorCountsWhenItFiresAndNotWhenItIsSilent(t *testing.T) {
	for _, c := range []struct {
		name     string
		monitor  mode
		advisory bool
		want     proa.Health
	}{
		{"quiet", up, false, proa.Healthy},
		{"firing", refused, false, proa.Unhealthy},
		{"firing, advisory", refused, true, proa.Healthy},
		{"not reached", blind, false, proa.Healthy},
	} {
		synctest.Test(t, func(t *testing.T) {
			monitor := &fake{mode: c.monitor}
			e := endpoint(proa.AWS, &fake{})
			e.Checks = append(e.Checks, CheckConfig{
				Probe: monitor, Timing: DefaultMonitorTiming(), Monitor: true, Advisory: c.advisory,
			})
			w, stop := start(t, 1, e, endpoint(proa.Azure, &fake{}))
			defer stop()
			settle(12 * time.Second)
			if got := w.last(proa.AWS).Health; got != c.want {
				t.Errorf("%s: %s, want %s", c.name, got, c.want)
			}
		})
	}
}

// TestFrozenProcessBlamesItself drives the core by hand: the process sleeps for ten seconds with
// probes in flight.
func TestFrozenProcessBlamesItself(t *testing.T) {
	cfg := Config{
		Vantage: "node-1", Renew: time.Second, Late: 250 * time.Millisecond,
		Endpoints: []Endpoint{endpoint(proa.AWS, &fake{}), endpoint(proa.Azure, &fake{})},
	}
	now := time.Unix(0, 0)
	c := newCore(cfg, now)
	var last []ref
	for range 200 { // everything passes at once
		started, _, next := c.step(now)
		for _, r := range started {
			c.done(now, r, Outcome{Result: Pass}, 0)
		}
		last = started
		now = next
	}
	if h := c.sites[0].verdict.Health; h != proa.Healthy {
		t.Fatalf("before: %s", h)
	}
	for len(last) == 0 || last[0].endpoint != 0 {
		last, _, now = c.step(now)
	}
	now = now.Add(10 * time.Second)
	for range 3 {
		for _, r := range last {
			result := Outcome{Result: Pass}
			if r.endpoint == 0 {
				result = Outcome{Result: Fail, Timeout: true, Reason: "no answer in time"}
			}
			c.done(now, r, result, 0)
		}
		last, _, _ = c.step(now)
		now = now.Add(50 * time.Millisecond)
	}
	if h := c.sites[0].verdict.Health; h == proa.Unhealthy {
		t.Error("a process that was frozen called a region unhealthy")
	}
}

func TestVerdictsAreRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		count := 0
		p, err := New(Config{
			Vantage: "n", Clock: time.Now, Endpoints: []Endpoint{endpoint(proa.AWS, &fake{})},
			Report: func(proa.Verdict) { mu.Lock(); defer mu.Unlock(); count++ },
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		if err := p.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if count < 29 || count > 40 {
			t.Errorf("%d reports in 30 s", count)
		}
	})
}

// A frozen endpoint that thaws answers all that was asked meanwhile at once: that is one sign of life, not
// three.
func TestThawIsNotThreePasses(t *testing.T) {
	now := time.Unix(0, 0)
	c := newCore(Config{
		Vantage: "n", Renew: time.Second, Late: time.Minute,
		Endpoints: []Endpoint{endpoint(proa.AWS, &fake{}), endpoint(proa.Azure, &fake{})},
	}, now)
	now = drive(c, now, 100, passes)
	var silent []ref
	for range 100 {
		started, _, next := c.step(now)
		for _, r := range started {
			if r.endpoint == 0 {
				silent = append(silent, r)
			} else {
				c.done(now, r, passes(r), 0)
			}
		}
		if len(silent) >= 6 {
			break
		}
		now = next
	}
	if len(silent) < 6 {
		t.Fatalf("%d probes are silent", len(silent))
	}
	for _, r := range silent[:3] {
		c.done(now, r, Outcome{Result: Fail, Timeout: true, Reason: "no answer in time"}, 0)
	}
	silent = silent[3:]
	started, _, _ := c.step(now) // the other region is looked at
	for _, r := range started {
		c.done(now, r, passes(r), 0)
	}
	c.step(now)
	if h := c.sites[0].verdict.Health; h != proa.Unhealthy {
		t.Fatalf("before the thaw: %s", h)
	}
	for _, r := range silent {
		c.done(now.Add(time.Millisecond), r, passes(r), 0)
	}
	c.step(now.Add(time.Millisecond))
	if h := c.sites[0].verdict.Health; h == proa.Healthy {
		t.Errorf("%d answers to old questions made it healthy", len(silent))
	}
	drive(c, now.Add(time.Second), 100, passes)
	if h := c.sites[0].verdict.Health; h != proa.Healthy {
		t.Errorf("after new passes: %s", h)
	}
}
