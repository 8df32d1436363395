package resolve

import (
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/policy"
)

// Hold is a conflict that waits for an operator: each side keeps what it has, and the key is
// written nowhere. Winner is then the newer of the two states, and Other the older one.
type Hold struct {
	Other  Winner
	Reason string
	At     time.Time
}

// Settle is an operator's order: a content (or a delete) becomes the winner as a new version, after
// everything that is known of the key. It ends a Hold. It is ignored where the winner is not Expect
// any more (the zero Version: whatever it is).
type Settle struct {
	Region  proa.Region // whose write the content was
	Item    proa.Item   // nil: a delete
	Expect  proa.Version
	Because string // for the log
}

func (Settle) input() {}

// Expiry says at which sides a removal by the store's time-to-live is no delete: the side is left
// without the item until a newer write, and the other side keeps it. By Index.
type Expiry struct{ Ignore [2]bool }

// NoteLapsed counts removals that the table's rules ignore.
const NoteLapsed Note = "lapsed"

// NoteSettled counts operators' orders that were carried out.
const NoteSettled Note = "settled"

// OutcomeSettled is of a conflict that an operator has decided.
const OutcomeSettled = "settled"

// before is what was at a write's side before it, for the base of a conflict.
type before struct {
	parent proa.Version
	held   Held
	known  bool // something was known of the side
	any    bool // the write has a place in history
}

// remember keeps what was at a side before a write with the given parent is taken.
func (m *machine) remember(sd *Side, w *write, parent proa.Version) {
	m.before = before{parent: parent, held: sd.Feed, known: sd.Known, any: !w.keep}
}

// base is what a conflict of the write that is being judged compares with: what was at its side
// before. It is nil where that is not known.
func (m *machine) base() *policy.State {
	b := &m.before
	if !b.any || m.unsure {
		return nil
	}
	base := &policy.State{Version: b.parent, Deleted: true}
	hash := b.parent.Hash
	if b.parent == b.held.Version {
		switch {
		case b.held.Gone || b.held.Lapsed:
			return nil
		case !b.known && !b.held.Exists && !m.created:
			return nil
		case !b.held.Exists || b.held.Tombstone:
			return base
		}
		hash = b.held.Hash
	}
	if hash == (proa.Hash{}) {
		return base
	}
	body, ok := m.s.Bodies[hash]
	if !ok || body == nil {
		return nil
	}
	base.Deleted, base.Item = false, body
	return base
}

func (m *machine) stateOf(w Winner, item proa.Item) policy.State {
	s := policy.State{Version: w.Version, Deleted: w.Tombstone}
	if !w.Tombstone {
		s.Item, s.Missing = item, item == nil
	}
	return s
}

// decide lets the table's policy say what becomes of the winner and of a state that is concurrent
// with it. It reports whether that state is the winner now.
func (m *machine) decide(next Winner, item proa.Item, reason string) bool {
	w := m.s.Winner
	body := m.s.Bodies[w.Version.Hash]
	if w.Tombstone {
		body = nil
	}
	d := m.Policy.Decide(policy.Conflict{
		Base: m.base(), A: m.stateOf(w, body), B: m.stateOf(next, item),
	})
	if m.s.Hold != nil {
		d.Outcome = policy.Hold // whatever else happens, the operator has the word
	}
	same := w.Tombstone == next.Tombstone && w.Version.Hash == next.Version.Hash
	won := next.Version.Compare(w.Version) > 0
	older, olderItem := next, item
	if won {
		older, olderItem = w, body
	}
	switch {
	case d.Outcome == policy.Hold && !same:
		return m.hold(next, item, won, reason, d)
	case d.Outcome == policy.Older && !same:
		m.clashed(next, item, !won, reason, d)
		if won {
			m.crown(next, item) // what is made anew comes after both
		}
		m.anew(older.Version.Region, older.Tombstone, olderItem, older.names())
		return false
	case d.Outcome == policy.Merged:
		m.clashed(next, item, won, reason, d)
		region := w.Version.Region
		if won {
			region = next.Version.Region
			m.crown(next, item)
		}
		m.anew(region, false, d.Item, nil)
		return false
	}
	if same {
		m.emit(NoteSameAgain)
		if h := m.s.Hold; h != nil && h.Other.Version == next.Parent {
			if reason == ReasonUnknownAge {
				m.discarded(h.Other, d.Outcome.String())
			}
			m.s.Hold = nil // its writer has settled it: both sides hold the same
		}
	} else {
		m.clashed(next, item, won, reason, d)
	}
	if won {
		m.crown(next, item)
	}
	return won
}

// clashed puts out a conflict with what the policy made of it. nextWon says whether the state that
// was offered is the one that stays, or the newer one of a merge.
func (m *machine) clashed(
	next Winner, item proa.Item, nextWon bool, reason string, d policy.Decision,
) {
	at := len(m.out)
	m.clash(next, item, nextWon, reason)
	c, ok := m.out[at].(Clash)
	if !ok {
		return
	}
	c.Policy, c.Outcome, c.Note = m.Policy.String(), d.Outcome.String(), d.Note
	if d.Outcome == policy.Merged {
		c.Merged = d.Item
	}
	m.out[at] = c
}

// anew makes a content (nil: a delete) the winner as a version after all that is known of the key. of
// are the names of the state that it is, where it is taken whole.
func (m *machine) anew(region proa.Region, deleted bool, item proa.Item, of []proa.Version) {
	w := m.s.Winner
	newest := w.Version
	if h := m.s.Hold; h != nil && h.Other.Version.Compare(newest) > 0 {
		newest = h.Other.Version
	}
	at := newest.Time
	for i := range m.s.Sides {
		at = max(at, m.s.Sides[i].LastAssigned)
	}
	version := proa.Version{Time: at.Next(), Region: region, Hash: proa.ContentHash(item)}
	if deleted {
		item, version.Hash = nil, proa.Hash{}
	}
	next := Winner{
		Version: version, Parent: newest, Tombstone: deleted, Origin: m.now, Decided: m.now, Of: of,
	}
	m.s.Hold = nil
	sd := m.s.At(region)
	sd.LastAssigned = max(sd.LastAssigned, version.Time) // no write of this region is given that version too
	m.crown(next, item)
	m.later = append(m.later, Append{
		Region: region, Version: version, Parent: newest, Image: proa.Image{Item: item},
		Origin: m.now, Won: true,
	})
}

// hold keeps two states for an operator to choose from.
func (m *machine) hold(
	next Winner, item proa.Item, won bool, reason string, d policy.Decision,
) bool {
	w, h := m.s.Winner, m.s.Hold
	switch {
	case h == nil, h.Other.Version != next.Parent:
		m.clashed(next, item, won, reason, d)
	}
	other := next
	if won {
		other = w
		m.crown(next, item)
	}
	if item != nil && !next.Tombstone {
		m.s.keep(next.Version.Hash, item)
	}
	succeeds := h != nil && h.Other.Version == next.Parent
	if h == nil || succeeds || other.Version.Compare(h.Other.Version) > 0 {
		if h != nil && (!succeeds || reason == ReasonUnknownAge) {
			m.discarded(h.Other, d.Outcome.String())
		}
		m.s.Hold = &Hold{Other: other, Reason: reason, At: m.now}
	}
	if h == nil {
		m.emit(Quarantined{
			Side: next.Version.Region, Reason: "conflict to be settled by an operator",
		})
	}
	return won
}

// settle carries out an operator's order.
func (m *machine) settle(in Settle) {
	if !in.Expect.IsZero() && in.Expect != m.s.Winner.Version {
		return
	}
	item := in.Item
	if item != nil {
		if _, err := m.Schema.KeyOf(item); err != nil {
			return
		}
	}
	was, held := m.s.Winner, m.s.Hold
	m.anew(in.Region, item == nil, item, m.namesOf(item))
	if held != nil {
		m.discarded(was, OutcomeSettled)
		m.discarded(held.Other, OutcomeSettled)
	}
	m.emit(NoteSettled)
}

// discarded journals one of the states that waited for an operator, and can be chosen no more.
func (m *machine) discarded(w Winner, outcome string) {
	won := m.s.Winner
	if won.named(w.Version) {
		return
	}
	m.emit(Clash{
		Reason: ReasonConcurrent, Winner: m.candidate(won), Loser: m.candidate(w),
		Policy: m.Policy.String(), Outcome: outcome,
	})
}

// namesOf are the names of the states, of those that an operator chooses from, that have a content.
func (m *machine) namesOf(item proa.Item) (names []proa.Version) {
	states := []Winner{m.s.Winner}
	if m.s.Hold != nil {
		states = append(states, m.s.Hold.Other)
	}
	for _, s := range states {
		if s.Tombstone == (item == nil) && (item == nil || s.Version.Hash == proa.ContentHash(item)) {
			names = append(names, s.names()...)
		}
	}
	return names[max(0, len(names)-maxNames):]
}

// lapsed takes a removal by the store's time-to-live that the rules do not count as a delete.
func (m *machine) lapsed(sd *Side) {
	sd.Feed = Held{Version: sd.Feed.Version, Lapsed: true}
	m.emit(NoteLapsed)
}

// held reports whether a body is one that an operator may choose.
func (s *State) held(hash proa.Hash) bool {
	return s.Hold != nil && !s.Hold.Other.Tombstone && s.Hold.Other.Version.Hash == hash
}
