package sql

import (
	"github.com/proa-cloud/proa/azure/local/cosmos/value"
)

// maxNesting bounds how deeply parentheses, literals and subqueries may nest.
const maxNesting = 64

type parser struct {
	text   string
	toks   []token
	pos    int
	depth  int
	params map[string]value.Value
}

func parse(text string, params map[string]value.Value) (*query, *Error) {
	toks, err := lex(text)
	if err != nil {
		return nil, err
	}
	p := &parser{text: text, toks: toks, params: params}
	q, err := p.query()
	if err != nil {
		return nil, err
	}
	if p.peek().kind != tokEnd {
		return nil, p.unexpected()
	}
	return q, nil
}

func (p *parser) peek() token { return p.toks[p.pos] }

func (p *parser) take() token {
	t := p.toks[p.pos]
	if t.kind != tokEnd {
		p.pos++
	}
	return t
}

// unexpected complains of the next token, which nothing here can take.
func (p *parser) unexpected() *Error {
	t := p.peek()
	if t.kind == tokEnd {
		return errorAt("SC1001", max(t.start-1, 0), t.end, "Syntax error, unexpected end of the query.")
	}
	return errorAt("SC1001", t.start, t.end, "Syntax error, incorrect syntax near '%s'.",
		p.text[t.start:t.end])
}

func (p *parser) isWord(w string) bool { t := p.peek(); return t.kind == tokKeyword && t.text == w }

func (p *parser) isSymbol(s string) bool {
	t := p.peek()
	return t.kind == tokSymbol &&
		t.text == s
}

func (p *parser) word(w string) bool {
	if p.isWord(w) {
		p.pos++
		return true
	}
	return false
}

func (p *parser) symbol(s string) bool {
	if p.isSymbol(s) {
		p.pos++
		return true
	}
	return false
}

func (p *parser) need(ok bool) *Error {
	if ok {
		return nil
	}
	return p.unexpected()
}

func (p *parser) enter() *Error {
	if p.depth++; p.depth > maxNesting {
		t := p.peek()
		return errorAt("SC3019", t.start, t.end, "The query is nested more than %d levels deep.",
			maxNesting)
	}
	return nil
}

func (p *parser) leave() { p.depth-- }

func (p *parser) query() (*query, *Error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	q := &query{}
	if err := p.need(p.word("SELECT")); err != nil {
		return nil, err
	}
	for _, clause := range []func(*query) *Error{
		p.selection, p.from, p.where, p.groupBy, p.orderBy,
		p.offsetLimit,
	} {
		if err := clause(q); err != nil {
			return nil, err
		}
	}
	return q, nil
}

func (p *parser) selection(q *query) *Error {
	q.distinct = p.word("DISTINCT")
	if p.word("TOP") {
		x, err := p.count()
		if err != nil {
			return err
		}
		q.top = x
	}
	if p.symbol("*") {
		q.star = true
		return nil
	}
	if p.word("VALUE") {
		x, err := p.expr()
		q.value = x
		return err
	}
	for {
		x, err := p.expr()
		if err != nil {
			return err
		}
		it := selectItem{x: x, alias: derivedName(x)}
		if p.word("AS") || p.peek().kind == tokIdent {
			t := p.take()
			if t.kind != tokIdent {
				p.pos--
				return p.unexpected()
			}
			it.alias = t.text
		}
		q.items = append(q.items, it)
		if !p.symbol(",") {
			return p.distinctNames(q)
		}
	}
}

// derivedName names a column after the last property of its path.
func derivedName(x expr) string {
	switch x := x.(type) {
	case *ident:
		return x.name
	case *member:
		return x.name
	}
	return ""
}

func (p *parser) distinctNames(q *query) *Error {
	seen := map[string]bool{}
	for _, it := range q.items {
		if it.alias != "" && seen[it.alias] {
			t := p.peek()
			return errorAt("SC2010", t.start, t.end, "'%s' is already defined. Use an alias.", it.alias)
		}
		seen[it.alias] = true
	}
	return nil
}

func (p *parser) from(q *query) *Error {
	if !p.word("FROM") {
		return nil
	}
	for {
		s, err := p.source()
		if err != nil {
			return err
		}
		q.from = append(q.from, s)
		if !p.word("JOIN") {
			return nil
		}
	}
}

// source is: alias IN path | path [AS alias] | (query) [AS alias].
func (p *parser) source() (source, *Error) {
	var s source
	if t := p.peek(); t.kind == tokIdent && p.toks[p.pos+1].kind == tokKeyword &&
		p.toks[p.pos+1].text == "IN" {
		p.pos += 2
		s.alias, s.iterate = t.text, true
	}
	if p.symbol("(") {
		sub, err := p.query()
		if err != nil {
			return s, err
		}
		s.sub = sub
		if err := p.need(p.symbol(")")); err != nil {
			return s, err
		}
	} else {
		path, err := p.path()
		if err != nil {
			return s, err
		}
		s.path = path
	}
	if s.iterate {
		return s, nil
	}
	if p.word("AS") || p.peek().kind == tokIdent {
		t := p.take()
		if t.kind != tokIdent {
			p.pos--
			return s, p.unexpected()
		}
		s.alias = t.text
	} else if s.path != nil {
		s.alias = derivedName(s.path)
	}
	return s, nil
}

// path is a property path that begins with an identifier.
func (p *parser) path() (expr, *Error) {
	t := p.peek()
	if t.kind != tokIdent {
		return nil, p.unexpected()
	}
	p.pos++
	return p.postfix(&ident{name: t.text, start: t.start, end: t.end})
}

func (p *parser) where(q *query) *Error {
	if !p.word("WHERE") {
		return nil
	}
	x, err := p.expr()
	q.where = x
	return err
}

func (p *parser) groupBy(q *query) *Error {
	if !p.word("GROUP") {
		return nil
	}
	if err := p.need(p.word("BY")); err != nil {
		return err
	}
	list, err := p.list()
	q.groupBy = list
	return err
}

// list is one or more expressions with commas between.
func (p *parser) list() ([]expr, *Error) {
	var out []expr
	for {
		x, err := p.expr()
		if err != nil {
			return nil, err
		}
		out = append(out, x)
		if !p.symbol(",") {
			return out, nil
		}
	}
}

const maxOrderBy = 8

func (p *parser) orderBy(q *query) *Error {
	if !p.word("ORDER") {
		return nil
	}
	if err := p.need(p.word("BY")); err != nil {
		return err
	}
	for {
		x, err := p.expr()
		if err != nil {
			return err
		}
		o := orderItem{x: x}
		if p.word("DESC") {
			o.desc = true
		} else {
			p.word("ASC")
		}
		if q.orderBy = append(q.orderBy, o); len(q.orderBy) > maxOrderBy {
			return p.unexpected()
		}
		if !p.symbol(",") {
			return nil
		}
	}
}

func (p *parser) offsetLimit(q *query) *Error {
	if !p.word("OFFSET") {
		return nil
	}
	var err *Error
	if q.offset, err = p.count(); err != nil {
		return err
	}
	if err := p.need(p.word("LIMIT")); err != nil {
		return err
	}
	q.limit, err = p.count()
	return err
}

// count is a number of rows: a literal or a parameter that is a whole number, 0 or more.
func (p *parser) count() (expr, *Error) {
	t := p.peek()
	if t.kind != tokNumber && t.kind != tokParam {
		return nil, p.unexpected()
	}
	x, err := p.primary()
	if err != nil {
		return nil, err
	}
	l, ok := x.(*literal)
	if !ok || l.v.Kind != value.Number || l.v.Num < 0 || l.v.Num != float64(int64(l.v.Num)) ||
		l.v.Num > 1<<31-1 {
		return nil, errorAt("SC2062", t.start, t.end,
			"The count '%s' must be a whole number that is not negative.", p.text[t.start:t.end])
	}
	return x, nil
}
