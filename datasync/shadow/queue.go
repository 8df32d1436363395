package shadow

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/resolve"
)

type slotKind byte

const (
	slotNone slotKind = iota
	slotReady
	slotDelayed
	slotInFlight
	slotParked
)

var slotPrefix = [...]byte{0, keyReady, keyDelayed, keyInFlight, keyParked}

// slot is one key's place in one side's queue.
type slot struct {
	kind slotKind
	// the other region's change is not on this side yet, as opposed to a purge or an envelope
	backlog bool
	due     uint64 // milliseconds, of delayed ones
	seq     uint64
	origin  time.Time // of the winner
}

type queueName struct {
	table string
	side  proa.Region
}

// queue is what is known in memory of one side's queue of one table.
type queue struct {
	low     uint64 // no ready slot has a lower sequence
	adds    uint64 // ready slots ever added anywhere but at the end
	ready   int
	delayed int
	backlog int
	parked  int
	flying  int
	// of those in flight, of which there are few: the sequences
	sent map[uint64]bool
}

// Depth is how full one side's queue of one table is.
type Depth struct {
	Ready, Delayed, InFlight int
	Parked                   int // quarantined
	// keys whose winner was written in the other region and is not on this side yet
	Backlog int
}

// Depth returns how full a queue is.
func (s *Store) Depth(table string, side proa.Region) Depth {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queue(table, side)
	return Depth{
		Ready: q.ready, Delayed: q.delayed, InFlight: q.flying, Parked: q.parked,
		Backlog: q.backlog,
	}
}

func (s *Store) queue(table string, side proa.Region) *queue {
	name := queueName{table, side}
	q := s.queues[name]
	if q == nil {
		q = &queue{}
		s.queues[name] = q
	}
	return q
}

// Requeue gives a record its places in the queues, as the rules say after a step.
func (tx *Tx) Requeue(rules resolve.Rules, r *Record) error {
	for i, side := range proa.Regions() {
		want := wanted(rules, r.State, side)
		old := r.slots[i]
		want.seq = old.seq
		if want.kind != slotNone && old.kind == slotNone {
			tx.s.seq++
			want.seq = tx.s.seq
		}
		if want != old {
			if err := tx.move(r, i, want); err != nil {
				return err
			}
		}
	}
	return nil
}

func wanted(rules resolve.Rules, st *resolve.State, side proa.Region) slot {
	sd := st.At(side)
	w := slot{origin: st.Winner.Origin, backlog: !st.Applied(side) &&
		st.Winner.Version.Region == side.Other()}
	due, at := rules.Due(st, side)
	switch {
	case sd.InFlight != 0:
		w.kind = slotInFlight
	case due && at.IsZero():
		w.kind = slotReady
	case due:
		w.kind, w.due = slotDelayed, uint64(max(at.UnixMilli()+1, 0))
	case sd.Poison != nil || !st.InSync(side):
		w.kind = slotParked
	default:
		return slot{}
	}
	return w
}

// move takes a record's slot from one queue to another.
func (tx *Tx) move(r *Record, i int, to slot) error {
	side, table, from := proa.Regions()[i], r.State.Key.Table, r.slots[i]
	q := tx.s.queue(table, side)
	if from.kind != slotNone {
		q.add(from, -1)
		if err := tx.b.Delete(slotKey(table, side, from), nil); err != nil {
			return err
		}
	}
	if to.kind != slotNone {
		q.add(to, 1)
		if to.kind == slotReady && (from.kind != slotNone || to.seq < q.low) {
			q.low = min(q.low, to.seq) // a new one comes last
			q.adds++
		}
		value := encoder{}
		value.Bool(to.backlog)
		value.Time(to.origin)
		value.Key(r.State.Key)
		if err := tx.b.Set(slotKey(table, side, to), value.B, nil); err != nil {
			return err
		}
	}
	r.slots[i] = to
	return nil
}

func (q *queue) add(s slot, n int) {
	switch s.kind {
	case slotReady:
		q.ready += n
	case slotDelayed:
		q.delayed += n
	case slotInFlight:
		q.flying += n
		if q.sent == nil {
			q.sent = map[uint64]bool{}
		}
		if n > 0 {
			q.sent[s.seq] = true
		} else {
			delete(q.sent, s.seq)
		}
	case slotParked:
		q.parked += n
	}
	if s.backlog && s.kind != slotParked {
		q.backlog += n
	}
}

func slotKey(table string, side proa.Region, s slot) []byte {
	k := queueKey(s.kind, table, side)
	if s.kind == slotDelayed {
		k = binary.BigEndian.AppendUint64(k, s.due)
	}
	return binary.BigEndian.AppendUint64(k, s.seq)
}

func queueKey(kind slotKind, table string, side proa.Region) []byte {
	k := []byte{slotPrefix[kind], byte('0' + resolve.Index(side))}
	k = append(k, tablePrefix(table)...)
	return append(k, 0)
}

// Waiting is one key in a queue.
type Waiting struct {
	Key     proa.Key
	Backlog bool
	Origin  time.Time
}

// Next returns up to limit keys whose write at a side is due, oldest first, and when the next one
// will be (zero: none waits).
func (s *Store) Next(
	table string, side proa.Region, now time.Time, limit int,
) ([]Waiting, time.Time, error) {
	s.mu.Lock()
	q := s.queue(table, side)
	low, adds, ready, delayed := q.low, q.adds, q.ready, q.delayed
	s.mu.Unlock()
	var out []Waiting
	if ready > 0 {
		lower := binary.BigEndian.AppendUint64(queueKey(slotReady, table, side), low)
		var first uint64
		err := s.scanQueue(lower, queueKey(slotReady, table, side), func(k []byte, w Waiting) bool {
			if len(out) == 0 {
				first = binary.BigEndian.Uint64(k[len(k)-8:])
			}
			out = append(out, w)
			return len(out) < limit
		})
		if err != nil {
			return nil, time.Time{}, err
		}
		s.raiseLow(q, adds, first)
	}
	if delayed == 0 || len(out) >= limit {
		return out, time.Time{}, nil
	}
	var next time.Time
	prefix := queueKey(slotDelayed, table, side)
	err := s.scanQueue(prefix, prefix, func(k []byte, w Waiting) bool {
		at := time.UnixMilli(int64(binary.BigEndian.Uint64(k[len(prefix):])))
		if at.After(now) {
			next = at
			return false
		}
		out = append(out, w)
		return len(out) < limit
	})
	return out, next, err
}

// raiseLow remembers where the ready queue begins, so that it is not looked for among what was
// removed.
func (s *Store) raiseLow(q *queue, adds, first uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q.adds == adds && first > q.low {
		q.low = first
	}
}

func (s *Store) scanQueue(lower, prefix []byte, fn func(key []byte, w Waiting) bool) error {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper(prefix)})
	if err != nil {
		return fmt.Errorf("read queue: %w", err)
	}
	for ok := it.First(); ok; ok = it.Next() {
		w, err := decodeWaiting(it.Value())
		if err != nil {
			return errors.Join(fmt.Errorf("read queue: %w", err), it.Close())
		}
		if !fn(it.Key(), w) {
			break
		}
	}
	return errors.Join(it.Error(), it.Close())
}

func decodeWaiting(b []byte) (Waiting, error) {
	d := decoder{}
	d.B = b
	w := Waiting{Backlog: d.Bool(), Origin: d.Time()}
	w.Key = d.Key()
	return w, d.Done("queue")
}

// InFlight lists the keys whose write was sent by a process that is no more.
func (s *Store) InFlight(table string, side proa.Region) ([]proa.Key, error) {
	var keys []proa.Key
	prefix := queueKey(slotInFlight, table, side)
	err := s.scanQueue(prefix, prefix, func(_ []byte, w Waiting) bool {
		keys = append(keys, w.Key)
		return true
	})
	return keys, err
}

// Queued calls fn with the keys that one side's readers do not see the winner of, each queue in its
// order, until fn says stop. Only keys whose winner comes from the other region are given;
// quarantined ones come last.
func (s *Store) Queued(table string, side proa.Region, fn func(w Waiting, parked bool) bool) error {
	more := true
	for _, kind := range []slotKind{slotInFlight, slotReady, slotDelayed, slotParked} {
		lower, prefix, n := s.bounds(kind, table, side)
		if n == 0 {
			continue
		}
		err := s.scanQueue(lower, prefix, func(_ []byte, w Waiting) bool {
			if w.Backlog {
				more = fn(w, kind == slotParked)
			}
			return more
		})
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// Oldest returns the earliest origin among the first keys of each queue, which is that of the
// backlog; zero when there is none.
func (s *Store) Oldest(table string, side proa.Region) (time.Time, error) {
	var oldest time.Time
	for kind, limit := range map[slotKind]int{slotInFlight: 1024, slotReady: 64, slotDelayed: 256} {
		lower, prefix, n := s.bounds(kind, table, side)
		left := min(n, limit)
		if left == 0 {
			continue
		}
		err := s.scanQueue(lower, prefix, func(_ []byte, w Waiting) bool {
			left--
			if w.Backlog && (oldest.IsZero() || w.Origin.Before(oldest)) {
				oldest = w.Origin
			}
			return left > 0
		})
		if err != nil {
			return oldest, err
		}
	}
	return oldest, nil
}

// bounds are where the keys of one kind begin, what they all start with, and how many there are: a walk that began among
// what was removed, or went on after the last, would pass over a mark of each removal.
func (s *Store) bounds(kind slotKind, table string, side proa.Region) (lower, prefix []byte, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queue(table, side)
	prefix = queueKey(kind, table, side)
	var low uint64
	switch kind {
	case slotReady:
		n, low = q.ready, q.low
	case slotInFlight:
		n, low = q.flying, math.MaxUint64
		for seq := range q.sent {
			low = min(low, seq)
		}
	case slotDelayed:
		return prefix, prefix, q.delayed
	case slotParked:
		return prefix, prefix, q.parked
	}
	return binary.BigEndian.AppendUint64(bytes.Clone(prefix), low), prefix, n
}

func (s *Store) loadQueues() error {
	for _, kind := range []slotKind{slotReady, slotDelayed, slotInFlight, slotParked} {
		prefix := []byte{slotPrefix[kind]}
		for i, side := range proa.Regions() {
			p := append(prefix, byte('0'+i))
			err := s.scanQueue(p, p, func(k []byte, w Waiting) bool {
				seq := binary.BigEndian.Uint64(k[len(k)-8:])
				s.queue(w.Key.Table, side).add(slot{kind: kind, backlog: w.Backlog, seq: seq}, 1)
				return true
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}
