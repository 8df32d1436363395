package datasync

import (
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/shadow"
)

// followMargin is how far a writer's clock may be ahead of the owner's for its announcement still to
// be kept: stamps are the writers', and Progress is by the owner's clock.
const followMargin = 5 * time.Second

// Progress is, by region, the time before which everything that was written there has been shown by
// the region's feeds; for the owner to tell the other nodes. A region of which that is not known is
// left out, and all are on a node that is not the owner.
func (s *Service) Progress() map[proa.Region]time.Time {
	progress := map[proa.Region]time.Time{}
	if s.mustOwn("tell progress") != nil {
		return progress
	}
	for _, r := range proa.Regions() {
		if through := s.shownThrough(r); !through.IsZero() {
			progress[r] = through
		}
	}
	return progress
}

// Followed takes the owner's Progress on another node, which reads no feed itself: what was announced
// here before is known to the owner, and need not be kept any more. It fails when the store is lost.
func (s *Service) Followed(progress map[proa.Region]time.Time) error {
	if s.mustOwn("follow") == nil {
		return nil // its own feeds tell it
	}
	for region, through := range progress {
		err := s.store.Lazy(func(tx *shadow.Tx) error {
			if _, err := tx.ShownBefore(region, through.Add(-followMargin)); err != nil {
				return err
			}
			return tx.DropUnheard(region, through)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
