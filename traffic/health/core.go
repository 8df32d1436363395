package health

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/proa-cloud/proa"
)

// ref names one probe in flight: endpoint and check by index, probe by number.
type ref struct {
	endpoint, check int
	id              uint64
}

// site is one endpoint's checks and the verdict on it.
type site struct {
	cfg     Endpoint
	checks  []*machine
	verdict proa.Verdict
	renewed time.Time
}

// core is one vantage point's judgement of all endpoints. It is pure: the shell starts the probes
// that it asks for.
//
// It distrusts itself in two ways. A region is called unhealthy only once something else has been
// reached since that region's first failure: a vantage whose own link is cut must not tell. And
// time-outs count for nothing while the process itself runs late.
type core struct {
	cfg      Config
	sites    []*site
	slow     time.Time // until then time-outs are our own
	expected time.Time // when the shell was asked to come back
}

func newCore(cfg Config, now time.Time) *core {
	c := &core{cfg: cfg}
	rng := rand.New(rand.NewPCG(cfg.Seed, 0x70726f61))
	for _, e := range cfg.Endpoints {
		s := &site{cfg: e, verdict: proa.Verdict{
			Region: e.Region, Health: proa.Unknown, Reason: "not probed yet", Since: now, By: cfg.Vantage,
		}}
		for j, check := range e.Checks {
			phase := check.Timing.Interval * time.Duration(j+1) / time.Duration(len(e.Checks))
			s.checks = append(s.checks, newMachine(check.Timing, rng, now, phase))
		}
		c.sites = append(c.sites, s)
	}
	return c
}

// step lets time pass: it returns the probes to start, the verdicts to report and when to come
// back.
func (c *core) step(now time.Time) (start []ref, report []proa.Verdict, next time.Time) {
	c.watchSelf(now)
	c.crossCheck()
	next = now.Add(c.cfg.Renew)
	for i, s := range c.sites {
		for j, m := range s.checks {
			for _, id := range m.start(now) {
				start = append(start, ref{i, j, id})
			}
			if d := m.due(); d.Before(next) {
				next = d
			}
		}
		if s.cfg.Region == "" {
			continue
		}
		health, reason := c.judge(i)
		changed := health != s.verdict.Health
		if changed {
			s.verdict.Health, s.verdict.Since = health, now
		}
		s.verdict.Reason = reason
		if renewal := s.renewed.Add(c.cfg.Renew); changed || !now.Before(renewal) {
			s.renewed = now
			report = append(report, s.verdict)
		}
		if renewal := s.renewed.Add(c.cfg.Renew); renewal.Before(next) {
			next = renewal
		}
	}
	c.expected = next
	return start, report, next
}

// watchSelf notices that this process ran late, be it frozen, starved or swapped out.
func (c *core) watchSelf(now time.Time) {
	if c.expected.IsZero() || now.Sub(c.expected) <= c.cfg.Late {
		return
	}
	var longest time.Duration
	for _, s := range c.sites {
		for _, m := range s.checks {
			longest = max(longest, m.timing.Timeout)
		}
	}
	c.slow = now.Add(longest + c.cfg.Late)
}

// done takes a probe's outcome. step must follow.
func (c *core) done(now time.Time, r ref, o Outcome) {
	c.watchSelf(now)
	if o.Result == Fail && o.Timeout && now.Before(c.slow) {
		o.Result = Blind
		o.Reason = "distrusts itself: ran late itself, so a time-out tells nothing (" + o.Reason + ")"
	}
	c.sites[r.endpoint].checks[r.check].done(now, r.id, o)
}

// urge asks for a probe of every network check of an endpoint at once: its tripwire broke, or a
// peer asks. step must follow.
func (c *core) urge(endpoint int) {
	s := c.sites[endpoint]
	for j, m := range s.checks {
		if !s.cfg.Checks[j].Monitor && len(m.flights) == 0 {
			m.recheck = true
		}
	}
}

// crossCheck probes the other endpoints at the first failure of one, so that the proof of our own
// sight is there in time.
func (c *core) crossCheck() {
	for i := range c.sites {
		first := c.firstFailure(i)
		if first.IsZero() || c.proof(i, first) {
			continue
		}
		for k, other := range c.sites {
			if k == i {
				continue
			}
			for j, m := range other.checks {
				if !other.cfg.Checks[j].Monitor && len(m.flights) == 0 && !m.last.After(first) {
					m.recheck = true
				}
			}
		}
	}
}

// firstFailure is when the oldest present failure of an endpoint's network checks began; zero when
// none fails.
func (c *core) firstFailure(endpoint int) time.Time {
	var first time.Time
	s := c.sites[endpoint]
	for j, m := range s.checks {
		if s.cfg.Checks[j].Monitor || m.failStart.IsZero() {
			continue
		}
		if first.IsZero() || m.failStart.Before(first) {
			first = m.failStart
		}
	}
	return first
}

// proof reports whether something other than the endpoint was reached by a probe begun since, and
// still is.
func (c *core) proof(endpoint int, since time.Time) bool {
	others := false
	for i, s := range c.sites {
		if i == endpoint {
			continue
		}
		for j, m := range s.checks {
			if s.cfg.Checks[j].Monitor {
				continue
			}
			others = true
			if !m.passStart.Before(since) && m.health != proa.Unhealthy {
				return true
			}
		}
	}
	return !others // with a single endpoint there is nothing to compare with
}

// judge combines an endpoint's checks: one that counts and is unhealthy decides, then one that is
// required and unknown.
func (c *core) judge(endpoint int) (proa.Health, string) {
	s := c.sites[endpoint]
	unknown, well := "", ""
	for j, m := range s.checks {
		check := s.cfg.Checks[j]
		said := check.Probe.Name() + ": " + m.reason
		switch {
		case m.health == proa.Unhealthy && check.Advisory:
			continue
		case m.health == proa.Unhealthy && check.Monitor:
			return proa.Unhealthy, said
		case m.health == proa.Unhealthy && c.proof(endpoint, m.failStart):
			return proa.Unhealthy, said
		case m.health == proa.Unhealthy:
			unknown = "distrusts itself: nothing else is reached from here either (" + said + ")"
		case m.health == proa.Unknown && !check.Monitor && !check.Advisory && unknown == "":
			unknown = said
		case m.health == proa.Healthy && well == "":
			well = said
		}
	}
	switch {
	case unknown != "":
		return proa.Unknown, unknown
	case well == "":
		return proa.Unknown, "no check tells anything yet"
	}
	return proa.Healthy, well
}

// CheckStatus is the state of one check at this vantage point.
type CheckStatus struct {
	Region      proa.Region `json:"region"` // "" for a reference
	Name        string      `json:"name"`
	Health      proa.Health `json:"health"`
	Since       time.Time   `json:"since"`
	Reason      string      `json:"reason"` // what the last probe saw
	Fails       int         `json:"fails"`  // consecutive failures
	CertExpires time.Time   `json:"cert_expires,omitzero"`
}

// status lists all checks.
func (c *core) status() []CheckStatus {
	var list []CheckStatus
	for _, s := range c.sites {
		for j, m := range s.checks {
			list = append(list, CheckStatus{
				Region: s.cfg.Region, Name: s.cfg.Checks[j].Probe.Name(), Health: m.health, Since: m.since,
				Reason: m.reason, Fails: m.fails, CertExpires: m.expires,
			})
		}
	}
	return list
}

// Endpoint is one region's way in and the checks that judge it.
type Endpoint struct {
	// Region is the region that the endpoint serves. An endpoint without one is a reference: its
	// passing proves that this vantage point sees the network, and there is no verdict on it.
	Region proa.Region
	// Checks are all needed for "healthy", except monitors without data and advisory ones.
	Checks []CheckConfig
	// Tripwire is the host:port to keep an idle connection to, whose breaking asks for a probe at
	// once; "" for none.
	Tripwire string
}

// CheckConfig is one check of an endpoint.
type CheckConfig struct {
	// Probe does the work.
	Probe Probe
	// Timing says when and how often.
	Timing Timing
	// Monitor marks a cloud's own monitoring: unknown does not make the region unknown.
	Monitor bool
	// Advisory shows the check and lets it decide nothing.
	Advisory bool
}

// Config is one vantage point.
type Config struct {
	// Vantage is the point's name: proa.Verdict.By.
	Vantage string
	// Endpoints are the regions' endpoints and the references.
	Endpoints []Endpoint
	// Report takes each verdict, at each change and every Renew, on one goroutine. It must not
	// block.
	Report func(proa.Verdict)
	// Renew is the time after which an unchanged verdict is reported again. 0 is one second.
	Renew time.Duration
	// Late is how late this process may wake up before it takes time-outs as its own fault. 0 is
	// 250 ms.
	Late time.Duration
	// Seed is the jitter's.
	Seed uint64
	// Clock tells the time; it must agree with the timers of package time.
	Clock func() time.Time
}

// Validate reports every field that cannot work; errors wrap proa.ErrInvalidConfig.
func (c Config) Validate() error {
	if c.Vantage == "" || c.Report == nil || c.Clock == nil {
		return fmt.Errorf("health: vantage, report and clock are needed: %w", proa.ErrInvalidConfig)
	}
	if len(c.Endpoints) == 0 || len(c.Endpoints) > maxEndpoints {
		return fmt.Errorf("health: %d endpoints, want 1 to %d: %w", len(c.Endpoints), maxEndpoints,
			proa.ErrInvalidConfig)
	}
	for _, e := range c.Endpoints {
		if len(e.Checks) == 0 || len(e.Checks) > maxChecks {
			return fmt.Errorf("health: region %q: %d checks, want 1 to %d: %w",
				e.Region, len(e.Checks), maxChecks, proa.ErrInvalidConfig)
		}
		for _, check := range e.Checks {
			if check.Probe == nil {
				return fmt.Errorf("health: region %q: check without a probe: %w", e.Region,
					proa.ErrInvalidConfig)
			}
			if err := check.Timing.Validate(); err != nil {
				return fmt.Errorf("health: %s: %w", check.Probe.Name(), err)
			}
		}
	}
	return nil
}

// The bounds of a vantage point's configuration.
const (
	maxEndpoints = 16
	maxChecks    = 16
)
