package objects

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/datasync/capture"
	"github.com/proa-cloud/proa/datasync/resolve"
	"github.com/proa-cloud/proa/datasync/shadow"
)

// beatName is the marker whose notices show that notices arrive.
const beatName = OwnPrefix + "beat"

// ear is what is known of one side's notices.
type ear struct {
	sent  map[string]time.Time // when markers were written, by ETag
	back  time.Time            // when the last marker of which a notice came was written
	delay time.Duration        // how long that notice took
	empty time.Time            // before the last read that found nothing
	deaf  bool                 // said so in the log
}

// trusted reports whether notices arrive: that of a marker has come, and it was not written long ago.
func (e *ear) trusted(now time.Time, every time.Duration) bool {
	return !e.back.IsZero() && now.Sub(e.back) < 3*every
}

// through is the time of which all notices have been read, if they take as long as the last marker's.
func (e *ear) through() time.Time {
	if e.empty.IsZero() {
		return time.Time{}
	}
	return e.empty.Add(-e.delay)
}

// sentKept bounds the markers whose notices are waited for.
const sentKept = 16

// beat writes a marker over and over. One is enough to know that notices arrive, however many objects
// there are and however rarely they change.
func (r *Replicator) beat(ctx context.Context, region proa.Region) error {
	for ctx.Err() == nil {
		at := r.now()
		body := at.UTC().Format(time.RFC3339Nano)
		callCtx, cancel := context.WithTimeout(ctx, r.cfg.CallTimeout)
		info, err := r.cfg.Sides[region].Put(callCtx, beatName, bytes.NewReader([]byte(body)),
			int64(len(body)), cloud.PutOptions{ContentType: "text/plain"})
		cancel()
		pause := r.cfg.BeatEvery
		if err != nil {
			pause = min(pause, time.Second)
		} else {
			r.mu.Lock()
			e := &r.sides[resolve.Index(region)].ear
			if len(e.sent) >= sentKept {
				clear(e.sent)
			}
			e.sent[info.ETag] = at
			r.mu.Unlock()
		}
		sleep(ctx, pause, nil)
		r.listen(region)
	}
	return nil
}

// listen says once that notices do not arrive, and once that they do again.
func (r *Replicator) listen(region proa.Region) {
	now := r.now()
	r.mu.Lock()
	e := &r.sides[resolve.Index(region)].ear
	trusted, was := e.trusted(now, r.cfg.BeatEvery), !e.deaf
	e.deaf = !trusted
	r.mu.Unlock()
	switch {
	case was && !trusted:
		r.log.Warn("notices of changed objects do not arrive: the bucket is swept without end instead",
			"region", region, "hint", "check the bucket's notification configuration and its queue")
		r.Look(region)
	case !was && trusted:
		r.log.Info("notices of changed objects arrive again", "region", region)
	}
}

// hear reads a side's notices and looks at the objects that they name.
func (r *Replicator) hear(ctx context.Context, region proa.Region, queue cloud.ObjectEvents) error {
	failures, news := 0, r.now()
	for ctx.Err() == nil {
		began, poll := r.now(), r.cfg.Poll
		if began.Sub(news) > r.cfg.IdleAfter {
			poll = r.cfg.PollIdle
		}
		callCtx, cancel := context.WithTimeout(ctx, poll+r.cfg.CallTimeout)
		events, err := queue.Receive(callCtx, poll)
		cancel()
		if slices.ContainsFunc(events, func(e cloud.ObjectEvent) bool { return e.Name != "" && e.Name != beatName }) {
			news = began
		}
		if err == nil && len(events) == 0 {
			r.mu.Lock()
			r.sides[resolve.Index(region)].ear.empty = began
			r.mu.Unlock()
		}
		if err == nil && len(events) > 0 {
			err = r.heed(ctx, region, queue, events)
		}
		if errors.Is(err, errStore) {
			return err
		}
		if err == nil {
			failures = 0
			continue
		}
		failures++
		if failures == 3 {
			r.log.Warn("notices of changed objects cannot be read", "region", region, "error", err)
		}
		sleep(ctx, capture.Backoff(failures, 100*time.Millisecond, r.cfg.RetryMax, nil), nil)
	}
	return nil
}

// heed looks at what a batch of notices names and acknowledges those that are dealt with.
func (r *Replicator) heed(
	ctx context.Context, region proa.Region, queue cloud.ObjectEvents, events []cloud.ObjectEvent,
) error {
	failed := make([]error, len(events))
	g := new(errgroup.Group)
	g.SetLimit(r.cfg.Workers)
	for i, e := range events {
		g.Go(func() error {
			failed[i] = r.noticed(ctx, region, e)
			return nil
		})
	}
	_ = g.Wait() // each has its own error
	open := map[string]bool{}
	var done []string
	for i, e := range events {
		open[e.Receipt] = open[e.Receipt] || failed[i] != nil
		if errors.Is(failed[i], errBusy) {
			failed[i] = nil // not acknowledged, it comes again
		}
	}
	for receipt, stays := range open {
		if !stays {
			done = append(done, receipt)
		}
	}
	callCtx, cancel := context.WithTimeout(ctx, r.cfg.CallTimeout)
	defer cancel()
	return errors.Join(errors.Join(failed...), queue.Acknowledge(callCtx, done))
}

// errBusy says that an object is being copied: its notice comes again.
var errBusy = errors.New("the object is being copied")

// busyWait is how long a notice waits for an object that is being looked at.
const busyWait = 2 * time.Second

// noticed deals with one notice.
func (r *Replicator) noticed(ctx context.Context, region proa.Region, e cloud.ObjectEvent) error {
	if e.Name == beatName {
		r.beatBack(region, e)
	}
	if e.Name == "" || Own(e.Name) {
		return nil
	}
	st, err := r.load(e.Name)
	if err != nil {
		return fmt.Errorf("%w: %w", errStore, err)
	}
	if !st.told(region, e) {
		for end := r.now().Add(busyWait); !r.take(e.Name); sleep(ctx, 5*time.Millisecond, nil) {
			if ctx.Err() != nil || r.now().After(end) {
				return fmt.Errorf("%s: %w", e.Name, errBusy)
			}
		}
		if err := r.attend(ctx, region, e); err != nil {
			return err
		}
	}
	err = r.store.Lazy(func(tx *shadow.Tx) error {
		return tx.ShownObject(region, r.cfg.Name, e.Name, e.ETag)
	})
	if err != nil {
		return fmt.Errorf("%w: %w", errStore, err)
	}
	return nil
}

// attend looks at what a notice names, unless it was of a write of ours that is recorded by now. The
// caller has taken the name.
func (r *Replicator) attend(ctx context.Context, region proa.Region, e cloud.ObjectEvent) error {
	st, err := r.load(e.Name)
	if err != nil || st.told(region, e) {
		r.release(e.Name)
		if err != nil {
			return fmt.Errorf("%w: %w", errStore, err)
		}
		return nil
	}
	size := e.Size
	if e.Deleted {
		size = gone
	}
	return r.aside(r.visit(ctx, region, sight{name: e.Name, size: size, sure: e.Deleted}), region, e.Name)
}

// echoed is how much later than a write's own stamp its notice may be stamped.
const echoed = 2 * time.Second

// told reports whether a notice says what is known of the side already, as those of proa's own writes
// do. An ETag of S3 is one of the content: where only metadata was written anew, the time tells.
func (st *State) told(region proa.Region, e cloud.ObjectEvent) bool {
	sd := st.at(region)
	if e.Deleted {
		return sd.Known && !sd.Exists && !st.lonely(region)
	}
	return sd.Exists && e.ETag == sd.ETag &&
		(sd.Modified.IsZero() || e.Time.Sub(sd.Modified).Abs() < echoed)
}

// beatBack takes the notice of a marker.
func (r *Replicator) beatBack(region proa.Region, e cloud.ObjectEvent) {
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	ear := &r.sides[resolve.Index(region)].ear
	at, ok := ear.sent[e.ETag]
	if !ok {
		return // of another process, or an old one
	}
	delete(ear.sent, e.ETag)
	if at.After(ear.back) {
		ear.back, ear.delay = at, now.Sub(at)
	}
}
