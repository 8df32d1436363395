// Package rules compiles safety rules that users write as CEL expressions.
//
// An expression sees move: cause ("failover", "failback", "switchover"), from, to, by, reason,
// since_seconds (since the last switch, -1 for none), hour and weekday (UTC, Sunday is 0); regions:
// by name, health and since_seconds; and lag: by the region that changes come from, known, seconds
// and backlog. It says true where the move may be made. It has no clock and no I/O, and its cost is
// bounded; one that fails refuses the move, and says how it failed.
package rules

import (
	"fmt"
	"strings"
	"time"

	"cel.dev/cel-go/cel"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/traffic"
)

// The bounds of one expression.
const (
	maxSize  = 4096  // characters
	maxDepth = 64    // of nesting
	maxCost  = 10000 // of one evaluation, in CEL's units
)

// Expression is a compiled rule.
type Expression struct {
	name      string
	source    string
	failovers bool
	program   cel.Program
}

var _ traffic.Rule = (*Expression)(nil)

// Compile compiles a rule. One that is not for failovers lets them pass: a rule that forgets the
// case must not keep traffic on a dead region. Errors wrap proa.ErrInvalid.
func Compile(name, source string, failovers bool) (*Expression, error) {
	bad := func(why string) (*Expression, error) {
		first, _, _ := strings.Cut(why, "\n")
		return nil, fmt.Errorf("rule %s: %s: %w", name, first, proa.ErrInvalid)
	}
	if name == "" || len(name) > 64 {
		return bad("its name is missing or over 64 bytes")
	}
	env, err := cel.NewEnv(
		cel.ParserExpressionSizeLimit(maxSize), cel.ParserRecursionLimit(maxDepth),
		cel.Variable("move", cel.DynType), cel.Variable("regions", cel.DynType),
		cel.Variable("lag", cel.DynType),
	)
	if err != nil {
		return bad(err.Error())
	}
	tree, issues := env.Compile(source)
	if issues != nil && issues.Err() != nil {
		for _, e := range issues.Errors() {
			return bad(fmt.Sprintf("column %d: %s", e.Location.Column()+1, e.Message))
		}
		return bad(issues.Err().Error())
	}
	program, err := env.Program(tree, cel.CostLimit(maxCost), cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		return bad(err.Error())
	}
	return &Expression{name: name, source: source, failovers: failovers, program: program}, nil
}

// Name is the rule's.
func (e *Expression) Name() string { return e.name }

// Refuse runs the expression.
func (e *Expression) Refuse(m traffic.Move) string {
	if m.Cause == traffic.CauseFailover && !e.failovers {
		return ""
	}
	out, _, err := e.program.Eval(variables(m))
	if err != nil {
		first, _, _ := strings.Cut(err.Error(), "\n")
		return "it fails: " + first
	}
	if may, ok := out.Value().(bool); !ok {
		return "it says neither true nor false but " + out.Type().TypeName()
	} else if !may {
		return "not " + e.source
	}
	return ""
}

func variables(m traffic.Move) map[string]any {
	since := -1.0
	if !m.Since.IsZero() {
		since = m.At.Sub(m.Since).Seconds()
	}
	at := m.At.UTC()
	regions, lag := map[string]any{}, map[string]any{}
	for r, j := range m.Regions {
		regions[string(r)] = map[string]any{
			"health": string(j.Health), "since_seconds": m.At.Sub(j.Since).Seconds(),
		}
	}
	for _, r := range m.Replication {
		lag[string(r.From)] = map[string]any{
			"known": r.Known, "seconds": r.Lag.Seconds(), "backlog": r.Backlog,
		}
	}
	return map[string]any{
		"regions": regions, "lag": lag,
		"move": map[string]any{
			"cause": string(m.Cause), "from": string(m.From), "to": string(m.To), "by": m.By,
			"reason": m.Reason, "since_seconds": since, "hour": int64(at.Hour()),
			"weekday": int64(at.Weekday() - time.Sunday),
		},
	}
}
