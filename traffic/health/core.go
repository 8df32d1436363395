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
	timeout         time.Duration // after which the probe has failed
}

// site is one endpoint's checks and the verdict on it.
type site struct {
	cfg     Endpoint
	checks  []*machine
	verdict proa.Verdict
	renewed time.Time
	parts   map[string]bool // checks that count only through a calculated one
	asked   bool            // the peers were asked to recheck since its present trouble began
	trips   roundTrips
	urged   time.Time // when a peer's asking was last heeded
}

// core is one vantage point's judgement of all endpoints. It is pure: the shell starts the probes
// that it asks for.
//
// It distrusts itself in two ways. A region is called unhealthy only once something else has been
// reached since that region's first failure: a vantage whose own link is cut must not tell. And
// time-outs count for nothing while the process itself runs late, or its local health score is bad.
type core struct {
	cfg      Config
	sites    []*site
	slow     time.Time // until then time-outs are our own
	expected time.Time // when the shell was asked to come back
	self     lifeguard
	asks     []proa.Region // what peers are to recheck, for the shell to take
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
		s.parts = map[string]bool{}
		for _, calculated := range e.Calculated {
			for _, name := range calculated.Of.names() {
				s.parts[name] = true
			}
		}
		c.sites = append(c.sites, s)
	}
	return c
}

// step lets time pass: it returns the probes to start, the verdicts to report and when to come
// back.
func (c *core) step(now time.Time) (start []ref, report []proa.Verdict, next time.Time) {
	c.watchSelf(now)
	c.watchOthers(now)
	c.crossCheck()
	next = now.Add(c.cfg.Renew)
	for i, s := range c.sites {
		for j, m := range s.checks {
			for _, id := range m.start(now) {
				start = append(start, ref{i, j, id, c.self.patient(m.timing.Timeout)})
			}
			if d := m.due(); d.Before(next) {
				next = d
			}
		}
		if s.cfg.Region == "" {
			continue
		}
		c.ask(now, s)
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
	c.self.notice(now, signLate, "woken %s late", now.Sub(c.expected).Round(time.Millisecond))
}

// watchOthers keeps the local health score: nobody reached is a sign that it is us.
func (c *core) watchOthers(now time.Time) {
	if c.cfg.Peers != nil {
		if reached, of := c.cfg.Peers(); of > 0 && reached == 0 {
			c.self.notice(now, signPeers, "none of %d peers reached", of)
		}
	}
	failing, all := 0, 0
	for i, s := range c.sites {
		if s.network() == 0 {
			continue
		}
		all++
		if !c.firstFailure(i).IsZero() {
			failing++
		}
	}
	if all > 1 && failing == all {
		c.self.notice(now, signAll, "all of %d endpoints fail", all)
	}
	c.self.rest(now)
}

// network counts the checks that go over the network.
func (s *site) network() int {
	count := 0
	for _, check := range s.cfg.Checks {
		if !check.Monitor {
			count++
		}
	}
	return count
}

// ask has the peers recheck an endpoint at its first failure or silence, once until it is well.
func (c *core) ask(now time.Time, s *site) {
	trouble := false
	for j, m := range s.checks {
		if s.cfg.Checks[j].Monitor {
			continue
		}
		silent := len(m.flights) > 0 && now.Sub(m.flights[0].started) >= m.timing.Suspect
		trouble = trouble || m.fails > 0 || silent
	}
	if trouble && !s.asked {
		c.asks = append(c.asks, s.cfg.Region)
	}
	s.asked = trouble
}

// taken returns what the peers are to be asked, once.
func (c *core) taken() []proa.Region {
	asks := c.asks
	c.asks = nil
	return asks
}

// done takes a probe's outcome, which came late by its own clock. step must follow.
func (c *core) done(now time.Time, r ref, o Outcome, late time.Duration) {
	c.watchSelf(now)
	if late > c.cfg.Late {
		c.self.notice(now, signProbe, "a probe ended %s late", late.Round(time.Millisecond))
	}
	if o.Result == Fail && o.Timeout {
		switch {
		case now.Before(c.slow) || late > c.cfg.Late:
			o.Result = Blind
			o.Reason = "distrusts itself: ran late itself, so a time-out tells nothing (" + o.Reason + ")"
		case c.self.distrusts():
			o.Result = Blind
			o.Reason = fmt.Sprintf("distrusts itself: local health score %d of %d, %s (%s)",
				c.self.score, maxScore, c.self.self().Reason, o.Reason)
		}
	}
	if o.RoundTrip > 0 && late <= c.cfg.Late {
		c.sites[r.endpoint].trips.add(o.RoundTrip)
	}
	c.sites[r.endpoint].checks[r.check].done(now, r.id, o)
}

// heed takes a peer's word that an endpoint fails, at most ten times a second. step must follow.
func (c *core) heed(now time.Time, endpoint int) {
	s := c.sites[endpoint]
	if s.urged.IsZero() || now.Sub(s.urged) >= heedEvery {
		s.urged = now
		c.urge(endpoint)
	}
}

// heedEvery is the shortest time between two probes of an endpoint that peers ask for.
const heedEvery = 100 * time.Millisecond

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

// opinion is what one check says. A network check's "unhealthy" without proof of our own sight is
// unknown.
func (c *core) opinion(endpoint, check int) opinion {
	s := c.sites[endpoint]
	m, cfg := s.checks[check], s.cfg.Checks[check]
	o := opinion{health: m.health, said: cfg.label() + ": " + m.reason, monitor: cfg.Monitor}
	if m.health == proa.Unhealthy && !cfg.Monitor && !c.proof(endpoint, m.failStart) {
		o.health = proa.Unknown
		o.said = "distrusts itself: nothing else is reached from here either (" + o.said + ")"
	}
	return o
}

// named tells the opinion of an endpoint's check or calculated check.
func (c *core) named(endpoint int, name string) opinion {
	s := c.sites[endpoint]
	for j := range s.checks {
		if s.cfg.Checks[j].Name == name {
			return c.opinion(endpoint, j)
		}
	}
	for _, calculated := range s.cfg.Calculated {
		if calculated.Name == name {
			o := calculated.Of.eval(func(name string) opinion { return c.named(endpoint, name) })
			o.said = name + ": " + o.said
			return o
		}
	}
	return opinion{health: proa.Unknown, said: "there is no check " + name}
}

// judge combines an endpoint's checks: one that counts and is unhealthy decides, then one that is
// required and unknown.
func (c *core) judge(endpoint int) (proa.Health, string) {
	s := c.sites[endpoint]
	unknown, well := "", ""
	for _, o := range c.counted(s, endpoint) {
		switch {
		case o.health == proa.Unhealthy:
			return proa.Unhealthy, o.said
		case o.health == proa.Unknown && !o.monitor && unknown == "":
			unknown = o.said
		case o.health == proa.Healthy && well == "":
			well = o.said
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

// counted are the opinions that decide: not the advisory ones, nor those that a calculated check
// takes in.
func (c *core) counted(s *site, endpoint int) []opinion {
	var list []opinion
	for j, check := range s.cfg.Checks {
		if !check.Advisory && !s.parts[check.Name] {
			list = append(list, c.opinion(endpoint, j))
		}
	}
	for _, calculated := range s.cfg.Calculated {
		if !calculated.Advisory && !s.parts[calculated.Name] {
			list = append(list, c.named(endpoint, calculated.Name))
		}
	}
	return list
}
