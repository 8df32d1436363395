package cluster

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2"
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/internal/store"
)

// disk keeps a node's identity, its vote and its log. Everything is on stable storage before a
// message that relies on it is sent. The log is short and is kept in memory too, which is what raft
// reads.
type disk struct {
	db  *pebble.DB
	mem *raft.MemoryStorage
	id  uint64
}

// Keys of the database. Entries are entryKey plus their index, big-endian.
var (
	idKey       = []byte("id")
	hardKey     = []byte("hard")
	snapshotKey = []byte("snapshot")
	entryPrefix = []byte("e")
	entryEnd    = []byte("f")
)

func entryKey(index uint64) []byte { return binary.BigEndian.AppendUint64([]byte("e"), index) }

// openDisk opens the folder, and gives an empty one a new identity: a node without its disk is a new
// node, whatever its name.
func openDisk(dir string, logger *slog.Logger) (*disk, error) {
	db, err := store.Open(store.Options{Dir: dir, Logger: logger})
	if err != nil {
		return nil, err
	}
	d := &disk{db: db, mem: raft.NewMemoryStorage()}
	if err := d.load(); err != nil {
		return nil, errors.Join(&proa.Error{
			Op: "read the cluster's log", Key: dir, Err: err,
			Hint: "remove the folder: the node then joins again as a new member",
		}, db.Close())
	}
	return d, nil
}

func (d *disk) load() error {
	if err := d.identify(); err != nil {
		return err
	}
	var snap raftpb.Snapshot
	if ok, err := d.get(snapshotKey, &snap); err != nil {
		return err
	} else if ok {
		if err := d.mem.ApplySnapshot(&snap); err != nil {
			return fmt.Errorf("snapshot: %w", err)
		}
	}
	var hard raftpb.HardState
	if ok, err := d.get(hardKey, &hard); err != nil {
		return err
	} else if ok {
		if err := d.mem.SetHardState(&hard); err != nil {
			return fmt.Errorf("hard state: %w", err)
		}
	}
	entries, err := d.entries(snap.GetMetadata().GetIndex())
	if err != nil {
		return err
	}
	return d.mem.Append(entries)
}

func (d *disk) identify() error {
	value, closer, err := d.db.Get(idKey)
	if errors.Is(err, pebble.ErrNotFound) {
		var b [8]byte
		_, _ = rand.Read(b[:]) // never fails
		d.id = binary.BigEndian.Uint64(b[:]) | 1
		return d.db.Set(idKey, binary.BigEndian.AppendUint64(nil, d.id), store.Sync)
	}
	if err != nil {
		return fmt.Errorf("identity: %w", err)
	}
	defer closer.Close()
	if len(value) != 8 {
		return fmt.Errorf("identity of %d bytes: %w", len(value), proa.ErrInvalid)
	}
	d.id = binary.BigEndian.Uint64(value)
	return nil
}

func (d *disk) get(key []byte, into proto.Message) (bool, error) {
	value, closer, err := d.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("%s: %w", key, err)
	}
	defer closer.Close()
	if err := proto.Unmarshal(value, into); err != nil {
		return false, fmt.Errorf("%s: %w: %w", key, proa.ErrInvalid, err)
	}
	return true, nil
}

// entries reads the log after an index. A gap is an error: a log is whole or it is nothing.
func (d *disk) entries(after uint64) ([]*raftpb.Entry, error) {
	iter, err := d.db.NewIter(&pebble.IterOptions{LowerBound: entryKey(after + 1), UpperBound: entryEnd})
	if err != nil {
		return nil, fmt.Errorf("entries: %w", err)
	}
	defer iter.Close()
	var list []*raftpb.Entry
	for iter.First(); iter.Valid(); iter.Next() {
		e := &raftpb.Entry{}
		if err := proto.Unmarshal(iter.Value(), e); err != nil {
			return nil, fmt.Errorf("entry: %w: %w", proa.ErrInvalid, err)
		}
		if want := after + uint64(len(list)) + 1; e.GetIndex() != want {
			return nil, fmt.Errorf("entry %d where %d belongs: %w", e.GetIndex(), want, proa.ErrInvalid)
		}
		list = append(list, e)
	}
	return list, iter.Error()
}

// save makes what raft hands over durable, and then visible to raft.
func (d *disk) save(rd raft.Ready) error {
	batch := d.db.NewBatch()
	defer batch.Close()
	var err error
	set := func(key []byte, m proto.Message) {
		b, merr := proto.Marshal(m)
		err = errors.Join(err, merr, batch.Set(key, b, nil))
	}
	if !raft.IsEmptySnap(rd.Snapshot) {
		set(snapshotKey, rd.Snapshot)
		err = errors.Join(err, batch.DeleteRange(entryPrefix, entryEnd, nil))
	}
	if !raft.IsEmptyHardState(rd.HardState) {
		set(hardKey, rd.HardState)
	}
	for _, e := range rd.Entries {
		set(entryKey(e.GetIndex()), e)
	}
	if n := len(rd.Entries); n > 0 { // what follows in the log was of another leader
		err = errors.Join(err,
			batch.DeleteRange(entryKey(rd.Entries[n-1].GetIndex()+1), entryEnd, nil))
	}
	if err == nil && !batch.Empty() {
		err = batch.Commit(store.Sync)
	}
	if err != nil {
		return fmt.Errorf("save the cluster's log: %w", err)
	}
	return d.remember(rd)
}

func (d *disk) remember(rd raft.Ready) error {
	if !raft.IsEmptySnap(rd.Snapshot) {
		if err := d.mem.ApplySnapshot(rd.Snapshot); err != nil {
			return fmt.Errorf("take over a snapshot: %w", err)
		}
	}
	if !raft.IsEmptyHardState(rd.HardState) {
		if err := d.mem.SetHardState(rd.HardState); err != nil {
			return fmt.Errorf("keep the hard state: %w", err)
		}
	}
	return d.mem.Append(rd.Entries)
}

// compact replaces the log up to index by a snapshot.
func (d *disk) compact(index uint64, conf *raftpb.ConfState, record []byte) error {
	snap, err := d.mem.CreateSnapshot(index, conf, record)
	if err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	b, err := proto.Marshal(snap)
	if err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	batch := d.db.NewBatch()
	defer batch.Close()
	err = errors.Join(batch.Set(snapshotKey, b, nil),
		batch.DeleteRange(entryPrefix, entryKey(index+1), nil), batch.Commit(store.Sync))
	if err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	return d.mem.Compact(index)
}

// begin writes the first state of a cluster that this node forms or forces, with the given voters.
// Terms go on, so that no vote is given twice.
func (d *disk) begin(record []byte, voters []uint64) error {
	hard, _, err := d.mem.InitialState()
	if err != nil {
		return err
	}
	last, err := d.mem.LastIndex()
	if err != nil {
		return err
	}
	index, term := last+1, max(hard.GetTerm(), 1)
	snap := &raftpb.Snapshot{Data: record, Metadata: &raftpb.SnapshotMetadata{
		ConfState: &raftpb.ConfState{Voters: voters}, Index: &index, Term: &term,
	}}
	vote := hard.GetVote()
	return d.save(raft.Ready{
		Snapshot:  snap,
		HardState: &raftpb.HardState{Term: &term, Vote: &vote, Commit: &index},
	})
}

// formed reports whether the node has ever been part of a cluster.
func (d *disk) formed() bool {
	_, conf, err := d.mem.InitialState()
	return err == nil && len(conf.GetVoters()) > 0
}

// record applies the log as far as it is known to be committed.
func (d *disk) record() (Record, error) {
	snap, err := d.mem.Snapshot()
	if err != nil {
		return Record{}, err
	}
	var r Record
	if len(snap.GetData()) > 0 {
		if r, err = decodeRecord(snap.GetData()); err != nil {
			return r, err
		}
	}
	hard, _, err := d.mem.InitialState()
	if err != nil {
		return r, err
	}
	from := snap.GetMetadata().GetIndex() + 1
	if hard.GetCommit() < from {
		return r, nil
	}
	entries, err := d.mem.Entries(from, hard.GetCommit()+1, 1<<30)
	if err != nil {
		return r, fmt.Errorf("entries: %w", err)
	}
	for _, e := range entries {
		r, _ = r.take(e) // a refused entry changes nothing
	}
	return r, nil
}

func (d *disk) Close() error { return d.db.Close() }

// wipe moves a superseded log aside, where a person can look at it. Only the last one is kept.
func wipe(dir string) error {
	aside := filepath.Clean(dir) + ".superseded"
	if err := os.RemoveAll(aside); err != nil {
		return fmt.Errorf("remove an older superseded log: %w", err)
	}
	if err := os.Rename(dir, aside); err != nil {
		return fmt.Errorf("put the superseded log aside: %w", err)
	}
	return nil
}
