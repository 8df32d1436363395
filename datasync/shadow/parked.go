package shadow

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/resolve"
)

// Further key prefixes of the database.
const (
	keySubscriber = 's' // package bus's: places and dead letters of subscriptions
	keyMalformed  = 'x' // sequence → change of a feed that cannot be judged
)

// Subscribers is the key prefix of package bus's subscriptions.
func Subscribers() byte { return keySubscriber }

// Parked calls fn with the keys of a table that wait at a side for an operator or a newer write,
// until fn says stop.
func (s *Store) Parked(table string, side proa.Region, fn func(proa.Key) bool) error {
	prefix := queueKey(slotParked, table, side)
	return s.scanQueue(prefix, prefix, func(_ []byte, w Waiting) bool { return fn(w.Key) })
}

// Pending calls fn with every key that waits at a side in any queue, until fn says stop.
func (s *Store) Pending(table string, side proa.Region, fn func(proa.Key) bool) error {
	more := true
	for _, kind := range []slotKind{slotInFlight, slotReady, slotDelayed, slotParked} {
		prefix := queueKey(kind, table, side)
		err := s.scanQueue(prefix, prefix, func(_ []byte, w Waiting) bool {
			more = fn(w.Key)
			return more
		})
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// Malformed is a change of a feed that cannot be judged, such as one without a key.
type Malformed struct {
	ID       uint64        `json:"id"`
	Region   proa.Region   `json:"region"`
	Table    string        `json:"table"`
	Position proa.Position `json:"position"`
	At       time.Time     `json:"at"`
	Reason   string        `json:"reason"`
	New      proa.Item     `json:"new,omitempty"`
	Old      proa.Item     `json:"old,omitempty"`
}

// maxMalformed and malformedBytes bound the malformed changes that are kept; the oldest go first.
const (
	maxMalformed   = 1000
	malformedBytes = 64 << 20
)

func malformedKey(id uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{keyMalformed}, id)
}

// Malformed keeps a change that cannot be judged, and counts it.
func (tx *Tx) Malformed(m Malformed) error {
	tx.s.seq++
	m.ID = tx.s.seq
	body, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("keep malformed change: %w", err)
	}
	tx.adds["malformed"]++
	return tx.b.Set(malformedKey(m.ID), body, nil)
}

// MalformedChanges lists the malformed changes that are kept, the newest first.
func (s *Store) MalformedChanges() ([]Malformed, error) {
	var list []Malformed
	_, err := s.eachMalformed(func(it *pebble.Iterator) error {
		var m Malformed
		err := json.Unmarshal(it.Value(), &m)
		list = append(list, m)
		return err
	})
	return list, err
}

// eachMalformed calls fn with the malformed changes within the bounds, the newest first, and returns the
// key of the first one past them; nil where there is none. The newest is within, however large it is.
func (s *Store) eachMalformed(fn func(it *pebble.Iterator) error) (past []byte, err error) {
	it, err := s.db.NewIter(&pebble.IterOptions{
		LowerBound: []byte{keyMalformed}, UpperBound: []byte{keyMalformed + 1},
	})
	if err != nil {
		return nil, fmt.Errorf("read malformed changes: %w", err)
	}
	n, bytes := 0, 0
	for ok := it.Last(); ok; ok = it.Prev() {
		value := it.LazyValue()
		if bytes += value.Len(); n == maxMalformed || n > 0 && bytes > malformedBytes {
			past = append(past, it.Key()...)
			break
		}
		n++
		if err := fn(it); err != nil {
			return nil, errors.Join(fmt.Errorf("read malformed changes: %w", err), it.Close())
		}
	}
	return past, errors.Join(it.Error(), it.Close())
}

// ForgetMalformed removes one malformed change; proa.ErrNotFound where there is none.
func (s *Store) ForgetMalformed(id uint64) error {
	_, closer, err := s.db.Get(malformedKey(id))
	if errors.Is(err, pebble.ErrNotFound) {
		return fmt.Errorf("malformed change %d: %w", id, proa.ErrNotFound)
	}
	if err != nil {
		return err
	}
	return errors.Join(closer.Close(), s.db.Delete(malformedKey(id), pebble.Sync))
}

// TrimMalformed drops what is past the bounds.
func (s *Store) TrimMalformed() error {
	past, err := s.eachMalformed(func(*pebble.Iterator) error { return nil })
	if err != nil || past == nil {
		return err
	}
	return s.db.DeleteRange(malformedKey(0), append(past, 0), pebble.NoSync)
}

// State returns a copy of all that is known of a key, contents included; nil where nothing is.
func (s *Store) State(key proa.Key) (*resolve.State, error) {
	var st *resolve.State
	err := s.View(key, func(known *resolve.State) {
		if known != nil {
			st = known.Clone()
		}
	})
	return st, err
}
