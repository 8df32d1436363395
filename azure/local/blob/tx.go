package blob

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/proa-cloud/proa/internal/store"
)

// tx is one change of one blob, made under its lock: it reads the current state, decides and stages
// what is written, and all of it is committed as one.
type tx struct {
	s     *Server
	uid   uint64
	name  string
	cur   *record // nil: there is no blob
	batch *pebble.Batch
	dead  []segment // released once the batch is committed
	event *Event    // told once the batch is committed
}

// pending is what the uncommitted blocks of a blob have in common.
type pending struct {
	Count    int       `json:"c"`
	Bytes    int64     `json:"b"`
	IDLength int       `json:"i"`
	Last     time.Time `json:"l"`
}

// change runs decide under the lock of the blob and commits what it staged; on an error nothing is
// changed. Segments that were written for it and not committed are the caller's to release.
func (s *Server) change(containerName, name string, decide func(*tx) error) error {
	s.spaces.RLock()
	defer s.spaces.RUnlock()
	owner, err := s.container(containerName)
	if err != nil {
		return err
	}
	unlock := s.lock(owner.UID, name)
	defer unlock()
	t := &tx{s: s, uid: owner.UID, name: name, batch: s.db.NewBatch()}
	defer t.batch.Close()
	if t.cur, err = s.record(owner.UID, name, kindCurrent, ""); err != nil {
		return err
	}
	if err := decide(t); err != nil {
		return err
	}
	if t.batch.Empty() {
		return nil
	}
	if err := t.batch.Commit(store.Sync); err != nil {
		return err
	}
	if t.event != nil && s.onChange != nil {
		t.event.Container, t.event.Name = containerName, name
		s.onChange(*t.event)
	}
	s.contents.release(t.dead)
	return nil
}

// load reads a JSON value; false when there is none.
func (s *Server) load(key []byte, into any) (bool, error) {
	value, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	defer closer.Close()
	return true, json.Unmarshal(value, into)
}

// container reads a container's state; ContainerNotFound when there is none.
func (s *Server) container(name string) (*container, error) {
	var c container
	found, err := s.load(containerKey(name), &c)
	if err == nil && !found {
		return nil, containerNotFound()
	}
	return &c, err
}

// record reads a blob, a version or a snapshot; nil when there is none.
func (s *Server) record(uid uint64, name string, kind byte, suffix string) (*record, error) {
	var r record
	found, err := s.load(blobKey(uid, name, kind, suffix), &r)
	if err != nil || !found {
		return nil, err
	}
	return &r, nil
}

func (t *tx) key(kind byte, suffix string) []byte { return blobKey(t.uid, t.name, kind, suffix) }

// set stages the blob's new state, with the inline bytes of its segments.
func (t *tx) set(r *record, inline ...staged) error {
	for _, s := range inline {
		if err := s.into(t.batch); err != nil {
			return err
		}
	}
	return t.batch.Set(t.key(kindCurrent, ""), encode(r), nil)
}

// touch gives a state a new ETag and time, and a version of its own where versions are kept.
func (t *tx) touch(r *record, now time.Time, newVersion bool) {
	r.Tick, r.Modified = t.s.nextTick(now), now
	if t.s.versioning && newVersion {
		r.Version = momentOf(r.Tick)
	}
}

// retire takes the current state out of the way of another: it becomes a version where versions are
// kept, or else its segments are released except the kept ones.
func (t *tx) retire(kept []segment) error {
	if t.cur == nil {
		return nil
	}
	if t.s.versioning {
		old := *t.cur
		if old.Version == "" { // written before versions were kept
			old.Version = momentOf(old.Tick)
		}
		old.Lease = nil
		return t.batch.Set(t.key(kindVersion, old.Version), encode(&old), nil)
	}
	keep := map[uint64]bool{}
	for _, s := range kept {
		keep[s.ID] = true
	}
	t.bury(t.cur.Segments, keep)
	return nil
}

// bury releases segments on commit, each once, except the kept ones.
func (t *tx) bury(segments []segment, keep map[uint64]bool) {
	seen := map[uint64]bool{}
	for _, s := range segments {
		if !keep[s.ID] && !seen[s.ID] {
			seen[s.ID] = true
			t.dead = append(t.dead, s)
		}
	}
}

// pending reads what is common to the uncommitted blocks; nil when there are none.
func (t *tx) pending() (*pending, error) {
	var p pending
	found, err := t.s.load(t.key(kindPending, ""), &p)
	if err != nil || !found {
		return nil, err
	}
	return &p, nil
}

// blocks visits the uncommitted blocks in the order of their ids.
func (s *Server) blocks(uid uint64, name string, visit func(id string, b block) error) error {
	prefix := blobKey(uid, name, kindBlock, "")
	iter, err := s.db.NewIter(&pebble.IterOptions{
		LowerBound: prefix, UpperBound: afterBlob(uid, name),
	})
	if err != nil {
		return err
	}
	defer iter.Close()
	for ok := iter.First(); ok; ok = iter.Next() {
		var b block
		if err := json.Unmarshal(iter.Value(), &b); err != nil {
			return err
		}
		if err := visit(string(iter.Key()[len(prefix):]), b); err != nil {
			return err
		}
	}
	return iter.Error()
}

// discardBlocks removes all uncommitted blocks and releases those that are not kept.
func (t *tx) discardBlocks(keep map[uint64]bool) error {
	p, err := t.pending()
	if err != nil || p == nil {
		return err
	}
	var all []segment
	err = t.s.blocks(t.uid, t.name, func(_ string, b block) error {
		all = append(all, b.Segment)
		return nil
	})
	if err != nil {
		return err
	}
	t.bury(all, keep)
	return t.batch.DeleteRange(t.key(kindPending, ""), afterBlob(t.uid, t.name), nil)
}
