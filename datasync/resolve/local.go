package resolve

import (
	"hash/fnv"
	"slices"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/hlc"
)

// write is one local write that is to be given a version.
type write struct {
	region  proa.Region
	image   proa.Image // the zero Image for a removal
	held    Held       // what is stored after it
	deleted bool       // removed; a tombstone image says so itself
	expired bool
	event   time.Time      // zero: unknown, the write is as old as what it saw
	stamp   *proa.Version  // the writer's own proposal
	saw     []proa.Version // what the writer saw; the first is the parent
	keep    bool           // of unknown age: it is kept whatever a tombstone says
	guess   bool           // that it saw the side's last known state is a guess
}

func (w *write) tombstone() bool { return w.deleted || w.held.Tombstone }

// origin is the best guess of when the write was made: a stamp within the second of its event, or
// the event's second.
func (w *write) origin() time.Time {
	if w.stamp != nil {
		if d := w.stamp.Time.Time().Sub(w.event); d >= 0 && d < time.Second {
			return w.stamp.Time.Time()
		}
	}
	return w.event
}

// local gives a local write its version and lets it compete with the winner.
func (m *machine) local(sd *Side, w write) {
	parent := w.saw[0]
	if slices.ContainsFunc(w.saw, m.s.Winner.named) {
		parent = m.s.Winner.Version
		w.saw = append(w.saw, parent)
	}
	m.remember(sd, &w, parent)
	version := m.assign(sd, &w)
	sd.LastAssigned = version.Time
	sd.Feed = w.held
	if w.deleted {
		sd.Feed = Held{}
	}
	sd.Feed.Version = version
	if sd.Ahead != nil && (slices.Contains(w.saw, sd.Ahead.Version) ||
		w.image.Envelope != nil && w.image.Envelope.Version == sd.Ahead.Version) {
		sd.Ahead, sd.AheadBy = nil, 0
	}
	sd.Poison = nil
	next := Winner{
		Version: version, Parent: parent, Tombstone: w.tombstone(), Expired: w.expired,
		Origin: m.origin(&w), Decided: m.now,
	}
	reason := ReasonConcurrent
	if w.keep || w.guess {
		reason = ReasonUnknownAge
	}
	won := m.offer(next, w.image.Item, reason)
	img := w.image
	if w.tombstone() {
		img = proa.Image{}
	}
	m.emit(Append{
		Region: w.region, Version: version, Parent: parent, Image: img, Origin: next.Origin,
		Expired: w.expired, Won: won,
	})
}

// origin bounds the guess by the clock: an event's second began up to a second before the event.
func (m *machine) origin(w *write) time.Time {
	at := w.origin()
	if at.IsZero() || at.After(m.now) {
		return m.now
	}
	if at.Equal(w.event) {
		at = at.Add(time.Second - time.Millisecond) // the last moment of the event's second, or now
		if at.After(m.now) {
			at = m.now
		}
	}
	return at
}

// assign gives a local write its version: its stamp where that is within the skew bound of the
// event, else the event's time; but always after everything that the writer saw and after this
// region's last write of the key.
func (m *machine) assign(sd *Side, w *write) proa.Version {
	floor := sd.LastAssigned
	for _, v := range w.saw {
		floor = max(floor, v.Time)
	}
	if w.keep && m.s.Winner.Tombstone {
		floor = max(floor, m.s.Winner.Version.Time)
	}
	at := max(hlc.At(w.event), 1)
	if w.event.IsZero() {
		at = 1
	}
	if w.stamp != nil && !w.event.IsZero() {
		low, high := hlc.At(w.event.Add(-m.MaxSkew)), hlc.At(w.event.Add(time.Second+m.MaxSkew))
		if t := min(max(w.stamp.Time, low), high); t != w.stamp.Time {
			m.emit(NoteClamped)
			at = max(at, t)
		} else {
			at = t
		}
	}
	if at <= floor {
		at = floor.Next()
	}
	v := proa.Version{Time: at, Region: w.region, Hash: w.held.Hash}
	if w.tombstone() {
		v.Hash = proa.Hash{}
		if w.stamp == nil || w.stamp.Time != at {
			v.Time = marked(at, sd.Position, w.saw[0].Hash)
		}
	}
	return v
}

// marked is the first time from t on whose logical part is drawn from a place in the feed. A delete has
// no content that tells its version from another's: by its own time alone, two owners of which neither
// knows what the other has judged could give one version to two deletes of the same second. What is read
// again by another owner gets the same mark again. A table made anew may count from the beginning, so that what was
// deleted is drawn from too.
func marked(t hlc.Timestamp, at proa.Position, deleted proa.Hash) hlc.Timestamp {
	h := fnv.New32a()
	_, _ = h.Write([]byte(at))
	_, _ = h.Write(deleted[:])
	sum := h.Sum32()
	mark := uint16(sum>>16) ^ uint16(sum)
	next := hlc.FromMS(t.MS()) | hlc.Timestamp(mark)
	if next < t {
		next = hlc.FromMS(t.MS()+1) | hlc.Timestamp(mark)
	}
	return max(next, t)
}

// offer lets a state compete with the winner and reports whether it has won. item is the content,
// nil for a tombstone.
func (m *machine) offer(next Winner, item proa.Item, reason string) bool {
	w := &m.s.Winner
	switch {
	case w.Version == next.Version:
		return true
	case w.Version.IsZero(), w.Version == next.Parent && next.Version.Compare(w.Version) > 0:
		switch {
		case reason != ReasonUnknownAge || w.Version.IsZero():
		case w.Version.Hash == next.Version.Hash:
			m.emit(NoteSameAgain)
		default:
			m.clash(next, item, true, reason) // that it came after the winner is a guess
		}
		m.crown(next, item)
		return true
	case w.Parent == next.Version && next.Version.Compare(w.Version) < 0, w.named(next.Version):
		return false // what the winner replaced, or was
	}
	if !m.Policy.Plain() && !m.retold(next.Version) {
		return m.decide(next, item, reason)
	}
	won := next.Version.Compare(w.Version) > 0
	if w.Tombstone == next.Tombstone && w.Version.Hash == next.Version.Hash {
		m.emit(NoteSameAgain)
	} else {
		m.clash(next, item, won, reason)
	}
	if won {
		m.crown(next, item)
	}
	return won
}

// retold reports whether an heir reads again what its predecessor had judged: a replica at the other side is of that
// write or of a later one of its region. No policy is asked, which would take it for concurrent with what came of it.
func (m *machine) retold(v proa.Version) bool {
	return m.s.Hold == nil && v.Compare(m.s.Winner.Version) < 0 && v.Time <= m.s.At(v.Region).Judged.Time
}

func (m *machine) clash(next Winner, item proa.Item, won bool, reason string) {
	old := m.candidate(m.s.Winner)
	c := Candidate{
		Version: next.Version, Parent: next.Parent, Tombstone: next.Tombstone,
		Expired: next.Expired,
	}
	base := m.base()
	if !next.Tombstone {
		c.Item, c.Missing = item, item == nil
	}
	if won {
		m.emit(Clash{Reason: reason, Winner: c, Loser: old, Base: base})
	} else {
		m.emit(Clash{Reason: reason, Winner: old, Loser: c, Base: base})
	}
}

func (m *machine) candidate(w Winner) Candidate {
	c := Candidate{Version: w.Version, Parent: w.Parent, Tombstone: w.Tombstone, Expired: w.Expired}
	if !w.Tombstone {
		body, ok := m.s.Bodies[w.Version.Hash]
		c.Item, c.Missing = body, !ok
	}
	return c
}

// crown makes a state the winner.
func (m *machine) crown(next Winner, item proa.Item) {
	m.s.Winner = next
	if item != nil && !next.Tombstone {
		m.s.keep(next.Version.Hash, item)
	}
	for i := range m.s.Sides {
		sd := &m.s.Sides[i]
		sd.Unfit, sd.Attempts, sd.RetryAt = nil, 0, time.Time{}
	}
}

// adoptHeld takes a side's state at its envelope's word, where nothing was known of the side.
func (m *machine) adoptHeld(
	region proa.Region, sd *Side, next Held, e *proa.Envelope, at time.Time,
) {
	next.Version = e.Version
	sd.Feed = next
	if e.Version.Region == region {
		sd.LastAssigned = max(sd.LastAssigned, e.Version.Time)
	}
	var item proa.Item
	if !next.Tombstone {
		item = m.s.Bodies[next.Hash]
	}
	if at.IsZero() {
		at = e.Version.Time.Time()
	}
	m.judged(region, e)
	was := m.s.Winner.Version
	won := m.offer(Winner{
		Version: e.Version, Parent: e.Parent, Tombstone: e.Tombstone, Origin: at,
		Decided: m.now,
	},
		item, ReasonUnknownAge)
	if won {
		m.alsoNamed(was)
	}
	if e.Version.Region == region {
		m.emit(Append{
			Region: region, Version: e.Version, Parent: e.Parent,
			Image:  proa.Image{Item: item, Envelope: e},
			Origin: at, Won: won,
		})
	}
}
