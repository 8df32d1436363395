package dynamodb

import (
	"errors"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/aws/local/dynamodb/expr"
)

const (
	returnNone       = "NONE"
	returnAllOld     = "ALL_OLD"
	returnAllNew     = "ALL_NEW"
	returnUpdatedOld = "UPDATED_OLD"
	returnUpdatedNew = "UPDATED_NEW"
)

// mutation is one write, checked as far as it can be without its table.
type mutation struct {
	table     string
	item      proa.Item       // of a put
	key       proa.Item       // of the others
	update    *expr.Update    // of an update, unless it only makes sure that the item exists
	condition *expr.Condition // nil when there is none
	kind      mutationKind
	oldOnFail bool // a failed condition returns the item

	schema  proa.Schema // of the table, once it is known
	indexes []indexMeta
}

type mutationKind uint8

const (
	mutatePut mutationKind = iota
	mutateUpdate
	mutateDelete
	mutateCheck
)

// keyIn checks the mutation against its table's schema.
func (m *mutation) keyIn(s proa.Schema) (proa.Key, error) {
	if m.kind == mutatePut {
		return keyOf(s, m.item)
	}
	k, err := exactKey(s, m.key)
	if err != nil || m.update == nil {
		return k, err
	}
	for _, p := range m.update.Paths() {
		if p[0].Name == s.HashName || p[0].Name == s.RangeName {
			return k, invalid("One or more parameter values were invalid: "+
				"Cannot update attribute %s. This attribute is part of the key", p[0].Name)
		}
	}
	return k, nil
}

// next returns the item after the mutation, nil where it is deleted.
func (m *mutation) next(old proa.Item) (proa.Item, error) {
	if !m.condition.Eval(old) {
		if m.oldOnFail {
			return nil, conditionFailed(old)
		}
		return nil, conditionFailed(nil)
	}
	switch m.kind {
	case mutatePut:
		return m.item, checkItemSize(m.item, "Item size has exceeded the maximum allowed size")
	case mutateDelete:
		return nil, nil
	case mutateCheck:
		return old, nil
	}
	base := old
	if base == nil {
		base = m.key
	}
	if m.update == nil {
		return base, nil
	}
	item, err := m.update.Apply(base)
	if err != nil {
		return nil, err
	}
	if !depthWithin(item) {
		return nil, invalid("Nesting Levels have exceeded supported limits: " +
			"Attributes in the item have nested levels beyond supported limit")
	}
	return item, checkItemSize(item, "Item size to update has exceeded the maximum allowed size")
}

func checkItemSize(item proa.Item, refusal string) error {
	if itemSize(item) > maxItemBytes {
		return invalid("%s", refusal)
	}
	return nil
}

// mutate carries out one write and returns the item before and after it.
func (s *Server) mutate(m *mutation) (old, new proa.Item, err error) {
	t, err := s.open(m.table, notFound("Requested resource not found"))
	if err != nil {
		return nil, nil, err
	}
	defer t.mu.RUnlock()
	m.schema, m.indexes = t.meta.Schema, t.meta.Indexes
	key, err := m.keyIn(t.meta.Schema)
	if err != nil {
		return nil, nil, err
	}
	stripe := s.stripeOf(t.meta.ID, key)
	stripe.Lock()
	old, new, c, err := s.mutateLocked(t, key, m)
	ticket := stripe.ticket.Load()
	stripe.Unlock()
	if c != nil {
		return old, new, c.await()
	}
	return old, new, errors.Join(err, s.durable.wait(ticket))
}

func (s *Server) mutateLocked(
	t *table, key proa.Key, m *mutation,
) (old, new proa.Item, c *commitment, err error) {
	if old, err = readItem(s.db, itemKey(t.meta.ID, key)); err != nil {
		return nil, nil, nil, err
	}
	if new, err = m.next(old); err != nil {
		return nil, nil, nil, err
	}
	if err = t.checkIndexKeys(new); err != nil {
		return nil, nil, nil, err
	}
	if err = t.writes.take(writeUnits(old, new), s.cfg.Clock()); err != nil {
		return nil, nil, nil, err
	}
	ch := change{table: t, key: key, old: old, new: new}
	if ch.noop() {
		return old, new, nil, nil
	}
	c, err = s.commit([]change{ch}, nil)
	return old, new, c, err
}

// writeInput is what the requests that write one item share.
type writeInput struct {
	TableName                           *string
	ConditionExpression                 *string
	ReturnValues                        string
	ReturnConsumedCapacity              string
	ReturnItemCollectionMetrics         string
	ReturnValuesOnConditionCheckFailure string
	expressions
	legacy
}

type writeOutput struct {
	Attributes       proa.Item `json:",omitempty"`
	ConsumedCapacity *consumed `json:",omitempty"`
}

func (in *writeInput) check() (*mutation, error) {
	name, err := tableName(in.TableName)
	if err != nil {
		return nil, err
	}
	err = errors.Join(
		oneOf(in.ReturnValues, "returnValues", returnAllNew, returnUpdatedOld, returnAllOld, returnNone,
			returnUpdatedNew),
		checkCapacityOption(in.ReturnConsumedCapacity),
		oneOf(in.ReturnItemCollectionMetrics, "returnItemCollectionMetrics", "SIZE", returnNone),
		oneOf(in.ReturnValuesOnConditionCheckFailure, "returnValuesOnConditionCheckFailure", returnAllOld,
			returnNone),
	)
	return &mutation{table: name, oldOnFail: in.ReturnValuesOnConditionCheckFailure == returnAllOld},
		err
}

// parse parses the mutation's expressions.
func (in *writeInput) parse(m *mutation, update *string) error {
	sources := []source{{"ConditionExpression", in.ConditionExpression}}
	if m.kind == mutateUpdate {
		sources = []source{{"UpdateExpression", update}, {"ConditionExpression", in.ConditionExpression}}
	}
	if err := in.refuse(sources...); err != nil {
		return err
	}
	b, err := in.bind(sources...)
	if err != nil {
		return err
	}
	if update != nil {
		if m.update, err = expr.ParseUpdate(*update, b); err != nil {
			return err
		}
	}
	if in.ConditionExpression != nil {
		if m.condition, err = expr.ParseCondition("ConditionExpression", *in.ConditionExpression,
			b); err != nil {
			return err
		}
	}
	return b.CheckUnused()
}

// output answers a write; updated selects what UPDATED_OLD and UPDATED_NEW return.
func (in *writeInput) output(m *mutation, old, new proa.Item) *writeOutput {
	var u usage
	u.addWrite(m.table, writeUnits(old, new))
	for _, ix := range m.indexes {
		u.addIndex(m.table, &ix, ix.units(m.schema, old, new), 1)
	}
	out := &writeOutput{ConsumedCapacity: u.one(in.ReturnConsumedCapacity)}
	switch in.ReturnValues {
	case returnAllOld:
		out.Attributes = old
	case returnAllNew:
		out.Attributes = new
	case returnUpdatedOld:
		out.Attributes = m.updated(old)
	case returnUpdatedNew:
		out.Attributes = m.updated(new)
	}
	return out
}

func (m *mutation) updated(item proa.Item) proa.Item {
	if m.update == nil || item == nil {
		return nil
	}
	return expr.ProjectPaths(m.update.Paths()).Apply(item)
}

type putInput struct {
	Item wireMap
	writeInput
}

func (in *putInput) mutation() (*mutation, error) {
	m, err := in.check()
	if err != nil {
		return nil, err
	}
	if in.Item == nil {
		return nil, constraint("null", "item", "Member must not be null")
	}
	if m.item, err = in.Item.item(); err != nil {
		return nil, err
	}
	if in.ReturnValues != "" && in.ReturnValues != returnNone && in.ReturnValues != returnAllOld {
		return nil, invalid("ReturnValues can only be ALL_OLD or NONE")
	}
	return m, in.parse(m, nil)
}

func (s *Server) putItem(in *putInput) (any, error) {
	m, err := in.mutation()
	if err != nil {
		return nil, err
	}
	old, new, err := s.mutate(m)
	if err != nil {
		return nil, err
	}
	return in.output(m, old, new), nil
}

// keyInput is a request to write one existing or future item.
type keyInput struct {
	Key              wireMap
	UpdateExpression *string
	writeInput
}

func (in *keyInput) mutation(kind mutationKind) (*mutation, error) {
	m, err := in.check()
	if err != nil {
		return nil, err
	}
	if in.Key == nil {
		return nil, constraint("null", "key", "Member must not be null")
	}
	m.kind = kind
	if m.key, err = in.Key.item(); err != nil {
		return nil, err
	}
	if kind == mutateUpdate {
		return m, in.parse(m, in.UpdateExpression)
	}
	if in.ReturnValues != "" && in.ReturnValues != returnNone && in.ReturnValues != returnAllOld {
		return nil, invalid("ReturnValues can only be ALL_OLD or NONE")
	}
	return m, in.parse(m, nil)
}

func (s *Server) updateItem(in *keyInput) (any, error) { return s.writeKey(in, mutateUpdate) }
func (s *Server) deleteItem(in *keyInput) (any, error) { return s.writeKey(in, mutateDelete) }

func (s *Server) writeKey(in *keyInput, kind mutationKind) (any, error) {
	m, err := in.mutation(kind)
	if err != nil {
		return nil, err
	}
	old, new, err := s.mutate(m)
	if err != nil {
		return nil, err
	}
	return in.output(m, old, new), nil
}

type getInput struct {
	TableName              *string
	Key                    wireMap
	ProjectionExpression   *string
	ConsistentRead         bool
	ReturnConsumedCapacity string
	expressions
	legacy
}

// projection parses the projection expression, nil where there is none.
func projection(src *string, e expressions, l legacy) (*expr.Projection, error) {
	from := source{"ProjectionExpression", src}
	if err := l.refuse(from); err != nil {
		return nil, err
	}
	b, err := e.bind(from)
	if err != nil || src == nil {
		return nil, err
	}
	p, err := expr.ParseProjection(*src, b)
	if err != nil {
		return nil, err
	}
	return p, b.CheckUnused()
}

func (s *Server) getItem(in *getInput) (any, error) {
	name, err := tableName(in.TableName)
	if err != nil {
		return nil, err
	}
	if in.Key == nil {
		return nil, constraint("null", "key", "Member must not be null")
	}
	if err := checkCapacityOption(in.ReturnConsumedCapacity); err != nil {
		return nil, err
	}
	p, err := projection(in.ProjectionExpression, in.expressions, in.legacy)
	if err != nil {
		return nil, err
	}
	key, err := in.Key.item()
	if err != nil {
		return nil, err
	}
	item, units, err := s.readOne(name, key, in.ConsistentRead)
	if err != nil {
		return nil, err
	}
	var u usage
	u.addRead(name, units)
	out := map[string]any{}
	if item != nil {
		out["Item"] = p.Apply(item)
	}
	if c := u.one(in.ReturnConsumedCapacity); c != nil {
		out["ConsumedCapacity"] = c
	}
	return out, nil
}

// readOne reads one item, whole, and what that costs.
func (s *Server) readOne(name string, key proa.Item, consistent bool) (proa.Item, float64, error) {
	t, err := s.open(name, notFound("Requested resource not found"))
	if err != nil {
		return nil, 0, err
	}
	defer t.mu.RUnlock()
	k, err := exactKey(t.meta.Schema, key)
	if err != nil {
		return nil, 0, err
	}
	item, err := readItem(s.db, itemKey(t.meta.ID, k))
	if err != nil {
		return nil, 0, err
	}
	units := readUnits(itemSize(item), consistent)
	if err := t.reads.take(units, s.cfg.Clock()); err != nil {
		return nil, 0, err
	}
	return item, units, s.durable.wait(s.stripeOf(t.meta.ID, k).ticket.Load())
}
