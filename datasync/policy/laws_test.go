package policy

import (
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/proa-cloud/proa"
)

// shapes are policies under which the laws are checked.
var shapes = []struct {
	table      string
	attributes map[string]string
}{
	{table: "lww"},
	{table: "prefer: aws"},
	{table: "prefer: azure", attributes: map[string]string{"n": "counter"}},
	{table: "merge"},
	{table: "merge", attributes: map[string]string{"n": "counter", "s": "set", "x": "prefer: aws"}},
	{table: "counter"},
	{table: "set"},
	{table: "lww", attributes: map[string]string{"n": "counter", "s": "set"}},
	{table: `cel: "has(older.item.x) && !has(newer.item.x) ? 'older' : 'newer'"`},
	{table: `cel: "{'x': 'made'}"`},
	{table: "manual"},
	{table: "merge", attributes: map[string]string{"x": "manual"}},
}

func drawItem(t *rapid.T, label string) proa.Item {
	i := proa.Item{"id": proa.String("k")}
	for _, name := range []string{"x", "y"} {
		if rapid.Bool().Draw(t, label+name) {
			i[name] = proa.String(strconv.Itoa(rapid.IntRange(0, 2).Draw(t, label+name+"v")))
		}
	}
	if rapid.Bool().Draw(t, label+"n") {
		i["n"] = num(rapid.IntRange(-5, 5).Draw(t, label+"nv"))
	}
	if m := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c"}), 0, 3).Draw(t, label+"s"); len(m) > 0 {
		i["s"] = set(m...)
	}
	return i
}

func drawState(t *rapid.T, label string, ms int) State {
	region := rapid.SampledFrom([]proa.Region{proa.AWS, proa.Azure}).Draw(t, label+"region")
	if rapid.IntRange(0, 5).Draw(t, label+"deleted") == 0 {
		return state(ms, region, nil)
	}
	return state(ms, region, drawItem(t, label))
}

func drawPolicy(t *rapid.T, only func(string) bool) *Policy {
	var fit []int
	for i, s := range shapes {
		if only == nil || only(s.table) {
			fit = append(fit, i)
		}
	}
	s := shapes[rapid.SampledFrom(fit).Draw(t, "policy")]
	return policy(t, s.table, s.attributes)
}

// outcome is a decision as the state that it leaves; ok is false where it is held.
func outcome(p *Policy, c Conflict) (State, bool) {
	d := p.Decide(c)
	newer, older := c.A, c.B
	if newer.Version.Compare(older.Version) < 0 {
		newer, older = older, newer
	}
	switch d.Outcome {
	case Newer:
		return newer, true
	case Older:
		older.Version.Time = newer.Version.Time.Next()
		return older, true
	case Hold:
		return State{}, false
	}
	s := State{Item: d.Item, Version: newer.Version}
	s.Version.Time, s.Version.Hash = newer.Version.Time.Next(), proa.ContentHash(d.Item)
	return s, true
}

func sameContent(a, b State) bool { return a.Deleted == b.Deleted && a.Item.Equal(b.Item) }

func TestEveryPolicyIsDeterministicAndCommutative(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPolicy(t, nil)
		base := drawState(t, "base", 0)
		c := Conflict{A: drawState(t, "a", 1), B: drawState(t, "b", 2)}
		if rapid.Bool().Draw(t, "known") {
			c.Base = &base
		}
		first, ok := outcome(p, c)
		again, _ := outcome(p, c)
		swapped, ok2 := outcome(p, Conflict{Base: c.Base, A: c.B, B: c.A})
		if ok != ok2 || !sameContent(first, again) || !sameContent(first, swapped) {
			t.Fatalf("%s: %v, again %v, swapped %v", p, first, again, swapped)
		}
	})
}

func TestEveryPolicyIsMonotoneAndKeepsTheKey(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPolicy(t, nil)
		base := drawState(t, "base", 0)
		c := Conflict{Base: &base, A: drawState(t, "a", 1), B: drawState(t, "b", 2)}
		s, ok := outcome(p, c)
		if !ok {
			return
		}
		if s.Version.Compare(c.A.Version) < 0 || s.Version.Compare(c.B.Version) < 0 {
			t.Fatalf("%s: %v is older than what it came from", p, s.Version)
		}
		if !s.Deleted && s.Item["id"].Str != "k" {
			t.Fatalf("%s: the key is %v", p, s.Item["id"])
		}
	})
}

// A state that meets what it was merged into adds nothing: its base is then itself.
func TestEveryPolicyAbsorbsWhatItHasMerged(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPolicy(t, func(table string) bool {
			return table == "merge" || table == "counter" || table == "set" || table == "lww"
		})
		base := drawState(t, "base", 0)
		a, b := drawState(t, "a", 1), drawState(t, "b", 2)
		merged, ok := outcome(p, Conflict{Base: &base, A: a, B: b})
		if !ok {
			return
		}
		for _, s := range []State{a, b} {
			if again, ok := outcome(p, Conflict{Base: &s, A: merged, B: s}); ok && !sameContent(again, merged) {
				t.Fatalf("%s: %v with %v became %v", p, merged.Item, s.Item, again.Item)
			}
		}
	})
}

// The orders in which three concurrent states can meet give one outcome, where that is claimed.
func TestAssociativeWhereClaimed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base := state(0, proa.AWS, drawItem(t, "base"))
		var p *Policy
		states := make([]State, 3)
		if rapid.Bool().Draw(t, "disjoint") {
			p = policy(t, "merge", nil)
			for i, name := range []string{"x", "y", "z"} {
				item := proa.Item{}
				for n, v := range base.Item {
					item[n] = v
				}
				item[name] = proa.String("changed" + strconv.Itoa(i))
				states[i] = state(i+1, proa.Regions()[i%2], item)
			}
		} else {
			p = policy(t, "lww", map[string]string{"n": "counter", "s": "set"})
			for i := range states {
				item := drawItem(t, "s"+strconv.Itoa(i))
				delete(item, "x")
				delete(item, "y")
				item["n"] = num(rapid.IntRange(-5, 5).Draw(t, "nn"))
				states[i] = state(i+1, proa.Regions()[i%2], item)
			}
			delete(base.Item, "x")
			delete(base.Item, "y")
			base.Item["n"] = num(1)
		}
		var first *State
		for _, order := range [][3]int{{0, 1, 2}, {1, 2, 0}, {0, 2, 1}} {
			one, _ := outcome(p, Conflict{Base: &base, A: states[order[0]], B: states[order[1]]})
			two, _ := outcome(p, Conflict{Base: &base, A: one, B: states[order[2]]})
			if first == nil {
				first = &two
			} else if !sameContent(*first, two) {
				t.Fatalf("%s: %v gives %v, not %v", p, order, two.Item, first.Item)
			}
		}
	})
}
