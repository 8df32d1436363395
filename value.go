package proa

import (
	"maps"
	"slices"
	"strings"
)

// Kind is one of DynamoDB's ten attribute types, which are the type system of replicated items on both sides.
type Kind uint8

// The kinds. KindNone is that of the zero Value: no value at all.
const (
	KindNone Kind = iota
	KindS
	KindN
	KindB
	KindBOOL
	KindNULL
	KindL
	KindM
	KindSS
	KindNS
	KindBS
)

var kindNames = [...]string{"", "S", "N", "B", "BOOL", "NULL", "L", "M", "SS", "NS", "BS"}

// String returns DynamoDB's name of the kind, "" for KindNone.
func (k Kind) String() string { return kindNames[k] }

// ParseKind reads DynamoDB's name of a kind; KindNone when there is no such kind.
func ParseKind(s string) Kind {
	for i, n := range kindNames {
		if n == s {
			return Kind(i)
		}
	}
	return KindNone
}

// Value is one attribute value. Exactly the fields of its Kind are set. Values are immutable once built:
// share them freely, never write into their maps and slices.
type Value struct {
	Kind Kind
	Str  string   // S: the text; N: canonical decimal; B: the raw bytes
	Bool bool     // BOOL
	List []Value  // L
	Map  Item     // M
	Set  []string // SS, NS, BS: members as in Str, sorted (NS by value), without repeats
}

// Item is the attributes of one item, key attributes included.
type Item map[string]Value

// String makes an S.
func String(s string) Value { return Value{Kind: KindS, Str: s} }

// Number makes an N in canonical form.
func Number(s string) (Value, error) {
	c, err := CanonicalNumber(s)
	return Value{Kind: KindN, Str: c}, err
}

// Binary makes a B.
func Binary(b []byte) Value { return Value{Kind: KindB, Str: string(b)} }

// Bool makes a BOOL.
func Bool(b bool) Value { return Value{Kind: KindBOOL, Bool: b} }

// Null makes a NULL.
func Null() Value { return Value{Kind: KindNULL} }

// List makes an L.
func List(l ...Value) Value { return Value{Kind: KindL, List: l} }

// Map makes an M.
func Map(m Item) Value { return Value{Kind: KindM, Map: m} }

// SetOf makes an SS, NS or BS from members that are canonical already: it sorts them and drops repeats.
func SetOf(kind Kind, members []string) Value {
	set := slices.Clone(members)
	if kind == KindNS {
		slices.SortFunc(set, CompareNumbers)
	} else {
		slices.Sort(set)
	}
	return Value{Kind: kind, Set: slices.Compact(set)}
}

// Equal reports whether two values are the same in kind and content.
func (v Value) Equal(o Value) bool {
	if v.Kind != o.Kind || v.Str != o.Str || v.Bool != o.Bool {
		return false
	}
	return slices.EqualFunc(v.List, o.List, Value.Equal) && slices.Equal(v.Set, o.Set) && v.Map.Equal(o.Map)
}

// Equal reports whether two items hold the same attributes. A nil item equals an empty one.
func (i Item) Equal(o Item) bool { return maps.EqualFunc(i, o, Value.Equal) }

// Compare orders two values of one kind as DynamoDB orders keys: S and B by bytes, N by value. Other kinds and unlike kinds
// are ordered by kind and then by canonical text, which is stable but means nothing.
func (v Value) Compare(o Value) int {
	switch {
	case v.Kind != o.Kind:
		return int(v.Kind) - int(o.Kind)
	case v.Kind == KindN:
		return CompareNumbers(v.Str, o.Str)
	case v.Kind == KindS || v.Kind == KindB:
		return strings.Compare(v.Str, o.Str)
	}
	return strings.Compare(string(v.AppendJSON(nil)), string(o.AppendJSON(nil)))
}

// Without returns a copy of the item that lacks one attribute; the item itself when it has none of that name.
func (i Item) Without(name string) Item {
	if _, ok := i[name]; !ok {
		return i
	}
	c := maps.Clone(i)
	delete(c, name)
	return c
}
