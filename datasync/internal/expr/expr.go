// Package expr compiles and runs CEL expressions over items, with bounds on their size, depth and
// cost. An expression has no clock, no randomness and no I/O: the same input gives the same output.
package expr

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"github.com/proa-cloud/proa"
)

// The bounds of one expression. Past them it fails, which its user must have an answer to.
const (
	maxSize  = 4096   // characters
	maxDepth = 64     // of nesting
	maxCost  = 100000 // of one evaluation, in CEL's units
)

// Program is a compiled expression. It is safe for concurrent use.
type Program struct {
	source  string
	program cel.Program
}

// Compile compiles an expression over the named variables. Errors wrap proa.ErrInvalid and are one
// line.
func Compile(source string, variables ...string) (*Program, error) {
	options := []cel.EnvOption{
		cel.ParserExpressionSizeLimit(maxSize), cel.ParserRecursionLimit(maxDepth),
	}
	for _, name := range variables {
		options = append(options, cel.Variable(name, cel.DynType))
	}
	env, err := cel.NewEnv(options...)
	if err != nil {
		return nil, fmt.Errorf("expression: %w", err)
	}
	tree, issues := env.Compile(source)
	if issues != nil && issues.Err() != nil {
		return nil, fmt.Errorf("expression: %s: %w", firstIssue(issues), proa.ErrInvalid)
	}
	program, err := env.Program(tree, cel.CostLimit(maxCost), cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		return nil, fmt.Errorf("expression: %s: %w", oneLine(err.Error()), proa.ErrInvalid)
	}
	return &Program{source: source, program: program}, nil
}

func firstIssue(issues *cel.Issues) string {
	for _, e := range issues.Errors() {
		return fmt.Sprintf("column %d: %s", e.Location.Column()+1, oneLine(e.Message))
	}
	return oneLine(issues.Err().Error())
}

func oneLine(s string) string {
	first, _, _ := strings.Cut(s, "\n")
	return first
}

// Source returns what was compiled.
func (p *Program) Source() string { return p.source }

// Eval runs the program.
func (p *Program) Eval(input map[string]any) (ref.Val, error) {
	out, _, err := p.program.Eval(input)
	if err != nil {
		return nil, fmt.Errorf("expression: %s: %w", oneLine(err.Error()), proa.ErrInvalid)
	}
	return out, nil
}

// Bool runs a program whose outcome must be true or false.
func (p *Program) Bool(input map[string]any) (bool, error) {
	out, err := p.Eval(input)
	if err != nil {
		return false, err
	}
	b, ok := out.Value().(bool)
	if !ok {
		return false, fmt.Errorf("expression: want true or false, got %s: %w",
			out.Type().TypeName(), proa.ErrInvalid)
	}
	return b, nil
}

// Item is an item as an expression sees it: a map by attribute name. Numbers are int where they are
// whole and fit, double otherwise; sets are lists; a nil item is null.
func Item(i proa.Item) any {
	if i == nil {
		return nil
	}
	m := make(map[string]any, len(i))
	for name, v := range i {
		m[name] = Value(v)
	}
	return m
}

// Value is a value as an expression sees it; no value is null.
func Value(v proa.Value) any {
	switch v.Kind {
	case proa.KindS:
		return v.Str
	case proa.KindN:
		return number(v.Str)
	case proa.KindB:
		return []byte(v.Str)
	case proa.KindBOOL:
		return v.Bool
	case proa.KindL:
		l := make([]any, len(v.List))
		for i, e := range v.List {
			l[i] = Value(e)
		}
		return l
	case proa.KindM:
		return Item(v.Map)
	case proa.KindSS, proa.KindNS, proa.KindBS:
		l := make([]any, len(v.Set))
		for i, e := range v.Set {
			switch v.Kind {
			case proa.KindNS:
				l[i] = number(e)
			case proa.KindBS:
				l[i] = []byte(e)
			default:
				l[i] = e
			}
		}
		return l
	}
	return nil
}

func number(s string) any {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return s // beyond a double: its digits
	}
	return f
}

// FromValue turns an outcome into a value. An outcome that equals one of the originals, as the
// expression saw them, is that original, so that sets, binaries and numbers of 38 digits come
// through an expression unharmed.
func FromValue(out ref.Val, originals ...proa.Value) (proa.Value, error) {
	for _, o := range originals {
		if o.Kind != proa.KindNone && same(out, Value(o)) {
			return o, nil
		}
	}
	v, err := fromValue(out, 0)
	if err != nil {
		return v, err
	}
	return likeOriginal(v, originals), nil
}

// likeOriginal makes a set of a list where the originals are sets.
func likeOriginal(v proa.Value, originals []proa.Value) proa.Value {
	if v.Kind != proa.KindL || len(v.List) == 0 {
		return v
	}
	for _, o := range originals {
		member := map[proa.Kind]proa.Kind{
			proa.KindSS: proa.KindS, proa.KindNS: proa.KindN, proa.KindBS: proa.KindB,
		}[o.Kind]
		if member == proa.KindNone {
			continue
		}
		if slices.ContainsFunc(v.List, func(e proa.Value) bool { return e.Kind != member }) {
			return v
		}
		members := make([]string, len(v.List))
		for i, e := range v.List {
			members[i] = e.Str
		}
		return proa.SetOf(o.Kind, members)
	}
	return v
}

func same(out ref.Val, native any) bool {
	v := types.DefaultTypeAdapter.NativeToValue(native)
	if types.IsError(v) || v.Type() != out.Type() {
		return false
	}
	return out.Equal(v) == types.True
}

// maxNesting is DynamoDB's.
const maxNesting = 32

func fromValue(out ref.Val, depth int) (proa.Value, error) {
	if depth > maxNesting {
		return proa.Value{}, fmt.Errorf("expression: nested deeper than %d: %w", maxNesting,
			proa.ErrInvalid)
	}
	switch v := out.(type) {
	case types.String:
		return proa.String(string(v)), nil
	case types.Int:
		return proa.Number(strconv.FormatInt(int64(v), 10))
	case types.Uint:
		return proa.Number(strconv.FormatUint(uint64(v), 10))
	case types.Double:
		return proa.Number(strconv.FormatFloat(float64(v), 'g', -1, 64))
	case types.Bytes:
		return proa.Binary([]byte(v)), nil
	case types.Bool:
		return proa.Bool(bool(v)), nil
	case types.Null:
		return proa.Null(), nil
	case traits.Mapper:
		m, err := FromItem(v, depth+1)
		return proa.Map(m), err
	case traits.Lister:
		return fromList(v, depth)
	}
	return proa.Value{}, fmt.Errorf("expression: a %s is no attribute value: %w",
		out.Type().TypeName(), proa.ErrInvalid)
}

func fromList(l traits.Lister, depth int) (proa.Value, error) {
	var list []proa.Value
	for it := l.Iterator(); it.HasNext() == types.True; {
		e, err := fromValue(it.Next(), depth+1)
		if err != nil {
			return proa.Value{}, err
		}
		list = append(list, e)
	}
	return proa.List(list...), nil
}

// FromItem turns a map into an item. Attributes that equal those of an original of the same name
// are the original's.
func FromItem(m traits.Mapper, depth int, originals ...proa.Item) (proa.Item, error) {
	item := proa.Item{}
	for it := m.Iterator(); it.HasNext() == types.True; {
		k := it.Next()
		name, ok := k.Value().(string)
		if !ok {
			return nil, fmt.Errorf("expression: an attribute name must be a string: %w", proa.ErrInvalid)
		}
		var olds []proa.Value
		for _, o := range originals {
			olds = append(olds, o[name])
		}
		var v proa.Value
		var err error
		if depth == 0 {
			v, err = FromValue(m.Get(k), olds...)
		} else {
			v, err = fromValue(m.Get(k), depth)
		}
		if err != nil {
			return nil, err
		}
		item[name] = v
	}
	return item, nil
}

// AsMap returns an outcome as a map, where it is one.
func AsMap(out ref.Val) (traits.Mapper, bool) {
	m, ok := out.(traits.Mapper)
	return m, ok
}

// AsString returns an outcome as a string, where it is one.
func AsString(out ref.Val) (string, bool) {
	s, ok := out.Value().(string)
	return s, ok
}

// AsBool returns an outcome as a boolean, where it is one.
func AsBool(out ref.Val) (value, ok bool) {
	b, ok := out.Value().(bool)
	return b, ok
}

// IsNull reports whether an outcome is null.
func IsNull(out ref.Val) bool { return out == types.NullValue }
