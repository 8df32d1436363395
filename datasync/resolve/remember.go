package resolve

import (
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/hlc"
)

// Remembered says that a key was deleted at a region, as a predecessor has kept it outside its disk:
// for a shadow index that was begun anew. It comes before anything else of that region.
type Remembered struct {
	Side            proa.Region
	Version, Parent proa.Version
	At              time.Time // when it was decided
}

// Remember asks to keep a delete outside this node's disk, at a region where its tombstone image
// waits to be purged: once the image is gone, nothing there tells of the delete. The purge is asked
// for by a Dispatch whose Kept is that version.
type Remember struct {
	Side   proa.Region
	Winner Winner
}

func (Remembered) input() {}
func (Remember) output()  {}

// rememberWait is how long a purge waits for its delete to be kept before it asks again.
const rememberWait = 250 * time.Millisecond

// remembered lets a delete compete, and takes the region for one without the item until it says
// otherwise.
func (m *machine) remembered(in Remembered) {
	sd := m.s.At(in.Side)
	if !sd.Known && !sd.Current().Exists && sd.Feed.Version.Compare(in.Version) < 0 {
		sd.Feed = Held{Version: in.Version}
		if in.Version.Region == in.Side {
			sd.LastAssigned = max(sd.LastAssigned, in.Version.Time)
		}
	}
	if w := &m.s.Winner; in.Version.Compare(w.Version) <= 0 {
		if !w.Tombstone && w.Parent != in.Version && !w.named(in.Version) {
			// Its writer may have seen the delete, or the predecessor have judged both; or not.
			m.emit(Clash{Reason: ReasonUnknownAge, Winner: m.candidate(*w), Loser: Candidate{
				Version: in.Version, Parent: in.Parent, Tombstone: true,
			}})
		}
		return
	}
	m.offer(Winner{
		Version: in.Version, Parent: in.Parent, Tombstone: true, Origin: in.At, Decided: in.At,
	}, nil, ReasonConcurrent)
}

// unassume drops what Remembered has assumed of a region, now that a row says otherwise.
func (m *machine) unassume(in Observed) {
	sd := m.s.At(in.Side)
	if !sd.Known && in.Row.Image.Exists() && sd.Ahead == nil {
		sd.Feed = Held{}
	}
}

// unkept asks to keep a delete before the image that tells of it is purged.
func (m *machine) unkept(in Dispatch, sd *Side) bool {
	w, cur := &m.s.Winner, sd.Current()
	if !m.KeepDeletes || !w.Tombstone || !cur.Tombstone || cur.Version != w.Version ||
		in.Kept == w.Version {
		return false
	}
	sd.RetryAt = m.now.Add(rememberWait)
	m.emit(Remember{Side: in.Side, Winner: *w})
	return true
}

// inheritedLate is how late after its sending a write of a predecessor may be shown and still be taken
// for one.
const inheritedLate = 5 * time.Second

// inherited takes a change that a write of a predecessor made, whose intents are lost, at its
// envelope's word: as a local write it would be given a new version, by which an old value could beat
// a newer one. It reports whether the change is such: its envelope fits and has a number that this
// shadow index has not given, and the change was made when that number says that it was sent. What an
// application puts back is there later than that, or once more.
func (m *machine) inherited(c proa.Change) bool {
	e, sd := c.New.Envelope, m.s.At(c.Region)
	if m.Born.IsZero() || e == nil || e.Write == 0 || c.New.Malformed != "" ||
		e.Write <= m.s.LastID && e.Write > uint64(max(m.Born.UnixMilli(), 0)) || e.Write == sd.Landed {
		return false
	}
	if sd.Position != "" && c.Position.Compare(sd.Position) <= 0 || m.same(sd, c) || m.precedes(sd, c) {
		return false
	}
	hash := proa.ContentHash(c.New.Item)
	if !valid(c.New, hash, m.Schema, m.s.Key) || m.poisonous(c, true) != "" {
		return false
	}
	sent := time.UnixMilli(int64(min(e.Write, 1<<50)))
	if c.Time.Add(time.Second+m.MaxSkew).Before(sent) || c.Time.After(sent.Add(m.MaxSkew+inheritedLate)) {
		return false
	}
	m.emit(Shown{Region: c.Region, Change: c})
	sd.Position, sd.Placed, sd.Touched = c.Position, m.now, m.now
	sd.Refused, sd.RetryAt = time.Time{}, time.Time{}
	m.learn(c)
	m.overtaken(sd, c)
	m.landed(sd, e)
	next := m.physical(c.New, hash, c.ETag)
	if !next.Tombstone {
		m.s.keep(hash, c.New.Item)
	}
	sd.Unpositioned, sd.Poison, sd.Known = false, nil, true
	m.adoptHeld(c.Region, sd, next, e, e.Version.Time.Time())
	m.alsoNamed(e.Version)
	m.emit(NoteInherited)
	return true
}

// judged notes up to where a predecessor had judged the other region's writes, as a replica tells.
func (m *machine) judged(at proa.Region, e *proa.Envelope) {
	if sd := m.s.At(e.Version.Region); e.Write != 0 && e.Version.Region != at && !m.Born.IsZero() {
		if e.Version.Compare(sd.Judged) > 0 {
			sd.Judged = e.Version
		}
	}
}

// landed notes that a predecessor's write has reached a region: what carries its number there later was put back.
func (m *machine) landed(sd *Side, e *proa.Envelope) {
	if e != nil && e.Write != 0 && !m.Born.IsZero() {
		sd.Landed = e.Write
	}
}

// NoteInherited counts writes of a predecessor that were taken at their envelope's word.
const NoteInherited Note = "inherited"

// alsoNamed takes the version of a predecessor's replica for a name of the winner, where that is the original
// at the word of a stamp which the predecessor had put back to the skew bound, a whole second, or of what
// came after it: whoever saw the replica has seen the winner.
func (m *machine) alsoNamed(v proa.Version) {
	w := &m.s.Winner
	clamped := v.Time.MS()%1000 == 0 && v.Time < hlc.FromMS(v.Time.MS())+maxNames
	if !clamped || w.Tombstone || w.Version.Region != v.Region || w.Version.Hash != v.Hash ||
		v.Compare(w.Version) > 0 || w.named(v) {
		return
	}
	replica := Winner{Version: v, Of: w.Of}
	w.Of = replica.names()
}

// original reports whether a state of a region of which nothing was known, stored with no envelope of its own,
// is the one that the winner is: the other side has told of it first, as of a replica. Its age tells nothing,
// and any version but the winner's would make it beat those who have seen it there.
func (m *machine) original(region proa.Region, hash proa.Hash) bool {
	w := &m.s.Winner
	return !w.Tombstone && w.Version.Region == region && w.Version.Hash == hash
}

// replica returns the version that a predecessor has given to a state of a region of which nothing was known, where
// a replica of it has told: by its content, unless a writer's stamp tells its age. A delete at the other side has
// replaced it only where its envelope's stamp is so far ahead that the predecessor had put it back: of other rows that
// deletes have not reached, the age is not known.
func (m *machine) replica(sd *Side, h Held) (v proa.Version, known bool) {
	w, e := &m.s.Winner, h.Stored
	if h.Tombstone || sd.Judged.Hash != h.Hash || e != nil && e.Write != 0 {
		return v, false
	}
	ahead := e != nil && e.Version.Time > hlc.At(m.now.Add(time.Second+m.MaxSkew))
	switch {
	case w.Tombstone:
		known = ahead && w.Version.Region != sd.Judged.Region
	case e != nil && e.Version.Hash == h.Hash:
		known = ahead
	default:
		known = true
	}
	return sd.Judged, known
}
