package datasync

import (
	"context"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/datasync/resolve"
	"github.com/proa-cloud/proa/datasync/shadow"
)

// seekBatch is the most keys that are looked up between two reads of the feed; what does not fit is
// looked up by the core's own slower way.
const seekBatch = 64

// unseen has keys looked up that a write has met where nothing was known: while a side is being
// scanned after a change of owner, that need not wait for the scan to come to them.
func (t *table) unseen(sd *side, r result) {
	in, ok := r.in.(resolve.Applied)
	if !ok || in.Outcome != resolve.Conflict {
		return
	}
	sd.mu.Lock()
	scanned := sd.scanned
	sd.mu.Unlock()
	if scanned {
		return
	}
	select {
	case sd.seek <- r.key:
	default:
	}
}

// seek reads the rows of such keys, waits until the feed has been read past that, as for any row
// without a place in it, and steps the core with them.
func (t *table) seek(ctx context.Context, sd *side) error {
	for {
		var keys []proa.Key
		select {
		case key := <-sd.seek:
			keys = append(keys, key)
		case <-ctx.Done():
			return nil
		}
		_ = sleep(ctx, 2*time.Millisecond, nil) // others follow
		for more := true; more && len(keys) < seekBatch; {
			select {
			case key := <-sd.seek:
				keys = append(keys, key)
			default:
				more = false
			}
		}
		began := t.clock.now()
		rows := t.lookUp(ctx, sd, keys)
		if !t.drained(ctx, sd, t.clock.now()) {
			return nil
		}
		err := t.store.Lazy(func(tx *shadow.Tx) error {
			for _, row := range rows {
				in := resolve.Observed{Side: sd.region, Row: row, Began: began}
				if _, err := t.step(tx, row.Key, t.clock.now(), in); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		t.wake()
	}
}

// lookUp reads some rows. Those that cannot be read are left out: the core asks for them again.
func (t *table) lookUp(ctx context.Context, sd *side, keys []proa.Key) []cloud.Row {
	rows := make([]cloud.Row, 0, len(keys))
	ctx, cancel := context.WithTimeout(ctx, t.cfg.ReadTimeout)
	defer cancel()
	for _, key := range keys {
		row, err := sd.table.Get(ctx, key)
		if err == nil {
			rows = append(rows, row)
		}
	}
	return rows
}
