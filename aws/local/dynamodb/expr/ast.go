package expr

import (
	"strconv"
	"strings"

	"github.com/proa-cloud/proa"
)

type nodeKind uint8

const (
	nPath nodeKind = iota
	nValue
	nFunc
	nCompare
	nBetween
	nIn
	nAnd
	nOr
	nNot
	nArith
)

// node is one element of a parsed expression. It is immutable once check has resolved its names and
// values.
type node struct {
	kind  nodeKind
	op    string // comparator, arithmetic operator or function, as written
	args  []*node
	path  Path       // nPath: resolved by check
	ref   string     // nValue: the placeholder
	value proa.Value // nValue: resolved by check
}

// boolean reports whether the node is a condition rather than an operand. A function can be either;
// check decides.
func (n *node) boolean() bool {
	switch n.kind {
	case nCompare, nBetween, nIn, nAnd, nOr, nNot, nFunc:
		return true
	}
	return false
}

// Path is a document path: attribute name first, then map keys and list indexes.
type Path []Element

// Element is one step of a path: a name or, where IsIndex is set, a list index.
type Element struct {
	Name    string
	Index   int
	IsIndex bool
}

// String renders the path as the vendor's messages do: [a, [0], b].
func (p Path) String() string {
	parts := make([]string, len(p))
	for i, e := range p {
		parts[i] = e.Name
		if e.IsIndex {
			parts[i] = "[" + strconv.Itoa(e.Index) + "]"
		}
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

func (p Path) equal(o Path) bool { return len(p) == len(o) && p.commonPrefix(o) == len(p) }

func (p Path) commonPrefix(o Path) int {
	n := 0
	for n < len(p) && n < len(o) && p[n] == o[n] {
		n++
	}
	return n
}

// lookup follows the path into an item. The zero Value means that there is nothing.
func (p Path) lookup(item proa.Item) proa.Value {
	v := item[p[0].Name]
	for _, e := range p[1:] {
		switch {
		case e.IsIndex && v.Kind == proa.KindL && e.Index < len(v.List):
			v = v.List[e.Index]
		case !e.IsIndex && v.Kind == proa.KindM:
			v = v.Map[e.Name]
		default:
			return proa.Value{}
		}
	}
	return v
}
