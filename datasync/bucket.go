package datasync

import (
	"context"
	"fmt"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/objects"
	"github.com/proa-cloud/proa/datasync/resolve/journal"
)

// bucket returns a bucket by its name; nil: there is none.
func (s *Service) bucket(name string) *objects.Replicator {
	for _, b := range s.buckets() {
		if b.Name() == name {
			return b
		}
	}
	return nil
}

// sweeps are the first ones of a bucket's sides, or the first ones after a restore.
func sweeps(b *objects.Replicator) []Scan {
	list := make([]Scan, 0, 2)
	for _, region := range proa.Regions() {
		done := !b.Direction(region).Scanning
		list = append(list, Scan{
			Bucket: b.Name(), Region: region, Rows: b.Listed(region), Known: b.Objects(), At: b.Fresh(region),
			Done: done, Paused: !b.Paused().IsZero(),
		})
	}
	return list
}

// BucketRestored takes an operator's word that a region's bucket was put back to an earlier state: see
// objects.Replicator.Restored. Region "" says that both sides were. at is when the restore was complete; zero: now.
func (s *Service) BucketRestored(name string, region proa.Region, at time.Time) error {
	if region != "" {
		if _, err := proa.ParseRegion(string(region)); err != nil {
			return fmt.Errorf("restored: %w: %w", proa.ErrInvalid, err)
		}
	}
	now := s.clock.now()
	switch {
	case at.IsZero():
		at = now
	case at.After(now.Add(time.Minute)):
		return fmt.Errorf("restored: %s has not come yet: %w", at.UTC().Format(time.RFC3339), proa.ErrInvalid)
	}
	b, err := s.ownBucket("restored", name)
	if err != nil {
		return err
	}
	return b.Restored(region, at)
}

// PauseBucket stops all work on a bucket until ResumeBucket or BucketRestored, also over restarts.
func (s *Service) PauseBucket(name string) error {
	b, err := s.ownBucket("pause", name)
	if err != nil {
		return err
	}
	return b.Pause()
}

// ResumeBucket lets the work on a bucket go on.
func (s *Service) ResumeBucket(name string) error {
	b, err := s.ownBucket("resume", name)
	if err != nil {
		return err
	}
	return b.Resume()
}

// ReleaseBucket says that the objects which are missing were deleted. It fails with proa.ErrConflict where nothing is
// held.
func (s *Service) ReleaseBucket(name string) error {
	b, err := s.ownBucket("release", name)
	if err != nil {
		return err
	}
	return b.Release()
}

// IsBucket reports whether a name is a bucket's and no table's.
func (s *Service) IsBucket(name string) bool { return s.table(name) == nil && s.bucket(name) != nil }

func (s *Service) ownBucket(op, name string) (*objects.Replicator, error) {
	if err := s.mustOwn(op); err != nil {
		return nil, err
	}
	b := s.bucket(name)
	if b == nil {
		return nil, fmt.Errorf("%s: bucket %q: %w", op, name, proa.ErrNotFound)
	}
	return b, nil
}

// bucketWarnings say which deletes are held and which bucket is paused, and what to do.
func (s *Service) bucketWarnings() []string {
	var list []string
	for _, b := range s.buckets() {
		if since := b.Paused(); !since.IsZero() {
			list = append(list, fmt.Sprintf("bucket %s is paused since %s: proa backfill resume %s, or restored",
				b.Name(), since.UTC().Format(time.RFC3339), b.Name()))
		}
		for _, h := range b.Holds() {
			list = append(list, fmt.Sprintf("bucket %s: %d objects are missing at %s since %s and stay at %s: was it put back or emptied? "+
				"proa backfill restored %s --side %s; were they deleted? proa backfill release %s", b.Name(), h.Missing, h.Region,
				h.Since.UTC().Format(time.RFC3339), h.Region.Other(), b.Name(), h.Region, b.Name()))
		}
	}
	return list
}

// restoreObject is RestoreEntry of an object.
func (s *Service) restoreObject(ctx context.Context, c *journal.Conflict, from proa.Region) (Restored, error) {
	b, err := s.ownBucket("restore", c.Bucket)
	if err != nil {
		return Restored{}, err
	}
	side, err := chosen(c, from)
	if err != nil {
		return Restored{}, fmt.Errorf("restore conflict %d: %w", c.ID, err)
	}
	version, err := b.Undo(ctx, c.Object, side)
	if err != nil {
		return Restored{}, fmt.Errorf("restore conflict %d: %w", c.ID, err)
	}
	return Restored{Bucket: c.Bucket, Object: c.Object, Version: version, Deleted: side.Tombstone}, nil
}
