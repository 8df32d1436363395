package datasync

import (
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/resolve"
	"github.com/proa-cloud/proa/datasync/shadow"
)

// Known says how much is known of a write that is not on the other side.
type Known string

// What is known of a write.
const (
	// acknowledged by its region; the feed has not shown it: the content is there only
	KnownAnnounced   Known = "announced"
	KnownCaptured    Known = "captured"    // captured, content included; it awaits its write
	KnownQuarantined Known = "quarantined" // captured, but it cannot cross or be judged
)

// Unreplicated is one acknowledged write that the other side's readers do not see.
type Unreplicated struct {
	Region  proa.Region  `json:"region"` // where it was written
	Table   string       `json:"table,omitempty"`
	Key     proa.Item    `json:"key,omitempty"`
	Bucket  string       `json:"bucket,omitempty"`
	Object  string       `json:"object,omitempty"`
	Version proa.Version `json:"version,omitzero"`
	Deleted bool         `json:"deleted,omitempty"`
	At      time.Time    `json:"at"`
	Known   Known        `json:"known"`
	Reason  string       `json:"reason,omitempty"`
}

// Unreplicated lists up to limit writes of a region that are not on the other side, as far as the
// node knows: when the region is lost, these are what may be lost with it. total counts them all.
// Writes of a span that Unheard lists may be missing from it.
func (s *Service) Unreplicated(
	from proa.Region, limit int,
) (list []Unreplicated, total int, err error) {
	n, announced, err := s.store.Announced(from, limit)
	if err != nil {
		return nil, 0, err
	}
	total = n
	for _, a := range announced {
		if t := s.table(a.Table); t != nil && a.Bucket == "" {
			a.Key, _ = t.stays.Logged(a.Key)
		}
		list = append(list, Unreplicated{
			Region: from, Table: a.Table, Key: a.Key, Bucket: a.Bucket,
			Object:  a.Object,
			Version: a.Version, Deleted: a.Deleted, At: a.At, Known: KnownAnnounced,
		})
	}
	for _, t := range s.tables() {
		depth := s.store.Depth(t.schema.Table, from.Other())
		total += depth.Backlog
		if len(list) >= limit || depth.Backlog+depth.Parked == 0 {
			continue // the queue may be full of envelopes, which nobody waits for
		}
		err := s.store.Queued(t.schema.Table, from.Other(), func(w shadow.Waiting, parked bool) bool {
			if len(list) >= limit {
				return false
			}
			list = append(list, t.unreplicated(from, w, parked))
			return true
		})
		if err != nil {
			return nil, 0, err
		}
	}
	for _, b := range s.buckets() {
		objects, err := b.Pending(from, max(limit-len(list), 0))
		if err != nil {
			return nil, 0, err
		}
		total += b.Direction(from).Backlog
		for _, o := range objects {
			list = append(list, Unreplicated{
				Region: from, Bucket: b.Name(), Object: o.Name,
				Version: o.Version,
				Deleted: o.Deleted, At: o.At, Known: KnownCaptured,
			})
		}
	}
	return list, total, nil
}

func (t *table) unreplicated(from proa.Region, w shadow.Waiting, parked bool) Unreplicated {
	u := Unreplicated{Region: from, Table: w.Key.Table, At: w.Origin, Known: KnownCaptured}
	u.Key, _ = t.stays.Logged(t.schema.Attributes(w.Key))
	if parked {
		u.Known = KnownQuarantined
	}
	// A state that cannot be read any more leaves what the queue says.
	_ = t.store.View(w.Key, func(st *resolve.State) {
		if st == nil {
			return
		}
		u.Version, u.Deleted = st.Winner.Version, st.Winner.Tombstone
		for i := range st.Sides {
			if p := st.Sides[i].Poison; p != nil {
				u.Reason = p.Reason
			} else if f := st.Sides[i].Unfit; f != nil && f.Version == st.Winner.Version {
				u.Reason = f.Reason
			}
		}
		if st.Hold != nil && u.Reason == "" {
			u.Reason = "a conflict waits to be settled"
		}
	})
	return u
}
