package objects

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/datasync/capture"
	"github.com/proa-cloud/proa/datasync/shadow"
	"github.com/proa-cloud/proa/hlc"
)

// apply writes the winner to the sides that lack it. The caller has taken the name.
func (r *Replicator) apply(ctx context.Context, name string) error {
	var st *State
	for range applyRounds {
		wrote := false
		for _, region := range proa.Regions() {
			var err error
			if st, err = r.load(name); err != nil {
				return err
			}
			if ctx.Err() != nil || !st.due(region, r.now()) || !r.recalled(region) {
				continue
			}
			began := !st.Winner.Tombstone
			if began && !r.beginOr(region, name) {
				continue
			}
			wrote = true
			tried, err := r.write(ctx, st, region)
			if began {
				r.end(region, tried)
			}
			if err != nil {
				return err
			}
		}
		if !wrote {
			break
		}
	}
	for _, region := range proa.Regions() {
		if err := r.tidy(ctx, region, name); err != nil {
			return err
		}
	}
	if st.Mark == nil {
		return nil
	}
	st, err := r.load(name)
	if err != nil {
		return err
	}
	return r.unmark(ctx, st)
}

// applyRounds bounds the tries in a row at one object that keeps changing; the next sweep goes on.
const applyRounds = 3

// write brings one side of an object to the winner. It returns how that went, and fails only when the store does.
func (r *Replicator) write(ctx context.Context, st *State, region proa.Region) (tried, err error) {
	if r.unseen(st, region) {
		if _, err := r.observe(ctx, region, st.Name, false); err != nil {
			return err, r.failed(ctx, st.Name, region, r.intent(st), err)
		}
		return nil, nil // the next round writes, if that still is due
	}
	w := r.intent(st)
	if keep := st.at(region).Keep; keep != nil {
		if err := r.keep(ctx, region, st.Name, *keep); err != nil {
			return err, r.failed(ctx, st.Name, region, w, err)
		}
	}
	err = r.change(st.Name, true, func(st *State) (verdict, proa.Region, error) {
		st.at(region).Keep = nil
		r.intend(st, region, w)
		return verdict{}, "", nil
	})
	if err != nil {
		return err, err
	}
	var info cloud.ObjectInfo
	if w.Tombstone {
		info, err = r.remove(ctx, region, st.Name, st.at(region).ETag)
	} else {
		info, err = r.copy(ctx, st, region)
	}
	if err != nil {
		return err, r.failed(ctx, st.Name, region, w, err)
	}
	r.setLame(region, false)
	return nil, r.change(st.Name, false, func(st *State) (verdict, proa.Region, error) {
		r.stored(st, region, w, info)
		return verdict{}, "", nil
	})
}

// unseen reports whether a side that nothing is known of is to be given an object that it may hold already: a large
// one, or any where the side was put back.
func (r *Replicator) unseen(st *State, region proa.Region) bool {
	sd := st.at(region)
	return !sd.Known && !st.Winner.Tombstone && (st.Winner.Content.Size > r.cfg.Small || !sd.Past.IsZero())
}

func (r *Replicator) intent(st *State) Writing {
	return Writing{
		Version: st.Winner.Version, Tombstone: st.Winner.Tombstone,
		Content: st.Winner.Content, Sent: r.now(),
	}
}

func (r *Replicator) intend(st *State, region proa.Region, w Writing) {
	sd := st.at(region)
	sd.Writing = append(r.outstanding(sd.Writing, w.Version), w)
}

// outstanding drops intents that can land no more, and one of the same version, which is being
// tried again.
func (r *Replicator) outstanding(ws []Writing, version proa.Version) []Writing {
	now := r.now()
	return slices.DeleteFunc(ws, func(w Writing) bool {
		return w.Version == version || now.Sub(w.Sent) > r.cfg.InFlightMax
	})
}

// stored records a write that succeeded.
func (r *Replicator) stored(st *State, region proa.Region, w Writing, info cloud.ObjectInfo) {
	sd := st.at(region)
	sd.Writing = slices.DeleteFunc(sd.Writing, func(o Writing) bool { return o.Version == w.Version })
	next := Side{Known: true, Version: w.Version, Assigned: sd.Assigned, Writing: sd.Writing}
	if !w.Tombstone {
		next.Exists, next.ETag, next.VersionID, next.Modified = true, info.ETag, info.VersionID,
			info.LastModified
		next.Content = w.Content
		next.Content.CRC64, next.Content.HasCRC64 = info.CRC64, true
		if st.Winner.Version == w.Version {
			st.Winner.Content.CRC64, st.Winner.Content.HasCRC64 = info.CRC64, true
		}
		if src := st.at(region.Other()); src.Version == w.Version {
			src.Content.CRC64, src.Content.HasCRC64 = info.CRC64, true
		}
	}
	*sd = next
}

// failed records a write that did not succeed, or may not have, and looks at what is there instead.
func (r *Replicator) failed(
	ctx context.Context, name string, region proa.Region, w Writing, cause error,
) error {
	sure := errors.Is(cause, proa.ErrConflict) || errors.Is(cause, errSource)
	never := errors.Is(cause, proa.ErrInvalid) || errors.Is(cause, proa.ErrTooLarge) ||
		errors.Is(cause, proa.ErrUnsupported)
	if !sure && !never && ctx.Err() == nil {
		r.setLame(region, true)
	}
	var again time.Time
	err := r.change(name, false, func(st *State) (verdict, proa.Region, error) {
		sd := st.at(region)
		if never && st.Winner.Version == w.Version {
			sd.Unfit = cause.Error()
			r.log.Warn("object quarantined", "object", name, "region", region, "reason", cause)
		}
		sd.Attempts++
		if !sure || sd.Attempts > 1 {
			sd.RetryAt = r.now().Add(capture.Backoff(sd.Attempts, 50*time.Millisecond, r.cfg.RetryMax, nil))
			again = sd.RetryAt
		}
		return verdict{}, "", nil
	})
	if err == nil && !again.IsZero() && !never {
		r.putOff(name, again)
	}
	if err != nil || !sure {
		return err
	}
	look := region
	if errors.Is(cause, errSource) {
		look = region.Other()
	}
	if _, err := r.observe(ctx, look, name, false); errors.Is(err, errStore) {
		return err
	}
	r.enqueue(name)
	return nil
}

func (r *Replicator) remove(
	ctx context.Context, region proa.Region, name, etag string,
) (cloud.ObjectInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.CallTimeout)
	defer cancel()
	return cloud.ObjectInfo{}, r.cfg.Sides[region].Delete(ctx, name, etag)
}

// errSource says that the source is no more what the shadow index says.
var errSource = errors.New("the source has changed")

// copy streams the winner from the other side.
func (r *Replicator) copy(
	ctx context.Context, st *State, to proa.Region,
) (cloud.ObjectInfo, error) {
	src, dst := st.at(to.Other()), st.at(to)
	if !src.Exists || src.Version != st.Winner.Version {
		return cloud.ObjectInfo{}, errSource
	}
	if src.Content.Size > r.cfg.MaxSize {
		return cloud.ObjectInfo{}, fmt.Errorf("%d bytes, of %d at most: %w", src.Content.Size,
			r.cfg.MaxSize, proa.ErrTooLarge)
	}
	o := describe(src, dst)
	from, parts := r.cfg.Sides[to.Other()].(cloud.PartBucket)
	into, ok := r.cfg.Sides[to].(cloud.PartBucket)
	if parts && ok && src.Content.Size > r.cfg.PartFrom {
		t := &transfer{r: r, from: from, into: into, side: to, name: st.Name, src: src, options: o}
		return t.run(ctx, st.Winner.Version)
	}
	return r.stream(ctx, to.Other(), st.Name, src.ETag, to, st.Name, o)
}

// describe says how a side's object is stored at the other side, in the place of what is known there.
func describe(src, dst *Side) cloud.PutOptions {
	return cloud.PutOptions{
		ContentType: src.Content.ContentType, Headers: src.Content.Headers,
		Metadata: src.Content.Metadata,
		IfMatch:  dst.ETag, IfNoneMatch: !dst.Exists,
	}
}

// keep copies a loser to the side where it is, under a name of proa's own, before it is written
// over.
func (r *Replicator) keep(ctx context.Context, region proa.Region, name string, k Keep) error {
	_, err := r.stream(ctx, region, name, k.ETag, region, k.As, cloud.PutOptions{})
	if errors.Is(err, errSource) {
		return nil // its own region has written over it
	}
	return err
}

// stream copies one object of a known ETag, verifying it on the way.
func (r *Replicator) stream(
	ctx context.Context, from proa.Region, name, etag string, to proa.Region, as string,
	o cloud.PutOptions,
) (cloud.ObjectInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.CopyTimeout)
	defer cancel()
	info, body, err := r.cfg.Sides[from].Get(ctx, name)
	if errors.Is(err, proa.ErrNotFound) {
		return info, errSource
	}
	if err != nil {
		return info, err
	}
	defer body.Close()
	if info.ETag != etag {
		return info, errSource
	}
	if from == to {
		o.ContentType, o.Headers, o.Metadata = info.ContentType, info.Headers, info.Metadata
	}
	v := &verifier{r: body, sum: cloud.NewCRC64(), want: info.CRC64, check: info.HasCRC64}
	put, err := r.cfg.Sides[to].Put(ctx, as, v, info.Size, o)
	if err != nil {
		return put, err
	}
	if sum := v.sum.Sum64(); put.HasCRC64 && put.CRC64 != sum {
		return put, fmt.Errorf("stored with CRC-64 %016x, sent %016x: %w", put.CRC64, sum,
			proa.ErrUnavailable)
	}
	put.CRC64, put.HasCRC64 = v.sum.Sum64(), true
	return put, nil
}

// verifier computes the checksum of what is read and fails instead of ending when it is not what
// the source says.
type verifier struct {
	r     io.Reader
	sum   hash.Hash64
	want  uint64
	check bool
}

func (v *verifier) Read(p []byte) (int, error) {
	n, err := v.r.Read(p)
	v.sum.Write(p[:n])
	if errors.Is(err, io.EOF) && v.check && v.sum.Sum64() != v.want {
		return n, fmt.Errorf("read with CRC-64 %016x, stored %016x: %w", v.sum.Sum64(), v.want,
			proa.ErrUnavailable)
	}
	return n, err
}

// Sum reads an object of a known ETag ("" for any) and returns its CRC-64/NVME.
func Sum(ctx context.Context, b cloud.Bucket, name, etag string) (uint64, error) {
	info, body, err := b.Get(ctx, name)
	if err != nil {
		return 0, err
	}
	defer body.Close()
	if etag != "" && info.ETag != etag {
		return 0, fmt.Errorf("sum %s: it changed: %w", name, proa.ErrUnavailable)
	}
	sum := cloud.NewCRC64()
	if _, err := io.Copy(sum, body); err != nil {
		return 0, fmt.Errorf("sum %s: %w", name, err)
	}
	return sum.Sum64(), nil
}

// trim removes kept losers and remembered deletes that are older than their bounds, and uploads that
// were given up, an hour apart.
func (r *Replicator) trim(ctx context.Context, region proa.Region) error {
	for {
		if err := r.trimUploads(ctx, region); err != nil {
			return err
		}
		if sleep(ctx, time.Hour, nil); ctx.Err() != nil {
			return nil //nolint:nilerr // the end of ctx
		}
		r.trimLosers(ctx, region)
		if region == proa.AWS {
			if err := r.trimTombstones(); err != nil {
				return err
			}
			r.miss() // kept deletes that could not be dropped
		}
	}
}

// trimLosers removes kept losers; their names begin with their time, the oldest first.
func (r *Replicator) trimLosers(ctx context.Context, region proa.Region) {
	limit := keepName(proa.Version{Time: hlc.At(r.now().Add(-r.cfg.KeepAge))}, "")
	after := OwnPrefix + "losers/"
	for ctx.Err() == nil {
		page, more, err := r.list(ctx, region, after)
		if err != nil {
			return // the next hour tries again
		}
		for _, o := range page {
			if !Own(o.Name) || o.Name >= limit {
				return
			}
			if _, err := r.remove(ctx, region, o.Name, o.ETag); err != nil {
				return
			}
			after = o.Name
		}
		if !more {
			return
		}
	}
}

// trimTombstones forgets deletes that both sides have long agreed on.
func (r *Replicator) trimTombstones() error {
	var old []string
	now := r.now()
	_, err := r.store.WalkObjects(r.cfg.Name, "", "", -1, func(name string, record []byte) error {
		st, err := decode(name, record)
		if err == nil && st.collectable(now, r.cfg.Grace) {
			old = append(old, name)
		}
		return err
	})
	if err != nil || len(old) == 0 {
		return err
	}
	return r.store.Lazy(func(tx *shadow.Tx) error {
		for _, name := range old {
			if err := tx.SetObject(r.cfg.Name, name, nil); err != nil {
				return err
			}
		}
		return nil
	})
}
