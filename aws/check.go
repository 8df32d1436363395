package aws

import (
	"fmt"

	"github.com/proa-cloud/proa"
)

// Limits of DynamoDB.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
const (
	maxItem     = 400 << 10
	maxHashKey  = 2048
	maxRangeKey = 1024
	maxNesting  = 32
	envelopeMax = 256 // bytes that an envelope adds at most
)

// Check says why an item cannot be stored here as it is, with the envelope that replication adds;
// nil where it can. It makes no call. Sizes are counted as DynamoDB documents it.
func (t *Table) Check(item proa.Item) error {
	key, err := t.schema.KeyOf(item)
	if err != nil {
		return err
	}
	for _, k := range []struct {
		name  string
		value proa.Value
		most  int
	}{{t.schema.HashName, key.Hash, maxHashKey}, {t.schema.RangeName, key.Range, maxRangeKey}} {
		switch n := len(k.value.Str); {
		case k.name == "" || k.value.Kind == proa.KindN:
		case n == 0:
			return fmt.Errorf("key attribute %s is empty: %w", k.name, proa.ErrInvalid)
		case n > k.most:
			return fmt.Errorf("key attribute %s has %d bytes of at most %d: %w", k.name, n, k.most, proa.ErrTooLarge)
		}
	}
	size := envelopeMax
	for name, v := range item {
		if err := checkValue(v); err != nil {
			return fmt.Errorf("attribute %s: %w", name, err)
		}
		if depth := depthOf(v); depth > maxNesting {
			return fmt.Errorf("attribute %s: nested %d deep, DynamoDB takes %d: %w", name, depth, maxNesting, proa.ErrInvalid)
		}
		size += len(name) + sizeOf(v)
	}
	if size > maxItem {
		return fmt.Errorf("item of about %d bytes with its envelope, DynamoDB takes %d: %w", size, maxItem, proa.ErrTooLarge)
	}
	return nil
}

func depthOf(v proa.Value) int {
	deepest := 0
	for _, e := range v.List {
		deepest = max(deepest, depthOf(e))
	}
	for _, e := range v.Map {
		deepest = max(deepest, depthOf(e))
	}
	if v.Kind == proa.KindL || v.Kind == proa.KindM {
		return deepest + 1
	}
	return deepest
}

func sizeOf(v proa.Value) int {
	var n int
	switch v.Kind {
	case proa.KindN:
		n = (len(v.Str)+1)/2 + 1
	case proa.KindL, proa.KindM:
		n = 3
	default:
		n = max(len(v.Str), 1)
	}
	for _, e := range v.List {
		n += sizeOf(e) + 1
	}
	for name, e := range v.Map {
		n += len(name) + sizeOf(e) + 1
	}
	for _, m := range v.Set {
		n += len(m)
	}
	return n
}
