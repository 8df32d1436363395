package verify

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
)

// Buckets is one comparison of a bucket: names, sizes, checksums where both sides tell them,
// content types and metadata.
type Buckets struct {
	Name    string
	Sides   map[proa.Region]cloud.Bucket
	Skip    func(name string) bool // objects that are proa's own
	Pending func(name string) (bool, error)
	// Deep has contents read where the sides do not both tell a checksum.
	Deep    bool
	Sum     func(ctx context.Context, b cloud.Bucket, name string) (uint64, error)
	Clock   func() time.Time
	Page    int
	Recheck time.Duration
}

// lister walks one side in order of name.
type lister struct {
	bucket cloud.Bucket
	page   int
	buf    []cloud.ObjectInfo
	after  string
	more   bool
}

func (l *lister) peek(ctx context.Context) (*cloud.ObjectInfo, error) {
	for len(l.buf) == 0 && l.more {
		objects, more, err := l.bucket.List(ctx, l.after, l.page)
		if err != nil {
			return nil, err
		}
		l.buf, l.more = objects, more && len(objects) > 0
		if len(objects) > 0 {
			l.after = objects[len(objects)-1].Name
		}
	}
	if len(l.buf) == 0 {
		return nil, nil
	}
	return &l.buf[0], nil
}

// Compare compares both sides. Listings tell names and sizes only: each object is asked for on both
// sides, several at a time.
func (b *Buckets) Compare(ctx context.Context) (Result, error) {
	res := Result{Through: b.Clock()}
	l := looker[string]{look: b.look, clock: b.Clock, recheck: b.Recheck}
	var met, differ []string
	compare := func() error {
		seen, err := l.all(ctx, met)
		for i := range seen {
			if err == nil && seen[i].d != nil {
				differ = append(differ, met[i])
			}
		}
		if met = met[:0]; err == nil && len(differ) >= maxSuspects {
			err = l.settle(ctx, differ, &res)
			differ = nil
		}
		return err
	}
	var sides [2]lister
	for i, region := range proa.Regions() {
		sides[i] = lister{bucket: b.Sides[region], page: b.Page, more: true}
	}
	for {
		x, err := sides[0].peek(ctx)
		if err != nil {
			return res, fmt.Errorf("verify bucket %s: %s: %w", b.Name, proa.AWS, err)
		}
		y, err := sides[1].peek(ctx)
		if err != nil {
			return res, fmt.Errorf("verify bucket %s: %s: %w", b.Name, proa.Azure, err)
		}
		if x == nil && y == nil {
			if err := compare(); err != nil {
				return res, err
			}
			return res, l.settle(ctx, differ, &res)
		}
		name := ""
		if x != nil && (y == nil || x.Name <= y.Name) {
			name = x.Name
		} else {
			name = y.Name
		}
		for i, o := range []*cloud.ObjectInfo{x, y} {
			if o != nil && o.Name == name {
				sides[i].buf = sides[i].buf[1:]
			}
		}
		if b.Skip(name) {
			continue
		}
		res.Objects++
		if met = append(met, name); len(met) < atOnce {
			continue
		}
		if err := compare(); err != nil {
			return res, err
		}
	}
}

// atOnce is how many objects are taken from the listings before they are compared.
const atOnce = 256

// look compares one object as it is now.
func (b *Buckets) look(ctx context.Context, name string) (sight, error) {
	d, err := b.read(ctx, name)
	if err != nil || d == nil {
		return sight{}, err
	}
	pending, err := b.Pending(name)
	return sight{d: d, pending: pending}, err
}

func (b *Buckets) read(ctx context.Context, name string) (*Difference, error) {
	var infos [2]cloud.ObjectInfo
	var found [2]bool
	d := &Difference{Bucket: b.Name, Object: name}
	for i, region := range proa.Regions() {
		info, err := b.Sides[region].Head(ctx, name)
		switch {
		case err == nil:
			infos[i], found[i] = info, true
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case !isNotFound(err):
			d.Kind, d.Detail = Unread, string(region)+": "+err.Error()
			return d, nil
		}
	}
	switch {
	case !found[0] && !found[1]:
		return nil, nil
	case found[0] != found[1]:
		d.Kind = Missing
		return d, nil
	}
	detail, err := b.compare(ctx, name, &infos[0], &infos[1])
	if err != nil || detail == "" {
		return nil, err
	}
	d.Kind, d.Detail = Content, detail
	return d, nil
}

// compare says how two objects differ, "" when they do not.
func (b *Buckets) compare(
	ctx context.Context, name string, x, y *cloud.ObjectInfo,
) (string, error) {
	switch {
	case x.Size != y.Size:
		return fmt.Sprintf("size %d and %d", x.Size, y.Size), nil
	case x.ContentType != y.ContentType:
		return fmt.Sprintf("content type %q and %q", x.ContentType, y.ContentType), nil
	case x.Headers != y.Headers:
		return fmt.Sprintf("content headers %+v and %+v", x.Headers, y.Headers), nil
	}
	if detail := metadata(x.Metadata, y.Metadata); detail != "" {
		return detail, nil
	}
	if x.HasCRC64 && y.HasCRC64 {
		if x.CRC64 != y.CRC64 {
			return fmt.Sprintf("CRC-64 %016x and %016x", x.CRC64, y.CRC64), nil
		}
		return "", nil
	}
	if !b.Deep {
		return "", nil
	}
	var sums [2]uint64
	for i, region := range proa.Regions() {
		sum, err := b.Sum(ctx, b.Sides[region], name)
		if err != nil {
			return "", fmt.Errorf("verify bucket %s: %s: %s: %w", b.Name, region, name, err)
		}
		sums[i] = sum
	}
	if sums[0] != sums[1] {
		return fmt.Sprintf("CRC-64 %016x and %016x", sums[0], sums[1]), nil
	}
	return "", nil
}

func metadata(x, y map[string]string) string {
	for name, v := range x {
		if w, ok := y[name]; !ok || w != v {
			return "metadata " + name
		}
	}
	for name := range y {
		if _, ok := x[name]; !ok {
			return "metadata " + name
		}
	}
	return ""
}

func isNotFound(err error) bool { return errors.Is(err, proa.ErrNotFound) }
