package sidecar

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/datasync/internal/wire"
)

// Tombstone is one delete.
type Tombstone struct {
	Key     proa.Key
	Version proa.Version
	Parent  proa.Version
	At      time.Time // when it was decided
}

// segment is what is known of a stored segment.
type segment struct {
	epoch, seq uint64
	count      int
	bytes      int
	newest     time.Time
}

// The bounds of a segment: DynamoDB's 400 KB an item, with room to spare.
const (
	maxTombstones = 2000
	maxBytes      = 256 << 10
)

// Remember writes deletes as segments. They count once the next Save has succeeded.
func (s *Sidecar) Remember(ctx context.Context, deletes []Tombstone) error {
	for n := 0; len(deletes) > 0; n++ {
		body, took := encodeSegment(deletes)
		name := segmentName(s.root.Epoch, max(s.root.Seq, s.tried)+1, n)
		sg := segment{epoch: s.root.Epoch, seq: max(s.root.Seq, s.tried) + 1, count: took, bytes: len(body)}
		for _, t := range deletes[:took] {
			if t.At.After(sg.newest) {
				sg.newest = t.At
			}
		}
		item := proa.Item{
			"id": s.key(name).Hash, "body": proa.Binary(body), "count": number(uint64(took)),
			"newest": number(uint64(max(sg.newest.UnixMilli(), 0))),
		}
		if err := s.create(ctx, name, item); err != nil {
			return fmt.Errorf("remember %d deletes: %w", len(deletes), err)
		}
		s.segments[name] = sg
		deletes = deletes[took:]
	}
	return nil
}

// create writes a row that is not there, or is there as an earlier attempt has left it: then it is
// replaced, since nothing counts on it yet.
func (s *Sidecar) create(ctx context.Context, name string, item proa.Item) error {
	row := cloud.Row{Key: s.key(name)}
	for range 2 {
		s.wrote(size(item))
		now, _, err := s.table.Swap(ctx, row, proa.Image{Item: item})
		if !errors.Is(err, proa.ErrConflict) {
			return err
		}
		if now.Image.Item.Equal(item) {
			return nil
		}
		row = now
	}
	return fmt.Errorf("segment %s: %w", name, proa.ErrUnavailable)
}

// segmentName sorts by epoch, then by the Save that makes it count.
func segmentName(epoch, seq uint64, n int) string {
	return fmt.Sprintf("t:%016x:%016x:%04x", epoch, seq, n)
}

func parseSegmentName(name string) (epoch, seq uint64, ok bool) {
	parts := strings.Split(name, ":")
	if len(parts) != 4 || parts[0] != "t" {
		return 0, 0, false
	}
	epoch, err1 := strconv.ParseUint(parts[1], 16, 64)
	seq, err2 := strconv.ParseUint(parts[2], 16, 64)
	return epoch, seq, err1 == nil && err2 == nil
}

// counts reports whether a segment was made to count by its owner.
func (r Root) counts(epoch, seq uint64) bool {
	if epoch == r.Epoch {
		return seq <= r.Seq
	}
	end, ok := r.Ends[epoch]
	return ok && seq <= end
}

// pageSize is how many rows one read of the table asks for: a page of segments is a megabyte at most
// on both clouds.
const pageSize = 100

// Load reads all deletes that count and calls fn with them, a segment at a time. Segments that do not
// count are left to Compact. It follows Claim.
func (s *Sidecar) Load(ctx context.Context, fn func([]Tombstone) error) error {
	cursor, prefix := "", s.deployment+":"
	s.segments = map[string]segment{}
	for {
		rows, next, err := s.table.Scan(ctx, cursor, pageSize)
		if err != nil {
			return fmt.Errorf("load deletes: %w", err)
		}
		for _, row := range rows {
			name, ok := strings.CutPrefix(row.Key.Hash.Str, prefix)
			if !ok {
				continue
			}
			epoch, seq, ok := parseSegmentName(name)
			if !ok {
				continue
			}
			if err := s.load(name, epoch, seq, row, fn); err != nil {
				return fmt.Errorf("load deletes: segment %s: %w", name, err)
			}
		}
		if next == "" {
			return nil
		}
		cursor = next
	}
}

func (s *Sidecar) load(
	name string, epoch, seq uint64, row cloud.Row, fn func([]Tombstone) error,
) error {
	sg := segment{epoch: epoch, seq: seq, bytes: len(row.Image.Item["body"].Str)}
	deletes, err := decodeSegment(row.Image.Item)
	if err != nil {
		return err
	}
	for _, t := range deletes {
		if t.At.After(sg.newest) {
			sg.newest = t.At
		}
	}
	sg.count = len(deletes)
	s.segments[name] = sg
	if !s.root.counts(epoch, seq) {
		return nil
	}
	return fn(deletes)
}

// Counts returns how many segments and deletes are kept, some perhaps more than once.
func (s *Sidecar) Counts() (segments, deletes int) {
	for _, sg := range s.segments {
		deletes += sg.count
	}
	return len(s.segments), deletes
}

func encodeSegment(deletes []Tombstone) (body []byte, took int) {
	e := wire.Encoder{B: []byte{1}}
	for _, t := range deletes {
		mark := len(e.B)
		e.Key(t.Key)
		e.Version(t.Version)
		e.Version(t.Parent)
		e.Time(t.At)
		if took > 0 && len(e.B) > maxBytes {
			e.B = e.B[:mark]
			break
		}
		if took++; took == maxTombstones {
			break
		}
	}
	return e.B, took
}

func decodeSegment(item proa.Item) ([]Tombstone, error) {
	d := wire.Decoder{B: []byte(item["body"].Str)}
	if format := d.Byte(); format != 1 {
		return nil, fmt.Errorf("format %d: %w", format, wire.ErrCorrupt)
	}
	var deletes []Tombstone
	for len(d.B) > 0 {
		deletes = append(deletes, Tombstone{
			Key: d.Key(), Version: d.Version(), Parent: d.Version(), At: d.Time(),
		})
	}
	return deletes, d.Done("segment")
}

// compactAt is how many small segments are too many, and small the bytes below which one is.
const (
	compactAt = 24
	small     = maxBytes / 4
	mergeMost = 64 // segments in one go
)

// Compact makes one segment of many small ones, and of those that are older than grace, without the
// deletes that are not live any more. It removes what does not count. It does a bounded amount of
// work, and is called now and then.
func (s *Sidecar) Compact(
	ctx context.Context, now time.Time, grace time.Duration, live func(Tombstone) (bool, error),
) error {
	merge := s.choose(now, grace)
	if len(merge) == 0 {
		return nil
	}
	var kept []Tombstone
	var rows []cloud.Row
	for _, name := range merge {
		row, err := s.table.Get(ctx, s.key(name))
		if err != nil {
			return fmt.Errorf("compact: %w", err)
		}
		if !row.Image.Exists() {
			delete(s.segments, name)
			continue
		}
		rows = append(rows, row)
		if sg := s.segments[name]; !s.root.counts(sg.epoch, sg.seq) {
			continue
		}
		if kept, err = keepLive(kept, row, live); err != nil {
			return fmt.Errorf("compact: segment %s: %w", name, err)
		}
	}
	if len(kept) > 0 {
		if err := s.Remember(ctx, kept); err != nil {
			return err
		}
		if err := s.Save(ctx, nil); err != nil {
			return err
		}
	}
	for _, row := range rows {
		s.wrote(1)
		if _, err := s.table.Purge(ctx, row); err != nil && !errors.Is(err, proa.ErrConflict) {
			return fmt.Errorf("compact: %w", err)
		}
		delete(s.segments, strings.TrimPrefix(row.Key.Hash.Str, s.deployment+":"))
	}
	return nil
}

func keepLive(
	kept []Tombstone, row cloud.Row, live func(Tombstone) (bool, error),
) ([]Tombstone, error) {
	deletes, err := decodeSegment(row.Image.Item)
	if err != nil {
		return kept, err
	}
	for _, t := range deletes {
		ok, err := live(t)
		if err != nil {
			return kept, err
		}
		if ok {
			kept = append(kept, t)
		}
	}
	return kept, nil
}

// choose names the segments that are to become one: what does not count and what is past its grace
// first, then small ones where there are too many.
func (s *Sidecar) choose(now time.Time, grace time.Duration) []string {
	var dead, old, little []string
	for name, sg := range s.segments {
		switch {
		case sg.epoch == s.root.Epoch && sg.seq > s.root.Seq:
			// written, and not saved yet
		case !s.root.counts(sg.epoch, sg.seq):
			dead = append(dead, name)
		case now.Sub(sg.newest) > grace:
			old = append(old, name)
		case sg.bytes < small:
			little = append(little, name)
		}
	}
	if len(little) < compactAt {
		little = nil
	}
	slices.Sort(little)
	slices.Sort(old)
	names := slices.Concat(dead, old, little)
	bytes := 0
	for i, name := range names {
		bytes += s.segments[name].bytes
		if i > 0 && (i == mergeMost || bytes > 2*maxBytes) {
			return names[:i]
		}
	}
	return names
}
