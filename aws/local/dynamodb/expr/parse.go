package expr

import "strconv"

// The vendor's limits ("Expression parameters").
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
const (
	maxLength    = 4096
	maxOperators = 300
	maxOperands  = 100
	maxPathDepth = 32
	maxListIndex = 4294967295 // the vendor publishes no bound, but has one
)

type parser struct {
	src       string
	toks      []token
	pos       int
	operators int
	redundant bool // some parentheses held nothing but parentheses
}

func newParser(src string) (*parser, *Error) {
	switch {
	case src == "":
		return nil, errorf("The expression can not be empty;")
	case len(src) > maxLength:
		return nil, errorf("Expression size has exceeded the maximum allowed size; expression size: %d",
			len(src))
	}
	return &parser{src: src, toks: lex(src)}, nil
}

func (p *parser) peek() token { return p.toks[p.pos] }

func (p *parser) next() token {
	t := p.toks[p.pos]
	if t.kind != tokEOF {
		p.pos++
	}
	return t
}

func (p *parser) accept(symbol string) bool {
	if p.peek().symbol(symbol) {
		p.pos++
		return true
	}
	return false
}

func (p *parser) expect(symbol string) *Error {
	if p.accept(symbol) {
		return nil
	}
	return p.unexpected()
}

// unexpected names the current token and its neighbours, as the vendor does.
func (p *parser) unexpected() *Error {
	t := p.peek()
	from, to := t.start, t.end
	if p.pos > 0 {
		from = p.toks[p.pos-1].start
	} else if t.kind == tokEOF {
		from = 0
	}
	if t.kind != tokEOF {
		to = p.toks[p.pos+1].end
	}
	return errorf("Syntax error; token: \"%s\", near: \"%s\"", t.text, p.src[from:to])
}

// condition parses a whole source as one condition.
func (p *parser) condition() (*node, *Error) {
	n, err := p.or()
	if err != nil {
		return nil, err
	}
	if p.peek().kind != tokEOF || !n.boolean() {
		return nil, p.unexpected()
	}
	return n, p.limits()
}

func (p *parser) limits() *Error {
	if p.redundant {
		return errorf("The expression has redundant parentheses;")
	}
	if p.operators > maxOperators {
		return errorf("The expression contains too many operators; operator count: %d", maxOperators+1)
	}
	return nil
}

// or, and, not and comparison may also return a bare operand: whether a parenthesis opens a
// condition or an operand is known only after what it holds.
func (p *parser) or() (*node, *Error)  { return p.chain(nOr, "OR", p.and) }
func (p *parser) and() (*node, *Error) { return p.chain(nAnd, "AND", p.not) }

func (p *parser) chain(
	kind nodeKind, keyword string, operand func() (*node, *Error),
) (*node, *Error) {
	left, err := operand()
	if err != nil {
		return nil, err
	}
	for p.peek().is(keyword) {
		if !left.boolean() {
			return nil, p.unexpected()
		}
		p.next()
		p.operators++
		right, err := operand()
		if err != nil {
			return nil, err
		}
		if !right.boolean() {
			return nil, p.unexpected()
		}
		left = &node{kind: kind, op: keyword, args: []*node{left, right}}
	}
	return left, nil
}

func (p *parser) not() (*node, *Error) {
	if !p.peek().is("NOT") {
		return p.comparison()
	}
	p.next()
	p.operators++
	n, err := p.not()
	if err != nil {
		return nil, err
	}
	if !n.boolean() {
		return nil, p.unexpected()
	}
	return &node{kind: nNot, op: "NOT", args: []*node{n}}, nil
}

func (p *parser) comparison() (*node, *Error) {
	left, err := p.primary()
	if err != nil || left.boolean() && left.kind != nFunc {
		return left, err
	}
	t := p.peek()
	switch {
	case t.kind == tokSymbol && comparator(t.text):
		p.next()
		p.operators++
		right, err := p.operand()
		if err != nil {
			return nil, err
		}
		return &node{kind: nCompare, op: t.text, args: []*node{left, right}}, nil
	case t.is("BETWEEN"):
		return p.between(left)
	case t.is("IN"):
		return p.in(left)
	}
	return left, nil
}

func comparator(s string) bool {
	switch s {
	case "=", "<>", "<", "<=", ">", ">=":
		return true
	}
	return false
}

func (p *parser) between(left *node) (*node, *Error) {
	p.next()
	p.operators++
	low, err := p.operand()
	if err != nil {
		return nil, err
	}
	if !p.peek().is("AND") {
		return nil, p.unexpected()
	}
	p.next()
	high, err := p.operand()
	if err != nil {
		return nil, err
	}
	return &node{kind: nBetween, op: "BETWEEN", args: []*node{left, low, high}}, nil
}

func (p *parser) in(left *node) (*node, *Error) {
	p.next()
	p.operators++
	if err := p.expect("("); err != nil {
		return nil, err
	}
	list, err := p.list(p.operand)
	if err != nil {
		return nil, err
	}
	return &node{kind: nIn, op: "IN", args: append([]*node{left}, list...)}, nil
}

// list parses comma-separated operands and the closing parenthesis.
func (p *parser) list(operand func() (*node, *Error)) ([]*node, *Error) {
	var list []*node
	for {
		n, err := operand()
		if err != nil {
			return nil, err
		}
		list = append(list, n)
		if !p.accept(",") {
			return list, p.expect(")")
		}
	}
}

// primary parses an operand or a parenthesised condition or operand.
func (p *parser) primary() (*node, *Error) {
	return p.group(p.or)
}

// operand parses a path, a value, a function or any of these in parentheses.
func (p *parser) operand() (*node, *Error) {
	return p.group(p.operand)
}

func (p *parser) group(inner func() (*node, *Error)) (*node, *Error) {
	t := p.peek()
	switch {
	case t.symbol("("):
		p.next()
		if p.peek().symbol("(") && p.closesTogether() {
			p.redundant = true
		}
		n, err := inner()
		if err != nil {
			return nil, err
		}
		return n, p.expect(")")
	case t.kind == tokValueRef:
		p.next()
		return &node{kind: nValue, ref: t.text}, nil
	case t.kind == tokName && p.toks[p.pos+1].symbol("("):
		return p.function()
	}
	return p.path()
}

// closesTogether reports whether the parenthesis at the current token closes right before the one
// that encloses it.
func (p *parser) closesTogether() bool {
	depth := 0
	for i := p.pos; i < len(p.toks); i++ {
		switch {
		case p.toks[i].symbol("("):
			depth++
		case p.toks[i].symbol(")"):
			if depth--; depth == 0 {
				return p.toks[i+1].symbol(")")
			}
		}
	}
	return false
}

func (p *parser) function() (*node, *Error) {
	name := p.next().text
	p.next()
	p.operators++
	args, err := p.list(p.operand)
	if err != nil {
		return nil, err
	}
	return &node{kind: nFunc, op: name, args: args}, nil
}

// path parses a document path. Its names are as written (with # where they are references) until
// check resolves them.
func (p *parser) path() (*node, *Error) {
	path := Path{}
	for {
		t := p.peek()
		if t.kind != tokName && t.kind != tokNameRef || keyword(t) {
			return nil, p.unexpected()
		}
		p.next()
		path = append(path, Element{Name: t.text})
		for p.accept("[") {
			e, err := p.index()
			if err != nil {
				return nil, err
			}
			path = append(path, e)
		}
		if !p.accept(".") {
			break
		}
	}
	if len(path) > maxPathDepth {
		return nil, errorf("The document path has too many nesting levels; nesting levels: %d", len(path))
	}
	return &node{kind: nPath, path: path}, nil
}

func (p *parser) index() (Element, *Error) {
	t := p.peek()
	if t.kind != tokNumber {
		return Element{}, p.unexpected()
	}
	p.next()
	n, err := strconv.ParseUint(t.text, 10, 64)
	if err != nil || n > maxListIndex {
		return Element{}, errorf("List index is not within the allowable range; index: [%s]", t.text)
	}
	return Element{Index: int(n), IsIndex: true}, p.expect("]")
}

// keyword reports whether a name can never be a path because the grammar needs it.
func keyword(t token) bool {
	return t.is("AND") || t.is("OR") || t.is("NOT") || t.is("BETWEEN") || t.is("IN")
}
