package sql

// checker resolves identifiers, places aggregates and refuses what has no meaning.
type checker struct {
	names   []string // in scope, innermost last
	q       *query
	inAgg   bool
	grouped map[string]bool // texts of the GROUP BY expressions
}

const maxJoins = 10

// check checks a query whose surroundings define names. main is the outermost one: its first source
// is the documents.
func check(q *query, names []string, main bool) *Error {
	if len(q.from) > maxJoins+1 {
		return errorAt("SC3010", 0, 0, "The query has more than %d joins.", maxJoins)
	}
	c := &checker{names: append([]string{}, names...), q: q}
	for i := range q.from {
		if err := c.source(&q.from[i], main && i == 0); err != nil {
			return err
		}
	}
	if q.star && len(q.from) == 0 {
		return errorAt("SC2031", 0, 0, "'SELECT *' is not valid if FROM clause is omitted.")
	}
	if q.star && len(q.from) != 1 {
		return errorAt("SC2030", 0, 0, "'SELECT *' is only valid with a single input set.")
	}
	if q.where != nil {
		c.inAgg = true // no aggregates here
		if err := c.walk(q.where); err != nil {
			return err
		}
		c.inAgg = false
	}
	return c.selection()
}

func (c *checker) source(s *source, root bool) *Error {
	if s.sub != nil {
		if err := check(s.sub, c.names, false); err != nil {
			return err
		}
	} else if id := rootOf(s.path); id != nil {
		if root {
			s.root = true
			if _, plain := s.path.(*ident); plain && !s.iterate {
				c.names = append(c.names, s.alias)
				return nil
			}
			// FROM c.children, FROM t IN c.tags: c itself is not in scope afterwards.
		} else if !c.has(id.name) {
			return errorAt("SC2001", id.start, id.end, "Identifier '%s' could not be resolved.", id.name)
		}
	}
	if s.alias != "" {
		c.names = append(c.names, s.alias)
	}
	return nil
}

// rootOf returns the identifier with which a path begins.
func rootOf(x expr) *ident {
	for {
		switch e := x.(type) {
		case *ident:
			return e
		case *member:
			x = e.base
		case *index:
			x = e.base
		default:
			return nil
		}
	}
}

func (c *checker) has(name string) bool { return hasString(c.names, name) }

// selection checks what comes after the rows are there: GROUP BY, SELECT, ORDER BY.
func (c *checker) selection() *Error {
	q := c.q
	c.inAgg = true
	for _, x := range q.groupBy {
		if err := c.walk(x); err != nil {
			return err
		}
	}
	c.inAgg = false
	outputs := q.outputs()
	for _, x := range outputs {
		if err := c.walk(x); err != nil {
			return err
		}
	}
	if !q.grouped() {
		return nil
	}
	if q.star {
		return errorAt("SC2102", 0, 0, "'SELECT *' is invalid with GROUP BY or aggregates.")
	}
	c.grouped = map[string]bool{}
	for _, x := range q.groupBy {
		c.grouped[text(x)] = true
	}
	for _, x := range outputs {
		if err := c.onlyGrouped(x); err != nil {
			return err
		}
	}
	return nil
}

// outputs are the expressions that are evaluated once a row or a group.
func (q *query) outputs() []expr {
	var out []expr
	if q.value != nil {
		out = append(out, q.value)
	}
	for _, it := range q.items {
		out = append(out, it.x)
	}
	for _, o := range q.orderBy {
		out = append(out, o.x)
	}
	return out
}

// walk resolves names and collects aggregates of x.
func (c *checker) walk(x expr) *Error {
	switch e := x.(type) {
	case *ident:
		if !c.has(e.name) {
			return errorAt("SC2001", e.start, e.end, "Identifier '%s' could not be resolved.", e.name)
		}
	case *aggregate:
		if c.inAgg {
			return errorAt("SC2103", e.start, e.end, "The aggregate function %s is not allowed here.",
				e.name)
		}
		e.slot = len(c.q.aggregates)
		c.q.aggregates = append(c.q.aggregates, e)
		c.inAgg = true
		err := c.walk(e.arg)
		c.inAgg = false
		return err
	case *subquery:
		return check(e.q, c.names, false)
	}
	for _, child := range children(x) {
		if err := c.walk(child); err != nil {
			return err
		}
	}
	return nil
}

// onlyGrouped refuses a property that is neither grouped by nor inside an aggregate.
func (c *checker) onlyGrouped(x expr) *Error {
	if c.grouped[text(x)] {
		return nil
	}
	switch e := x.(type) {
	case *aggregate, *subquery:
		return nil
	case *ident:
		return errorAt("SC2102", e.start, e.end, "Property reference '%s' is invalid in the select "+
			"list because it is not "+
			"contained in either an aggregate function or the GROUP BY clause.", e.name)
	}
	for _, child := range children(x) {
		if err := c.onlyGrouped(child); err != nil {
			return err
		}
	}
	return nil
}

// children lists the direct operands of x; a subquery has none.
func children(x expr) []expr {
	switch e := x.(type) {
	case *member:
		return []expr{e.base}
	case *index:
		return []expr{e.base, e.at}
	case *unary:
		return []expr{e.x}
	case *binary:
		return []expr{e.l, e.r}
	case *logical:
		return e.list
	case *between:
		return []expr{e.x, e.lo, e.hi}
	case *in:
		return append([]expr{e.x}, e.list...)
	case *like:
		if e.escape != nil {
			return []expr{e.x, e.pattern, e.escape}
		}
		return []expr{e.x, e.pattern}
	case *conditional:
		return []expr{e.cond, e.then, e.otherwise}
	case *call:
		return e.args
	case *aggregate:
		return []expr{e.arg}
	case *arrayLit:
		return e.items
	case *objectLit:
		return e.values
	}
	return nil
}
