package policy

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/internal/expr"
)

// Kind is a policy's name.
type Kind string

// The policies.
const (
	LWW     Kind = "lww"     // the newer state wins
	Prefer  Kind = "prefer"  // the state written in a region wins, else the newer one
	Merge   Kind = "merge"   // three-way by attribute: both changes stay; the newer one of the same attribute
	Counter Kind = "counter" // numbers: both changes are added up
	Set     Kind = "set"     // sets: additions and removals of both sides count
	CEL     Kind = "cel"     // an expression decides
	Manual  Kind = "manual"  // each side keeps what it has until an operator settles it
)

// Rule is one policy with its parameter. The zero Rule is LWW.
type Rule struct {
	Kind   Kind
	Region proa.Region // of Prefer
	Expr   string      // of CEL
}

// String renders the rule as Parse reads it: "merge", "prefer: aws", `cel: "…"`.
func (r Rule) String() string {
	switch r.Kind {
	case "":
		return string(LWW)
	case Prefer:
		return "prefer: " + string(r.Region)
	case CEL:
		return "cel: " + strconv.Quote(r.Expr)
	}
	return string(r.Kind)
}

// Parse reads a rule as an operator types it. Errors wrap proa.ErrInvalid.
func Parse(s string) (Rule, error) {
	name, rest, _ := strings.Cut(s, ":")
	r := Rule{Kind: Kind(strings.TrimSpace(name))}
	rest = strings.TrimSpace(rest)
	switch r.Kind {
	case Prefer:
		r.Region = proa.Region(rest)
	case CEL:
		if r.Expr = rest; strings.HasPrefix(rest, `"`) {
			text, err := strconv.Unquote(rest)
			if err != nil {
				return r, fmt.Errorf("policy %.80q: unfinished quotes: %w", s, proa.ErrInvalid)
			}
			r.Expr = text
		}
	default:
		if rest != "" {
			return r, fmt.Errorf("policy %.80q: %s takes no parameter: %w", s, r.Kind, proa.ErrInvalid)
		}
	}
	return r, r.Validate()
}

// Validate refuses what is no policy. Errors wrap proa.ErrInvalid.
func (r Rule) Validate() error {
	_, err := r.compile()
	return err
}

// compile checks the rule and compiles its expression, nil where it has none.
func (r Rule) compile() (*expr.Program, error) {
	switch r.Kind {
	case "", LWW, Merge, Counter, Set, Manual:
		return nil, nil
	case Prefer:
		if _, err := proa.ParseRegion(string(r.Region)); err != nil {
			return nil, fmt.Errorf("policy prefer: %w: %w", err, proa.ErrInvalid)
		}
		return nil, nil
	case CEL:
		if r.Expr == "" {
			return nil, fmt.Errorf("policy cel: the expression is empty: %w", proa.ErrInvalid)
		}
		p, err := expr.Compile(r.Expr, "newer", "older", "base")
		if err != nil {
			return nil, fmt.Errorf("policy cel: %w", err)
		}
		return p, nil
	}
	return nil, fmt.Errorf("unknown policy %.40q: want lww, prefer, merge, counter, set, cel or manual: %w",
		r.Kind, proa.ErrInvalid)
}

// NeedsBase reports whether the rule compares with the state that both came from.
func (r Rule) NeedsBase() bool {
	return r.Kind == Merge || r.Kind == Counter || r.Kind == Set || r.Kind == CEL
}
