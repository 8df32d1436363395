package policy

import (
	"fmt"
	"maps"
	"slices"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/internal/expr"
)

// Policy decides the conflicts of one table. It is immutable and safe for concurrent use; nil is
// last-write-wins.
type Policy struct {
	table      compiled
	attributes map[string]compiled
	names      []string // of attributes, sorted
	keys       map[string]bool
}

type compiled struct {
	Rule
	program *expr.Program
}

// New compiles a table's rule and those of its attributes, which no key attribute may have. Errors
// wrap proa.ErrInvalid.
func New(schema proa.Schema, table Rule, attributes map[string]Rule) (*Policy, error) {
	program, err := table.compile()
	if err != nil {
		return nil, err
	}
	p := &Policy{
		table: compiled{table, program}, attributes: map[string]compiled{},
		keys: map[string]bool{schema.HashName: true},
	}
	if schema.RangeName != "" {
		p.keys[schema.RangeName] = true
	}
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		if p.keys[name] {
			return nil, fmt.Errorf("policy of %s: a key attribute has none: %w", name, proa.ErrInvalid)
		}
		program, err := attributes[name].compile()
		if err != nil {
			return nil, err
		}
		p.attributes[name] = compiled{attributes[name], program}
		p.names = append(p.names, name)
	}
	return p, nil
}

// Plain reports whether the policy is last-write-wins and nothing else.
func (p *Policy) Plain() bool {
	if p == nil {
		return true
	}
	plain := p.table.Kind == LWW || p.table.Kind == ""
	for _, a := range p.attributes {
		plain = plain && (a.Kind == LWW || a.Kind == "")
	}
	return plain
}

// NeedsBase reports whether the policy compares with the state that both came from, so that
// contents must stay at hand.
func (p *Policy) NeedsBase() bool {
	if p == nil {
		return false
	}
	needs := p.table.NeedsBase()
	for _, a := range p.attributes {
		needs = needs || a.Kind != LWW && a.Kind != ""
	}
	return needs
}

// String renders the table's rule and, sorted, those of its attributes.
func (p *Policy) String() string {
	if p == nil {
		return string(LWW)
	}
	s := p.table.String()
	for _, name := range p.names {
		s += "; " + name + " " + p.attributes[name].String()
	}
	return s
}

// State is one of the states that a policy decides between. Item is nil where the key was deleted,
// or where Missing says that its content is not at hand.
type State struct {
	Version proa.Version
	Item    proa.Item
	Deleted bool
	Missing bool
}

func (s *State) exists() bool { return !s.Deleted && !s.Missing && s.Item != nil }

// Conflict is two states without knowledge of each other. Base is the state that both came from;
// nil: not known.
type Conflict struct {
	Base *State
	A, B State
}

// Outcome is what a policy decides.
type Outcome int

// The outcomes.
const (
	Newer  Outcome = iota // the state with the higher version, as it is
	Older                 // the other one, as it is
	Merged                // a third content
	Hold                  // neither, until an operator says
)

var outcomeNames = [...]string{"newer", "older", "merged", "hold"}

// String names the outcome.
func (o Outcome) String() string { return outcomeNames[o] }

// Decision is a policy's answer.
type Decision struct {
	Outcome Outcome
	Item    proa.Item // of Merged
	Note    string    // why the policy could not do better, "" where it could
}

// Decide decides one conflict.
func (p *Policy) Decide(c Conflict) Decision {
	newer, older := &c.A, &c.B
	if newer.Version.Compare(older.Version) < 0 {
		newer, older = older, newer
	}
	if p == nil || c.A.Deleted && c.B.Deleted {
		return Decision{} // of two deletes there is nothing to decide: an expression could make an item without a key
	}
	d := decide{newer: newer, older: older, base: c.Base, keys: p.keys}
	whole := d.row(&p.table)
	if whole.Outcome == Hold || !newer.exists() || !older.exists() {
		return whole
	}
	item := newer.Item
	switch whole.Outcome {
	case Older:
		item = older.Item
	case Merged:
		item = whole.Item
	}
	d.note = whole.Note
	return d.finish(p, item)
}

// finish applies the rules of single attributes to a row.
func (d *decide) finish(p *Policy, item proa.Item) Decision {
	copied := false
	for _, name := range p.names {
		rule := p.attributes[name]
		v := d.attribute(&rule, name)
		if d.held {
			return Decision{Outcome: Hold, Note: d.note}
		}
		if v.Equal(item[name]) {
			continue
		}
		if !copied {
			item, copied = maps.Clone(item), true
		}
		if v.Kind == proa.KindNone {
			delete(item, name)
		} else {
			item[name] = v
		}
	}
	switch {
	case item.Equal(d.newer.Item):
		return Decision{Outcome: Newer, Note: d.note}
	case item.Equal(d.older.Item):
		return Decision{Outcome: Older, Note: d.note}
	}
	return Decision{Outcome: Merged, Item: item, Note: d.note}
}
