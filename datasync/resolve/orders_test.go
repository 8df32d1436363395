package resolve

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/proa-cloud/proa"
)

// stretch is what applications write at both sides while the link between them is down.
type stretch struct {
	rule       string
	attributes map[string]string
	before     proa.Item
	sides      [2][]func(proa.Item) proa.Item // each from what its side holds; nil: a delete
	ages       []int                          // whose turn it is
	names      [2]map[string]bool             // which attributes each side writes
}

func (s *stretch) String() string {
	return fmt.Sprintf("%s %v, turns %v", s.rule, s.attributes, s.ages)
}

// play writes all of it, reads the feeds in an order, and lets both sides come to rest.
func (s *stretch) play(t *testing.T, order []int) *bench {
	b := newBench(t, s.rule, s.attributes)
	if s.before != nil {
		b.put(proa.AWS, s.before)
		b.settle()
	}
	next := [2]int{}
	for _, side := range s.ages {
		r := proa.Regions()[side]
		b.put(r, s.sides[side][next[side]](b.stored[side].Item))
		next[side]++
	}
	for _, side := range order {
		c := b.unread[side][0]
		b.unread[side] = b.unread[side][1:]
		b.step(Captured{Change: c})
		b.step(Captured{Change: c}) // a feed gives it again
	}
	b.settle()
	return b
}

// added is an application's read-modify-write that changes one attribute of each kind.
func (s *stretch) added(t *rapid.T, side, i int) func(proa.Item) proa.Item {
	name, tag := rapid.SampledFrom([]string{"x", "y"}).Draw(t, "name"), fmt.Sprint(side, ".", i)
	s.names[side][name] = true
	by := rapid.IntRange(1, 5).Draw(t, "by")
	return func(was proa.Item) proa.Item {
		item := maps.Clone(was)
		if item == nil {
			item = proa.Item{}
		}
		item[name] = proa.String(tag)
		item["n"] = n(number(was) + by)
		item["s"] = proa.SetOf(proa.KindSS, append(slices.Clone(was["s"].Set), tag))
		return item
	}
}

func number(item proa.Item) int {
	at := 0
	_, _ = fmt.Sscan(item["n"].Str, &at)
	return at
}

func drawStretch(t *rapid.T, rule string, attributes map[string]string, deletes bool) *stretch {
	s := &stretch{rule: rule, attributes: attributes, before: proa.Item{
		"id": proa.String("k"), "x": proa.String("-"), "n": n(10), "s": proa.SetOf(proa.KindSS, []string{"-"}),
	}}
	for side := range s.sides {
		s.names[side] = map[string]bool{}
		for i := range rapid.IntRange(0, 3).Draw(t, "writes") {
			write := s.added(t, side, i)
			if deletes && rapid.IntRange(0, 4).Draw(t, "delete") == 0 {
				put := write
				write = func(was proa.Item) proa.Item {
					if was == nil {
						return put(was)
					}
					return nil
				}
			}
			s.sides[side] = append(s.sides[side], write)
			s.ages = append(s.ages, side)
		}
	}
	s.ages = rapid.Permutation(s.ages).Draw(t, "ages")
	return s
}

// one is what of an item must not depend on the order: all of it; or, where a policy merges attributes, those that
// only one side has written, and those whose changes add up. Of one that both have written by themselves the later
// stays, and what is merged is as late as its merging.
func (s *stretch) one(item proa.Item, addUp []string) proa.Item {
	if addUp == nil {
		return item
	}
	some := proa.Item{}
	for name, v := range item {
		if slices.Contains(addUp, name) || name != "n" && name != "s" && !(s.names[0][name] && s.names[1][name]) {
			some[name] = v
		}
	}
	return some
}

// Laws of Step: which feed is read first, and what is read again, changes nothing of the end, under every policy of
// which docs/RELIABILITY.md says so.
func TestEveryOrderOfTwoFeedsComesToOneEnd(t *testing.T) {
	for _, p := range []struct {
		rule       string
		attributes map[string]string
		addUp      []string // nil: nothing of the item depends on the order
	}{
		{rule: "lww"},
		{rule: "prefer: aws"},
		{rule: "prefer: azure"},
		{rule: "lww", attributes: map[string]string{"n": "counter", "s": "set"}},
		{rule: "manual"},
		{rule: "merge", addUp: []string{}},
		{rule: "counter", addUp: []string{"n"}},
		{rule: "set", addUp: []string{"s"}},
		{rule: "merge", attributes: map[string]string{"n": "counter", "s": "set"}, addUp: []string{"n", "s"}},
	} {
		t.Run(fmt.Sprint(p.rule, p.attributes), func(t *testing.T) {
			rapid.Check(t, func(r *rapid.T) {
				// Where both sides delete they agree, and what either writes then comes after both, whatever the
				// policy would say of the one delete alone.
				deletes := p.rule == "lww" && p.attributes == nil
				s := drawStretch(r, p.rule, p.attributes, deletes)
				a := s.play(t, rapid.Permutation(s.ages).Draw(r, "one order"))
				z := s.play(t, rapid.Permutation(s.ages).Draw(r, "another order"))
				if (a.s.Hold == nil) != (z.s.Hold == nil) {
					r.Fatalf("%s: in one order an operator is asked", s)
				}
				for i, side := range proa.Regions() {
					one, two := s.one(a.stored[i].Item, p.addUp), s.one(z.stored[i].Item, p.addUp)
					if !one.Equal(two) {
						r.Fatalf("%s: %s has %v, or %v", s, side, one, two)
					}
				}
			})
		})
	}
}
