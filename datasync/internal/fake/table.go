// Package fake is two clouds in memory, for tests: a table with DynamoDB's semantics (no token,
// partial updates, a stream of old and new images with whole-second stamps) and one with Cosmos
// DB's (an ETag for each state, whole documents), foreign writers, and faults.
package fake

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
)

// Fault is what happens to one write of the replicator.
type Fault int

// The faults.
const (
	None      Fault = iota
	Throttle        // refused for now
	LostReply       // it takes effect, the answer is lost
	LostWrite       // it never takes effect, no answer
	Late            // no answer; it takes effect when Land is called
	Invalid         // refused for ever
	Down            // the side cannot be reached, feeds included
)

// Table is one side of a table. It is safe for concurrent use.
type Table struct {
	Region  proa.Region
	Cosmos  bool // Cosmos DB's semantics; otherwise DynamoDB's
	Clock   func() time.Time
	Ghosts  func(proa.Version) uint64 // what a version of the replicator's knows; nil for none
	Fault   func(op string) Fault     // nil for none
	Latency func()                    // called outside the lock by each write; nil for none

	schema proa.Schema
	mu     sync.Mutex
	rows   map[string]row
	ids    []string // of rows, sorted; nil after a change of the set
	events []Event
	first  int // events before it are trimmed
	base   int // events before it were of a table before the last restore
	shown  int // events that the feed shows; -1: all
	late   []func()
	nextID int
	Writes int // that took effect, of the replicator
}

// row is a stored item, envelope included. Ghost is which operations it knows: a bit for each, for
// checkers.
type row struct {
	item  proa.Item
	etag  string
	ghost uint64
}

// Event is one event of the feed.
type Event struct {
	Key      proa.Key
	Old, New proa.Item // as stored; nil: nothing
	ETag     string
	Time     time.Time
	Expired  bool
	Ghost    uint64
	Ours     bool // a write of the replicator
}

// New makes an empty table.
func New(region proa.Region, cosmos bool, schema proa.Schema, clock func() time.Time) *Table {
	return &Table{
		Region: region, Cosmos: cosmos, Clock: clock, schema: schema,
		rows: map[string]row{}, shown: -1,
	}
}

// Schema returns the key schema.
func (t *Table) Schema() proa.Schema { return t.schema }

func (t *Table) key(item proa.Item) proa.Key {
	k, err := t.schema.KeyOf(item)
	if err != nil {
		panic(err) // a test's own mistake
	}
	return k
}

// set stores an item (nil: nothing) and puts out the event. The caller holds the lock.
func (t *Table) set(key proa.Key, item proa.Item, ghost uint64, ours, expired bool) {
	id := key.ID()
	old, had := t.rows[id]
	if !t.Cosmos && item.Equal(old.item) && (item == nil) == (old.item == nil) {
		old.ghost = ghost
		t.rows[id] = old
		return // DynamoDB's stream leaves out writes that change nothing
	}
	t.nextID++
	next := row{item: item, ghost: ghost}
	if t.Cosmos && item != nil {
		next.etag = strconv.Itoa(t.nextID)
	}
	if !had {
		t.ids = nil
	}
	t.rows[id] = next
	t.events = append(t.events, Event{
		Key: key, Old: old.item, New: item, ETag: next.etag,
		Time: t.Clock().Truncate(time.Second), Expired: expired, Ghost: ghost, Ours: ours,
	})
}

// Put is a foreign writer's whole write.
func (t *Table) Put(item proa.Item, op uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := t.key(item)
	t.set(key, maps.Clone(item), t.rows[key.ID()].ghost|op, false, false)
}

// PutIf is Put where the stored item still is one that was read; it reports whether it was.
func (t *Table) PutIf(seen, item proa.Item, op uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := t.key(item)
	if !t.rows[key.ID()].item.Equal(seen) {
		return false
	}
	t.set(key, maps.Clone(item), t.rows[key.ID()].ghost|op, false, false)
	return true
}

// Update is a foreign writer's partial update: it sets some attributes, of a new item where there
// is none.
func (t *Table) Update(key proa.Key, set proa.Item, op uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	item := maps.Clone(t.rows[key.ID()].item)
	if item == nil {
		item = t.schema.Attributes(key)
	}
	maps.Copy(item, set)
	t.set(key, item, t.rows[key.ID()].ghost|op, false, false)
}

// Delete is a foreign writer's, or the store's time-to-live's. It reports whether there was
// anything.
func (t *Table) Delete(key proa.Key, expired bool, op uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := t.rows[key.ID()]
	if old.item == nil {
		return false
	}
	t.set(key, nil, old.ghost|op, false, expired)
	return true
}

// Item returns what is stored, envelope included; nil for nothing.
func (t *Table) Item(key proa.Key) proa.Item {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.rows[key.ID()].item
}

// Ghost returns what the stored state of a key knows.
func (t *Table) Ghost(key proa.Key) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.rows[key.ID()].ghost
}

// Len returns the number of stored items, tombstone images included.
func (t *Table) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for _, r := range t.rows {
		if r.item != nil {
			n++
		}
	}
	return n
}

// Land lets the late writes take effect, if they still can.
func (t *Table) Land() {
	t.mu.Lock()
	late := t.late
	t.late = nil
	t.mu.Unlock()
	for _, f := range late {
		f()
	}
}

func (t *Table) fault(op string) Fault {
	if t.Latency != nil {
		t.Latency()
	}
	if t.Fault == nil {
		return None
	}
	return t.Fault(op)
}

func (t *Table) fail(op string, key proa.Key, err error) error {
	return &proa.Error{Op: op, Region: t.Region, Key: key.String(), Err: err}
}

// Get reads one row.
func (t *Table) Get(_ context.Context, key proa.Key) (cloud.Row, error) {
	if f := t.fault("get"); f != None && f != Late {
		return cloud.Row{}, t.fail("get", key, proa.ErrUnavailable)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.row(key), nil
}

func (t *Table) row(key proa.Key) cloud.Row {
	r := t.rows[key.ID()]
	return cloud.Row{Key: key, Image: proa.SplitEnvelope(r.item), ETag: r.etag}
}

// Swap writes by compare-and-set as the store can.
func (t *Table) Swap(
	_ context.Context, seen cloud.Row, next proa.Image,
) (cloud.Row, *proa.Image, error) {
	var now cloud.Row
	var replaced *proa.Image
	err := t.attempt("swap", seen.Key, func() error {
		old := proa.SplitEnvelope(t.rows[seen.Key.ID()].item)
		item, ok := t.swapped(seen, next)
		if !ok {
			now = t.row(seen.Key)
			return proa.ErrConflict
		}
		ghost := t.rows[seen.Key.ID()].ghost
		if t.Ghosts != nil && next.Envelope != nil {
			ghost = t.Ghosts(next.Envelope.Version)
			if !old.Item.Equal(seen.Image.Item) {
				ghost |= t.rows[seen.Key.ID()].ghost
			}
		}
		t.set(seen.Key, item, ghost, true, false)
		now, replaced = t.row(seen.Key), &old
		return nil
	})
	return now, replaced, err
}

// swapped is what a compare-and-set would leave, if its comparison holds.
func (t *Table) swapped(seen cloud.Row, next proa.Image) (proa.Item, bool) {
	stored := t.rows[seen.Key.ID()]
	before, after := seen.Image.Stored(), next.Stored()
	switch {
	case before == nil:
		return after, stored.item == nil
	case stored.item == nil:
		return nil, false
	case t.Cosmos && seen.ETag != "":
		return after, stored.etag == seen.ETag
	case t.Cosmos:
		return after, stored.item.Equal(before)
	}
	item := maps.Clone(stored.item)
	for name := range union(before, after) {
		want, is := before[name], stored.item[name]
		if want.Equal(after[name]) {
			continue
		}
		unread := name == proa.EnvelopeAttr && seen.Image.Malformed != "" &&
			proa.SplitEnvelope(stored.item).Malformed == seen.Image.Malformed
		if !unread && !want.Equal(is) {
			return nil, false
		}
		if v, ok := after[name]; ok {
			item[name] = v
		} else {
			delete(item, name)
		}
	}
	return item, true
}

func union(a, b proa.Item) map[string]struct{} {
	names := map[string]struct{}{}
	for n := range a {
		names[n] = struct{}{}
	}
	for n := range b {
		names[n] = struct{}{}
	}
	return names
}

// Purge removes a tombstone image: by ETag, or by its envelope alone on DynamoDB.
func (t *Table) Purge(_ context.Context, seen cloud.Row) (cloud.Row, error) {
	var now cloud.Row
	err := t.attempt("purge", seen.Key, func() error {
		stored := t.rows[seen.Key.ID()]
		same := stored.item != nil &&
			stored.item[proa.EnvelopeAttr].Equal(seen.Image.Stored()[proa.EnvelopeAttr])
		if t.Cosmos && seen.ETag != "" {
			same = stored.item != nil && stored.etag == seen.ETag
		}
		if !same {
			now = t.row(seen.Key)
			return proa.ErrConflict
		}
		t.set(seen.Key, nil, stored.ghost, true, false)
		now = t.row(seen.Key)
		return nil
	})
	return now, err
}

// attempt does a write of the replicator under the fault of the moment.
func (t *Table) attempt(op string, key proa.Key, do func() error) error {
	f := t.fault(op)
	t.mu.Lock()
	defer t.mu.Unlock()
	counted := func() error {
		err := do()
		if err == nil {
			t.Writes++
		}
		return err
	}
	switch f {
	case Throttle:
		return t.fail(op, key, proa.ErrThrottled)
	case Invalid:
		return t.fail(op, key, fmt.Errorf("attribute too odd: %w", proa.ErrInvalid))
	case LostWrite, Down:
		return t.fail(op, key, proa.ErrUnavailable)
	case LostReply:
		_ = counted()
		return t.fail(op, key, proa.ErrUnavailable)
	case Late:
		t.late = append(t.late, func() {
			t.mu.Lock()
			defer t.mu.Unlock()
			_ = counted()
		})
		return t.fail(op, key, proa.ErrUnavailable)
	}
	if err := counted(); err != nil {
		return t.fail(op, key, err)
	}
	return nil
}

// Scan pages through the rows in order of key ID.
func (t *Table) Scan(_ context.Context, cursor string, limit int) ([]cloud.Row, string, error) {
	if f := t.fault("scan"); f != None && f != Late {
		return nil, "", t.fail("scan", proa.Key{}, proa.ErrUnavailable)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ids == nil {
		t.ids = slices.Sorted(maps.Keys(t.rows))
	}
	from, _ := slices.BinarySearch(t.ids, cursor)
	if from < len(t.ids) && t.ids[from] == cursor {
		from++
	}
	var rows []cloud.Row
	for ; from < len(t.ids); from++ {
		if len(rows) == limit {
			return rows, rows[len(rows)-1].Key.ID(), nil
		}
		if r := t.rows[t.ids[from]]; r.item != nil {
			key := t.key(r.item)
			rows = append(rows, cloud.Row{Key: key, Image: proa.SplitEnvelope(r.item), ETag: r.etag})
		}
	}
	return rows, "", nil
}

// Lose removes a row without an event, as a restore from a backup or a lost feed would.
func (t *Table) Lose(key proa.Key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.rows, key.ID())
	t.ids = nil
}
