package dynamodb

import (
	"encoding/binary"
	"errors"
	"slices"

	"github.com/cockroachdb/pebble/v2"
)

// RollShards closes every open shard of the table's stream and opens a child of each, as the vendor
// does every few hours. A table without a stream is refused with ErrNoStream.
func (s *Server) RollShards(table string) error {
	t := s.lookup(table)
	if t == nil {
		return ErrNoStream
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.stream == nil {
		return ErrNoStream
	}
	return s.roll(t.stream, func(shard) bool { return true })
}

// ErrNoStream means that the table does not exist or has no stream.
var ErrNoStream = errors.New("dynamodb: no such stream")

func (s *Server) rollAged() error {
	var errs []error
	oldest := s.nowMS() - s.cfg.ShardAge.Milliseconds()
	for _, st := range s.allStreams() {
		errs = append(errs, s.roll(st, func(sh shard) bool { return sh.CreatedMS <= oldest }))
	}
	return errors.Join(errs...)
}

// roll closes the open shards that due picks and opens their children.
func (s *Server) roll(st *stream, due func(shard) bool) error {
	c, err := s.rollLocked(st, due)
	if err != nil || c == nil {
		return err
	}
	return c.await()
}

func (s *Server) rollLocked(st *stream, due func(shard) bool) (*commitment, error) {
	s.commitMu.Lock()
	defer s.commitMu.Unlock()
	m := st.meta
	m.Shards = slices.Clone(m.Shards)
	now, rolled := s.nowMS(), false
	for i := range st.meta.Shards {
		sh := &m.Shards[i]
		if sh.End != 0 || !due(*sh) {
			continue
		}
		s.last.sequence += 2
		sh.End, sh.ClosedMS, rolled = s.last.sequence-1, now, true
		m.addShard(sh.Slot, int64(sh.Num), s.last.sequence, now)
	}
	if !rolled {
		return nil, nil
	}
	return s.applyStream(st, m, nil)
}

// applyStream stores a stream's new description, with what else extra writes. The caller holds
// commitMu.
func (s *Server) applyStream(
	st *stream, m streamMeta, extra func(*pebble.Batch) error,
) (*commitment, error) {
	batch := s.db.NewBatch()
	err := m.put(batch)
	if err == nil && extra != nil {
		err = extra(batch)
	}
	if err != nil {
		return nil, errors.Join(err, batch.Close())
	}
	c, err := s.apply(batch, nil)
	if err == nil {
		st.meta = m
	}
	return c, err
}

func (s *Server) allStreams() []*stream {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := make([]*stream, 0, len(s.streams))
	for _, st := range s.streams {
		all = append(all, st)
	}
	return all
}

// describe returns a copy of the stream's description that later changes do not reach.
func (s *Server) describe(st *stream) streamMeta {
	s.commitMu.Lock()
	defer s.commitMu.Unlock()
	m := st.meta
	m.Shards = slices.Clone(m.Shards)
	return m
}

// trimStreams drops records, closed shards and disabled streams that are past the retention.
func (s *Server) trimStreams() error {
	var errs []error
	for _, st := range s.allStreams() {
		m := s.describe(st)
		oldest := s.nowMS() - s.cfg.StreamRetention.Milliseconds()
		if m.DisabledMS != 0 && m.DisabledMS <= oldest {
			errs = append(errs, s.dropStream(st))
			continue
		}
		errs = append(errs, s.trim(st, m, oldest))
	}
	return errors.Join(errs...)
}

func (s *Server) dropStream(st *stream) error {
	s.mu.Lock()
	delete(s.streams, st.id)
	s.mu.Unlock()
	batch := s.db.NewBatch()
	records := prefixed(prefixRecord, st.id)
	err := errors.Join(batch.DeleteRange(records, prefixEnd(records), nil),
		batch.Delete(prefixed(prefixStream, st.id), nil))
	if err != nil {
		return errors.Join(err, batch.Close())
	}
	return batch.Commit(pebble.Sync)
}

// trim drops the stream's records from before the time, and the shards that closed before it.
func (s *Server) trim(st *stream, m streamMeta, oldestMS int64) error {
	through := map[uint32]uint64{}
	for _, sh := range m.Shards {
		last, err := s.lastBefore(m.ID, sh, oldestMS/1000)
		if err != nil {
			return err
		}
		if last > sh.Trimmed {
			through[sh.Num] = last
		}
	}
	gone := func(sh shard) bool { return sh.End != 0 && sh.ClosedMS <= oldestMS }
	if len(through) == 0 && !slices.ContainsFunc(m.Shards, gone) {
		return nil
	}
	c, err := s.trimLocked(st, through, gone)
	if err != nil {
		return err
	}
	return c.await()
}

func (s *Server) trimLocked(
	st *stream, through map[uint32]uint64, gone func(shard) bool,
) (*commitment, error) {
	s.commitMu.Lock()
	defer s.commitMu.Unlock()
	m := st.meta
	m.Shards = slices.DeleteFunc(slices.Clone(m.Shards), gone)
	for i := range m.Shards {
		m.Shards[i].Trimmed = max(m.Shards[i].Trimmed, through[m.Shards[i].Num])
	}
	old := st.meta.Shards
	return s.applyStream(st, m, func(b *pebble.Batch) error {
		for _, sh := range old {
			last := through[sh.Num]
			if gone(sh) {
				last = sh.End
			}
			if last == 0 {
				continue
			}
			err := b.DeleteRange(recordKey(m.ID, sh.Num, 0), recordKey(m.ID, sh.Num, last+1), nil)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// lastBefore returns the sequence number of the shard's last record from before a second; 0 when
// there is none.
func (s *Server) lastBefore(stream uint64, sh shard, second int64) (last uint64, err error) {
	it, err := s.db.NewIter(&pebble.IterOptions{
		LowerBound: recordKey(stream, sh.Num, sh.Trimmed+1), UpperBound: recordKey(stream, sh.Num+1, 0),
	})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.First(); ok && recordSecond(it.Value()) < second; ok = it.Next() {
		last = binary.BigEndian.Uint64(it.Key()[len(it.Key())-8:])
	}
	return last, it.Error()
}
