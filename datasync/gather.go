package datasync

import (
	"context"
	"time"

	"github.com/proa-cloud/proa/datasync/resolve"
	"github.com/proa-cloud/proa/datasync/sidecar"
)

// recollectMargin is how much before the last write of the sidecar a delete may have been decided and
// not be in it.
const recollectMargin = time.Minute

// recollect has deletes kept that a process before this one, on the same disk, may have decided and not
// kept before it ended.
func (k *keeper) recollect(ctx context.Context, before sidecar.Root) error {
	for _, t := range k.s.tables() {
		since := before.Feeds[t.schema.Table].At.Add(-recollectMargin)
		for after, more := "", true; more && ctx.Err() == nil; more = after != "" {
			next, err := k.s.store.Walk(t.schema.Table, after, 1000, func(_ string, st *resolve.State) error {
				if w := &st.Winner; w.Tombstone && w.Version.Region == k.region && w.Decided.After(since) {
					k.remember(st.Key, w)
				}
				return nil
			})
			if err != nil {
				return err
			}
			after = next
		}
	}
	return nil
}

// gather keeps the deletes for which there was no room: the shadow index has them all. The feeds' places
// wait until it has, and no other was left out meanwhile.
func (k *keeper) gather(ctx context.Context) error {
	k.mu.Lock()
	since := k.leftOut
	k.left = 0
	k.mu.Unlock()
	if since.IsZero() {
		return nil
	}
	for _, t := range k.s.tables() {
		for after, more := "", true; more; more = after != "" {
			var deletes []sidecar.Tombstone
			next, err := k.s.store.Walk(t.schema.Table, after, 1000, func(_ string, st *resolve.State) error {
				if w := &st.Winner; w.Tombstone && w.Version.Region == k.region && !w.Decided.Before(since) {
					deletes = append(deletes, tombstone(st.Key, w))
				}
				return nil
			})
			if err == nil && len(deletes) > 0 {
				err = k.write(ctx, deletes, nil)
			}
			if err != nil {
				return err
			}
			after = next
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.left == 0 {
		k.leftOut, k.moved = time.Time{}, true
	}
	return nil
}

// write keeps deletes, then the feeds' places (nil: as they are), and nothing that is not durable here, as is
// the journal of what the deletes have beaten or were beaten by.
func (k *keeper) write(ctx context.Context, deletes []sidecar.Tombstone, feeds map[string]sidecar.Feed) error {
	ctx, cancel := context.WithTimeout(ctx, k.s.cfg.WriteTimeout)
	defer cancel()
	if err := k.s.store.Sync(); err != nil {
		return err
	}
	if err := k.car.Remember(ctx, deletes); err != nil {
		return err
	}
	return k.car.Save(ctx, feeds)
}
