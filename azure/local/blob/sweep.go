package blob

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/proa-cloud/proa/internal/store"
)

// blockLife is how long uncommitted blocks are kept after they were put: a week, as the vendor
// does.
const blockLife = 7 * 24 * time.Hour

// sweepEvery is the time between two searches for stale blocks.
const sweepEvery = 6 * time.Hour

func idOf(key []byte) uint64 { return binary.BigEndian.Uint64(key[1:]) }

// segmentsAt returns the segments that the record or block under a blob key owns.
func segmentsAt(kind byte, value []byte) ([]segment, error) {
	switch kind {
	case kindBlock:
		var b block
		err := json.Unmarshal(value, &b)
		return []segment{b.Segment}, err
	case kindPending:
		return nil, nil
	}
	var r record
	err := json.Unmarshal(value, &r)
	return r.Segments, err
}

// owned lists the ids of earlier generations that records own, sorted.
func (c *contents) owned(ctx context.Context) ([]uint64, error) {
	iter, err := c.db.NewIterWithContext(ctx, &pebble.IterOptions{
		LowerBound: []byte("b"), UpperBound: []byte("c"),
	})
	if err != nil {
		return nil, err
	}
	defer iter.Close()
	var ids []uint64
	for ok := iter.First(); ok && ctx.Err() == nil; ok = iter.Next() {
		_, kind, _, ok := splitKey(iter.Key()[9:])
		if !ok {
			return nil, fmt.Errorf("unreadable key %x", iter.Key())
		}
		segments, err := segmentsAt(kind, iter.Value())
		if err != nil {
			return nil, err
		}
		for _, s := range segments {
			if s.ID>>idBits < c.gen {
				ids = append(ids, s.ID)
			}
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	slices.Sort(ids)
	return ids, iter.Error()
}

// Run does what can wait: it collects orphans, removes the blobs of deleted containers and drops
// uncommitted blocks that are a week old. It returns when ctx ends.
func (s *Server) Run(ctx context.Context) error {
	removed, err := s.contents.collect(ctx)
	if err != nil && ctx.Err() == nil {
		s.logger.Error("cannot collect orphaned blob contents", "error", err)
	} else if removed > 0 {
		s.logger.Info("collected orphaned blob contents", "segments", removed)
	}
	timer := time.NewTicker(sweepEvery)
	defer timer.Stop()
	for {
		if err := s.dropStale(ctx); err != nil && ctx.Err() == nil {
			s.logger.Error("cannot drop stale blocks", "error", err)
		}
		if err := s.emptyDeleted(ctx); err != nil && ctx.Err() == nil {
			s.logger.Error("cannot empty a deleted container", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-s.deleted:
		}
	}
}

// emptyDeleted removes what deleted containers held, a bounded number of segments at a time.
func (s *Server) emptyDeleted(ctx context.Context) error {
	iter, err := s.db.NewIterWithContext(ctx, &pebble.IterOptions{
		LowerBound: []byte("x"), UpperBound: []byte("y"),
	})
	if err != nil {
		return err
	}
	var uids []uint64
	for ok := iter.First(); ok; ok = iter.Next() {
		uids = append(uids, idOf(iter.Key()))
	}
	if err := iter.Close(); err != nil {
		return err
	}
	for _, uid := range uids {
		if err := s.emptySpace(ctx, uid); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) emptySpace(ctx context.Context, uid uint64) error {
	var dead []segment
	err := s.eachKey(ctx, spaceKey(uid), func(kind byte, value []byte) error {
		segments, err := segmentsAt(kind, value)
		dead = append(dead, segments...)
		return err
	})
	if err != nil {
		return err
	}
	batch := s.db.NewBatch()
	if err := batch.DeleteRange(spaceKey(uid), successor(spaceKey(uid)), nil); err != nil {
		return err
	}
	if err := batch.Delete(deletedKey(uid), nil); err != nil {
		return err
	}
	if err := batch.Commit(store.Sync); err != nil {
		return err
	}
	s.contents.release(dead)
	return nil
}

// eachKey visits every key of a container's blobs.
func (s *Server) eachKey(
	ctx context.Context, space []byte, visit func(kind byte, value []byte) error,
) error {
	iter, err := s.db.NewIterWithContext(ctx, &pebble.IterOptions{
		LowerBound: space, UpperBound: successor(space),
	})
	if err != nil {
		return err
	}
	defer iter.Close()
	for ok := iter.First(); ok; ok = iter.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		_, kind, _, _ := splitKey(iter.Key()[len(space):])
		if err := visit(kind, iter.Value()); err != nil {
			return err
		}
	}
	return iter.Error()
}

// dropStale removes the uncommitted blocks of blobs to which no block was put for blockLife.
func (s *Server) dropStale(ctx context.Context) error {
	iter, err := s.db.NewIterWithContext(ctx, &pebble.IterOptions{
		LowerBound: []byte("b"), UpperBound: []byte("c"),
	})
	if err != nil {
		return err
	}
	type place struct {
		uid  uint64
		name string
	}
	var stale []place
	for ok := iter.First(); ok && ctx.Err() == nil; ok = iter.Next() {
		name, kind, _, _ := splitKey(iter.Key()[9:])
		var p pending
		if kind != kindPending || json.Unmarshal(iter.Value(), &p) != nil {
			continue
		}
		if s.clock().Sub(p.Last) > blockLife {
			stale = append(stale, place{idOf(iter.Key()), name})
		}
	}
	if err := iter.Close(); err != nil {
		return err
	}
	for _, p := range stale {
		if err := s.dropBlocks(p.uid, p.name); err != nil {
			return err
		}
	}
	return nil
}

// dropBlocks removes the uncommitted blocks of one blob, unless some were put meanwhile.
func (s *Server) dropBlocks(uid uint64, name string) error {
	unlock := s.lock(uid, name)
	defer unlock()
	t := &tx{s: s, uid: uid, name: name, batch: s.db.NewBatch()}
	p, err := t.pending()
	if err != nil || p == nil || s.clock().Sub(p.Last) <= blockLife {
		return err
	}
	if err := t.discardBlocks(nil); err != nil {
		return err
	}
	if err := t.batch.Commit(store.Sync); err != nil {
		return err
	}
	s.contents.release(t.dead)
	return nil
}
