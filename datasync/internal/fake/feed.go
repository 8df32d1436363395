package fake

import (
	"context"
	"fmt"
	"strconv"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
)

// Feed is a table's change feed. Each read may repeat up to Repeat changes before its cursor (at
// least once).
type Feed struct {
	Table  *Table
	Limit  int                  // changes of one read; 0 for 500
	Repeat func(cursor int) int // nil for none
	NoOld  bool                 // previous images are left out
}

// Now returns a cursor at the feed's end.
func (f *Feed) Now(context.Context) (string, error) {
	t := f.Table
	if x := t.fault("feed"); x == Down {
		return "", t.fail("feed", proa.Key{}, proa.ErrUnavailable)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return strconv.Itoa(t.end()), nil
}

func (t *Table) end() int {
	if t.shown >= 0 {
		return min(t.shown, len(t.events))
	}
	return len(t.events)
}

// Show lets the feed show n more events than now; -1 all there are and will be.
func (t *Table) Show(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n < 0 {
		t.shown = -1
		return
	}
	t.shown = min(max(t.shown, 0)+n, len(t.events))
}

// Hide stops the feed from showing what comes after now.
func (t *Table) Hide() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.shown = t.end()
}

// Trim forgets all events so far, so that cursors before their end have a gap.
func (t *Table) Trim() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.first = len(t.events)
}

// Events returns how many events there are, shown or not.
func (t *Table) Events() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.events)
}

// Event returns one event.
func (t *Table) Event(i int) Event {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.events[i]
}

// Read returns the changes after the cursor.
func (f *Feed) Read(_ context.Context, cursor string) (cloud.Batch, error) {
	t := f.Table
	if x := t.fault("feed"); x == Down {
		return cloud.Batch{}, t.fail("feed", proa.Key{}, proa.ErrUnavailable)
	}
	from, err := strconv.Atoi(cursor)
	if err != nil {
		return cloud.Batch{}, fmt.Errorf("cursor %q: %w", cursor, proa.ErrInvalid)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if from < t.first {
		return cloud.Batch{}, t.fail("feed", proa.Key{}, proa.ErrFeedGap)
	}
	limit := f.Limit
	if limit == 0 {
		limit = 500
	}
	start := from
	if f.Repeat != nil {
		start = max(from-f.Repeat(from), t.first)
	}
	end := min(from+limit, t.end())
	b := cloud.Batch{Next: strconv.Itoa(max(end, from)), More: end < t.end()}
	for i := start; i < end; i++ {
		b.Changes = append(b.Changes, f.change(i))
	}
	return b, nil
}

// change renders an event as the feed gives it.
func (f *Feed) change(i int) proa.Change {
	e := f.Table.events[i]
	c := proa.Change{
		Region: f.Table.Region, Key: e.Key, New: proa.SplitEnvelope(e.New), ETag: e.ETag,
		Time:     e.Time,
		Position: proa.Position(strconv.Itoa(i + 1 - f.Table.base)), Expired: e.Expired,
	}
	if !f.NoOld {
		old := proa.SplitEnvelope(e.Old)
		c.Old = &old
	}
	return c
}
