package dynamodb

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/aws/local/dynamodb/expr"
)

// The vendor's limits of an item.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
const (
	maxItemBytes  = 400 << 10
	maxHashBytes  = 2048
	maxRangeBytes = 1024
	maxDepth      = 32 // levels, of which a top-level attribute is the first
	maxNameBytes  = 64<<10 - 1
)

// wireMap is attributes as encoding/json leaves them.
type wireMap map[string]any

// item turns wire attributes into an item, checking types, numbers, sets and depth.
func (w wireMap) item() (proa.Item, error) {
	item := make(proa.Item, len(w))
	for name, raw := range w {
		if name == "" {
			return nil, invalid("Empty attribute name")
		}
		if len(name) > maxNameBytes {
			return nil, invalid("One or more parameter values were invalid: Attribute name is too large, "+
				"must be less than %d bytes", maxNameBytes+1)
		}
		v, err := decodeValue(raw, 0)
		if err != nil {
			return nil, err
		}
		item[name] = v
	}
	return item, nil
}

func decodeValue(raw any, depth int) (proa.Value, error) {
	if depth >= maxDepth {
		return proa.Value{}, invalid("Nesting Levels have exceeded supported limits: " +
			"Attributes in the item have nested levels beyond supported limit")
	}
	object, ok := raw.(map[string]any)
	if !ok {
		return proa.Value{}, notSerializable("Start of structure or map found where not expected")
	}
	kind, body := proa.KindNone, any(nil)
	for name, b := range object {
		k := proa.ParseKind(name)
		if k == proa.KindNone || b == nil {
			continue
		}
		if kind != proa.KindNone {
			return proa.Value{}, invalid("Supplied AttributeValue has more than one datatypes set, " +
				"must contain exactly one of the supported datatypes")
		}
		kind, body = k, b
	}
	switch kind {
	case proa.KindNone:
		return proa.Value{}, invalid("Supplied AttributeValue is empty, " +
			"must contain exactly one of the supported datatypes")
	case proa.KindL, proa.KindM:
		return decodeDocument(kind, body, depth)
	case proa.KindSS, proa.KindNS, proa.KindBS:
		return decodeSet(kind, body)
	}
	return decodeScalar(kind, body)
}

func decodeScalar(kind proa.Kind, body any) (proa.Value, error) {
	v := proa.Value{Kind: kind}
	if kind == proa.KindBOOL || kind == proa.KindNULL {
		b, ok := body.(bool)
		if !ok {
			return v, notSerializable("%s cannot be converted to Boolean", wireKind(body))
		}
		if kind == proa.KindNULL {
			if !b {
				return v, invalid("One or more parameter values were invalid: " +
					"Null attribute value types must have the value of true")
			}
			return v, nil
		}
		v.Bool = b
		return v, nil
	}
	s, ok := body.(string)
	if !ok {
		return v, notSerializable("%s cannot be converted to String", wireKind(body))
	}
	var err error
	v.Str, err = decodeText(kind, s)
	return v, err
}

// decodeText reads the text of an S, N or B, or of a member of their sets.
func decodeText(kind proa.Kind, s string) (string, error) {
	switch kind {
	case proa.KindN:
		return expr.Canonical(s)
	case proa.KindB:
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			return "", notSerializable("Invalid base64 in a binary attribute value")
		}
		return string(b), nil
	}
	return s, nil
}

func decodeDocument(kind proa.Kind, body any, depth int) (proa.Value, error) {
	if kind == proa.KindL {
		list, ok := body.([]any)
		if !ok {
			return proa.Value{}, notSerializable("%s cannot be converted to List", wireKind(body))
		}
		values := make([]proa.Value, len(list))
		for i, e := range list {
			v, err := decodeValue(e, depth+1)
			if err != nil {
				return v, err
			}
			values[i] = v
		}
		return proa.List(values...), nil
	}
	object, ok := body.(map[string]any)
	if !ok {
		return proa.Value{}, notSerializable("%s cannot be converted to Map", wireKind(body))
	}
	m := make(proa.Item, len(object))
	for name, e := range object {
		v, err := decodeValue(e, depth+1)
		if err != nil {
			return v, err
		}
		m[name] = v
	}
	return proa.Map(m), nil
}

func decodeSet(kind proa.Kind, body any) (proa.Value, error) {
	list, ok := body.([]any)
	if !ok {
		return proa.Value{}, notSerializable("%s cannot be converted to List", wireKind(body))
	}
	if len(list) == 0 {
		return proa.Value{}, invalid("One or more parameter values were invalid: %s", emptySet(kind))
	}
	member := map[proa.Kind]proa.Kind{
		proa.KindSS: proa.KindS, proa.KindNS: proa.KindN,
		proa.KindBS: proa.KindB,
	}[kind]
	texts, members := make([]string, len(list)), make([]string, len(list))
	for i, e := range list {
		s, ok := e.(string)
		if !ok {
			return proa.Value{}, notSerializable("%s cannot be converted to String", wireKind(e))
		}
		m, err := decodeText(member, s)
		if err != nil {
			return proa.Value{}, err
		}
		texts[i], members[i] = s, m
	}
	set := proa.SetOf(kind, members)
	if len(set.Set) < len(members) {
		return set, duplicates(kind, texts)
	}
	return set, nil
}

func emptySet(kind proa.Kind) string {
	switch kind {
	case proa.KindSS:
		return "An string set  may not be empty"
	case proa.KindNS:
		return "An number set  may not be empty"
	}
	return "Binary sets should not be empty"
}

func duplicates(kind proa.Kind, texts []string) *apiError {
	list := "[" + strings.Join(texts, ", ") + "]"
	switch kind {
	case proa.KindNS:
		return invalid("Input collection contains duplicates")
	case proa.KindBS:
		return invalid("One or more parameter values were invalid: Input collection %sof type BS "+
			"contains duplicates.", list)
	}
	return invalid("One or more parameter values were invalid: Input collection %s contains "+
		"duplicates.", list)
}

// wireKind names a JSON value as the vendor's deserializer does.
func wireKind(v any) string {
	switch v := v.(type) {
	case string:
		return "STRING_VALUE"
	case float64:
		if v == float64(int64(v)) {
			return "NUMBER_VALUE"
		}
		return "DECIMAL_VALUE"
	case bool:
		return strings.ToUpper(fmt.Sprint(v)) + "_VALUE"
	}
	return "Unexpected token"
}

// itemSize is the vendor's size of an item in bytes: names, values, and what documents cost.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
func itemSize(item proa.Item) int {
	n := 0
	for name, v := range item {
		n += len(name) + valueSize(v)
	}
	return n
}

func valueSize(v proa.Value) int {
	switch v.Kind {
	case proa.KindS, proa.KindB:
		return len(v.Str)
	case proa.KindN:
		return numberSize(v.Str)
	case proa.KindBOOL, proa.KindNULL:
		return 1
	case proa.KindL:
		n := 3
		for _, e := range v.List {
			n += 1 + valueSize(e)
		}
		return n
	case proa.KindM:
		n := 3 + itemSize(v.Map)
		return n + len(v.Map)
	}
	n := 0
	for _, m := range v.Set {
		if v.Kind == proa.KindNS {
			n += numberSize(m)
		} else {
			n += len(m)
		}
	}
	return n
}

// numberSize is one byte for every two significant digits, one more, and one for a sign.
func numberSize(s string) int {
	negative := strings.HasPrefix(s, "-")
	digits := strings.Trim(strings.TrimPrefix(s, "-"), "0.")
	if !strings.Contains(s, ".") {
		digits = strings.Trim(strings.TrimPrefix(s, "-"), "0")
	}
	n := (len(digits)-strings.Count(digits, ".")+1)/2 + 1
	if negative {
		n++
	}
	return n
}

// depthWithin reports whether no value of the item nests deeper than the vendor allows.
func depthWithin(item proa.Item) bool {
	for _, v := range item {
		if !shallow(v, 0) {
			return false
		}
	}
	return true
}

func shallow(v proa.Value, depth int) bool {
	if depth >= maxDepth {
		return false
	}
	for _, e := range v.Map {
		if !shallow(e, depth+1) {
			return false
		}
	}
	return !slices.ContainsFunc(v.List, func(e proa.Value) bool { return !shallow(e, depth+1) })
}
