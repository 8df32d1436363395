package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/internal/netfault"
	"github.com/proa-cloud/proa/traffic"
)

// fleet is three nodes in one process. Each reaches each other through a proxy of its own, so that
// any link can be cut in either direction.
type fleet struct {
	t     *testing.T
	dir   string
	names []string
	nodes map[string]*running
	links map[string]*netfault.Proxy // "a→b"
	addrs map[string]string
	// without are nodes that are not configured now
	without map[string]bool
}

type running struct {
	*Cluster
	stop func()
	mu   sync.Mutex
	seen []Record
	last string // standby
}

func newFleet(t *testing.T, names ...string) *fleet {
	t.Helper()
	f := &fleet{
		t: t, dir: t.TempDir(), names: names, nodes: map[string]*running{},
		links: map[string]*netfault.Proxy{}, addrs: map[string]string{},
	}
	for _, n := range names {
		// An address of its own: elsewhere an outgoing connection could take the port meanwhile.
		ln, err := net.Listen("tcp", "127.0.77.1:0")
		if err != nil {
			t.Fatal(err)
		}
		f.addrs[n] = ln.Addr().String()
		ln.Close()
		f.issue(n)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	t.Cleanup(func() { cancel(); wg.Wait() })
	for _, from := range names {
		for _, to := range names {
			if from == to {
				continue
			}
			p, err := netfault.Listen("127.0.0.1:0", f.addrs[to], slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			wg.Go(func() { _ = p.Run(ctx) })
			f.links[from+"→"+to] = p
		}
	}
	return f
}

func (f *fleet) issue(name string) {
	if err := Issue(filepath.Join(f.dir, "ca"), filepath.Join(f.dir, name, "tls"), name, time.Now(), false); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fleet) config(name string) Config {
	var nodes []Node
	for i, n := range f.names {
		if f.without[n] {
			continue
		}
		addr := f.addrs[n]
		if n != name {
			addr = f.links[name+"→"+n].Addr()
		}
		nodes = append(nodes, Node{Name: n, Address: addr, Beside: []proa.Region{proa.AWS, proa.Azure, "", "", ""}[i]})
	}
	return Config{
		Self: name, Nodes: nodes, Dir: filepath.Join(f.dir, name), TLS: FilesIn(filepath.Join(f.dir, name, "tls")),
		First: func() (traffic.State, error) {
			return traffic.State{Plan: proa.Plan{Version: 1, Active: proa.AWS}}, nil
		},
		Hear: func(Beat) {}, Recheck: func(proa.Region) {},
		Clock: time.Now, Logger: slog.New(slog.NewTextHandler(testWriter{f.t, name}, nil)),
	}
}

type testWriter struct {
	t    *testing.T
	name string
}

func (w testWriter) Write(b []byte) (int, error) {
	if w.t.Context().Err() == nil {
		w.t.Logf("%s: %s", w.name, b)
	}
	return len(b), nil
}

func (f *fleet) start(names ...string) {
	f.t.Helper()
	for _, name := range names {
		n := &running{last: "not told"}
		cfg := f.config(name)
		cfg.Commit = func(r Record) {
			n.mu.Lock()
			n.seen = append(n.seen, r)
			n.mu.Unlock()
		}
		cfg.Stand = func(s string) {
			n.mu.Lock()
			n.last = s
			n.mu.Unlock()
		}
		c, err := New(cfg)
		if err != nil {
			f.t.Fatal(err)
		}
		n.Cluster = c
		if err := c.Listen(); err != nil {
			f.t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		n.stop = sync.OnceFunc(func() {
			cancel()
			if err := <-done; err != nil {
				f.t.Error(err)
			}
			if err := c.Close(); err != nil {
				f.t.Error(err)
			}
		})
		f.t.Cleanup(n.stop)
		f.nodes[name] = n
	}
}

func (f *fleet) stop(name string) {
	f.nodes[name].stop()
	delete(f.nodes, name)
}

func (f *fleet) cut(a, b string) {
	f.links[a+"→"+b].Cut()
	f.links[b+"→"+a].Cut()
}

func (f *fleet) heal(a, b string) {
	f.links[a+"→"+b].Heal()
	f.links[b+"→"+a].Heal()
}

// leader waits until exactly one of the named nodes decides.
func (f *fleet) leader(among ...string) string {
	f.t.Helper()
	found := ""
	f.within(10*time.Second, "one leader among "+fmt.Sprint(among), func() bool {
		found = ""
		for _, name := range among {
			n := f.nodes[name]
			n.mu.Lock()
			decides := n.last == ""
			n.mu.Unlock()
			if decides {
				if found != "" {
					return false
				}
				found = name
			}
		}
		return found != ""
	})
	return found
}

func (f *fleet) within(d time.Duration, what string, ok func() bool) {
	f.t.Helper()
	for end := time.Now().Add(d); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			for name, n := range f.nodes {
				v := n.View()
				f.t.Logf("%s: leader %q, term %d, seq %d, standby %q: %s", name, v.Leader, v.Term, v.Record.Seq, v.Standby, v.Quorum)
			}
			f.t.Fatalf("not within %s: %s", d, what)
		}
	}
}

// propose makes the next plan through whoever decides.
func (f *fleet) propose(among ...string) proa.Plan {
	f.t.Helper()
	var plan proa.Plan
	f.within(10*time.Second, "a plan", func() bool {
		c := f.nodes[f.leader(among...)]
		r := c.View().Record
		s := r.State
		s.Plan.Version++
		s.Plan.Active = s.Plan.Active.Other()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		err := c.Propose(ctx, r.Seq, s)
		if err != nil {
			f.t.Log(err)
		}
		plan = s.Plan
		return err == nil
	})
	return plan
}

func (f *fleet) have(plan proa.Plan, names ...string) {
	f.t.Helper()
	for _, name := range names {
		f.within(10*time.Second, fmt.Sprintf("plan %d on %s", plan.Version, name), func() bool {
			return samePlan(f.nodes[name].View().Record.State.Plan, plan)
		})
	}
}

func TestThreeNodesAgreeAndEachMayDie(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "node-1", "node-2", "node-3")
	f.start(f.names...)
	f.have(f.propose(f.names...), f.names...)
	for i, dead := range f.names {
		rest := append(append([]string{}, f.names[:i]...), f.names[i+1:]...)
		f.stop(dead)
		f.have(f.propose(rest...), rest...)
		f.start(dead)
		f.have(f.propose(f.names...), f.names...)
	}
	for _, name := range f.names {
		n := f.nodes[name]
		n.mu.Lock()
		for i := 1; i < len(n.seen); i++ {
			if n.seen[i].Seq <= n.seen[i-1].Seq {
				t.Errorf("%s: state %d after %d", name, n.seen[i].Seq, n.seen[i-1].Seq)
			}
		}
		n.mu.Unlock()
	}
}

func TestWithoutAMajorityTheLastPlanStands(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "node-1", "node-2", "node-3")
	f.start(f.names...)
	plan := f.propose(f.names...)
	f.have(plan, f.names...)
	f.stop("node-1")
	f.stop("node-2")
	c := f.nodes["node-3"]
	f.within(10*time.Second, "it says so", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.last == "no quorum: 1 of 3 nodes; the last plan stands"
	})
	r := c.View().Record
	next := r.State
	next.Plan.Version++
	if err := c.Propose(t.Context(), r.Seq, next); !errors.Is(err, proa.ErrUnavailable) {
		t.Errorf("a minority agreed: %v", err)
	}
	f.have(plan, "node-3")
	f.start("node-1")
	f.have(f.propose("node-1", "node-3"), "node-1", "node-3")
}

// TestAnyOneLinkMayBeCut: all three nodes learn of each plan nevertheless, for the leader moves to the one
// that reaches both others.
func TestAnyOneLinkMayBeCut(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "node-1", "node-2", "node-3")
	f.start(f.names...)
	for _, l := range [][2]string{{"node-1", "node-2"}, {"node-1", "node-3"}, {"node-2", "node-3"}} {
		f.propose(f.names...)
		f.cut(l[0], l[1])
		time.Sleep(2 * time.Second) // longer than an election
		f.have(f.propose(f.names...), f.names...)
		f.heal(l[0], l[1])
		f.have(f.propose(f.names...), f.names...)
	}
}

// TestANodeIsReplacedByAnother: node-3 is taken out of the files and node-4 put in, one restart after another. The old
// member counts until all have the new list.
func TestANodeIsReplacedByAnother(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "node-1", "node-2", "node-3", "node-4")
	f.without = map[string]bool{"node-4": true}
	f.start("node-1", "node-2", "node-3")
	f.have(f.propose("node-1", "node-2", "node-3"), "node-1", "node-2", "node-3")
	f.stop("node-3")
	f.without = map[string]bool{"node-3": true}
	f.stop("node-1")
	f.start("node-1")
	f.have(f.propose("node-1", "node-2"), "node-1", "node-2")
	f.within(10*time.Second, "node-1 says why node-3 still counts", func() bool {
		return f.nodes["node-1"].View().Leaving == "node-3 is a member and not configured here: node-2 is configured with node-1, node-2, node-3"
	})
	f.stop("node-2")
	f.start("node-2", "node-4")
	now := []string{"node-1", "node-2", "node-4"}
	for _, name := range now {
		f.within(20*time.Second, "members as "+name+" sees them", func() bool {
			v := f.nodes[name].View()
			return slices.Equal(slices.Sorted(maps.Keys(v.Record.Members)), now) && v.Leaving == ""
		})
	}
	f.have(f.propose(now...), now...)
	f.stop("node-1") // two of the three that are left are a majority
	f.have(f.propose("node-2", "node-4"), "node-2", "node-4")
}

func TestASplitOffLeaderDecidesNothing(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "node-1", "node-2", "node-3")
	f.start(f.names...)
	f.have(f.propose(f.names...), f.names...)
	old := f.leader(f.names...)
	var rest []string
	for _, n := range f.names {
		if n != old {
			rest = append(rest, n)
			f.cut(old, n)
		}
	}
	r := f.nodes[old].View().Record
	next := r.State
	next.Plan.Version++
	next.Plan.Reason = "decided alone"
	if err := f.nodes[old].Propose(t.Context(), r.Seq, next); !errors.Is(err, proa.ErrUnavailable) {
		t.Errorf("a split-off leader agreed with itself: %v", err)
	}
	plan := f.propose(rest...)
	for _, n := range rest {
		f.heal(old, n)
	}
	f.have(plan, f.names...)
}

func TestAWipedNodeJoinsAsANewMember(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "node-1", "node-2", "node-3")
	f.start(f.names...)
	f.have(f.propose(f.names...), f.names...)
	was := f.nodes["node-1"].View().Record.Members["node-1"]
	f.stop("node-1")
	if err := wipe(filepath.Join(f.dir, "node-1", "log")); err != nil {
		t.Fatal(err)
	}
	f.start("node-1")
	f.within(15*time.Second, "node-1 is a new member", func() bool {
		m := f.nodes["node-2"].View().Record.Members
		return m["node-1"] != was && m["node-1"] == f.nodes["node-1"].disk.id && len(m) == 3
	})
	f.have(f.propose(f.names...), f.names...)
	f.stop("node-3") // the new member's vote counts
	f.have(f.propose("node-1", "node-2"), "node-1", "node-2")
}

func TestAForcedGenerationTakesBackTheOthersAsNewMembers(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "node-1", "node-2", "node-3")
	f.start(f.names...)
	plan := f.propose(f.names...)
	f.have(plan, f.names...)
	if err := f.nodes["node-3"].Force(t.Context(), "ops", "a test"); !errors.Is(err, proa.ErrConflict) {
		t.Errorf("forced with a majority here: %v", err)
	}
	f.stop("node-1")
	f.stop("node-2")
	f.within(10*time.Second, "a force", func() bool {
		return f.nodes["node-3"].Force(t.Context(), "ops", "both machines burnt") == nil
	})
	next := f.propose("node-3")
	if next.Version <= plan.Version+versionLeap {
		t.Errorf("plan %d after %d: the lost nodes may have made it", next.Version, plan.Version)
	}
	f.start("node-1", "node-2")
	f.have(next, f.names...)
	f.within(15*time.Second, "three members", func() bool {
		return len(f.nodes["node-3"].View().Record.Members) == 3
	})
	f.have(f.propose(f.names...), f.names...)
	audit := f.nodes["node-1"].View().Record.Audit
	found := false
	for _, a := range audit {
		found = found || a.By == "ops"
	}
	if !found {
		t.Errorf("the record does not say who forced: %+v", audit)
	}
}
