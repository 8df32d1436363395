package policy

import (
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/hlc"
)

var schema = proa.Schema{Table: "t", HashName: "id", HashKind: proa.KindS}

func num(n int) proa.Value { v, _ := proa.Number(strconv.Itoa(n)); return v }

func set(members ...string) proa.Value { return proa.SetOf(proa.KindSS, members) }

func state(ms int, region proa.Region, item proa.Item) State {
	s := State{Item: item, Deleted: item == nil}
	if item != nil {
		item["id"] = proa.String("k")
	}
	s.Version = proa.Version{
		Time: hlc.At(time.UnixMilli(int64(1_700_000_000_000 + ms))), Region: region,
		Hash: proa.ContentHash(item),
	}
	return s
}

func decided(t *testing.T, p *Policy, c Conflict) (proa.Item, Decision) {
	t.Helper()
	d := p.Decide(c)
	newer, older := c.A, c.B
	if newer.Version.Compare(older.Version) < 0 {
		newer, older = older, newer
	}
	switch d.Outcome {
	case Newer:
		return newer.Item, d
	case Older:
		return older.Item, d
	}
	return d.Item, d
}

func TestEachPolicyDecidesAsItsNameSays(t *testing.T) {
	item := func(pairs ...any) proa.Item {
		i := proa.Item{}
		for n := 0; n < len(pairs); n += 2 {
			i[pairs[n].(string)] = pairs[n+1].(proa.Value)
		}
		return i
	}
	s := proa.String
	for _, tc := range []struct {
		name       string
		table      string
		attributes map[string]string
		base       proa.Item // nil: deleted
		unknown    bool      // no base at all
		aws        proa.Item // at 10 ms
		azure      proa.Item // at 20 ms
		want       proa.Item
		outcome    Outcome
		noted      bool
	}{
		{name: "lww: the newer wins whole", table: "lww", base: item("x", s("0"), "y", s("0")), aws: item("x", s("1"), "y", s("0")), azure: item("x", s("0"), "y", s("2")), want: item("x", s("0"), "y", s("2"))},
		{name: "prefer: its region wins though older", table: "prefer: aws", base: item(), aws: item("x", s("1")), azure: item("x", s("2")), want: item("x", s("1")), outcome: Older},
		{name: "prefer: its region's delete wins", table: "prefer: aws", base: item(), aws: nil, azure: item("x", s("2")), want: nil, outcome: Older},
		{name: "merge: both changes stay", table: "merge", base: item("x", s("0"), "y", s("0")), aws: item("x", s("1"), "y", s("0")), azure: item("x", s("0"), "y", s("2")), want: item("x", s("1"), "y", s("2")), outcome: Merged},
		{name: "merge: the newer of one attribute", table: "merge", base: item("x", s("0")), aws: item("x", s("1"), "z", s("new")), azure: item("x", s("2")), want: item("x", s("2"), "z", s("new")), outcome: Merged},
		{name: "merge: a removed attribute stays removed", table: "merge", base: item("x", s("0"), "y", s("0")), aws: item("y", s("0")), azure: item("x", s("0"), "y", s("2")), want: item("y", s("2")), outcome: Merged},
		{name: "merge: a change that holds the other is the outcome", table: "merge", base: item("x", s("0")), aws: item("x", s("1")), azure: item("x", s("0")), want: item("x", s("1")), outcome: Older},
		{name: "merge: a newer delete wins", table: "merge", base: item("x", s("0")), aws: item("x", s("1")), azure: nil, want: nil},
		{name: "merge: without a base the newer wins, and says so", table: "merge", unknown: true, aws: item("x", s("1")), azure: item("y", s("2")), want: item("y", s("2")), noted: true},
		{name: "counter: both changes add up", table: "lww", attributes: map[string]string{"n": "counter"}, base: item("n", num(5)), aws: item("n", num(7)), azure: item("n", num(4)), want: item("n", num(6)), outcome: Merged},
		{name: "counter: equal contents are two changes", table: "lww", attributes: map[string]string{"n": "counter"}, base: item("n", num(5)), aws: item("n", num(6)), azure: item("n", num(6)), want: item("n", num(7)), outcome: Merged},
		{name: "counter: made on both sides", table: "counter", base: nil, aws: item("n", num(2)), azure: item("n", num(3)), want: item("n", num(5)), outcome: Merged},
		{name: "counter: no number", table: "lww", attributes: map[string]string{"n": "counter"}, base: item("n", num(5)), aws: item("n", s("x")), azure: item("n", num(6)), want: item("n", num(6)), noted: true},
		{name: "set: additions and removals of both", table: "merge", attributes: map[string]string{"tags": "set"}, base: item("tags", set("a", "b", "c")), aws: item("tags", set("a", "b", "x")), azure: item("tags", set("b", "c", "y")), want: item("tags", set("b", "x", "y")), outcome: Merged},
		{name: "set: emptied is removed", table: "set", base: item("tags", set("a", "b")), aws: item("tags", set("a")), azure: item("tags", set("b")), want: item(), outcome: Merged},
		{name: "cel: chooses the older", table: `cel: "newer.item.total >= older.item.total"`, base: item(), aws: item("total", num(9)), azure: item("total", num(3)), want: item("total", num(9)), outcome: Older},
		{name: "cel: names a region", table: `cel: "'aws'"`, base: item(), aws: item("x", s("1")), azure: item("x", s("2")), want: item("x", s("1")), outcome: Older},
		{name: "cel: makes an item, sets unharmed", table: `cel: "{'tags': older.item.tags, 'x': newer.item.x + older.item.x}"`, base: item(), aws: item("x", s("1"), "tags", set("b", "a")), azure: item("x", s("2"), "tags", set("c")), want: item("x", s("21"), "tags", set("a", "b")), outcome: Merged},
		{name: "cel: of one attribute", table: "lww", attributes: map[string]string{"n": `cel: "newer.value > older.value ? newer.value : older.value"`}, base: item(), aws: item("n", num(9)), azure: item("n", num(3), "x", s("2")), want: item("n", num(9), "x", s("2")), outcome: Merged},
		{name: "cel: a mistake falls back to the newer", table: `cel: "newer.item.nothing > 3"`, base: item(), aws: item("x", s("1")), azure: item("x", s("2")), want: item("x", s("2")), noted: true},
		{name: "manual: held", table: "manual", base: item(), aws: item("x", s("1")), azure: item("x", s("2")), outcome: Hold},
		{name: "manual attribute: held where both changed it", table: "merge", attributes: map[string]string{"x": "manual"}, base: item("x", s("0")), aws: item("x", s("1")), azure: item("x", s("2")), outcome: Hold},
		{name: "manual attribute: not held where one did", table: "merge", attributes: map[string]string{"x": "manual"}, base: item("x", s("0"), "y", s("0")), aws: item("x", s("1"), "y", s("0")), azure: item("x", s("0"), "y", s("2")), want: item("x", s("1"), "y", s("2")), outcome: Merged},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := policy(t, tc.table, tc.attributes)
			base := state(0, proa.AWS, tc.base)
			c := Conflict{Base: &base, A: state(10, proa.AWS, tc.aws), B: state(20, proa.Azure, tc.azure)}
			if tc.unknown {
				c.Base = nil
			}
			if tc.want != nil {
				tc.want["id"] = proa.String("k")
			}
			for _, c := range []Conflict{c, {Base: c.Base, A: c.B, B: c.A}} {
				got, d := decided(t, p, c)
				if diff := cmp.Diff(tc.want, got); diff != "" || d.Outcome != tc.outcome {
					t.Errorf("%s %q:\n%s", d.Outcome, d.Note, diff)
				}
				if (d.Note != "") != tc.noted {
					t.Errorf("note %q", d.Note)
				}
			}
		})
	}
}

// fataler is what testing.T and rapid.T have in common.
type fataler interface {
	Helper()
	Fatal(args ...any)
}

func policy(t fataler, table string, attributes map[string]string) *Policy {
	t.Helper()
	rule, err := Parse(table)
	if err != nil {
		t.Fatal(err)
	}
	rules := map[string]Rule{}
	for name, text := range attributes {
		if rules[name], err = Parse(text); err != nil {
			t.Fatal(err)
		}
	}
	p, err := New(schema, rule, rules)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestRulesAreRefusedWithAReason(t *testing.T) {
	for text, want := range map[string]string{
		"newest":           `unknown policy "newest": want lww, prefer, merge, counter, set, cel or manual: invalid`,
		"prefer: gcp":      `policy prefer: unknown region "gcp": want "aws" or "azure": invalid`,
		"merge: aws":       `policy "merge: aws": merge takes no parameter: invalid`,
		`cel: "newer.x +"`: `policy cel: expression: column 10: Syntax error: mismatched input '<EOF>' expecting`,
		`cel: "now() > 1"`: `policy cel: expression: column 4: undeclared reference to 'now' (in container ''): invalid`,
		"cel":              `policy cel: the expression is empty: invalid`,
		`cel: "unfinished`: `policy "cel: \"unfinished": unfinished quotes: invalid`,
	} {
		_, err := Parse(text)
		if err == nil || !errors.Is(err, proa.ErrInvalid) || len(err.Error()) < len(want) || err.Error()[:len(want)] != want {
			t.Errorf("%s:\ngot  %v\nwant %s", text, err, want)
		}
	}
	if _, err := New(schema, Rule{}, map[string]Rule{"id": {Kind: Counter}}); !errors.Is(err, proa.ErrInvalid) {
		t.Errorf("a key attribute's policy: %v", err)
	}
}

func TestARuleRoundTripsThroughItsText(t *testing.T) {
	for _, r := range []Rule{{Kind: LWW}, {Kind: Prefer, Region: proa.Azure}, {Kind: Merge}, {Kind: CEL, Expr: `newer.item.x == "a: b"`}} {
		got, err := Parse(r.String())
		if err != nil || got != r {
			t.Errorf("%s: %+v, %v", r, got, err)
		}
	}
}

func TestAnExpressionThatCostsTooMuchFallsBack(t *testing.T) {
	p := policy(t, `cel: "older.item.l.all(a, older.item.l.all(b, older.item.l.all(c, a + b + c > 0)))"`, nil)
	var l []proa.Value
	for range 400 {
		l = append(l, num(1))
	}
	a, b := state(1, proa.AWS, proa.Item{"l": proa.List(l...)}), state(2, proa.Azure, proa.Item{})
	d := p.Decide(Conflict{A: a, B: b})
	if d.Outcome != Newer || d.Note == "" {
		t.Errorf("%+v", d)
	}
}
