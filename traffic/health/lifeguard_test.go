package health

import (
	"strings"
	"testing"
	"time"

	"github.com/proa-cloud/proa"
)

// drive steps a core by hand: probes end at once, as answer says.
func drive(c *core, now time.Time, steps int, answer func(ref) Outcome) time.Time {
	for range steps {
		started, _, next := c.step(now)
		for _, r := range started {
			c.done(now, r, answer(r), 0)
		}
		now = next
	}
	return now
}

func passes(ref) Outcome { return Outcome{Result: Pass, Reason: "status 200"} }

func TestScoreRisesWithSignsAndFallsWithout(t *testing.T) {
	now := time.Unix(0, 0)
	var l lifeguard
	for i := range 3 { // many signs of a kind within a second count once
		l.notice(now, signLate, "woken 300ms late")
		if l.score != 1 {
			t.Fatalf("after %d signs: %d", i+1, l.score)
		}
	}
	l.notice(now, signPeers, "none of 2 peers reached")
	if l.score != 2 || l.self().Reason != "woken 300ms late, none of 2 peers reached" {
		t.Errorf("%+v", l.self())
	}
	if got := l.patient(time.Second); got != 2*time.Second {
		t.Errorf("a time-out of 1 s becomes %s", got)
	}
	for range 20 {
		now = now.Add(time.Second)
		l.notice(now, signPeers, "none of 2 peers reached")
		l.rest(now)
	}
	if l.score != maxScore || !l.distrusts() || l.patient(time.Second) != 3*time.Second {
		t.Errorf("%+v", l.self())
	}
	now = now.Add(maxScore * time.Second)
	l.rest(now)
	if l.score != 0 || l.self() != (Self{}) {
		t.Errorf("%+v", l.self())
	}
}

// A node without its peers takes its time-outs for its own; a refused connection it still believes.
func TestNodeWithoutPeersDistrustsItsTimeouts(t *testing.T) {
	reached := 2
	c := newCore(Config{
		Vantage: "n", Renew: time.Second, Late: time.Minute, Peers: func() (int, int) { return reached, 2 },
		Endpoints: []Endpoint{endpoint(proa.AWS, &fake{}), endpoint(proa.Azure, &fake{})},
	}, time.Unix(0, 0))
	now := drive(c, time.Unix(0, 0), 100, passes)
	reached = 0
	now = drive(c, now, 100, passes)
	if v := c.sites[0].verdict; v.Health != proa.Healthy {
		t.Fatalf("what passes counts: %+v", v)
	}
	hang := func(r ref) Outcome {
		if r.endpoint == 0 {
			return Outcome{Result: Fail, Timeout: true, Reason: "no answer in time"}
		}
		return passes(r)
	}
	now = drive(c, now, 100, hang)
	v := c.sites[0].verdict
	if v.Health != proa.Unknown || !strings.Contains(v.Reason, "local health score 6 of 6, none of 2 peers reached") {
		t.Errorf("%+v", v)
	}
	now = drive(c, now, 100, func(r ref) Outcome {
		if r.endpoint == 0 {
			return Outcome{Result: Fail, Reason: "connection refused"}
		}
		return passes(r)
	})
	if v := c.sites[0].verdict; v.Health != proa.Unhealthy {
		t.Errorf("refused: %+v", v)
	}
	reached = 1
	now = drive(c, now, 100, passes)
	drive(c, now, 100, hang)
	if v := c.sites[0].verdict; v.Health != proa.Unhealthy {
		t.Errorf("with a peer again: %+v", v)
	}
}

// The fault asks the peers once; they are heeded at most ten times a second.
func TestFirstFailureAsksThePeers(t *testing.T) {
	c := newCore(Config{
		Vantage: "n", Renew: time.Second, Late: time.Minute,
		Endpoints: []Endpoint{endpoint(proa.AWS, &fake{}), endpoint(proa.Azure, &fake{})},
	}, time.Unix(0, 0))
	now := drive(c, time.Unix(0, 0), 100, passes)
	if asks := c.taken(); asks != nil {
		t.Fatalf("asked without a reason: %v", asks)
	}
	refuse := func(r ref) Outcome {
		if r.endpoint == 0 {
			return Outcome{Result: Fail, Reason: "connection refused"}
		}
		return passes(r)
	}
	now = drive(c, now, 50, refuse)
	if asks := c.taken(); len(asks) != 1 || asks[0] != proa.AWS {
		t.Errorf("asked for %v", asks)
	}
	now = drive(c, now, 50, passes)
	now = drive(c, now, 50, refuse)
	if asks := c.taken(); len(asks) != 1 {
		t.Errorf("a second fault asked for %v", asks)
	}
	now = drive(c, now, 50, passes)
	probes := 0
	end := now.Add(time.Second)
	for ; now.Before(end); now = now.Add(time.Millisecond) {
		c.heed(now, 1)
		started, _, _ := c.step(now)
		for _, r := range started {
			if r.endpoint == 1 {
				probes++
			}
			c.done(now, r, passes(r), 0)
		}
	}
	if checks := len(c.sites[1].checks); probes < 8*checks || probes > 12*checks {
		t.Errorf("%d probes of %d checks in a second of asking", probes, checks)
	}
}

// A hang is told to the peers when it is suspect, not when it is certain.
func TestSilenceAsksThePeers(t *testing.T) {
	c := newCore(Config{
		Vantage: "n", Renew: time.Second, Late: time.Minute,
		Endpoints: []Endpoint{endpoint(proa.AWS, &fake{}), endpoint(proa.Azure, &fake{})},
	}, time.Unix(0, 0))
	now := drive(c, time.Unix(0, 0), 100, passes)
	var silent time.Time
	for c.asks == nil {
		started, _, next := c.step(now)
		for _, r := range started {
			if r.endpoint == 1 {
				c.done(now, r, passes(r), 0)
			} else if silent.IsZero() {
				silent = now
			}
		}
		if c.asks == nil {
			now = next
		}
	}
	if took := now.Sub(silent); took != DefaultTiming().Suspect {
		t.Errorf("asked after %s", took)
	}
}
