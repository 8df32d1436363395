package sql

import (
	"strings"

	"github.com/proa-cloud/proa/azure/local/cosmos/value"
)

// expr is a scalar expression. eval never fails: what has no value is undefined, and what exceeds a
// limit is noted in the run.
type expr interface {
	eval(s *scope, r *run) value.Value
	format(b *strings.Builder)
}

type literal struct{ v value.Value }

type ident struct {
	name       string
	start, end int
}

type member struct {
	base expr
	name string
}

type index struct{ base, at expr }

type unary struct {
	op string
	x  expr
}

type binary struct {
	op   string
	l, r expr
}

// logical is AND or OR over two or more operands.
type logical struct {
	and  bool
	list []expr
}

type between struct {
	x, lo, hi expr
	not       bool
}

type in struct {
	x    expr
	list []expr
	not  bool
}

type like struct {
	x, pattern, escape expr // escape may be nil
	not                bool
}

type conditional struct{ cond, then, otherwise expr }

type call struct {
	name string // upper case
	fn   *function
	args []expr
}

// aggregate is COUNT, SUM, AVG, MIN or MAX; slot is its place among the aggregates of its query.
type aggregate struct {
	name       string
	arg        expr
	slot       int
	start, end int
}

type arrayLit struct{ items []expr }

type objectLit struct {
	names  []string
	values []expr
}

// subquery is EXISTS(q), ARRAY(q) or the scalar (q).
type subquery struct {
	kind string // "EXISTS", "ARRAY", ""
	q    *query
}

// query is one SELECT.
type query struct {
	distinct bool
	top      expr
	star     bool
	value    expr // of SELECT VALUE
	items    []selectItem
	from     []source
	where    expr
	groupBy  []expr
	orderBy  []orderItem
	offset   expr
	limit    expr

	aggregates []*aggregate
}

type selectItem struct {
	x     expr
	alias string // written or derived; "" gets $1, $2, …
}

// source is one input set of FROM: a path, or a subquery, under an alias; iterate takes its
// elements (IN).
type source struct {
	path    expr
	sub     *query
	alias   string
	iterate bool
	root    bool // the documents themselves
}

type orderItem struct {
	x    expr
	desc bool
}

func (q *query) grouped() bool { return len(q.groupBy) > 0 || len(q.aggregates) > 0 }

// Text of an expression, canonical: equal expressions have equal texts. It parses back to the same
// expression.
func text(x expr) string {
	var b strings.Builder
	x.format(&b)
	return b.String()
}

func (x *literal) format(b *strings.Builder) {
	if !x.v.Defined() {
		b.WriteString("undefined")
		return
	}
	b.Write(x.v.JSON())
}

func (x *ident) format(b *strings.Builder) { b.WriteString(x.name) }

func (x *member) format(b *strings.Builder) {
	x.base.format(b)
	b.WriteByte('[')
	b.Write(value.OfString(x.name).JSON())
	b.WriteByte(']')
}

func (x *index) format(b *strings.Builder) {
	x.base.format(b)
	b.WriteByte('[')
	x.at.format(b)
	b.WriteByte(']')
}

func (x *unary) format(b *strings.Builder) {
	b.WriteString("(" + x.op + " ")
	x.x.format(b)
	b.WriteByte(')')
}

func (x *binary) format(b *strings.Builder) {
	b.WriteByte('(')
	x.l.format(b)
	b.WriteString(" " + x.op + " ")
	x.r.format(b)
	b.WriteByte(')')
}

func (x *logical) format(b *strings.Builder) {
	word := " OR "
	if x.and {
		word = " AND "
	}
	b.WriteByte('(')
	formatList(b, x.list, word)
	b.WriteByte(')')
}

func formatList(b *strings.Builder, list []expr, sep string) {
	for i, x := range list {
		if i > 0 {
			b.WriteString(sep)
		}
		x.format(b)
	}
}

func notWord(not bool) string {
	if not {
		return " NOT"
	}
	return ""
}

func (x *between) format(b *strings.Builder) {
	b.WriteByte('(')
	x.x.format(b)
	b.WriteString(notWord(x.not) + " BETWEEN ")
	x.lo.format(b)
	b.WriteString(" AND ")
	x.hi.format(b)
	b.WriteByte(')')
}

func (x *in) format(b *strings.Builder) {
	b.WriteByte('(')
	x.x.format(b)
	b.WriteString(notWord(x.not) + " IN (")
	formatList(b, x.list, ", ")
	b.WriteString("))")
}

func (x *like) format(b *strings.Builder) {
	b.WriteByte('(')
	x.x.format(b)
	b.WriteString(notWord(x.not) + " LIKE ")
	x.pattern.format(b)
	if x.escape != nil {
		b.WriteString(" ESCAPE ")
		x.escape.format(b)
	}
	b.WriteByte(')')
}

func (x *conditional) format(b *strings.Builder) {
	b.WriteByte('(')
	x.cond.format(b)
	b.WriteString(" ? ")
	x.then.format(b)
	b.WriteString(" : ")
	x.otherwise.format(b)
	b.WriteByte(')')
}

func (x *call) format(b *strings.Builder) {
	b.WriteString(x.name + "(")
	formatList(b, x.args, ", ")
	b.WriteByte(')')
}

func (x *aggregate) format(b *strings.Builder) {
	b.WriteString(x.name + "(")
	x.arg.format(b)
	b.WriteByte(')')
}

func (x *arrayLit) format(b *strings.Builder) {
	b.WriteByte('[')
	formatList(b, x.items, ", ")
	b.WriteByte(']')
}

func (x *objectLit) format(b *strings.Builder) {
	b.WriteByte('{')
	for i := range x.names {
		if i > 0 {
			b.WriteString(", ")
		}
		b.Write(value.OfString(x.names[i]).JSON())
		b.WriteString(": ")
		x.values[i].format(b)
	}
	b.WriteByte('}')
}

func (x *subquery) format(b *strings.Builder) {
	b.WriteString(x.kind + "(")
	x.q.format(b)
	b.WriteByte(')')
}

func (q *query) format(b *strings.Builder) {
	b.WriteString("SELECT ")
	if q.distinct {
		b.WriteString("DISTINCT ")
	}
	if q.top != nil {
		b.WriteString("TOP ")
		q.top.format(b)
		b.WriteByte(' ')
	}
	switch {
	case q.star:
		b.WriteByte('*')
	case q.value != nil:
		b.WriteString("VALUE ")
		q.value.format(b)
	default:
		for i, it := range q.items {
			if i > 0 {
				b.WriteString(", ")
			}
			it.x.format(b)
			if it.alias != "" {
				b.WriteString(" AS " + it.alias)
			}
		}
	}
	q.formatFrom(b)
	q.formatTail(b)
}

func (q *query) formatFrom(b *strings.Builder) {
	for i, s := range q.from {
		if i == 0 {
			b.WriteString(" FROM ")
		} else {
			b.WriteString(" JOIN ")
		}
		if s.iterate {
			b.WriteString(s.alias + " IN ")
		}
		if s.sub != nil {
			b.WriteByte('(')
			s.sub.format(b)
			b.WriteByte(')')
		} else {
			s.path.format(b)
		}
		if !s.iterate && s.alias != "" && !isIdent(s.path, s.alias) {
			b.WriteString(" AS " + s.alias)
		}
	}
	if q.where != nil {
		b.WriteString(" WHERE ")
		q.where.format(b)
	}
}

func isIdent(x expr, name string) bool {
	id, ok := x.(*ident)
	return ok && id.name == name
}

func (q *query) formatTail(b *strings.Builder) {
	if len(q.groupBy) > 0 {
		b.WriteString(" GROUP BY ")
		formatList(b, q.groupBy, ", ")
	}
	for i, o := range q.orderBy {
		if i == 0 {
			b.WriteString(" ORDER BY ")
		} else {
			b.WriteString(", ")
		}
		o.x.format(b)
		if o.desc {
			b.WriteString(" DESC")
		} else {
			b.WriteString(" ASC")
		}
	}
	if q.offset != nil {
		b.WriteString(" OFFSET ")
		q.offset.format(b)
		b.WriteString(" LIMIT ")
		q.limit.format(b)
	}
}
