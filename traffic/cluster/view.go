package cluster

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"

	"go.etcd.io/raft/v3"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/traffic"
)

// View is the cluster as this node sees it.
type View struct {
	Self    string `json:"self"`
	Leader  string `json:"leader"`            // "" when none is known
	Standby string `json:"standby,omitempty"` // why this node does not decide, "" when it does
	// Quorum says in a sentence whether anything can be agreed.
	Quorum string     `json:"quorum"`
	Term   uint64     `json:"term"`
	Nodes  []NodeView `json:"nodes"`
	Record Record     `json:"record"`
	// Leaving says why a member that this node is not configured with still counts, "" for none.
	Leaving string `json:"leaving,omitempty"`

	id     uint64
	formed bool
}

// NodeView is one configured node as this one sees it.
type NodeView struct {
	Name    string      `json:"name"`
	Address string      `json:"address"`
	Beside  proa.Region `json:"beside,omitempty"`
	ID      string      `json:"id,omitempty"` // its identity as a member
	Alive   bool        `json:"alive"`
	// HeardMS is how long ago it was last heard; nil: never, or it is this node.
	HeardMS *int64 `json:"heard_ms,omitempty"`
	Seq     uint64 `json:"seq"` // the agreed state that it has
	// Trouble says why it cannot be reached, or what is wrong with this node's credentials.
	Trouble string `json:"trouble,omitempty"`
}

// View returns the cluster as this node sees it now. It never blocks.
func (c *Cluster) View() View {
	v := *c.view.Load()
	alive := 0
	for _, n := range c.cfg.Nodes {
		view := NodeView{Name: n.Name, Address: n.Address, Beside: n.Beside}
		if id := v.Record.Members[n.Name]; id != 0 {
			view.ID = identity(id)
		}
		if p, ok := c.peers[n.Name]; ok {
			b, ago, heard := c.Heard(n.Name)
			view.Alive, view.Seq = heard && ago < lostAfter, b.Seq
			if heard {
				ms := ago.Milliseconds()
				view.HeardMS = &ms
			}
			view.Trouble = p.problem()
		} else {
			view.Alive, view.Seq, view.Trouble = true, v.Record.Seq, c.creds.trouble()
		}
		if view.Alive {
			alive++
		}
		v.Nodes = append(v.Nodes, view)
	}
	v.Quorum = c.quorum(alive, v.Leader)
	if name, why := c.leaving(v.Record); name != "" {
		v.Leaving = name + " is a member and not configured here: " + cmp.Or(why, "it is being taken out")
	}
	return v
}

func (c *Cluster) quorum(alive int, leader string) string {
	n := len(c.cfg.Nodes)
	switch {
	case leader != "":
		return fmt.Sprintf("quorum: %d of %d nodes, %s decides", alive, n, leader)
	case alive < n/2+1:
		return fmt.Sprintf("no quorum: %d of %d nodes; the last plan stands", alive, n)
	}
	return fmt.Sprintf("no leader yet: %d of %d nodes", alive, n)
}

// alive counts the nodes that were heard lately, this one included.
func (c *Cluster) alive() int {
	n := 1
	for name := range c.peers {
		if _, ago, ok := c.Heard(name); ok && ago < lostAfter {
			n++
		}
	}
	return n
}

// show makes the core's state visible to other goroutines. Only the loop calls it, and New.
func (c *Cluster) show() {
	k := &c.core
	v := &View{
		Self: c.cfg.Self, Standby: k.standby, Record: k.record, id: c.disk.id, formed: c.disk.formed(),
	}
	if k.raft != nil {
		s := k.raft.BasicStatus()
		v.Term = s.HardState.GetTerm()
		if s.Lead != raft.None {
			v.Leader = k.record.name(s.Lead)
		}
	}
	old := c.view.Swap(v)
	if old == nil || old.id != v.id || old.formed != v.formed || old.Record.Seq != v.Record.Seq ||
		old.Record.Generation != v.Record.Generation {
		for _, p := range c.peers {
			p.hurry()
		}
	}
}

// Propose puts a state into the log that was decided on the agreed state base, and returns once it
// is agreed and applied here. It fails with proa.ErrStalePlan when another state came first, and
// with proa.ErrUnavailable when this node does not decide or no majority answers; the outcome of the
// latter is not known, and Commit tells it.
func (c *Cluster) Propose(ctx context.Context, base uint64, s traffic.State) error {
	return c.submit(ctx, entry{Base: base, State: &s})
}

// Note puts a line into the cluster's record.
func (c *Cluster) Note(ctx context.Context, by, what string) error {
	a := Audit{At: c.cfg.Clock().UTC(), Node: c.cfg.Self, By: by, What: what}
	return c.submit(ctx, entry{Audit: &a})
}

func (c *Cluster) submit(ctx context.Context, e entry) error {
	reply := make(chan error, 1)
	return c.ask(ctx, proposal{entry: e, reply: reply}, reply)
}

// Force makes this node the only member of a new generation, for the case that a majority of the
// nodes is lost for good. The others, should they come back, join as new members, and what they
// agreed on meanwhile is given up. It is refused while a majority is here.
func (c *Cluster) Force(ctx context.Context, by, reason string) error {
	if by == "" || reason == "" {
		return fmt.Errorf("force: who asks and why are needed for the record: %w", proa.ErrInvalid)
	}
	reply := make(chan error, 1)
	return c.ask(ctx, forceOrder{by: by, reason: reason, reply: reply}, reply)
}

func (c *Cluster) ask(ctx context.Context, order any, reply chan error) error {
	select {
	case c.orders <- order:
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", proa.ErrUnavailable, ctx.Err())
	}
	select {
	case err := <-reply:
		return err
	case <-ctx.Done():
		return fmt.Errorf("the outcome is not known: %w: %w", proa.ErrUnavailable, ctx.Err())
	}
}

// raftLogger gives raft's warnings to the node's log and keeps the rest out of it.
type raftLogger struct{ log *slog.Logger }

func (l raftLogger) Debug(...any)          {}
func (l raftLogger) Debugf(string, ...any) {}
func (l raftLogger) Info(...any)           {}
func (l raftLogger) Infof(string, ...any)  {}

func (l raftLogger) Warning(v ...any)            { l.log.Debug("raft", "text", fmt.Sprint(v...)) }
func (l raftLogger) Warningf(f string, v ...any) { l.log.Debug("raft", "text", fmt.Sprintf(f, v...)) }
func (l raftLogger) Error(v ...any)              { l.log.Warn("raft", "text", fmt.Sprint(v...)) }
func (l raftLogger) Errorf(f string, v ...any)   { l.log.Warn("raft", "text", fmt.Sprintf(f, v...)) }

// Fatal and Panic are broken invariants of the library: going on could break a promise.
func (l raftLogger) Fatal(v ...any)            { panic("raft: " + fmt.Sprint(v...)) }
func (l raftLogger) Fatalf(f string, v ...any) { panic("raft: " + fmt.Sprintf(f, v...)) }
func (l raftLogger) Panic(v ...any)            { panic("raft: " + fmt.Sprint(v...)) }
func (l raftLogger) Panicf(f string, v ...any) { panic("raft: " + fmt.Sprintf(f, v...)) }
