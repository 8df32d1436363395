package dynamodb

import (
	"slices"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/aws/local/dynamodb/expr"
)

// space is what a query or scan reads: a table or one of its indexes. The table's lock is held.
type space struct {
	t     *table
	index *indexMeta // nil for the table itself
	whole bool       // a local index's reader wants attributes beyond the projection
}

// space finds what a request reads and refuses what an index cannot give.
func (in *readInput) space(t *table, p *expr.Projection) (*space, error) {
	sp := &space{t: t}
	if _, err := in.schema(t); err != nil || in.IndexName == nil {
		return sp, err
	}
	ix := t.meta.index(*in.IndexName)
	sp.index = ix
	if !ix.Global {
		sp.whole = in.Select == "ALL_ATTRIBUTES" || p != nil
		return sp, nil
	}
	if in.ConsistentRead {
		return nil, invalid("Consistent reads are not supported on global secondary indexes")
	}
	if ix.Projection == projectAll {
		return sp, nil
	}
	if in.Select == "ALL_ATTRIBUTES" {
		return nil, invalid("One or more parameter values were invalid: Select type ALL_ATTRIBUTES is "+
			"not supported "+
			"for global secondary index %s because its projection type is not ALL", ix.Name)
	}
	for _, name := range p.Names() {
		if !ix.holds(t.meta.Schema, name) {
			return nil, invalid("One or more parameter values were invalid: "+
				"Global secondary index %s does not project [%s]", ix.Name, name)
		}
	}
	return sp, nil
}

// schema is the key schema of the table or index that the request reads.
func (in *readInput) schema(t *table) (proa.Schema, error) {
	if in.IndexName == nil {
		return t.meta.Schema, nil
	}
	if ix := t.meta.index(*in.IndexName); ix != nil {
		return ix.Schema, nil
	}
	return proa.Schema{}, invalid("The table does not have the specified index: %s", *in.IndexName)
}

// holds reports whether the index projects an attribute.
func (ix *indexMeta) holds(primary proa.Schema, name string) bool {
	keys := []string{ix.Schema.HashName, ix.Schema.RangeName, primary.HashName, primary.RangeName}
	return slices.Contains(keys, name) || slices.Contains(ix.Include, name)
}

func (sp *space) schema() proa.Schema {
	if sp.index != nil {
		return sp.index.Schema
	}
	return sp.t.meta.Schema
}

func (sp *space) partition(hash proa.Value) []byte {
	if sp.index != nil {
		return sp.index.partition(hash)
	}
	return partitionPrefix(sp.t.meta.ID, hash)
}

// all is the beginning of every key in the space.
func (sp *space) all() []byte {
	if sp.index != nil {
		return prefixed(prefixIndex, sp.index.ID)
	}
	return prefixed(prefixItem, sp.t.meta.ID)
}

// at is the first key of a partition with the given range key.
func (sp *space) at(partition []byte, v proa.Value) []byte {
	if sp.index != nil {
		return appendSortable(slices.Clone(partition), v)
	}
	return appendRange(slices.Clone(partition), v)
}

// past is the first key after those with the range key that at stands for.
func (sp *space) past(at []byte) []byte {
	if sp.index != nil {
		return prefixEnd(at)
	}
	return successor(at)
}

// beginning starts the keys of a partition whose range key begins with v, an S or B.
func (sp *space) beginning(partition []byte, v proa.Value) []byte {
	b := sp.at(partition, v)
	if sp.index != nil {
		return b[:len(b)-2] // without the terminator
	}
	return b
}

// narrow sets the page's bounds from the key condition and the key to start after.
func (p *page) narrow(sp *space, k expr.KeyCondition, start wireMap) error {
	schema := sp.schema()
	if p.filter != nil {
		for _, name := range p.filter.Names() {
			if name == schema.HashName || name == schema.RangeName {
				return invalid("Filter Expression can only contain non-primary key attributes: "+
					"Primary key attribute: %s", name)
			}
		}
	}
	hashOnly := proa.Schema{HashName: schema.HashName, HashKind: schema.HashKind}
	if err := checkKey(hashOnly, proa.Key{Hash: k.Hash}); err != nil {
		return err
	}
	partition := sp.partition(k.Hash)
	p.low, p.high = partition, prefixEnd(partition)
	switch k.Op {
	case "=":
		p.low = sp.at(partition, k.Low)
		p.high = sp.past(p.low)
	case "<":
		p.high = sp.at(partition, k.Low)
	case "<=":
		p.high = sp.past(sp.at(partition, k.Low))
	case ">":
		p.low = sp.past(sp.at(partition, k.Low))
	case ">=":
		p.low = sp.at(partition, k.Low)
	case "BETWEEN":
		p.low, p.high = sp.at(partition, k.Low), sp.past(sp.at(partition, k.High))
	case "begins_with":
		p.low = sp.beginning(partition, k.Low)
		p.high = prefixEnd(p.low)
	}
	if start == nil {
		return nil
	}
	key, item, err := sp.startKey(start)
	if err != nil {
		return err
	}
	if !item[schema.HashName].Equal(k.Hash) || schema.RangeName != "" &&
		!k.Matches(item[schema.RangeName]) {
		return invalid("The provided starting key is outside query boundaries based on provided " +
			"conditions")
	}
	p.after(key)
	return nil
}

// successor is the first key after b.
func successor(b []byte) []byte { return append(slices.Clone(b), 0) }

// after makes the page go on past a key, in its direction.
func (p *page) after(key []byte) {
	if p.backward {
		p.high = key
	} else {
		p.low = successor(key)
	}
}

// startKey checks the key to start after, which is that of the table and, in an index, that of the
// index too.
func (sp *space) startKey(start wireMap) ([]byte, proa.Item, error) {
	item, err := start.item()
	if err != nil {
		return nil, nil, err
	}
	refused := invalid("The provided starting key is invalid: The provided key element does not " +
		"match the schema")
	primary := sp.t.meta.Schema
	key := proa.Item{}
	for _, part := range keyParts(primary, &proa.Key{}) {
		key[part.name] = item[part.name]
	}
	k, err := exactKey(primary, key)
	if err != nil || len(item) != len(sp.lastKey(item)) {
		return nil, nil, refused
	}
	if sp.index == nil {
		return itemKey(sp.t.meta.ID, k), item, nil
	}
	entry, ok := sp.index.entryKey(primary, item)
	if !ok {
		return nil, nil, refused
	}
	return entry, item, nil
}

// lastKey is the key with which a client goes on after an item.
func (sp *space) lastKey(item proa.Item) proa.Item {
	key := proa.Item{}
	for _, schema := range []proa.Schema{sp.t.meta.Schema, sp.schema()} {
		for _, part := range keyParts(schema, &proa.Key{}) {
			key[part.name] = item[part.name]
		}
	}
	return key
}

// shape is the part of a stored item that the request may see.
func (sp *space) shape(item proa.Item) proa.Item {
	if sp.index == nil || sp.index.Global || sp.whole {
		return item
	}
	return sp.index.projected(sp.t.meta.Schema, item)
}

// segment sets the page's bounds to one part of the space's partitions.
func (p *page) segment(sp *space, segment, total int, start wireMap) error {
	p.low, p.high = segmentBounds(sp.all(), segment, total)
	if start == nil {
		return nil
	}
	at, _, err := sp.startKey(start)
	if err != nil {
		return err
	}
	if slices.Compare(at, p.low) < 0 || slices.Compare(at, p.high) >= 0 {
		return invalid("The provided starting key is invalid: "+
			"Invalid ExclusiveStartKey. Please use ExclusiveStartKey with correct Segment. "+
			"TotalSegments: %d Segment: %d", total, segment)
	}
	p.after(at)
	return nil
}
