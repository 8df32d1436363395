package expr

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"

	"github.com/proa-cloud/proa"
)

// Condition is a parsed condition or filter expression.
type Condition struct{ root *node }

// ParseCondition parses a condition. The label ("ConditionExpression", "FilterExpression") stands
// in error messages. Errors are *Error.
func ParseCondition(label, src string, b *Bindings) (*Condition, error) {
	root, err := parseCondition(src, b)
	if err != nil {
		return nil, errorf("Invalid %s: %s", label, err.Message)
	}
	return &Condition{root: root}, nil
}

func parseCondition(src string, b *Bindings) (*node, *Error) {
	p, err := newParser(src)
	if err != nil {
		return nil, err
	}
	root, err := p.condition()
	if err != nil {
		return nil, err
	}
	c := &checker{b: b}
	c.condition(root)
	return root, c.err()
}

// Eval reports whether the condition holds for an item; nil is an item that does not exist. A nil
// condition holds.
func (c *Condition) Eval(item proa.Item) bool { return c == nil || eval(c.root, item) }

// Names returns the top-level attribute names that the condition reads, in order of appearance.
func (c *Condition) Names() []string {
	var names []string
	walk(c.root, func(n *node) {
		if n.kind == nPath {
			names = append(names, n.path[0].Name)
		}
	})
	return names
}

func walk(n *node, visit func(*node)) {
	visit(n)
	for _, a := range n.args {
		walk(a, visit)
	}
}

func eval(n *node, item proa.Item) bool {
	switch n.kind {
	case nAnd:
		return eval(n.args[0], item) && eval(n.args[1], item)
	case nOr:
		return eval(n.args[0], item) || eval(n.args[1], item)
	case nNot:
		return !eval(n.args[0], item)
	case nCompare:
		return compare(n.op, operand(n.args[0], item), operand(n.args[1], item))
	case nBetween:
		v := operand(n.args[0], item)
		return compare(">=", v, operand(n.args[1], item)) && compare("<=", v, operand(n.args[2], item))
	case nIn:
		v := operand(n.args[0], item)
		return slices.ContainsFunc(n.args[1:], func(a *node) bool {
			return compare("=", v, operand(a,
				item))
		})
	case nFunc:
		return evalFunction(n, item)
	}
	return false
}

// operand yields a value; KindNone where there is none.
func operand(n *node, item proa.Item) proa.Value {
	switch n.kind {
	case nPath:
		return n.path.lookup(item)
	case nValue:
		return n.value
	case nFunc: // size: check lets no other function stand here
		return size(operand(n.args[0], item))
	}
	return proa.Value{}
}

func compare(op string, a, b proa.Value) bool {
	if op == "<>" {
		return !compare("=", a, b)
	}
	if a.Kind != b.Kind || a.Kind == proa.KindNone {
		return false
	}
	if op == "=" {
		return a.Equal(b)
	}
	if a.Kind != proa.KindS && a.Kind != proa.KindN && a.Kind != proa.KindB {
		return false
	}
	d := a.Compare(b)
	switch op {
	case "<":
		return d < 0
	case "<=":
		return d <= 0
	case ">":
		return d > 0
	}
	return d >= 0
}

func evalFunction(n *node, item proa.Item) bool {
	first := operand(n.args[0], item)
	switch n.op {
	case "attribute_exists":
		return first.Kind != proa.KindNone
	case "attribute_not_exists":
		return first.Kind == proa.KindNone
	case "attribute_type":
		return first.Kind != proa.KindNone && first.Kind.String() == n.args[1].value.Str
	case "begins_with":
		second := operand(n.args[1], item)
		text := first.Kind == proa.KindS || first.Kind == proa.KindB
		return text && first.Kind == second.Kind && strings.HasPrefix(first.Str, second.Str)
	case "contains":
		return contains(first, operand(n.args[1], item))
	}
	return false
}

func contains(v, part proa.Value) bool {
	switch v.Kind {
	case proa.KindS, proa.KindB:
		return part.Kind == v.Kind && strings.Contains(v.Str, part.Str)
	case proa.KindL:
		return part.Kind != proa.KindNone && slices.ContainsFunc(v.List, part.Equal)
	case proa.KindSS, proa.KindNS, proa.KindBS:
		return part.Kind == memberKind(v.Kind) && slices.Contains(v.Set, part.Str)
	}
	return false
}

func memberKind(set proa.Kind) proa.Kind {
	switch set {
	case proa.KindSS:
		return proa.KindS
	case proa.KindNS:
		return proa.KindN
	}
	return proa.KindB
}

// size is the vendor's: UTF-16 units of a string, bytes of a binary, elements of the rest; nothing
// has none.
func size(v proa.Value) proa.Value {
	n := 0
	switch v.Kind {
	case proa.KindS:
		for _, r := range v.Str {
			n += utf16.RuneLen(r)
		}
	case proa.KindB:
		n = len(v.Str)
	case proa.KindL:
		n = len(v.List)
	case proa.KindM:
		n = len(v.Map)
	case proa.KindSS, proa.KindNS, proa.KindBS:
		n = len(v.Set)
	default:
		return proa.Value{}
	}
	return proa.Value{Kind: proa.KindN, Str: strconv.Itoa(n)}
}
