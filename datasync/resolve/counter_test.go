package resolve

import (
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
)

// chaos is a bench whose writes are answered late, wrongly or never, and whose feeds are read one
// change at a time.
type chaos struct {
	*bench
	rng    *rand.Rand
	late   []Write // sent and given up: each may land once, if its comparison still holds
	flying []Write
	total  int
	tags   map[string]bool
}

// land executes a write as the store would and reports whether its comparison held.
func (c *chaos) land(w Write) bool {
	if PrintOf(c.stored[Index(w.Side)], schema) != w.Print {
		return false
	}
	img := w.Next
	if w.Purge {
		img = proa.Image{}
	}
	c.store(w.Side, img, false)
	return true
}

// answer ends a write that is in flight, in one of the ways in which one can end.
func (c *chaos) answer(w Write, calm bool) {
	row := func() cloud.Row { return cloud.Row{Key: c.s.Key, Image: c.stored[Index(w.Side)]} }
	way := c.rng.IntN(8)
	if calm {
		way = 7
	}
	switch way {
	case 0: // it took effect, the answer is lost
		c.land(w)
		c.step(Applied{Side: w.Side, Intent: w.Intent, Outcome: Ambiguous})
	case 1: // it never arrives
		c.step(Applied{Side: w.Side, Intent: w.Intent, Outcome: Ambiguous})
	case 2: // it arrives later
		c.late = append(c.late, w)
		c.step(Applied{Side: w.Side, Intent: w.Intent, Outcome: Ambiguous})
	case 3:
		c.step(Applied{Side: w.Side, Intent: w.Intent, Outcome: Throttled})
	case 4: // the node died and does not know
		c.land(w)
		c.step(Restarted{Side: w.Side})
	default:
		outcome := Conflict
		if c.land(w) {
			outcome = Done
		}
		c.step(Applied{Side: w.Side, Intent: w.Intent, Outcome: outcome, Row: row()})
	}
}

// act is one thing that happens.
func (c *chaos) act() {
	side := proa.Regions()[c.rng.IntN(2)]
	i := Index(side)
	switch n := c.rng.IntN(10); {
	case n < 3:
		c.increment(side)
	case n < 6:
		if len(c.unread[i]) > 0 {
			first := c.unread[i][0]
			c.unread[i] = c.unread[i][1:]
			c.step(Captured{Change: first})
		}
	case n < 8:
		c.now = c.now.Add(time.Duration(c.rng.IntN(3000)) * time.Millisecond)
		c.dispatch(side)
	case n < 9 && len(c.flying) > 0:
		w := c.flying[0]
		c.flying = c.flying[1:]
		c.answer(w, false)
	case len(c.late) > 0:
		w := c.late[0]
		c.late = c.late[1:]
		c.land(w)
	}
}

// dispatch is what the shell does: the feed is fresh when it has been read to its end.
func (c *chaos) dispatch(side proa.Region) {
	fresh := c.now.Add(-time.Hour)
	if len(c.unread[Index(side)]) == 0 {
		fresh = c.now
	}
	for _, o := range c.step(Dispatch{Side: side, Fresh: fresh}) {
		switch o := o.(type) {
		case Write:
			c.flying = append(c.flying, o)
		case Observe:
			if len(c.unread[Index(o.Side)]) == 0 {
				c.step(Observed{Side: o.Side, Row: cloud.Row{Key: c.s.Key, Image: c.stored[Index(o.Side)]}, Began: c.now})
			}
		}
	}
}

// increment is an application's read-modify-write: it adds to the counter and puts a tag of its own
// into the set.
func (c *chaos) increment(side proa.Region) {
	was := c.stored[Index(side)]
	have, _ := strconv.Atoi(was.Item["n"].Str)
	by := 1 + c.rng.IntN(5)
	c.total += by
	tag := "t" + strconv.Itoa(len(c.tags))
	c.tags[tag] = true
	item := proa.Item{
		"id": proa.String("k"), "n": n(have + by),
		"tags": proa.SetOf(proa.KindSS, append([]string{tag}, was.Item["tags"].Set...)),
	}
	c.store(side, proa.Image{Item: item, Envelope: was.Envelope}, false) // a foreign writer leaves the envelope as it is
}

// calm lets everything end.
func (c *chaos) calm() {
	c.t.Helper()
	for range 100 {
		c.now = c.now.Add(10 * time.Second)
		for _, w := range c.late {
			c.land(w)
		}
		c.late = nil
		for _, w := range c.flying {
			c.answer(w, true)
		}
		c.flying = nil
		busy := false
		for _, r := range proa.Regions() {
			busy = busy || len(c.unread[Index(r)]) > 0
			c.read(r)
		}
		for _, r := range proa.Regions() {
			due, _ := c.rules.Due(c.s, r)
			busy = busy || due
			c.dispatch(r)
		}
		if !busy && len(c.flying) == 0 {
			return
		}
	}
	c.t.Fatalf("it never settles: %+v", c.s)
}

// Every increment counts once and every tag stays, whatever the network, the node and the order do.
func TestNoIncrementIsLostOrCountedTwice(t *testing.T) {
	seeds := 3000
	if testing.Short() {
		seeds = 300
	}
	merged := 0
	for seed := range seeds {
		c := &chaos{
			bench: newBench(t, "merge", map[string]string{"n": "counter", "tags": "set"}),
			rng:   rand.New(rand.NewPCG(uint64(seed), 11)), tags: map[string]bool{},
		}
		c.put(proa.AWS, proa.Item{"n": n(0)})
		c.settle()
		for range 20 + c.rng.IntN(60) {
			c.act()
		}
		c.calm()
		var tags []string
		for tag := range c.tags {
			tags = append(tags, tag)
		}
		want := proa.Item{"id": proa.String("k"), "n": n(c.total)}
		if len(tags) > 0 {
			want["tags"] = proa.SetOf(proa.KindSS, tags)
		}
		for i, r := range proa.Regions() {
			if diff := cmp.Diff(want, c.stored[i].Item); diff != "" {
				t.Fatalf("seed %d at %s:\n%s", seed, r, diff)
			}
		}
		for _, o := range c.out {
			if cl, ok := o.(Clash); ok && cl.Outcome == "merged" {
				merged++
			}
		}
	}
	if merged < seeds {
		t.Errorf("only %d merges in %d histories", merged, seeds)
	}
}
