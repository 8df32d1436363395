package resolve

import (
	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/hlc"
)

// credible reports whether a version that stands beside other content was given by data sync: the writer, or a
// write of ours under which an update slipped, has seen it.
func (m *machine) credible(e *proa.Envelope) bool {
	return e.Write != 0 && e.Version.Time <= hlc.At(m.now.Add(m.MaxFuture))
}

// surfaced journals a delete over which a former owner's write has landed unseen: a feed that hides versions shows
// only what was made of it, beside its envelope, which is older than the delete.
func (m *machine) surfaced(prev Held, fits bool, c proa.Change) {
	e := c.New.Envelope
	if fits || c.Old != nil || e == nil || e.Write == 0 || prev.Exists && !prev.Tombstone ||
		e.Version.Compare(prev.Version) >= 0 || prev.Version == m.s.Winner.Version {
		return
	}
	m.emit(Clash{Reason: ReasonDoubt, Winner: m.candidate(m.s.Winner), Loser: Candidate{
		Version: prev.Version, Tombstone: true,
	}})
}

// again journals what an earlier write of ours, byte for byte, took the place of, where that write can
// have done it once more. It may be an item that was put back, which wins; or that very write, sent
// twice by an SDK that had not got the answer to its first attempt, or late by a node whose memory is
// gone. told says that the change tells what it took the place of: otherwise a removal may be hidden.
func (m *machine) again(sd *Side, prev Held, fits bool, e *proa.Envelope, told bool) {
	if !fits || e.Write == 0 {
		return
	}
	switch in, p := m.intent(sd, e.Write), prev.print(); {
	case in == nil && told && p.Exists && (prev.ETag != "" || prev.own()):
		return // a late write cannot take what was stored for the former state that it was compared with
	case in != nil && (in.Seen.Exists != p.Exists || in.Seen.Stored != p.Stored):
		return
	}
	if prev.Gone || prev.Version.IsZero() || prev.Version == m.s.Winner.Version {
		return
	}
	lost := Candidate{Version: prev.Version, Tombstone: !prev.Exists || prev.Tombstone}
	if !lost.Tombstone {
		body, ok := m.s.Bodies[prev.Hash]
		lost.Item, lost.Missing = body, !ok
	}
	m.emit(Clash{Reason: ReasonDoubt, Winner: m.candidate(m.s.Winner), Loser: lost})
}
