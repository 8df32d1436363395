package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/proa-cloud/proa"
)

// Bounds of the log.
const (
	compactAfter    = 64              // entries
	placementPause  = 5 * time.Second // between two tries to move the leader
	linkPause       = time.Second     // the same, where a link is broken
	joinPause       = time.Second     // between two membership changes
	proposalTimeout = 3 * time.Second // then a proposer is told that the outcome is not known
	maxProposals    = 16              // under way at once
	maxEntry        = 1 << 20         // bytes
	campaignSpread  = 60 * time.Millisecond
)

// core is what the loop's goroutine alone uses.
type core struct {
	c       *Cluster
	raft    *raft.RawNode // nil until the node is formed or knows that it joins, or when its disk failed
	record  Record
	conf    *raftpb.ConfState
	applied uint64
	settled uint64 // the term of the last entry applied: what a leader decides on must be of its own
	waiting map[uint64]proposal
	// reshaped: the members changed, and a newcomer takes no snapshot that does not name it.
	reshaped bool
	broken   error
	standby  string // as last told
	told     bool
	moved    time.Time // when the leader last was asked to move
	joined   time.Time // when a membership change was last proposed
	hup      time.Time // when to stand for election, since the leader's process is gone; zero: not
}

// proposal is a state or a line of the record on its way into the log.
type proposal struct {
	entry entry
	until time.Time
	reply chan error
}

// open reads what the disk has.
func (k *core) open(c *Cluster) error {
	k.c, k.waiting = c, map[uint64]proposal{}
	var err error
	if k.record, err = c.disk.record(); err != nil {
		return err
	}
	if c.disk.formed() {
		return k.start()
	}
	return nil
}

// start begins to take part. A node without a configuration only answers until it is given one.
func (k *core) start() error {
	snap, err := k.c.disk.mem.Snapshot()
	if err != nil {
		return err
	}
	k.applied, k.settled = snap.GetMetadata().GetIndex(), 0
	k.conf = snap.GetMetadata().GetConfState()
	if k.record, err = decodeSnapshot(snap); err != nil {
		return err
	}
	k.raft, err = raft.NewRawNode(&raft.Config{
		ID: k.c.disk.id, ElectionTick: electionTicks, HeartbeatTick: heartbeatTicks,
		Storage: k.c.disk.mem, Applied: k.applied, MaxSizePerMsg: maxEntry, MaxInflightMsgs: 64,
		MaxUncommittedEntriesSize: maxFrame, CheckQuorum: true, PreVote: true,
		DisableProposalForwarding: true, Logger: raftLogger{k.c.cfg.Logger},
	})
	if err != nil {
		return fmt.Errorf("start the cluster's log: %w", err)
	}
	return nil
}

func decodeSnapshot(snap *raftpb.Snapshot) (Record, error) {
	if len(snap.GetData()) == 0 {
		return Record{}, nil
	}
	return decodeRecord(snap.GetData())
}

// loop owns the log.
func (c *Cluster) loop(ctx context.Context) {
	k := &c.core
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	defer k.failWaiting(context.Canceled)
	k.settle()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			k.do(func() { k.tick(time.Now()) })
		case in := <-c.inbox:
			c.queued.Add(-int64(len(in.message)))
			k.do(func() { k.hear(in) })
		case o := <-c.orders:
			k.do(func() { k.order(o) })
		case name := <-c.gone:
			k.do(func() { k.peerGone(name) })
		}
	}
}

// do works and carries out what comes of it. The library panics where a member's message contradicts
// what this node has (its log was damaged, or another's): then this node decides nothing any more,
// and what it serves goes on.
func (k *core) do(work func()) {
	defer func() {
		if p := recover(); p != nil {
			k.fail(fmt.Errorf("the log is broken: %v: %w", p, proa.ErrInvalid))
			k.tell()
			k.c.show()
		}
	}()
	work()
	k.settle()
}

// settle carries out what raft asks for and tells what came of it.
func (k *core) settle() {
	for k.raft != nil && k.raft.HasReady() {
		if err := k.ready(k.raft.Ready()); err != nil {
			k.fail(err)
		}
	}
	k.tell()
	k.c.show()
}

// fail takes this node out of the decisions: one that cannot keep its promises must make none.
func (k *core) fail(err error) {
	k.broken, k.raft = err, nil
	k.c.cfg.Logger.Error("this node takes no part in decisions any more", "err", err,
		"hint", "free or replace its disk and restart the node")
	k.failWaiting(err)
}

func (k *core) tick(now time.Time) {
	if k.raft == nil {
		k.form(now)
		return
	}
	if name, generation := k.newer(); name != "" && k.record.Cluster != 0 {
		k.supersede(name, generation)
		return
	}
	k.raft.Tick()
	if !k.hup.IsZero() && now.After(k.hup) {
		k.hup = time.Time{}
		if k.raft.BasicStatus().Lead == raft.None {
			_ = k.raft.Campaign() // raft refuses it while a change of members is under way
		}
	}
	for id, p := range k.waiting {
		if now.After(p.until) {
			delete(k.waiting, id)
			p.reply <- fmt.Errorf("not agreed within %s, the outcome is not known: %w", proposalTimeout,
				proa.ErrUnavailable)
		}
	}
	if k.deciding() {
		k.place(now)
		k.adopt(now)
		k.retire(now)
	}
}

// hear takes a raft message, if it is for this node as it is now.
func (k *core) hear(in inbound) {
	if k.raft == nil {
		return
	}
	// A newcomer, on either side, does not know yet which cluster this is.
	if k.record.Cluster != 0 && in.cluster != 0 &&
		(in.cluster != k.record.Cluster || in.generation != k.record.Generation) {
		return
	}
	m := &raftpb.Message{}
	if crowded(in.message) || proto.Unmarshal(in.message, m) != nil || m.GetTo() != k.c.disk.id ||
		m.GetTerm() > maxTerm || k.nameOf(m.GetFrom()) != in.from { // nobody speaks for another
		return
	}
	_ = k.raft.Step(m) // a message of another time is not for us to complain about
}

// peerGone has the leader's end seen before its silence is: its process is gone, since nobody
// listens at its address.
func (k *core) peerGone(name string) {
	if k.raft == nil {
		return
	}
	lead := k.raft.BasicStatus().Lead
	if lead == raft.None || lead == k.c.disk.id || k.record.name(lead) != name {
		return
	}
	if k.raft.ForgetLeader() == nil {
		k.hup = time.Now().Add(rand.N(campaignSpread))
	}
}

// ready makes one batch of raft's work durable, sends what relies on it, and applies what is agreed.
func (k *core) ready(rd raft.Ready) error {
	if err := k.c.disk.save(rd); err != nil {
		return err
	}
	if !raft.IsEmptySnap(rd.Snapshot) {
		r, err := decodeSnapshot(rd.Snapshot)
		if err != nil {
			return err
		}
		k.record, k.conf = r, rd.Snapshot.GetMetadata().GetConfState()
		k.applied = rd.Snapshot.GetMetadata().GetIndex()
		k.c.cfg.Commit(k.record)
	}
	k.send(rd.Messages)
	for _, e := range rd.CommittedEntries {
		if err := k.apply(e); err != nil {
			return err
		}
	}
	k.raft.Advance(rd)
	return k.compact()
}

func (k *core) apply(e *raftpb.Entry) error {
	next, refused := k.record.take(e)
	if e.GetType() != raftpb.EntryNormal {
		change, err := decodeChange(e)
		if err != nil {
			return fmt.Errorf("membership change %d: %w", e.GetIndex(), err)
		}
		k.conf, k.reshaped = k.raft.ApplyConfChange(change), true
	}
	changed := next.Seq != k.record.Seq
	k.record, k.applied, k.settled = next, e.GetIndex(), e.GetTerm()
	if changed {
		k.c.cfg.Commit(k.record)
	}
	var in entry
	if e.GetType() == raftpb.EntryNormal && len(e.GetData()) > 0 && json.Unmarshal(e.GetData(), &in) == nil {
		if p, ok := k.waiting[in.ID]; ok {
			delete(k.waiting, in.ID)
			p.reply <- refused
		}
	}
	return nil
}

// send hands messages to the peers. Learners are known by their beats only.
func (k *core) send(messages []*raftpb.Message) {
	for _, m := range messages {
		name := k.nameOf(m.GetTo())
		b, err := proto.Marshal(m)
		p, ok := k.c.peers[name]
		sent := err == nil && ok &&
			p.send(frameRaft, raftFrame(k.record.Cluster, k.record.Generation, b))
		if !sent {
			k.raft.ReportUnreachable(m.GetTo())
		}
		if m.GetType() == raftpb.MsgSnap {
			status := raft.SnapshotFinish
			if !sent {
				status = raft.SnapshotFailure
			}
			k.raft.ReportSnapshot(m.GetTo(), status)
		}
	}
}

func (k *core) nameOf(id uint64) string {
	if name := k.record.name(id); name != "" {
		return name
	}
	for name := range k.c.peers {
		if b, _, ok := k.c.Heard(name); ok && b.ID == id {
			return name
		}
	}
	return ""
}

func (k *core) compact() error {
	first, err := k.c.disk.mem.FirstIndex()
	if err != nil || k.applied < first || !k.reshaped && k.applied < first+compactAfter {
		return err
	}
	k.reshaped = false
	return k.c.disk.compact(k.applied, k.conf, k.record.encode())
}

// deciding reports whether this node leads, and knows all that was agreed before.
func (k *core) deciding() bool {
	if k.raft == nil {
		return false
	}
	s := k.raft.BasicStatus()
	return s.RaftState == raft.StateLeader && k.settled == s.HardState.GetTerm() &&
		s.LeadTransferee == raft.None
}

// order takes a proposal or a forced start.
func (k *core) order(o any) {
	switch o := o.(type) {
	case proposal:
		if err := k.propose(o); err != nil {
			o.reply <- err
		}
	case forceOrder:
		o.reply <- k.force(o)
	}
}

func (k *core) propose(p proposal) error {
	switch {
	case !k.deciding():
		return fmt.Errorf("%s: %w", k.why(), proa.ErrUnavailable)
	case len(k.waiting) >= maxProposals:
		return fmt.Errorf("%d proposals are under way: %w", len(k.waiting), proa.ErrThrottled)
	case p.entry.State != nil && p.entry.Base != k.record.Seq:
		return fmt.Errorf("decided on state %d, state %d is agreed: %w", p.entry.Base, k.record.Seq,
			proa.ErrStalePlan)
	}
	p.entry.ID = rand.Uint64()
	b, err := json.Marshal(p.entry)
	if err != nil {
		return fmt.Errorf("proposal: %w", err)
	}
	if len(b) > maxEntry {
		return fmt.Errorf("proposal of %d bytes: %w", len(b), proa.ErrTooLarge)
	}
	if err := k.raft.Propose(b); err != nil {
		return fmt.Errorf("proposal: %w: %w", proa.ErrUnavailable, err)
	}
	p.until = time.Now().Add(proposalTimeout)
	k.waiting[p.entry.ID] = p
	return nil
}

func (k *core) failWaiting(err error) {
	for id, p := range k.waiting {
		delete(k.waiting, id)
		p.reply <- errors.Join(proa.ErrUnavailable, err)
	}
}

// tell says who decides, when that changed.
func (k *core) tell() {
	standby := ""
	if !k.deciding() {
		standby = k.why()
		if len(k.waiting) > 0 {
			k.failWaiting(errors.New("this node leads no more, the outcome is not known: " + standby))
		}
	}
	if k.told && standby == k.standby {
		return
	}
	k.standby, k.told = standby, true
	k.c.cfg.Stand(standby)
}

// why says why this node does not decide.
func (k *core) why() string {
	n := len(k.c.cfg.Nodes)
	alive := k.c.alive()
	switch {
	case k.broken != nil:
		return "this node's log has failed: " + k.broken.Error()
	case k.raft == nil:
		return fmt.Sprintf("the cluster forms: %d of %d nodes are here, all are needed once", alive, n)
	}
	s := k.raft.BasicStatus()
	switch lead := k.record.name(s.Lead); {
	case s.Lead == k.c.disk.id:
		return "this node takes over"
	case s.Lead != raft.None && lead != "":
		return lead + " decides"
	case len(k.conf.GetVoters()) == 0:
		return "this node joins as a new member"
	case alive < n/2+1:
		return fmt.Sprintf("no quorum: %d of %d nodes; the last plan stands", alive, n)
	}
	return "the nodes elect who decides"
}
