package cosmos

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/proa-cloud/proa/azure/local/cosmos/value"
	"github.com/proa-cloud/proa/internal/store"
)

// txn collects the effects of one write on one physical partition: one LSN, one Pebble batch with
// documents, log records, indexes and counters. It reads its own writes.
type txn struct {
	c      *container
	p      *partition
	b      *pebble.Batch
	now    int64 // seconds
	lsn    uint64
	seq    uint16
	number uint64
	wrote  bool
	seen   map[string]*record // documents written in this transaction; nil: deleted
	unique map[string]string  // unique keys taken in this transaction: key to document; "": released
}

// maxSeq bounds the log records of one transaction: a batch has at most 100 operations, each with
// at most two records.
const maxSeq = 1000

// commit runs f under the partition's lock and makes its effects durable before it returns. When f
// fails, nothing has happened. The caller holds c.mu for reading.
func (c *container) commit(p *partition, f func(*txn) *apiError) (uint64, *apiError) {
	t, err := c.stage(p, f)
	if err != nil {
		return 0, err
	}
	if !t.wrote {
		lsn := p.appliedLSN()
		p.waitDurable(lsn) // what was read may be on its way to the disk
		return lsn, nil
	}
	defer t.b.Close()
	if err := t.b.SyncWait(); err != nil {
		return 0, internalError(fmt.Errorf("make a write durable: %w", err))
	}
	p.markDurable(t.lsn)
	return t.lsn, nil
}

// stage judges and applies; concurrent writers queue here for microseconds, and for the disk
// outside.
func (c *container) stage(p *partition, f func(*txn) *apiError) (*txn, *apiError) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := &txn{
		c: c, p: p, b: c.srv.db.NewBatch(), now: c.srv.cfg.Clock().Unix(), lsn: p.lsn + 1,
		number: p.number,
	}
	if err := f(t); err != nil {
		t.b.Close()
		return nil, err
	}
	if !t.wrote {
		t.b.Close()
		return t, nil
	}
	counters := encodeCounters(t.lsn, t.number, p.trimmedLSN())
	if err := t.b.Set(keyRange(prefixCounters, c.meta.CID, p.ID), counters, nil); err != nil {
		t.b.Close()
		return nil, internalError(err)
	}
	if err := c.srv.db.ApplyNoSyncWait(t.b, store.Sync); err != nil {
		t.b.Close()
		return nil, internalError(fmt.Errorf("apply a write: %w", err))
	}
	p.lsn, p.number = t.lsn, t.number
	return t, nil
}

// read returns the stored document, nil when there is none.
func (c *container) read(key string) (*record, error) {
	b, closer, err := c.srv.db.Get(keyDocument(c.meta.CID, key))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer closer.Close()
	return decodeRecord(b)
}

// get returns the live document: one that has expired, but is not purged yet, is not there.
func (t *txn) get(key string) (*record, error) {
	r, err := t.stored(key)
	if err != nil || r == nil || expired(r, t.now) {
		return nil, err
	}
	return r, nil
}

func (t *txn) stored(key string) (*record, error) {
	if r, ok := t.seen[key]; ok {
		return r, nil
	}
	return t.c.read(key)
}

func expired(r *record, now int64) bool { return r.Expiry != 0 && r.Expiry <= now }

// put stores a document in the place of old (nil: none). The system properties are added to doc.
func (t *txn) put(key string, doc value.Value, old *record) (*record, *apiError) {
	if old == nil {
		// What has expired leaves before what takes its place comes.
		if err := t.purge(key); err != nil {
			return nil, err
		}
	}
	r := &record{Range: t.p.ID, LSN: t.lsn, Seq: t.seq, TS: t.now}
	if old != nil {
		r.Number = old.Number
	} else {
		t.number++
		r.Number = uint64(t.p.ID)<<40 | t.number
	}
	ttl, bad := t.c.expiry(doc, t.now)
	if bad != nil {
		return nil, bad
	}
	r.Expiry = ttl
	r.ETag = fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", t.c.meta.CID, t.p.ID&0xFFFF, t.seq,
		uint16(t.now), t.lsn)
	r.Body = t.c.finish(doc, r).JSON()
	if len(r.Body) > maxItemBytes {
		return nil, tooLarge()
	}
	if err := t.takeUnique(key, doc, old); err != nil {
		return nil, err
	}
	ch := &change{Op: opCreate, TS: t.now, DocKey: key, Current: r.Body}
	if old != nil {
		ch.Op, ch.Previous = opReplace, old.LSN
		if t.c.srv.cfg.PreviousImages {
			ch.Before = old.Body
		}
	}
	if err := t.write(key, r, old, ch); err != nil {
		return nil, internalError(err)
	}
	return r, nil
}

// remove deletes a stored document; byTTL says that it expired.
func (t *txn) remove(key string, old *record, byTTL bool) *apiError {
	if err := t.releaseUnique(key, old); err != nil {
		return err
	}
	ch := &change{Op: opDelete, Expired: byTTL, TS: t.now, DocKey: key, Previous: old.LSN}
	if t.c.srv.cfg.PreviousImages {
		ch.Before = old.Body
	}
	if err := t.write(key, nil, old, ch); err != nil {
		return internalError(err)
	}
	return nil
}

// purge removes the document if it has expired.
func (t *txn) purge(key string) *apiError {
	r, err := t.stored(key)
	if err != nil {
		return internalError(err)
	}
	if r == nil || !expired(r, t.now) {
		return nil
	}
	return t.remove(key, r, true)
}

// write adds all records of one change to the batch.
func (t *txn) write(key string, next, old *record, ch *change) error {
	if t.seq >= maxSeq {
		return errors.New("too many changes in one transaction")
	}
	cid := t.c.meta.CID
	var errs []error
	set := func(k, v []byte) { errs = append(errs, t.b.Set(k, v, nil)) }
	drop := func(k []byte) { errs = append(errs, t.b.Delete(k, nil)) }
	if old != nil {
		drop(keyLSN(prefixVersion, cid, old.Range, old.LSN, old.Seq))
		if old.Expiry != 0 {
			drop(keyExpiry(cid, old.Expiry, key))
		}
	}
	if next != nil {
		next.Seq = t.seq
		set(keyDocument(cid, key), next.encode())
		set(keyLSN(prefixVersion, cid, t.p.ID, t.lsn, t.seq), []byte(key))
		if next.Expiry != 0 {
			set(keyExpiry(cid, next.Expiry, key), nil)
		}
	} else {
		drop(keyDocument(cid, key))
	}
	set(keyLSN(prefixFeed, cid, t.p.ID, t.lsn, t.seq), ch.encode())
	if t.seen == nil {
		t.seen = map[string]*record{}
	}
	t.seen[key] = next
	t.seq++
	t.wrote = true
	return errors.Join(errs...)
}

// systemProperties are set by the service and ignored when a client sends them.
var systemProperties = []string{"_rid", "_self", "_etag", "_attachments", "_ts", "_lsn"}

// finish adds the system properties, in the service's order.
func (c *container) finish(doc value.Value, r *record) value.Value {
	rid := ridChild(c.meta.RID, r.Number, 0)
	out := doc.Without(systemProperties...)
	out.Members = append(out.Members,
		value.Member{Name: "_rid", Value: value.OfString(rid)},
		value.Member{Name: "_self", Value: value.OfString(c.self() + "docs/" + rid + "/")},
		value.Member{Name: "_etag", Value: value.OfString(`"` + r.ETag + `"`)},
		value.Member{Name: "_attachments", Value: value.OfString("attachments/")},
		value.Member{Name: "_ts", Value: value.OfNumber(float64(r.TS))})
	return out
}
