package objects

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/datasync/capture"
	"github.com/proa-cloud/proa/datasync/resolve"
	"github.com/proa-cloud/proa/hlc"
)

// marksPrefix begins the names of kept deletes: of those that the other side could not follow at once,
// in the bucket where they took place. Without them, an owner that begins with a fresh shadow index
// would take the object at the other side for one that was written there, and copy it back. A mark
// holds the object's state, and goes when the other side has followed.
const marksPrefix = OwnPrefix + "deleted/"

// Mark names a kept delete.
type Mark struct {
	Region proa.Region `json:"region"`
	ETag   string      `json:"etag"`
}

// markName does not grow with the object's name, which may be as long as a store allows.
func markName(name string) string {
	sum := sha256.Sum256([]byte(name))
	return marksPrefix + hex.EncodeToString(sum[:])
}

// lonely reports whether a delete that took place at a region is known nowhere else: the other side has
// not followed and it is not kept in the bucket.
func (st *State) lonely(region proa.Region) bool {
	return st.Winner.Tombstone && st.Winner.Version.Region == region && !st.inSync(region.Other()) &&
		(st.Mark == nil || st.Mark.Region != region)
}

// settle has the other side follow a delete at once, or keeps it where it took place. Until then the
// notice or the sweep that has told of it is not done. The caller has taken the name.
func (r *Replicator) settle(ctx context.Context, region proa.Region, name string) error {
	st, err := r.load(name)
	if err == nil && st.lonely(region) && !r.lame(region.Other()) {
		if err = r.apply(ctx, name); err == nil {
			st, err = r.load(name)
		}
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errStore, err)
	}
	if !st.lonely(region) {
		return nil
	}
	return r.mark(ctx, region, st)
}

// lame reports whether the last write of a side failed in a way that the next one may.
func (r *Replicator) lame(region proa.Region) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sides[resolve.Index(region)].lame
}

func (r *Replicator) setLame(region proa.Region, lame bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sides[resolve.Index(region)].lame = lame
}

func (r *Replicator) mark(ctx context.Context, region proa.Region, st *State) error {
	record, err := json.Marshal(st)
	if err != nil {
		return fmt.Errorf("%w: shadow of object %q: %w", errStore, st.Name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, r.cfg.CallTimeout)
	defer cancel()
	info, err := r.cfg.Sides[region].Put(ctx, markName(st.Name), bytes.NewReader(record),
		int64(len(record)), cloud.PutOptions{ContentType: "application/json"})
	if err != nil {
		return fmt.Errorf("keep the delete of %q: %w", st.Name, err)
	}
	return r.marked(st.Name, &Mark{Region: region, ETag: info.ETag})
}

func (r *Replicator) marked(name string, m *Mark) error {
	err := r.change(name, false, func(st *State) (verdict, proa.Region, error) {
		st.Mark = m
		return verdict{}, "", nil
	})
	if err != nil {
		return fmt.Errorf("%w: %w", errStore, err)
	}
	return nil
}

// unmark drops what is kept of a delete that both sides know, or that a write has replaced. It fails
// only when the store does; the bucket is asked again by trim. The caller has taken the name.
func (r *Replicator) unmark(ctx context.Context, st *State) error {
	if st.Mark == nil || st.Winner.Tombstone && !(st.inSync(proa.AWS) && st.inSync(proa.Azure)) {
		return nil
	}
	_, err := r.remove(ctx, st.Mark.Region, markName(st.Name), st.Mark.ETag)
	if err != nil && !errors.Is(err, proa.ErrConflict) { // of another owner: it is its own to drop
		return nil
	}
	return r.marked(st.Name, nil)
}

// recall takes over what a predecessor has kept in a side's bucket. Until then nothing is written to
// that side.
func (r *Replicator) recall(ctx context.Context, region proa.Region) error {
	for failures := 0; ctx.Err() == nil; {
		err := r.readMarks(ctx, region)
		if errors.Is(err, errStore) {
			return err
		}
		if err == nil {
			break
		}
		if failures++; failures == 3 {
			r.log.Warn("kept deletes cannot be read: nothing is written to this side", "region", region, "error", err)
		}
		sleep(ctx, capture.Backoff(failures, 50*time.Millisecond, r.cfg.RetryMax, nil), nil)
	}
	if ctx.Err() != nil {
		return nil //nolint:nilerr // the end of ctx
	}
	r.mu.Lock()
	r.sides[resolve.Index(region)].recalled = true
	r.mu.Unlock()
	r.miss() // what waited for it
	return nil
}

// recalled reports whether a side's kept deletes have been read.
func (r *Replicator) recalled(region proa.Region) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sides[resolve.Index(region)].recalled
}

func (r *Replicator) readMarks(ctx context.Context, region proa.Region) error {
	count := 0
	for after, more := marksPrefix, true; more; {
		page, next, err := r.list(ctx, region, after)
		if err != nil {
			return err
		}
		more = next
		g, callCtx := errgroup.WithContext(ctx)
		g.SetLimit(r.cfg.Workers)
		for _, o := range page {
			if after = o.Name; !strings.HasPrefix(o.Name, marksPrefix) {
				more = false
				break
			}
			count++
			g.Go(func() error { return r.readMark(callCtx, region, o.Name) })
		}
		if err := g.Wait(); err != nil {
			return err
		}
	}
	if count > 0 {
		r.log.Info("kept deletes read from the bucket", "region", region, "deletes", count)
	}
	return nil
}

// readMark takes over one kept delete, unless something newer is known.
func (r *Replicator) readMark(ctx context.Context, region proa.Region, as string) error {
	info, content, err := r.read(ctx, region, as)
	if errors.Is(err, proa.ErrNotFound) {
		return nil
	}
	if err != nil && !errors.Is(err, proa.ErrTooLarge) {
		return err
	}
	kept := &State{}
	if err == nil {
		err = kept.parse(content, region, r.now())
	}
	if err == nil && markName(kept.Name) != as {
		err = fmt.Errorf("it is of %q: %w", kept.Name, proa.ErrInvalid)
	}
	if err != nil {
		r.log.Warn("a kept delete is damaged and left alone", "region", region, "object", as, "error", err)
		return nil
	}
	for !r.take(kept.Name) {
		if sleep(ctx, 5*time.Millisecond, nil); ctx.Err() != nil {
			return ctx.Err()
		}
	}
	defer r.release(kept.Name)
	err = r.change(kept.Name, true, func(st *State) (verdict, proa.Region, error) {
		if kept.Winner.Version.Compare(st.Winner.Version) > 0 {
			*st = *kept
		}
		st.Mark = &Mark{Region: region, ETag: info.ETag}
		return verdict{}, "", nil
	})
	if err != nil {
		return fmt.Errorf("%w: %w", errStore, err)
	}
	return nil
}

// futureBound is how far ahead of this node's clock a kept delete may be.
const futureBound = time.Hour

// parse reads a mark. What it says of tries and quarantine is its owner's own.
func (st *State) parse(content []byte, region proa.Region, now time.Time) error {
	if err := json.Unmarshal(content, st); err != nil {
		return fmt.Errorf("%w: %w", proa.ErrInvalid, err)
	}
	v := st.Winner.Version
	switch {
	case st.Name == "" || Own(st.Name) || !st.Winner.Tombstone || v.Region != region || v.Time <= 0:
		return fmt.Errorf("it says of no delete at %s: %w", region, proa.ErrInvalid)
	case v.Time > hlc.At(now.Add(futureBound)):
		return fmt.Errorf("its version %s is of the future: %w", v, proa.ErrInvalid)
	}
	for i := range st.Sides {
		st.Sides[i].Unfit, st.Sides[i].Attempts, st.Sides[i].RetryAt = "", 0, time.Time{}
	}
	return nil
}
