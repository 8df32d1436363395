package dynamodb

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"github.com/proa-cloud/proa"
)

type ttlSpec struct {
	AttributeName *string
	Enabled       *bool
}

type updateTTLInput struct {
	TableName               *string
	TimeToLiveSpecification *ttlSpec
}

func (s *Server) updateTTL(in *updateTTLInput) (any, error) {
	spec := in.TimeToLiveSpecification
	const member = "timeToLiveSpecification"
	switch {
	case spec == nil:
		return nil, constraint("null", member, "Member must not be null")
	case spec.AttributeName == nil:
		return nil, constraint("null", member+".attributeName", "Member must not be null")
	case spec.Enabled == nil:
		return nil, constraint("null", member+".enabled", "Member must not be null")
	case *spec.AttributeName == "":
		return nil, constraint("''", member+".attributeName", "Member must have length greater than or "+
			"equal to 1")
	}
	t, err := s.openAlone(in.TableName)
	if err != nil {
		return nil, err
	}
	defer t.mu.Unlock()
	switch {
	case t.meta.TTL && *spec.Enabled && t.meta.TTLName != *spec.AttributeName:
		return nil, invalid("TimeToLive is active on a different AttributeName: current AttributeName "+
			"is %s", t.meta.TTLName)
	case t.meta.TTL && *spec.Enabled:
		return nil, invalid("TimeToLive is already enabled")
	case !t.meta.TTL && !*spec.Enabled:
		return nil, invalid("TimeToLive is already disabled")
	}
	err = s.alter(t, nil, func(m *tableMeta) {
		m.TTL, m.TTLName = *spec.Enabled, *spec.AttributeName
	}, func(b *pebble.Batch) error { return s.indexExpiries(b, t, spec) })
	if err != nil {
		return nil, err
	}
	return map[string]any{"TimeToLiveSpecification": spec}, nil
}

// indexExpiries writes the expiries of the items that are there already, or drops all when time to
// live goes off.
func (s *Server) indexExpiries(b *pebble.Batch, t *table, spec *ttlSpec) error {
	if !*spec.Enabled {
		all := prefixed(prefixExpiry, t.meta.ID)
		return b.DeleteRange(all, prefixEnd(all), nil)
	}
	return s.eachPair(prefixed(prefixItem, t.meta.ID), func(key, value []byte) error {
		item, err := decodeItem(value)
		if err != nil {
			return err
		}
		if at, ok := expiry(item, *spec.AttributeName); ok {
			return b.Set(expiryKey(t.meta.ID, at, key), nil, nil)
		}
		return nil
	})
}

func (s *Server) describeTTL(in *nameInput) (any, error) {
	name, err := tableName(in.TableName)
	if err != nil {
		return nil, err
	}
	t, err := s.open(name, tableMissing(name))
	if err != nil {
		return nil, err
	}
	defer t.mu.RUnlock()
	d := map[string]any{"TimeToLiveStatus": "DISABLED"}
	if t.meta.TTL {
		d["TimeToLiveStatus"], d["AttributeName"] = "ENABLED", t.meta.TTLName
	}
	return map[string]any{"TimeToLiveDescription": d}, nil
}

// expiry returns when an item expires, in epoch seconds. Only a number does that.
func expiry(item proa.Item, name string) (int64, bool) {
	v := item[name]
	if v.Kind != proa.KindN {
		return 0, false
	}
	whole, _, _ := strings.Cut(v.Str, ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	return n, err == nil && n > 0
}

// writeExpiry moves an item's expiry in the batch; the caller holds the table's lock.
func (t *table) writeExpiry(b *pebble.Batch, key []byte, old, new proa.Item) error {
	if !t.meta.TTL {
		return nil
	}
	was, had := expiry(old, t.meta.TTLName)
	at, has := expiry(new, t.meta.TTLName)
	if had && (!has || was != at) {
		if err := b.Delete(expiryKey(t.meta.ID, was, key), nil); err != nil {
			return err
		}
	}
	if has && (!had || was != at) {
		return b.Set(expiryKey(t.meta.ID, at, key), nil, nil)
	}
	return nil
}

// ttlHorizon is how long past its expiry an item is left alone: the vendor takes older stamps for
// mistakes.
const ttlHorizonSeconds = 5 * 365 * 24 * 3600

// maxExpirePerSweep bounds one table's share of a sweep.
const maxExpirePerSweep = 10000

// expire deletes the table's items whose time has come, each as a write of its own by the service
// itself.
func (s *Server) expire(ctx context.Context, t *table) error {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.dropped || !t.meta.TTL {
		return nil
	}
	keys, err := s.dueKeys(t)
	if err != nil {
		return err
	}
	var pending []*commitment
	for _, key := range keys {
		if ctx.Err() != nil {
			break
		}
		c, e := s.expireOne(t, key)
		if err = errors.Join(err, e); c != nil {
			pending = append(pending, c)
		}
	}
	for _, c := range pending {
		err = errors.Join(err, c.await())
	}
	return err
}

// dueKeys returns the database's keys of the items whose expiry is in the past.
func (s *Server) dueKeys(t *table) (keys [][]byte, err error) {
	now := s.cfg.Clock().Unix()
	prefix := prefixed(prefixExpiry, t.meta.ID)
	it, err := s.db.NewIter(&pebble.IterOptions{
		LowerBound: binary.BigEndian.AppendUint64(slices.Clone(prefix), uint64(max(0,
			now-ttlHorizonSeconds))),
		UpperBound: binary.BigEndian.AppendUint64(slices.Clone(prefix), uint64(now)),
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.First(); ok && len(keys) < maxExpirePerSweep; ok = it.Next() {
		keys = append(keys, slices.Clone(it.Key()[len(prefix)+8:]))
	}
	return keys, it.Error()
}

// expireOne deletes an item if it is still there and still due.
func (s *Server) expireOne(t *table, key []byte) (*commitment, error) {
	item, err := readItem(s.db, key)
	if err != nil || item == nil {
		return nil, err
	}
	k, err := t.meta.Schema.KeyOf(item)
	if err != nil {
		return nil, err
	}
	stripe := s.stripeOf(t.meta.ID, k)
	stripe.Lock()
	defer stripe.Unlock()
	if item, err = readItem(s.db, key); err != nil || item == nil {
		return nil, err
	}
	if at, ok := expiry(item, t.meta.TTLName); !ok || at >= s.cfg.Clock().Unix() {
		return nil, nil
	}
	return s.commit([]change{{table: t, key: k, old: item, expired: true}}, nil)
}
