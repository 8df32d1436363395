package datasync

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/proa-cloud/proa"
)

// errRestored is why a feed is begun anew.
var errRestored = errors.New("an operator says that the table was restored")

// restoredWait bounds how long SideRestored waits for a region.
const restoredWait = 15 * time.Second

// SideRestored takes an operator's word that a region's table was put back to an earlier state, such as
// from a backup: its feed is begun anew at its present end, and the table is scanned. What the restore
// has undone is written again from the other side; an older state that it has brought back loses to
// the newer one; of two that neither saw the other the newer wins, and the loser is in the journal.
// What was written to the table since the restore counts as any write. Nothing is deleted for being
// missing. It returns once the new beginning is on stable storage, and fails with proa.ErrUnavailable
// where the region cannot be reached.
func (s *Service) SideRestored(ctx context.Context, table string, region proa.Region) error {
	if err := s.mustOwn("restored"); err != nil {
		return err
	}
	t := s.table(table)
	if t == nil {
		return fmt.Errorf("restored: table %q: %w", table, proa.ErrNotFound)
	}
	if _, err := proa.ParseRegion(string(region)); err != nil {
		return fmt.Errorf("restored: %w: %w", proa.ErrInvalid, err)
	}
	sd := t.side(region)
	ctx, cancel := context.WithTimeout(ctx, restoredWait)
	defer cancel()
	done := make(chan error, 1)
	select {
	case sd.anew <- done:
		poke(sd.poll)
	case <-ctx.Done():
		return fmt.Errorf("restored: %s: its feed is not being read: %w", region, proa.ErrUnavailable)
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("restored: %s: no answer yet: %w", region, proa.ErrUnavailable)
	}
}

// beginAnew begins a feed anew where an operator has said so. It reports whether one has.
func (r *reader) beginAnew(ctx context.Context) (asked bool, err error) {
	select {
	case done := <-r.sd.anew:
		before := r.resumed
		_, err := r.gap(ctx, errRestored)
		switch {
		case err != nil:
			done <- err
		case r.resumed.Equal(before):
			done <- fmt.Errorf("restored: %s cannot be reached: %w", r.sd.region, proa.ErrUnavailable)
		default:
			done <- nil
		}
		return true, err
	default:
		return false, nil
	}
}
