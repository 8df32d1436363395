package resolve

import (
	"slices"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/hlc"
)

// captured takes one change of a feed.
func (m *machine) captured(c proa.Change) {
	sd := m.s.At(c.Region)
	if sd.Position != "" && c.Position.Compare(sd.Position) <= 0 {
		m.emit(NoteRepeated)
		return
	}
	m.emit(Shown{Region: c.Region, Change: c})
	sd.Position, sd.Placed, sd.Touched = c.Position, m.now, m.now
	sd.Refused, sd.RetryAt = time.Time{}, time.Time{}
	m.hole = m.skips(sd, c)
	if m.hole && sd.Poison != nil {
		m.unseated(c.Region, sd.Poison)
	}
	m.learn(c)
	m.unsure = c.Old == nil && sd.pending() && !m.continues(sd, c)
	before := !m.same(sd, c) && m.precedes(sd, c)
	m.overtaken(sd, c)
	switch {
	case before:
		m.passed(sd, c)
	case !c.New.Exists():
		m.removed(sd, c)
	default:
		m.stored(sd, c)
	}
	sd.Known = true
}

// resumed lets go of the place that a row was believed to have ahead of the feed, where the feed has
// been begun anew since the row was read: whatever it shows now is later. Likewise of what a write of ours
// is known to have left there: its echo has gone by, or the side was restored and it never was. Positions
// before the break cannot be compared with those after it: a table made anew counts from the beginning.
func (m *machine) resumed(in Captured) {
	sd := m.s.At(in.Change.Region)
	if in.Resumed.After(sd.Placed) {
		sd.Position = ""
	}
	if sd.Unpositioned && in.Resumed.After(sd.Read) {
		sd.Unpositioned = false
	}
	if sd.Ahead != nil && in.Resumed.After(sd.Touched) {
		sd.Ahead, sd.AheadBy = nil, 0
	}
}

// pending reports whether a write of ours may be stored that the feed has not shown.
func (sd *Side) pending() bool {
	return sd.Ahead != nil || slices.ContainsFunc(sd.Intents, func(in Intent) bool {
		return !in.Echoed && !in.Refused && !in.Purge
	})
}

// continues reports whether a change's envelope says that its writer has seen the feed's last state and
// not a write of ours after it: as the parent that a proa writer has compared with, or as what another
// one has read and stored again.
func (m *machine) continues(sd *Side, c proa.Change) bool {
	e := c.New.Envelope
	switch {
	case e == nil || !sd.Known || sd.Feed.Version.IsZero():
		return false
	case valid(c.New, proa.ContentHash(c.New.Item), m.Schema, m.s.Key):
		return e.Version.Region == c.Region && e.Write == 0 && e.Parent == sd.Feed.Version &&
			e.Version.Time > sd.LastAssigned
	}
	return sd.Feed.Stored != nil && e.Version == sd.Feed.Stored.Version
}

// learn takes from the previous image what the shadow index lacks: a body that was let go, or the
// state of a side of which nothing was known.
func (m *machine) learn(c proa.Change) {
	m.created = c.Old != nil && !c.Old.Exists()
	if c.Old == nil || !c.Old.Exists() {
		return
	}
	hash := proa.ContentHash(c.Old.Item)
	sd := m.s.At(c.Region)
	m.landed(sd, c.Old.Envelope)
	if !sd.Known {
		sd.Feed = m.unjudged(c, *c.Old, hash)
		if e := c.Old.Envelope; e != nil && e.Write != 0 && e.Version == sd.Feed.Version {
			m.alsoNamed(e.Version)
			m.judged(c.Region, e)
		}
	}
	for i := range m.s.Sides {
		if h := m.s.Sides[i].Current(); h.Exists && !h.Tombstone && h.Hash == hash {
			m.s.keep(hash, c.Old.Item)
		}
	}
}

// overtaken drops what a write of ours is believed to have left unless the feed's previous image says
// that nothing has been left out, as after a gap or by a latest-version feed: the echo may be what is
// missing. If it is still to come, the next write is refused and finds it.
func (m *machine) overtaken(sd *Side, c proa.Change) {
	if sd.Ahead == nil || c.Old != nil && m.print(*c.Old) == sd.Feed.print() {
		return
	}
	sd.Ahead, sd.AheadBy = nil, 0
}

// skips reports whether a change took the place of something that the feed has not shown.
func (m *machine) skips(sd *Side, c proa.Change) bool {
	if !sd.Known || c.Old == nil || sd.Unpositioned {
		return false
	}
	last := sd.Feed.print()
	if sd.Poison != nil {
		last = m.print(sd.Poison.Image)
	}
	return m.print(*c.Old) != last
}

func (m *machine) print(img proa.Image) Print {
	h := m.physical(img, proa.ContentHash(img.Item), "")
	return h.print()
}

// precedes reports whether a change was there before the row that was read ahead of the feed: it leads
// to that row, and is not what came after it.
func (m *machine) precedes(sd *Side, c proa.Change) bool {
	if !sd.Unpositioned || c.Old == nil {
		return false
	}
	switch old := m.print(*c.Old); {
	case old == sd.Feed.print():
		return false
	case sd.Ahead != nil && old == sd.Ahead.print():
		return false // it took the place of what we have written there since
	}
	return c.New.Exists() || sd.Feed.Exists
}

// same reports whether a change left the row that was read ahead of the feed.
func (m *machine) same(sd *Side, c proa.Change) bool {
	return sd.Unpositioned && c.New.Exists() && m.print(c.New) == sd.Feed.print()
}

// passed takes a change that led to a row that has been judged already.
func (m *machine) passed(sd *Side, c proa.Change) {
	if in := m.echoOf(sd, c); in != nil {
		m.shown(sd, in)
	}
	m.emit(NoteRepeated)
}

// unjudged is a stored state of unknown age that a change took the place of: its version is its
// envelope's, where that is a writer's own stamp within the bound of the change's time; or else one that
// is before every real one.
func (m *machine) unjudged(c proa.Change, img proa.Image, hash proa.Hash) Held {
	h, region := m.physical(img, hash, ""), c.Region
	most := ^hlc.Timestamp(0)
	if e := img.Envelope; e != nil && e.Write == 0 && e.Version.Region == region {
		most = hlc.At(c.Time.Add(time.Second + m.MaxSkew))
	}
	switch {
	case valid(img, hash, m.Schema, m.s.Key):
		h.Version = img.Envelope.Version
		h.Version.Time = min(h.Version.Time, most)
	case m.original(region, hash):
		h.Version = m.s.Winner.Version
	case img.Envelope != nil:
		h.Version = proa.Version{Time: min(img.Envelope.Version.Time, most).Next(), Region: region, Hash: hash}
	default:
		h.Version = proa.Version{Time: 1, Region: region, Hash: hash}
	}
	return h
}

// physical is a stored state before it has been given a version.
func (m *machine) physical(img proa.Image, hash proa.Hash, etag string) Held {
	h := Held{
		Exists: img.Exists(), Stored: img.Envelope, Hash: hash, Malformed: img.Malformed,
		ETag: etag,
	}
	if img.Tombstone() && valid(img, hash, m.Schema, m.s.Key) {
		h.Tombstone, h.Hash = true, proa.Hash{}
	}
	return h
}

// valid reports whether a stored envelope speaks of the content that it is stored with.
func valid(img proa.Image, hash proa.Hash, schema proa.Schema, key proa.Key) bool {
	e := img.Envelope
	switch {
	case e == nil || !img.Exists():
		return false
	case e.Tombstone:
		return e.Version.Hash == proa.Hash{} && img.Item.Equal(schema.Attributes(key))
	}
	return e.Version.Hash == hash
}

// removed judges the removal of whatever was stored.
func (m *machine) removed(sd *Side, c proa.Change) {
	prev, poison := sd.Feed, sd.Poison
	sd.Unpositioned, sd.Poison = false, nil
	tombstone, hash := prev.Exists && prev.Tombstone, prev.Version.Hash
	if c.Old != nil && c.Old.Exists() {
		hash = proa.ContentHash(c.Old.Item)
		was := m.physical(*c.Old, hash, "")
		// a tombstone image that is not ours, and that no change has shown, is a delete by itself
		tombstone = was.Tombstone && (!sd.Known || prev.Tombstone || c.Old.Envelope.Write != 0)
	}
	hidden := m.hole || prev.Gone && hash != prev.Version.Hash || poison.blind()
	switch over := m.purgedOver(sd, c); {
	case tombstone:
		m.purged(sd, c)
	case over != nil:
		m.purgedAway(sd, c, over)
	case c.Expired && m.Expiry.Ignore[Index(c.Region)]:
		m.lapsed(sd)
	case !prev.Exists && !prev.Gone && prev.Version.Hash == (proa.Hash{}) && !prev.Version.IsZero() &&
		(c.Old == nil || !c.Old.Exists()):
		m.emit(NoteRepeated) // nothing was there
	default:
		m.local(sd, write{
			region: c.Region, deleted: true, expired: c.Expired, event: c.Time,
			saw:   []proa.Version{prev.Version, m.took(c)},
			guess: hidden && m.took(c).IsZero(),
		})
	}
}

// purgedOver finds our purge of a tombstone image that was no more one: DynamoDB's comparison
// cannot see added attributes.
func (m *machine) purgedOver(sd *Side, c proa.Change) *Intent {
	if c.Old == nil || c.Old.Envelope == nil || sd.Feed.ETag != "" {
		return nil
	}
	for i := range sd.Intents {
		in := &sd.Intents[i]
		if in.Purge && !in.Echoed && !in.Refused && in.Seen.Stored == c.Old.Envelope.Version &&
			in.Seen != sd.Feed.print() {
			return in
		}
	}
	return nil
}

// purgedAway takes the removal of a foreign update of our tombstone image, judged before, which our
// purge took with it unless its answer says otherwise: whatever has won is written again. Since the
// answer may never come, the removal is in the journal as what it would be if another writer had
// made it.
func (m *machine) purgedAway(sd *Side, c proa.Change, over *Intent) {
	over.Over = c.Time
	m.shown(sd, over)
	m.emit(NoteMerged)
	prev := sd.Feed.Version
	w := write{region: c.Region, deleted: true, event: c.Time, saw: []proa.Version{prev}}
	version := m.assign(sd, &w)
	sd.LastAssigned = version.Time
	m.emit(Append{
		Region: c.Region, Version: version, Parent: prev, Origin: m.origin(&w),
		Expired: c.Expired,
	})
	m.emit(Clash{
		Reason: ReasonDoubt, Winner: m.candidate(m.s.Winner),
		Loser: Candidate{Version: version, Parent: prev, Tombstone: true, Expired: c.Expired},
	})
	sd.Feed = Held{Version: prev, Gone: true}
}

// purged takes the removal of a tombstone image, by us or by anyone: the key stays deleted at the
// same version.
func (m *machine) purged(sd *Side, c proa.Change) {
	version := sd.Feed.Version
	if c.Old != nil && c.Old.Envelope != nil && !sd.Feed.Tombstone {
		version = c.Old.Envelope.Version
	}
	if most := hlc.At(c.Time.Add(time.Second + m.MaxSkew)); !sd.Known && version.Time > most {
		m.emit(NoteClamped)
		version.Time = most
	}
	for i := range sd.Intents {
		if in := &sd.Intents[i]; in.Purge && in.Version == version && !in.Echoed {
			m.shown(sd, in)
		}
	}
	sd.Feed = Held{Version: version}
	if !sd.Known {
		m.offer(Winner{Version: version, Tombstone: true, Origin: c.Time, Decided: m.now}, nil,
			ReasonUnknownAge)
	}
}

// stored judges a change that left something there.
func (m *machine) stored(sd *Side, c proa.Change) {
	hash := proa.ContentHash(c.New.Item)
	next := m.physical(c.New, hash, c.ETag)
	ahead := sd.Unpositioned && next.Exists && next.print() == sd.Feed.print()
	was := m.s.Winner
	if ahead && (sd.Feed.own() || sd.Spread && was.Version != sd.Feed.Version) {
		// The row that was read ahead of the feed, at its envelope's word, or one that writers of the other
		// side have seen and replaced. Any other one whose age was not known is judged now that it is.
		sd.Unpositioned, sd.Feed.ETag = false, c.ETag
		m.emit(NoteRepeated)
		return
	}
	if ahead && was.Version == sd.Feed.Version {
		defer func() { m.renamed(sd, &was) }()
	}
	sd.Unpositioned = false
	if !next.Tombstone {
		m.s.keep(hash, c.New.Item)
	}
	fits := valid(c.New, hash, m.Schema, m.s.Key)
	if in := m.echoOf(sd, c); in != nil {
		m.echoed(sd, c, next, in, fits)
		return
	}
	m.foreign(sd, c, next, fits, proa.Version{})
}

// renamed keeps the former names of a winner that has been given its real time: whoever saw it under one
// of them has seen it.
func (m *machine) renamed(sd *Side, was *Winner) {
	w := &m.s.Winner
	if w.Version == sd.Feed.Version && w.Version != was.Version && w.Version.Hash == was.Version.Hash &&
		w.Tombstone == was.Tombstone {
		w.Of = was.names()
	}
}

// echoed takes a change that our own write made.
func (m *machine) echoed(sd *Side, c proa.Change, next Held, in *Intent, fits bool) {
	m.shown(sd, in)
	version := in.Version
	switch {
	case fits:
		m.emit(NoteEcho)
		if version != m.s.Winner.Version {
			m.emit(NoteLate)
		}
	case in.Seen == sd.Feed.print() || c.Old == nil || c.ETag != "":
		// The feed shows ours only together with the foreign write after it. Without a previous image or
		// with a token it is Cosmos DB's, whose comparison nothing slips under.
		m.foreign(sd, c, next, false, version)
		return
	default:
		// Our write landed on top of a foreign partial update, judged before, that its comparison
		// could not see. What came of it is neither's state: whichever of them has won is written
		// again.
		m.emit(NoteMerged)
		if c.Old != nil && c.Old.Exists() && m.print(*c.Old) != sd.Feed.print() {
			m.unjudgedUpdate(sd, c) // a gap of the feed hid it
		}
		if m.s.Winner.Version != version {
			version = sd.Feed.Version
		}
	}
	next.Version = version
	sd.Feed, sd.Poison = next, nil
}

// unjudgedUpdate judges the state that a change took the place of as a local write.
func (m *machine) unjudgedUpdate(sd *Side, c proa.Change) {
	hash := proa.ContentHash(c.Old.Item)
	m.s.keep(hash, c.Old.Item)
	c.New, c.Old = *c.Old, nil
	m.foreign(sd, c, m.physical(c.New, hash, ""), false, proa.Version{})
}

// foreign judges a change that is a local write. It saw the side's previous state, and also, where
// it is not zero, saw.
func (m *machine) foreign(sd *Side, c proa.Change, next Held, fits bool, saw proa.Version) {
	if why := m.poisonous(c, fits); why != "" {
		parent := sd.Feed.Version
		switch {
		case m.hole:
			parent = proa.Version{}
		case sd.Poison != nil:
			parent = sd.Poison.Parent
		}
		m.poison(sd, c, parent, why)
		return
	}
	e := c.New.Envelope
	w := write{
		region: c.Region, image: c.New, held: next, event: c.Time,
		saw: []proa.Version{sd.Feed.Version, saw, m.took(c)},
	}
	m.landed(sd, e)
	if e != nil {
		sd.Shown = max(sd.Shown, e.Version.Time)
		switch {
		case fits && e.Version.Region == c.Region:
			w.stamp = &e.Version
			if e.Parent == m.s.Winner.Version {
				w.saw = append(w.saw, e.Parent) // its writer compared, and a feed may hide our echo
			}
		case e.Version == m.s.Winner.Version, !fits && m.credible(e):
			w.saw = append(w.saw, e.Version) // it saw that, wherever the feed places it
		}
	}
	if !sd.Known && fits && e.Write != 0 && c.Old != nil && descends(*c.Old, e.Parent) {
		// A write of data sync before it lost its memory: giving it a new version could make it
		// beat a newer write.
		m.adoptHeld(c.Region, sd, next, e, w.origin())
		return
	}
	w.guess = (m.hole || sd.Feed.Gone || sd.Poison.blind()) &&
		!slices.Contains(w.saw[1:], m.s.Winner.Version)
	prev := sd.Feed
	m.local(sd, w)
	m.again(sd, prev, fits, e, c.Old != nil)
	m.surfaced(prev, fits, c)
}

// own reports whether a state is stored with the version that it was given: it is none that was there
// before.
func (h *Held) own() bool { return h.Stored != nil && h.Stored.Version == h.Version }

// took is the winner's version where a change says that it took the place of the winner, or of what
// somebody made of it; a gap may have hidden that. Otherwise it is the zero Version.
func (m *machine) took(c proa.Change) proa.Version {
	if c.Old != nil && c.Old.Envelope != nil && c.Old.Envelope.Version == m.s.Winner.Version {
		return m.s.Winner.Version
	}
	return proa.Version{}
}

// descends reports whether an envelope's parent is what the feed says was there before.
func descends(old proa.Image, parent proa.Version) bool {
	switch {
	case !old.Exists():
		return parent.IsZero()
	case old.Envelope == nil:
		return false
	}
	return old.Envelope.Version == parent
}

// echoOf finds the intent that a change is the outcome of: the first image that carries its number.
// Later ones that carry it were put there by others; so was one that took the place of what the intent
// would have been refused by, which is the first where a gap of the feed hid our own.
func (m *machine) echoOf(sd *Side, c proa.Change) *Intent {
	e := c.New.Envelope
	if e == nil || e.Write == 0 {
		return nil
	}
	in := m.intent(sd, e.Write)
	if in == nil || in.Purge || in.Echoed || in.Version != e.Version ||
		c.Old != nil && !in.Seen.admits(*c.Old) {
		return nil
	}
	return in
}

// admits reports whether a compare-and-set with this print can have taken an image's place. Both
// stores compare at least what is stored as the version.
func (p Print) admits(img proa.Image) bool {
	var stored proa.Version
	if img.Envelope != nil {
		stored = img.Envelope.Version
	}
	return p.Exists == img.Exists() && p.Stored == stored
}

// shown records that the feed has come to a write of ours, and drops what it was believed to have
// left there.
func (m *machine) shown(sd *Side, in *Intent) {
	in.Echoed = true
	if sd.Ahead != nil && sd.AheadBy <= in.ID {
		sd.Ahead, sd.AheadBy = nil, 0
	}
}

// poisonous says why a change must not be judged, "" when it may.
func (m *machine) poisonous(c proa.Change, fits bool) string {
	limit := hlc.At(m.now.Add(m.MaxFuture))
	switch {
	case c.New.Malformed != "":
		return "malformed: " + c.New.Malformed
	case hlc.At(c.Time) > limit:
		return "event from the future: " + c.Time.UTC().Format(time.RFC3339)
	case fits && c.New.Envelope.Version.Time > limit:
		return "version from the future: " + c.New.Envelope.Version.String()
	}
	return ""
}

// blind reports whether a quarantined state took the place of something that the feed has not shown.
func (p *Poison) blind() bool { return p != nil && p.Parent.IsZero() }

func (m *machine) poison(sd *Side, c proa.Change, parent proa.Version, why string) {
	sd.Poison = &Poison{
		Reason: why, Image: c.New, ETag: c.ETag, At: m.now, Time: c.Time,
		Parent: parent,
	}
	m.emit(Quarantined{Side: c.Region, Reason: why})
}
