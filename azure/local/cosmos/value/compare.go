package value

import (
	"cmp"
	"sort"
	"strings"
)

// Compare orders any two values: undefined < null < false < true < numbers < strings < arrays <
// objects. Strings compare by their bytes (UTF-8, which is code-point order), arrays element by
// element, objects by their properties in name order.
func Compare(a, b Value) int {
	if a.Kind != b.Kind {
		return cmp.Compare(a.Kind, b.Kind)
	}
	switch a.Kind {
	case Bool:
		return boolRank(a.Bool) - boolRank(b.Bool)
	case Number:
		return cmp.Compare(a.Num, b.Num)
	case String:
		return strings.Compare(a.Str, b.Str)
	case Array:
		return compareItems(a.Items, b.Items)
	case Object:
		return compareMembers(a.Members, b.Members)
	}
	return 0
}

// Equal reports whether a and b are the same value; the order of properties does not matter.
func Equal(a, b Value) bool { return Compare(a, b) == 0 }

// Comparable reports whether <, <=, > and >= are defined between a and b: both of one scalar kind.
// Source: https://learn.microsoft.com/azure/cosmos-db/nosql/query/equality-comparison-operators
func Comparable(a, b Value) bool {
	return a.Kind == b.Kind && a.Kind != Undefined && a.Kind != Array && a.Kind != Object
}

func boolRank(b bool) int {
	if b {
		return 1
	}
	return 0
}

func compareItems(a, b []Value) int {
	for i := 0; i < len(a) && i < len(b); i++ {
		if c := Compare(a[i], b[i]); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a), len(b))
}

func compareMembers(a, b []Member) int {
	as, bs := sorted(a), sorted(b)
	for i := 0; i < len(as) && i < len(bs); i++ {
		if c := strings.Compare(as[i].Name, bs[i].Name); c != 0 {
			return c
		}
		if c := Compare(as[i].Value, bs[i].Value); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(as), len(bs))
}

func sorted(m []Member) []Member {
	if sort.SliceIsSorted(m, func(i, j int) bool { return m[i].Name < m[j].Name }) {
		return m
	}
	out := append([]Member(nil), m...)
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

// AppendKey appends a form of v in which equal values, whatever the order of their properties, have
// equal bytes, and different values different ones.
func AppendKey(dst []byte, v Value) []byte {
	dst = append(dst, '0'+byte(v.Kind))
	switch v.Kind {
	case Array:
		dst = append(dst, '[')
		for i := range v.Items {
			dst = append(AppendKey(dst, v.Items[i]), ',')
		}
		return append(dst, ']')
	case Object:
		dst = append(dst, '{')
		for _, m := range sorted(v.Members) {
			dst = append(appendString(dst, m.Name), ':')
			dst = append(AppendKey(dst, m.Value), ',')
		}
		return append(dst, '}')
	case Undefined:
		return dst
	}
	return AppendJSON(dst, v)
}
