package residency

import (
	"context"
	"fmt"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
)

// Table shows the permitted projection of a table. Writes through it read the row first, so that
// what stays in the region is kept: one read more a write.
type Table struct {
	inner cloud.Table
	rules *Rules
}

// Feed shows the permitted projection of a feed. Changes of nothing but what stays are left out
// where the feed tells what was there before.
type Feed struct {
	inner cloud.Feed
	rules *Rules
}

var (
	_ cloud.Table = (*Table)(nil)
	_ cloud.Feed  = (*Feed)(nil)
)

// Wrap puts the rules around one side; the side itself where they project nothing.
func Wrap(table cloud.Table, feed cloud.Feed, rules *Rules) (cloud.Table, cloud.Feed) {
	if !rules.Projects() {
		return table, feed
	}
	return &Table{table, rules}, &Feed{feed, rules}
}

// Schema returns the table's schema.
func (t *Table) Schema() proa.Schema { return t.inner.Schema() }

func (r *Rules) image(img proa.Image) proa.Image {
	img.Item = r.Project(img.Item)
	return img
}

func (t *Table) row(row cloud.Row) cloud.Row {
	row.Image = t.rules.image(row.Image)
	return row
}

// Get reads one row's projection.
func (t *Table) Get(ctx context.Context, key proa.Key) (cloud.Row, error) {
	row, err := t.inner.Get(ctx, key)
	return t.row(row), err
}

// Scan reads a page of projections.
func (t *Table) Scan(ctx context.Context, cursor string, limit int) ([]cloud.Row, string, error) {
	rows, next, err := t.inner.Scan(ctx, cursor, limit)
	for i := range rows {
		rows[i] = t.row(rows[i])
	}
	return rows, next, err
}

// found reads the row as it is and refuses one whose projection is not seen's.
func (t *Table) found(ctx context.Context, op string, seen cloud.Row) (cloud.Row, error) {
	row, err := t.inner.Get(ctx, seen.Key)
	if err != nil {
		return cloud.Row{}, err
	}
	if !same(t.rules.image(row.Image), seen.Image) {
		return t.row(row), &proa.Error{
			Op: op, Key: seen.Key.String(), Err: fmt.Errorf("something else is stored: %w", proa.ErrConflict),
		}
	}
	return row, nil
}

func same(a, b proa.Image) bool {
	if a.Exists() != b.Exists() || !a.Item.Equal(b.Item) || a.Malformed != b.Malformed {
		return false
	}
	return (a.Envelope == nil) == (b.Envelope == nil) && (a.Envelope == nil || *a.Envelope == *b.Envelope)
}

// Swap puts a projection onto what the side holds.
func (t *Table) Swap(
	ctx context.Context, seen cloud.Row, next proa.Image,
) (cloud.Row, *proa.Image, error) {
	row, err := t.found(ctx, "put item", seen)
	if err != nil {
		return row, nil, err
	}
	if !next.Tombstone() {
		next.Item = t.rules.Join(row.Image.Item, next.Item)
	}
	now, replaced, err := t.inner.Swap(ctx, row, next)
	if replaced != nil {
		img := t.rules.image(*replaced)
		replaced = &img
	}
	return t.row(now), replaced, err
}

// Purge removes a row if its projection still is seen's.
func (t *Table) Purge(ctx context.Context, seen cloud.Row) (cloud.Row, error) {
	row, err := t.found(ctx, "delete item", seen)
	if err != nil {
		return row, err
	}
	now, err := t.inner.Purge(ctx, row)
	return t.row(now), err
}

// Now returns the feed's present end.
func (f *Feed) Now(ctx context.Context) (string, error) { return f.inner.Now(ctx) }

// Read returns the projections of the next changes.
func (f *Feed) Read(ctx context.Context, cursor string) (cloud.Batch, error) {
	batch, err := f.inner.Read(ctx, cursor)
	kept := batch.Changes[:0]
	for _, c := range batch.Changes {
		c.New = f.rules.image(c.New)
		if c.Old != nil {
			old := f.rules.image(*c.Old)
			c.Old = &old
			if c.New.Exists() && same(old, c.New) {
				continue
			}
		}
		kept = append(kept, c)
	}
	batch.Changes = kept
	return batch, err
}

// Warning is the inner feed's, where it has one.
func (f *Feed) Warning(cursor string) string {
	if w, ok := f.inner.(interface{ Warning(string) string }); ok {
		return w.Warning(cursor)
	}
	return ""
}
