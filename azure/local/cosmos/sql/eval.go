package sql

import (
	"math"
	"strings"
	"time"

	"github.com/proa-cloud/proa/azure/local/cosmos/value"
)

// scope holds one binding; bindings of a row are a chain.
type scope struct {
	parent *scope
	name   string
	v      value.Value
	aggs   []value.Value // results of the query's aggregates, on the scope that SELECT sees
}

func (s *scope) lookup(name string) value.Value {
	for ; s != nil; s = s.parent {
		if s.name == name {
			return s.v
		}
	}
	return value.Value{}
}

// run is the state of one execution: its limits and what went wrong.
type run struct {
	env   *Env
	steps int
	err   *Error
	regex map[string]*pattern
	now   time.Time // of this execution, once asked for
}

// maxSteps bounds the evaluations of one page: seconds of work at most.
const maxSteps = 100_000_000

// step counts work and reports whether to go on.
func (r *run) step() bool {
	r.steps++
	if r.err != nil {
		return false
	}
	if r.steps > maxSteps || r.steps&0xFFF == 0 && r.env.Stop != nil && r.env.Stop() {
		r.err = &Error{Code: CodeBudget, Message: "The query exceeded its time budget."}
		return false
	}
	return true
}

func (x *literal) eval(*scope, *run) value.Value { return x.v }

func (x *ident) eval(s *scope, _ *run) value.Value { return s.lookup(x.name) }

func (x *member) eval(s *scope, r *run) value.Value { return x.base.eval(s, r).Get(x.name) }

func (x *index) eval(s *scope, r *run) value.Value {
	base, at := x.base.eval(s, r), x.at.eval(s, r)
	switch {
	case at.Kind == value.String:
		return base.Get(at.Str)
	case at.Kind == value.Number && at.Num == math.Trunc(at.Num) && math.Abs(at.Num) < 1<<31:
		return base.At(int(at.Num))
	}
	return value.Value{}
}

func number(f float64) value.Value {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return value.Value{}
	}
	if f == 0 {
		f = 0
	}
	return value.OfNumber(f)
}

func (x *unary) eval(s *scope, r *run) value.Value {
	v := x.x.eval(s, r)
	switch {
	case x.op == "NOT" && v.Kind == value.Bool:
		return value.OfBool(!v.Bool)
	case x.op == "-" && v.Kind == value.Number:
		return number(-v.Num)
	case x.op == "+" && v.Kind == value.Number:
		return v
	case x.op == "~" && v.Kind == value.Number:
		return number(float64(^toInt32(v.Num)))
	}
	return value.Value{}
}

// toInt32 is how bitwise operators read a number: as JavaScript does.
func toInt32(f float64) int32 {
	return int32(uint32(int64(math.Mod(math.Trunc(f), 1<<32))))
}

func (x *binary) eval(s *scope, r *run) value.Value {
	if !r.step() {
		return value.Value{}
	}
	a := x.l.eval(s, r)
	if x.op == "??" {
		if a.Defined() {
			return a
		}
		return x.r.eval(s, r)
	}
	b := x.r.eval(s, r)
	switch x.op {
	case "=", "!=":
		if !a.Defined() || !b.Defined() {
			return value.Value{}
		}
		return value.OfBool(value.Equal(a, b) == (x.op == "="))
	case "<", "<=", ">", ">=":
		return ordered(x.op, a, b)
	case "||":
		if a.Kind != value.String || b.Kind != value.String || len(a.Str)+len(b.Str) > maxString {
			return value.Value{}
		}
		return value.OfString(a.Str + b.Str)
	}
	if a.Kind != value.Number || b.Kind != value.Number {
		return value.Value{}
	}
	return number(arithmetic(x.op, a.Num, b.Num))
}

// maxString bounds strings that a query builds, in bytes.
const maxString = 2 << 20

func ordered(op string, a, b value.Value) value.Value {
	if !value.Comparable(a, b) {
		return value.Value{}
	}
	c := value.Compare(a, b)
	switch op {
	case "<":
		return value.OfBool(c < 0)
	case "<=":
		return value.OfBool(c <= 0)
	case ">":
		return value.OfBool(c > 0)
	}
	return value.OfBool(c >= 0)
}

func arithmetic(op string, a, b float64) float64 {
	switch op {
	case "+":
		return a + b
	case "-":
		return a - b
	case "*":
		return a * b
	case "/":
		return a / b
	case "%":
		return math.Mod(a, b)
	}
	i, j := toInt32(a), toInt32(b)
	shift := uint32(j) & 31
	switch op {
	case "&":
		return float64(i & j)
	case "|":
		return float64(i | j)
	case "^":
		return float64(i ^ j)
	case "<<":
		return float64(i << shift)
	case ">>":
		return float64(i >> shift)
	}
	return float64(uint32(i) >> shift)
}

// eval is three-valued: AND is false when any operand is false, true when all are true, undefined
// otherwise; OR the other way round.
func (x *logical) eval(s *scope, r *run) value.Value {
	known := true
	for _, e := range x.list {
		if !r.step() {
			return value.Value{}
		}
		v := e.eval(s, r)
		if v.Kind != value.Bool {
			known = false
		} else if v.Bool != x.and {
			return value.OfBool(!x.and)
		}
	}
	if !known {
		return value.Value{}
	}
	return value.OfBool(x.and)
}

func negate(v value.Value, not bool) value.Value {
	if not && v.Kind == value.Bool {
		return value.OfBool(!v.Bool)
	}
	return v
}

func (x *between) eval(s *scope, r *run) value.Value {
	v := x.x.eval(s, r)
	lo, hi := ordered(">=", v, x.lo.eval(s, r)), ordered("<=", v, x.hi.eval(s, r))
	switch {
	case lo.Kind == value.Bool && !lo.Bool, hi.Kind == value.Bool && !hi.Bool:
		return value.OfBool(x.not)
	case lo.Kind != value.Bool || hi.Kind != value.Bool:
		return value.Value{}
	}
	return value.OfBool(!x.not)
}

func (x *in) eval(s *scope, r *run) value.Value {
	v := x.x.eval(s, r)
	if !v.Defined() {
		return value.Value{}
	}
	for _, e := range x.list {
		if !r.step() {
			return value.Value{}
		}
		if value.Equal(v, e.eval(s, r)) {
			return value.OfBool(!x.not)
		}
	}
	return value.OfBool(x.not)
}

func (x *like) eval(s *scope, r *run) value.Value {
	v, pat := x.x.eval(s, r), x.pattern.eval(s, r)
	if v.Kind != value.String || pat.Kind != value.String {
		return value.Value{}
	}
	var esc rune
	if x.escape != nil {
		e := []rune(x.escape.eval(s, r).Str)
		if len(e) != 1 {
			return value.Value{}
		}
		esc = e[0]
	}
	return negate(value.OfBool(r.likePattern(pat.Str, esc).match(v.Str)), x.not)
}

func (x *conditional) eval(s *scope, r *run) value.Value {
	if x.cond.eval(s, r).IsTrue() {
		return x.then.eval(s, r)
	}
	return x.otherwise.eval(s, r)
}

func (x *call) eval(s *scope, r *run) value.Value {
	if !r.step() {
		return value.Value{}
	}
	args := make([]value.Value, len(x.args))
	for i, a := range x.args {
		args[i] = a.eval(s, r)
	}
	return x.fn.call(r, args)
}

func (x *aggregate) eval(s *scope, _ *run) value.Value {
	for ; s != nil; s = s.parent {
		if s.aggs != nil && x.slot < len(s.aggs) {
			return s.aggs[x.slot]
		}
	}
	return value.Value{}
}

func (x *arrayLit) eval(s *scope, r *run) value.Value {
	items := make([]value.Value, 0, len(x.items))
	for _, e := range x.items {
		if v := e.eval(s, r); v.Defined() {
			items = append(items, v)
		}
	}
	return value.OfArray(items)
}

func (x *objectLit) eval(s *scope, r *run) value.Value {
	members := make([]value.Member, 0, len(x.names))
	for i, e := range x.values {
		if v := e.eval(s, r); v.Defined() {
			members = append(members, value.Member{Name: x.names[i], Value: v})
		}
	}
	return value.OfObject(members)
}

func (x *subquery) eval(s *scope, r *run) value.Value {
	if !r.step() {
		return value.Value{}
	}
	rows := x.q.execute(s, r)
	switch x.kind {
	case "EXISTS":
		return value.OfBool(len(rows) > 0)
	case "ARRAY":
		return value.OfArray(rows)
	}
	if len(rows) != 1 {
		return value.Value{}
	}
	return rows[0]
}

// columns makes the row that SELECT yields; undefined when SELECT VALUE has none.
func (q *query) columns(s *scope, r *run) value.Value {
	switch {
	case q.star:
		return s.lookup(q.from[0].alias)
	case q.value != nil:
		return q.value.eval(s, r)
	}
	members := make([]value.Member, 0, len(q.items))
	unnamed := 0
	for _, it := range q.items {
		name := it.alias
		if name == "" {
			unnamed++
			name = "$" + itoa(unnamed)
		}
		if v := it.x.eval(s, r); v.Defined() {
			members = append(members, value.Member{Name: name, Value: v})
		}
	}
	return value.OfObject(members)
}

func itoa(n int) string {
	var b strings.Builder
	b.Write(value.OfNumber(float64(n)).JSON())
	return b.String()
}
