package dynamodb

import (
	"maps"
	"slices"

	"github.com/proa-cloud/proa"
)

const (
	maxBatchGet      = 100
	maxBatchWrite    = 25
	maxBatchGetBytes = 16 << 20
)

type keysRequest struct {
	Keys                 []wireMap
	ProjectionExpression *string `json:",omitempty"`
	ConsistentRead       bool    `json:",omitempty"`
	expressions
	AttributesToGet any `json:",omitempty"`
}

type batchGetInput struct {
	RequestItems           map[string]keysRequest
	ReturnConsumedCapacity string
}

func (s *Server) batchGet(in *batchGetInput) (any, error) {
	if err := checkCapacityOption(in.ReturnConsumedCapacity); err != nil {
		return nil, err
	}
	if in.RequestItems == nil {
		return nil, constraint("null", "requestItems", "Member must not be null")
	}
	total := 0
	for _, r := range in.RequestItems {
		total += len(r.Keys)
	}
	switch {
	case len(in.RequestItems) == 0:
		return nil, constraint("'{}'", "requestItems", "Member must have length greater than or equal "+
			"to 1")
	case total > maxBatchGet:
		return nil, invalid("Too many items requested for the BatchGetItem call")
	}
	var u usage
	responses, unprocessed := map[string][]proa.Item{}, map[string]keysRequest{}
	room := maxBatchGetBytes
	for _, given := range slices.Sorted(maps.Keys(in.RequestItems)) {
		r := in.RequestItems[given]
		items, left, err := s.getKeys(given, r, &u, &room)
		if err != nil {
			return nil, err
		}
		if responses[given] = items; len(left) > 0 {
			r.Keys = left
			unprocessed[given] = r
		}
	}
	out := map[string]any{"Responses": responses, "UnprocessedKeys": unprocessed}
	if c := u.report(in.ReturnConsumedCapacity, false); c != nil {
		out["ConsumedCapacity"] = c
	}
	return out, nil
}

// getKeys reads the keys of one table while there is room in the answer and capacity; it returns
// those that it left.
func (s *Server) getKeys(
	given string, r keysRequest, u *usage, room *int,
) ([]proa.Item, []wireMap, error) {
	name, err := tableName(&given)
	if err != nil {
		return nil, nil, err
	}
	if len(r.Keys) == 0 {
		return nil, nil, constraint("'[]'", "requestItems."+given+".member.keys",
			"Member must have length greater than or equal to 1")
	}
	p, err := projection(r.ProjectionExpression, r.expressions,
		legacy{AttributesToGet: r.AttributesToGet})
	if err != nil {
		return nil, nil, err
	}
	keys, err := s.distinctKeys(name, r.Keys)
	if err != nil {
		return nil, nil, err
	}
	items := []proa.Item{}
	for i, key := range keys {
		item, units, err := s.readOne(name, key, r.ConsistentRead)
		if err != nil && i > 0 && throttled(err) {
			return items, r.Keys[i:], nil
		}
		if err != nil {
			return nil, nil, err
		}
		if *room -= itemSize(item); *room < 0 {
			return items, r.Keys[i:], nil
		}
		u.addRead(name, units)
		if item != nil {
			items = append(items, p.Apply(item))
		}
	}
	return items, nil, nil
}

func (s *Server) distinctKeys(name string, wire []wireMap) ([]proa.Item, error) {
	keys := make([]proa.Item, len(wire))
	for i, w := range wire {
		k, err := w.item()
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(keys[:i], k.Equal) {
			return nil, invalid("Provided list of item keys contains duplicates")
		}
		keys[i] = k
	}
	schema, err := s.schemaOf(name)
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		if _, err := exactKey(schema, k); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

func (s *Server) schemaOf(name string) (proa.Schema, error) {
	t, err := s.open(name, notFound("Requested resource not found"))
	if err != nil {
		return proa.Schema{}, err
	}
	defer t.mu.RUnlock()
	return t.meta.Schema, nil
}

func throttled(err error) bool {
	refusal, _ := asAPIError(err)
	return refusal.kind == nsService+"ProvisionedThroughputExceededException"
}

type writeRequest struct {
	PutRequest    *struct{ Item wireMap } `json:",omitempty"`
	DeleteRequest *struct{ Key wireMap }  `json:",omitempty"`
}

type batchWriteInput struct {
	RequestItems                map[string][]writeRequest
	ReturnConsumedCapacity      string
	ReturnItemCollectionMetrics string
}

// batchWrite checks the whole batch first; its writes are then independent of each other.
func (s *Server) batchWrite(in *batchWriteInput) (any, error) {
	if err := checkCapacityOption(in.ReturnConsumedCapacity); err != nil {
		return nil, err
	}
	if in.RequestItems == nil {
		return nil, constraint("null", "requestItems", "Member must not be null")
	}
	total := 0
	for _, list := range in.RequestItems {
		total += len(list)
	}
	switch {
	case len(in.RequestItems) == 0:
		return nil, constraint("'{}'", "requestItems", "Member must have length greater than or equal "+
			"to 1")
	case total > maxBatchWrite:
		return nil, invalid("Too many items requested for the BatchWriteItem call")
	}
	plans := map[string][]*mutation{}
	for _, given := range slices.Sorted(maps.Keys(in.RequestItems)) {
		plan, err := s.planBatch(given, in.RequestItems[given])
		if err != nil {
			return nil, err
		}
		plans[given] = plan
	}
	var u usage
	left, err := s.runBatch(in, plans, &u)
	if err != nil {
		return nil, err
	}
	out := map[string]any{"UnprocessedItems": left}
	if c := u.report(in.ReturnConsumedCapacity, false); c != nil {
		out["ConsumedCapacity"] = c
	}
	return out, nil
}

func (s *Server) planBatch(given string, list []writeRequest) ([]*mutation, error) {
	name, err := tableName(&given)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, constraint("'[]'", "requestItems."+given+".member",
			"Member must have length greater than or equal to 1")
	}
	plan := make([]*mutation, len(list))
	for i, r := range list {
		m := &mutation{table: name, kind: mutateDelete}
		switch {
		case r.PutRequest != nil && r.DeleteRequest != nil:
			return nil, invalid("Supplied AttributeValue has more than one datatypes set, " +
				"must contain exactly one of the supported datatypes")
		case r.PutRequest != nil:
			m.kind = mutatePut
			m.item, err = r.PutRequest.Item.item()
		case r.DeleteRequest != nil:
			m.key, err = r.DeleteRequest.Key.item()
		default:
			return nil, invalid("Supplied AttributeValue is empty, must contain exactly one of the " +
				"supported datatypes")
		}
		if err != nil {
			return nil, err
		}
		plan[i] = m
	}
	return plan, s.checkBatch(name, plan)
}

func (s *Server) checkBatch(name string, plan []*mutation) error {
	schema, err := s.schemaOf(name)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, m := range plan {
		k, err := m.keyIn(schema)
		if err != nil {
			return err
		}
		if seen[k.ID()] {
			return invalid("Provided list of item keys contains duplicates")
		}
		seen[k.ID()] = true
		if err := checkItemSize(m.item, "Item size has exceeded the maximum allowed size"); err != nil {
			return err
		}
	}
	return nil
}

// runBatch carries out the writes side by side, so that they share an fsync, and returns those that
// were throttled.
func (s *Server) runBatch(
	in *batchWriteInput, plans map[string][]*mutation, u *usage,
) (map[string][]writeRequest, error) {
	type result struct {
		given    string
		i        int
		old, new proa.Item
		err      error
	}
	results := make(chan result)
	running := 0
	for given, plan := range plans {
		for i, m := range plan {
			running++
			go func() {
				old, new, err := s.mutate(m)
				results <- result{given, i, old, new, err}
			}()
		}
	}
	left := map[string][]writeRequest{}
	var failed error
	throttledOnes := 0
	for range running {
		r := <-results
		switch {
		case r.err == nil:
			m := plans[r.given][r.i]
			u.addWrite(m.table, writeUnits(r.old, r.new))
			for _, ix := range m.indexes {
				u.addIndex(m.table, &ix, ix.units(m.schema, r.old, r.new), 1)
			}
		case throttled(r.err):
			throttledOnes++
			left[r.given] = append(left[r.given], in.RequestItems[r.given][r.i])
		default:
			failed = r.err
		}
		if throttledOnes == running {
			failed = r.err
		}
	}
	return left, failed
}
