package residency

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/proa-cloud/proa"
)

var schema = proa.Schema{Table: "t", HashName: "id", HashKind: proa.KindS}

func rules(t *testing.T) *Rules {
	t.Helper()
	r, err := New(schema, Open, map[string]Mode{
		"never": NeverCopied, "mask": Masked, "hash": Hashed, "quiet": NeverLogged, "id": NeverLogged,
	}, proa.NewSecret("key"))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestARuleThatCannotHoldIsRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		table Mode
		attrs map[string]Mode
		key   string
	}{
		"unknown mode":           {attrs: map[string]Mode{"x": "secret"}},
		"key attribute":          {attrs: map[string]Mode{"id": NeverCopied}},
		"hash without a key":     {attrs: map[string]Mode{"x": Hashed}},
		"a table that is masked": {table: Masked},
	} {
		if _, err := New(schema, tc.table, tc.attrs, proa.NewSecret(tc.key)); !errors.Is(err, proa.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestHashesDependOnTheKey(t *testing.T) {
	item := proa.Item{"hash": proa.String("a@b")}
	other, err := New(schema, Open, map[string]Mode{"hash": Hashed}, proa.NewSecret("other"))
	if err != nil {
		t.Fatal(err)
	}
	one, two := rules(t).Project(item)["hash"], other.Project(item)["hash"]
	if one.Equal(two) || one.Str == "" || strings.Contains(one.Str, "a@b") {
		t.Errorf("%v, %v", one, two)
	}
}

func TestLoggedLeavesOutValuesAndNamesThem(t *testing.T) {
	item := proa.Item{"id": proa.String("k"), "x": proa.String("1"), "quiet": proa.String("s")}
	got, left := rules(t).Logged(item)
	want := proa.Item{"id": proa.String("[masked]"), "x": proa.String("1")}
	if diff := cmp.Diff(want, got); diff != "" || !cmp.Equal(left, []string{"id", "quiet"}) {
		t.Error(diff, left)
	}
	whole, err := New(schema, NeverLogged, nil, proa.Secret{})
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := whole.Logged(item); !cmp.Equal(got, proa.Item{"id": proa.String("k")}) {
		t.Errorf("a table that is never logged: %v", got)
	}
	var none *Rules
	if got, left := none.Logged(item); !cmp.Equal(got, item) || left != nil || none.Projects() || !none.Copies() {
		t.Error("no rules change nothing")
	}
}

func drawItem(t *rapid.T, label string) proa.Item {
	i := proa.Item{"id": proa.String("k")}
	for _, name := range []string{"never", "mask", "hash", "quiet", "x"} {
		switch rapid.IntRange(0, 3).Draw(t, label+name) {
		case 1:
			i[name] = proa.String(rapid.SampledFrom([]string{"a", "b", "[masked]"}).Draw(t, label+name+"s"))
		case 2:
			i[name] = proa.Bool(true)
		}
	}
	return i
}

// A projection's projection is itself; what a side holds after a write projects to what was written, and its own values stay.
func TestProjectionsAreIdempotentAndJoinKeepsTheirMeaning(t *testing.T) {
	r := rules(t)
	rapid.Check(t, func(t *rapid.T) {
		item, held := drawItem(t, "item"), drawItem(t, "held")
		p := r.Project(item)
		if again := r.Project(p); !again.Equal(p) {
			t.Fatalf("%v projects to %v and then to %v", item, p, again)
		}
		if _, ok := p["never"]; ok {
			t.Fatalf("it crossed: %v", p)
		}
		joined := r.Join(held, p)
		if got := r.Project(joined); !got.Equal(p) {
			t.Fatalf("%v onto %v is %v, which projects to %v", p, held, joined, got)
		}
		if !joined["never"].Equal(held["never"]) || !joined["x"].Equal(p["x"]) {
			t.Fatalf("%v onto %v is %v", p, held, joined)
		}
		if own, ok := held["mask"]; ok && p["mask"].Kind != proa.KindNone && !joined["mask"].Equal(own) {
			t.Fatalf("the side's own %v became %v", own, joined["mask"])
		}
	})
}

func TestATextIsMaskedWhereTheKeyStandsByItself(t *testing.T) {
	schema := proa.Schema{Table: "t", HashName: "id", HashKind: proa.KindS, RangeName: "n", RangeKind: proa.KindN}
	hidden, err := New(schema, Open, map[string]Mode{"id": NeverLogged, "n": NeverLogged}, proa.NewSecret("k"))
	if err != nil {
		t.Fatal(err)
	}
	open, err := New(schema, Open, map[string]Mode{"note": NeverLogged}, proa.NewSecret("k"))
	if err != nil {
		t.Fatal(err)
	}
	key := func(id, n string) proa.Item { return proa.Item{"id": proa.String(id), "n": {Kind: proa.KindN, Str: n}} }
	for _, tc := range []struct {
		rules *Rules
		text  string
		key   proa.Item
		want  string
	}{
		{hidden, "put: aws: t/a@b/4: HTTP 400: a@b", key("a@b", "4"), "put: aws: t/[masked]/[masked]: HTTP 400: [masked]"},
		{hidden, "4", key("x", "4"), "[masked]"},
		{hidden, "nothing", key("x", "4"), "nothing"},
		{hidden, "t/", key("", "4"), "t/"},
		{open, "t/a@b/4", key("a@b", "4"), "t/a@b/4"},
		{nil, "t/a@b/4", key("a@b", "4"), "t/a@b/4"},
	} {
		if got := tc.rules.Text(tc.text, tc.key); got != tc.want {
			t.Errorf("%q is %q, want %q", tc.text, got, tc.want)
		}
	}
	a, b := proa.Key{Table: "t", Hash: proa.String("a")}, proa.Key{Table: "t", Hash: proa.String("b")}
	if m := hidden.Mark(a); m == "" || m != hidden.Mark(a) || m == hidden.Mark(b) || open.Mark(a) != "" {
		t.Errorf("marks %x, %x", m, hidden.Mark(b))
	}
}
