package health

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/internal/remark"
)

// Timing is when a check runs and how many results change its state.
type Timing struct {
	// Interval is the time between the starts of two probes of a check that is well.
	Interval time.Duration
	// Jitter is the part of Interval by which each wait varies, 0 to 0.5: vantages must not march
	// in step.
	Jitter float64
	// Timeout is how long a probe may take.
	Timeout time.Duration
	// Suspect is how long a probe may be silent before rechecks start beside it, so that the
	// time-outs of a hang overlap.
	Suspect time.Duration
	// Recheck is the spacing of the rechecks that follow a first failure, a suspect probe or a
	// tripwire.
	Recheck time.Duration
	// Fall is the number of consecutive failures that make a check unhealthy.
	Fall int
	// Rise is the number of consecutive passes that make a check healthy.
	Rise int
}

// DefaultTiming finds a refused connection in half a second and a hang in 1.4 s, medians; see the
// README for the arithmetic.
func DefaultTiming() Timing {
	return Timing{
		Interval: time.Second, Jitter: 0.1, Timeout: 700 * time.Millisecond,
		Suspect: 150 * time.Millisecond,
		Recheck: 50 * time.Millisecond, Fall: 3, Rise: 3,
	}
}

// DefaultMonitorTiming is for cloud monitors, which damp their alarms themselves.
func DefaultMonitorTiming() Timing {
	return Timing{
		Interval: 5 * time.Second, Jitter: 0.1, Timeout: 3 * time.Second, Suspect: 3 * time.Second,
		Recheck: time.Second, Fall: 1, Rise: 1,
	}
}

// Validate reports a field that cannot work; the error wraps proa.ErrInvalidConfig.
func (t Timing) Validate() error {
	switch {
	case t.Interval <= 0 || t.Timeout <= 0 || t.Suspect <= 0 || t.Recheck <= 0:
		return fmt.Errorf("timing: interval, timeout, suspect and recheck must be positive: %w",
			proa.ErrInvalidConfig)
	case t.Jitter < 0 || t.Jitter > 0.5:
		return fmt.Errorf("timing: jitter %v: want 0 to 0.5: %w", t.Jitter, proa.ErrInvalidConfig)
	case t.Fall < 1 || t.Fall > 16 || t.Rise < 1 || t.Rise > 16:
		return fmt.Errorf("timing: fall %d, rise %d: want 1 to 16: %w", t.Fall, t.Rise,
			proa.ErrInvalidConfig)
	}
	return nil
}

// Result is what one probe found.
type Result uint8

// The results. Blind says that the probe tells nothing of the endpoint: the fault is the prober's
// own, or a monitor has no data.
const (
	Pass Result = iota
	Fail
	Blind
)

// Outcome is one probe's result.
type Outcome struct {
	Result  Result
	Timeout bool   // the result is a Fail because no answer came in time
	Reason  string // what was seen, for people
	// CertExpires is when the certificate that was seen expires, zero where there was none.
	CertExpires time.Time
	// WarnBefore is how long before CertExpires people are warned.
	WarnBefore time.Duration
	// RoundTrip is how long its connection took to open, 0 where that is not known.
	RoundTrip time.Duration
}

// flight is a probe that has started and not ended.
type flight struct {
	id      uint64
	started time.Time
}

// machine is the rise and fall of one check. It is pure: time and probe results come in, probes to
// start go out.
type machine struct {
	timing  Timing
	rng     *rand.Rand
	health  proa.Health
	since   time.Time
	reason  string
	fails   int
	passes  int
	flights []flight
	// The next regular probe's time without jitter, so that checks of one endpoint stay apart
	grid    time.Time
	next    time.Time // when the next regular probe is due
	last    time.Time // when the last probe was started
	recheck bool      // a tripwire or a peer asks for a probe at once
	seen    time.Time // when a probe last told something
	// passStart is the start of the latest probe that passed, failStart that of the first failure
	// of the present streak.
	passStart, failStart time.Time
	expires              time.Time
	warnBefore           time.Duration
	nextID               uint64
}

// newMachine begins with a probe at once; the regular ones follow from phase on.
func newMachine(t Timing, rng *rand.Rand, now time.Time, phase time.Duration) *machine {
	return &machine{
		timing: t, rng: rng, health: proa.Unknown, since: now, reason: "not probed yet",
		grid: now.Add(phase), next: now, seen: now,
	}
}

// start returns the probes to start now, by their numbers.
func (m *machine) start(now time.Time) []uint64 {
	var ids []uint64
	for len(m.flights) < m.capacity() && !m.due().After(now) {
		if !m.next.After(now) {
			m.schedule(now)
		}
		m.recheck = false
		m.last = now
		m.nextID++
		m.flights = append(m.flights, flight{m.nextID, now})
		ids = append(ids, m.nextID)
	}
	return ids
}

// due is when start has something to do next.
func (m *machine) due() time.Time {
	spaced := m.last.Add(m.timing.Recheck)
	if len(m.flights) >= m.capacity() {
		return m.last.Add(time.Hour) // the landing of one of them comes first
	}
	at := m.next
	if at.Before(spaced) {
		at = spaced
	}
	if r := m.urgent(); !r.IsZero() && r.Before(at) {
		at = r
		if at.Before(spaced) {
			at = spaced
		}
	}
	return at
}

func (m *machine) capacity() int { return m.timing.Fall + m.timing.Rise + 1 }

// urgent is when a recheck is wanted whatever the interval says; zero when none is.
func (m *machine) urgent() time.Time {
	switch {
	case m.recheck:
		return m.last
	case m.health == proa.Unknown && len(m.flights) == 0 && m.passes > 0:
		return m.last // a first verdict does not wait for the interval
	case m.health == proa.Unhealthy:
		return time.Time{}
	case m.fails+len(m.flights) >= m.timing.Fall && len(m.flights) > 0:
		// Enough are under way to decide. Those that go on asking meanwhile find out whether it was
		// a burst of loss that is over: a later pass makes the earlier silence old news.
		return m.last.Add(m.timing.Suspect)
	case m.fails > 0:
		return m.last
	case len(m.flights) > 0:
		return m.flights[0].started.Add(m.timing.Suspect)
	}
	return time.Time{}
}

// schedule sets the next regular probe.
func (m *machine) schedule(now time.Time) {
	spread := m.timing.Jitter * (2*m.rng.Float64() - 1)
	m.next = m.grid.Add(time.Duration(float64(m.timing.Interval) * spread))
	m.grid = m.grid.Add(m.timing.Interval)
	if m.next.Before(now) { // after a freeze: no burst of missed probes
		m.grid = now.Add(m.timing.Interval)
		m.next = m.grid
		m.grid = m.grid.Add(m.timing.Interval)
	}
}

// done takes a probe's outcome.
func (m *machine) done(now time.Time, id uint64, o Outcome) {
	started := m.land(id)
	if started.IsZero() {
		return
	}
	switch o.Result {
	case Pass:
		m.seen = now
		if started.After(m.passStart) {
			m.passStart = started
		}
		if m.health == proa.Unhealthy && started.Before(m.since) {
			break // an answer to what was asked before: a thaw lets all of them pass at once
		}
		m.fails, m.failStart = 0, time.Time{}
		m.passes++
		if m.passes >= m.timing.Rise || m.health == proa.Healthy {
			m.become(proa.Healthy, now)
		}
	case Fail:
		if started.Before(m.passStart) {
			return // one that began later has passed
		}
		m.passes = 0
		m.fails++
		m.seen = now
		if m.failStart.IsZero() || started.Before(m.failStart) {
			m.failStart = started
		}
		if m.fails >= m.timing.Fall {
			m.become(proa.Unhealthy, now)
		}
	case Blind:
		if now.Sub(m.seen) >= m.timing.Interval {
			m.fails, m.passes = 0, 0
			m.become(proa.Unknown, now)
		}
	}
	m.reason = remark.Clean(o.Reason)
	if !o.CertExpires.IsZero() {
		m.expires, m.warnBefore = o.CertExpires, o.WarnBefore
	}
}

// land removes a flight and returns when it started, zero when there is no such flight.
func (m *machine) land(id uint64) time.Time {
	for i, f := range m.flights {
		if f.id == id {
			m.flights = append(m.flights[:i], m.flights[i+1:]...)
			return f.started
		}
	}
	return time.Time{}
}

func (m *machine) become(h proa.Health, now time.Time) {
	if m.health != h {
		m.health, m.since = h, now
	}
}
