package cosmos

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/proa-cloud/proa/azure/local/cosmos/value"
	"github.com/proa-cloud/proa/internal/store"
)

// expiry returns when a document written now expires, 0 for never. Time to live counts only in
// containers that have it on.
func (c *container) expiry(doc value.Value, now int64) (int64, *apiError) {
	ttl := doc.Get("ttl")
	if ttl.Kind == value.Undefined || ttl.Kind == value.Null {
		return expiryOf(c.ttl, nil, now), nil
	}
	n := int64(ttl.Num)
	if ttl.Kind != value.Number || float64(n) != ttl.Num || n != -1 && (n < 1 || n > maxTTL) {
		return 0, badRequest("The input ttl '%s' is invalid. Ensure to provide a nonzero positive "+
			"'int32' value or -1.", ttl.JSON())
	}
	return expiryOf(c.ttl, &n, now), nil
}

func expiryOf(def, own *int64, written int64) int64 {
	if def == nil {
		return 0
	}
	ttl := *def
	if own != nil {
		ttl = *own
	}
	if ttl < 0 {
		return 0
	}
	return written + ttl
}

// reindexExpiry rewrites the expiry of every document after the container's default changed. The
// caller holds c.mu for writing.
func (c *container) reindexExpiry(b *pebble.Batch, def *int64) error {
	if (def == nil) == (c.ttl == nil) && (def == nil || *def == *c.ttl) {
		return nil
	}
	from := key32(prefixExpiry, c.meta.CID)
	if err := b.DeleteRange(from, upperBound(from), nil); err != nil {
		return err
	}
	prefix := key32(prefixDocument, c.meta.CID)
	return c.srv.each(prefix, func(k, v []byte) error {
		r, err := decodeRecord(v)
		if err != nil {
			return err
		}
		doc, err := r.value()
		if err != nil {
			return err
		}
		var own *int64
		if t := doc.Get("ttl"); t.Kind == value.Number {
			n := int64(t.Num)
			own = &n
		}
		next := expiryOf(def, own, r.TS)
		if next == r.Expiry && next == 0 {
			return nil
		}
		if r.Expiry = next; next != 0 {
			if err := b.Set(keyExpiry(c.meta.CID, next, string(k[len(prefix):])), nil, nil); err != nil {
				return err
			}
		}
		return b.Set(k, r.encode(), nil)
	})
}

// Run purges expired items and trims the all-versions log until ctx ends. Without it expired items
// are invisible, but never deleted.
func (s *Server) Run(ctx context.Context) error {
	tick := time.NewTicker(s.cfg.Background)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := s.Maintain(ctx); err != nil {
			s.cfg.Logger.Error("cosmos maintenance failed", "error", err)
		}
	}
}

// Maintain purges what has expired and trims what is older than the retention, once.
func (s *Server) Maintain(ctx context.Context) error {
	s.maintain.Lock()
	defer s.maintain.Unlock()
	for _, c := range s.allContainers() {
		if err := c.purgeExpired(ctx); err != nil {
			return fmt.Errorf("purge expired items of %q: %w", c.meta.ID, err)
		}
		if err := c.trim(ctx); err != nil {
			return fmt.Errorf("trim the change log of %q: %w", c.meta.ID, err)
		}
	}
	return nil
}

func (s *Server) allContainers() []*container {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := make([]*container, 0, len(s.containers))
	for _, c := range s.containers {
		out = append(out, c)
	}
	return out
}

const purgeChunk = 100

// purgeExpired deletes what is due, in transactions of up to 100 items of one physical partition
// each.
func (c *container) purgeExpired(ctx context.Context) error {
	for ctx.Err() == nil {
		due, err := c.dueKeys(c.srv.cfg.Clock().Unix())
		if err != nil || len(due) == 0 {
			return err
		}
		if err := c.purgeKeys(due); err != nil {
			return err
		}
		if len(due) < purgeChunk {
			return nil
		}
	}
	return nil
}

// dueKeys lists up to purgeChunk documents whose time has come.
func (c *container) dueKeys(now int64) ([]string, error) {
	from := key32(prefixExpiry, c.meta.CID)
	to := binary.BigEndian.AppendUint64(key32(prefixExpiry, c.meta.CID), uint64(now)+1)
	it, err := c.srv.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return nil, err
	}
	var due []string
	for ok := it.First(); ok && len(due) < purgeChunk; ok = it.Next() {
		due = append(due, string(it.Key()[len(from)+8:]))
	}
	return due, it.Close()
}

func (c *container) purgeKeys(due []string) error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.gone {
		return nil
	}
	byPartition := map[*partition][]string{}
	for _, key := range due {
		e, _, _ := splitDocKey(key)
		p := c.partitionOf(e)
		byPartition[p] = append(byPartition[p], key)
	}
	for p, keys := range byPartition {
		_, err := c.commit(p, func(t *txn) *apiError {
			for _, key := range keys {
				if err := t.purge(key); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// trim drops log records older than the retention.
func (c *container) trim(ctx context.Context) error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.gone {
		return nil
	}
	before := c.srv.cfg.Clock().Add(-c.srv.cfg.Retention).Unix()
	for _, p := range c.ranges {
		for _, log := range p.lineage() {
			if ctx.Err() != nil {
				return nil
			}
			if err := c.trimLog(p, log, before); err != nil {
				return err
			}
		}
	}
	return nil
}

// trimLog drops the records of one log that p descends from, and notes the last LSN that is
// missing.
func (c *container) trimLog(p *partition, log uint32, before int64) error {
	from := keyRange(prefixFeed, c.meta.CID, log)
	last, found, err := c.lastOlder(from, before)
	if err != nil || !found {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	b := c.srv.db.NewBatch()
	defer b.Close()
	if err := b.DeleteRange(from, keyLSN(prefixFeed, c.meta.CID, log, last+1, 0), nil); err != nil {
		return err
	}
	for _, q := range c.ranges {
		if q != p && !contains(q.lineage(), log) {
			continue
		}
		if err := c.noteTrimmed(b, q, q == p, last); err != nil {
			return err
		}
	}
	return b.Commit(store.Sync)
}

// noteTrimmed records the gap in a partition whose history includes the trimmed log.
func (c *container) noteTrimmed(b *pebble.Batch, q *partition, locked bool, last uint64) error {
	if !locked {
		q.mu.Lock()
		defer q.mu.Unlock()
	}
	q.durableMu.Lock()
	q.trimmed = max(q.trimmed, last)
	q.durableMu.Unlock()
	return b.Set(keyRange(prefixCounters, c.meta.CID, q.ID), encodeCounters(q.lsn, q.number,
		q.trimmed), nil)
}

// lastOlder finds the last LSN of the log's leading records that are older than before. Records of
// one transaction stay together.
func (c *container) lastOlder(from []byte, before int64) (last uint64, found bool, err error) {
	it, err := c.srv.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: upperBound(from)})
	if err != nil {
		return 0, false, err
	}
	for ok := it.First(); ok; ok = it.Next() {
		ch, err := decodeChange(it.Value())
		if err != nil {
			it.Close()
			return 0, false, err
		}
		if ch.TS >= before {
			break
		}
		last, _ = lsnOf(it.Key())
		found = true
	}
	return last, found, it.Close()
}

func contains(list []uint32, n uint32) bool {
	for _, x := range list {
		if x == n {
			return true
		}
	}
	return false
}
