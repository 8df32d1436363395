package proa

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"pgregory.net/rapid"
)

// values generates every kind, nested.
func values(depth int) *rapid.Generator[Value] {
	return rapid.Custom(func(t *rapid.T) Value {
		kinds := []Kind{KindS, KindN, KindB, KindBOOL, KindNULL, KindSS, KindNS, KindBS}
		if depth > 0 {
			kinds = append(kinds, KindL, KindM)
		}
		text := rapid.StringOfN(rapid.RuneFrom([]rune("aé\"\\\n\t\x00\x1f<>&\u2028😀z")), 0, 6, -1)
		number := rapid.Custom(func(t *rapid.T) string {
			n, err := CanonicalNumber(numbers().Draw(t, "n"))
			if err != nil {
				t.Fatal(err)
			}
			return n
		})
		raw := rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 6), func(b []byte) string { return string(b) })
		switch kind := rapid.SampledFrom(kinds).Draw(t, "kind"); kind {
		case KindS:
			return String(text.Draw(t, "s"))
		case KindN:
			return Value{Kind: KindN, Str: number.Draw(t, "n")}
		case KindB:
			return Binary([]byte(raw.Draw(t, "b")))
		case KindBOOL:
			return Bool(rapid.Bool().Draw(t, "bool"))
		case KindNULL:
			return Null()
		case KindL:
			return List(rapid.SliceOfN(values(depth-1), 0, 3).Draw(t, "l")...)
		case KindM:
			return Map(rapid.MapOfN(text, values(depth-1), 0, 3).Draw(t, "m"))
		case KindNS:
			return SetOf(kind, rapid.SliceOfN(number, 1, 3).Draw(t, "set"))
		case KindBS:
			return SetOf(kind, rapid.SliceOfN(raw, 1, 3).Draw(t, "set"))
		default:
			return SetOf(kind, rapid.SliceOfN(text, 1, 3).Draw(t, "set"))
		}
	})
}

func TestEveryValueSurvivesJSONByteForByte(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := values(3).Draw(t, "v")
		first := v.AppendJSON(nil)
		if !json.Valid(first) {
			t.Fatalf("not JSON: %s", first)
		}
		var back Value
		if err := json.Unmarshal(first, &back); err != nil {
			t.Fatalf("%s: %v", first, err)
		}
		if second := back.AppendJSON(nil); !bytes.Equal(first, second) {
			t.Fatalf("%s became %s", first, second)
		}
		if !back.Equal(v) {
			t.Fatalf("%s is not equal to what it was made from", first)
		}
	})
}

func TestEqualValuesHaveEqualHashesAndOthersDiffer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := values(2).Draw(t, "a"), values(2).Draw(t, "b")
		same := ContentHash(Item{"x": a}) == ContentHash(Item{"x": b})
		if same != a.Equal(b) {
			t.Fatalf("hash equality %v, value equality %v", same, a.Equal(b))
		}
	})
}

func TestUnmarshalRefusesWhatIsNotAnAttributeValue(t *testing.T) {
	for _, in := range []string{`{}`, `{"S":"a","N":"1"}`, `{"X":"a"}`, `{"S":1}`, `{"S":null}`, `{"N":"one"}`, `{"N":1}`, `{"NULL":false}`, `{"SS":[1]}`, `{"B":"%"}`, `{"L":{}}`, `{"M":[]}`, `{"M":{"a":1}}`, `"a"`, `[]`, `{"BS":["a"]}`, `{"NS":["x"]}`} {
		var v Value
		if err := json.Unmarshal([]byte(in), &v); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", in, err)
		}
	}
}

func FuzzValueJSON(f *testing.F) {
	for _, s := range []string{`{"S":"a"}`, `{"M":{"a":{"L":[{"NS":["1","1.0"]}]}}}`, `{"B":"AA=="}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var v Value
		if json.Unmarshal(data, &v) != nil {
			return
		}
		first := v.AppendJSON(nil)
		var back Value
		if err := json.Unmarshal(first, &back); err != nil || !bytes.Equal(first, back.AppendJSON(nil)) {
			t.Fatalf("%q became %s: %v", data, first, err)
		}
	})
}

func TestKeyIDsAreUnambiguous(t *testing.T) {
	keys := []Key{
		{Table: "a", Hash: String("b")},
		{Table: "ab", Hash: String("")},
		{Table: "a", Hash: Value{Kind: KindN, Str: "1"}},
		{Table: "a", Hash: String("1")},
		{Table: "a", Hash: String("1"), Range: String("")},
		{Table: "a", Hash: String("1:2"), Range: String("3")},
		{Table: "a", Hash: String("1"), Range: String("2:3")},
		{Table: "a", Hash: Binary([]byte("1"))},
	}
	seen := map[string]Key{}
	for _, k := range keys {
		if other, ok := seen[k.ID()]; ok {
			t.Errorf("%v and %v share the ID %q", k, other, k.ID())
		}
		seen[k.ID()] = k
	}
}
