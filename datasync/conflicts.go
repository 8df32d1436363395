package datasync

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/policy"
	"github.com/proa-cloud/proa/datasync/resolve"
	"github.com/proa-cloud/proa/datasync/resolve/journal"
	"github.com/proa-cloud/proa/datasync/shadow"
)

// wholeBody is the size up to which contents stay in the shadow index of a table whose policy
// compares with what was there before: Cosmos DB's largest item.
const wholeBody = 2 << 20

// conflict is a journal entry, without what may not be logged.
func (t *table) conflict(key proa.Key, c resolve.Clash, now time.Time) journal.Conflict {
	if c.Policy == "" {
		c.Policy = string(policy.LWW)
	}
	j := journal.Conflict{
		Time: now.UTC(), Table: key.Table, Reason: c.Reason, Policy: c.Policy, Outcome: c.Outcome,
		Note: c.Note, Winner: journalSide(c.Winner), Loser: journalSide(c.Loser), Merged: c.Merged,
	}
	j.Key, _ = t.stays.Logged(t.schema.Attributes(key))
	if b := c.Base; b != nil {
		j.Base = &journal.Side{
			Version: b.Version, Region: b.Version.Region, Time: b.Version.Time.Time(),
			Tombstone: b.Deleted, Item: b.Item, Missing: b.Missing,
		}
	}
	items := []*proa.Item{&j.Winner.Item, &j.Loser.Item, &j.Merged}
	if j.Base != nil {
		items = append(items, &j.Base.Item)
	}
	for _, item := range items {
		kept, left := t.stays.Logged(*item)
		*item = kept
		j.Redacted = append(j.Redacted, left...)
	}
	slices.Sort(j.Redacted)
	j.Redacted = slices.Compact(j.Redacted)
	return j
}

func journalSide(c resolve.Candidate) journal.Side {
	return journal.Side{
		Version: c.Version, Parent: c.Parent, Region: c.Version.Region,
		Time:      c.Version.Time.Time(),
		Tombstone: c.Tombstone, Expired: c.Expired, Item: c.Item, Missing: c.Missing,
	}
}

// Conflict returns one journal entry; proa.ErrNotFound where there is none of that ID any more.
func (s *Service) Conflict(id uint64) (journal.Conflict, error) { return s.store.Journal.Get(id) }

// Restored is what an operator's order came to.
type Restored struct {
	Table   string       `json:"table"`
	Bucket  string       `json:"bucket,omitempty"`
	Object  string       `json:"object,omitempty"`
	Key     proa.Item    `json:"key"`
	Version proa.Version `json:"version"` // that the restored content was given
	Deleted bool         `json:"deleted"`
}

// Restore makes the loser of a conflict (or, of a merge or a hold, one of its two states: of the
// region that is named) the winner as a new version, after everything known of the key. Both sides
// come to hold it through the same compare-and-set as any write. It returns once the order is on
// stable storage.
func (s *Service) Restore(ctx context.Context, id uint64, from proa.Region) (Restored, error) {
	c, err := s.store.Journal.Get(id)
	if err != nil {
		return Restored{}, fmt.Errorf("restore: %w", err)
	}
	return s.RestoreEntry(ctx, c, from)
}

// RestoreEntry is Restore of an entry that may come from another node's journal; its ID is in errors
// and in the log.
func (s *Service) RestoreEntry(ctx context.Context, c journal.Conflict, from proa.Region) (Restored, error) {
	if c.Bucket != "" {
		return s.restoreObject(ctx, &c, from)
	}
	id, t := c.ID, s.table(c.Table)
	if t == nil {
		return Restored{}, fmt.Errorf("restore conflict %d: it is not of a replicated table: %w", id,
			proa.ErrInvalid)
	}
	side, err := chosen(&c, from)
	switch {
	case err != nil:
		return Restored{}, fmt.Errorf("restore conflict %d: %w", id, err)
	case side.Missing:
		return Restored{}, fmt.Errorf("restore conflict %d: the content is no longer at hand: %w", id,
			proa.ErrNotFound)
	case len(c.Redacted) > 0:
		return Restored{}, fmt.Errorf(
			"restore conflict %d: %q are never logged, so the entry is not whole: %w", id, c.Redacted,
			proa.ErrInvalid)
	}
	key, err := t.schema.KeyOf(c.Key)
	if err != nil {
		return Restored{}, fmt.Errorf("restore conflict %d: %w", id, err)
	}
	order := resolve.Settle{
		Region: side.Version.Region, Item: side.Item, Because: fmt.Sprint("conflict ", id),
	}
	return t.settle(key, order)
}

func chosen(c *journal.Conflict, from proa.Region) (*journal.Side, error) {
	switch from {
	case "":
		return &c.Loser, nil
	case c.Loser.Version.Region:
		return &c.Loser, nil
	case c.Winner.Version.Region:
		return &c.Winner, nil
	}
	return nil, fmt.Errorf("neither state is of region %q: %w", from, proa.ErrInvalid)
}

// settle carries out an order on a key.
func (t *table) settle(key proa.Key, order resolve.Settle) (Restored, error) {
	out := Restored{Table: key.Table, Key: t.schema.Attributes(key), Deleted: order.Item == nil}
	settled := false
	err := t.store.Commit(func(tx *shadow.Tx) error {
		r, err := tx.Load(key)
		if err != nil {
			return err
		}
		before := r.State.Winner.Version
		if _, err := t.step(tx, key, t.clock.now(), order); err != nil {
			return err
		}
		out.Version = r.State.Winner.Version
		settled = out.Version != before
		return nil
	})
	t.wake()
	switch {
	case err != nil:
		return Restored{}, err
	case !settled:
		return Restored{}, fmt.Errorf("settle %s: the key has changed since it was looked at: %w", key,
			proa.ErrConflict)
	}
	t.log.Info("key settled by an operator", "key", t.keyText(key), "version", out.Version,
		"because", order.Because)
	return out, nil
}

// shown is a key without what may not be logged of it.
func (t *table) shown(key proa.Key) proa.Key {
	logged, left := t.stays.Logged(t.schema.Attributes(key))
	if len(left) > 0 {
		key.Hash, key.Range = logged[t.schema.HashName], logged[t.schema.RangeName]
	}
	return key
}

// keyText names a key in a log, where it may be.
func (t *table) keyText(key proa.Key) string { return t.shown(key).String() }

// text is what an error says of a key, where that may be logged.
func (t *table) text(err error, key proa.Key) string {
	return t.stays.Text(err.Error(), t.schema.Attributes(key))
}

// Settlement is how an operator ends a held conflict.
type Settlement struct {
	Take proa.Region // the state of this region, or
	Item proa.Item   // this content, or
	Drop bool        // nothing: the key is deleted
}

// Settle ends a conflict that a manual policy holds. It fails with proa.ErrNotFound where none is
// held for the key.
func (s *Service) Settle(key proa.Key, how Settlement) (Restored, error) {
	if err := s.mustOwn("settle"); err != nil {
		return Restored{}, err
	}
	t := s.table(key.Table)
	if t == nil {
		return Restored{}, fmt.Errorf("settle: table %q: %w", key.Table, proa.ErrNotFound)
	}
	order := resolve.Settle{Region: proa.AWS, Item: how.Item, Because: "held conflict"}
	var failed error
	err := t.store.View(key, func(st *resolve.State) {
		if st == nil || st.Hold == nil {
			failed = fmt.Errorf("settle %s: no conflict is held: %w", key, proa.ErrNotFound)
			return
		}
		order.Expect, order.Region = st.Winner.Version, st.Winner.Version.Region
		if how.Take != "" {
			failed = take(st, how.Take, &order)
		}
	})
	if err != nil || failed != nil {
		return Restored{}, firstOf(err, failed)
	}
	if how.Item != nil {
		if k, err := t.schema.KeyOf(how.Item); err != nil || k.ID() != key.ID() {
			return Restored{}, fmt.Errorf("settle %s: the content is not of that key: %w", key,
				proa.ErrInvalid)
		}
	} else if how.Take == "" && !how.Drop {
		return Restored{}, fmt.Errorf("settle %s: say what to take: %w", key, proa.ErrInvalid)
	}
	return t.settle(key, order)
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// take puts the held state of a region into an order.
func take(st *resolve.State, from proa.Region, order *resolve.Settle) error {
	for _, w := range []resolve.Winner{st.Winner, st.Hold.Other} {
		if w.Version.Region != from {
			continue
		}
		order.Region = from
		if w.Tombstone {
			return nil
		}
		body, ok := st.Bodies[w.Version.Hash]
		if !ok {
			return fmt.Errorf("settle: the content of %s is not at hand: %w", from, proa.ErrNotFound)
		}
		order.Item = body
		return nil
	}
	return fmt.Errorf("settle: neither state is of %s: %w", from, proa.ErrInvalid)
}

// Replay is what another policy would have made of one conflict.
type Replay struct {
	ID    uint64    `json:"id"`
	Table string    `json:"table"`
	Key   proa.Item `json:"key"`
	Time  time.Time `json:"time"`
	// Winner and Loser are those of the entry.
	Winner proa.Version `json:"winner"`
	Loser  proa.Version `json:"loser"`
	Was    string       `json:"was"`   // newer, older, merged or hold
	Would  string       `json:"would"` // the same, or "unknown" where a content is not at hand
	Same   bool         `json:"same"`  // both end in the same content
	Item   proa.Item    `json:"item,omitempty"`
	Left   bool         `json:"left_out,omitempty"` // the content is too much to tell
	Delete bool         `json:"delete,omitempty"`
	Note   string       `json:"note,omitempty"`
}

// The bounds of one Replay: entries that are in memory at once, results, and bytes of contents in these.
const (
	replayPage    = 50
	MaxReplay     = 100_000
	replayedBytes = 8 << 20
)

// Replay decides journal entries anew with another policy, for which it writes nothing: all that the
// query selects, the newest first, up to its limit or MaxReplay; more says that there are older ones.
// Rule is that of whole rows, attributes are those of single ones. Entries of objects are left out.
// Contents are told where they differ from what was decided, and up to 8 MiB of them.
func (s *Service) Replay(
	q journal.Query, rule policy.Rule, attributes map[string]policy.Rule,
) (list []Replay, more bool, err error) {
	limit := q.Limit
	if limit <= 0 || limit > MaxReplay {
		limit = MaxReplay
	}
	compiled := map[string]*policy.Policy{}
	room := replayedBytes
	for q.Limit = replayPage; ; {
		found, err := s.store.Journal.Find(q)
		if err != nil {
			return nil, false, err
		}
		for i := range found {
			c := &found[i]
			t := s.table(c.Table)
			if t == nil {
				continue
			}
			if len(list) == limit {
				return list, true, nil
			}
			p := compiled[c.Table]
			if p == nil {
				if p, err = policy.New(t.schema, rule, attributes); err != nil {
					return nil, false, err
				}
				compiled[c.Table] = p
			}
			r := replay(p, c)
			r.fit(&room)
			list = append(list, r)
		}
		if len(found) < replayPage {
			return list, false, nil
		}
		q.Before = found[len(found)-1].ID
	}
}

// fit lets go of the content where nobody asks for it or there is no room.
func (r *Replay) fit(room *int) {
	if r.Item == nil {
		return
	}
	size := len(r.Item.AppendJSON(nil))
	if r.Same || size > *room {
		r.Item, r.Left = nil, !r.Same
		return
	}
	*room -= size
}

func replay(p *policy.Policy, c *journal.Conflict) Replay {
	r := Replay{
		ID: c.ID, Table: c.Table, Key: c.Key, Time: c.Time, Was: c.Outcome, Note: c.Note,
		Winner: c.Winner.Version, Loser: c.Loser.Version,
	}
	if r.Was == "" {
		r.Was = policy.Newer.String()
		if c.Winner.Version.Compare(c.Loser.Version) < 0 {
			r.Was = policy.Older.String()
		}
	}
	a, b := policyState(&c.Winner), policyState(&c.Loser)
	in := policy.Conflict{A: a, B: b}
	if c.Base != nil {
		base := policyState(c.Base)
		in.Base = &base
	}
	d := p.Decide(in)
	r.Would, r.Note = d.Outcome.String(), d.Note
	newer, older := a, b
	if a.Version.Compare(b.Version) < 0 {
		newer, older = b, a
	}
	r.Item, r.Delete = leaves(d.Outcome, d.Item, newer, older)
	was, wasDeleted := leaves(outcomeOf(r.Was), c.Merged, newer, older)
	held := r.Was == policy.Hold.String() || r.Would == policy.Hold.String()
	r.Same = r.Delete == wasDeleted && r.Item.Equal(was) && (!held || r.Was == r.Would)
	return r
}

func policyState(s *journal.Side) policy.State {
	return policy.State{Version: s.Version, Item: s.Item, Deleted: s.Tombstone, Missing: s.Missing}
}

func outcomeOf(name string) policy.Outcome {
	for _, o := range []policy.Outcome{policy.Newer, policy.Older, policy.Merged, policy.Hold} {
		if o.String() == name {
			return o
		}
	}
	return policy.Newer
}

// leaves is the content that an outcome leaves.
func leaves(o policy.Outcome, merged proa.Item, newer, older policy.State) (proa.Item, bool) {
	switch o {
	case policy.Newer:
		return newer.Item, newer.Deleted
	case policy.Older:
		return older.Item, older.Deleted
	case policy.Merged:
		return merged, false
	}
	return nil, false
}
