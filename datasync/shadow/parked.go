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

// maxMalformed bounds the malformed changes that are kept; the oldest go first.
const maxMalformed = 1000

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
	it, err := s.db.NewIter(&pebble.IterOptions{
		LowerBound: []byte{keyMalformed}, UpperBound: []byte{keyMalformed + 1},
	})
	if err != nil {
		return nil, fmt.Errorf("read malformed changes: %w", err)
	}
	var list []Malformed
	for ok := it.Last(); ok && len(list) < maxMalformed; ok = it.Prev() {
		var m Malformed
		if err := json.Unmarshal(it.Value(), &m); err != nil {
			return nil, errors.Join(fmt.Errorf("read malformed changes: %w", err), it.Close())
		}
		list = append(list, m)
	}
	return list, errors.Join(it.Error(), it.Close())
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

// TrimMalformed drops what is past the bound.
func (s *Store) TrimMalformed() error {
	list, err := s.MalformedChanges()
	if err != nil || len(list) < maxMalformed {
		return err
	}
	last := list[len(list)-1].ID
	return s.db.DeleteRange(malformedKey(0), malformedKey(last), pebble.NoSync)
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
