package cosmos

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/proa-cloud/proa/azure/local/cosmos/sql"
	"github.com/proa-cloud/proa/azure/local/cosmos/value"
)

// patch is a partial update. Source:
// https://learn.microsoft.com/azure/cosmos-db/partial-document-update
type patch struct {
	condition string // "FROM c WHERE …", "" for none
	ops       []patchOp
}

type patchOp struct {
	op       string
	path     []string
	text     string // the path as sent
	from     []string
	operand  value.Value
	hasValue bool
}

const maxPatchOps = 10

// parsePatch reads {"condition":…,"operations":[{"op","path","value","from"}]}, or the bare array
// of operations.
func parsePatch(v value.Value) (*patch, *apiError) {
	p := &patch{condition: v.Get("condition").Str}
	list := v.Get("operations")
	if v.Kind == value.Array {
		list = v
	}
	if list.Kind != value.Array || len(list.Items) == 0 {
		return nil, badRequest("The patch request has no operations.")
	}
	if len(list.Items) > maxPatchOps {
		return nil, badRequest("The number of patch operations can't exceed '%d'.", maxPatchOps)
	}
	for _, item := range list.Items {
		o, err := parsePatchOp(item)
		if err != nil {
			return nil, err
		}
		p.ops = append(p.ops, o)
	}
	if p.condition != "" {
		if _, err := p.compile(); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func parsePatchOp(item value.Value) (patchOp, *apiError) {
	o := patchOp{
		op: strings.ToLower(item.Get("op").Str), text: item.Get("path").Str,
		operand: item.Get("value"),
	}
	o.hasValue = o.operand.Defined()
	var ok bool
	if o.path, ok = pointer(o.text); !ok {
		return o, badRequest("The path '%s' of a patch operation is invalid.", o.text)
	}
	if slices.Contains(systemProperties, o.path[0]) || o.path[0] == "id" && len(o.path) == 1 {
		return o, badRequest("Patch operation on '%s' is not allowed.", o.text)
	}
	switch o.op {
	case "add", "set", "replace":
		if !o.hasValue {
			return o, badRequest("The patch operation '%s' on '%s' has no value.", o.op, o.text)
		}
	case "incr", "increment":
		o.op = "incr"
		if o.operand.Kind != value.Number {
			return o, badRequest("The increment of '%s' is not a number.", o.text)
		}
	case "remove":
	case "move":
		if o.from, ok = pointer(item.Get("from").Str); !ok {
			return o, badRequest("The move to '%s' has an invalid 'from'.", o.text)
		}
		if slices.Contains(systemProperties, o.from[0]) || o.from[0] == "id" && len(o.from) == 1 {
			return o, badRequest("Patch operation on '%s' is not allowed.", item.Get("from").Str)
		}
	default:
		return o, badRequest("Unsupported patch operation '%s'.", item.Get("op").Str)
	}
	return o, nil
}

// pointer splits a JSON pointer (RFC 6901).
func pointer(path string) ([]string, bool) {
	if len(path) < 2 || path[0] != '/' {
		return nil, false
	}
	parts := strings.Split(path[1:], "/")
	if len(parts) > value.MaxDepth {
		return nil, false
	}
	for i, p := range parts {
		if p == "" {
			return nil, false
		}
		parts[i] = strings.ReplaceAll(strings.ReplaceAll(p, "~1", "/"), "~0", "~")
	}
	return parts, true
}

func (p *patch) compile() (*sql.Plan, *apiError) {
	text := strings.TrimSpace(p.condition)
	if !strings.HasPrefix(strings.ToLower(text), "select") {
		text = "SELECT VALUE 1 " + text
	}
	plan, err := sql.Compile(text, nil, sql.Env{})
	if err != nil {
		return nil, sqlError(err)
	}
	return plan, nil
}

// apply returns the patched document. A condition that does not hold fails as a precondition does;
// a change of the partition key is refused.
func (p *patch) apply(doc value.Value, key *keyDefinition) (value.Value, *apiError) {
	if p.condition != "" {
		plan, bad := p.compile()
		if bad != nil {
			return doc, bad
		}
		rows, err := plan.Rows(doc)
		if err != nil {
			return doc, sqlError(err)
		}
		if len(rows) == 0 {
			return doc, preconditionFailed()
		}
	}
	before, bad := key.of(doc)
	if bad != nil {
		return doc, bad
	}
	for _, o := range p.ops {
		if doc, bad = o.apply(doc); bad != nil {
			return doc, bad
		}
	}
	after, bad := key.of(doc)
	if bad != nil || after.canonical != before.canonical {
		return doc, badRequest("Patch operations may not change the partition key.")
	}
	return doc, nil
}

func (o patchOp) apply(doc value.Value) (value.Value, *apiError) {
	switch o.op {
	case "remove":
		return o.edit(doc, o.path, removeAt)
	case "replace":
		return o.edit(doc, o.path, o.replaceAt)
	case "incr":
		return o.edit(doc, o.path, o.incrementAt)
	case "move":
		return o.move(doc)
	}
	return o.edit(doc, o.path, o.putAt)
}

// place is where a path ends: a name in an object, or an index in an array.
type place struct {
	parent value.Value
	name   string
	index  int // -1 in an object
	append bool
	op     *patchOp
}

func (p place) current() value.Value {
	if p.index < 0 {
		return p.parent.Get(p.name)
	}
	return p.parent.At(p.index)
}

// edit walks to the parent of the path's end, lets f make a new parent and rebuilds what is above.
func (o *patchOp) edit(doc value.Value, path []string, f func(place) (value.Value,
	*apiError),
) (value.Value, *apiError) {
	at := place{parent: doc, name: path[0], index: -1, op: o}
	switch doc.Kind {
	case value.Array:
		if path[0] == "-" && len(path) == 1 {
			at.append, at.index = true, len(doc.Items)
			break
		}
		n, err := strconv.Atoi(path[0])
		if err != nil || n < 0 || n > len(doc.Items) {
			return doc, badRequest("The array index '%s' of patch path '%s' is out of range.", path[0],
				o.text)
		}
		at.index = n
	case value.Object:
	default:
		return doc, o.missing()
	}
	if len(path) == 1 {
		return f(at)
	}
	child := at.current()
	if !child.Defined() {
		return doc, o.missing()
	}
	next, err := o.edit(child, path[1:], f)
	if err != nil {
		return doc, err
	}
	return at.with(next), nil
}

func (o *patchOp) missing() *apiError {
	return badRequest("For Operation(1): %s Operation can only create a child object of an "+
		"existing node(array or object) "+
		"and cannot create path recursively, no path found beyond: '%s'. Learn more: "+
		"https://aka.ms/cosmosdbpatchdocs", o.op, o.text)
}

// with returns the parent with v at the place.
func (p place) with(v value.Value) value.Value {
	if p.index < 0 {
		return p.parent.With(p.name, v)
	}
	items := slices.Clone(p.parent.Items)
	items[p.index] = v
	return value.OfArray(items)
}

func (o patchOp) putAt(p place) (value.Value, *apiError) {
	switch {
	case p.index < 0:
		return p.with(o.operand), nil
	case p.index == len(p.parent.Items) || o.op == "add" || o.op == "move":
		return value.OfArray(slices.Insert(slices.Clone(p.parent.Items), p.index, o.operand)), nil
	}
	return p.with(o.operand), nil
}

func (o patchOp) replaceAt(p place) (value.Value, *apiError) {
	if !p.current().Defined() {
		return p.parent, o.missing()
	}
	return p.with(o.operand), nil
}

func (o patchOp) incrementAt(p place) (value.Value, *apiError) {
	cur := p.current()
	switch {
	case !cur.Defined() && p.index >= 0:
		return p.parent, o.missing()
	case !cur.Defined():
		return p.with(o.operand), nil
	case cur.Kind != value.Number:
		return p.parent, badRequest("The value at patch path '%s' is not a number and cannot be "+
			"incremented.", o.text)
	}
	sum := cur.Num + o.operand.Num
	if math.IsInf(sum, 0) || math.IsNaN(sum) {
		return p.parent, badRequest("The increment of '%s' overflows.", o.text)
	}
	return p.with(value.OfNumber(sum)), nil
}

func removeAt(p place) (value.Value, *apiError) {
	if !p.current().Defined() {
		return p.parent, p.op.missing()
	}
	if p.index < 0 {
		return p.parent.Without(p.name), nil
	}
	return value.OfArray(slices.Delete(slices.Clone(p.parent.Items), p.index, p.index+1)), nil
}

// move takes the value at from away and puts it at the path.
func (o patchOp) move(doc value.Value) (value.Value, *apiError) {
	if len(o.path) > len(o.from) && slices.Equal(o.path[:len(o.from)], o.from) {
		return doc, badRequest("The path '%s' of a move lies inside what is moved.", o.text)
	}
	taken := value.Value{}
	doc, err := o.edit(doc, o.from, func(p place) (value.Value, *apiError) {
		taken = p.current()
		return removeAt(p)
	})
	if err != nil {
		return doc, err
	}
	o.operand = taken
	return o.edit(doc, o.path, o.putAt)
}
