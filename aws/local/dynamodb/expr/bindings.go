// Package expr is DynamoDB's expression language: one lexer, one parser and one evaluator for
// condition, filter, key-condition, update and projection expressions, with the vendor's checks in
// the vendor's words.
//
// Nothing here does I/O or panics on bad input. Expressions are bounded by the vendor's own limits
// (4 KB, 300 operators, paths 32 deep), so recursion over them is bounded too.
//
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.html
package expr

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/proa-cloud/proa"
)

// Error is a refusal in the vendor's words; it becomes a ValidationException.
type Error struct{ Message string }

func (e *Error) Error() string { return e.Message }

func errorf(format string, args ...any) *Error {
	return &Error{Message: fmt.Sprintf(format, args...)}
}

// Bindings are the names and values that a request binds for its expressions. They remember what
// was used, so that what was not can be refused after every expression of the request has been
// parsed.
type Bindings struct {
	Names  map[string]string
	Values map[string]proa.Value

	usedNames  map[string]bool
	usedValues map[string]bool
}

// NewBindings makes bindings for one request; nil maps mean that the request has none.
func NewBindings(names map[string]string, values map[string]proa.Value) *Bindings {
	return &Bindings{
		Names: names, Values: values, usedNames: map[string]bool{},
		usedValues: map[string]bool{},
	}
}

func (b *Bindings) name(ref string) (string, bool) {
	b.usedNames[ref] = true
	n, ok := b.Names[ref]
	return n, ok
}

func (b *Bindings) value(ref string) (proa.Value, bool) {
	b.usedValues[ref] = true
	v, ok := b.Values[ref]
	return v, ok
}

// CheckUnused refuses names and values that no expression used.
func (b *Bindings) CheckUnused() error {
	if keys := unused(b.Values, b.usedValues); keys != "" {
		return errorf("Value provided in ExpressionAttributeValues unused in expressions: keys: {%s}",
			keys)
	}
	if keys := unused(b.Names, b.usedNames); keys != "" {
		return errorf("Value provided in ExpressionAttributeNames unused in expressions: keys: {%s}",
			keys)
	}
	return nil
}

func unused[V any](bound map[string]V, used map[string]bool) string {
	var left []string
	for _, k := range slices.Sorted(maps.Keys(bound)) {
		if !used[k] {
			left = append(left, k)
		}
	}
	return strings.Join(left, ", ")
}

// ValidName reports whether ref is a well-formed #name, ValidValue whether it is a well-formed
// :value.
func ValidName(ref string) bool { return validRef(ref, '#') }

// ValidValue reports whether ref is a well-formed :value.
func ValidValue(ref string) bool { return validRef(ref, ':') }

func validRef(ref string, sigil byte) bool {
	return len(ref) > 1 && ref[0] == sigil && skipWord(ref, 1) == len(ref)
}
