package blob

import (
	"context"
	"slices"
	"strconv"
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// reaper keeps released segments until no read that may still need them is under way. Its zero
// value is ready.
type reaper struct {
	mu      sync.Mutex
	next    uint64
	readers map[uint64]struct{}
	graves  []grave
}

type grave struct {
	before uint64 // reads that began before this one may need the segments
	dead   []segment
}

// enter begins a read; call it before looking up the record. The result goes to leave.
func (r *reaper) enter() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.readers == nil {
		r.readers = map[uint64]struct{}{}
	}
	r.next++
	r.readers[r.next] = struct{}{}
	return r.next
}

// leave ends a read and returns what can be removed now.
func (r *reaper) leave(reader uint64) []segment {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.readers, reader)
	return r.ripe()
}

// bury releases segments whose owner is gone and returns what can be removed now.
func (r *reaper) bury(dead []segment) []segment {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.graves = append(r.graves, grave{r.next + 1, dead})
	return r.ripe()
}

func (r *reaper) ripe() []segment {
	oldest := r.next + 1
	for reader := range r.readers {
		oldest = min(oldest, reader)
	}
	var out []segment
	for len(r.graves) > 0 && r.graves[0].before <= oldest {
		out = append(out, r.graves[0].dead...)
		r.graves = slices.Delete(r.graves, 0, 1)
	}
	return out
}

// reading pins every segment that exists now until the returned function is called.
func (c *contents) reading() func() {
	reader := c.grey.enter()
	return func() { c.remove(c.grey.leave(reader)) }
}

// release removes segments that no record owns any more, as soon as nobody reads them. A crash
// before that leaves orphans, which the next start collects.
func (c *contents) release(segments []segment) {
	if len(segments) > 0 {
		c.remove(c.grey.bury(segments))
	}
}

// remove deletes at once. What cannot be deleted stays an orphan for the next start.
func (c *contents) remove(segments []segment) {
	for _, s := range segments {
		switch {
		case s.ID == 0:
		case s.Inline:
			_ = c.db.Delete(inlineKey(s.ID), pebble.NoSync)
		default:
			_ = c.fs.Remove(c.path(s.ID))
		}
	}
}

// collect removes segments of earlier generations that no record owns: what a crash left between a
// segment's write and its record's, or between a record's removal and its segments'. Records move
// old segments among themselves but never make new references to them, so one snapshot of the
// owners is enough while writes go on.
func (c *contents) collect(ctx context.Context) (removed int, err error) {
	owned, err := c.owned(ctx)
	if err != nil {
		return 0, err
	}
	orphan := func(id uint64) bool {
		_, found := slices.BinarySearch(owned, id)
		return !found && id>>idBits < c.gen
	}
	names, err := c.fs.List(c.dir)
	if err != nil {
		return 0, err
	}
	var dead []segment
	for _, name := range names {
		if id, err := strconv.ParseUint(name, 16, 64); err == nil && orphan(id) {
			dead = append(dead, segment{ID: id})
		}
	}
	iter, err := c.db.NewIterWithContext(ctx, &pebble.IterOptions{
		LowerBound: inlineKey(0), UpperBound: inlineKey(c.gen << idBits),
	})
	if err != nil {
		return 0, err
	}
	for ok := iter.First(); ok; ok = iter.Next() {
		if id := idOf(iter.Key()); orphan(id) {
			dead = append(dead, segment{ID: id, Inline: true})
		}
	}
	if err := iter.Close(); err != nil {
		return 0, err
	}
	c.release(dead)
	return len(dead), nil
}
