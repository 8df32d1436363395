package cluster

import (
	"bytes"
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"
)

// pair is a node that hears node-2, whose clock runs as the test says.
type pair struct {
	c     *Cluster
	clock time.Duration // node-2's
	// paused is for how long node-2 stands still once it has sent 5 more beats.
	paused time.Duration
}

func newPair() *pair {
	c := &Cluster{cfg: Config{Self: "node-1", Hear: func(Beat) {}}, began: time.Now(), heard: map[string]hearing{}}
	c.view.Store(&View{})
	return &pair{c: c, clock: time.Hour}
}

// connection sends a beat every 100 ms on one connection while node-2's clock advances by step each time, and returns
// after how many the node ended it, and how many it took.
func (p *pair) connection(beats int, step time.Duration) (sent, taken int) {
	var in bytes.Buffer
	next := func() error {
		in.Reset()
		time.Sleep(100 * time.Millisecond)
		p.clock += step
		if sent == 5 {
			p.clock, p.paused = p.clock-p.paused, 0
		}
		body, err := json.Marshal(Beat{Node: "node-2", ID: 7, At: p.clock})
		if err != nil {
			return err
		}
		if _, ago, ok := p.c.Heard("node-2"); sent > 0 && ok && ago == 100*time.Millisecond {
			taken++
		}
		if sent == beats {
			return nil // in is empty: the peer hung up
		}
		sent++
		return writeFrame(&in, frameBeat, body)
	}
	_ = p.c.frames(&in, "node-2", next) // it ends, whoever ends it
	return sent, taken
}

// TestANodeWhosePeerWasPausedHearsItAgain: a paused machine's monotonic clock stands still, so all its later beats look
// late by as much.
func TestANodeWhosePeerWasPausedHearsItAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPair()
		if sent, taken := p.connection(20, 100*time.Millisecond); sent != 20 || taken != 20 {
			t.Fatalf("%d of %d beats in time were taken", taken, sent)
		}
		p.paused = 8 * time.Second
		if sent, taken := p.connection(100, 100*time.Millisecond); taken != 5 || sent > 40 {
			t.Errorf("%d of %d beats were taken, want 5 and the end of the connection after 3 s", taken, sent)
		}
		if _, taken := p.connection(20, 100*time.Millisecond); taken != 20 {
			t.Errorf("%d of 20 beats were taken of a new connection", taken)
		}
	})
}

// TestASlewedClockDeafensNobody: what sets a clock right without a step slows the monotonic one too, by up to 8 %.
func TestASlewedClockDeafensNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPair()
		if sent, taken := p.connection(1000, 92*time.Millisecond); sent != 1000 || taken != 1000 {
			t.Errorf("%d of %d beats of a slow clock were taken", taken, sent)
		}
	})
}

// TestOldNewsOfAHealedLinkIsNotNews: the kernel delivers at once what was sent before the link broke.
func TestOldNewsOfAHealedLinkIsNotNews(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPair()
		p.connection(10, 100*time.Millisecond)
		time.Sleep(2900 * time.Millisecond)
		body, err := json.Marshal(Beat{Node: "node-2", ID: 7, At: p.clock + 200*time.Millisecond})
		if err == nil {
			err = p.c.takeBeat("node-2", body, false)
		}
		if err != nil {
			t.Fatal(err)
		}
		if b, ago, _ := p.c.Heard("node-2"); b.At > p.clock || ago < 2*time.Second {
			t.Errorf("a beat 2.7 s old was taken: %+v", b)
		}
	})
}

// TestALeaseIsNotRenewedOnOldKnowledge: an owner that thaws after its successor was named speaks before it has heard of
// it. Who decides must not acknowledge such a beat, or the old owner would take itself for the owner.
func TestALeaseIsNotRenewedOnOldKnowledge(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "node-1", "node-2", "node-3")
	cfg := f.config("node-1")
	cfg.Commit, cfg.Stand = func(Record) {}, func(string) {}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	agree := func(generation, seq uint64) {
		v := *c.view.Load()
		v.Record.Generation, v.Record.Seq = generation, seq
		c.view.Store(&v)
	}
	say := func(b Beat) {
		t.Helper()
		b.Node = "node-2"
		body, err := json.Marshal(b)
		if err == nil {
			err = c.takeBeat("node-2", body, false)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	echo := func() time.Duration {
		t.Helper()
		var b Beat
		if err := json.Unmarshal(c.beat(), &b); err != nil {
			t.Fatal(err)
		}
		return b.Echo["node-2"]
	}
	agree(1, 5)
	for _, step := range []struct {
		what  string
		agree [2]uint64 // generation and sequence on this node
		beat  Beat
		want  time.Duration
	}{
		{"a beat with all that was agreed", [2]uint64{1, 5}, Beat{ID: 7, Generation: 1, Seq: 5, At: 100 * time.Millisecond}, 100 * time.Millisecond},
		{"an old plan's", [2]uint64{1, 6}, Beat{ID: 7, Generation: 1, Seq: 5, At: 200 * time.Millisecond}, 100 * time.Millisecond},
		{"once it has heard", [2]uint64{1, 6}, Beat{ID: 7, Generation: 1, Seq: 6, At: 300 * time.Millisecond}, 300 * time.Millisecond},
		{"ahead of this node", [2]uint64{1, 6}, Beat{ID: 7, Generation: 1, Seq: 7, At: 400 * time.Millisecond}, 400 * time.Millisecond},
		{"of a generation that was given up", [2]uint64{2, 6}, Beat{ID: 7, Generation: 1, Seq: 9, At: 500 * time.Millisecond}, 400 * time.Millisecond},
		{"of its next process, without the plan", [2]uint64{1, 8}, Beat{ID: 7, Generation: 1, Seq: 7, At: 10 * time.Millisecond}, 0},
		{"of its next process, with it", [2]uint64{1, 8}, Beat{ID: 7, Generation: 1, Seq: 8, At: 20 * time.Millisecond}, 20 * time.Millisecond},
		{"of a node that came in its place", [2]uint64{1, 8}, Beat{ID: 8, Generation: 1, Seq: 7, At: 30 * time.Millisecond}, 0},
	} {
		agree(step.agree[0], step.agree[1])
		say(step.beat)
		if got := echo(); got != step.want {
			t.Errorf("%s: the beat of %s is acknowledged, want %s", step.what, got, step.want)
		}
	}
}
