package datasync

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/proa-cloud/proa/datasync/shadow"
)

// tenureName is the checkpoint of the last tenure of this disk: Order is its epoch, ScanBegan when
// the shadow index was begun anew.
const tenureName = "tenure"

// serve replicates under one tenure until it is over; then it returns nil once everything has
// stopped. It fails when the store is lost.
func (s *Service) serve(ctx context.Context, t Tenure) error {
	if err := s.begin(t); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	g.Go(func() error { s.watch(ctx, t, stop); return nil })
	s.owner.serves(true)
	defer s.owner.serves(false)
	for _, tb := range s.tables() {
		for _, loop := range tb.loops() {
			g.Go(func() error { return loop(ctx) })
		}
	}
	keepers := s.parts.Load().keepers
	for _, k := range keepers {
		g.Go(func() error { return k.run(ctx, t) })
	}
	for _, b := range s.buckets() {
		g.Go(func() error { return s.meets(ctx, b, keepers) })
		g.Go(func() error {
			for _, k := range keepers {
				select {
				case <-k.opened:
				case <-ctx.Done():
					return nil
				}
			}
			return b.Run(ctx)
		})
	}
	g.Go(func() error { return s.buildDigests(ctx) })
	g.Go(func() error { return s.fullScans(ctx) })
	return g.Wait()
}

// begin makes the shadow index fit for a tenure. It goes on with the one on this disk unless another
// node may have been the owner since: epochs rise with each change of owner, so that only the disk of
// the last epoch, or of this one, has seen all there was. Any other is forgotten and made anew, from
// what the regions hold; so is one that was never begun.
func (s *Service) begin(t Tenure) error {
	cp, err := s.store.Checkpoint(tenureName)
	if err != nil {
		return err
	}
	last := uint64(cp.Order)
	fresh, err := s.fresh()
	if err != nil {
		return err
	}
	stale, now := t.Epoch > last+1, s.clock.now()
	s.log.Info("this node owns data sync", "epoch", t.Epoch, "last_epoch_here", last, "anew", stale || fresh)
	cp.Order, cp.At = int64(max(t.Epoch, last)), now
	if stale || fresh {
		cp.ScanBegan = now
	}
	if stale {
		err = s.store.Wipe([]string{"feed/", "scan/"}, func(tx *shadow.Tx) error {
			return tx.SetCheckpoint(tenureName, cp)
		})
	} else {
		err = s.store.Commit(func(tx *shadow.Tx) error { return tx.SetCheckpoint(tenureName, cp) })
	}
	if err != nil {
		return fmt.Errorf("begin epoch %d: %w", t.Epoch, err)
	}
	return s.renew(cp.ScanBegan)
}

// fresh reports whether no feed has ever been read into this disk.
func (s *Service) fresh() (bool, error) {
	for _, t := range s.tables() {
		for _, sd := range t.sides {
			cp, err := s.store.Checkpoint(t.feedName(sd.region))
			if err != nil || cp.Cursor != "" {
				return false, err
			}
		}
	}
	return true, nil
}
