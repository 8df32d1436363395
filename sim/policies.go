package sim

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/policy"
	"github.com/proa-cloud/proa/datasync/resolve"
)

// thePolicies are what a key's conflicts may be decided by, last-write-wins first.
var thePolicies = policies(
	"lww", "merge", "counter", "set", "manual", "prefer: aws", "prefer: azure",
	`cel: newer.deleted ? "older" : "newer"`,
)

// The policies of which checkers must know more.
const (
	counters = 2
	sets     = 3
)

func policies(names ...string) []*policy.Policy {
	list := make([]*policy.Policy, len(names))
	for i, name := range names {
		rule, err := policy.Parse(name)
		if err == nil {
			list[i], err = policy.New(schema, rule, nil)
		}
		if err != nil {
			panic(fmt.Sprintf("policy %q of the simulator: %v", name, err))
		}
	}
	list[0] = nil
	return list
}

// counted adds to a write what its key's policy merges: one to a number, a member to a set.
func (w *world) counted(k int, stored, item proa.Item, op int) proa.Item {
	switch w.cfg.policies[k] {
	case counters:
		item["n"] = proa.Value{Kind: proa.KindN, Str: strconv.Itoa(number(stored) + 1)}
	case sets:
		item["s"] = proa.SetOf(proa.KindSS, append(slices.Clone(stored["s"].Set), fmt.Sprint("op", op)))
	}
	return item
}

// number is what a counter stands at, 0 where there is none.
func number(item proa.Item) int {
	n, err := strconv.Atoi(item["n"].Str)
	if err != nil {
		return 0
	}
	return n
}

// makes is where in a step's outputs the versions begin that a policy made of two states: they are
// its last local writes.
func makes(outs []resolve.Output) int {
	n := 0
	for _, o := range outs {
		if c, ok := o.(resolve.Clash); ok &&
			(c.Outcome == policy.Merged.String() || c.Outcome == policy.Older.String()) {
			n++
		}
	}
	at := len(outs)
	for at > 0 && n > 0 {
		at--
		if _, ok := outs[at].(resolve.Append); ok {
			n--
		}
	}
	return at
}

// decided keeps what the versions know that policies make of two states: what a merge was made of, or
// what the state knew that was taken whole. They are the last local writes of a step, one for each such
// decision.
func (n *node) decided(key int, outs []resolve.Output, ghost uint64) {
	var made []uint64
	w := n.w
	knows := func(v proa.Version) uint64 {
		if g, ok := w.ghosts[key][v]; ok {
			return g
		}
		return ghost
	}
	for _, o := range outs {
		c, ok := o.(resolve.Clash)
		if !ok {
			continue
		}
		w.bare[key] = w.bare[key] || c.Note != "" || c.Reason != resolve.ReasonConcurrent
		switch c.Outcome {
		case policy.Merged.String():
			w.reach(PolicyMerged)
			made = append(made, knows(c.Winner.Version)|knows(c.Loser.Version))
		case policy.Older.String():
			w.reach(PolicyOlder)
			made = append(made, knows(c.Winner.Version))
		case policy.Hold.String():
			w.reach(KeyHeld)
		}
		if c.Note != "" {
			w.reach(PolicyWithoutBase)
		}
	}
	for i := len(outs) - 1; i >= 0 && len(made) > 0; i-- {
		if a, ok := outs[i].(resolve.Append); ok {
			w.say("    %s is %s, made of two states", a.Region, a.Version)
			if want := proa.ContentHash(a.Image.Item); a.Version.Hash != want {
				w.fail("content", "key %d: version %s is given to content %s", key, a.Version, want)
			}
			w.ghosts[key][a.Version] |= made[len(made)-1]
			made = made[:len(made)-1]
		}
	}
}

// settleHold has the operator take one of the two states of a key that waits for that.
func (w *world) settleHold(k int) {
	st := w.owner.states[k]
	if st.Hold == nil || w.poisonedNow(k) {
		return
	}
	chosen := st.Winner
	if w.dice.One(2) {
		chosen = st.Hold.Other
	}
	in := resolve.Settle{Region: chosen.Version.Region, Expect: st.Winner.Version}
	if !chosen.Tombstone {
		if in.Item = st.Bodies[chosen.Version.Hash]; in.Item == nil {
			w.fail("journal", "key %d: %s is held without its content", k, chosen.Version)
			return
		}
	}
	w.reach(HoldSettled)
	w.settled[k] = true
	w.say("the operator takes %s of key %d", chosen.Version, k)
	knows := w.ghosts[k][chosen.Version]
	for _, other := range []resolve.Winner{st.Winner, st.Hold.Other} {
		if other.Tombstone == chosen.Tombstone && other.Version.Hash == chosen.Version.Hash {
			knows |= w.ghosts[k][other.Version]
			w.losers[k][other.Version] = true // the same content: no journal need speak of it
		}
	}
	w.owner.step(k, w.owner.clock(), in, knows)
	w.owner.commit(true)
}

// settleHolds settles all that waits.
func (w *world) settleHolds() {
	for some := true; some && w.broken == nil; {
		some = false
		for k := range w.cfg.keys {
			if w.owner.states[k].Hold != nil && !w.poisonedNow(k) {
				some = true
				w.settleHold(k)
			}
		}
		if some {
			w.calm()
		}
	}
}

// summed checks that every write that the end knows is counted in it once, where a policy merges and
// nothing but that has happened to the key.
func (w *world) summed(k int) {
	kind, win := w.cfg.policies[k], &w.owner.states[k].Winner
	if kind != counters && kind != sets || w.bare[k] || w.plain[k] || win.Tombstone ||
		w.disksLost+w.restored > 0 || w.reached[FeedGap] > 0 || w.poisoned[k] {
		return
	}
	item := w.sites[resolve.Index(win.Version.Region)].rows[k].img.Item
	knows, want := w.ghosts[k][win.Version], 0
	for i, o := range w.ops[k] {
		if o.event < 0 || knows&(1<<i) == 0 {
			continue
		}
		want++
		if kind == sets && !slices.Contains(item["s"].Set, fmt.Sprint("op", i)) {
			w.fail("merge", "key %d: op%d is not in the set %v", k, i, item["s"].Set)
		}
	}
	if kind == counters && number(item) != want {
		w.fail("merge", "key %d: the counter is at %d after %d writes", k, number(item), want)
	}
}
