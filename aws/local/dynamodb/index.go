package dynamodb

import (
	"errors"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/proa-cloud/proa"
)

const (
	projectAll     = "ALL"
	projectKeys    = "KEYS_ONLY"
	projectInclude = "INCLUDE"
)

// indexMeta is what is stored of a secondary index. Its entries are written in the batch of their
// item, so an index is never behind its table; the vendor's global indexes are, for a moment.
type indexMeta struct {
	ID         uint64
	Name       string
	Global     bool
	Schema     proa.Schema
	Projection string
	Include    []string `json:",omitempty"`
	ReadUnits  int64
	WriteUnits int64
}

func (ix *indexMeta) partition(hash proa.Value) []byte {
	return appendPartition(prefixed(prefixIndex, ix.ID), hash)
}

// entryKey is the key of an item's entry; ok is false for an item that lacks the index's key and so
// has none.
func (ix *indexMeta) entryKey(primary proa.Schema, item proa.Item) (key []byte, ok bool) {
	for _, part := range keyParts(ix.Schema, &proa.Key{}) {
		if v := item[part.name]; v.Kind != part.kind || v.Str == "" {
			return nil, false
		}
	}
	b := ix.partition(item[ix.Schema.HashName])
	if ix.Schema.RangeName != "" {
		b = appendSortable(b, item[ix.Schema.RangeName])
	}
	b = appendTerminated(b, item[primary.HashName].Str)
	if primary.RangeName != "" {
		b = appendRange(b, item[primary.RangeName])
	}
	return b, true
}

// appendSortable appends a range key that more follows.
func appendSortable(b []byte, v proa.Value) []byte {
	if v.Kind == proa.KindN {
		return append(appendNumber(b, v.Str), 0)
	}
	return appendTerminated(b, v.Str)
}

// projected is the part of an item that the index holds.
func (ix *indexMeta) projected(primary proa.Schema, item proa.Item) proa.Item {
	if ix.Projection == projectAll {
		return item
	}
	names := append([]string{
		ix.Schema.HashName, ix.Schema.RangeName, primary.HashName, primary.RangeName,
	}, ix.Include...)
	part := proa.Item{}
	for _, name := range names {
		if v, ok := item[name]; ok {
			part[name] = v
		}
	}
	return part
}

// stored is what an entry holds. A local index's entries are whole, since its readers may ask for
// any attribute.
func (ix *indexMeta) stored(primary proa.Schema, item proa.Item) proa.Item {
	if ix.Global {
		return ix.projected(primary, item)
	}
	return item
}

// writeEntries moves a change's index entries in a batch.
func (c change) writeEntries(batch *pebble.Batch) error {
	primary := c.table.meta.Schema
	for i := range c.table.meta.Indexes {
		ix := &c.table.meta.Indexes[i]
		old, had := ix.entryKey(primary, c.old)
		now, has := ix.entryKey(primary, c.new)
		if had && (!has || !slices.Equal(old, now)) {
			if err := batch.Delete(old, nil); err != nil {
				return err
			}
		}
		if has {
			if err := batch.Set(now, encodeItem(ix.stored(primary, c.new)), nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// units is what a write costs in the index: nothing when its part of the item stays, a write for a
// changed entry, one each for an entry that goes and one that comes.
func (ix *indexMeta) units(primary proa.Schema, old, new proa.Item) float64 {
	oldKey, had := ix.entryKey(primary, old)
	newKey, has := ix.entryKey(primary, new)
	before, after := ix.projected(primary, old), ix.projected(primary, new)
	if had && has && slices.Equal(oldKey, newKey) {
		if before.Equal(after) {
			return 0
		}
		return writeUnits(before, after)
	}
	n := 0.0
	if had {
		n += writeUnits(before, nil)
	}
	if has {
		n += writeUnits(nil, after)
	}
	return n
}

// checkIndexKeys refuses an item whose attributes cannot be keys of the table's indexes.
func (t *table) checkIndexKeys(item proa.Item) error {
	for _, ix := range t.meta.Indexes {
		for _, part := range keyParts(ix.Schema, &proa.Key{}) {
			v, ok := item[part.name]
			switch {
			case !ok:
			case v.Kind != part.kind:
				return invalid("One or more parameter values were invalid: "+
					"Type mismatch for Index Key %s Expected: %s Actual: %s IndexName: %s",
					part.name, part.kind, v.Kind, ix.Name)
			case v.Str == "":
				return invalid("One or more parameter values are not valid. "+
					"A value specified for a secondary index key is not supported. "+
					"The AttributeValue for a key attribute cannot contain an empty %s value. "+
					"IndexName: %s, IndexKey: %s", emptyName(part.kind), ix.Name, part.name)
			}
		}
	}
	return nil
}

func emptyName(k proa.Kind) string {
	if k == proa.KindB {
		return "binary"
	}
	return "string"
}

// index returns the named index.
func (m *tableMeta) index(name string) *indexMeta {
	for i := range m.Indexes {
		if m.Indexes[i].Name == name {
			return &m.Indexes[i]
		}
	}
	return nil
}

// backfill writes the entries of the items that are there already.
func (s *Server) backfill(b *pebble.Batch, t *table, ix *indexMeta) error {
	return s.eachPair(prefixed(prefixItem, t.meta.ID), func(_, value []byte) error {
		item, err := decodeItem(value)
		if err != nil {
			return err
		}
		key, ok := ix.entryKey(t.meta.Schema, item)
		if !ok {
			return nil
		}
		return b.Set(key, encodeItem(ix.stored(t.meta.Schema, item)), nil)
	})
}

// dropEntries deletes all entries of indexes.
func dropEntries(b *pebble.Batch, indexes []indexMeta) error {
	var errs []error
	for _, ix := range indexes {
		all := prefixed(prefixIndex, ix.ID)
		errs = append(errs, b.DeleteRange(all, prefixEnd(all), nil))
	}
	return errors.Join(errs...)
}
