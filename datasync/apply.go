package datasync

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/capture"
	"github.com/proa-cloud/proa/datasync/resolve"
	"github.com/proa-cloud/proa/datasync/shadow"
)

// result is what a write or a read of ours came to.
type result struct {
	key    proa.Key
	in     resolve.Input
	window capture.Result
	write  bool
}

// idle is how long the apply loop waits at most when nothing is due.
const idle = time.Second

// aheadBytes bounds the contents of writes that wait to be sent.
const aheadBytes = 32 << 20

// job is a write, or a read of a row, whose intent is durable.
type job struct {
	key  proa.Key
	out  resolve.Output
	size int
}

// apply records what is due at one side as intents, a batch at a time and ahead of the sending, for
// ever. It returns nil when the context ends, an error when the store is lost.
func (t *table) apply(ctx context.Context, sd *side) error {
	jobs := make(chan job, t.cfg.Ahead)
	var sending sync.WaitGroup
	sending.Go(func() { t.send(ctx, sd, jobs) })
	defer func() {
		close(jobs)
		sending.Wait()
		close(sd.results)
	}()
	for ctx.Err() == nil {
		if !sd.isReady() {
			_ = sleep(ctx, idle, sd.work) // the feed must show every write of ours
			continue
		}
		limit := min(t.cfg.Ahead-int(sd.ahead.Load()), captureChunk)
		if limit < captureChunk/4 || sd.aheadBytes.Load() > aheadBytes || !sd.gate.Open(t.clock.now()) &&
			sd.ahead.Load() > 0 {
			_ = sleep(ctx, idle, sd.work)
			continue
		}
		now := t.clock.now()
		limit, pause := t.yield(sd, limit)
		taken, next, err := t.dispatch(ctx, sd, limit, jobs)
		if err != nil {
			return err
		}
		if taken > 0 {
			_ = sleep(ctx, pause, nil)
			continue
		}
		pause = idle
		if !next.IsZero() {
			pause = min(max(next.Sub(now), time.Millisecond), idle)
		}
		_ = sleep(ctx, pause, sd.work)
	}
	return nil
}

// yield has a side to which nothing waits to cross, so that only envelopes and purges are due there, go slowly while
// the other side, which can be reached, has a backlog to take: what readers wait for goes first.
func (t *table) yield(sd *side, limit int) (int, time.Duration) {
	other := t.side(sd.region.Other())
	if t.store.Depth(t.schema.Table, sd.region).Backlog > 0 || !other.gate.Open(t.clock.now()) ||
		t.store.Depth(t.schema.Table, other.region).Backlog < yieldTo {
		return limit, 0
	}
	return min(limit, yieldBatch), yieldPause
}

// yieldTo is the backlog of a catch-up, which is more than is under way at any time otherwise. A side that yields takes
// yieldBatch of its own writes between two pauses, so that they come to their end however long the backlog stays.
const (
	yieldTo    = 1000
	yieldBatch = 32
	yieldPause = 100 * time.Millisecond
)

// dispatch takes up to limit due keys, records what is about to be written, and queues the writes
// once that is durable.
func (t *table) dispatch(
	ctx context.Context, sd *side, limit int, jobs chan<- job,
) (int, time.Time, error) {
	now := t.clock.now()
	due, next, err := t.store.Next(t.schema.Table, sd.region, now, limit)
	if err != nil || len(due) == 0 {
		return 0, next, err
	}
	fresh := sd.freshness()
	var ready []job
	taken := 0
	wait, err := t.store.Update(func(tx *shadow.Tx) error {
		size := 0
		for _, w := range due {
			if size > aheadBytes/4 {
				break // large items: a smaller batch
			}
			taken++
			kept := t.keepers[resolve.Index(sd.region)].isKept(w.Key.ID())
			todo, err := t.step(tx, w.Key, now, resolve.Dispatch{Side: sd.region, Fresh: fresh, Kept: kept})
			if err != nil {
				return err
			}
			for _, o := range todo {
				j := job{key: w.Key, out: o}
				if write, ok := o.(resolve.Write); ok {
					j.size = resolve.Size(write.Next.Item) + resolve.Size(write.Seen.Image.Item)
				}
				size += j.size
				ready = append(ready, j)
			}
		}
		return nil
	})
	if err != nil {
		return 0, next, err
	}
	if err := wait(); err != nil {
		return 0, next, err
	}
	for _, j := range ready {
		sd.ahead.Add(1)
		sd.aheadBytes.Add(int64(j.size))
		select {
		case jobs <- j:
		case <-ctx.Done():
			return taken, next, nil
		}
	}
	return taken, next, nil
}

// send performs jobs as the gate lets it, until there are no more.
func (t *table) send(ctx context.Context, sd *side, jobs <-chan job) {
	var workers sync.WaitGroup
	ready := make(chan job)
	defer workers.Wait()
	defer close(ready)
	started := 0 // workers stay: an SDK's call needs a deep stack, which a new goroutine grows anew
	for j := range jobs {
		t.admit(ctx, sd)
		t.afford(ctx)
		sd.gate.Start(1)
		select {
		case ready <- j:
			continue
		default:
		}
		if started < t.cfg.Workers {
			started++
			workers.Go(func() {
				for j := range ready {
					t.work(ctx, sd, j)
				}
			})
		}
		ready <- j
	}
}

// admit waits until the gate lets one more write through.
func (t *table) admit(ctx context.Context, sd *side) {
	for ctx.Err() == nil {
		now := t.clock.now()
		free, retry := sd.gate.Free(now)
		if free > 0 {
			return
		}
		pause := idle
		if retry.After(now) {
			pause = retry.Sub(now)
		}
		_ = sleep(ctx, pause, sd.room)
	}
}

// work performs one job.
func (t *table) work(ctx context.Context, sd *side, j job) {
	r := t.perform(ctx, sd, j.key, j.out)
	sd.ahead.Add(-1)
	sd.aheadBytes.Add(-int64(j.size))
	sd.gate.End(t.clock.now(), r.window)
	poke(sd.room)
	sd.results <- r
}

// perform does one write, or one read of a row.
func (t *table) perform(ctx context.Context, sd *side, key proa.Key, out resolve.Output) result {
	ctx, cancel := context.WithTimeout(ctx, t.cfg.WriteTimeout)
	defer cancel()
	switch o := out.(type) {
	case resolve.Write:
		in := t.write(ctx, sd, o)
		r := result{key: key, in: in, write: true}
		switch in.Outcome {
		case resolve.Throttled:
			r.window = capture.Throttled
		case resolve.Ambiguous:
			r.window = capture.Away
		}
		return r
	case resolve.Observe:
		began := t.clock.now()
		row, err := t.sides[resolve.Index(o.Side)].table.Get(ctx, key)
		if err != nil {
			r := result{key: key, window: capture.Away}
			if errors.Is(err, proa.ErrThrottled) {
				r.window = capture.Throttled
			}
			return r
		}
		return result{key: key, in: resolve.Observed{Side: o.Side, Row: row, Began: began}}
	}
	return result{key: key}
}

// write does one compare-and-set.
func (t *table) write(ctx context.Context, sd *side, w resolve.Write) resolve.Applied {
	in := resolve.Applied{Side: sd.region, Intent: w.Intent}
	if !t.may() || t.superseded(w) {
		in.Outcome = resolve.Dropped
		return in
	}
	t.m.writes.Add(1)
	if !w.Whole {
		row, err := sd.table.Get(ctx, w.Seen.Key)
		switch {
		case err != nil && errors.Is(err, proa.ErrThrottled):
			in.Outcome = resolve.Throttled
			return in
		case err != nil:
			in.Outcome = resolve.Ambiguous
			return in
		case resolve.PrintOf(row.Image, t.schema) != w.Print:
			in.Outcome, in.Row = resolve.Conflict, row
			return in
		}
		w.Seen = row
	}
	var err error
	if w.Purge {
		in.Row, err = sd.table.Purge(ctx, w.Seen)
	} else {
		in.Row, _, err = sd.table.Swap(ctx, w.Seen, w.Next)
	}
	in.Outcome, in.Reason = t.outcome(sd, w.Seen.Key, err)
	t.cost.wrote(t.clock.now(), sd.region, w, in.Outcome)
	return in
}

// superseded reports whether a write that waited is no longer the winner.
func (t *table) superseded(w resolve.Write) bool {
	old := false
	err := t.store.View(w.Seen.Key, func(st *resolve.State) { old = st.Superseded(w) })
	return old && err == nil
}

func (t *table) outcome(sd *side, key proa.Key, err error) (resolve.Outcome, string) {
	switch {
	case err == nil:
		return resolve.Done, ""
	case errors.Is(err, proa.ErrConflict):
		t.m.refusals.Add(1)
		return resolve.Conflict, ""
	case errors.Is(err, proa.ErrThrottled):
		t.m.throttles.Add(1)
		return resolve.Throttled, ""
	case errors.Is(err, proa.ErrInvalid), errors.Is(err, proa.ErrTooLarge),
		errors.Is(err, proa.ErrUnsupported):
		return resolve.Invalid, t.text(err, key)
	}
	t.m.writeErrors.Add(1)
	sd.mu.Lock()
	defer sd.mu.Unlock()
	sd.lastWriteErr = t.text(err, key)
	return resolve.Ambiguous, ""
}

// collect steps the core with the outcomes of writes, as many as there are at a time. A crash
// before they are durable leaves the writes as intents, which are judged by the feed. It ends when
// apply has.
func (t *table) collect(_ context.Context, sd *side) error {
	for first := range sd.results {
		batch := []result{first}
		for more := true; more && len(batch) < captureChunk; {
			select {
			case r, ok := <-sd.results:
				more = ok
				if ok {
					batch = append(batch, r)
				}
			default:
				more = false
			}
		}
		now := t.clock.now()
		err := t.store.Lazy(func(tx *shadow.Tx) error {
			for _, r := range batch {
				if r.in == nil {
					continue
				}
				if _, err := t.step(tx, r.key, now, r.in); err != nil {
					return err
				}
			}
			return nil
		})
		for _, r := range batch {
			t.unseen(sd, r)
		}
		t.wake()
		if err != nil {
			for range sd.results { // let the writers end
			}
			return err
		}
	}
	return nil
}
