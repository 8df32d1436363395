package sql

import (
	"strings"

	"github.com/proa-cloud/proa/azure/local/cosmos/value"
)

// comparison operators by their spelling.
var comparisons = map[string]string{
	"=": "=", "!=": "!=", "<>": "!=", "<": "<", "<=": "<=",
	">": ">", ">=": ">=",
}

// binaryLevels are the arithmetic operators from the loosest to the tightest.
var binaryLevels = [][]string{{"|"}, {"^"}, {"&"}, {"<<", ">>", ">>>"}, {"+", "-", "||"}, {
	"*",
	"/", "%",
}}

func (p *parser) expr() (expr, *Error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	x, err := p.coalesce()
	if err != nil || !p.symbol("?") {
		return x, err
	}
	then, err := p.expr()
	if err != nil {
		return nil, err
	}
	if err := p.need(p.symbol(":")); err != nil {
		return nil, err
	}
	otherwise, err := p.expr()
	return &conditional{x, then, otherwise}, err
}

func (p *parser) coalesce() (expr, *Error) {
	x, err := p.logical(false)
	for err == nil && p.symbol("??") {
		var r expr
		r, err = p.logical(false)
		x = &binary{"??", x, r}
	}
	return x, err
}

// logical parses OR over AND over NOT.
func (p *parser) logical(and bool) (expr, *Error) {
	word, next := "OR", func() (expr, *Error) { return p.logical(true) }
	if and {
		word, next = "AND", p.not
	}
	x, err := next()
	if err != nil || !p.isWord(word) {
		return x, err
	}
	list := []expr{x}
	for p.word(word) {
		if x, err = next(); err != nil {
			return nil, err
		}
		list = append(list, x)
	}
	return &logical{and, list}, nil
}

func (p *parser) not() (expr, *Error) {
	negations := 0
	for p.word("NOT") {
		negations++
	}
	x, err := p.comparison()
	for ; err == nil && negations > 0; negations-- {
		x = &unary{"NOT", x}
	}
	return x, err
}

func (p *parser) comparison() (expr, *Error) {
	x, err := p.binary(0)
	for err == nil {
		t := p.peek()
		if op, ok := comparisons[t.text]; ok && t.kind == tokSymbol {
			p.pos++
			var r expr
			r, err = p.binary(0)
			x = &binary{op, x, r}
			continue
		}
		not := p.isWord("NOT")
		if not {
			p.pos++
		}
		switch {
		case p.word("IN"):
			x, err = p.inList(x, not)
		case p.word("BETWEEN"):
			x, err = p.between(x, not)
		case p.word("LIKE"):
			x, err = p.like(x, not)
		case not:
			return nil, p.unexpected()
		default:
			return x, nil
		}
	}
	return nil, err
}

func (p *parser) inList(x expr, not bool) (expr, *Error) {
	if err := p.need(p.symbol("(")); err != nil {
		return nil, err
	}
	list, err := p.list()
	if err != nil {
		return nil, err
	}
	return &in{x, list, not}, p.need(p.symbol(")"))
}

func (p *parser) between(x expr, not bool) (expr, *Error) {
	lo, err := p.binary(0)
	if err != nil {
		return nil, err
	}
	if err := p.need(p.word("AND")); err != nil {
		return nil, err
	}
	hi, err := p.binary(0)
	return &between{x, lo, hi, not}, err
}

func (p *parser) like(x expr, not bool) (expr, *Error) {
	pattern, err := p.binary(0)
	if err != nil {
		return nil, err
	}
	l := &like{x: x, pattern: pattern, not: not}
	if p.word("ESCAPE") {
		l.escape, err = p.primary()
	}
	return l, err
}

func (p *parser) binary(level int) (expr, *Error) {
	if level == len(binaryLevels) {
		return p.unary()
	}
	x, err := p.binary(level + 1)
	for err == nil {
		t := p.peek()
		if t.kind != tokSymbol || !hasString(binaryLevels[level], t.text) {
			return x, nil
		}
		p.pos++
		var r expr
		r, err = p.binary(level + 1)
		x = &binary{t.text, x, r}
	}
	return nil, err
}

func hasString(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

func (p *parser) unary() (expr, *Error) {
	var ops []string
	for p.isSymbol("-") || p.isSymbol("+") || p.isSymbol("~") {
		ops = append(ops, p.take().text)
	}
	x, err := p.primary()
	if err == nil {
		x, err = p.postfix(x)
	}
	for i := len(ops) - 1; err == nil && i >= 0; i-- {
		if l, ok := x.(*literal); ok && l.v.Kind == value.Number && ops[i] == "-" {
			x = &literal{value.OfNumber(-l.v.Num)}
			continue
		}
		x = &unary{ops[i], x}
	}
	return x, err
}

// postfix takes .name and [index].
func (p *parser) postfix(x expr) (expr, *Error) {
	for {
		switch {
		case p.symbol("."):
			t := p.peek()
			if t.kind != tokIdent {
				return nil, p.unexpected()
			}
			p.pos++
			x = &member{x, t.text}
		case p.symbol("["):
			at, err := p.expr()
			if err != nil {
				return nil, err
			}
			if err := p.need(p.symbol("]")); err != nil {
				return nil, err
			}
			if l, ok := at.(*literal); ok && l.v.Kind == value.String {
				x = &member{x, l.v.Str}
			} else {
				x = &index{x, at}
			}
		default:
			return x, nil
		}
	}
}

func (p *parser) primary() (expr, *Error) {
	t := p.peek()
	switch t.kind {
	case tokNumber:
		p.pos++
		return &literal{value.OfNumber(t.num)}, nil
	case tokString:
		p.pos++
		return &literal{value.OfString(t.text)}, nil
	case tokParam:
		p.pos++
		v, ok := p.params[t.text]
		if !ok {
			return nil, errorAt("SC2001", t.start, t.end, "Identifier '%s' could not be resolved.", t.text)
		}
		return &literal{v}, nil
	case tokIdent:
		p.pos++
		if p.isSymbol("(") {
			return p.call(t)
		}
		return &ident{name: t.text, start: t.start, end: t.end}, nil
	case tokKeyword:
		return p.keyword(t)
	case tokSymbol:
		switch t.text {
		case "(":
			return p.parenthesis()
		case "[":
			return p.arrayLiteral()
		case "{":
			return p.objectLiteral()
		}
	}
	return nil, p.unexpected()
}

func (p *parser) keyword(t token) (expr, *Error) {
	switch t.text {
	case "TRUE", "FALSE":
		p.pos++
		return &literal{value.OfBool(t.text == "TRUE")}, nil
	case "NULL":
		p.pos++
		return &literal{value.OfNull()}, nil
	case "UNDEFINED":
		p.pos++
		return &literal{}, nil
	case "EXISTS", "ARRAY":
		p.pos++
		if err := p.need(p.symbol("(")); err != nil {
			return nil, err
		}
		q, err := p.query()
		if err != nil {
			return nil, err
		}
		return &subquery{t.text, q}, p.need(p.symbol(")"))
	case "UDF":
		return nil, errorAt("SC2005", t.start, t.end, "User defined functions are not implemented by "+
			"this local service.")
	}
	return nil, p.unexpected()
}

func (p *parser) parenthesis() (expr, *Error) {
	p.pos++
	if p.isWord("SELECT") {
		q, err := p.query()
		if err != nil {
			return nil, err
		}
		return &subquery{"", q}, p.need(p.symbol(")"))
	}
	x, err := p.expr()
	if err != nil {
		return nil, err
	}
	return x, p.need(p.symbol(")"))
}

func (p *parser) arrayLiteral() (expr, *Error) {
	p.pos++
	if p.symbol("]") {
		return &arrayLit{}, nil
	}
	list, err := p.list()
	if err != nil {
		return nil, err
	}
	return &arrayLit{list}, p.need(p.symbol("]"))
}

func (p *parser) objectLiteral() (expr, *Error) {
	p.pos++
	o := &objectLit{}
	if p.symbol("}") {
		return o, nil
	}
	for {
		t := p.take()
		if t.kind != tokString && t.kind != tokIdent {
			p.pos--
			return nil, p.unexpected()
		}
		if err := p.need(p.symbol(":")); err != nil {
			return nil, err
		}
		x, err := p.expr()
		if err != nil {
			return nil, err
		}
		o.names, o.values = append(o.names, t.text), append(o.values, x)
		if p.symbol(",") {
			continue
		}
		return o, p.need(p.symbol("}"))
	}
}

var aggregateNames = map[string]bool{
	"COUNT": true, "SUM": true, "AVG": true, "MIN": true,
	"MAX": true,
}

func (p *parser) call(name token) (expr, *Error) {
	p.pos++ // the parenthesis
	var args []expr
	if !p.symbol(")") {
		var err *Error
		if args, err = p.list(); err != nil {
			return nil, err
		}
		if err := p.need(p.symbol(")")); err != nil {
			return nil, err
		}
	}
	up := strings.ToUpper(name.text)
	if aggregateNames[up] {
		if len(args) != 1 {
			return nil, arity(name, 1, 1)
		}
		return &aggregate{name: up, arg: args[0], start: name.start, end: name.end}, nil
	}
	fn, ok := functions[up]
	if !ok {
		return nil, errorAt("SC2005", name.start, name.end,
			"'%s' is not a recognized built-in function name.", name.text)
	}
	if len(args) < fn.min || fn.max >= 0 && len(args) > fn.max {
		return nil, arity(name, fn.min, fn.max)
	}
	return &call{up, fn, args}, nil
}

func arity(name token, low, high int) *Error {
	if low == high {
		return errorAt("SC2070", name.start, name.end, "The %s function requires %d argument(s).",
			name.text, low)
	}
	return errorAt("SC2050", name.start, name.end, "The %s function requires %d to %d argument(s).",
		name.text, low, high)
}
