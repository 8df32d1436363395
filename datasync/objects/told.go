package objects

import (
	"fmt"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/resolve"
	"github.com/proa-cloud/proa/datasync/shadow"
)

// heardMargin is how much older than what a predecessor has met an object's stamp must be for it to have been met: clocks
// differ, and listings and notices show writes late.
const heardMargin = time.Minute

func heardName(region proa.Region) string { return "heard/" + string(region) }

// Heard says up to when a predecessor has met what was written at a region. It counts where nothing is known of the side
// yet: objects that are met there for the first time and are older were told to subscribers, and are not told again. It
// returns once that is on stable storage.
func (r *Replicator) Heard(region proa.Region, at time.Time) error {
	p, err := r.pass(region)
	if err != nil {
		return err
	}
	r.mu.Lock()
	was := r.heard[resolve.Index(region)]
	r.mu.Unlock()
	if at.IsZero() || !was.IsZero() || !p.Fresh.IsZero() || p.After != "" {
		return nil
	}
	err = r.store.Commit(func(tx *shadow.Tx) error {
		return tx.SetObject(r.passes(), heardName(region), at.UTC().AppendFormat(nil, time.RFC3339Nano))
	})
	if err != nil {
		return fmt.Errorf("bucket %s: %w", r.cfg.Name, err)
	}
	r.mu.Lock()
	r.heard[resolve.Index(region)] = at
	r.mu.Unlock()
	return nil
}

func (r *Replicator) loadHeard(region proa.Region) (at time.Time, err error) {
	record, err := r.store.Object(r.passes(), heardName(region))
	if err == nil && record != nil {
		at, err = time.Parse(time.RFC3339Nano, string(record))
	}
	if err != nil {
		return at, fmt.Errorf("what was told of bucket %s: %w", r.cfg.Name, err)
	}
	return at, nil
}

// toldBefore reports whether a predecessor has told subscribers of an object that this index meets for the first time.
func (r *Replicator) toldBefore(st *State, v verdict, region proa.Region) bool {
	r.mu.Lock()
	heard := r.heard[resolve.Index(region)]
	r.mu.Unlock()
	at := st.at(region).Modified
	return v.first && !heard.IsZero() && !at.IsZero() && at.Before(heard.Add(-heardMargin))
}

// Captured is how many changes were captured since New.
func (r *Replicator) Captured() uint64 { return r.captured.Load() }
