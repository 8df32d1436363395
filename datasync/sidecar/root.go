package sidecar

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
)

// Table is the table's name in both clouds, Database that of its Cosmos DB database.
const (
	Table    = "proa_state"
	Database = "proa"
)

// Schema is the table's: one row a deployment, and its segments.
func Schema() proa.Schema {
	return proa.Schema{Table: Table, HashName: "id", HashKind: proa.KindS}
}

// Feed is how far a table's feed was captured.
type Feed struct {
	Cursor string
	At     time.Time // by the owner's clock
}

// Root is the row that names the owner.
type Root struct {
	Epoch uint64
	Seq   uint64 // rises with each write of an epoch
	Owner string
	// Instance tells the owner from another process of the same name.
	Instance string
	Feeds    map[string]Feed // by table
	// Ends says for each epoch that is over which of its segments count: those up to a Seq.
	Ends map[uint64]uint64
}

// StaleError says that a region has had a later owner. It wraps proa.ErrStaleEpoch.
type StaleError struct {
	Epoch, Later uint64
	By           string // the later owner
}

// Error names both epochs.
func (e *StaleError) Error() string {
	return fmt.Sprintf("epoch %d: %s has claimed epoch %d: %v", e.Epoch, e.By, e.Later,
		proa.ErrStaleEpoch)
}

// Unwrap returns proa.ErrStaleEpoch.
func (e *StaleError) Unwrap() error { return proa.ErrStaleEpoch }

// Sidecar is one region's table as one deployment uses it.
type Sidecar struct {
	table      cloud.Table
	deployment string
	instance   string
	wrote      func(bytes int) // of each write that was sent

	root     Root
	row      cloud.Row // as last seen
	tried    uint64    // the Seq of the last write that was sent
	segments map[string]segment
}

// New makes a Sidecar, which calls nothing. instance is this process's and tenure's own. wrote, if not
// nil, counts writes.
func New(table cloud.Table, deployment, instance string, wrote func(bytes int)) *Sidecar {
	if wrote == nil {
		wrote = func(int) {}
	}
	return &Sidecar{
		table: table, deployment: deployment, instance: instance, wrote: wrote, segments: map[string]segment{},
	}
}

// Root is the root as this owner last wrote it.
func (s *Sidecar) Root() Root { return s.root }

func (s *Sidecar) key(name string) proa.Key {
	return proa.Key{Table: s.table.Schema().Table, Hash: proa.String(s.deployment + ":" + name)}
}

const rootName = "root"

// claimTries bounds the races that a claim takes part in at a time.
const claimTries = 5

// Claim makes a node the owner at this region, under an epoch; 0 takes the one after the region's
// last. It returns the root as the predecessor left it, zero if there was none. It fails with a
// StaleError where the region knows a later owner, or another one of the same epoch. What it leaves
// open (proa.ErrUnavailable) may be claimed again.
func (s *Sidecar) Claim(ctx context.Context, epoch uint64, owner string) (Root, error) {
	row, err := s.table.Get(ctx, s.key(rootName))
	if err != nil {
		return Root{}, fmt.Errorf("claim: %w", err)
	}
	for range claimTries {
		before, err := decodeRoot(row.Image.Item)
		if err != nil {
			return Root{}, fmt.Errorf("claim: %w", err)
		}
		next, err := before.succeed(epoch, owner)
		if err != nil {
			return Root{}, fmt.Errorf("claim: %w", err)
		}
		next.Instance = s.instance
		s.row, s.root = row, before
		row, err = s.put(ctx, next)
		if err == nil {
			return before, nil
		}
		if !errors.Is(err, proa.ErrConflict) {
			return Root{}, fmt.Errorf("claim: %w", err)
		}
	}
	return Root{}, fmt.Errorf("claim: others were faster %d times: %w", claimTries, proa.ErrUnavailable)
}

// succeed is the root of the next owner.
func (r Root) succeed(epoch uint64, owner string) (Root, error) {
	if epoch == 0 {
		epoch = r.Epoch + 1
	}
	if epoch < r.Epoch || epoch == r.Epoch && owner != r.Owner {
		return Root{}, &StaleError{Epoch: epoch, Later: r.Epoch, By: r.Owner}
	}
	next := Root{Epoch: epoch, Owner: owner, Feeds: r.Feeds, Ends: map[uint64]uint64{}, Seq: 1}
	for e, seq := range r.Ends {
		next.Ends[e] = seq
	}
	if epoch == r.Epoch {
		next.Seq = r.Seq + 1
	} else if r.Epoch > 0 {
		next.Ends[r.Epoch] = r.Seq
	}
	return next, nil
}

// Save keeps how far the feeds were captured, and makes the segments count that were written since
// the last Save. It fails with a StaleError once another owner has claimed the region: then nothing
// of it was kept. Places that an item cannot hold stay as they were, and it fails with a TooLargeError: then all
// else was kept.
func (s *Sidecar) Save(ctx context.Context, feeds map[string]Feed) error {
	next := s.root
	next.Seq = max(next.Seq, s.tried) + 1
	next.Feeds = map[string]Feed{}
	for table, f := range s.root.Feeds {
		next.Feeds[table] = f
	}
	for table, f := range feeds {
		next.Feeds[table] = f
	}
	large := s.fit(&next, feeds)
	row, err := s.put(ctx, next)
	if errors.Is(err, proa.ErrConflict) {
		now, derr := decodeRoot(row.Image.Item)
		switch {
		case derr != nil:
			return fmt.Errorf("save: %w", derr)
		case !now.by(next) && now.Epoch >= next.Epoch:
			return fmt.Errorf("save: %w", &StaleError{Epoch: next.Epoch, Later: now.Epoch, By: now.Owner})
		}
		// A write of ours that had been given up has landed, or the table was put back to before our claim.
		s.row = row
		_, err = s.put(ctx, next)
	}
	switch {
	case err != nil:
		return fmt.Errorf("save: %w", err)
	case large != nil:
		return fmt.Errorf("save: %w", large)
	}
	return nil
}

// by reports whether the same owner wrote both.
func (r Root) by(o Root) bool {
	return r.Epoch == o.Epoch && r.Owner == o.Owner && r.Instance == o.Instance
}

// put writes the root by compare-and-set with the row that was last known to be ours. A conflict
// returns the row that is stored, unless it is what was to be written: an earlier attempt of the same
// call was stored.
func (s *Sidecar) put(ctx context.Context, next Root) (cloud.Row, error) {
	item := next.item(s.key(rootName))
	s.tried = next.Seq
	s.wrote(size(item))
	row, _, err := s.table.Swap(ctx, s.row, proa.Image{Item: item})
	switch {
	case err == nil,
		errors.Is(err, proa.ErrConflict) && row.Image.Item["token"].Equal(item["token"]):
		s.row, s.root = row, next
		return row, nil
	case errors.Is(err, proa.ErrUnavailable):
		// It may have been stored, or still be: what is there is looked at before the next try.
		return row, errors.Join(err, s.refresh(ctx, next))
	}
	return row, err
}

// refresh reads the root after a write with an unknown outcome. Where that cannot be told either, the
// next write is refused, at the latest, and tells.
func (s *Sidecar) refresh(ctx context.Context, next Root) error {
	row, err := s.table.Get(ctx, s.key(rootName))
	if err != nil {
		return nil //nolint:nilerr // the caller has an error to report already
	}
	now, err := decodeRoot(row.Image.Item)
	if err != nil {
		return err
	}
	if now.by(next) {
		s.row, s.root = row, now
	}
	return nil
}

// item is the root as it is stored. Its token names the write, so that comparing it compares all.
func (r Root) item(key proa.Key) proa.Item {
	feeds, ends := proa.Item{}, proa.Item{}
	for table, f := range r.Feeds {
		feeds[table] = proa.Map(f.item())
	}
	for epoch, seq := range r.Ends {
		ends[strconv.FormatUint(epoch, 10)] = number(seq)
	}
	return proa.Item{
		"id":    key.Hash,
		"token": proa.String(fmt.Sprintf("%d.%d.%s", r.Epoch, r.Seq, r.Instance)),
		"epoch": number(r.Epoch), "seq": number(r.Seq), "owner": proa.String(r.Owner),
		"instance": proa.String(r.Instance),
		"feeds":    {Kind: proa.KindM, Map: feeds}, "ends": {Kind: proa.KindM, Map: ends},
	}
}

func decodeRoot(item proa.Item) (Root, error) {
	r := Root{Feeds: map[string]Feed{}, Ends: map[uint64]uint64{}}
	if item == nil {
		return r, nil
	}
	d := decoder{}
	r.Epoch, r.Seq, r.Owner = d.number(item["epoch"]), d.number(item["seq"]), item["owner"].Str
	r.Instance = item["instance"].Str
	for table, f := range item["feeds"].Map {
		at := d.number(f.Map["at"])
		r.Feeds[table] = Feed{Cursor: d.cursor(f.Map), At: time.UnixMilli(int64(at)).UTC()}
	}
	for name, seq := range item["ends"].Map {
		r.Ends[d.number(proa.Value{Kind: proa.KindN, Str: name})] = d.number(seq)
	}
	if d.err == nil && r.Epoch == 0 {
		d.err = errors.New("no epoch")
	}
	if d.err != nil {
		return r, fmt.Errorf("the root cannot be read: %w: %w", proa.ErrInvalid, d.err)
	}
	return r, nil
}

type decoder struct{ err error }

func (d *decoder) number(v proa.Value) uint64 {
	n, err := strconv.ParseUint(v.Str, 10, 63)
	if err != nil && d.err == nil {
		d.err = err
	}
	return n
}

func number(n uint64) proa.Value {
	return proa.Value{Kind: proa.KindN, Str: strconv.FormatUint(n, 10)}
}

// size is about what an item is charged for.
func size(item proa.Item) int {
	n := 0
	for name, v := range item {
		n += len(name) + len(v.Str) + size(v.Map) + 2
	}
	return n
}
