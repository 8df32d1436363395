package cluster

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"

	"github.com/proa-cloud/proa"
)

// form decides what a node with an empty log is: one of a new cluster, or a new member of one that
// exists. Only the first configured node forms, and only once all others have said that they belong
// to none, so that two clusters cannot come about.
func (k *core) form(now time.Time) {
	if k.broken != nil {
		return
	}
	heard := 0
	members := map[string]uint64{k.c.cfg.Self: k.c.disk.id}
	for name := range k.c.peers {
		b, ago, ok := k.c.Heard(name)
		if !ok || ago > lostAfter {
			continue
		}
		heard++
		members[name] = b.ID
		if b.Formed {
			if err := k.start(); err != nil {
				k.fail(err)
			}
			return
		}
	}
	if heard < len(k.c.peers) || k.c.cfg.Nodes[0].Name != k.c.cfg.Self {
		return
	}
	if err := k.found(now, members); err != nil {
		k.fail(err)
	}
}

// found writes the cluster's first record.
func (k *core) found(now time.Time, members map[string]uint64) error {
	first, err := k.c.cfg.First()
	if err != nil {
		return err
	}
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	k.record = Record{
		Cluster: binary.BigEndian.Uint64(b[:]) | 1, Generation: 1, Seq: 1, Members: members, State: first,
	}
	k.record = k.record.note(Audit{
		At: now.UTC(), Node: k.c.cfg.Self, What: fmt.Sprintf("the cluster forms of %d nodes", len(members)),
	})
	return k.begin(members)
}

// begin starts the log anew from the record, with the given voters.
func (k *core) begin(members map[string]uint64) error {
	var voters []uint64
	for _, id := range members {
		voters = append(voters, id)
	}
	slices.Sort(voters)
	if err := k.c.disk.begin(k.record.encode(), voters); err != nil {
		return err
	}
	if err := k.start(); err != nil {
		return err
	}
	k.c.cfg.Commit(k.record)
	return k.raft.Campaign()
}

// place moves the leader to where its loss hurts least: to a node that reaches all others, where a
// link is broken, for whoever it does not reach learns of no plan; out of the cloud that serves, since
// losing that cloud must not cost an election as well; and then away from data sync's owner.
func (k *core) place(now time.Time) {
	if now.Sub(k.moved) < linkPause {
		return
	}
	best, least := "", k.burden(k.c.cfg.Self)
	if least < unreached && now.Sub(k.moved) < placementPause {
		return
	}
	progress := k.raft.Status().Progress
	for _, n := range k.c.cfg.Nodes {
		p, known := progress[k.record.Members[n.Name]]
		_, ago, ok := k.c.Heard(n.Name)
		if n.Name == k.c.cfg.Self || !known || !ok || ago > lostAfter || !p.RecentActive ||
			p.State != tracker.StateReplicate {
			continue
		}
		if b := k.burden(n.Name); b < least {
			best, least = n.Name, b
		}
	}
	if best == "" {
		return
	}
	k.moved = now
	k.c.cfg.Logger.Info("leader moves to where its loss would cost least", "to", best,
		"unreached", k.burden(k.c.cfg.Self)/unreached)
	k.raft.TransferLeader(k.record.Members[best])
}

// unreached is a node's burden for each other one that it does not reach, or that does not reach it.
const unreached = 10

// severed reports whether one of two nodes says that it does not hear the other.
func (k *core) severed(x, y string) bool {
	deaf := func(from, of string) bool {
		if from == k.c.cfg.Self {
			_, ago, ok := k.c.Heard(of)
			return !ok || ago > lostAfter
		}
		b, ago, ok := k.c.Heard(from)
		return ok && ago <= lostAfter && b.Hears != nil && !slices.Contains(b.Hears, of)
	}
	return deaf(x, y) || deaf(y, x)
}

// burden says how much a node's loss would cost besides an election.
func (k *core) burden(name string) int {
	b := 0
	if k.beside(name) == k.record.State.Plan.Active {
		b += 2
	}
	if name == k.record.State.Plan.Owner {
		b++
	}
	for _, n := range k.c.cfg.Nodes {
		if n.Name != name && k.severed(name, n.Name) {
			b += unreached
		}
	}
	return b
}

func (k *core) beside(name string) proa.Region {
	for _, n := range k.c.cfg.Nodes {
		if n.Name == name {
			return n.Beside
		}
	}
	return ""
}

// adopt takes in a configured node that comes with a new identity: first as a learner, and once it
// has the log, as a voter instead of its former self.
func (k *core) adopt(now time.Time) {
	if now.Sub(k.joined) < joinPause || len(k.conf.GetVotersOutgoing()) > 0 {
		return
	}
	for name := range k.c.peers {
		b, ago, ok := k.c.Heard(name)
		if !ok || ago > lostAfter || b.ID == k.record.Members[name] || b.ID == 0 ||
			b.Formed && (b.Cluster != k.record.Cluster || b.Generation != k.record.Generation) {
			continue
		}
		if err := k.admit(now, name, b.ID); err != nil {
			k.c.cfg.Logger.Warn("new member not taken in", "peer", name, "err", err)
		}
		return
	}
}

func (k *core) admit(now time.Time, name string, id uint64) error {
	k.joined = now
	m := member{Name: name, ID: id, At: now.UTC(), By: k.c.cfg.Self}
	change := &raftpb.ConfChangeV2{}
	step := func(t raftpb.ConfChangeType, id uint64) {
		change.Changes = append(change.Changes, &raftpb.ConfChangeSingle{Type: &t, NodeId: &id})
	}
	status := k.raft.Status()
	p, learning := status.Progress[id]
	switch {
	case !learning:
		m.Learner = true
		for _, old := range k.conf.GetLearners() { // of a node that was wiped again before it had caught up
			if k.nameOf(old) == "" {
				step(raftpb.ConfChangeRemoveNode, old)
			}
		}
		step(raftpb.ConfChangeAddLearnerNode, id)
	case p.State != tracker.StateReplicate || p.Match+compactAfter < k.applied:
		return nil // it still catches up
	default:
		m.Gone = k.record.Members[name]
		step(raftpb.ConfChangeAddNode, id)
		if m.Gone != 0 {
			step(raftpb.ConfChangeRemoveNode, m.Gone)
		}
	}
	context, err := json.Marshal(m)
	if err != nil {
		return err
	}
	change.Context = context
	return k.raft.ProposeConfChange(change)
}

// forceOrder starts a new generation of which this node is the only member.
type forceOrder struct {
	by, reason string
	reply      chan error
}

// versionLeap is what a forced start adds to versions and epochs, so that they are above all that
// the lost nodes can still have agreed on by themselves.
const versionLeap = 1 << 20

func (k *core) force(o forceOrder) error {
	if k.raft == nil {
		return fmt.Errorf("this node has no record to go on from: %w", proa.ErrUnavailable)
	}
	s := k.raft.BasicStatus()
	if s.Lead != raft.None && k.c.alive() >= len(k.c.cfg.Nodes)/2+1 {
		return fmt.Errorf("%d of %d nodes are here and %s decides: nothing is to be forced: %w",
			k.c.alive(), len(k.c.cfg.Nodes), k.record.name(s.Lead), proa.ErrConflict)
	}
	if !k.caughtUp() {
		return errors.New("this node has not applied what it knows to be agreed yet: try again")
	}
	now := time.Now().UTC()
	r := k.record
	r.Generation++
	r.Seq++
	r.Members = map[string]uint64{k.c.cfg.Self: k.c.disk.id}
	r.State.Plan.Version += versionLeap
	r.State.Plan.Epoch += versionLeap
	r.State.History = slices.Clone(r.State.History)
	if n := len(r.State.History); n > 0 {
		last := r.State.History[n-1]
		last.Plan = r.State.Plan
		r.State.History = append(r.State.History, last)
	}
	r = r.note(Audit{At: now, Node: k.c.cfg.Self, By: o.by, What: fmt.Sprintf(
		"forced generation %d with %s alone: %s", r.Generation, k.c.cfg.Self, o.reason)})
	k.c.cfg.Logger.Warn("a new generation of the cluster is forced", "by", o.by, "reason", o.reason,
		"generation", r.Generation)
	k.failWaiting(errors.New("a new generation was forced"))
	k.record = r
	return k.begin(r.Members)
}

// caughtUp reports whether all that is known to be agreed is applied.
func (k *core) caughtUp() bool { return k.applied >= k.raft.BasicStatus().HardState.GetCommit() }

// supersede begins again as a new member: an operator forced a newer generation without this node,
// and what this node agreed on since is not part of it.
func (k *core) supersede(by string, generation uint64) {
	k.c.cfg.Logger.Warn("a newer generation was forced without this node; it joins as a new member",
		"peer", by, "generation", generation, "had", k.record.Generation)
	k.failWaiting(errors.New("a newer generation was forced"))
	k.raft = nil
	err := k.c.disk.Close()
	if err == nil {
		err = wipe(k.c.logDir())
	}
	var d *disk
	if err == nil {
		d, err = openDisk(k.c.logDir(), k.c.cfg.Logger)
	}
	if err != nil {
		k.fail(err)
		return
	}
	k.c.disk, k.record.Cluster, k.record.Generation, k.record.Members = d, 0, 0, nil
}

// newer looks for a peer of a newer generation.
func (k *core) newer() (name string, generation uint64) {
	for name := range k.c.peers {
		b, _, ok := k.c.Heard(name)
		if ok && b.Cluster == k.record.Cluster && b.Generation > k.record.Generation {
			return name, b.Generation
		}
	}
	return "", 0
}
