// Package bus is the durable, ordered log of captured changes, for subscribers.
//
// Changes of one key are in the order in which they were captured. Append puts an event into a
// caller's batch: it is on stable storage when that batch is, together with the checkpoint of the
// feed from which it came. So each captured change is in the log exactly once. A subscriber reads
// from an offset and keeps that offset itself: it sees each event at least once. Events past the
// log's bounds of size and age are gone; a subscriber that was away for longer gets ErrGap and must
// start from a scan.
package bus

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/proa-cloud/proa/datasync/internal/fifo"
)

// ErrGap says that events between the offset and the log's first were dropped.
var ErrGap = errors.New("change log gap")

// Log is the log in one key range of a database.
type Log struct {
	db     *pebble.DB
	prefix byte

	mu    sync.Mutex
	next  uint64
	first uint64
	grown chan struct{} // closed and replaced when events were committed
}

// Open finds the log's ends in the database's keys that start with prefix.
func Open(db *pebble.DB, prefix byte) (*Log, error) {
	l := &Log{db: db, prefix: prefix, next: 1, first: 1, grown: make(chan struct{})}
	it, err := db.NewIter(&pebble.IterOptions{
		LowerBound: []byte{prefix},
		UpperBound: []byte{prefix + 1},
	})
	if err != nil {
		return nil, fmt.Errorf("open change log: %w", err)
	}
	if it.First() {
		l.first = binary.BigEndian.Uint64(it.Key()[1:])
	}
	if it.Last() {
		l.next = binary.BigEndian.Uint64(it.Key()[1:]) + 1
	}
	return l, errors.Join(it.Error(), it.Close())
}

func (l *Log) key(offset uint64) []byte { return fifo.Key(l.prefix, offset) }

// Append puts an event into the batch and returns its offset. Batches must be committed in the
// order in which events were appended to them, with a call of Committed after each; one caller at a
// time.
func (l *Log) Append(b *pebble.Batch, e *Event) (uint64, error) {
	l.mu.Lock()
	e.Offset = l.next
	l.next++
	l.mu.Unlock()
	return e.Offset, b.Set(l.key(e.Offset), e.encode(), nil)
}

// Committed wakes those who wait for events.
func (l *Log) Committed() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.grown)
	l.grown = make(chan struct{})
}

// Ends returns the offsets of the first event that is kept and of the next one that will be
// appended.
func (l *Log) Ends() (first, next uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first, l.next
}

// readBytes bounds what one Read returns: more than two events of the largest size there is.
const readBytes = 8 << 20

// Read returns up to limit events from an offset on, or as many as come to 8 MiB, and the offset to go
// on from. No events and no error: there are none yet. An offset of 0 starts at the first one that is
// kept.
func (l *Log) Read(from uint64, limit int) ([]Event, uint64, error) {
	first, _ := l.Ends()
	if from == 0 {
		from = first
	}
	if from < first {
		return nil, first, fmt.Errorf("read change log from %d: it begins at %d: %w", from, first, ErrGap)
	}
	it, err := l.db.NewIter(&pebble.IterOptions{
		LowerBound: l.key(from),
		UpperBound: []byte{l.prefix + 1},
	})
	if err != nil {
		return nil, from, fmt.Errorf("read change log: %w", err)
	}
	var events []Event
	size := 0
	for ok := it.First(); ok && len(events) < limit && size < readBytes; ok = it.Next() {
		size += len(it.Value())
		offset := binary.BigEndian.Uint64(it.Key()[1:])
		e, err := decode(offset, it.Value())
		if err != nil {
			return nil, from, errors.Join(fmt.Errorf("read change log at %d: %w", offset, err), it.Close())
		}
		events = append(events, e)
		from = offset + 1
	}
	return events, from, errors.Join(it.Error(), it.Close())
}

// Wait returns once there is an event at or after the offset, or the context is done.
func (l *Log) Wait(ctx context.Context, offset uint64) error {
	for {
		l.mu.Lock()
		grown, next := l.grown, l.next
		l.mu.Unlock()
		if next > max(offset, 1) {
			if events, _, err := l.Read(offset, 1); err != nil || len(events) > 0 {
				return err
			}
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Trim drops events captured before a time, and the oldest ones that do not fit into maxBytes on disk.
// It returns how many went.
func (l *Log) Trim(before time.Time, maxBytes int64) (dropped uint64, err error) {
	first, next := l.Ends()
	cut := first
	for cut < next {
		events, after, err := l.Read(cut, 1)
		if err != nil {
			return 0, err
		}
		if len(events) == 0 || !events[0].Captured.Before(before) {
			break
		}
		// a thousandth at a time: age is a bound, not an appointment
		cut = max(after, cut+(next-first)/1000)
	}
	fits, err := fifo.Fit(l.db, l.prefix, first, next, maxBytes)
	if err != nil {
		return 0, fmt.Errorf("trim change log: %w", err)
	}
	cut = min(max(cut, fits), max(next, 1)-1) // the last one stays: it remembers the offset
	if cut <= first {
		return 0, nil
	}
	l.mu.Lock()
	l.first = cut
	l.mu.Unlock()
	if err := l.db.DeleteRange(l.key(0), l.key(cut), pebble.NoSync); err != nil {
		return 0, fmt.Errorf("trim change log: %w", err)
	}
	return cut - first, nil
}
