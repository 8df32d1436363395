package resolve

import (
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/hlc"
)

// observed takes a row without a place in the feed. Whatever the feed or a write of ours has said
// since the row was read beats it.
func (m *machine) observed(in Observed) {
	sd := m.s.At(in.Side)
	hash := proa.ContentHash(in.Row.Image.Item)
	h := m.physical(in.Row.Image, hash, in.Row.ETag)
	late := m.now.After(in.Began.Add(m.InFlightMax)) // the feed may have been broken since
	if sd.InFlight != 0 || late || !in.Began.After(sd.Touched) {
		differs := h.print() != sd.Current().print() || sd.InFlight != 0
		if differs && sd.Poison == nil && sd.Refused.IsZero() {
			// Which of the two is newer cannot be told: an answer says what was stored when its write
			// landed, not when it came. Where the feed does not tell, the row is read again.
			sd.Refused = m.now
		}
		return
	}
	sd.Touched = m.now
	m.observe(in.Side, sd, in.Row, h)
}

// Unmet reports whether a complete scan of a side that began at a time should have met the key, if
// it was not. A write of ours that the feed has not shown counts too, or one whose answer is awaited:
// it may have been lost with what the feed has lost.
func (s *State) Unmet(side proa.Region, began time.Time) bool {
	sd := s.At(side)
	return sd.InFlight != 0 || sd.Current().Exists && (began.After(sd.Touched) || sd.Ahead != nil)
}

// Superseded reports whether a write that waited must not be sent any more: it is no longer the
// winner. A nil State is one that was forgotten.
func (s *State) Superseded(w Write) bool {
	return !w.Purge && (s == nil || s.Winner.Version != w.Next.Envelope.Version)
}

// observe judges a stored state that no change explains.
func (m *machine) observe(side proa.Region, sd *Side, row cloud.Row, h Held) {
	cur := sd.Current()
	waited := !sd.Refused.IsZero()
	sd.Known, sd.Refused = true, time.Time{}
	if h.Exists && !h.Tombstone {
		m.s.keep(h.Hash, row.Image.Item)
	}
	if sd.Poison != nil {
		if h.print() == m.print(sd.Poison.Image) {
			sd.Ahead, sd.AheadBy = nil, 0
			sd.Feed.ETag = h.ETag
			return
		}
		if proa.LaterFormat(sd.Poison.Image.Malformed) && h.Hash == proa.ContentHash(sd.Poison.Image.Item) {
			m.upgraded(side, sd, row)
			return
		}
		m.unseated(side, sd.Poison)
		sd.Poison = nil // it is no longer what is stored
	}
	if h.print() == cur.print() {
		cur.stored(&h)
		return
	}
	if m.found(sd, &h, row) {
		return
	}
	if !h.Exists {
		m.missing(sd, waited)
		return
	}
	m.unexplained(side, sd, row, h)
}

// upgraded judges a state that could not be read when its change came, as that change: this node reads its format
// now.
func (m *machine) upgraded(side proa.Region, sd *Side, row cloud.Row) {
	p := sd.Poison
	sd.Poison = nil
	c := proa.Change{Region: side, Key: m.s.Key, New: row.Image, ETag: row.ETag, Time: p.Time}
	m.unsure, m.hole = p.blind(), p.blind()
	m.stored(sd, c)
}

// unseated journals a quarantined state that is no longer stored, and no change says why.
func (m *machine) unseated(side proa.Region, p *Poison) {
	hash := proa.ContentHash(p.Image.Item)
	at := p.Time
	if at.After(m.now) {
		at = m.now
	}
	m.emit(Clash{Reason: ReasonUnknownAge, Winner: m.candidate(m.s.Winner), Loser: Candidate{
		Version: proa.Version{Time: max(hlc.At(at), 1), Region: side, Hash: hash},
		Parent:  p.Parent, Item: p.Image.Item,
	}})
}

// missing takes an absence that no change explains: never a reason to delete.
func (m *machine) missing(sd *Side, waited bool) {
	if sd.Current().Tombstone {
		// What is missing is our tombstone image: the key stays deleted, whoever removed it.
		sd.Feed, sd.Ahead, sd.AheadBy = Held{Version: sd.Current().Version}, nil, 0
		return
	}
	m.emit(NoteUnion)
	sd.Feed, sd.Ahead, sd.AheadBy = Held{Version: sd.Current().Version, Gone: true}, nil, 0
	sd.Unpositioned, sd.Read = waited, m.now
}

// unexplained judges a row that differs from what the feed and our writes have said.
func (m *machine) unexplained(side proa.Region, sd *Side, row cloud.Row, h Held) {
	first := sd.Current().Version.IsZero() && !sd.Current().Exists && sd.Position == ""
	before := sd.Current().Version
	sd.Ahead, sd.AheadBy = nil, 0
	c := proa.Change{Region: side, Key: m.s.Key, New: row.Image, ETag: row.ETag, Time: m.now}
	fits := valid(row.Image, h.Hash, m.Schema, m.s.Key) || h.Tombstone
	if why := m.poisonous(c, fits); why != "" {
		m.poison(sd, c, proa.Version{}, why)
		return
	}
	m.emit(NoteUnknown)
	sd.Unpositioned, sd.Read = true, m.now
	if v, known := m.replica(sd, h); first && known {
		m.isReplica(sd, row, h, v)
		return
	}
	if first && fits {
		m.adoptHeld(side, sd, h, m.bounded(side, row.Image.Envelope), time.Time{})
		return
	}
	if first && m.original(side, h.Hash) {
		h.Version = m.s.Winner.Version
		sd.Feed, sd.LastAssigned = h, max(sd.LastAssigned, h.Version.Time)
		return
	}
	e := row.Image.Envelope
	if fits && e.Version.Compare(m.s.Winner.Version) < 0 && !succeeds(e, before) {
		// A state that this key had before: the table was restored, or an old item was put back while
		// the feed was broken. At its envelope's word it is the older one; it is in the journal.
		sd.Unpositioned = false
		m.adoptHeld(side, sd, h, e, time.Time{})
		return
	}
	saw := []proa.Version{before}
	if e != nil {
		saw = append(saw, m.bounded(side, e).Version)
	}
	prev := sd.Feed
	m.local(sd, write{
		region: side, image: row.Image, held: h, saw: saw, keep: !h.Tombstone,
		guess: e == nil || !succeeds(e, m.s.Winner.Version),
	})
	sd.Spread = m.s.Winner.Version == sd.Feed.Version
	m.again(sd, prev, fits, e, false)
}

// isReplica takes a row for the original of a replica, which has been judged. Its content may have been put there once
// more where the feed was broken: unless it is the winner's, it is in the journal.
func (m *machine) isReplica(sd *Side, row cloud.Row, h Held, v proa.Version) {
	h.Version = v
	if w := &m.s.Winner; !w.named(v) {
		m.emit(Clash{Reason: ReasonUnknownAge, Winner: m.candidate(*w), Loser: Candidate{
			Version: v, Item: row.Image.Item,
		}})
	}
	sd.Feed, sd.LastAssigned = h, max(sd.LastAssigned, v.Time)
}

// bounded is an envelope whose stamp, where it is a writer's own, is within the skew bound of now: it was there
// before that. Its change, which may be still to come, gives it its real time.
func (m *machine) bounded(side proa.Region, e *proa.Envelope) *proa.Envelope {
	most := hlc.At(m.now.Add(time.Second + m.MaxSkew))
	if e.Write != 0 || e.Version.Region != side || e.Version.Time <= most {
		return e
	}
	m.emit(NoteClamped)
	b := *e
	b.Version.Time = most
	return &b
}

// succeeds reports whether an envelope names a version, or a content without one, as its parent.
func succeeds(e *proa.Envelope, before proa.Version) bool {
	return e.Parent == before || e.Parent.Hash == before.Hash && e.Parent.Hash != (proa.Hash{})
}

// retry judges poisoned states without their envelopes and tries unfit ones again. A state that a later proa has
// written is read again, for the case that this one is it: over that nothing is written that has not understood it.
func (m *machine) retry() {
	for i, region := range proa.Regions() {
		sd := &m.s.Sides[i]
		sd.Unfit, sd.Attempts, sd.RetryAt = nil, 0, time.Time{}
		p := sd.Poison
		if p == nil {
			continue
		}
		if proa.LaterFormat(p.Image.Malformed) {
			m.emit(Observe{Side: region})
			continue
		}
		hash := proa.ContentHash(p.Image.Item)
		m.s.keep(hash, p.Image.Item)
		h := Held{
			Exists: true, Stored: p.Image.Envelope, Malformed: p.Image.Malformed, Hash: hash,
			ETag: p.ETag,
		}
		event := p.Time
		if event.After(m.now) {
			event = m.now
		}
		m.local(sd, write{
			region: region, image: p.Image, held: h, event: event,
			saw: []proa.Version{p.Parent},
		})
	}
}

// tick lets go of what nothing can ask for any more.
func (m *machine) tick(in Tick) {
	for i := range m.s.Sides {
		m.hidden(&m.s.Sides[i], in.Fresh[i])
		m.prune(&m.s.Sides[i], in.Fresh[i])
	}
	w := &m.s.Winner
	old := w.Tombstone || w.Version.IsZero()
	for i := range m.s.Sides {
		sd := &m.s.Sides[i]
		old = old && len(sd.Intents) == 0 && sd.Refused.IsZero() && in.Fresh[i].After(w.Decided.Add(m.TombstoneGrace)) &&
			m.now.After(sd.Touched.Add(m.TombstoneGrace))
	}
	if old && m.s.settled() {
		m.emit(Forget{})
	}
}

// hidden takes a purge of ours as shown once the feed has been read past the last moment at which it
// could have landed: Cosmos DB's latest-version feed shows no removals.
func (m *machine) hidden(sd *Side, fresh time.Time) {
	if sd.Ahead == nil || sd.Ahead.Exists {
		return
	}
	if in := m.intent(sd, sd.AheadBy); in == nil || fresh.After(in.Sent.Add(m.InFlightMax)) {
		sd.Feed, sd.Ahead, sd.AheadBy = *sd.Ahead, nil, 0
	}
}
