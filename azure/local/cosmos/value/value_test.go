package value

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
)

func TestNumbersPrintAsTheShortestDecimal(t *testing.T) {
	tests := []struct{ in, want string }{
		{"1.0", "1"},
		{"-0", "0"},
		{"-0.0", "0"},
		{"1e2", "100"},
		{"0.1", "0.1"},
		{"1.50", "1.5"},
		{"9007199254740993", "9007199254740992"},
		{"123456789012345678", "123456789012345680"},
		{"1e20", "100000000000000000000"},
		{"1e21", "1e+21"},
		{
			"1.7976931348623157e308",
			"1.7976931348623157e+308",
		},
		{"5e-324", "5e-324"},
		{"0.000001", "0.000001"},
		{"0.0000001", "1e-7"},
	}
	for _, tt := range tests {
		v, err := Parse([]byte(tt.in))
		if err != nil {
			t.Fatal(err)
		}
		if got := string(v.JSON()); got != tt.want {
			t.Errorf("%s prints as %s, want %s", tt.in, got, tt.want)
		}
		back, err := Parse(v.JSON())
		if err != nil || back.Num != v.Num {
			t.Errorf("%s does not read back: %v, %v", tt.in, back.Num, err)
		}
	}
}

func TestTextIsStrictAndExact(t *testing.T) {
	for _, ok := range []string{
		`"\u00fc\ud83d\ude00\/"`, `{"b":1,"a":{"z":[],"y":{}},"":null}`, `[true,false,null,"\u0000\u001f\"\\"]`, " [ 1 , 2 ] \n",
	} {
		v, err := Parse([]byte(ok))
		if err != nil {
			t.Errorf("%s: %v", ok, err)
			continue
		}
		var a, b any
		if json.Unmarshal([]byte(ok), &a) != nil || json.Unmarshal(v.JSON(), &b) != nil {
			t.Errorf("%s became %s", ok, v.JSON())
		}
	}
	v, err := Parse([]byte(`{"b":1,"a":2,"b":3}`))
	if err != nil || string(v.JSON()) != `{"b":3,"a":2}` {
		t.Errorf("order and duplicates: %s, %v", v.JSON(), err)
	}
	for _, bad := range []string{
		"", "{", `{"a"}`, `{"a":1,}`, "[1,]", "01", "1.", ".5", "+1", "1e",
		"1e999", "nul", `"\x"`, `"\ud800"`, "\"\xff\"", "\"\n\"",
		"1 2", "NaN", strings.Repeat("[", 200) + strings.Repeat("]", 200),
	} {
		if v, err := Parse([]byte(bad)); err == nil {
			t.Errorf("%q was read as %s", bad, v.JSON())
		}
	}
}

func TestOrderIsTotalOverAllTypes(t *testing.T) {
	list := []Value{
		{},
		OfNull(), OfBool(false), OfBool(true), OfNumber(-math.MaxFloat64),
		OfNumber(0), OfNumber(1), OfString(""), OfString("a"),
		OfString("ab"), OfArray(nil), OfArray([]Value{OfNumber(1)}), OfObject(nil), OfObject([]Member{{"a", OfNumber(1)}}),
	}
	for i := range list {
		for j := range list {
			got := Compare(list[i], list[j])
			if got < 0 != (i < j) || got > 0 != (i > j) {
				t.Errorf("Compare(%s, %s) = %d", list[i].JSON(), list[j].JSON(), got)
			}
			if same := string(AppendKey(nil, list[i])) == string(AppendKey(nil, list[j])); same != (i == j) {
				t.Errorf("keys of %s and %s: equal is %v", list[i].JSON(), list[j].JSON(), same)
			}
		}
	}
	a, b := OfObject([]Member{{"x", OfNumber(1)}, {"y", OfNull()}}), OfObject([]Member{{
		"y",
		OfNull(),
	}, {"x", OfNumber(1)}})
	if !Equal(a, b) || string(AppendKey(nil, a)) != string(AppendKey(nil, b)) {
		t.Error("the order of properties makes a difference")
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.5e-3,"\u00fc"]}`, `"\ud83d\ude00"`, `[[[]]]`, `-0.0`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		v, err := Parse(in)
		if err != nil {
			return
		}
		if !json.Valid(in) {
			t.Fatalf("%q was accepted, but is no JSON", in)
		}
		out := v.JSON()
		again, err := Parse(out)
		if err != nil || !Equal(v, again) || string(again.JSON()) != string(out) {
			t.Fatalf("%q became %q, then %q (%v)", in, out, again.JSON(), err)
		}
	})
}
