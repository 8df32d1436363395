package sim

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/policy"
	"github.com/proa-cloud/proa/datasync/resolve"
)

// deciding is what a key's conflicts are decided by, and what of it the checkers hold the end against.
type deciding struct {
	policy  *policy.Policy
	without *policy.Policy // of the table's rule alone, for a planted bug
	counts  bool           // n counts writes
	gathers bool           // s gathers them
	merged  []string       // of these attributes each is one of its latest writes, whoever wrote the others
}

// thePolicies are of whole tables and of single attributes, last-write-wins first.
var thePolicies = []deciding{
	{},
	decidedBy("merge", nil, attributes[:]...),
	decidedBy("counter", nil, attributes[:]...).counting(),
	decidedBy("set", nil, attributes[:]...).gathering(),
	decidedBy("manual", nil),
	decidedBy("prefer: aws", nil),
	decidedBy("prefer: azure", nil),
	decidedBy(`cel: newer.deleted ? "older" : "newer"`, nil),
	decidedBy("lww", map[string]string{"n": "counter", "s": "set"}).counting().gathering(),
	decidedBy("lww", map[string]string{"y": "merge"}, "y"),
	decidedBy("merge", map[string]string{"x": "prefer: azure", "n": "counter"}, "y", "z").counting(),
	decidedBy("prefer: aws", map[string]string{"z": "merge", "s": "set"}, "z").gathering(),
	decidedBy("merge", map[string]string{"x": "cel: older.value", "y": "lww"}, "z"),
	decidedBy("merge", map[string]string{"z": "manual"}),
}

func decidedBy(table string, attributes map[string]string, merged ...string) deciding {
	d := deciding{merged: merged}
	rule, err := policy.Parse(table)
	rules := map[string]policy.Rule{}
	for name, text := range attributes {
		r, wrong := policy.Parse(text)
		rules[name], err = r, errors.Join(err, wrong)
	}
	var wrong error
	d.policy, wrong = policy.New(schema, rule, rules)
	err = errors.Join(err, wrong)
	d.without, wrong = policy.New(schema, rule, nil)
	if err = errors.Join(err, wrong); err != nil {
		panic(fmt.Sprintf("policy %q of the simulator: %v", table, err))
	}
	return d
}

func (d deciding) counting() deciding {
	d.counts = true
	return d
}

func (d deciding) gathering() deciding {
	d.gathers = true
	return d
}

// theOneAsMerged decides as last-write-wins and calls the outcome a merge: for a planted bug.
var theOneAsMerged = decidedBy("cel: newer.item", nil).policy

// decidedBy is a key's.
func (w *world) decidedBy(k int) *deciding { return &thePolicies[w.cfg.policies[k]] }

// counted adds to a write what its key's policy merges: one to a number, a member to a set.
func (w *world) counted(k int, stored, item proa.Item, op int) proa.Item {
	d := w.decidedBy(k)
	if d.counts {
		item["n"] = proa.Value{Kind: proa.KindN, Str: strconv.Itoa(number(stored) + 1)}
	}
	if d.gathers {
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

// additive reports whether a policy merges a key and nothing but that has happened to it.
func (w *world) additive(k int) bool {
	return !w.bare[k] && !w.plain[k] && !w.settled[k] && !w.owner.states[k].Winner.Tombstone &&
		w.disksLost+w.restored == 0 && w.reached[FeedGap] == 0 && !w.poisoned[k]
}

// summed checks that every write is counted in the end once, where a policy adds writes up: whichever it
// takes of the other attributes.
func (w *world) summed(k int) {
	d, win := w.decidedBy(k), &w.owner.states[k].Winner
	if !d.counts && !d.gathers || !w.additive(k) {
		return
	}
	item := w.sites[resolve.Index(win.Version.Region)].rows[k].img.Item
	want := 0
	for i, o := range w.ops[k] {
		if o.event < 0 {
			continue
		}
		want++
		if d.gathers && !slices.Contains(item["s"].Set, fmt.Sprint("op", i)) {
			w.fail("merge", "key %d: op%d is not in the set %v", k, i, item["s"].Set)
		}
	}
	if d.counts && number(item) != want {
		w.fail("merge", "key %d: the counter is at %d after %d writes", k, number(item), want)
	}
	w.reach(WritesSummed)
}

// kept checks that each attribute which a policy merges by itself is as one of its latest writes left it: no
// write of another attribute, on either side, has taken it away.
func (w *world) kept(k int) {
	d, win := w.decidedBy(k), &w.owner.states[k].Winner
	if len(d.merged) == 0 || !w.additive(k) || w.reached[MergedUnder] > 0 {
		return
	}
	item := w.sites[resolve.Index(win.Version.Region)].rows[k].img.Item
	for _, name := range d.merged {
		var setters, seen uint64
		var latest []proa.Value
		for i, o := range w.ops[k] {
			if o.event < 0 {
				continue
			}
			if e := &w.sites[o.side].events[k][o.event]; !e.old.Item[name].Equal(e.new.Item[name]) {
				setters, seen = setters|1<<i, seen|e.ghost&^(1<<i)
			}
		}
		for i, o := range w.ops[k] {
			if setters&^seen&(1<<i) != 0 {
				latest = append(latest, w.sites[o.side].events[k][o.event].new.Item[name])
			}
		}
		if len(latest) > 0 && !slices.ContainsFunc(latest, item[name].Equal) {
			w.fail("merge", "key %d: %s is %q, and its latest writes left %v", k, name, item[name].Str, latest)
		}
	}
	w.reach(AttributesKept)
}
