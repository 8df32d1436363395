package policy

import (
	"maps"
	"math/big"
	"slices"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/internal/expr"
)

// Notes of decisions.
const (
	noteNoBase    = "the state that both came from is not at hand: the newer one wins"
	noteNoContent = "a content is not at hand: the newer one wins"
	noteKind      = "not of the policy's kind: the newer one wins"
	noteRange     = "the sum is beyond a number's range: the newer one wins"
)

// decide is one decision under way.
type decide struct {
	newer, older, base *State
	keys               map[string]bool // names of key attributes: they are equal and stay
	note               string
	held               bool
}

// row decides about the whole item.
func (d *decide) row(rule *compiled) Decision {
	switch rule.Kind {
	case Prefer:
		if d.preferred(rule.Region) == d.older {
			return Decision{Outcome: Older}
		}
		return Decision{}
	case Manual:
		return Decision{Outcome: Hold}
	case CEL:
		return d.rowByExpression(rule)
	case Merge, Counter, Set:
		return d.rowByAttribute(rule)
	}
	return Decision{}
}

// preferred is the newer state, or the older one where only that was written in the region.
func (d *decide) preferred(region proa.Region) *State {
	if d.older.Version.Region == region && d.newer.Version.Region != region {
		return d.older
	}
	return d.newer
}

func (d *decide) rowByAttribute(rule *compiled) Decision {
	switch {
	case d.newer.Missing || d.older.Missing:
		return Decision{Note: noteNoContent}
	case d.newer.Deleted || d.older.Deleted:
		return Decision{}
	case d.base == nil || d.base.Missing:
		return Decision{Note: noteNoBase}
	}
	names := map[string]struct{}{}
	for _, i := range []proa.Item{d.newer.Item, d.older.Item} {
		for name := range i {
			names[name] = struct{}{}
		}
	}
	item := make(proa.Item, len(names))
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if v := d.attribute(&compiled{Rule: d.fitting(rule.Kind, name)}, name); v.Kind != proa.KindNone {
			item[name] = v
		}
	}
	return Decision{Outcome: Merged, Item: item, Note: d.note}
}

// fitting is a table's rule for one attribute: counter and set apply to what they fit.
func (d *decide) fitting(kind Kind, name string) Rule {
	n, o := d.newer.Item[name].Kind, d.older.Item[name].Kind
	switch {
	case kind == Counter && n == proa.KindN && o == proa.KindN,
		kind == Set && isSet(n) && n == o:
		return Rule{Kind: kind}
	}
	return Rule{Kind: Merge}
}

// attribute decides about one attribute of two existing items; the zero Value is none.
func (d *decide) attribute(rule *compiled, name string) proa.Value {
	newer, older := d.newer.Item[name], d.older.Item[name]
	if newer.Equal(older) && rule.Kind != Counter || d.keys[name] {
		return newer
	}
	known := d.base != nil && !d.base.Missing
	var base proa.Value
	if known {
		base = d.base.Item[name]
	}
	switch rule.Kind {
	case LWW, "":
		return newer
	case CEL:
		return d.attributeByExpression(rule, name, newer, older, base)
	}
	if known && rule.Kind != Counter && rule.Kind != Set {
		if newer.Equal(base) {
			return older
		}
		if older.Equal(base) {
			return newer
		}
	}
	switch rule.Kind {
	case Prefer:
		return d.preferred(rule.Region).Item[name]
	case Manual:
		d.held = true
		return newer
	case Counter, Set:
		if !known {
			d.say(noteNoBase)
			return newer
		}
		if rule.Kind == Counter {
			return d.counter(base, newer, older)
		}
		return d.set(base, newer, older)
	}
	if !known {
		d.say(noteNoBase)
	}
	return newer
}

func (d *decide) say(note string) {
	if d.note == "" {
		d.note = note
	}
}

// counter adds both sides' changes up. A missing number is 0.
func (d *decide) counter(base, newer, older proa.Value) proa.Value {
	for _, v := range []proa.Value{newer, older, base} {
		if v.Kind != proa.KindN && v.Kind != proa.KindNone {
			d.say(noteKind)
			return newer
		}
	}
	if newer.Kind == proa.KindNone && older.Kind == proa.KindNone {
		return newer
	}
	return d.sum(base, newer, older)
}

// decimals is the most digits after the point that a number can have.
const decimals = 130 + 38

func (d *decide) sum(base, newer, older proa.Value) proa.Value {
	total := rational(newer)
	total.Add(total, rational(older))
	total.Sub(total, rational(base))
	v, err := proa.Number(total.FloatString(decimals))
	if err != nil {
		d.say(noteRange)
		return newer
	}
	return v
}

func rational(v proa.Value) *big.Rat {
	n := new(big.Rat)
	if v.Kind == proa.KindN {
		n.SetString(v.Str)
	}
	return n
}

func isSet(k proa.Kind) bool { return k == proa.KindSS || k == proa.KindNS || k == proa.KindBS }

// set keeps what both have and what either added. A missing set is empty; an empty outcome is a
// missing set, as DynamoDB has no empty ones.
func (d *decide) set(base, newer, older proa.Value) proa.Value {
	kind := newer.Kind
	if kind == proa.KindNone {
		kind = older.Kind
	}
	for _, v := range []proa.Value{base, newer, older} {
		if v.Kind != kind && v.Kind != proa.KindNone || !isSet(kind) {
			d.say(noteKind)
			return newer
		}
	}
	was := members(base)
	a, b := members(newer), members(older)
	var out []string
	for m := range a {
		if b[m] || !was[m] {
			out = append(out, m)
		}
	}
	for m := range b {
		if !a[m] && !was[m] {
			out = append(out, m)
		}
	}
	if len(out) == 0 {
		return proa.Value{}
	}
	return proa.SetOf(kind, out)
}

func members(v proa.Value) map[string]bool {
	m := make(map[string]bool, len(v.Set))
	for _, s := range v.Set {
		m[s] = true
	}
	return m
}

// view is a state as an expression sees it; null where there is none.
func view(s *State) any {
	if s == nil {
		return nil
	}
	return map[string]any{
		"item": expr.Item(s.Item), "deleted": s.Deleted, "region": string(s.Version.Region),
		"time": s.Version.Time.Time(), "version": s.Version.String(),
	}
}

// rowByExpression lets an expression choose (true or "newer", false or "older", a region's name,
// "manual") or make an item (a map).
func (d *decide) rowByExpression(rule *compiled) Decision {
	if d.newer.Missing || d.older.Missing {
		return Decision{Note: noteNoContent}
	}
	out, err := rule.program.Eval(map[string]any{
		"newer": view(d.newer), "older": view(d.older), "base": view(d.known()),
	})
	if err != nil {
		return Decision{Note: err.Error() + ": the newer one wins"}
	}
	if b, ok := expr.AsBool(out); ok {
		return pick(b)
	}
	if s, ok := expr.AsString(out); ok {
		return d.named(s)
	}
	m, ok := expr.AsMap(out)
	if !ok {
		return Decision{Note: "expression: want a choice or a map: the newer one wins"}
	}
	item, err := expr.FromItem(m, 0, d.newer.Item, d.older.Item)
	if err != nil {
		return Decision{Note: err.Error() + ": the newer one wins"}
	}
	for name := range d.keys {
		if item[name] = d.newer.Item[name]; d.newer.Deleted {
			item[name] = d.older.Item[name]
		}
	}
	return Decision{Outcome: Merged, Item: item}
}

func (d *decide) known() *State {
	if d.base == nil || d.base.Missing {
		return nil
	}
	return d.base
}

func pick(newer bool) Decision {
	if newer {
		return Decision{}
	}
	return Decision{Outcome: Older}
}

func (d *decide) named(s string) Decision {
	switch s {
	case "newer":
		return Decision{}
	case "older":
		return Decision{Outcome: Older}
	case "manual":
		return Decision{Outcome: Hold}
	}
	if r, err := proa.ParseRegion(s); err == nil {
		return pick(d.preferred(r) == d.newer)
	}
	return Decision{Note: `expression: want "newer", "older", "manual" or a region: the newer one wins`}
}

// attributeByExpression lets an expression make a value; null takes the attribute away.
func (d *decide) attributeByExpression(
	rule *compiled, name string, newer, older, base proa.Value,
) proa.Value {
	with := func(s *State, v proa.Value) any {
		m, ok := view(s).(map[string]any)
		if !ok {
			return nil
		}
		m["value"] = expr.Value(v)
		return m
	}
	out, err := rule.program.Eval(map[string]any{
		"newer": with(d.newer, newer), "older": with(d.older, older), "base": with(d.known(), base),
	})
	if err != nil {
		d.say(name + ": " + err.Error() + ": the newer one wins")
		return newer
	}
	if expr.IsNull(out) {
		return proa.Value{}
	}
	v, err := expr.FromValue(out, newer, older, base)
	if err != nil {
		d.say(name + ": " + err.Error() + ": the newer one wins")
		return newer
	}
	return v
}
