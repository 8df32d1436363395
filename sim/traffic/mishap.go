package trafficsim

import (
	"time"

	"github.com/proa-cloud/proa/sim/internal/dice"
	"github.com/proa-cloud/proa/traffic"
)

// mishap breaks or heals something, most of the time nothing.
func (w *world) mishap(d *dice.Dice) {
	if !d.One(w.calm) {
		return
	}
	n := &w.nodes[d.N(nodes)]
	k := d.N(2)
	short := time.Duration(200+d.N(1800)) * time.Millisecond
	switch d.N(16) {
	case 0, 1:
		w.up[k] = false
		w.note("%s fails", regions[k])
	case 2, 3, 4:
		w.up[k] = true
		w.note("%s serves", regions[k])
	case 5:
		w.freeze(n, short*2)
	case 6:
		w.cut[n.id][d.N(nodes)] = true
		w.note("one-way cut at node-%d", n.id+1)
	case 7:
		j := d.N(nodes)
		w.cut[n.id][j], w.cut[j][n.id] = true, true
		w.note("node-%d and node-%d are cut off from each other", n.id+1, j+1)
	case 8, 9:
		w.cut = [nodes][nodes]bool{}
		w.note("all links work")
	case 10:
		w.burst(d, short)
	case 11:
		if !w.frozen(n.id) {
			w.note("node-%d restarts", n.id+1)
			w.boot(n)
		}
	case 12:
		w.broken[k], w.unknown[k] = !w.broken[k], d.One(2)
		w.note("changes of %s are stuck: %v, their lag is unknown: %v", regions[k], w.broken[k],
			w.unknown[k])
	default:
		w.operate(d)
	}
}

func (w *world) note(format string, args ...any) {
	if w.log != nil {
		w.log("%8s -- "+format, append([]any{w.now}, args...)...)
	}
}

// freeze stops a node's process for a while.
func (w *world) freeze(n *node, d time.Duration) {
	n.frozen = w.now + d
	w.note("node-%d freezes for %s", n.id+1, d)
}

// burst loses the probes of one, two or all nodes.
func (w *world) burst(d *dice.Dice, length time.Duration) {
	for range 1 + d.N(nodes) {
		n := &w.nodes[d.N(nodes)]
		n.blind, n.timid = w.now+length, d.One(2)
		w.note("node-%d is blind for %s", n.id+1, length)
	}
	w.reach.count(reachBurst)
}

// operate has an operator order something of the node that decides.
func (w *world) operate(d *dice.Dice) {
	c := traffic.Command{By: "ann", To: regions[d.N(2)], Override: d.One(4)}
	switch d.N(8) {
	case 0:
		c.Action = traffic.Hold
		c.For = time.Duration(d.N(6)) * time.Second
	case 1, 2:
		c.Action = traffic.Release
	case 3:
		c.Action, c.Reason = traffic.Force, "drill"
	case 4:
		c.Action, c.Node = traffic.HandOver, w.name(d.N(nodes))
	case 5:
		c.Action = traffic.Failback
	default:
		c.Action = traffic.Switchover
	}
	if c.Override {
		c.Reason = "drill"
	}
	i := d.N(nodes)
	if w.leader >= 0 && w.reaches(i, w.leader) {
		w.order(c)
	}
}

func (w *world) order(c traffic.Command) {
	err := w.step(&w.nodes[w.leader], c)
	w.note("%s %s%s: %v", c.Action, c.To, c.Node, err)
}
