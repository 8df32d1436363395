package dynamodb

import (
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/aws/local/dynamodb/expr"
)

// maxPageBytes is how much a query or scan reads before it stops and hands out a key to go on from.
// The item that reaches it is still in the page.
const maxPageBytes = 1 << 20

// readInput is what Query and Scan share.
type readInput struct {
	TableName              *string
	IndexName              *string
	FilterExpression       *string
	ProjectionExpression   *string
	Select                 string
	Limit                  *int
	ExclusiveStartKey      wireMap
	ConsistentRead         bool
	ReturnConsumedCapacity string
	expressions
	legacy
}

// page is one page's work: a range of the table's keys, read in one direction and filtered.
type page struct {
	table      string
	low, high  []byte // bounds of keys: low inclusive, high exclusive
	backward   bool
	limit      int // 0 is none
	filter     *expr.Condition
	projection *expr.Projection
	countOnly  bool
}

type pageOutput struct {
	Items            *[]proa.Item `json:",omitempty"`
	Count            int
	ScannedCount     int
	LastEvaluatedKey proa.Item `json:",omitempty"`
	ConsumedCapacity *consumed `json:",omitempty"`
}

// check checks what does not need the table and parses the projection and the filter.
func (in *readInput) check(p *page, b *expr.Bindings) error {
	var err error
	if in.ProjectionExpression != nil {
		if p.projection, err = expr.ParseProjection(*in.ProjectionExpression, b); err != nil {
			return err
		}
	}
	if in.FilterExpression != nil {
		if p.filter, err = expr.ParseCondition("FilterExpression", *in.FilterExpression, b); err != nil {
			return err
		}
	}
	return b.CheckUnused()
}

func (in *readInput) options(p *page) error {
	var err error
	if p.table, err = tableName(in.TableName); err != nil {
		return err
	}
	err = errors.Join(
		oneOf(in.Select, "select", "SPECIFIC_ATTRIBUTES", "COUNT", "ALL_ATTRIBUTES",
			"ALL_PROJECTED_ATTRIBUTES"),
		checkCapacityOption(in.ReturnConsumedCapacity),
	)
	if err != nil {
		return err
	}
	if in.Limit != nil {
		if *in.Limit < 1 {
			return invalid("Limit must be greater than or equal to 1")
		}
		p.limit = *in.Limit
	}
	p.countOnly = in.Select == "COUNT"
	return in.checkSelect()
}

func (in *readInput) checkSelect() error {
	projected := in.ProjectionExpression != nil
	switch {
	case in.Select == "ALL_PROJECTED_ATTRIBUTES" && in.IndexName == nil:
		return invalid("ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName")
	case in.Select == "SPECIFIC_ATTRIBUTES" && !projected:
		return invalid("Must specify the AttributesToGet or ProjectionExpression when choosing to get " +
			"SPECIFIC_ATTRIBUTES")
	case in.Select == "COUNT" && projected:
		return invalid("Cannot specify the ProjectionExpression when choosing to get only the Count")
	case in.Select == "ALL_ATTRIBUTES" && projected:
		return invalid("Cannot specify the ProjectionExpression when choosing to get ALL_ATTRIBUTES")
	}
	return nil
}

type queryInput struct {
	KeyConditionExpression *string
	ScanIndexForward       *bool
	readInput
}

func (s *Server) query(in *queryInput) (any, error) {
	p := &page{backward: in.ScanIndexForward != nil && !*in.ScanIndexForward}
	if err := in.options(p); err != nil {
		return nil, err
	}
	filters := []source{
		{"FilterExpression", in.FilterExpression},
		{"KeyConditionExpression", in.KeyConditionExpression},
		{"ProjectionExpression", in.ProjectionExpression},
	}
	if err := in.refuse(filters...); err != nil {
		return nil, err
	}
	b, err := in.bind(filters...)
	if err != nil {
		return nil, err
	}
	if in.KeyConditionExpression == nil {
		return nil, invalid("Either the KeyConditions or KeyConditionExpression parameter must be " +
			"specified in the request.")
	}
	t, err := s.open(p.table, notFound("Requested resource not found"))
	if err != nil {
		return nil, err
	}
	defer t.mu.RUnlock()
	schema, err := in.schema(t)
	if err != nil {
		return nil, err
	}
	k, err := expr.ParseKeyCondition(*in.KeyConditionExpression, b, schema)
	if err != nil {
		return nil, err
	}
	if err := in.check(p, b); err != nil {
		return nil, err
	}
	sp, err := in.space(t, p.projection)
	if err != nil {
		return nil, err
	}
	if err := p.narrow(sp, k, in.ExclusiveStartKey); err != nil {
		return nil, err
	}
	ticket := s.ticket.Load // an index's partition holds items of many stripes
	if sp.index == nil {
		ticket = s.stripeOf(t.meta.ID, proa.Key{Hash: k.Hash}).ticket.Load
	}
	return s.read(sp, p, &in.readInput, ticket)
}

// read reads one page. The ticket is asked for after the snapshot is taken and awaited before the
// page is handed out.
func (s *Server) read(sp *space, p *page, in *readInput, ticket func() uint64) (any, error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: p.low, UpperBound: p.high})
	if err != nil {
		return nil, err
	}
	upTo := ticket()
	out, bytes, err := p.scan(it, sp)
	if err = errors.Join(err, it.Close()); err != nil {
		return nil, err
	}
	units := readUnits(bytes, in.ConsistentRead)
	if err := sp.t.reads.take(units, s.cfg.Clock()); err != nil {
		return nil, err
	}
	var u usage
	if sp.index != nil {
		u.addRead(p.table, 0)
		u.addIndex(p.table, sp.index, units, 0)
	} else {
		u.addRead(p.table, units)
	}
	out.ConsumedCapacity = u.one(in.ReturnConsumedCapacity)
	return out, s.durable.wait(upTo)
}

// scan walks the iterator until the page is full; it returns the bytes read, filtered-out items
// included.
func (p *page) scan(it *pebble.Iterator, sp *space) (*pageOutput, int, error) {
	out := &pageOutput{}
	if !p.countOnly {
		out.Items = &[]proa.Item{}
	}
	first, next := it.First, it.Next
	if p.backward {
		first, next = it.Last, it.Prev
	}
	bytes := 0
	var last proa.Item
	for ok := first(); ok; ok = next() {
		item, err := decodeItem(it.Value())
		if err != nil {
			return nil, 0, err
		}
		if bytes >= maxPageBytes {
			out.LastEvaluatedKey = sp.lastKey(last)
			break
		}
		last = item
		item = sp.shape(item)
		bytes += itemSize(item)
		out.ScannedCount++
		if p.filter.Eval(item) {
			out.Count++
			if out.Items != nil {
				*out.Items = append(*out.Items, p.projection.Apply(item))
			}
		}
		if out.ScannedCount == p.limit {
			out.LastEvaluatedKey = sp.lastKey(last)
			break
		}
	}
	return out, bytes, it.Error()
}

type scanInput struct {
	Segment, TotalSegments *int
	readInput
}

const maxSegments = 1000000

func (in *scanInput) segments() (segment, total int, err error) {
	switch {
	case in.Segment == nil && in.TotalSegments == nil:
		return 0, 1, nil
	case in.TotalSegments == nil:
		return 0, 0, invalid("The TotalSegments parameter is required but was not present in the " +
			"request " +
			"when Segment parameter is present")
	case in.Segment == nil:
		return 0, 0, invalid("The Segment parameter is required but was not present in the request " +
			"when parameter TotalSegments is present")
	}
	segment, total = *in.Segment, *in.TotalSegments
	switch {
	case total < 1:
		return 0, 0, constraint(quote(total), "totalSegments", "Member must have value greater than or "+
			"equal to 1")
	case total > maxSegments:
		return 0, 0, constraint(quote(total), "totalSegments", "Member must have value less than or "+
			"equal to 1000000")
	case segment < 0:
		return 0, 0, constraint(quote(segment), "segment", "Member must have value greater than or "+
			"equal to 0")
	case segment >= total:
		return 0, 0, invalid("The Segment parameter is zero-based and must be less than parameter "+
			"TotalSegments: "+
			"Segment: %d is not less than TotalSegments: %d", segment, total)
	}
	return segment, total, nil
}

func (s *Server) scan(in *scanInput) (any, error) {
	p := &page{}
	if err := in.options(p); err != nil {
		return nil, err
	}
	segment, total, err := in.segments()
	if err != nil {
		return nil, err
	}
	filters := []source{{"FilterExpression", in.FilterExpression}, {
		"ProjectionExpression",
		in.ProjectionExpression,
	}}
	if err := in.refuse(filters...); err != nil {
		return nil, err
	}
	b, err := in.bind(filters...)
	if err != nil {
		return nil, err
	}
	if err := in.check(p, b); err != nil {
		return nil, err
	}
	t, err := s.open(p.table, notFound("Requested resource not found"))
	if err != nil {
		return nil, err
	}
	defer t.mu.RUnlock()
	sp, err := in.space(t, p.projection)
	if err != nil {
		return nil, err
	}
	if err := p.segment(sp, segment, total, in.ExclusiveStartKey); err != nil {
		return nil, err
	}
	return s.read(sp, p, &in.readInput, s.ticket.Load)
}
