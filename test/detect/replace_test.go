//go:build linux

package detect

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/proa-cloud/proa/traffic/cluster"
)

// TestANodeIsReplacedByAnother is the runbook: node-3 is stopped, its place in the files is node-4's, and the nodes are
// restarted one by one. Traffic stays where it is, somebody always answers, and then node-4 counts and node-3 does not.
func TestANodeIsReplacedByAnother(t *testing.T) {
	w := newWorld(t, 3)
	active := w.settled()
	old := w.nodes[2]
	old.kill()
	fresh := &node{name: "node-4", dns: free(t), control: free(t), peers: free(t), log: &buffer{}}
	w.nodes = []*node{w.nodes[0], w.nodes[1], fresh}
	for i, n := range w.nodes {
		w.configure(n)
		if n != fresh {
			n.kill()
			if a := w.nodes[1-i].answer(); a != answers[active] {
				t.Errorf("while %s restarts, %s answers %q", n.name, w.nodes[1-i].name, a)
			}
		}
		w.start(n)
		if n == fresh {
			t.Cleanup(n.kill)
			continue
		}
		w.until("it answers and somebody decides", func() error {
			var v cluster.View
			if err := n.get("/v1/cluster", &v); err != nil {
				return err
			}
			if v.Leader == "" || n.answer() != answers[active] {
				return fmt.Errorf("leader %q, answer %q", v.Leader, n.answer())
			}
			return nil
		})
	}
	w.until("the members are those of the files", func() error {
		for _, n := range w.nodes {
			var v cluster.View
			if err := n.get("/v1/cluster", &v); err != nil {
				return err
			}
			members := slices.Sorted(maps.Keys(v.Record.Members))
			if !slices.Equal(members, []string{"node-1", "node-2", "node-4"}) {
				return fmt.Errorf("%s: %v, %s", n.name, members, v.Leaving)
			}
		}
		return nil
	})
	if now := w.settled(); now != active {
		t.Errorf("traffic moved from %s to %s", active, now)
	}
	w.gateways[active].kill()
	w.flipped(active.Other())
}

// until waits for a condition.
func (w *world) until(what string, ok func() error) {
	w.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("not in time: %s: %v", what, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
