package sql

import (
	"strings"
)

// Info is the queryInfo of a query plan: what an SDK must do with the results of the partitions,
// and the query to send to each.
// Source: the query pipelines of the official SDKs (azure-cosmos for .NET, Python and JavaScript)
type Info struct {
	DistinctType       string            `json:"distinctType"`
	Top                *int              `json:"top"`
	Offset             *int              `json:"offset"`
	Limit              *int              `json:"limit"`
	OrderBy            []string          `json:"orderBy"`
	OrderByExpressions []string          `json:"orderByExpressions"`
	GroupBy            []string          `json:"groupByExpressions"`
	GroupByAliases     []string          `json:"groupByAliases"`
	Aggregates         []string          `json:"aggregates"`
	AliasToAggregate   map[string]string `json:"groupByAliasToAggregateType"`
	Rewritten          string            `json:"rewrittenQuery"`
	HasSelectValue     bool              `json:"hasSelectValue"`
	NonStreaming       bool              `json:"hasNonStreamingOrderBy"`
}

// orderFilter is what an SDK replaces with "true", or with the condition of a resumed ORDER BY.
const orderFilter = "{documentdb-formattableorderbyquery-filter}"

var aggregateTypes = map[string]string{
	"COUNT": "Count", "SUM": "Sum", "AVG": "Average",
	"MIN": "Min", "MAX": "Max",
}

// MissingFeature names a feature that the query needs and the client does not list; "" when there
// is none. A client that lists nothing is taken at its word.
func (p *Plan) MissingFeature(supported string) string {
	if supported == "" {
		return ""
	}
	has := map[string]bool{}
	for _, f := range strings.Split(supported, ",") {
		has[strings.TrimSpace(f)] = true
	}
	q := p.q
	needs := []struct {
		on   bool
		name string
	}{
		{len(q.groupBy) > 0, "GroupBy"},
		{len(q.aggregates) > 0, "Aggregate"},
		{len(q.groupBy) == 0 && len(q.aggregates) > 0 && !q.bareAggregate(), "MultipleAggregates"},
		{len(q.orderBy) == 1, "OrderBy"},
		{len(q.orderBy) > 1, "MultipleOrderBy"},
		{
			q.distinct,
			"Distinct",
		},
		{q.top != nil, "Top"},
		{q.offset != nil, "OffsetAndLimit"},
	}
	for _, n := range needs {
		if n.on && !has[n.name] {
			return n.name
		}
	}
	return ""
}

// bareAggregate: SELECT VALUE AGG(x), which every SDK can merge.
func (q *query) bareAggregate() bool {
	_, ok := q.value.(*aggregate)
	return ok
}

// Info describes the plan for an SDK.
func (p *Plan) Info() Info {
	q := p.q
	info := Info{
		DistinctType: "None", OrderBy: []string{}, OrderByExpressions: []string{},
		GroupBy: []string{}, GroupByAliases: []string{},
		Aggregates: []string{}, AliasToAggregate: map[string]string{}, HasSelectValue: q.value != nil,
	}
	if q.distinct {
		info.DistinctType = "Unordered"
		if len(q.orderBy) == 1 && q.value != nil && text(q.value) == text(q.orderBy[0].x) {
			info.DistinctType = "Ordered"
		}
	}
	set := func(at **int, x expr) {
		if x != nil {
			n := constant(x)
			*at = &n
		}
	}
	set(&info.Top, q.top)
	set(&info.Offset, q.offset)
	set(&info.Limit, q.limit)
	for _, o := range q.orderBy {
		word := "Ascending"
		if o.desc {
			word = "Descending"
		}
		info.OrderBy = append(info.OrderBy, word)
		info.OrderByExpressions = append(info.OrderByExpressions, text(o.x))
	}
	switch {
	case q.grouped() && (len(q.groupBy) > 0 || !q.bareAggregate()):
		q.describeGroups(&info)
	case q.grouped():
		info.Aggregates = append(info.Aggregates, aggregateTypes[q.aggregates[0].name])
	}
	info.Rewritten = q.rewrite()
	return info
}

func (q *query) describeGroups(info *Info) {
	for _, x := range q.groupBy {
		info.GroupBy = append(info.GroupBy, text(x))
	}
	for i, it := range q.items {
		alias := it.alias
		if alias == "" {
			alias = "$" + itoa(i+1)
		}
		info.GroupByAliases = append(info.GroupByAliases, alias)
		info.AliasToAggregate[alias] = ""
		if a, ok := it.x.(*aggregate); ok {
			info.AliasToAggregate[alias] = aggregateTypes[a.name]
		}
	}
	if a, ok := q.value.(*aggregate); ok {
		info.Aggregates = append(info.Aggregates, aggregateTypes[a.name])
	}
}

// rewrite makes the query that each partition answers; "" leaves the original.
func (q *query) rewrite() string {
	var b strings.Builder
	switch {
	case q.grouped():
		q.rewriteGroups(&b)
	case len(q.orderBy) > 0:
		q.rewriteOrder(&b)
	case q.offset != nil:
		b.WriteString("SELECT ")
		q.selectList(&b)
		q.formatFrom(&b)
		b.WriteString(" OFFSET 0 LIMIT " + itoa(constant(q.offset)+constant(q.limit)))
	}
	return b.String()
}

func (q *query) selectList(b *strings.Builder) {
	only := *q
	only.from, only.where, only.groupBy = nil, nil, nil
	only.orderBy, only.offset, only.limit = nil, nil, nil
	var s strings.Builder
	only.format(&s)
	b.WriteString(strings.TrimPrefix(s.String(), "SELECT "))
}

// rewriteOrder yields {_rid, orderByItems, payload} a row, in order.
func (q *query) rewriteOrder(b *strings.Builder) {
	b.WriteString("SELECT ")
	switch {
	case q.top != nil:
		b.WriteString("TOP " + itoa(constant(q.top)) + " ")
	case q.offset != nil && len(q.from) == 1:
		b.WriteString("TOP " + itoa(constant(q.offset)+constant(q.limit)) + " ")
	}
	root := q.from[0].alias
	b.WriteString(root + "._rid, [")
	for i, o := range q.orderBy {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(`{"item": ` + text(o.x) + "}")
	}
	b.WriteString("] AS orderByItems, " + q.payload() + " AS payload")
	filtered := *q
	filtered.where = nil
	filtered.formatFrom(b)
	b.WriteString(" WHERE (")
	if q.where != nil {
		b.WriteString(text(q.where) + ") AND (")
	}
	b.WriteString(orderFilter + ") ORDER BY ")
	for i, o := range q.orderBy {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(text(o.x))
		if o.desc {
			b.WriteString(" DESC")
		} else {
			b.WriteString(" ASC")
		}
	}
}

// payload is the row that SELECT yields, as one expression.
func (q *query) payload() string {
	switch {
	case q.star:
		return q.from[0].alias
	case q.value != nil:
		return text(q.value)
	}
	o := &objectLit{}
	unnamed := 0
	for _, it := range q.items {
		name := it.alias
		if name == "" {
			unnamed++
			name = "$" + itoa(unnamed)
		}
		o.names, o.values = append(o.names, name), append(o.values, it.x)
	}
	return text(o)
}

// rewriteGroups yields partial aggregates: [{"item": …}] for a bare one, {groupByItems, payload}
// for the rest.
func (q *query) rewriteGroups(b *strings.Builder) {
	if len(q.groupBy) == 0 && q.bareAggregate() {
		b.WriteString("SELECT VALUE [{" + partial(q.value) + "}]")
		q.formatFrom(b)
		return
	}
	b.WriteString("SELECT [")
	for i, x := range q.groupBy {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(`{"item": ` + text(x) + "}")
	}
	b.WriteString("] AS groupByItems, ")
	if q.value != nil {
		b.WriteString("{" + partial(q.value) + "}")
	} else {
		o := []string{}
		for i, it := range q.items {
			alias := it.alias
			if alias == "" {
				alias = "$" + itoa(i+1)
			}
			item := text(it.x)
			if _, ok := it.x.(*aggregate); ok {
				item = "{" + partial(it.x) + "}"
			}
			o = append(o, `"`+alias+`": `+item)
		}
		b.WriteString("{" + strings.Join(o, ", ") + "}")
	}
	b.WriteString(" AS payload")
	q.formatFrom(b)
	if len(q.groupBy) > 0 {
		b.WriteString(" GROUP BY ")
		formatList(b, q.groupBy, ", ")
	}
}

// partial is what a partition contributes to an aggregate, as members of an object. MIN and MAX
// come in two forms, for older and newer SDKs.
func partial(x expr) string {
	a, ok := x.(*aggregate)
	if !ok {
		return `"item": ` + text(x)
	}
	arg := text(a.arg)
	switch a.name {
	case "AVG":
		return `"item": {"sum": SUM(` + arg + `), "count": COUNT(` + arg + `)}`
	case "MIN", "MAX":
		return `"item": ` + text(x) + `, "item2": {"` + strings.ToLower(a.name) + `": ` + text(x) +
			`, "count": COUNT(` + arg + `)}`
	}
	return `"item": ` + text(x)
}
