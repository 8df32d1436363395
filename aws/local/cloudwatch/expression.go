package cloudwatch

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

const (
	maxExpression = 2048
	maxNesting    = 50
)

// expression is arithmetic over the ids of queries: + - * / ^, parentheses and numbers.
type expression struct {
	op          byte // 'n' number, 'i' id, otherwise the operator
	number      float64
	id          string
	left, right *expression
}

// parse reads an expression. Functions such as FILL or SEARCH are not known here.
func parse(text string) (*expression, error) {
	if len(text) > maxExpression {
		return nil, fmt.Errorf("longer than %d characters", maxExpression)
	}
	p := parser{text: text}
	e, err := p.sum(0)
	if err != nil {
		return nil, err
	}
	if p.peek() != 0 {
		return nil, fmt.Errorf("unexpected %q at position %d", p.text[p.at:], p.at)
	}
	return e, nil
}

type parser struct {
	text string
	at   int
}

func (p *parser) peek() byte {
	for p.at < len(p.text) && (p.text[p.at] == ' ' || p.text[p.at] == '\t') {
		p.at++
	}
	if p.at == len(p.text) {
		return 0
	}
	return p.text[p.at]
}

func (p *parser) sum(depth int) (*expression, error) {
	return p.chain(depth, "+-", p.product)
}

func (p *parser) product(depth int) (*expression, error) {
	return p.chain(depth, "*/", p.power)
}

func (p *parser) power(depth int) (*expression, error) {
	return p.chain(depth, "^", p.operand)
}

func (p *parser) chain(
	depth int, operators string, next func(int) (*expression, error),
) (*expression, error) {
	if depth > maxNesting {
		return nil, errors.New("nested too deeply")
	}
	left, err := next(depth)
	for err == nil {
		operator := p.peek()
		if operator == 0 || !strings.ContainsRune(operators, rune(operator)) {
			return left, nil
		}
		p.at++
		var right *expression
		right, err = next(depth)
		left = &expression{op: operator, left: left, right: right}
	}
	return nil, err
}

func (p *parser) operand(depth int) (*expression, error) {
	c := p.peek()
	start := p.at
	switch {
	case c == '(':
		p.at++
		e, err := p.sum(depth + 1)
		if err == nil && p.peek() != ')' {
			err = fmt.Errorf("missing ) at position %d", p.at)
		}
		p.at++
		return e, err
	case c == '-':
		p.at++
		if depth > maxNesting {
			return nil, errors.New("nested too deeply")
		}
		e, err := p.operand(depth + 1)
		return &expression{op: '-', left: &expression{op: 'n'}, right: e}, err
	case c >= '0' && c <= '9' || c == '.':
		for p.at < len(p.text) && strings.IndexByte("0123456789.", p.text[p.at]) >= 0 {
			p.at++
		}
		number, err := strconv.ParseFloat(p.text[start:p.at], 64)
		return &expression{op: 'n', number: number}, err
	case c >= 'a' && c <= 'z':
		for p.at < len(p.text) && isWord(p.text[p.at]) {
			p.at++
		}
		return &expression{op: 'i', id: p.text[start:p.at]}, nil
	}
	return nil, fmt.Errorf("unexpected %q at position %d", p.text[min(start, len(p.text)):], start)
}

func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// over computes the expression at every time at which all its ids have a value. It is not ok when
// an id has not been computed. Divisions by zero give no value, as the vendor's.
func (e *expression) over(values map[string]points) (points, bool) {
	ids := e.ids(nil)
	if len(ids) == 0 {
		return points{}, true
	}
	for _, id := range ids {
		if _, ok := values[id]; !ok {
			return nil, false
		}
	}
	out := points{}
	for at := range values[ids[0]] {
		if v, ok := e.at(at, values); ok && !math.IsNaN(v) && !math.IsInf(v, 0) {
			out[at] = v
		}
	}
	return out, true
}

func (e *expression) ids(found []string) []string {
	switch e.op {
	case 'n':
		return found
	case 'i':
		return append(found, e.id)
	}
	return e.right.ids(e.left.ids(found))
}

func (e *expression) at(at int64, values map[string]points) (float64, bool) {
	switch e.op {
	case 'n':
		return e.number, true
	case 'i':
		v, ok := values[e.id][at]
		return v, ok
	}
	a, okA := e.left.at(at, values)
	b, okB := e.right.at(at, values)
	if !okA || !okB {
		return 0, false
	}
	switch e.op {
	case '+':
		return a + b, true
	case '-':
		return a - b, true
	case '*':
		return a * b, true
	case '/':
		return a / b, true
	}
	return math.Pow(a, b), true
}
