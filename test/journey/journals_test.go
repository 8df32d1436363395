package journey

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	proc "github.com/proa-cloud/proa/test/internal/system"
)

// TestEveryNodesJournalIsAsked: a conflict is in the journal of the node that owned data sync then. After two hand-overs it
// is listed, shown and restored through any node, and a node that cannot be asked is named.
func TestEveryNodesJournalIsAsked(t *testing.T) {
	s := startNodes(t, 3)
	first := s.settled(t).Cluster.Owner
	s.writes(t, "j-1")
	gateways := s.status().Regions
	s.Proa("partition", "azure")
	for _, region := range []string{"aws", "azure"} {
		mustRequest(t, "PATCH", gateways[region].Gateway+"/orders/j-1", `{"note":"from `+region+`"}`)
	}
	s.Proa("heal", "partition")
	type entry struct {
		ID   uint64 `json:"id"`
		Node string `json:"node"`
	}
	list := func() (entries []entry, silent []string) {
		var reply struct {
			Conflicts []entry
			Silent    []struct{ Node string }
		}
		s.JSON(&reply, "conflicts", "--table", "orders", "--key", "j-1")
		for _, n := range reply.Silent {
			silent = append(silent, n.Node)
		}
		return reply.Conflicts, silent
	}
	var entries []entry
	proc.Until(t, 20*time.Second, "the conflict", func() error {
		if entries, _ = list(); len(entries) != 1 || entries[0].Node != first {
			return fmt.Errorf("%+v, data sync's owner is %s", entries, first)
		}
		return nil
	})
	next := "node-1"
	if first == next {
		next = "node-2"
	}
	s.must(t, "plan", "handover", next)
	proc.Until(t, 20*time.Second, "the hand-over", func() error {
		if st, err := s.nodes(); err != nil || st.Cluster.Owner != next {
			return fmt.Errorf("%+v: %w", st.Cluster, err)
		}
		return nil
	})
	if again, silent := list(); len(again) != 1 || again[0] != entries[0] || len(silent) != 0 {
		t.Fatalf("after the hand-over: %+v, silent %v; want %+v", again, silent, entries)
	}
	id := fmt.Sprint(entries[0].ID)
	if out := s.Proa("conflicts", "show", id); !strings.Contains(out, "in the journal of "+first) {
		t.Errorf("show says\n%s", out)
	}
	if out := s.Proa("conflicts", "replay", "--policy", "merge"); !strings.Contains(out, "of 1 conflicts") {
		t.Errorf("replay says\n%s", out)
	}
	var loser struct{ Loser struct{ Region string } }
	s.JSON(&loser, "conflicts", "show", id)
	var restored struct{ Version string }
	proc.Until(t, 20*time.Second, "the loser to be restored", func() error { // the new owner has its feeds yet to read
		out, stderr, code := s.Run("restore", id, "-o", "json")
		if code != 0 {
			return errors.New(stderr)
		}
		return json.Unmarshal([]byte(out), &restored)
	})
	for _, region := range []string{"aws", "azure"} {
		proc.Until(t, 20*time.Second, "the restored order in "+region, func() error {
			_, _, body, err := request(t.Context(), "GET", gateways[region].Gateway+"/orders/j-1", nil, "")
			if err == nil && !strings.Contains(string(body), "from "+loser.Loser.Region) {
				err = errors.New(string(body))
			}
			return err
		})
	}
	if _, stderr, code := s.Run("conflicts", "show", "7"); code == 0 || !strings.Contains(stderr, "no node gives it") {
		t.Errorf("a number that no node gives: exit %d, %s", code, stderr)
	}
	s.must(t, "kill", first)
	again, silent := list()
	if len(silent) != 1 || silent[0] != first || slices.ContainsFunc(again, func(e entry) bool { return e.Node == first }) {
		t.Errorf("without %s: %+v, silent %v", first, again, silent)
	}
	if _, stderr, code := s.Run("conflicts", "show", id); code == 0 || !strings.Contains(stderr, first) {
		t.Errorf("its entry without %s: exit %d, %s", first, code, stderr)
	}
}
