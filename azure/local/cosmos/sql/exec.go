package sql

import (
	"sort"

	"github.com/proa-cloud/proa/azure/local/cosmos/value"
)

// collector gathers the rows of one query: grouped, ordered, distinct, cut.
type collector struct {
	q      *query
	r      *run
	rows   []row
	groups map[string]*group
	order  []*group // as they appeared
	seen   map[string]bool
	bytes  int
}

type row struct {
	v    value.Value
	keys []value.Value // ORDER BY
}

type group struct {
	s    *scope
	aggs []aggState
}

// maxBuffer bounds what a query holds in memory, in bytes.
const maxBuffer = 64 << 20

func newCollector(q *query, r *run) *collector {
	c := &collector{q: q, r: r}
	if q.grouped() {
		c.groups = map[string]*group{}
	}
	if q.distinct {
		c.seen = map[string]bool{}
	}
	return c
}

// execute runs a subquery in the scope of one outer row.
func (q *query) execute(s *scope, r *run) []value.Value {
	c := newCollector(q, r)
	q.bind(s, r, value.Value{}, 0, c.add)
	return c.finish()
}

// bind enumerates the rows of FROM … WHERE: one scope for each combination of the input sets.
func (q *query) bind(s *scope, r *run, doc value.Value, i int, f func(*scope) bool) bool {
	if !r.step() {
		return false
	}
	if i == len(q.from) {
		if q.where != nil && !q.where.eval(s, r).IsTrue() {
			return true
		}
		return f(s)
	}
	src := &q.from[i]
	next := func(v value.Value) bool {
		return q.bind(&scope{parent: s, name: src.alias, v: v}, r, doc, i+1, f)
	}
	var set value.Value
	switch {
	case src.sub != nil && src.iterate:
		for _, v := range src.sub.execute(s, r) {
			for _, item := range v.Items {
				if !next(item) {
					return false
				}
			}
		}
		return r.err == nil
	case src.sub != nil:
		for _, v := range src.sub.execute(s, r) {
			if !next(v) {
				return false
			}
		}
		return r.err == nil
	case src.root:
		set = src.path.eval(&scope{parent: s, name: rootOf(src.path).name, v: doc}, r)
	default:
		set = src.path.eval(s, r)
	}
	if !src.iterate {
		return !set.Defined() || next(set)
	}
	for _, item := range set.Items {
		if !next(item) {
			return false
		}
	}
	return true
}

// add takes one row of FROM … WHERE. It returns false when no further row can change the result.
func (c *collector) add(s *scope) bool {
	if c.groups != nil {
		c.addToGroup(s)
		return c.r.err == nil
	}
	c.emit(s)
	return c.r.err == nil && !c.full()
}

func (c *collector) addToGroup(s *scope) {
	var key []byte
	for _, x := range c.q.groupBy {
		key = append(value.AppendKey(key, x.eval(s, c.r)), 0)
	}
	g, ok := c.groups[string(key)]
	if !ok {
		g = &group{s: s, aggs: make([]aggState, len(c.q.aggregates))}
		c.groups[string(key)] = g
		c.order = append(c.order, g)
		c.account(len(key))
		if s != nil {
			c.account(sizeWithin(s.v, maxBuffer))
		}
	}
	for i, a := range c.q.aggregates {
		g.aggs[i].add(a.name, a.arg.eval(s, c.r))
	}
}

func (c *collector) emit(s *scope) {
	v := c.q.columns(s, c.r)
	if !v.Defined() {
		return
	}
	if c.seen != nil {
		key := string(value.AppendKey(nil, v))
		if c.seen[key] {
			return
		}
		c.seen[key] = true
		c.account(len(key))
	}
	out := row{v: v}
	for _, o := range c.q.orderBy {
		out.keys = append(out.keys, o.x.eval(s, c.r))
	}
	c.rows = append(c.rows, out)
	c.account(sizeWithin(v, maxBuffer))
}

func (c *collector) account(n int) {
	if c.bytes += n; c.bytes > maxBuffer && c.r.err == nil {
		c.r.err = &Error{Code: CodeMemory, Message: "The query needs more memory than is allowed."}
	}
}

// full reports whether TOP or LIMIT is satisfied by rows that need no ordering.
func (c *collector) full() bool {
	if len(c.q.orderBy) > 0 {
		return false
	}
	if c.q.top != nil && len(c.rows) >= constant(c.q.top) {
		return true
	}
	return c.q.limit != nil && len(c.rows) >= constant(c.q.offset)+constant(c.q.limit)
}

func constant(x expr) int { return int(x.eval(nil, nil).Num) }

// finish returns the rows.
func (c *collector) finish() []value.Value {
	q := c.q
	if c.groups != nil {
		if len(c.order) == 0 && len(q.groupBy) == 0 {
			c.order = append(c.order, &group{aggs: make([]aggState, len(q.aggregates))})
		}
		for _, g := range c.order {
			results := make([]value.Value, len(g.aggs))
			for i := range g.aggs {
				results[i] = g.aggs[i].result(q.aggregates[i].name)
			}
			c.emit(&scope{parent: g.s, aggs: results})
		}
	}
	if len(q.orderBy) > 0 {
		sort.SliceStable(c.rows, func(i, j int) bool { return q.less(c.rows[i].keys, c.rows[j].keys) })
	}
	rows := c.rows
	if q.offset != nil {
		rows = rows[min(constant(q.offset), len(rows)):]
		rows = rows[:min(constant(q.limit), len(rows))]
	}
	if q.top != nil {
		rows = rows[:min(constant(q.top), len(rows))]
	}
	out := make([]value.Value, len(rows))
	for i := range rows {
		out[i] = rows[i].v
	}
	return out
}

func (q *query) less(a, b []value.Value) bool {
	for i, o := range q.orderBy {
		if cmp := value.Compare(a[i], b[i]); cmp != 0 {
			return cmp < 0 != o.desc
		}
	}
	return false
}

// sizeWithin estimates the size of v, and stops counting beyond the limit: expressions can repeat a
// value often.
func sizeWithin(v value.Value, limit int) int {
	n := 24 + len(v.Str)
	for i := 0; i < len(v.Items) && n <= limit; i++ {
		n += sizeWithin(v.Items[i], limit-n)
	}
	for i := 0; i < len(v.Members) && n <= limit; i++ {
		n += 16 + len(v.Members[i].Name) + sizeWithin(v.Members[i].Value, limit-n)
	}
	return n
}

// aggState accumulates one aggregate. Undefined values do not count; a value of a type that the
// aggregate cannot take makes the result undefined.
// Source: https://learn.microsoft.com/azure/cosmos-db/nosql/query/aggregate-functions
type aggState struct {
	n    int
	sum  float64
	best value.Value
	bad  bool
}

func (a *aggState) add(name string, v value.Value) {
	if !v.Defined() {
		return
	}
	a.n++
	switch name {
	case "SUM", "AVG":
		a.bad = a.bad || v.Kind != value.Number
		a.sum += v.Num
	case "MIN", "MAX":
		a.bad = a.bad || v.Kind == value.Array || v.Kind == value.Object
		if c := value.Compare(v, a.best); a.n == 1 || c < 0 == (name == "MIN") && c != 0 {
			a.best = v
		}
	}
}

func (a *aggState) result(name string) value.Value {
	switch {
	case name == "COUNT":
		return value.OfNumber(float64(a.n))
	case a.bad:
		return value.Value{}
	case name == "SUM":
		return number(a.sum)
	case a.n == 0:
		return value.Value{}
	case name == "AVG":
		return number(a.sum / float64(a.n))
	}
	return a.best
}
