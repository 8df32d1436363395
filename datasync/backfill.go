package datasync

import (
	"context"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/datasync/capture"
	"github.com/proa-cloud/proa/datasync/resolve"
	"github.com/proa-cloud/proa/datasync/shadow"
)

// rescanEvery is how often the backfill loop looks whether a scan has become due.
const rescanEvery = 500 * time.Millisecond

// backfill scans a side that has never been scanned, or whose feed had a gap. The feed's cursor is
// taken before the scan begins; a page's rows count only after a read of the feed that began after
// the page was read, and what the feed or a write of ours has said beats them.
func (t *table) backfill(ctx context.Context, sd *side) error {
	failures := 0
	for ctx.Err() == nil {
		cp, err := t.store.Checkpoint(t.scanName(sd.region))
		if err != nil {
			return err
		}
		sd.setScanned(cp.Scanned)
		if cp.Scanned || cp.Paused || !sd.isReady() {
			_ = sleep(ctx, rescanEvery/5, nil)
			continue
		}
		ok, err := t.scanPage(ctx, sd, cp)
		if err != nil {
			return err
		}
		if ok {
			failures = 0
			continue
		}
		failures++
		_ = sleep(ctx, capture.Backoff(failures, t.cfg.PollMax, t.cfg.RetryMax, nil), nil)
	}
	return nil
}

func (sd *side) setScanned(v bool) {
	sd.mu.Lock()
	defer sd.mu.Unlock()
	sd.scanned = v
}

func (sd *side) isReady() bool {
	sd.mu.Lock()
	defer sd.mu.Unlock()
	return sd.ready
}

// scanPage reads one page of the table and steps the core with its rows. It reports whether the
// page could be read.
func (t *table) scanPage(ctx context.Context, sd *side, cp shadow.Checkpoint) (bool, error) {
	began := t.clock.now()
	if cp.ScanBegan.IsZero() {
		cp.ScanBegan = began
	}
	rows, next, err := t.readPage(ctx, sd, cp.Scan)
	if err != nil {
		return false, nil //nolint:nilerr // readPage noted it; the page is read again
	}
	if !t.drained(ctx, sd, t.clock.now()) {
		return false, nil
	}
	err = t.store.Lazy(func(tx *shadow.Tx) error {
		for _, row := range rows {
			in := resolve.Observed{Side: sd.region, Row: row, Began: began}
			if _, err := t.step(tx, row.Key, t.clock.now(), in); err != nil {
				return err
			}
		}
		return nil
	})
	t.m.scanned.Add(uint64(len(rows)))
	t.wake()
	if err == nil && next == "" && cp.Sweep {
		err = t.sweep(ctx, sd, cp.ScanBegan)
	}
	if err != nil || ctx.Err() != nil {
		return false, err
	}
	return true, t.scanned(sd, cp, next, len(rows))
}

// scanned keeps how far a scan has come, unless it was ordered anew meanwhile.
func (t *table) scanned(sd *side, cp shadow.Checkpoint, next string, rows int) error {
	sd.scan.Lock()
	defer sd.scan.Unlock()
	now, err := t.store.Checkpoint(t.scanName(sd.region))
	if err != nil || now.Order != cp.Order {
		return err
	}
	cp.Scan, cp.Rows, cp.At, cp.Scanned = next, cp.Rows+int64(rows), t.clock.now(), next == ""
	cp.Paused = now.Paused
	return t.store.Commit(func(tx *shadow.Tx) error {
		return tx.SetCheckpoint(t.scanName(sd.region), cp)
	})
}

func (t *table) readPage(
	ctx context.Context, sd *side, cursor string,
) ([]cloud.Row, string, error) {
	ctx, cancel := context.WithTimeout(ctx, t.cfg.ReadTimeout)
	defer cancel()
	return sd.table.Scan(ctx, cursor, t.cfg.PageSize)
}

// drained waits until the feed has been read to its end by a read that began after a time.
func (t *table) drained(ctx context.Context, sd *side, after time.Time) bool {
	for ctx.Err() == nil {
		if sd.freshness().After(after) {
			return true
		}
		poke(sd.poll)
		_ = sleep(ctx, 2*time.Millisecond, nil)
	}
	return false
}

// sweep tells the core which keys a complete scan has not met. Nothing is deleted for it: they are
// written again.
func (t *table) sweep(ctx context.Context, sd *side, began time.Time) error {
	after := ""
	for ctx.Err() == nil {
		var missing []proa.Key
		next, err := t.store.Walk(t.schema.Table, after, 1000, func(_ string, st *resolve.State) error {
			if st.Unmet(sd.region, began) {
				missing = append(missing, st.Key)
			}
			return nil
		})
		if err != nil {
			return err
		}
		err = t.store.Lazy(func(tx *shadow.Tx) error {
			for _, key := range missing {
				in := resolve.Observed{Side: sd.region, Row: cloud.Row{Key: key}, Began: began}
				if _, err := t.step(tx, key, t.clock.now(), in); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil || next == "" {
			return err
		}
		after = next
	}
	return nil
}
