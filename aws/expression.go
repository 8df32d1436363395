package aws

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
)

// Limits of one expression: 4 KB of text and 300 operators. A condition on one attribute costs at most 20 bytes and two operators,
// an assignment at most 14 bytes.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html#limits-expression-parameters
const (
	maxConditions  = 100
	maxAssignments = 200
)

// expression collects the parts of a condition and of an update, with a placeholder for each name and value.
type expression struct {
	names   map[string]string
	values  map[string]types.AttributeValue
	holders map[string]string // attribute name → placeholder
	terms   []string          // of the condition
	sets    []string
	removes []string
}

func (e *expression) name(attr string) string {
	if p, ok := e.holders[attr]; ok {
		return p
	}
	if e.names == nil {
		e.names, e.holders = map[string]string{}, map[string]string{}
	}
	p := "#" + strconv.Itoa(len(e.names))
	e.names[p], e.holders[attr] = attr, p
	return p
}

func (e *expression) value(v proa.Value) string {
	if e.values == nil {
		e.values = map[string]types.AttributeValue{}
	}
	p := ":" + strconv.Itoa(len(e.values))
	e.values[p] = toValue(v)
	return p
}

func (e *expression) condition() string { return strings.Join(e.terms, " AND ") }

func (e *expression) update() string {
	var parts []string
	if len(e.sets) > 0 {
		parts = append(parts, "SET "+strings.Join(e.sets, ","))
	}
	if len(e.removes) > 0 {
		parts = append(parts, "REMOVE "+strings.Join(e.removes, ","))
	}
	return strings.Join(parts, " ")
}

// observed conditions on the row as seen: it exists, its version is the one seen, and so are the given attributes, up to
// maxConditions of them. An attribute that seen lacks must still be missing.
func (e *expression) observed(schema proa.Schema, seen proa.Image, attrs proa.Item) {
	e.terms = append(e.terms, "attribute_exists("+e.name(schema.HashName)+")")
	e.observedVersion(seen)
	for _, attr := range slices.Sorted(maps.Keys(attrs)) {
		if attr == schema.HashName || attr == schema.RangeName {
			continue
		}
		if len(e.terms) >= maxConditions {
			return
		}
		if v, ok := seen.Item[attr]; ok {
			e.terms = append(e.terms, e.name(attr)+"="+e.value(v))
		} else {
			e.terms = append(e.terms, "attribute_not_exists("+e.name(attr)+")")
		}
	}
}

// observedVersion compares the fields that name a version and not the envelope as a whole, since a newer proa may have stored more fields
// than this one knows. An envelope that could not be read can only be asked to be there.
func (e *expression) observedVersion(seen proa.Image) {
	attr := e.name(proa.EnvelopeAttr)
	switch {
	case seen.Malformed != "":
		e.terms = append(e.terms, "attribute_exists("+attr+")")
	case seen.Envelope == nil:
		e.terms = append(e.terms, "attribute_not_exists("+attr+")")
	default:
		stored := seen.Envelope.Value().Map
		for _, field := range []string{"v", "o", "h"} {
			e.terms = append(e.terms, attr+"."+e.name(field)+"="+e.value(stored[field]))
		}
		e.terms = append(e.terms, "attribute_not_exists("+attr+"."+e.name("f")+")") // of a later format
	}
}

// assign sets and removes what turns seen into next; attributes in neither and attributes that are equal are not touched.
func (e *expression) assign(changed proa.Item, next proa.Item) {
	for _, attr := range slices.Sorted(maps.Keys(changed)) {
		if v, ok := next[attr]; ok {
			e.sets = append(e.sets, e.name(attr)+"="+e.value(v))
		} else {
			e.removes = append(e.removes, e.name(attr))
		}
	}
}

// difference returns the content attributes that are not the same in both; their values there mean nothing.
func difference(seen, next proa.Item) proa.Item {
	changed := proa.Item{}
	for name, v := range next {
		if was, ok := seen[name]; !ok || !was.Equal(v) {
			changed[name] = v
		}
	}
	for name, v := range seen {
		if _, ok := next[name]; !ok {
			changed[name] = v
		}
	}
	return changed
}

func keyCondition(schema proa.Schema, q cloud.Query) *expression {
	e := &expression{}
	e.terms = append(e.terms, e.name(schema.HashName)+"="+e.value(q.Hash))
	if schema.RangeName == "" {
		return e
	}
	from, to := q.From.Kind != proa.KindNone, q.To.Kind != proa.KindNone
	switch {
	case q.Prefix != "":
		e.terms = append(e.terms, "begins_with("+e.name(schema.RangeName)+","+e.value(proa.String(q.Prefix))+")")
	case from && to:
		e.terms = append(e.terms, e.name(schema.RangeName)+" BETWEEN "+e.value(q.From)+" AND "+e.value(q.To))
	case from:
		e.terms = append(e.terms, e.name(schema.RangeName)+">="+e.value(q.From))
	case to:
		e.terms = append(e.terms, e.name(schema.RangeName)+"<="+e.value(q.To))
	}
	return e
}
