package dynamodb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/internal/store"
)

// watermark is the ticket up to which batches are on stable storage. The log is synced in order, so
// a ticket covers all lower ones.
type watermark struct {
	mu     sync.Mutex
	moved  *sync.Cond
	at     uint64
	broken error // a failed sync: nothing may be acknowledged any more
}

func (w *watermark) init() { w.moved = sync.NewCond(&w.mu) }

func (w *watermark) advance(ticket uint64, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at = max(w.at, ticket)
	if err != nil {
		w.broken = err
	}
	w.moved.Broadcast()
}

func (w *watermark) wait(ticket uint64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.at < ticket && w.broken == nil {
		w.moved.Wait()
	}
	return w.broken
}

// lastIDs are the counters that never go back. They are stored with every batch that moves them.
type lastIDs struct{ sequence, table, stream uint64 }

func (l lastIDs) encode() []byte {
	b := binary.BigEndian.AppendUint64(nil, l.sequence)
	b = binary.BigEndian.AppendUint64(b, l.table)
	return binary.BigEndian.AppendUint64(b, l.stream)
}

func decodeLastIDs(b []byte) (lastIDs, error) {
	if len(b) != 24 {
		return lastIDs{}, errors.New("counters: wrong length")
	}
	at := func(i int) uint64 { return binary.BigEndian.Uint64(b[8*i:]) }
	return lastIDs{sequence: at(0), table: at(1), stream: at(2)}, nil
}

// change is one item's transition from old to new; a nil item does not exist.
type change struct {
	table    *table
	key      proa.Key
	old, new proa.Item
	expired  bool // by time to live, not by a user
}

// noop reports whether nothing changed, which the vendor's streams do not record.
func (c change) noop() bool {
	return (c.old == nil) == (c.new == nil) && c.old.Equal(c.new)
}

// commit writes changes, their expiries, stream records and counters as one batch and returns its
// ticket once the batch is applied. The caller holds the changes' stripes and their tables' locks,
// may release them then, and must await the ticket before it answers. Extra writes more into the
// same batch.
func (s *Server) commit(changes []change, extra func(*pebble.Batch) error) (*commitment, error) {
	batch := s.db.NewBatch()
	for _, c := range changes {
		if err := c.write(batch); err != nil {
			return nil, errors.Join(err, batch.Close())
		}
	}
	if extra != nil {
		if err := extra(batch); err != nil {
			return nil, errors.Join(err, batch.Close())
		}
	}
	s.commitMu.Lock()
	defer s.commitMu.Unlock()
	return s.apply(batch, changes)
}

// apply completes a batch with what must be in order and applies it. The caller holds commitMu.
func (s *Server) apply(batch *pebble.Batch, changes []change) (*commitment, error) {
	for _, c := range changes {
		if err := s.record(batch, c); err != nil {
			return nil, errors.Join(err, batch.Close())
		}
	}
	if err := batch.Set([]byte{prefixLast}, s.last.encode(), nil); err != nil {
		return nil, errors.Join(err, batch.Close())
	}
	ticket := s.ticket.Add(1)
	for _, c := range changes {
		s.stripeOf(c.table.meta.ID, c.key).ticket.Store(ticket)
	}
	if err := s.db.ApplyNoSyncWait(batch, store.Sync); err != nil {
		err = fmt.Errorf("commit: %w", err)
		s.durable.advance(ticket, err)
		return nil, err
	}
	return &commitment{s: s, batch: batch, ticket: ticket}, nil
}

// commitment is a batch that is applied and on its way to stable storage.
type commitment struct {
	s      *Server
	batch  *pebble.Batch
	ticket uint64
}

// await returns once the batch is on stable storage. It must be called exactly once.
func (c *commitment) await() error {
	err := c.batch.SyncWait()
	c.s.durable.advance(c.ticket, err)
	return errors.Join(err, c.batch.Close())
}

// write puts the item itself, and its expiry while the table has one, into a batch.
func (c change) write(batch *pebble.Batch) error {
	if c.noop() {
		return nil
	}
	id := c.table.meta.ID
	key := itemKey(id, c.key)
	if err := c.table.writeExpiry(batch, key, c.old, c.new); err != nil {
		return err
	}
	if err := c.writeEntries(batch); err != nil {
		return err
	}
	if c.new == nil {
		return batch.Delete(key, nil)
	}
	return batch.Set(key, encodeItem(c.new), nil)
}

// record counts the change and writes its stream record. The caller holds commitMu.
func (s *Server) record(batch *pebble.Batch, c change) error {
	if c.noop() {
		return nil
	}
	t := c.table
	t.count(c)
	if err := batch.Set(prefixed(prefixCount, t.meta.ID), t.size.encode(), nil); err != nil {
		return err
	}
	if t.stream == nil {
		return nil
	}
	s.last.sequence++
	shard := t.stream.openShard(c.key)
	rec := newRecord(c, t.stream.meta.View, s.cfg.Clock())
	return batch.Set(recordKey(t.stream.meta.ID, shard.Num, s.last.sequence), rec.encode(), nil)
}

func stripeIndex(table uint64, k proa.Key) int {
	return int((uint64(partition(k.Hash)) + table*0x9E3779B1) % numStripes)
}

func (s *Server) stripeOf(table uint64, k proa.Key) *stripe {
	return &s.stripes[stripeIndex(table,
		k)]
}

// lockStripes locks the stripes of all keys in one order, so that no two callers wait for each
// other.
func (s *Server) lockStripes(indexes []int) (unlock func()) {
	slices.Sort(indexes)
	indexes = slices.Compact(indexes)
	for _, i := range indexes {
		s.stripes[i].Lock()
	}
	return func() {
		for _, i := range indexes {
			s.stripes[i].Unlock()
		}
	}
}
