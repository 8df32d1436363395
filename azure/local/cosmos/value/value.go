// Package value is the JSON of Cosmos DB: numbers are IEEE doubles, the order of properties is
// kept, "undefined" is a value of its own, and there is one total order over all types.
package value

import "slices"

// Kind is the type of a value. The numeric order is the order in which ORDER BY sorts values of
// different types.
type Kind uint8

// The types, in their sort order.
const (
	Undefined Kind = iota // no value at all: a missing property, a failed operator
	Null
	Bool
	Number
	String
	Array
	Object
)

// Value is one JSON value, or undefined (the zero Value). Values are immutable by convention: who
// changes one copies it first.
type Value struct {
	Kind    Kind
	Bool    bool
	Num     float64
	Str     string
	Items   []Value  // of an Array
	Members []Member // of an Object, in the order in which they were written
}

// Member is one property of an object.
type Member struct {
	Name  string
	Value Value
}

// Constructors of the scalar kinds and of containers.

// OfNull returns null.
func OfNull() Value { return Value{Kind: Null} }

// OfBool returns a boolean.
func OfBool(b bool) Value { return Value{Kind: Bool, Bool: b} }

// OfNumber returns a number.
func OfNumber(n float64) Value { return Value{Kind: Number, Num: n} }

// OfString returns a string.
func OfString(s string) Value { return Value{Kind: String, Str: s} }

// OfArray returns an array that holds items itself, not a copy.
func OfArray(items []Value) Value { return Value{Kind: Array, Items: items} }

// OfObject returns an object that holds members itself, not a copy.
func OfObject(members []Member) Value { return Value{Kind: Object, Members: members} }

// Defined reports whether v is a value at all.
func (v Value) Defined() bool { return v.Kind != Undefined }

// IsTrue reports whether v is the boolean true.
func (v Value) IsTrue() bool { return v.Kind == Bool && v.Bool }

// Get returns the property of that name; undefined when v is no object or has none.
func (v Value) Get(name string) Value {
	if v.Kind != Object {
		return Value{}
	}
	for i := range v.Members {
		if v.Members[i].Name == name {
			return v.Members[i].Value
		}
	}
	return Value{}
}

// At returns the element at index i; undefined when v is no array or i is outside it.
func (v Value) At(i int) Value {
	if v.Kind != Array || i < 0 || i >= len(v.Items) {
		return Value{}
	}
	return v.Items[i]
}

// With returns a copy of the object v in which name is val: in its old place, or at the end when it
// is new.
func (v Value) With(name string, val Value) Value {
	members := slices.Clone(v.Members)
	for i := range members {
		if members[i].Name == name {
			members[i].Value = val
			return OfObject(members)
		}
	}
	return OfObject(append(members, Member{Name: name, Value: val}))
}

// Without returns a copy of the object v that lacks the named properties.
func (v Value) Without(names ...string) Value {
	members := make([]Member, 0, len(v.Members))
	for _, m := range v.Members {
		if !slices.Contains(names, m.Name) {
			members = append(members, m)
		}
	}
	return OfObject(members)
}

// Size estimates the memory that v holds, in bytes.
func (v Value) Size() int {
	n := 24 + len(v.Str)
	for i := range v.Items {
		n += v.Items[i].Size()
	}
	for i := range v.Members {
		n += 16 + len(v.Members[i].Name) + v.Members[i].Value.Size()
	}
	return n
}
