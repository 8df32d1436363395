package expr

import (
	"github.com/proa-cloud/proa"
)

// KeyCondition is what a query asks of the key: one hash value and at most one condition on the
// range key.
type KeyCondition struct {
	Hash proa.Value
	Op   string     // "" (no condition), =, <, <=, >, >=, BETWEEN, begins_with
	Low  proa.Value // the operand; BETWEEN's lower bound
	High proa.Value // BETWEEN's upper bound
}

// Matches reports whether a range key satisfies the condition.
func (k KeyCondition) Matches(v proa.Value) bool {
	switch k.Op {
	case "":
		return true
	case "BETWEEN":
		return compare(">=", v, k.Low) && compare("<=", v, k.High)
	case "begins_with":
		n := len(k.Low.Str)
		return v.Kind == k.Low.Kind && len(v.Str) >= n && v.Str[:n] == k.Low.Str
	}
	return compare(k.Op, v, k.Low)
}

// ParseKeyCondition parses a key condition expression against a key schema. Errors are *Error.
func ParseKeyCondition(src string, b *Bindings, s proa.Schema) (KeyCondition, error) {
	root, err := parseCondition(src, b)
	if err != nil {
		return KeyCondition{}, errorf("Invalid KeyConditionExpression: %s", err.Message)
	}
	var parts []*node
	if err := conjuncts(root, &parts); err != nil {
		return KeyCondition{}, err
	}
	conditions := map[string]keyPart{}
	for _, n := range parts {
		name, part, err := keyPartOf(n)
		if err != nil {
			return KeyCondition{}, err
		}
		if _, twice := conditions[name]; twice {
			return KeyCondition{}, errorf("KeyConditionExpressions must only contain one condition per key")
		}
		conditions[name] = part
	}
	k, err := fitSchema(conditions, s)
	if err != nil {
		return KeyCondition{}, err
	}
	return k, nil
}

type keyPart struct {
	op     string
	values []proa.Value
}

func conjuncts(n *node, into *[]*node) *Error {
	switch n.kind {
	case nAnd:
		if err := conjuncts(n.args[0], into); err != nil {
			return err
		}
		return conjuncts(n.args[1], into)
	case nCompare:
		if n.op == "<>" {
			break
		}
		*into = append(*into, n)
		return nil
	case nBetween:
		*into = append(*into, n)
		return nil
	case nFunc:
		if n.op == "begins_with" {
			*into = append(*into, n)
			return nil
		}
	}
	return errorf("Invalid operator used in KeyConditionExpression: %s", n.op)
}

// keyPartOf takes one condition apart; the attribute may stand on either side of a comparator.
func keyPartOf(n *node) (string, keyPart, *Error) {
	part := keyPart{op: n.op}
	var path Path
	for i, a := range n.args {
		switch a.kind {
		case nFunc:
			return "", part, errorf("KeyConditionExpressions cannot contain nested operations")
		case nPath:
			if path != nil {
				return "", part, errorf(
					"Invalid condition in KeyConditionExpression: Multiple attribute names used in one condition")
			}
			path = a.path
			if i == 1 && n.kind == nCompare {
				part.op = mirrored(n.op)
			} else if i > 0 {
				return "", part, errorf(
					"Invalid condition in KeyConditionExpression: %s operator must have the key attribute as its "+
						"first operand", n.op)
			}
		default:
			part.values = append(part.values, a.value)
		}
	}
	if path == nil {
		return "", part, errorf("Invalid condition in KeyConditionExpression: No key attribute specified")
	}
	if len(path) > 1 {
		return "", part, errorf("Key attributes must be scalars; "+
			"list random access '[]' and map lookup '.' are not allowed: Key: %s", path[0].Name)
	}
	return path[0].Name, part, nil
}

func mirrored(op string) string {
	switch op {
	case "<":
		return ">"
	case "<=":
		return ">="
	case ">":
		return "<"
	case ">=":
		return "<="
	}
	return op
}

func fitSchema(conditions map[string]keyPart, s proa.Schema) (KeyCondition, *Error) {
	hash, ok := conditions[s.HashName]
	if !ok {
		return KeyCondition{}, errorf("Query condition missed key schema element: %s", s.HashName)
	}
	if hash.op != "=" {
		return KeyCondition{}, errorf("Query key condition not supported")
	}
	k := KeyCondition{Hash: hash.values[0]}
	if err := keyOperand(s.HashName, s.HashKind, k.Hash); err != nil {
		return k, err
	}
	if len(conditions) == 1 {
		return k, nil
	}
	rng, ok := conditions[s.RangeName]
	switch {
	case s.RangeName == "":
		return k, errorf("Query key condition not supported")
	case !ok:
		return k, errorf("Query condition missed key schema element: %s", s.RangeName)
	case len(conditions) > 2:
		return k, errorf("Conditions can be of length 1 or 2 only")
	}
	for _, v := range rng.values {
		if err := keyOperand(s.RangeName, s.RangeKind, v); err != nil {
			return k, err
		}
	}
	k.Op, k.Low = rng.op, rng.values[0]
	if len(rng.values) > 1 {
		k.High = rng.values[1]
	}
	return k, nil
}

func keyOperand(name string, kind proa.Kind, v proa.Value) *Error {
	if v.Kind != kind {
		return errorf("One or more parameter values were invalid: Condition parameter type does not " +
			"match schema type")
	}
	if v.Str == "" {
		what := "string"
		if kind == proa.KindB {
			what = "binary"
		}
		return errorf("One or more parameter values are not valid. "+
			"The AttributeValue for a key attribute cannot contain an empty %s value. Key: %s", what, name)
	}
	return nil
}
