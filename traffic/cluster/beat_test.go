package cluster

import (
	"encoding/json"
	"testing"
	"time"
)

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
