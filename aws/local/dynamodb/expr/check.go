package expr

import (
	"encoding/base64"
	"strings"

	"github.com/proa-cloud/proa"
)

// kindSet is a set of attribute types.
type kindSet uint16

func kindsOf(kinds ...proa.Kind) kindSet {
	var s kindSet
	for _, k := range kinds {
		s |= 1 << k
	}
	return s
}

func (s kindSet) has(k proa.Kind) bool { return s&(1<<k) != 0 }

const anyKind kindSet = 1<<16 - 1

// function describes one of the language's functions: where it may stand and what literal operands
// it takes.
type function struct {
	args      []kindSet
	firstPath bool // the first operand must be a document path
	operand   bool // it yields a value, not a truth
	update    bool // it stands in update expressions; the others in conditions
}

func lookupFunction(name string) (function, bool) {
	scalarText := kindsOf(proa.KindS, proa.KindB)
	sets := kindsOf(proa.KindSS, proa.KindNS, proa.KindBS)
	switch name {
	case "attribute_exists", "attribute_not_exists":
		return function{args: []kindSet{anyKind}, firstPath: true}, true
	case "attribute_type":
		return function{args: []kindSet{anyKind, kindsOf(proa.KindS)}, firstPath: true}, true
	case "begins_with":
		return function{args: []kindSet{scalarText, scalarText}}, true
	case "contains":
		return function{args: []kindSet{anyKind, anyKind}}, true
	case "size":
		sized := scalarText | sets | kindsOf(proa.KindL, proa.KindM)
		return function{args: []kindSet{sized}, operand: true}, true
	case "if_not_exists":
		return function{args: []kindSet{anyKind, anyKind}, firstPath: true, operand: true, update: true},
			true
	case "list_append":
		lists := kindsOf(proa.KindL)
		return function{args: []kindSet{lists, lists}, operand: true, update: true}, true
	}
	return function{}, false
}

// problem ranks what can be wrong with a well-formed expression; the vendor reports the first rank
// that occurs.
type problem uint8

const (
	badFunctionName problem = iota
	reservedName
	misplacedFunction
	undefinedRef
	badOperand
	indistinctOperand
	numProblems
)

// checker resolves names and values in a tree and collects the first problem of each rank.
type checker struct {
	b      *Bindings
	update bool
	found  [numProblems]*Error
}

func (c *checker) err() *Error {
	for _, e := range c.found {
		if e != nil {
			return e
		}
	}
	return nil
}

func (c *checker) report(p problem, format string, args ...any) {
	if c.found[p] == nil {
		c.found[p] = errorf(format, args...)
	}
}

// condition checks a tree whose root must be a truth.
func (c *checker) condition(n *node) {
	switch n.kind {
	case nAnd, nOr, nNot:
		for _, a := range n.args {
			c.condition(a)
		}
	case nFunc:
		c.function(n, false)
	default:
		c.comparison(n)
	}
}

func (c *checker) comparison(n *node) {
	for _, a := range n.args {
		c.operand(a)
	}
	if n.kind == nIn && len(n.args)-1 > maxOperands {
		c.report(badOperand, "The IN operator is provided with too many operands; number of operands: %d",
			len(n.args)-1)
	}
	allowed := kindsOf(proa.KindS, proa.KindN, proa.KindB)
	if n.kind == nIn || n.op == "=" || n.op == "<>" {
		allowed = anyKind
	}
	for _, a := range n.args {
		c.literal(n.op, a, allowed)
	}
	if n.kind == nBetween {
		c.bounds(n.args[1], n.args[2])
	}
	c.distinct(n)
}

// operand checks a tree that must yield a value.
func (c *checker) operand(n *node) {
	switch n.kind {
	case nPath:
		c.resolvePath(n)
	case nValue:
		v, ok := c.b.value(n.ref)
		if !ok {
			c.report(undefinedRef,
				"An expression attribute value used in expression is not defined; attribute value: %s", n.ref)
		}
		n.value = v
	case nFunc:
		c.function(n, true)
	case nArith:
		for _, a := range n.args {
			c.operand(a)
			c.literal(n.op, a, kindsOf(proa.KindN))
		}
	default:
		for _, a := range n.args {
			c.operand(a)
		}
	}
}

func (c *checker) resolvePath(n *node) {
	resolved := make(Path, len(n.path))
	for i, e := range n.path {
		resolved[i] = e
		switch {
		case e.IsIndex:
		case strings.HasPrefix(e.Name, "#"):
			name, ok := c.b.name(e.Name)
			if !ok {
				c.report(undefinedRef,
					"An expression attribute name used in the document path is not defined; attribute name: %s",
					e.Name)
			}
			resolved[i].Name = name
		case Reserved(e.Name):
			c.report(reservedName, "Attribute name is a reserved keyword; reserved keyword: %s", e.Name)
		}
	}
	n.path = resolved
}

func (c *checker) function(n *node, wantOperand bool) {
	f, known := lookupFunction(n.op)
	if !known {
		c.report(badFunctionName, "Invalid function name; function: %s", n.op)
		for _, a := range n.args {
			c.operand(a)
		}
		return
	}
	switch {
	case f.update && !c.update:
		c.report(misplacedFunction, "The function is not allowed in a condition expression; function: %s",
			n.op)
	case !f.update && c.update:
		c.report(misplacedFunction, "The function is not allowed in an update expression; function: %s",
			n.op)
	case f.operand != wantOperand:
		c.report(misplacedFunction,
			"The function is not allowed to be used this way in an expression; function: %s", n.op)
	}
	for _, a := range n.args {
		if a.kind == nFunc && !f.update {
			c.report(misplacedFunction,
				"The function is not allowed to be used this way in an expression; function: %s", a.op)
		}
		c.operand(a)
	}
	c.functionOperands(n, f)
}

func (c *checker) functionOperands(n *node, f function) {
	if len(n.args) != len(f.args) {
		c.report(badOperand, "Incorrect number of operands for operator or function; "+
			"operator or function: %s, number of operands: %d", n.op, len(n.args))
		return
	}
	if f.firstPath && n.args[0].kind != nPath {
		c.report(badOperand, "Operator or function requires a document path; operator or function: %s",
			n.op)
	}
	for i, a := range n.args {
		c.literal(n.op, a, f.args[i])
	}
	if n.op == "attribute_type" {
		c.typeName(n.args[1])
	}
	if !f.update {
		c.distinct(n)
	}
}

// literal checks the type of an operand whose type is known before any item is seen.
func (c *checker) literal(op string, n *node, allowed kindSet) {
	kind := n.value.Kind
	if n.kind == nFunc && n.op == "size" {
		kind = proa.KindN
	}
	if n.kind == nFunc && n.op == "list_append" {
		kind = proa.KindL
	}
	if kind != proa.KindNone && !allowed.has(kind) {
		c.report(badOperand, "Incorrect operand type for operator or function; "+
			"operator or function: %s, operand type: %s", op, kind)
	}
}

func (c *checker) typeName(n *node) {
	if n.kind != nValue {
		c.report(badOperand, "Incorrect operand type for operator or function; "+
			"operator or function: attribute_type, operand type: {}")
		return
	}
	if n.value.Kind == proa.KindS && proa.ParseKind(n.value.Str) == proa.KindNone {
		c.report(badOperand, "Invalid attribute type name found; type: %s, "+
			"valid types: {B,NULL,SS,BOOL,L,BS,N,NS,S,M}", n.value.Str)
	}
}

func (c *checker) bounds(low, high *node) {
	l, h := low.value, high.value
	if l.Kind == proa.KindNone || h.Kind == proa.KindNone {
		return
	}
	why := ""
	switch {
	case l.Kind != h.Kind:
		why = "same data type for lower and upper bounds"
	case l.Compare(h) > 0:
		why = "upper bound to be greater than or equal to lower bound"
	default:
		return
	}
	c.report(badOperand, "The BETWEEN operator requires %s; lower bound operand: AttributeValue: "+
		"{%s}, "+
		"upper bound operand: AttributeValue: {%s}", why, short(l), short(h))
}

// short renders a scalar as the vendor's messages do.
func short(v proa.Value) string {
	text := v.Str
	if v.Kind == proa.KindB {
		text = base64.StdEncoding.EncodeToString([]byte(v.Str))
	}
	return v.Kind.String() + ":" + text
}

func (c *checker) distinct(n *node) {
	first := n.args[0]
	if first.kind != nPath {
		return
	}
	for _, a := range n.args[1:] {
		if a.kind == nPath && a.path.equal(first.path) {
			c.report(indistinctOperand, "The first operand must be distinct from the remaining operands "+
				"for this "+
				"operator or function; operator: %s, first operand: %s", n.op, first.path)
		}
	}
}
