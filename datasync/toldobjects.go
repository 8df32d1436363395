package datasync

import (
	"context"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/objects"
	"github.com/proa-cloud/proa/datasync/sidecar"
)

// metEvery is the least time between two words of how far a bucket's changes were met.
const metEvery = 30 * time.Second

// metName is a bucket's among the feeds of a sidecar: no table can be called so.
func metName(bucket string) string { return "bucket/" + bucket }

// meets keeps in each region's sidecar up to when what was written in a bucket has been met, for a successor whose
// shadow index is begun anew.
func (s *Service) meets(ctx context.Context, b *objects.Replicator, keepers [2]*keeper) error {
	last := [2]time.Time{}
	captured := uint64(0)
	for ctx.Err() == nil {
		n := b.Captured()
		for i, region := range proa.Regions() {
			if at := b.Fresh(region); at.After(last[i]) {
				last[i] = at
				keepers[i].feed(metName(b.Name()), "met", at, n != captured)
			}
		}
		captured = n
		_ = sleep(ctx, metEvery, nil)
	}
	return nil
}

// met takes over what a predecessor has met of the buckets of a region.
func (k *keeper) met(before sidecar.Root) error {
	for _, b := range k.s.buckets() {
		if err := b.Heard(k.region, before.Feeds[metName(b.Name())].At); err != nil {
			return err
		}
	}
	return nil
}
