package dynamodb

import (
	"fmt"
	"slices"
	"strings"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/aws/local/dynamodb/expr"
)

// tableName checks the name of a table, which may also be given as its ARN.
func tableName(name *string) (string, error) {
	if name == nil {
		return "", constraint("null", "tableName", "Member must not be null")
	}
	n := *name
	if strings.HasPrefix(n, "arn:") {
		_, n, _ = strings.Cut(n, ":table/")
	}
	if !validTableName(n) {
		return "", invalid("Invalid table/index name.  Table/index names must be between 3 and 255 " +
			"characters long, " +
			"and may contain only the characters a-z, A-Z, 0-9, '_', '-', and '.'")
	}
	return n, nil
}

func validTableName(n string) bool {
	if len(n) < 3 || len(n) > 255 {
		return false
	}
	for i := range len(n) {
		c := n[i]
		word := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !word && c != '_' && c != '-' && c != '.' {
			return false
		}
	}
	return true
}

// oneOf refuses an enumerated member's value that the vendor does not know; "" is absent.
func oneOf(value, member string, known ...string) error {
	if value == "" || slices.Contains(known, value) {
		return nil
	}
	return constraint("'"+value+"'", member,
		"Member must satisfy enum value set: ["+strings.Join(known, ", ")+"]")
}

func checkCapacityOption(v string) error {
	return oneOf(v, "returnConsumedCapacity", "INDEXES", "TOTAL", "NONE")
}

// expressions are the members that every request with expressions has.
type expressions struct {
	ExpressionAttributeNames  map[string]string
	ExpressionAttributeValues wireMap
}

// bind checks names and values. The sources are the request's expressions by name, nil where
// absent.
func (e expressions) bind(sources ...source) (*expr.Bindings, error) {
	any := slices.ContainsFunc(sources, func(s source) bool { return s.text != nil })
	if e.ExpressionAttributeNames != nil {
		switch {
		case !any:
			return nil, invalid("ExpressionAttributeNames can only be specified when using expressions")
		case len(e.ExpressionAttributeNames) == 0:
			return nil, invalid("ExpressionAttributeNames must not be empty")
		}
		for k := range e.ExpressionAttributeNames {
			if !expr.ValidName(k) {
				return nil, invalid("ExpressionAttributeNames contains invalid key: Syntax error; key: \"%s\"",
					k)
			}
		}
	}
	values, err := e.values(sources, any)
	if err != nil {
		return nil, err
	}
	return expr.NewBindings(e.ExpressionAttributeNames, values), nil
}

func (e expressions) values(sources []source, any bool) (map[string]proa.Value, error) {
	if e.ExpressionAttributeValues == nil {
		return nil, nil
	}
	if !any || !slices.ContainsFunc(sources, func(s source) bool {
		return s.takesValues() &&
			s.text != nil
	}) {
		return nil, invalid("ExpressionAttributeValues can only be specified when using expressions: %s",
			allNull(sources))
	}
	if len(e.ExpressionAttributeValues) == 0 {
		return nil, invalid("ExpressionAttributeValues must not be empty")
	}
	values := make(map[string]proa.Value, len(e.ExpressionAttributeValues))
	for k, raw := range e.ExpressionAttributeValues {
		if !expr.ValidValue(k) {
			return nil, invalid("ExpressionAttributeValues contains invalid key: Syntax error; key: \"%s\"",
				k)
		}
		v, err := decodeValue(raw, 0)
		if err != nil {
			refusal, _ := asAPIError(err)
			if strings.HasSuffix(refusal.kind, "ValidationException") {
				refusal = invalid("ExpressionAttributeValues contains invalid value: %s for key %s",
					refusal.message, k)
			}
			return nil, refusal
		}
		values[k] = v
	}
	return values, nil
}

// source is one expression of a request, by the member's name.
type source struct {
	name string
	text *string
}

func (s source) takesValues() bool { return s.name != "ProjectionExpression" }

func allNull(sources []source) string {
	var names []string
	for _, s := range sources {
		if s.takesValues() {
			names = append(names, s.name)
		}
	}
	if len(names) > 1 {
		return strings.Join(names, " and ") + " are null"
	}
	return strings.Join(names, "") + " is null"
}

// legacy are the request members from before expressions. They are refused, not ignored.
type legacy struct {
	Expected            any
	ConditionalOperator any
	AttributeUpdates    any
	KeyConditions       any
	QueryFilter         any
	ScanFilter          any
	AttributesToGet     any
}

func (l legacy) refuse(sources ...source) error {
	members := []struct {
		name string
		set  bool
	}{
		{"AttributesToGet", l.AttributesToGet != nil},
		{"AttributeUpdates", l.AttributeUpdates != nil},
		{"Expected", l.Expected != nil},
		{"ConditionalOperator", l.ConditionalOperator != nil},
		{"KeyConditions", l.KeyConditions != nil},
		{"QueryFilter", l.QueryFilter != nil},
		{"ScanFilter", l.ScanFilter != nil},
	}
	var old, modern []string
	for _, m := range members {
		if m.set {
			old = append(old, m.name)
		}
	}
	if old == nil {
		return nil
	}
	for _, s := range sources {
		if s.text != nil {
			modern = append(modern, s.name)
		}
	}
	if modern != nil {
		return invalid("Can not use both expression and non-expression parameters in the same request: "+
			"Non-expression parameters: {%s} Expression parameters: {%s}",
			strings.Join(old, ", "), strings.Join(modern, ", "))
	}
	return invalid("The legacy parameters {%s} are not supported here; use expressions",
		strings.Join(old, ", "))
}

// keyOf takes the key out of an item that is being put.
func keyOf(s proa.Schema, item proa.Item) (proa.Key, error) {
	k := proa.Key{Table: s.Table}
	for _, part := range keyParts(s, &k) {
		v, ok := item[part.name]
		if !ok {
			return k, invalid("One or more parameter values were invalid: Missing the key %s in the item",
				part.name)
		}
		if v.Kind != part.kind {
			return k, invalid("One or more parameter values were invalid: Type mismatch for key %s "+
				"expected: %s actual: %s",
				part.name, part.kind, v.Kind)
		}
		*part.into = v
	}
	return k, checkKey(s, k)
}

// exactKey takes the key out of attributes that must be the key and nothing else.
func exactKey(s proa.Schema, item proa.Item) (proa.Key, error) {
	k := proa.Key{Table: s.Table}
	parts := keyParts(s, &k)
	mismatch := invalid("The provided key element does not match the schema")
	if len(item) != len(parts) {
		return k, mismatch
	}
	for _, part := range parts {
		v, ok := item[part.name]
		if !ok || v.Kind != part.kind {
			return k, mismatch
		}
		*part.into = v
	}
	return k, checkKey(s, k)
}

type keyPart struct {
	name string
	kind proa.Kind
	into *proa.Value
}

func keyParts(s proa.Schema, k *proa.Key) []keyPart {
	parts := []keyPart{{s.HashName, s.HashKind, &k.Hash}}
	if s.RangeName != "" {
		parts = append(parts, keyPart{s.RangeName, s.RangeKind, &k.Range})
	}
	return parts
}

func checkKey(s proa.Schema, k proa.Key) error {
	for _, part := range keyParts(s, &k) {
		if part.into.Str != "" {
			continue
		}
		what := "string"
		if part.kind == proa.KindB {
			what = "binary"
		}
		return invalid("One or more parameter values are not valid. "+
			"The AttributeValue for a key attribute cannot contain an empty %s value. Key: %s", what,
			part.name)
	}
	if len(k.Hash.Str) > maxHashBytes && s.HashKind != proa.KindN {
		return invalid("One or more parameter values were invalid: "+
			"Size of hashkey has exceeded the maximum size limit of%d bytes", maxHashBytes)
	}
	if len(k.Range.Str) > maxRangeBytes && s.RangeKind != proa.KindN {
		return invalid("One or more parameter values were invalid: "+
			"Aggregated size of all range keys has exceeded the size limit of %d bytes", maxRangeBytes)
	}
	return nil
}

// checkLength refuses a list outside the vendor's bounds.
func checkLength(n, most int, member string) error {
	switch {
	case n < 1:
		return constraint("'[]'", member, "Member must have length greater than or equal to 1")
	case n > most:
		return constraint(fmt.Sprintf("'[%d members]'", n), member,
			fmt.Sprintf("Member must have length less than or equal to %d", most))
	}
	return nil
}
