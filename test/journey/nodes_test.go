package journey

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	proc "github.com/proa-cloud/proa/test/internal/system"
)

// nodesStatus is the nodes' part of `proa status -o json`.
type nodesStatus struct {
	Plan *struct {
		Version uint64
		Active  string
	}
	Cluster *struct {
		Quorum, Leader, Owner string
		Epoch                 uint64
		Nodes                 []struct {
			Name, ID string
			Alive    bool
		}
	}
}

func (s *system) nodes() (st nodesStatus, err error) {
	out, stderr, code := s.Run("status", "-o", "json")
	if code != 0 {
		return st, errors.New(stderr)
	}
	return st, json.Unmarshal([]byte(out), &st)
}

// settled waits until all but the given nodes answer, one decides and one owns data sync, neither of them dead.
func (s *system) settled(t *testing.T, dead ...string) nodesStatus {
	t.Helper()
	var st nodesStatus
	proc.Until(t, 20*time.Second, fmt.Sprintf("nodes settled without %v", dead), func() (err error) {
		if st, err = s.nodes(); err != nil {
			return err
		}
		c := st.Cluster
		if c == nil || c.Leader == "" || c.Owner == "" {
			return fmt.Errorf("%+v", c)
		}
		alive := 0
		for _, n := range c.Nodes {
			if n.Alive {
				alive++
			}
		}
		for _, d := range dead {
			if c.Leader == d || c.Owner == d {
				return fmt.Errorf("%s is dead: %+v", d, c)
			}
		}
		if alive != len(c.Nodes)-len(dead) {
			return fmt.Errorf("%d alive: %+v", alive, c)
		}
		return nil
	})
	return st
}

// writes puts an order on AWS and waits until Azure serves it: data sync works.
func (s *system) writes(t *testing.T, id string) {
	t.Helper()
	st := s.status()
	mustRequest(t, "POST", st.Regions["aws"].Gateway+"/orders", `{"id":"`+id+`","item":"anchor"}`)
	v := s.vendors()
	proc.Until(t, 20*time.Second, id+" on azure", func() error {
		doc, err := v.cosmosGet(t.Context(), id)
		if err == nil && doc == nil {
			err = errors.New("not there")
		}
		return err
	})
}

func (s *system) must(t *testing.T, args ...string) {
	t.Helper()
	if _, stderr, code := s.Run(args...); code != 0 {
		t.Fatalf("proa %v: exit %d: %s", args, code, stderr)
	}
}

// TestAnyOneNodeMayDie kills, hangs and cuts off each of three nodes in turn, the one that decides and data sync's owner among
// them. Traffic stays where it is, data goes on, and orders are taken.
func TestAnyOneNodeMayDie(t *testing.T) {
	s := startNodes(t, 3)
	s.settled(t)
	s.writes(t, "first")
	for _, fault := range []string{"kill", "freeze", "partition"} {
		for _, node := range []string{"node-1", "node-2", "node-3"} {
			before := s.settled(t)
			began := time.Now()
			s.must(t, fault, node)
			after := s.settled(t, node)
			t.Logf("%s %s (decided: %s, owned data sync: %s): settled after %s", fault, node, before.Cluster.Leader,
				before.Cluster.Owner, time.Since(began).Round(10*time.Millisecond))
			if after.Plan.Active != before.Plan.Active {
				t.Errorf("%s %s moved traffic from %s to %s", fault, node, before.Plan.Active, after.Plan.Active)
			}
			s.writes(t, fault+node)
			s.must(t, "hold", "--reason", "the others decide")
			s.must(t, "release")
			s.must(t, "heal", node)
		}
	}
	s.settled(t)
}

// TestTwoOfThreeNodesDead: the last plan stands and is answered, orders are refused with the reason; what comes back decides again.
func TestTwoOfThreeNodesDead(t *testing.T) {
	s := startNodes(t, 3)
	before := s.settled(t)
	servers, zone := s.status().DNS, s.status().Zone
	challenge := "_acme-challenge." + zone
	for _, args := range [][]string{{challenge, "one"}, {challenge + ".", "two"}} {
		proc.Until(t, 20*time.Second, "every node takes a validation record", func() error {
			_, stderr, code := s.Run(append([]string{"dns", "validation", "put"}, args...)...)
			if code != 0 {
				return fmt.Errorf("exit %d: %s", code, stderr)
			}
			return nil
		})
	}
	if len(servers) != 3 {
		t.Errorf("name servers %v", servers)
	}
	for _, server := range servers {
		if got := texts(t, server, challenge); !slices.Equal(got, []string{"one", "two"}) {
			t.Errorf("%s answers %v", server, got)
		}
	}
	s.must(t, "kill", "node-1")
	s.must(t, "kill", "node-3")
	proc.Until(t, 20*time.Second, "it says so", func() error {
		st, err := s.nodes()
		if err == nil && st.Cluster.Quorum != "no quorum: 1 of 3 nodes; the last plan stands" {
			err = errors.New(st.Cluster.Quorum)
		}
		return err
	})
	if _, stderr, code := s.Run("hold", "--reason", "alone"); code == 0 {
		t.Errorf("one of three nodes took an order: %s", stderr)
	}
	_, stderr, code := s.Run("dns", "validation", "remove", challenge, "one")
	if code != 4 || !strings.Contains(stderr, "node-1 did not take it") || !strings.Contains(stderr, "node-3 did not") {
		t.Errorf("with two nodes dead: exit %d: %s", code, stderr)
	}
	st, err := s.nodes()
	if err != nil || st.Plan.Active != before.Plan.Active || st.Plan.Version < before.Plan.Version {
		t.Errorf("the plan did not stand: %+v, %v", st.Plan, err)
	}
	s.must(t, "heal", "node-3")
	s.settled(t, "node-1")
	s.must(t, "heal", "node-1")
	s.settled(t)
	for _, server := range servers {
		if got := texts(t, server, challenge); !slices.Contains(got, "two") {
			t.Errorf("%s, back again, answers %v", server, got)
		}
	}
	s.writes(t, "again")
}

// texts asks a name server for the texts at a name.
func texts(t *testing.T, server, name string) []string {
	t.Helper()
	c := dns.Client{Timeout: 20 * time.Second}
	reply, _, err := c.ExchangeContext(t.Context(), new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.TypeTXT), server)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, rr := range reply.Answer {
		if txt, ok := rr.(*dns.TXT); ok {
			list = append(list, txt.Txt...)
		}
	}
	slices.Sort(list)
	return list
}

// TestAWipedNodeIsANewMember: a node that lost its disk joins with a new identity.
func TestAWipedNodeIsANewMember(t *testing.T) {
	s := startNodes(t, 3)
	was := s.settled(t).Cluster.Nodes[2].ID
	s.must(t, "kill", "node-3")
	for _, dir := range []string{"cluster", "datasync"} {
		if err := os.RemoveAll(filepath.Join(s.Dir, "node-3", dir)); err != nil {
			t.Fatal(err)
		}
	}
	s.settled(t, "node-3")
	s.must(t, "heal", "node-3")
	proc.Until(t, 20*time.Second, "a new identity", func() error {
		st, err := s.nodes()
		if err == nil && (st.Cluster.Nodes[2].ID == was || !st.Cluster.Nodes[2].Alive) {
			err = fmt.Errorf("%+v", st.Cluster.Nodes)
		}
		return err
	})
	s.settled(t)
	s.must(t, "kill", "node-2") // the new member's vote counts
	s.settled(t, "node-2")
	s.writes(t, "wiped")
}

// TestJourneyWithOneNode is the main job with one node that decides alone.
func TestJourneyWithOneNode(t *testing.T) {
	s := startNodes(t, 1)
	t.Logf("proa up on an empty folder: %s", s.Took.Round(time.Millisecond))
	(&journey{system: s}).run(t)
}
