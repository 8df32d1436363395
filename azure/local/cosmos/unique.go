package cosmos

import (
	"encoding/binary"
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"github.com/proa-cloud/proa/azure/local/cosmos/value"
)

// uniqueKeys returns the index keys of a document, one a unique key. A missing property counts as
// null: two documents without it collide, as in the service. Unique keys hold within a logical
// partition.
func (c *container) uniqueKeys(key string, doc value.Value) []string {
	if len(c.unique) == 0 {
		return nil
	}
	_, pk, _ := splitDocKey(key)
	out := make([]string, len(c.unique))
	for i, paths := range c.unique {
		k := append(key32(prefixUnique, c.meta.CID), byte(i))
		k = append(append(k, pk...), 0)
		for _, path := range paths {
			v := follow(doc, path)
			if !v.Defined() {
				v = value.OfNull()
			}
			k = append(value.AppendKey(k, v), 0)
		}
		out[i] = string(k)
	}
	return out
}

// takeUnique claims the unique keys of doc, after releasing those of old.
func (t *txn) takeUnique(key string, doc value.Value, old *record) *apiError {
	if len(t.c.unique) == 0 {
		return nil
	}
	if old != nil {
		if err := t.releaseUnique(key, old); err != nil {
			return err
		}
	}
	for _, k := range t.c.uniqueKeys(key, doc) {
		owner, err := t.uniqueOwner(k)
		if err != nil {
			return internalError(err)
		}
		if owner != "" && owner != key {
			other, err := t.get(owner)
			if err != nil {
				return internalError(err)
			}
			if other != nil {
				return uniqueViolation()
			}
		}
		if err := t.b.Set([]byte(k), []byte(key), nil); err != nil {
			return internalError(err)
		}
		t.noteUnique(k, key)
	}
	return nil
}

func (t *txn) releaseUnique(key string, old *record) *apiError {
	if len(t.c.unique) == 0 {
		return nil
	}
	doc, err := old.value()
	if err != nil {
		return internalError(err)
	}
	for _, k := range t.c.uniqueKeys(key, doc) {
		owner, err := t.uniqueOwner(k)
		if err != nil {
			return internalError(err)
		}
		if owner != key {
			continue // an expired document whose key was taken over
		}
		if err := t.b.Delete([]byte(k), nil); err != nil {
			return internalError(err)
		}
		t.noteUnique(k, "")
	}
	return nil
}

func (t *txn) noteUnique(k, owner string) {
	if t.unique == nil {
		t.unique = map[string]string{}
	}
	t.unique[k] = owner
}

func (t *txn) uniqueOwner(k string) (string, error) {
	if owner, ok := t.unique[k]; ok {
		return owner, nil
	}
	b, closer, err := t.c.srv.db.Get([]byte(k))
	if errors.Is(err, pebble.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer closer.Close()
	return string(b), nil
}

// ridBytes undoes ridText for the four bytes of a database.
func ridBytes(rid string) []byte {
	b, err := ridDecode(rid)
	if err != nil || len(b) < 4 {
		return binary.BigEndian.AppendUint32(nil, 0)
	}
	return b[:4]
}
