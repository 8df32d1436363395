package sql

import (
	"time"

	"github.com/proa-cloud/proa/azure/local/cosmos/value"
)

// The codes of refusals that are not about the text.
const (
	CodeBudget = "BUDGET" // time or work
	CodeMemory = "MEMORY"
)

// Env is what a query sees of the world.
type Env struct {
	Now  func() time.Time // nil: date and time functions of the present are undefined
	Stop func() bool      // polled now and then; true ends the execution with CodeBudget
}

// Plan is a query that has been parsed and checked. It may be executed by one goroutine at a time.
type Plan struct {
	q   *query
	env Env
}

// Compile parses and checks a query. Parameters are named with their @. The error is an *Error.
func Compile(text string, params map[string]value.Value, env Env) (*Plan, error) {
	q, err := parse(text, params)
	if err == nil {
		err = check(q, nil, true)
	}
	if err != nil {
		return nil, err
	}
	return &Plan{q: q, env: env}, nil
}

func (p *Plan) newRun() *run { return &run{env: &p.env} }

// Streaming reports whether each document's rows can be had from that document alone, in any order
// of documents.
func (p *Plan) Streaming() bool {
	q := p.q
	return !q.grouped() && !q.distinct && len(q.orderBy) == 0 && q.top == nil && q.offset == nil &&
		len(q.from) > 0
}

// Rows returns the rows that one document yields. For plans that stream.
func (p *Plan) Rows(doc value.Value) ([]value.Value, error) {
	r := p.newRun()
	c := newCollector(p.q, r)
	p.q.bind(nil, r, doc, 0, c.add)
	if r.err != nil {
		return nil, r.err
	}
	return c.finish(), nil
}

// Execution takes documents one by one and returns the rows in the end.
type Execution struct {
	c *collector
}

// Start begins an execution.
func (p *Plan) Start() *Execution {
	e := &Execution{c: newCollector(p.q, p.newRun())}
	if len(p.q.from) == 0 {
		p.q.bind(nil, e.c.r, value.Value{}, 0, e.c.add)
	}
	return e
}

// NeedsDocuments reports whether the plan reads documents at all: SELECT 1 does not.
func (p *Plan) NeedsDocuments() bool { return len(p.q.from) > 0 }

// Add takes a document and reports whether more are wanted.
func (e *Execution) Add(doc value.Value) (more bool, err error) {
	more = e.c.q.bind(nil, e.c.r, doc, 0, e.c.add)
	if e.c.r.err != nil {
		return false, e.c.r.err
	}
	return more, nil
}

// Rows returns the result.
func (e *Execution) Rows() ([]value.Value, error) {
	rows := e.c.finish()
	if e.c.r.err != nil {
		return nil, e.c.r.err
	}
	return rows, nil
}

// All executes the plan over a list of documents.
func (p *Plan) All(docs []value.Value) ([]value.Value, error) {
	e := p.Start()
	if p.NeedsDocuments() {
		for _, d := range docs {
			more, err := e.Add(d)
			if err != nil {
				return nil, err
			}
			if !more {
				break
			}
		}
	}
	return e.Rows()
}

// OrderKey is one ORDER BY expression: the path of a property below the document.
type OrderKey struct {
	Path   []string
	Desc   bool
	IsPath bool
}

// OrderBy returns the ORDER BY expressions, as paths where they are paths below the documents.
func (p *Plan) OrderBy() []OrderKey {
	var out []OrderKey
	for _, o := range p.q.orderBy {
		path, ok := p.q.documentPath(o.x)
		out = append(out, OrderKey{Path: path, Desc: o.desc, IsPath: ok})
	}
	return out
}

// documentPath returns the property names of a path below the document, [] standing for any element
// of an array.
func (q *query) documentPath(x expr) ([]string, bool) {
	var out []string
	for {
		switch e := x.(type) {
		case *member:
			out = append([]string{e.name}, out...)
			x = e.base
		case *index:
			out = append([]string{"[]"}, out...)
			x = e.base
		case *ident:
			if len(q.from) == 0 || q.from[0].alias != e.name || !q.from[0].root {
				return nil, false
			}
			return out, len(out) > 0
		default:
			return nil, false
		}
	}
}

// RequireOrderKeys drops rows whose first ORDER BY value is missing, as an index that holds no
// undefined values does.
func (p *Plan) RequireOrderKeys() {
	x := p.q.orderBy[0].x
	defined := &call{name: "IS_DEFINED", fn: functions["IS_DEFINED"], args: []expr{x}}
	if p.q.where == nil {
		p.q.where = defined
		return
	}
	p.q.where = &logical{and: true, list: []expr{p.q.where, defined}}
}

// Equals returns the value that WHERE requires the property at path to equal, if it requires one.
func (p *Plan) Equals(path []string) (value.Value, bool) {
	conjuncts := []expr{p.q.where}
	if l, ok := p.q.where.(*logical); ok && l.and {
		conjuncts = l.list
	}
	for _, x := range conjuncts {
		b, ok := x.(*binary)
		if !ok || b.op != "=" {
			continue
		}
		for _, side := range [][2]expr{{b.l, b.r}, {b.r, b.l}} {
			l, ok := side[1].(*literal)
			if got, isPath := p.q.documentPath(side[0]); ok && isPath && equalPaths(got, path) {
				return l.v, true
			}
		}
	}
	return value.Value{}, false
}

func equalPaths(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
