// Package verify compares both sides of a table or a bucket, key by key: contents and versions must
// be equal, tombstone images count as absent. It reads the sides themselves and believes nothing
// that the replicator remembers.
//
// Tables: both sides are scanned at the same time into a scratch range of the node's database
// (about 100 bytes a key on disk; memory does not grow with the number of keys), which is then
// merged in order of key. Buckets list in order of name and are merged as they stream. Keys that
// differ are read again on both sides, together and for a while, before they count: while writes go on,
// the two scans saw them at different times. What still differs while the replicator has a write of it under
// way is counted in flight, not as a difference.
package verify

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"golang.org/x/sync/errgroup"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/datasync/internal/wire"
)

// Kind is how two sides differ.
type Kind string

// The kinds.
const (
	Missing  Kind = "missing" // one side has it, the other has not
	Content  Kind = "content" // attributes, bytes or metadata differ
	Versions Kind = "version" // the content is equal, its versions are not
	Unread   Kind = "unread"  // it could not be read again
)

// Difference is one key that differs.
type Difference struct {
	Table  string    `json:"table,omitempty"`
	Of     proa.Key  `json:"-"`             // the key itself; not on disk and in no listing
	Key    proa.Item `json:"key,omitempty"` // its attributes, without what may not be logged
	Bucket string    `json:"bucket,omitempty"`
	Object string    `json:"object,omitempty"`
	Kind   Kind      `json:"kind"`
	// by region; the zero Version where it is absent or has none
	Sides  map[proa.Region]proa.Version `json:"versions,omitempty"`
	Detail string                       `json:"detail,omitempty"`
}

// Result is the outcome of a comparison. Through is such that the sides are equal, but for what it
// lists, in everything written before it.
type Result struct {
	Through     time.Time    `json:"through"`
	Took        float64      `json:"took_seconds"`
	Keys        int64        `json:"keys"`    // that exist on either side
	Objects     int64        `json:"objects"` // that exist on either side
	Differences int64        `json:"differences"`
	InFlight    int64        `json:"in_flight"`
	First       []Difference `json:"first,omitempty"`
}

// MaxListed bounds Result.First.
const MaxListed = 100

// Add adds the result of another table or bucket.
func (r *Result) Add(o Result) {
	if r.Through.IsZero() || o.Through.Before(r.Through) {
		r.Through = o.Through
	}
	r.Keys += o.Keys
	r.Objects += o.Objects
	r.Differences += o.Differences
	r.InFlight += o.InFlight
	r.First = append(r.First, o.First[:min(len(o.First), MaxListed-len(r.First))]...)
}

// Differ adds a key that differs.
func (r *Result) Differ(d Difference) {
	r.Differences++
	if len(r.First) < MaxListed {
		r.First = append(r.First, d)
	}
}

// Tables is one comparison of a table.
type Tables struct {
	DB      *pebble.DB
	Prefix  []byte // of the scratch range, which is emptied before and after
	Sides   map[proa.Region]cloud.Table
	Pending func(proa.Key) (bool, error) // whether the replicator has yet to write it somewhere
	// Excused reports whether a key may be missing at a side: it lapsed there, by a rule. nil for none.
	Excused func(proa.Key) (bool, error)
	// Logged is what may be told of a key, and Text of an error; nil for all of it.
	Logged  func(proa.Key) proa.Item
	Text    func(err error, key proa.Key) string
	Clock   func() time.Time
	Page    int           // rows of one scan read
	Recheck time.Duration // how long keys that differ are read again
}

// Compare compares both sides.
func (t *Tables) Compare(ctx context.Context) (Result, error) {
	res := Result{Through: t.Clock()}
	if err := t.clear(); err != nil {
		return res, err
	}
	g, scanning := errgroup.WithContext(ctx)
	for i, region := range proa.Regions() {
		g.Go(func() error { return t.spill(scanning, byte(i), t.Sides[region]) })
	}
	if err := g.Wait(); err != nil {
		return res, errors.Join(fmt.Errorf("verify: %w", err), t.clear())
	}
	err := t.merge(ctx, &res)
	return res, errors.Join(err, t.clear())
}

func (t *Tables) clear() error {
	end := append(append([]byte(nil), t.Prefix...), 0xff)
	if err := t.DB.DeleteRange(t.Prefix, end, pebble.NoSync); err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	return nil
}

// spill keeps a digest of each row of one side: key, side → key, content hash, version.
func (t *Tables) spill(ctx context.Context, side byte, table cloud.Table) error {
	cursor := ""
	for {
		rows, next, err := table.Scan(ctx, cursor, t.Page)
		if err != nil {
			return err
		}
		b := t.DB.NewBatch()
		for _, row := range rows {
			if row.Image.Tombstone() {
				continue
			}
			k := append(append([]byte(nil), t.Prefix...), row.Key.ID()...)
			if err := b.Set(append(k, side), digest(row), nil); err != nil {
				return err
			}
		}
		if err := b.Commit(pebble.NoSync); err != nil {
			return err
		}
		if next == "" {
			return nil
		}
		cursor = next
	}
}

func digest(row cloud.Row) []byte {
	e := wire.Encoder{}
	e.Key(row.Key)
	e.Hash(proa.ContentHash(row.Image.Item))
	e.Version(versionOf(row.Image))
	return e.B
}

func versionOf(img proa.Image) proa.Version {
	if img.Envelope == nil || !img.Exists() {
		return proa.Version{}
	}
	return img.Envelope.Version
}

// pair is one key as the two scans saw it.
type pair struct {
	key   proa.Key
	found [2]bool
	sum   [2][]byte
}

// merge walks the scratch range in order of key.
func (t *Tables) merge(ctx context.Context, res *Result) error {
	end := append(append([]byte(nil), t.Prefix...), 0xff)
	it, err := t.DB.NewIter(&pebble.IterOptions{LowerBound: t.Prefix, UpperBound: end})
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	l := looker[proa.Key]{look: t.look, clock: t.Clock, recheck: t.Recheck}
	var p pair
	var id string
	var differ []proa.Key
	finish := func() error {
		if id == "" {
			return nil
		}
		res.Keys++
		if p.found[0] && p.found[1] && string(p.sum[0]) == string(p.sum[1]) {
			return nil
		}
		if differ = append(differ, p.key); len(differ) < maxSuspects {
			return nil
		}
		err := l.settle(ctx, differ, res)
		differ = nil
		return err
	}
	for ok := it.First(); ok; ok = it.Next() {
		k := it.Key()
		if now := string(k[len(t.Prefix) : len(k)-1]); now != id {
			if err := finish(); err != nil {
				return errors.Join(err, it.Close())
			}
			id, p = now, pair{}
		}
		d := wire.Decoder{B: append([]byte(nil), it.Value()...)}
		p.key = d.Key()
		side := k[len(k)-1] & 1
		p.found[side], p.sum[side] = true, d.B
	}
	if err := errors.Join(finish(), it.Error(), it.Close()); err != nil {
		return err
	}
	return l.settle(ctx, differ, res)
}

// look compares a key as it is now, and says what is known of why it differs.
func (t *Tables) look(ctx context.Context, key proa.Key) (sight, error) {
	d, err := t.read(ctx, key)
	if err != nil || d == nil {
		return sight{}, err
	}
	s := sight{d: d}
	if s.pending, err = t.Pending(key); err != nil {
		return sight{}, err
	}
	s.final = !s.pending && d.Kind == Unread
	if d.Kind == Missing && t.Excused != nil {
		if ok, err := t.Excused(key); ok || err != nil {
			return sight{}, err
		}
	}
	return s, nil
}

// read compares a key as it is now; nil when the sides agree.
func (t *Tables) read(ctx context.Context, key proa.Key) (*Difference, error) {
	var rows [2]cloud.Row
	for i, region := range proa.Regions() {
		row, err := t.Sides[region].Get(ctx, key)
		if err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			d := t.difference(region, key, rows)
			text := err.Error()
			if t.Text != nil {
				text = t.Text(err, key)
			}
			d.Kind, d.Detail = Unread, string(region)+": "+text
			return d, nil
		}
		if row.Image.Tombstone() {
			row.Image = proa.Image{}
		}
		rows[i] = row
	}
	a, b := rows[0].Image, rows[1].Image
	d := t.difference(proa.AWS, key, rows)
	switch {
	case !a.Exists() && !b.Exists():
		return nil, nil
	case a.Exists() != b.Exists():
		d.Kind, d.Detail = Missing, "absent at "+string(absent(a))
	case !a.Item.Equal(b.Item):
		d.Kind = Content
	case versionOf(a) != versionOf(b):
		d.Kind = Versions
	default:
		return nil, nil
	}
	return d, nil
}

func absent(a proa.Image) proa.Region {
	if a.Exists() {
		return proa.Azure
	}
	return proa.AWS
}

func (t *Tables) difference(region proa.Region, key proa.Key, rows [2]cloud.Row) *Difference {
	schema := t.Sides[region].Schema()
	attributes := schema.Attributes(key)
	if t.Logged != nil {
		attributes = t.Logged(key)
	}
	return &Difference{
		Table: key.Table, Of: key, Key: attributes,
		Sides: map[proa.Region]proa.Version{
			proa.AWS: versionOf(rows[0].Image), proa.Azure: versionOf(rows[1].Image),
		},
	}
}
