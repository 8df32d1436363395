package eventbridge

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

const (
	maxPatternBytes = 4096
	maxPatternDepth = 20
)

// pattern is a compiled event pattern: every field must hold.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
type pattern struct{ fields map[string]condition }

// condition is a nested pattern, or a list of matchers of which one must hold.
type condition struct {
	nested *pattern
	any    []matcher
}

// matcher tests one value; present is false where the event has none.
type matcher func(value any, present bool) bool

func compilePattern(text string) (pattern, error) {
	if len(text) > maxPatternBytes {
		return pattern{}, fmt.Errorf("longer than %d bytes", maxPatternBytes)
	}
	var object map[string]any
	if err := json.Unmarshal([]byte(text), &object); err != nil || object == nil {
		return pattern{}, errors.New("event pattern is not a JSON object")
	}
	return compileObject(object, 0)
}

func compileObject(object map[string]any, depth int) (pattern, error) {
	if depth > maxPatternDepth {
		return pattern{}, errors.New("nested too deeply")
	}
	if len(object) == 0 {
		return pattern{}, errors.New("empty objects are not allowed")
	}
	p := pattern{fields: map[string]condition{}}
	for name, value := range object {
		switch value := value.(type) {
		case map[string]any:
			nested, err := compileObject(value, depth+1)
			if err != nil {
				return pattern{}, err
			}
			p.fields[name] = condition{nested: &nested}
		case []any:
			if name == "$or" {
				return pattern{}, errors.New("$or is not supported here")
			}
			c, err := compileList(value)
			if err != nil {
				return pattern{}, fmt.Errorf("%s: %w", name, err)
			}
			p.fields[name] = c
		default:
			return pattern{}, fmt.Errorf("%q must be an object or an array", name)
		}
	}
	return p, nil
}

func compileList(list []any) (condition, error) {
	if len(list) == 0 {
		return condition{}, errors.New("empty arrays are not allowed")
	}
	var c condition
	for _, item := range list {
		m, err := compileMatcher(item)
		if err != nil {
			return condition{}, err
		}
		c.any = append(c.any, m)
	}
	return c, nil
}

func compileMatcher(item any) (matcher, error) {
	operator, ok := item.(map[string]any)
	if !ok {
		if _, list := item.([]any); list {
			return nil, errors.New("an array inside an array")
		}
		return func(value any, present bool) bool { return present && value == item }, nil
	}
	if len(operator) != 1 {
		return nil, errors.New("a matcher has exactly one operator")
	}
	for name, argument := range operator {
		return compileOperator(name, argument)
	}
	return nil, errors.New("unreachable")
}

func compileOperator(name string, argument any) (matcher, error) {
	text, isText := argument.(string)
	onText := func(test func(value string) bool) (matcher, error) {
		if !isText {
			return nil, fmt.Errorf("%s needs a string", name)
		}
		return func(value any, present bool) bool {
			s, ok := value.(string)
			return present && ok && test(s)
		}, nil
	}
	switch name {
	case "exists":
		want, ok := argument.(bool)
		if !ok {
			return nil, errors.New("exists needs true or false")
		}
		return func(_ any, present bool) bool { return present == want }, nil
	case "prefix":
		return onText(func(value string) bool { return strings.HasPrefix(value, text) })
	case "suffix":
		return onText(func(value string) bool { return strings.HasSuffix(value, text) })
	case "equals-ignore-case":
		return onText(func(value string) bool { return strings.EqualFold(value, text) })
	case "anything-but":
		return compileAnythingBut(argument)
	case "numeric":
		return compileNumeric(argument)
	}
	return nil, fmt.Errorf("unrecognized match type %s", name)
}

func compileAnythingBut(argument any) (matcher, error) {
	list, ok := argument.([]any)
	if !ok {
		list = []any{argument}
	}
	c, err := compileList(list)
	if err != nil {
		return nil, err
	}
	return func(value any, present bool) bool {
		if !present {
			return false
		}
		for _, m := range c.any {
			if m(value, true) {
				return false
			}
		}
		return true
	}, nil
}

func compileNumeric(argument any) (matcher, error) {
	list, ok := argument.([]any)
	if !ok || len(list) == 0 || len(list)%2 != 0 {
		return nil, errors.New("numeric needs pairs of an operator and a number")
	}
	var tests []func(float64) bool
	for i := 0; i < len(list); i += 2 {
		operator, _ := list[i].(string)
		bound, isNumber := list[i+1].(float64)
		test := compareTo(operator, bound)
		if !isNumber || test == nil {
			return nil, errors.New("numeric needs pairs of an operator and a number")
		}
		tests = append(tests, test)
	}
	return func(value any, present bool) bool {
		number, ok := value.(float64)
		if !present || !ok {
			return false
		}
		for _, test := range tests {
			if !test(number) {
				return false
			}
		}
		return true
	}, nil
}

func compareTo(operator string, bound float64) func(float64) bool {
	switch operator {
	case "=":
		return func(v float64) bool { return v == bound }
	case "<":
		return func(v float64) bool { return v < bound }
	case "<=":
		return func(v float64) bool { return v <= bound }
	case ">":
		return func(v float64) bool { return v > bound }
	case ">=":
		return func(v float64) bool { return v >= bound }
	}
	return nil
}

// matches reports whether the event has everything that the pattern asks for.
func (p pattern) matches(event map[string]any) bool {
	for name, c := range p.fields {
		value, present := event[name]
		if c.nested != nil {
			object, _ := value.(map[string]any) // nil: only "exists: false" can hold
			if !c.nested.matches(object) {
				return false
			}
			continue
		}
		if !c.holds(value, present) {
			return false
		}
	}
	return true
}

// holds tests the value, or, where the event has an array, its elements: one is enough.
func (c condition) holds(value any, present bool) bool {
	values, isList := value.([]any)
	if !isList {
		values = []any{value}
	}
	for _, m := range c.any {
		for _, v := range values {
			if m(v, present) {
				return true
			}
		}
	}
	return false
}
