package policy

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/proa-cloud/proa"
)

// orders are the ways in which three states can meet, two first.
var orders = [][3]int{{0, 1, 2}, {1, 0, 2}, {1, 2, 0}, {2, 1, 0}, {0, 2, 1}, {2, 0, 1}}

// drawThree draws three concurrent states with an item that fill completes, of ages in any order.
func drawThree(t *rapid.T, region func(i int) proa.Region, fill func(i int, item proa.Item)) []State {
	ages := rapid.Permutation([]int{1, 2, 3}).Draw(t, "ages")
	states := make([]State, 3)
	for i := range states {
		item := proa.Item{"id": proa.String("k")}
		fill(i, item)
		states[i] = state(ages[i], region(i), item)
	}
	return states
}

// together fails unless the three come to one content, whichever two meet first. It returns that.
func together(t *rapid.T, p *Policy, base *State, states []State) State {
	var first *State
	for _, order := range orders {
		one, ok := outcome(p, Conflict{Base: base, A: states[order[0]], B: states[order[1]]})
		two, ok2 := outcome(p, Conflict{Base: base, A: one, B: states[order[2]]})
		if !ok || !ok2 {
			t.Fatalf("%s: %v holds", p, order)
		}
		if first == nil {
			first = &two
		} else if !sameContent(*first, two) {
			t.Fatalf("%s: %v gives %v, not %v", p, order, two.Item, first.Item)
		}
	}
	return *first
}

func either(t *rapid.T) func(int) proa.Region {
	return func(i int) proa.Region {
		return rapid.SampledFrom([]proa.Region{proa.AWS, proa.Azure}).Draw(t, fmt.Sprint("region", i))
	}
}

// Under prefer the preferred region's state stays, whatever the others are and in whichever order they
// come. (Two states of one region are not concurrent: the later has seen the earlier.)
func TestPreferGivesOneOutcomeForThreeStates(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := policy(t, "prefer: aws", nil)
		base := drawState(t, "base", 0)
		preferred := rapid.IntRange(-1, 2).Draw(t, "preferred")
		states := drawThree(t, func(i int) proa.Region {
			if i == preferred {
				return proa.AWS
			}
			return proa.Azure
		}, func(i int, item proa.Item) { item["x"] = proa.String(fmt.Sprint(i)) })
		got := together(t, p, &base, states)
		if preferred >= 0 && !sameContent(got, states[preferred]) {
			t.Fatalf("%v, and %v was preferred", got.Item, states[preferred].Item)
		}
	})
}

// A table-wide counter adds up all three changes of each number.
func TestCountersOfATableAddUpForThreeStates(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := policy(t, "counter", nil)
		n := rapid.IntRange(-9, 9)
		at, sum := n.Draw(t, "base"), 0
		base := state(0, proa.AWS, proa.Item{"id": proa.String("k"), "n": num(at)})
		states := drawThree(t, either(t), func(i int, item proa.Item) {
			v := n.Draw(t, fmt.Sprint("n", i))
			item["n"] = num(v)
			sum += v - at
		})
		got := together(t, p, &base, states)
		if want := num(at + sum); !got.Item["n"].Equal(want) {
			t.Fatalf("%d with %v, %v, %v became %v, want %v", at, states[0].Item["n"], states[1].Item["n"],
				states[2].Item["n"], got.Item["n"], want)
		}
	})
}

// A table-wide set keeps what all three keep and what any has added.
func TestSetsOfATableUniteForThreeStates(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := policy(t, "set", nil)
		draw := func(label string) map[string]bool {
			m := map[string]bool{"always": true} // a set is never empty
			for _, s := range rapid.SliceOf(rapid.SampledFrom([]string{"a", "b", "c", "d"})).Draw(t, label) {
				m[s] = true
			}
			return m
		}
		value := func(m map[string]bool) proa.Value {
			var names []string
			for _, s := range []string{"a", "always", "b", "c", "d"} {
				if m[s] {
					names = append(names, s)
				}
			}
			return set(names...)
		}
		was := draw("base")
		base := state(0, proa.AWS, proa.Item{"id": proa.String("k"), "s": value(was)})
		var all []map[string]bool
		states := drawThree(t, either(t), func(i int, item proa.Item) {
			all = append(all, draw(fmt.Sprint("s", i)))
			item["s"] = value(all[i])
		})
		want := map[string]bool{}
		for _, s := range []string{"a", "always", "b", "c", "d"} {
			everywhere, somewhere := true, false
			for _, m := range all {
				everywhere, somewhere = everywhere && m[s], somewhere || m[s]
			}
			want[s] = everywhere || somewhere && !was[s]
		}
		if got := together(t, p, &base, states); !got.Item["s"].Equal(value(want)) {
			t.Fatalf("%v became %v, want %v", was, got.Item["s"], want)
		}
	})
}

func TestTwoDeletesStayADelete(t *testing.T) {
	for _, s := range shapes {
		p := policy(t, s.table, s.attributes)
		d := p.Decide(Conflict{A: state(1, proa.AWS, nil), B: state(2, proa.Azure, nil)})
		if d.Outcome != Newer || d.Item != nil {
			t.Errorf("%s: %+v", p, d)
		}
	}
}
