package expr

import (
	"cmp"
	"slices"

	"github.com/proa-cloud/proa"
)

// Refusals of an update once the item is known, in the vendor's words.
const (
	MsgBadUpdatePath  = "The document path provided in the update expression is invalid for update"
	MsgBadOperandType = "An operand in the update expression has an incorrect data type"
	MsgNoSuchOperand  = "The provided expression refers to an attribute that does not exist in the " +
		"item"
)

// Update is a parsed update expression.
type Update struct {
	set, remove, add, del []action
}

// action is one clause's part: a target and, but for REMOVE, an operand.
type action struct {
	path  Path
	value *node
}

// Paths returns every path that the update writes, section by section.
func (u *Update) Paths() []Path {
	var paths []Path
	for _, section := range [][]action{u.set, u.remove, u.add, u.del} {
		for _, a := range section {
			paths = append(paths, a.path)
		}
	}
	return paths
}

// Apply returns the item after the update. Operands read the item as it was; the item itself is not
// changed. Errors are *Error.
func (u *Update) Apply(item proa.Item) (proa.Item, error) {
	writes, err := u.writes(item)
	if err != nil {
		return nil, err
	}
	root := proa.Map(item)
	for _, w := range writes {
		if root, err = store(root, w.path, w.value); err != nil {
			return nil, err
		}
	}
	return root.Map, nil
}

// write is a value for a path; KindNone removes it.
type write struct {
	path  Path
	value proa.Value
}

// writes computes all values from the original item. Sets come in rising order of index, so that
// those past a list's end append in order; removals come last and in falling order, so that indexes
// mean the original list.
func (u *Update) writes(item proa.Item) ([]write, error) {
	var sets, removals []write
	for _, a := range u.set {
		v, err := setValue(a.value, item)
		if err != nil {
			return nil, err
		}
		sets = append(sets, write{a.path, v})
	}
	for _, a := range u.add {
		v, err := addValue(a.path.lookup(item), a.value.value)
		if err != nil {
			return nil, err
		}
		sets = append(sets, write{a.path, v})
	}
	for _, a := range u.del {
		old := a.path.lookup(item)
		v, err := deleteValue(old, a.value.value)
		switch {
		case err != nil:
			return nil, err
		case v.Kind == proa.KindNone:
			removals = append(removals, write{path: a.path})
		default:
			sets = append(sets, write{a.path, v})
		}
	}
	for _, a := range u.remove {
		removals = append(removals, write{path: a.path})
	}
	slices.SortStableFunc(sets, comparePaths)
	slices.SortStableFunc(removals, func(a, b write) int { return comparePaths(b, a) })
	return append(sets, removals...), nil
}

func comparePaths(a, b write) int {
	return slices.CompareFunc(a.path, b.path, func(x, y Element) int {
		return cmp.Or(cmp.Compare(x.Name, y.Name), cmp.Compare(x.Index, y.Index))
	})
}

func setValue(n *node, item proa.Item) (proa.Value, error) {
	switch {
	case n.kind == nArith:
		return arith(n, item)
	case n.kind == nFunc && n.op == "if_not_exists":
		if v := n.args[0].path.lookup(item); v.Kind != proa.KindNone {
			return v, nil
		}
		return setValue(n.args[1], item)
	case n.kind == nFunc:
		return listAppend(n, item)
	case n.kind == nPath:
		v := n.path.lookup(item)
		if v.Kind == proa.KindNone {
			return v, &Error{MsgNoSuchOperand}
		}
		return v, nil
	}
	return n.value, nil
}

func arith(n *node, item proa.Item) (proa.Value, error) {
	a, err := setValue(n.args[0], item)
	if err != nil {
		return proa.Value{}, err
	}
	b, err := setValue(n.args[1], item)
	if err != nil {
		return proa.Value{}, err
	}
	if a.Kind != proa.KindN || b.Kind != proa.KindN {
		return proa.Value{}, &Error{MsgBadOperandType}
	}
	sum, err := add(a.Str, b.Str, n.op == "-")
	return proa.Value{Kind: proa.KindN, Str: sum}, err
}

func listAppend(n *node, item proa.Item) (proa.Value, error) {
	var all []proa.Value
	for _, arg := range n.args {
		v, err := setValue(arg, item)
		if err != nil {
			return v, err
		}
		if v.Kind != proa.KindL {
			return v, &Error{MsgBadOperandType}
		}
		all = append(all, v.List...)
	}
	return proa.List(all...), nil
}

func addValue(old, operand proa.Value) (proa.Value, error) {
	switch {
	case old.Kind == proa.KindNone:
		return operand, nil
	case old.Kind != operand.Kind:
		return old, &Error{MsgBadOperandType}
	case old.Kind == proa.KindN:
		sum, err := add(old.Str, operand.Str, false)
		return proa.Value{Kind: proa.KindN, Str: sum}, err
	}
	return proa.SetOf(old.Kind, slices.Concat(old.Set, operand.Set)), nil
}

// deleteValue takes members out of a set; KindNone when none is left or there was no set.
func deleteValue(old, operand proa.Value) (proa.Value, error) {
	if old.Kind == proa.KindNone {
		return old, nil
	}
	if old.Kind != operand.Kind {
		return old, &Error{MsgBadOperandType}
	}
	gone := make(map[string]bool, len(operand.Set))
	for _, m := range operand.Set {
		gone[m] = true
	}
	left := slices.DeleteFunc(slices.Clone(old.Set), func(m string) bool { return gone[m] })
	if len(left) == 0 {
		return proa.Value{}, nil
	}
	return proa.Value{Kind: old.Kind, Set: left}, nil
}

// store returns a copy of the container in which the path holds the value. Only what lies on the
// path is copied.
func store(container proa.Value, path Path, value proa.Value) (proa.Value, error) {
	head, rest := path[0], path[1:]
	child, ok := childOf(container, head)
	if !ok {
		return container, &Error{MsgBadUpdatePath}
	}
	if len(rest) > 0 {
		if child.Kind != proa.KindM && child.Kind != proa.KindL {
			return container, &Error{MsgBadUpdatePath}
		}
		var err error
		if value, err = store(child, rest, value); err != nil {
			return container, err
		}
	}
	return withChild(container, head, value), nil
}

// childOf returns what an element names; ok is false where the container is of the wrong type.
func childOf(c proa.Value, e Element) (proa.Value, bool) {
	if !e.IsIndex {
		return c.Map[e.Name], c.Kind == proa.KindM
	}
	if c.Kind == proa.KindL && e.Index < len(c.List) {
		return c.List[e.Index], true
	}
	return proa.Value{}, c.Kind == proa.KindL
}

// withChild returns a copy of the container with one child replaced, added or (KindNone) removed.
func withChild(c proa.Value, e Element, v proa.Value) proa.Value {
	if !e.IsIndex {
		m := make(proa.Item, len(c.Map)+1)
		for name, old := range c.Map {
			m[name] = old
		}
		if m[e.Name] = v; v.Kind == proa.KindNone {
			delete(m, e.Name)
		}
		return proa.Map(m)
	}
	list := slices.Clone(c.List)
	switch {
	case v.Kind == proa.KindNone && e.Index < len(list):
		list = slices.Delete(list, e.Index, e.Index+1)
	case v.Kind == proa.KindNone:
	case e.Index < len(list):
		list[e.Index] = v
	default:
		list = append(list, v)
	}
	return proa.List(list...)
}
