package datasync

import (
	"context"
	"errors"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/datasync/resolve"
	"github.com/proa-cloud/proa/datasync/shadow"
)

// captureChunk is the most changes that one batch of the store takes, so that nobody waits long for
// the store.
const captureChunk = 256

// cursorEvery is how often the checkpoint of a feed that gives nothing is written.
const cursorEvery = 5 * time.Second

func (t *table) feedName(r proa.Region) string { return "feed/" + string(r) + "/" + t.schema.Table }

func (t *table) scanName(r proa.Region) string { return "scan/" + string(r) + "/" + t.schema.Table }

// capture reads one side's feed for ever. It returns nil when the context ends, an error when the
// store is lost.
func (t *table) capture(ctx context.Context, sd *side) error {
	select {
	case <-t.keepers[resolve.Index(sd.region)].opened:
	case <-ctx.Done():
		return nil
	}
	cp, err := t.store.Checkpoint(t.feedName(sd.region))
	if err != nil {
		return err
	}
	if cp.Cursor != "" {
		sd.open()
	}
	reader := &reader{
		t: t, sd: sd, cursor: cp.Cursor, saved: t.clock.now(), resumed: cp.Resumed,
	}
	for ctx.Err() == nil {
		pause, err := reader.next(ctx)
		if err != nil {
			return err
		}
		if err := t.rest(ctx, sd, pause); err != nil {
			break
		}
	}
	return reader.settle()
}

// rest pauses between two reads. A poke, such as an announced write, ends the pause early, but
// never before PollMin: however fast writes are announced, the feed is not read more often than
// under load.
func (t *table) rest(ctx context.Context, sd *side, pause time.Duration) error {
	least := min(pause, t.cfg.PollMin)
	if err := sleep(ctx, least, nil); err != nil {
		return err
	}
	return sleep(ctx, pause-least, sd.poll)
}

// reader is the state of one capture loop.
type reader struct {
	t       *table
	sd      *side
	cursor  string
	saved   time.Time    // when the checkpoint was last written
	wait    func() error // of the last batch
	resumed time.Time    // when the feed was begun anew after its last gap
}

// next reads the feed once and returns how long to wait before the next time. It fails only when
// the store does.
func (r *reader) next(ctx context.Context) (time.Duration, error) {
	if asked, err := r.beginAnew(ctx); asked || err != nil {
		return 0, err
	}
	began := r.t.clock.now()
	batch, err := r.read(ctx)
	if err != nil {
		if ended(ctx, err) {
			return 0, nil
		}
		return r.failed(ctx, err)
	}
	if err := r.settle(); err != nil {
		return 0, err
	}
	if err := r.take(batch); err != nil {
		return 0, err
	}
	r.sd.read(began, &batch)
	r.sd.gate.Back()
	r.t.m.reads.Add(1)
	return r.sd.pace.Read(len(batch.Changes), batch.More), nil
}

// read returns the next changes; where there is no cursor yet, it makes one at the feed's present
// end.
func (r *reader) read(ctx context.Context) (cloud.Batch, error) {
	ctx, cancel := context.WithTimeout(ctx, r.t.cfg.ReadTimeout)
	defer cancel()
	if r.cursor != "" {
		return r.sd.feed.Read(ctx, r.cursor)
	}
	cursor, err := r.sd.feed.Now(ctx)
	return cloud.Batch{Next: cursor, More: true}, err
}

// settle waits until the last batch is on stable storage.
func (r *reader) settle() error {
	moved := r.wait != nil
	if moved {
		wait := r.wait
		r.wait = nil
		if err := wait(); err != nil {
			return err
		}
	}
	k := r.t.keepers[resolve.Index(r.sd.region)]
	k.feed(r.t.schema.Table, r.cursor, r.t.clock.now(), moved)
	return nil
}

// take steps the core with the changes. The checkpoint is in the same batch of the store as the
// last of them.
func (r *reader) take(batch cloud.Batch) error {
	now := r.t.clock.now()
	changes := batch.Changes
	if len(changes) == 0 && (batch.Next == r.cursor || r.cursor != "" &&
		now.Sub(r.saved) < cursorEvery) {
		r.cursor = batch.Next
		return nil
	}
	for {
		n := min(len(changes), captureChunk)
		last := n == len(changes)
		wait, err := r.t.store.Update(func(tx *shadow.Tx) error {
			for _, c := range changes[:n] {
				if why := r.t.unreadable(&c); why != "" {
					if err := r.t.setAside(tx, r.sd.region, &c, why); err != nil {
						return err
					}
					continue
				}
				if _, err := r.t.step(tx, c.Key, now, resolve.Captured{Change: c, Resumed: r.resumed}); err != nil {
					return err
				}
			}
			if !last {
				return nil
			}
			return tx.SetCheckpoint(r.t.feedName(r.sd.region),
				shadow.Checkpoint{Cursor: batch.Next, At: now, Resumed: r.resumed})
		})
		if err != nil {
			return err
		}
		r.t.m.captured.Add(uint64(n))
		if n > 0 {
			r.t.wake()
		}
		if !last {
			if err := wait(); err != nil {
				return err
			}
			changes = changes[n:]
			continue
		}
		r.cursor, r.saved, r.wait = batch.Next, now, wait
		return nil
	}
}

// failed records why the feed could not be read. A gap starts it anew at its present end and has
// the table scanned.
func (r *reader) failed(ctx context.Context, err error) (time.Duration, error) {
	sd := r.sd
	first := sd.fail(err)
	r.t.m.readErrors.Add(1)
	if errors.Is(err, proa.ErrFeedGap) {
		return r.gap(ctx, err)
	}
	if first {
		r.t.log.Warn("change feed cannot be read", "region", sd.region, "error", err)
	}
	return sd.pace.Failed(), nil
}

// gap starts the feed at its present end; the scan that follows finds what was missed.
func (r *reader) gap(ctx context.Context, cause error) (time.Duration, error) {
	sd := r.sd
	ctx, cancel := context.WithTimeout(ctx, r.t.cfg.ReadTimeout)
	defer cancel()
	cursor, err := sd.feed.Now(ctx)
	if err != nil {
		return sd.pace.Failed(), nil
	}
	r.t.log.Warn("change feed has a gap: the table is scanned", "region", sd.region, "error", cause)
	r.t.m.gaps.Add(1)
	now := r.t.clock.now()
	sd.scan.Lock()
	defer sd.scan.Unlock()
	scan, err := r.t.newScan(sd, now)
	if err != nil {
		return 0, err
	}
	err = r.t.store.Commit(func(tx *shadow.Tx) error {
		if err := tx.SetCheckpoint(r.t.scanName(sd.region), scan); err != nil {
			return err
		}
		return tx.SetCheckpoint(r.t.feedName(sd.region),
			shadow.Checkpoint{Cursor: cursor, At: now, Resumed: now})
	})
	if err != nil {
		return 0, err
	}
	r.cursor, r.saved, r.resumed = cursor, now, now
	sd.mu.Lock()
	sd.scanned = false
	sd.mu.Unlock()
	return 0, nil
}

// read records a read that succeeded.
func (sd *side) read(began time.Time, b *cloud.Batch) {
	sd.mu.Lock()
	defer sd.mu.Unlock()
	sd.lastErr, sd.lastWriteErr = nil, ""
	if !sd.ready {
		sd.ready = true
		poke(sd.work)
	}
	switch asOf := began.Add(-b.Age); {
	case b.Age == cloud.AgeUnknown, b.Age == 0 && b.More:
	case asOf.After(sd.fresh):
		sd.fresh = asOf
	}
}

// open records that the feed has a cursor.
func (sd *side) open() {
	sd.mu.Lock()
	defer sd.mu.Unlock()
	sd.ready = true
	poke(sd.work)
}

// fail records a read that failed and reports whether it is the first one in a row.
func (sd *side) fail(err error) bool {
	sd.mu.Lock()
	defer sd.mu.Unlock()
	first := sd.lastErr == nil
	sd.lastErr = err
	return first
}
