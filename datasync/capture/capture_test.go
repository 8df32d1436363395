package capture

import (
	"math/rand/v2"
	"testing"
	"time"
)

const ms = time.Millisecond

func TestPaceIsShortUnderLoadAndLongWhenIdle(t *testing.T) {
	p := Pace{Min: 20 * ms, Max: 200 * ms, RetryMax: time.Second, IdleMax: time.Second, IdleAfter: 10 * time.Second}
	if d := p.Read(5, true); d != 0 {
		t.Errorf("more waits: %s", d)
	}
	if d := p.Read(5, false); d != 20*ms {
		t.Errorf("changes came: %s", d)
	}
	reads, spent := 0, time.Duration(0)
	for spent < 10*time.Second {
		d := p.Read(0, false)
		if d > 200*ms {
			t.Fatalf("after %s it waits %s", spent, d)
		}
		spent += d
		reads++
	}
	if reads > 65 {
		t.Errorf("%d reads in ten idle seconds", reads)
	}
	for range 20 {
		p.Read(0, false)
	}
	if d := p.Read(0, false); d != time.Second {
		t.Errorf("long idle: %s", d)
	}
	if d := p.Read(1, false); d != 20*ms {
		t.Errorf("a change came: %s", d)
	}
	if d := p.Read(0, false); d > 30*ms {
		t.Errorf("and it looks again soon: %s", d)
	}
}

func TestBackoffGrowsToItsBoundWithJitter(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for attempt, want := range map[int]time.Duration{1: 50 * ms, 2: 100 * ms, 3: 200 * ms, 9: time.Second, 500: time.Second} {
		for range 100 {
			if d := Backoff(attempt, 50*ms, time.Second, r); d < want/2 || d > want {
				t.Fatalf("try %d: %s, want %s to %s", attempt, d, want/2, want)
			}
		}
		if d := Backoff(attempt, 50*ms, time.Second, nil); d != want {
			t.Errorf("try %d without jitter: %s", attempt, d)
		}
	}
}

func TestTheGateHalvesWhenThrottledAndGrowsBack(t *testing.T) {
	now := time.Unix(0, 0)
	g := NewGate(64, time.Second, nil)
	if n, _ := g.Free(now); n != 32 {
		t.Fatalf("it starts with %d", n)
	}
	g.Start(32)
	if n, _ := g.Free(now); n != 0 {
		t.Errorf("%d free while all fly", n)
	}
	now = now.Add(time.Second)
	for range 10 { // a burst that was throttled together counts once
		g.End(now, Throttled)
	}
	if g.Width() != 16 {
		t.Errorf("width %d after one burst", g.Width())
	}
	for range 22 {
		g.End(now, OK)
	}
	for range 5000 {
		g.Start(1)
		g.End(now, OK)
	}
	if g.Width() != 64 {
		t.Errorf("width %d, want its bound", g.Width())
	}
}

func TestTheGateLetsOneThroughAtATimeToASideThatIsAway(t *testing.T) {
	now := time.Unix(100, 0)
	g := NewGate(64, time.Second, nil)
	g.Start(5)
	for range 5 {
		g.End(now, Away)
	}
	n, at := g.Free(now)
	if n != 0 || !at.After(now) || g.Open(now) {
		t.Fatalf("%d free until %s", n, at)
	}
	if n, _ := g.Free(at); n != 1 {
		t.Errorf("%d may try", n)
	}
	g.Start(1)
	if n, _ := g.Free(at); n != 0 {
		t.Errorf("%d beside the one that tries", n)
	}
	g.End(at, Away)
	_, later := g.Free(at)
	if later.Sub(at) <= at.Sub(now) {
		t.Errorf("the pause does not grow: %s, %s", at.Sub(now), later.Sub(at))
	}
	g.Back()
	if n, _ := g.Free(at); n != 1 {
		t.Errorf("the feed was read, and %d may try", n)
	}
	g.Start(1)
	g.End(at, OK)
	if n, _ := g.Free(at); n < 2 || !g.Open(at) {
		t.Errorf("%d free after a success", n)
	}
}
