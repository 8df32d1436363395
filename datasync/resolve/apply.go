package resolve

import (
	"slices"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
)

// dispatch says what to do at a side now, if anything.
func (m *machine) dispatch(in Dispatch) {
	sd := m.s.At(in.Side)
	m.prune(sd, in.Fresh)
	due, at := m.Due(m.s, in.Side)
	if !due || at.After(m.now) {
		return
	}
	if !sd.Refused.IsZero() {
		// The feed was to show why a write was refused. It is read from the table only once the
		// feed has been read past that.
		if in.Fresh.Before(sd.Refused.Add(m.FeedWait)) {
			m.pause(sd)
			return
		}
		m.emit(Observe{Side: in.Side})
		m.pause(sd)
		return
	}
	if !m.unkept(in, sd) {
		m.write(in.Side, sd)
	}
}

// write records an intent and puts out the write.
func (m *machine) write(side proa.Region, sd *Side) {
	if !m.room(sd) {
		return
	}
	w, cur := m.s.Winner, sd.Current()
	out := Write{Side: side, Print: cur.print(), Seen: cloud.Row{Key: m.s.Key, ETag: cur.ETag}}
	out.Seen.Image, out.Whole = m.s.image(cur, m.Schema)
	version := w.Version
	switch {
	case w.Tombstone && cur.Tombstone && cur.Version == version:
		out.Purge = true
	case w.Tombstone:
		out.Next = proa.Image{Item: m.Schema.Attributes(m.s.Key)}
	default:
		body, ok := m.s.Bodies[version.Hash]
		if !ok {
			m.borrow(side, sd)
			return
		}
		out.Next = proa.Image{Item: body}
	}
	out.Intent = m.intend(sd, version, out.Purge, out.Print)
	if !out.Purge {
		out.Next.Envelope = &proa.Envelope{
			Version: version, Parent: w.Parent, Tombstone: w.Tombstone,
			Write: out.Intent,
		}
	}
	sd.InFlight, sd.Touched = out.Intent, m.now
	m.emit(out)
}

// borrow reads the winner's content, which was let go, from the other side, which holds it.
func (m *machine) borrow(side proa.Region, sd *Side) {
	m.pause(sd)
	m.emit(Observe{Side: side.Other()})
}

// room reports whether one more write may be sent, or sets when. None that may still land is forgotten for it:
// an old value that lands unknown would be taken for a local write, and win.
func (m *machine) room(sd *Side) bool {
	open, last := 0, time.Time{}
	for i := range sd.Intents {
		if in := &sd.Intents[i]; !in.Echoed && !in.Refused {
			open, last = open+1, later(last, in.Sent)
		}
	}
	if next := last.Add(m.InFlightMax / (maxIntents / 2)); open >= maxIntents/2 && m.now.Before(next) {
		sd.RetryAt = next
		return false
	}
	if len(sd.Intents) < maxIntents {
		return true
	}
	i := slices.IndexFunc(sd.Intents, func(in Intent) bool {
		return (in.Echoed || in.Refused) && (in.ID != sd.AheadBy || sd.Ahead == nil)
	})
	if i < 0 {
		m.pause(sd) // until the feed has been read past the time at which the oldest could land
		return false
	}
	sd.Intents = slices.Delete(sd.Intents, i, i+1)
	return true
}

// intend records that a version is about to be written. Its number is never used again, even by a
// node that has lost its memory.
func (m *machine) intend(sd *Side, version proa.Version, purge bool, seen Print) uint64 {
	m.s.LastID = max(m.s.LastID+1, uint64(max(m.now.UnixMilli(), m.Born.UnixMilli()+1, 1)))
	sd.Intents = append(sd.Intents, Intent{
		ID: m.s.LastID, Version: version, Purge: purge, Seen: seen,
		Sent: m.now,
	})
	return m.s.LastID
}

// prune forgets the intents that can show up no more: shown and with a known outcome, or older than
// any write that could still land.
func (m *machine) prune(sd *Side, fresh time.Time) {
	kept := sd.Intents[:0]
	for _, in := range sd.Intents {
		over := in.Echoed || fresh.After(in.Sent.Add(m.InFlightMax))
		if !over || in.ID == sd.InFlight || in.ID == sd.AheadBy && sd.Ahead != nil {
			kept = append(kept, in)
		}
	}
	clear(sd.Intents[len(kept):])
	sd.Intents = kept
}

// applied takes the outcome of the write in flight.
func (m *machine) applied(in Applied) {
	sd := m.s.At(in.Side)
	if in.Intent == 0 || sd.InFlight != in.Intent {
		return
	}
	sd.InFlight = 0
	intent := m.intent(sd, in.Intent)
	if intent == nil {
		return
	}
	switch in.Outcome {
	case Done:
		if !intent.Echoed {
			sd.Touched = m.now // of other answers the feed has said all, or is asked
		}
		sd.Attempts, sd.RetryAt, sd.Known = 0, time.Time{}, true
		m.done(sd, intent, in.Row)
	case Conflict:
		m.refused(in.Side, sd, intent, in.Row)
	case Throttled:
		intent.Refused = true
		m.unpurged(in.Side, sd, intent)
		m.pause(sd)
	case Dropped:
		intent.Refused = true
	case Ambiguous:
		sd.RetryAt = m.now.Add(m.Backoff) // the shell backs off from a side that is away as a whole
		intent.Sent = m.now               // it may have waited long before it was sent
	case Invalid:
		intent.Refused = true
		if intent.Version == m.s.Winner.Version {
			sd.Unfit = &Unfit{Version: intent.Version, Reason: in.Reason, At: m.now}
			m.emit(Quarantined{Side: in.Side, Reason: in.Reason})
		}
	}
	m.prune(sd, time.Time{})
}

func (m *machine) intent(sd *Side, id uint64) *Intent {
	for i := range sd.Intents {
		if sd.Intents[i].ID == id {
			return &sd.Intents[i]
		}
	}
	return nil
}

// done takes a write that was stored. The feed may have shown it already, and more.
func (m *machine) done(sd *Side, intent *Intent, row cloud.Row) {
	if intent.Echoed {
		return
	}
	if intent.Purge {
		sd.Ahead, sd.AheadBy = &Held{Version: intent.Version}, intent.ID
		return
	}
	h := m.physical(row.Image, proa.ContentHash(row.Image.Item), row.ETag)
	h.Version = intent.Version
	if !m.wrote(intent, &h) {
		sd.Refused = m.now // something slipped under: the feed will say what
		return
	}
	if sd.Feed.Version != h.Version || sd.Feed.print() != h.print() {
		sd.Ahead, sd.AheadBy = &h, intent.ID
	}
}

// wrote reports whether a stored state is exactly what the intent wrote.
func (m *machine) wrote(in *Intent, h *Held) bool {
	return h.Exists && !in.Purge && h.Stored != nil && h.Stored.Write == in.ID &&
		h.Stored.Version == in.Version && h.Stored.Version.Hash == h.Hash &&
		h.Stored.Tombstone == h.Tombstone
}

// unpurged judges a removal anew that was taken for a purge of ours, now that the purge is known
// not to have been.
func (m *machine) unpurged(side proa.Region, sd *Side, intent *Intent) bool {
	if intent.Over.IsZero() || !intent.Refused || !sd.Feed.Gone || sd.Ahead != nil {
		return false
	}
	later := sd.Poison // what has come after the removal and waits
	m.local(sd, write{
		region: side, deleted: true, event: intent.Over,
		saw: []proa.Version{sd.Feed.Version},
	})
	if later != nil {
		later.Parent, sd.Poison = sd.Feed.Version, later
	}
	return true
}

// refused takes a write that found something else stored.
func (m *machine) refused(side proa.Region, sd *Side, intent *Intent, row cloud.Row) {
	h := m.physical(row.Image, proa.ContentHash(row.Image.Item), row.ETag)
	intent.Refused = !m.wrote(intent, &h) // an earlier attempt of the same call may have been stored
	if m.unpurged(side, sd, intent) {
		return
	}
	if intent.Purge && !h.Exists {
		if sd.Touched.After(intent.Sent) {
			m.pause(sd) // what the feed has shown meanwhile may be what came after the removal
			return
		}
		m.done(sd, intent, row)
		return
	}
	if m.found(sd, &h, row) {
		return
	}
	cur := sd.Current()
	switch {
	case h.print() == cur.print():
		cur.stored(&h)
		m.pause(sd)
	default:
		sd.Refused = m.now
	}
}

// found recognises a stored state that a write of ours left there: this one, or an earlier one that
// was given up.
func (m *machine) found(sd *Side, h *Held, row cloud.Row) bool {
	for i := range sd.Intents {
		in := &sd.Intents[i]
		if in.Echoed || !m.wrote(in, h) {
			continue
		}
		h.Version = in.Version
		if !h.Tombstone {
			m.s.keep(h.Hash, row.Image.Item)
		}
		sd.Ahead, sd.AheadBy = h, in.ID
		return true
	}
	return false
}

// restarted takes the end of the process that sent what was in flight, perhaps just now: it may land
// or not.
func (m *machine) restarted(side proa.Region) {
	sd := m.s.At(side)
	if in := m.intent(sd, sd.InFlight); in != nil {
		in.Sent = m.now
	}
	sd.InFlight = 0
}
