package function

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/hlc"
)

// Table is one replicated table in this process's region. Errors wrap the sentinels of package proa: ErrNotFound, ErrExists (PutNew),
// ErrConflict (PutIf, DeleteIf, or too many writers of one key), ErrThrottled, ErrTooLarge, ErrInvalid, ErrUnavailable.
//
// Conditions hold within the region; the other region may write the same key at the same time, and proa then resolves. Tombstone
// images are not there for readers. A table with fencing is written only in the region that serves: elsewhere, and while traffic
// moves, writes fail with ErrFenced. Methods may be called from several goroutines.
type Table struct {
	store    Store
	region   proa.Region
	announce *announcer
	clock    func() time.Time
	lease    *lease // nil: both regions may write
}

// Store is what Table needs of a driver.
type Store interface {
	cloud.Table
	cloud.Querier
}

// Entry is one item as stored.
type Entry struct {
	Item    proa.Item
	Version proa.Version // of exactly this content; good for PutIf and DeleteIf
}

// maxTries is how often a write is tried against other writers of the same key.
const maxTries = 10

// Schema returns the table's key schema.
func (t *Table) Schema() proa.Schema { return t.store.Schema() }

// Key makes a key of the table; no range value for a table without a range key.
func (t *Table) Key(hash proa.Value, rangeKey ...proa.Value) proa.Key {
	k := proa.Key{Table: t.Schema().Table, Hash: hash}
	if len(rangeKey) > 0 {
		k.Range = rangeKey[0]
	}
	return k
}

// Get reads one item; ErrNotFound when there is none.
func (t *Table) Get(ctx context.Context, key proa.Key) (Entry, error) {
	row, err := t.store.Get(ctx, key)
	if err != nil {
		return Entry{}, err
	}
	if !live(row.Image) {
		return Entry{}, t.fail("get item", key, proa.ErrNotFound)
	}
	return t.entry(row.Image), nil
}

func live(img proa.Image) bool { return img.Exists() && !img.Tombstone() }

func (t *Table) entry(img proa.Image) Entry { return Entry{Item: img.Item, Version: t.version(img)} }

// version names exactly the image's content. Where the envelope does not match it, another writer left a stale one: the content
// then has no version yet, and this name of it is only good for comparing.
func (t *Table) version(img proa.Image) proa.Version {
	hash := proa.ContentHash(img.Item)
	switch {
	case img.Tombstone():
		return img.Envelope.Version
	case img.Envelope == nil:
		return proa.Version{Region: t.region, Hash: hash}
	case img.Envelope.Version.Hash != hash:
		return proa.Version{Time: img.Envelope.Version.Time, Region: t.region, Hash: hash}
	}
	return img.Envelope.Version
}

func (t *Table) fail(op string, key proa.Key, err error) error {
	return &proa.Error{Op: op, Region: t.region, Key: key.String(), Err: err}
}

// Put stores an item whatever is there, as one replacement, and returns its version.
func (t *Table) Put(ctx context.Context, item proa.Item) (proa.Version, error) {
	key, err := t.keyOf("put item", item)
	if err != nil {
		return proa.Version{}, err
	}
	row, err := t.store.Get(ctx, key)
	if err != nil {
		return proa.Version{}, err
	}
	return t.write(ctx, row, func(proa.Image) (proa.Item, error) { return item, nil })
}

// PutNew stores an item where there is none; ErrExists when there is one.
func (t *Table) PutNew(ctx context.Context, item proa.Item) (proa.Version, error) {
	const op = "put new item"
	key, err := t.keyOf(op, item)
	if err != nil {
		return proa.Version{}, err
	}
	return t.write(ctx, cloud.Row{Key: key}, func(was proa.Image) (proa.Item, error) {
		if live(was) {
			return nil, t.fail(op, key, proa.ErrExists)
		}
		return item, nil
	})
}

// PutIf replaces the item that has that version; ErrConflict when it is another or none.
func (t *Table) PutIf(ctx context.Context, item proa.Item, version proa.Version) (proa.Version, error) {
	const op = "replace item"
	key, err := t.keyOf(op, item)
	if err != nil {
		return proa.Version{}, err
	}
	row, err := t.store.Get(ctx, key)
	if err != nil {
		return proa.Version{}, err
	}
	return t.write(ctx, row, func(was proa.Image) (proa.Item, error) {
		if !live(was) || t.version(was) != version {
			return nil, t.fail(op, key, proa.ErrConflict)
		}
		return item, nil
	})
}

// Update replaces an item by what change makes of it, and tries again with the newer item when another writer was faster, so change
// may be called several times. It gets a copy of its own. ErrNotFound when there is no item; an error of change is returned as it is.
func (t *Table) Update(
	ctx context.Context, key proa.Key, change func(Entry) (proa.Item, error),
) (Entry, error) {
	row, err := t.store.Get(ctx, key)
	if err != nil {
		return Entry{}, err
	}
	var item proa.Item
	version, err := t.write(ctx, row, func(was proa.Image) (proa.Item, error) {
		if !live(was) {
			return nil, t.fail("update item", key, proa.ErrNotFound)
		}
		e := t.entry(was)
		e.Item = maps.Clone(e.Item)
		var err error
		item, err = change(e)
		return item, err
	})
	return Entry{Item: item, Version: version}, err
}

// write swaps what decide makes of the row for it, until that wins or decide fails.
func (t *Table) write(
	ctx context.Context, row cloud.Row, decide func(was proa.Image) (proa.Item, error),
) (proa.Version, error) {
	for try := range maxTries {
		if proa.LaterFormat(row.Image.Malformed) {
			return proa.Version{}, t.fail("put item", row.Key, fmt.Errorf("%s: %w", row.Image.Malformed, proa.ErrInvalid))
		}
		item, err := decide(row.Image)
		if err != nil {
			return proa.Version{}, err
		}
		next := t.stamp(row.Image, item)
		key := row.Key
		held, release, err := t.lease.hold(ctx)
		if err != nil {
			return proa.Version{}, t.fail("put item", key, err)
		}
		now, _, err := t.store.Swap(held, row, next)
		release()
		if err == nil || errors.Is(err, proa.ErrConflict) && same(now.Image, next) {
			t.announce.item(ctx, t.Schema().Attributes(key), t.Schema().Table, next.Envelope.Version, false)
			return next.Envelope.Version, nil
		}
		if !errors.Is(err, proa.ErrConflict) {
			return proa.Version{}, err
		}
		row = cloud.Row{Key: key, Image: now.Image, ETag: now.ETag}
		if err := pause(ctx, try); err != nil {
			return proa.Version{}, t.fail("put item", key, fmt.Errorf("%w: %w", proa.ErrConflict, err))
		}
	}
	return proa.Version{}, t.fail("put item", row.Key, fmt.Errorf("%d tries: %w", maxTries, proa.ErrConflict))
}

// stamp gives the item its envelope: the parent is the version that was seen, a tombstone's included, and the version's time is now or just
// after the parent's. The logical part is random, so that two instances in one millisecond do not name two contents alike.
func (t *Table) stamp(was proa.Image, item proa.Item) proa.Image {
	item = item.Without(proa.EnvelopeAttr)
	var parent proa.Version
	if was.Exists() {
		parent = t.version(was)
	}
	at := hlc.At(t.clock()) + hlc.Timestamp(rand.Uint32N(1<<16))
	e := proa.Envelope{
		Version: proa.Version{Time: max(at, parent.Time.Next()), Region: t.region, Hash: proa.ContentHash(item)},
		Parent:  parent,
	}
	return proa.Image{Item: item, Envelope: &e}
}

// same reports that a refused write is stored all the same: the SDK repeated a call whose answer was lost.
func same(stored, next proa.Image) bool {
	return stored.Envelope != nil && *stored.Envelope == *next.Envelope && stored.Item.Equal(next.Item)
}

func pause(ctx context.Context, try int) error {
	most := time.Millisecond << min(try, 6)
	timer := time.NewTimer(time.Duration(rand.Int64N(int64(most)) + 1))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t *Table) keyOf(op string, item proa.Item) (proa.Key, error) {
	key, err := t.Schema().KeyOf(item)
	if err != nil {
		return key, &proa.Error{Op: op, Region: t.region, Key: t.Schema().Table, Err: err}
	}
	return key, nil
}

// Delete removes the item; removing none is no error.
func (t *Table) Delete(ctx context.Context, key proa.Key) error {
	return t.remove(ctx, key, func(was proa.Image) (bool, error) { return live(was), nil })
}

// DeleteIf removes the item that has that version; ErrConflict when it is another or none.
func (t *Table) DeleteIf(ctx context.Context, key proa.Key, version proa.Version) error {
	return t.remove(ctx, key, func(was proa.Image) (bool, error) {
		if !live(was) || t.version(was) != version {
			return false, t.fail("delete item", key, proa.ErrConflict)
		}
		return true, nil
	})
}

// remove deletes the row itself. The change feed brings the old image, from which proa makes the tombstone.
func (t *Table) remove(ctx context.Context, key proa.Key, decide func(proa.Image) (bool, error)) error {
	row, err := t.store.Get(ctx, key)
	if err != nil {
		return err
	}
	for try := range maxTries {
		if wanted, err := decide(row.Image); err != nil || !wanted {
			return err
		}
		parent := t.version(row.Image)
		held, release, err := t.lease.hold(ctx)
		if err != nil {
			return t.fail("delete item", key, err)
		}
		now, err := t.store.Purge(held, row)
		release()
		if err == nil {
			at := proa.Version{Time: max(hlc.At(t.clock()), parent.Time.Next()), Region: t.region}
			t.announce.item(ctx, t.Schema().Attributes(key), t.Schema().Table, at, true)
			return nil
		}
		if !errors.Is(err, proa.ErrConflict) {
			return err
		}
		row = cloud.Row{Key: key, Image: now.Image, ETag: now.ETag}
		if err := pause(ctx, try); err != nil {
			return t.fail("delete item", key, fmt.Errorf("%w: %w", proa.ErrConflict, err))
		}
	}
	return t.fail("delete item", key, fmt.Errorf("%d tries: %w", maxTries, proa.ErrConflict))
}

// List returns a page of the table in the store's own order and the cursor of the next page, "" at the end. A page may hold fewer
// items than limit, or none, before the end.
func (t *Table) List(ctx context.Context, cursor string, limit int) ([]Entry, string, error) {
	rows, next, err := t.store.Scan(ctx, cursor, limit)
	return t.entries(rows), next, err
}

// Query returns a page of one hash key's items in range order, as List does.
func (t *Table) Query(ctx context.Context, q cloud.Query) ([]Entry, string, error) {
	rows, next, err := t.store.Query(ctx, q)
	return t.entries(rows), next, err
}

func (t *Table) entries(rows []cloud.Row) []Entry {
	entries := make([]Entry, 0, len(rows))
	for _, row := range rows {
		if live(row.Image) {
			entries = append(entries, t.entry(row.Image))
		}
	}
	return entries
}
