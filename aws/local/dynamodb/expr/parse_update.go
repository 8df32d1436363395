package expr

import (
	"strings"

	"github.com/proa-cloud/proa"
)

// ParseUpdate parses an update expression. Errors are *Error.
func ParseUpdate(src string, b *Bindings) (*Update, error) {
	u, err := parseUpdate(src, b)
	if err != nil {
		return nil, errorf("Invalid UpdateExpression: %s", err.Message)
	}
	return u, nil
}

func parseUpdate(src string, b *Bindings) (*Update, *Error) {
	p, err := newParser(src)
	if err != nil {
		return nil, err
	}
	sections := map[string][]*node{}
	order := []string{}
	for p.peek().kind != tokEOF || len(order) == 0 {
		name := strings.ToUpper(p.peek().text)
		parse := p.clause(name)
		if p.peek().kind != tokName || parse == nil {
			return nil, p.unexpected()
		}
		p.next()
		if _, twice := sections[name]; twice {
			return nil, errorf("The \"%s\" section can only be used once in an update expression;", name)
		}
		if sections[name], err = p.clauses(parse); err != nil {
			return nil, err
		}
		order = append(order, name)
	}
	if err := p.limits(); err != nil {
		return nil, err
	}
	return checkUpdate(sections, order, b)
}

// clause returns what parses one clause of the named section: a node whose first argument is the
// target.
func (p *parser) clause(section string) func() (*node, *Error) {
	switch section {
	case "SET":
		return p.setClause
	case "REMOVE":
		return p.removeClause
	case "ADD", "DELETE":
		return p.valueClause
	}
	return nil
}

func (p *parser) clauses(parse func() (*node, *Error)) ([]*node, *Error) {
	var list []*node
	for {
		n, err := parse()
		if err != nil {
			return nil, err
		}
		list = append(list, n)
		p.operators++
		if !p.accept(",") {
			return list, nil
		}
	}
}

func (p *parser) setClause() (*node, *Error) {
	target, err := p.path()
	if err != nil {
		return nil, err
	}
	if err := p.expect("="); err != nil {
		return nil, err
	}
	value, err := p.sum()
	if err != nil {
		return nil, err
	}
	return &node{args: []*node{target, value}}, nil
}

// sum parses an operand, or two with + or - between them; the language has no longer sums.
func (p *parser) sum() (*node, *Error) {
	left, err := p.group(p.sum)
	if err != nil {
		return nil, err
	}
	op := p.peek()
	if !op.symbol("+") && !op.symbol("-") {
		return left, nil
	}
	p.next()
	p.operators++
	right, err := p.group(p.sum)
	if err != nil {
		return nil, err
	}
	return &node{kind: nArith, op: op.text, args: []*node{left, right}}, nil
}

func (p *parser) removeClause() (*node, *Error) {
	target, err := p.path()
	return &node{args: []*node{target}}, err
}

func (p *parser) valueClause() (*node, *Error) {
	target, err := p.path()
	if err != nil {
		return nil, err
	}
	t := p.peek()
	if t.kind != tokValueRef {
		return nil, p.unexpected()
	}
	p.next()
	return &node{args: []*node{target, {kind: nValue, ref: t.text}}}, nil
}

func checkUpdate(sections map[string][]*node, order []string, b *Bindings) (*Update, *Error) {
	c := &checker{b: b, update: true}
	u := &Update{}
	var paths []Path
	for _, name := range order {
		var list []action
		for _, n := range sections[name] {
			for _, a := range n.args {
				c.operand(a)
			}
			act := action{path: n.args[0].path}
			if len(n.args) == 2 {
				act.value = n.args[1]
			}
			c.updateOperand(name, act)
			list = append(list, act)
			paths = append(paths, act.path)
		}
		switch name {
		case "SET":
			u.set = list
		case "REMOVE":
			u.remove = list
		case "ADD":
			u.add = list
		case "DELETE":
			u.del = list
		}
	}
	if err := c.err(); err != nil {
		return nil, err
	}
	return u, overlap(paths)
}

func (c *checker) updateOperand(section string, a action) {
	allowed := kindsOf(proa.KindSS, proa.KindNS, proa.KindBS)
	if section == "ADD" {
		allowed |= kindsOf(proa.KindN)
	}
	if section != "ADD" && section != "DELETE" {
		return
	}
	if k := a.value.value.Kind; k != proa.KindNone && !allowed.has(k) {
		c.report(badOperand, "Incorrect operand type for operator or function; operator: %s, operand "+
			"type: %s, "+
			"typeSet: ALLOWED_FOR_%s_OPERAND", section, longKind(k), section)
	}
}

func longKind(k proa.Kind) string {
	switch k {
	case proa.KindS:
		return "STRING"
	case proa.KindN:
		return "NUMBER"
	case proa.KindB:
		return "BINARY"
	case proa.KindBOOL:
		return "BOOLEAN"
	case proa.KindL:
		return "LIST"
	case proa.KindM:
		return "MAP"
	case proa.KindSS:
		return "STRING_SET"
	case proa.KindNS:
		return "NUMBER_SET"
	case proa.KindBS:
		return "BINARY_SET"
	}
	return k.String()
}

// overlap refuses two paths of which one holds the other, and two that need one attribute to be a
// list and a map at once.
func overlap(paths []Path) *Error {
	for i, a := range paths {
		for _, b := range paths[:i] {
			n := b.commonPrefix(a)
			what := ""
			switch {
			case n == len(a) || n == len(b):
				what = "overlap"
			case n > 0 && a[n].IsIndex != b[n].IsIndex:
				what = "conflict"
			default:
				continue
			}
			return errorf("Two document paths %s with each other; must remove or rewrite one of these "+
				"paths; "+
				"path one: %s, path two: %s", what, b, a)
		}
	}
	return nil
}
