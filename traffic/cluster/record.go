package cluster

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/traffic"
)

// Record is what the nodes agree on: the replicated log applied, entry by entry.
type Record struct {
	// Cluster names the cluster for ever; Generation rises when an operator forces a new start after
	// a majority was lost for good. Nodes of another cluster are not heard, those of a lower
	// generation begin again as new members.
	Cluster    uint64 `json:"cluster"`
	Generation uint64 `json:"generation"`
	// Seq counts the states that were agreed.
	Seq uint64 `json:"seq"`
	// Members are the voters' and learners' identities by the nodes' names. A node whose disk was
	// wiped has a new one.
	Members map[string]uint64 `json:"members"`
	// State is the traffic controller's: plan, holds, history.
	State traffic.State `json:"state"`
	// Audit is the last orders and extraordinary events, oldest first.
	Audit []Audit `json:"audit,omitempty"`
}

// Audit is one line of the cluster's record.
type Audit struct {
	At   time.Time `json:"at"`
	Node string    `json:"node"`         // that wrote it
	By   string    `json:"by,omitempty"` // the operator, "" for the nodes themselves
	What string    `json:"what"`
}

const maxAudit = 128

// entry is one proposal in the log: a state that was decided on the knowledge of state Base.
type entry struct {
	ID    uint64         `json:"id"` // tells the proposer that its entry was applied
	Base  uint64         `json:"base"`
	State *traffic.State `json:"state,omitempty"`
	Audit *Audit         `json:"audit,omitempty"`
}

// apply returns the record with the entry in it. An entry that was not decided on this record's
// state, or whose plan is not the next one, is refused with proa.ErrStalePlan: every node refuses
// the same ones.
func (r Record) apply(e entry) (Record, error) {
	if e.State != nil {
		now, next := r.State.Plan, e.State.Plan
		switch {
		case e.Base != r.Seq:
			return r, fmt.Errorf("decided on state %d, state %d is agreed: %w", e.Base, r.Seq,
				proa.ErrStalePlan)
		case next.Version == now.Version && !samePlan(now, next), next.Version < now.Version,
			next.Version > now.Version+1:
			return r, fmt.Errorf("plan %d does not follow plan %d: %w", next.Version, now.Version,
				proa.ErrStalePlan)
		}
		if _, err := proa.ParseRegion(string(next.Active)); err != nil {
			return r, fmt.Errorf("plan %d: %w: %w", next.Version, proa.ErrInvalid, err)
		}
		r.State = *e.State
		r.Seq++
	}
	if e.Audit != nil {
		r = r.note(*e.Audit)
	}
	return r, nil
}

func samePlan(a, b proa.Plan) bool {
	since := a.Since.Equal(b.Since)
	a.Since, b.Since = time.Time{}, time.Time{}
	return since && a == b
}

func (r Record) note(a Audit) Record {
	r.Audit = append(slices.Clone(r.Audit), a)
	if over := len(r.Audit) - maxAudit; over > 0 {
		r.Audit = r.Audit[over:]
	}
	return r
}

// member is a membership change's context: who comes, and whom it replaces.
type member struct {
	Name string `json:"name"`
	ID   uint64 `json:"id"` // 0: nobody comes
	Gone uint64 `json:"gone,omitempty"`
	// Learner: the newcomer only listens until it has caught up.
	Learner bool      `json:"learner,omitempty"`
	At      time.Time `json:"at"`
	By      string    `json:"by"` // the node that proposed it
}

// join enters a membership change. A learner is not yet a member.
func (r Record) join(m member) Record {
	if m.Learner || m.Name == "" {
		return r
	}
	r.Members = maps.Clone(r.Members)
	if r.Members == nil {
		r.Members = map[string]uint64{}
	}
	if m.ID == 0 {
		delete(r.Members, m.Name)
		return r.note(Audit{
			At: m.At, Node: m.By, What: fmt.Sprintf("%s, %s, leaves: no node is configured with it", m.Name, identity(m.Gone)),
		})
	}
	r.Members[m.Name] = m.ID
	what := fmt.Sprintf("%s joins as %s", m.Name, identity(m.ID))
	if m.Gone != 0 {
		what += ", instead of " + identity(m.Gone)
	}
	return r.note(Audit{At: m.At, Node: m.By, What: what})
}

// name returns the member's with the identity, "" for none.
func (r Record) name(id uint64) string {
	for n, i := range r.Members {
		if i == id {
			return n
		}
	}
	return ""
}

func (r Record) encode() []byte {
	b, err := json.Marshal(r)
	if err != nil {
		panic(fmt.Sprintf("cluster: a record cannot be encoded: %v", err)) // it holds plain data only
	}
	return b
}

func decodeRecord(b []byte) (Record, error) {
	var r Record
	if err := json.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("cluster record: %w: %w", proa.ErrInvalid, err)
	}
	return r, nil
}

// identity renders a node's identity for people.
func identity(id uint64) string { return fmt.Sprintf("%016x", id) }

// take applies one of raft's committed entries.
func (r Record) take(e *raftpb.Entry) (Record, error) {
	if len(e.GetData()) == 0 { // a new leader's first entry
		return r, nil
	}
	switch e.GetType() {
	case raftpb.EntryNormal:
		var in entry
		if err := json.Unmarshal(e.GetData(), &in); err != nil {
			return r, fmt.Errorf("entry %d: %w: %w", e.GetIndex(), proa.ErrInvalid, err)
		}
		return r.apply(in)
	case raftpb.EntryConfChange, raftpb.EntryConfChangeV2:
		change, err := decodeChange(e)
		if err != nil || len(change.GetContext()) == 0 { // the end of a joint configuration has none
			return r, err
		}
		var m member
		if err := json.Unmarshal(change.GetContext(), &m); err != nil {
			return r, fmt.Errorf("membership change %d: %w: %w", e.GetIndex(), proa.ErrInvalid, err)
		}
		return r.join(m), nil
	}
	return r, fmt.Errorf("entry %d of type %s: %w", e.GetIndex(), e.GetType(), proa.ErrInvalid)
}

func decodeChange(e *raftpb.Entry) (*raftpb.ConfChangeV2, error) {
	if e.GetType() == raftpb.EntryConfChange {
		var c raftpb.ConfChange
		err := proto.Unmarshal(e.GetData(), &c)
		return c.AsV2(), err
	}
	c := &raftpb.ConfChangeV2{}
	return c, proto.Unmarshal(e.GetData(), c)
}
