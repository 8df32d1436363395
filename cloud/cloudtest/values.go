package cloudtest

import (
	"slices"

	"pgregory.net/rapid"

	"github.com/proa-cloud/proa"
)

// Number draws canonical numbers over DynamoDB's whole range, with a taste for those that doubles cannot hold.
func Number() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		sign := rapid.SampledFrom([]string{"", "-"}).Draw(t, "sign")
		digits := rapid.StringMatching(`[1-9][0-9]{0,37}`).Draw(t, "digits")
		exponent := rapid.SampledFrom([]string{"", "E-10", "E20", "E80", "E-100", "E-38", "E87"}).Draw(t, "exponent")
		n, err := proa.CanonicalNumber(sign + digits + exponent)
		if err != nil {
			t.Fatal(err)
		}
		return n
	})
}

// Text draws strings with the characters that break keys, paths and JSON.
func Text() *rapid.Generator[string] {
	awkward := []rune("aZ09 ~/\\?#.%+\"'&<>=;,:\t\n\x00\x7fäß日\u2028😀_-")
	return rapid.StringOf(rapid.SampledFrom(awkward))
}

// KeyValue draws a value that may be a key attribute of that kind.
func KeyValue(kind proa.Kind) *rapid.Generator[proa.Value] {
	return rapid.Custom(func(t *rapid.T) proa.Value {
		switch kind {
		case proa.KindN:
			return proa.Value{Kind: proa.KindN, Str: Number().Draw(t, "number")}
		case proa.KindB:
			return proa.Binary(rapid.SliceOfN(rapid.Byte(), 1, 40).Draw(t, "bytes"))
		}
		return proa.String(Text().Filter(func(s string) bool { return s != "" }).Draw(t, "text"))
	})
}

// Value draws values of every kind, nested up to a depth.
func Value(depth int) *rapid.Generator[proa.Value] {
	return rapid.Custom(func(t *rapid.T) proa.Value {
		kinds := []proa.Kind{
			proa.KindS, proa.KindN, proa.KindB, proa.KindBOOL, proa.KindNULL, proa.KindSS, proa.KindNS, proa.KindBS,
		}
		if depth > 0 {
			kinds = append(kinds, proa.KindL, proa.KindM)
		}
		switch kind := rapid.SampledFrom(kinds).Draw(t, "kind"); kind {
		case proa.KindN:
			return proa.Value{Kind: kind, Str: Number().Draw(t, "number")}
		case proa.KindB:
			return proa.Binary(rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "bytes"))
		case proa.KindBOOL:
			return proa.Bool(rapid.Bool().Draw(t, "bool"))
		case proa.KindNULL:
			return proa.Null()
		case proa.KindL:
			return proa.List(rapid.SliceOfN(Value(depth-1), 0, 3).Draw(t, "list")...)
		case proa.KindM:
			return proa.Map(Item(depth-1).Draw(t, "map"))
		case proa.KindSS, proa.KindNS, proa.KindBS:
			return proa.SetOf(kind, members(t, kind))
		default:
			return proa.String(Text().Draw(t, "text"))
		}
	})
}

func members(t *rapid.T, kind proa.Kind) []string {
	one := Text()
	switch kind {
	case proa.KindNS:
		one = Number()
	case proa.KindBS:
		one = rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 8), func(b []byte) string { return string(b) })
	}
	set := rapid.SliceOfN(one, 1, 4).Draw(t, "members")
	slices.Sort(set)
	return slices.Compact(set)
}

// Item draws attributes with ordinary and with awkward names.
func Item(depth int) *rapid.Generator[proa.Item] {
	names := rapid.OneOf(
		rapid.SampledFrom([]string{
			"id", "_rid", "_self", "_etag", "_ts", "_attachments", "_lsn", "ttl", "_proa_x", "~", "~id", "~~ttl", "~x", "a/b",
			"a~1b", "$v", "0",
		}),
		Text().Filter(func(s string) bool { return s != "" }),
	)
	return rapid.Custom(func(t *rapid.T) proa.Item {
		m := rapid.MapOfN(names, Value(depth), 0, 4).Draw(t, "attributes")
		item := make(proa.Item, len(m))
		for name, v := range m {
			item[name] = v
		}
		return item
	})
}
