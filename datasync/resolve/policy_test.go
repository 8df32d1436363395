package resolve

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/datasync/policy"
)

var schema = proa.Schema{Table: "t", HashName: "id", HashKind: proa.KindS}

// bench is one key between two stores that are one map each.
type bench struct {
	t      *testing.T
	rules  Rules
	s      *State
	now    time.Time
	stored [2]proa.Image
	next   [2]int
	unread [2][]proa.Change
	out    []Output
}

func newBench(t *testing.T, table string, attributes map[string]string) *bench {
	t.Helper()
	b := &bench{t: t, rules: DefaultRules(schema), now: time.Unix(1_700_000_000, 0).UTC()}
	b.s = &State{Key: proa.Key{Table: "t", Hash: proa.String("k")}}
	rule, err := policy.Parse(table)
	if err != nil {
		t.Fatal(err)
	}
	rules := map[string]policy.Rule{}
	for name, text := range attributes {
		if rules[name], err = policy.Parse(text); err != nil {
			t.Fatal(err)
		}
	}
	if b.rules.Policy, err = policy.New(schema, rule, rules); err != nil {
		t.Fatal(err)
	}
	return b
}

// store puts an image into a side's store and feed.
func (b *bench) store(r proa.Region, img proa.Image, expired bool) {
	i := Index(r)
	old := b.stored[i]
	b.next[i]++
	b.stored[i] = img
	b.now = b.now.Add(time.Second)
	b.unread[i] = append(b.unread[i], proa.Change{
		Region: r, Key: b.s.Key, Old: &old, New: img, Time: b.now, Expired: expired,
		Position: proa.Position(strconv.Itoa(b.next[i])),
	})
}

// put is an application's whole write; nil deletes.
func (b *bench) put(r proa.Region, item proa.Item) {
	if item == nil {
		b.store(r, proa.Image{}, false)
		return
	}
	item["id"] = proa.String("k")
	b.store(r, proa.Image{Item: item}, false)
}

func (b *bench) step(in Input) []Output {
	b.now = b.now.Add(time.Millisecond)
	out := b.rules.Step(b.s, b.now, in)
	b.out = append(b.out, out...)
	return out
}

// read captures what a side's feed has.
func (b *bench) read(r proa.Region) {
	for _, c := range b.unread[Index(r)] {
		b.step(Captured{Change: c})
	}
	b.unread[Index(r)] = nil
}

// settle reads both feeds and does every write until there is none.
func (b *bench) settle() {
	b.t.Helper()
	for range 20 {
		b.now = b.now.Add(10 * time.Second)
		busy := false
		b.read(proa.AWS)
		b.read(proa.Azure)
		for _, r := range proa.Regions() {
			for _, o := range b.step(Dispatch{Side: r, Fresh: b.now}) {
				busy = true
				if w, ok := o.(Write); ok {
					b.write(w)
				}
			}
		}
		if !busy {
			return
		}
	}
	b.t.Fatal("it never settles")
}

func (b *bench) write(w Write) {
	img := w.Next
	if w.Purge {
		img = proa.Image{}
	}
	if PrintOf(b.stored[Index(w.Side)], schema) != w.Print {
		b.step(Applied{Side: w.Side, Intent: w.Intent, Outcome: Conflict, Row: cloud.Row{Key: b.s.Key, Image: b.stored[Index(w.Side)]}})
		return
	}
	b.store(w.Side, img, false)
	b.step(Applied{Side: w.Side, Intent: w.Intent, Outcome: Done, Row: cloud.Row{Key: b.s.Key, Image: img}})
}

func (b *bench) clashes() (list []Clash) {
	for _, o := range b.out {
		if c, ok := o.(Clash); ok {
			list = append(list, c)
		}
	}
	return list
}

// both checks what both sides hold; nil: nothing.
func (b *bench) both(want proa.Item) {
	b.t.Helper()
	if want != nil {
		want["id"] = proa.String("k")
	}
	for _, r := range proa.Regions() {
		if diff := cmp.Diff(want, b.stored[Index(r)].Item); diff != "" {
			b.t.Errorf("%s:\n%s", r, diff)
		}
	}
	a, z := b.stored[0].Envelope, b.stored[1].Envelope
	if want != nil && (a == nil || z == nil || a.Version != z.Version) {
		b.t.Errorf("versions %v and %v", a, z)
	}
}

func n(i int) proa.Value { v, _ := proa.Number(strconv.Itoa(i)); return v }

func TestConcurrentWritesEndAsThePolicySaysOnBothSides(t *testing.T) {
	s := proa.String
	for _, tc := range []struct {
		table      string
		attributes map[string]string
		base       proa.Item
		aws, azure proa.Item
		want       proa.Item
		clashes    int
	}{
		{table: "lww", base: proa.Item{}, aws: proa.Item{"x": s("1")}, azure: proa.Item{"x": s("2")}, want: proa.Item{"x": s("2")}, clashes: 1},
		{table: "prefer: aws", base: proa.Item{}, aws: proa.Item{"x": s("1")}, azure: proa.Item{"x": s("2")}, want: proa.Item{"x": s("1")}, clashes: 1},
		{table: "prefer: aws", base: proa.Item{}, aws: nil, azure: proa.Item{"x": s("2")}, want: nil, clashes: 1},
		{table: "merge", base: proa.Item{"x": s("0"), "y": s("0")}, aws: proa.Item{"x": s("1"), "y": s("0")}, azure: proa.Item{"x": s("0"), "y": s("2")}, want: proa.Item{"x": s("1"), "y": s("2")}, clashes: 1},
		{table: "lww", attributes: map[string]string{"n": "counter"}, base: proa.Item{"n": n(1)}, aws: proa.Item{"n": n(2)}, azure: proa.Item{"n": n(2)}, want: proa.Item{"n": n(3)}, clashes: 1},
		{table: "counter", base: nil, aws: proa.Item{"n": n(2)}, azure: proa.Item{"n": n(3)}, want: proa.Item{"n": n(5)}, clashes: 1},
		{table: "set", base: proa.Item{"s": proa.SetOf(proa.KindSS, []string{"a"})}, aws: proa.Item{"s": proa.SetOf(proa.KindSS, []string{"a", "b"})}, azure: proa.Item{"s": proa.SetOf(proa.KindSS, []string{"c"})}, want: proa.Item{"s": proa.SetOf(proa.KindSS, []string{"b", "c"})}, clashes: 1},
		{table: `cel: "older.item.x < newer.item.x ? 'older' : 'newer'"`, base: proa.Item{}, aws: proa.Item{"x": n(1)}, azure: proa.Item{"x": n(2)}, want: proa.Item{"x": n(1)}, clashes: 1},
	} {
		for _, first := range proa.Regions() {
			t.Run(fmt.Sprintf("%s %v %s first", tc.table, tc.attributes, first), func(t *testing.T) {
				b := newBench(t, tc.table, tc.attributes)
				if tc.base != nil {
					b.put(proa.AWS, tc.base)
					b.settle()
				}
				b.put(proa.AWS, tc.aws)
				b.put(proa.Azure, tc.azure)
				b.read(first)
				b.settle()
				want := tc.want
				if want != nil {
					want = want.Without("none")
				}
				b.both(want)
				if got := b.clashes(); len(got) != tc.clashes {
					t.Errorf("%d entries for the journal, want %d: %+v", len(got), tc.clashes, got)
				}
			})
		}
	}
}

func TestManyIncrementsOnBothSidesAllCount(t *testing.T) {
	b := newBench(t, "lww", map[string]string{"n": "counter"})
	b.put(proa.AWS, proa.Item{"n": n(0)})
	b.settle()
	total := 0
	for round := range 30 {
		for i, r := range proa.Regions() {
			for range 1 + (round+i)%2 {
				have, err := strconv.Atoi(b.stored[i].Item["n"].Str)
				if err != nil {
					t.Fatal(err)
				}
				total++
				b.put(r, proa.Item{"n": n(have + 1)})
			}
			if round%3 == i {
				b.read(r)
			}
		}
		if round%4 == 3 {
			b.settle()
		}
	}
	b.settle()
	b.both(proa.Item{"n": n(total)})
}

func TestAManualConflictLeavesBothSidesAloneUntilItIsSettled(t *testing.T) {
	b := newBench(t, "manual", nil)
	b.put(proa.AWS, proa.Item{"x": n(0)})
	b.settle()
	b.put(proa.AWS, proa.Item{"x": n(1)})
	b.put(proa.Azure, proa.Item{"x": n(2)})
	b.settle()
	if b.stored[0].Item["x"].Str != "1" || b.stored[1].Item["x"].Str != "2" {
		t.Fatalf("a side was written: %v, %v", b.stored[0].Item, b.stored[1].Item)
	}
	if b.s.Hold == nil || len(b.clashes()) != 1 || b.clashes()[0].Outcome != "hold" {
		t.Fatalf("hold %+v, %+v", b.s.Hold, b.clashes())
	}
	b.put(proa.AWS, proa.Item{"x": n(3)}) // the side goes on
	b.settle()
	if b.stored[1].Item["x"].Str != "2" || len(b.clashes()) != 1 {
		t.Fatalf("%v; %+v", b.stored[1].Item, b.clashes())
	}
	aws := b.s.Winner
	if b.s.Hold.Other.Version.Region == proa.AWS {
		aws = b.s.Hold.Other
	}
	b.step(Settle{Region: proa.AWS, Item: b.s.Bodies[aws.Version.Hash]})
	b.settle()
	b.both(proa.Item{"x": n(3)})
	if b.s.Hold != nil {
		t.Error("still held")
	}
}

func TestARestoredLoserIsANewVersion(t *testing.T) {
	b := newBench(t, "lww", nil)
	b.put(proa.AWS, proa.Item{"x": n(1)})
	b.put(proa.Azure, proa.Item{"x": n(2)})
	b.settle()
	won := b.s.Winner.Version
	loser := b.clashes()[0].Loser
	b.step(Settle{Region: loser.Version.Region, Item: loser.Item, Expect: loser.Version})
	if b.s.Winner.Version != won {
		t.Fatal("an order for another winner was carried out")
	}
	b.step(Settle{Region: loser.Version.Region, Item: loser.Item, Expect: won})
	b.settle()
	b.both(proa.Item{"x": n(1)})
	if b.s.Winner.Version.Compare(won) <= 0 {
		t.Error("the version did not rise")
	}
}

func TestAnIgnoredExpiryLeavesTheOtherSideAloneUntilANewerWrite(t *testing.T) {
	b := newBench(t, "lww", nil)
	b.rules.Expiry.Ignore[Index(proa.AWS)] = true
	b.put(proa.AWS, proa.Item{"x": n(1)})
	b.settle()
	b.store(proa.AWS, proa.Image{}, true)
	b.settle()
	if b.stored[0].Exists() || !b.stored[1].Exists() {
		t.Fatalf("%v, %v", b.stored[0], b.stored[1])
	}
	b.put(proa.Azure, proa.Item{"x": n(2)})
	b.settle()
	b.both(proa.Item{"x": n(2)})
	b.store(proa.Azure, proa.Image{}, true) // counts there
	b.settle()
	b.both(nil)
}
