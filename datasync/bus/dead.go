package bus

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// DeadLetter is an event that its subscriber refused.
type DeadLetter struct {
	Offset uint64          `json:"offset"`
	At     time.Time       `json:"at"`
	Reason string          `json:"reason"`
	Event  json.RawMessage `json:"event"`
}

// listBytes bounds the dead letters that are in memory at once.
const listBytes = 16 << 20

func (s *Subscription) deadKey(offset uint64) []byte {
	k := append([]byte{s.Prefix, 'd'}, s.Name...)
	return binary.BigEndian.AppendUint64(append(k, 0), offset)
}

// graves iterates over the dead letters from an offset on.
func (s *Subscription) graves(from uint64) (*pebble.Iterator, error) {
	end := append(append([]byte{s.Prefix, 'd'}, s.Name...), 1)
	it, err := s.DB.NewIter(&pebble.IterOptions{LowerBound: s.deadKey(from), UpperBound: end})
	if err != nil {
		return nil, fmt.Errorf("dead letters of %s: %w", s.Name, err)
	}
	return it, nil
}

// size is how large the entry is at which an iterator stands.
func size(it *pebble.Iterator) int64 {
	v := it.LazyValue()
	return int64(v.Len())
}

// countDead counts the dead letters that an earlier process left.
func (s *Subscription) countDead() error {
	it, err := s.graves(0)
	if err != nil {
		return err
	}
	n, bytes := 0, int64(0)
	for ok := it.First(); ok; ok = it.Next() {
		n++
		bytes += size(it)
	}
	s.count(func(st *subscriptionState) { st.dead, st.bytes = n, bytes })
	return errors.Join(it.Error(), it.Close())
}

func (s *Subscription) bury(l DeadLetter) error {
	body, err := json.Marshal(l)
	if err != nil {
		return err
	}
	// After a crash an event may be refused again that is a dead letter already.
	if err := s.forget(l.Offset, pebble.NoSync); err != nil {
		return err
	}
	if err := s.DB.Set(s.deadKey(l.Offset), body, pebble.Sync); err != nil {
		return err
	}
	s.count(func(st *subscriptionState) { st.dead++; st.bytes += int64(len(body)) })
	return s.trimDead()
}

// trimDead drops the oldest dead letters that are past the bounds. The last one stays, however large.
func (s *Subscription) trimDead() error {
	it, err := s.graves(0)
	if err != nil {
		return err
	}
	for ok := it.First(); ok && s.crowded(); ok = it.Next() {
		if err := s.DB.Delete(it.Key(), pebble.NoSync); err != nil {
			return errors.Join(err, it.Close())
		}
		n := size(it)
		s.count(func(st *subscriptionState) { st.dead--; st.bytes -= n; st.Dropped++ })
	}
	return errors.Join(it.Error(), it.Close())
}

func (s *Subscription) crowded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.dead > s.MaxDead || s.state.dead > 1 && s.state.bytes > s.MaxDeadBytes
}

// forget removes a dead letter, if there is one.
func (s *Subscription) forget(offset uint64, o *pebble.WriteOptions) error {
	body, closer, err := s.DB.Get(s.deadKey(offset))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	n := int64(len(body))
	if err := errors.Join(closer.Close(), s.DB.Delete(s.deadKey(offset), o)); err != nil {
		return err
	}
	s.count(func(st *subscriptionState) { st.dead--; st.bytes -= n })
	return nil
}

// Dead lists up to limit dead letters from an offset on, the oldest first, or as many as come to 16 MiB.
// A limit of 0 is none.
func (s *Subscription) Dead(from uint64, limit int) ([]DeadLetter, error) {
	it, err := s.graves(from)
	if err != nil {
		return nil, err
	}
	var list []DeadLetter
	bytes := int64(0)
	for ok := it.First(); ok && (limit == 0 || len(list) < limit) && bytes < listBytes; ok = it.Next() {
		var l DeadLetter
		if err := json.Unmarshal(it.Value(), &l); err != nil {
			return nil, errors.Join(fmt.Errorf("dead letters of %s: %w", s.Name, err), it.Close())
		}
		bytes += int64(len(it.Value()))
		list = append(list, l)
	}
	return list, errors.Join(it.Error(), it.Close())
}

// Redeliver sends every dead letter once more and forgets those that are taken. It returns how many
// were. Their order against newer events is not kept. It also ends a pause between two tries.
func (s *Subscription) Redeliver(ctx context.Context) (taken int, err error) {
	select {
	case s.retry <- struct{}{}:
	default:
	}
	for from := uint64(0); ; {
		dead, err := s.Dead(from, 0)
		if err != nil || len(dead) == 0 {
			return taken, err
		}
		for _, l := range dead {
			if err := s.resend(ctx, &l); err != nil {
				return taken, fmt.Errorf("redeliver event %d to %s: %w", l.Offset, s.Name, err)
			}
			if err := s.forget(l.Offset, pebble.Sync); err != nil {
				return taken, err
			}
			taken++
			s.count(func(st *subscriptionState) { st.Delivered++ })
			from = l.Offset + 1
		}
	}
}

func (s *Subscription) resend(ctx context.Context, l *DeadLetter) error {
	var e struct {
		ID   string `json:"id"`
		Type string `json:"type"`
	}
	if err := json.Unmarshal(l.Event, &e); err != nil {
		return err
	}
	return s.send(ctx, []Message{{Offset: l.Offset, ID: e.ID, Type: e.Type, Body: l.Event}})
}
