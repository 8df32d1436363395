package objects

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/datasync/resolve/journal"
)

// Undo makes a state of the journal the object's newest one: it is written where it was kept, in the place of what is
// there now, and counts as a write there, which the other side follows. It returns the version that was made. It fails
// with proa.ErrNotFound where the content is no longer kept, and with proa.ErrConflict where the object changes
// meanwhile.
func (r *Replicator) Undo(ctx context.Context, name string, s *journal.Side) (proa.Version, error) {
	if !r.Paused().IsZero() {
		return proa.Version{}, fmt.Errorf("restore %q: %w: %w", name, errPaused, proa.ErrConflict)
	}
	ctx, cancel := context.WithTimeout(ctx, r.cfg.CopyTimeout)
	defer cancel()
	region := s.Region
	if s.Object != nil {
		region = s.Object.KeptAt
	}
	if region == "" || s.Object == nil && !s.Tombstone {
		return proa.Version{}, fmt.Errorf("restore %q: the content was not kept: %w", name, proa.ErrNotFound)
	}
	for !r.take(name) {
		if sleep(ctx, 5*time.Millisecond, nil); ctx.Err() != nil {
			return proa.Version{}, fmt.Errorf("restore %q: it is being copied: %w", name, proa.ErrUnavailable)
		}
	}
	version, err := r.undo(ctx, region, name, s)
	r.release(name)
	r.enqueue(name)
	if err != nil {
		return version, fmt.Errorf("restore %q at %s: %w", name, region, err)
	}
	r.log.Info("an operator has restored an object", "object", name, "region", region, "version", version)
	return version, nil
}

// undo writes the state and has the replicator see it. The caller has taken the name.
func (r *Replicator) undo(
	ctx context.Context, region proa.Region, name string, s *journal.Side,
) (proa.Version, error) {
	if _, err := r.observe(ctx, region, name, true); err != nil {
		return proa.Version{}, err
	}
	now, err := r.cfg.Sides[region].Head(ctx, name)
	if err != nil && !errors.Is(err, proa.ErrNotFound) {
		return proa.Version{}, err
	}
	exists := err == nil
	switch {
	case s.Object != nil:
		err = r.putBack(ctx, region, name, s.Object, now.ETag)
	case exists:
		_, err = r.remove(ctx, region, name, now.ETag)
	default:
		err = nil
	}
	if err != nil {
		return proa.Version{}, err
	}
	if _, err := r.observe(ctx, region, name, true); err != nil {
		return proa.Version{}, err
	}
	st, err := r.load(name)
	if err != nil {
		return proa.Version{}, err
	}
	return st.Winner.Version, nil
}

// putBack writes kept content in the place of an ETag's, "" for none.
func (r *Replicator) putBack(
	ctx context.Context, region proa.Region, name string, kept *journal.Object, etag string,
) error {
	info, body, err := r.openKept(ctx, region, name, kept)
	if errors.Is(err, proa.ErrNotFound) {
		return fmt.Errorf("the content is no longer kept: %w", err)
	}
	if err != nil {
		return err
	}
	defer body.Close()
	v := &verifier{r: body, sum: cloud.NewCRC64(), want: info.CRC64, check: info.HasCRC64}
	_, err = r.cfg.Sides[region].Put(ctx, name, v, info.Size, cloud.PutOptions{
		ContentType: info.ContentType, Headers: info.Headers, Metadata: info.Metadata,
		IfMatch: etag, IfNoneMatch: etag == "",
	})
	return err
}

// openKept opens what was kept: by its version ID, or under a name of proa's own.
func (r *Replicator) openKept(
	ctx context.Context, region proa.Region, name string, kept *journal.Object,
) (cloud.ObjectInfo, io.ReadCloser, error) {
	versions := r.cfg.Versions[region]
	switch {
	case kept.VersionID != "" && versions != nil:
		return versions.GetVersion(ctx, name, kept.VersionID)
	case kept.Kept != "":
		return r.cfg.Sides[region].Get(ctx, kept.Kept)
	}
	return cloud.ObjectInfo{}, nil, fmt.Errorf("it has neither version nor copy: %w", proa.ErrNotFound)
}
