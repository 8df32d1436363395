package expr

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/proa-cloud/proa"
)

func n(s string) proa.Value { v, _ := proa.Number(s); return v }

// Whatever a value is, an expression that passes it on gives it back.
func TestValuesComeThroughAnExpressionUnharmed(t *testing.T) {
	p, err := Compile("x", "x")
	if err != nil {
		t.Fatal(err)
	}
	values := []proa.Value{
		proa.String("ö"), n("7"), n("-0.1"), n("12345678901234567890123456789012345678"), n("1e-100"), proa.Binary([]byte{0, 255}),
		proa.Bool(false), proa.Null(), proa.List(), proa.List(n("1"), proa.String("a")), proa.Map(proa.Item{"a": proa.List(proa.Null())}),
		proa.SetOf(proa.KindSS, []string{"b", "a"}), proa.SetOf(proa.KindNS, []string{"10", "9"}), proa.SetOf(proa.KindBS, []string{"\xff"}),
	}
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.SampledFrom(values).Draw(t, "value")
		out, err := p.Eval(map[string]any{"x": Value(v)})
		if err != nil {
			t.Fatal(err)
		}
		got, err := FromValue(out, v)
		if err != nil || !got.Equal(v) {
			t.Fatalf("%s became %s, %v", v.AppendJSON(nil), got.AppendJSON(nil), err)
		}
	})
}

func TestNewValuesAreMadeAndOddOnesRefused(t *testing.T) {
	tags := proa.SetOf(proa.KindSS, []string{"a"})
	for source, want := range map[string]string{
		"'a' + 'b'":       `{"S":"ab"}`,
		"1 + 2":           `{"N":"3"}`,
		"1.5 * 2.0":       `{"N":"3"}`,
		"x + ['b', 'a']":  `{"SS":["a","b"]}`,
		"[1, 'a']":        `{"L":[{"N":"1"},{"S":"a"}]}`,
		"{'a': {'b': 1}}": `{"M":{"a":{"M":{"b":{"N":"1"}}}}}`,
		"b'\\x00'":        `{"B":"AA=="}`,
		"{1: 2}":          "",
		"duration('1s')":  "",
		"1.0 / 0.0":       "",
		"x.size() / 0":    "",
	} {
		p, err := Compile(source, "x")
		if err != nil {
			t.Fatalf("%s: %v", source, err)
		}
		out, err := p.Eval(map[string]any{"x": Value(tags)})
		var v proa.Value
		if err == nil {
			v, err = FromValue(out, tags)
		}
		switch {
		case want == "":
			if !errors.Is(err, proa.ErrInvalid) {
				t.Errorf("%s: %v", source, err)
			}
		case err != nil || string(v.AppendJSON(nil)) != want:
			t.Errorf("%s: %s, %v", source, v.AppendJSON(nil), err)
		}
	}
}

func TestAnExpressionIsBounded(t *testing.T) {
	if _, err := Compile(strings.Repeat("1+", maxSize)+"1", "x"); !errors.Is(err, proa.ErrInvalid) {
		t.Errorf("too long: %v", err)
	}
	if _, err := Compile(strings.Repeat("(", 500)+"1"+strings.Repeat(")", 500), "x"); !errors.Is(err, proa.ErrInvalid) {
		t.Errorf("too deep: %v", err)
	}
}
