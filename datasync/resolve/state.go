package resolve

import (
	"slices"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/hlc"
)

// State is all that is known of one key: the winner, what each side holds, the writes that may
// still land. It is the value of the shadow index. The zero State with a Key is a key of which
// nothing is known.
type State struct {
	Key    proa.Key
	Winner Winner
	Sides  [2]Side // by Index(region)
	// Bodies holds contents by hash: the winner's and those of what the sides hold. Large ones are
	// let go once both sides hold the winner (Rules.InlineBody) and read again where a write needs
	// them.
	Bodies map[proa.Hash]proa.Item
	LastID uint64 // the last intent's number
	Hold   *Hold  // a conflict that waits for an operator; nil: none
}

// Winner is the state that both sides must come to hold.
type Winner struct {
	Version   proa.Version
	Parent    proa.Version
	Tombstone bool
	Expired   bool      // deleted by a store's time-to-live
	Origin    time.Time // when it was written, as finely as is known
	Decided   time.Time // when it became the winner
	// Of are former names of this very state, which a policy or an operator took whole and put after what
	// it beat: whoever saw one of them has seen the winner. It is not changed in place.
	Of []proa.Version
}

// named reports whether a version is the winner's, or a former one of it.
func (w *Winner) named(v proa.Version) bool {
	return !v.IsZero() && (v == w.Version || slices.Contains(w.Of, v))
}

// maxNames bounds the former names of a winner.
const maxNames = 16

// names are the versions of a state that is taken whole, its latest last.
func (w *Winner) names() []proa.Version {
	if w.Version.IsZero() {
		return nil
	}
	list := slices.Concat(w.Of, []proa.Version{w.Version})
	return list[max(0, len(list)-maxNames):]
}

// Held is one stored state at one side.
type Held struct {
	Exists    bool           // something is stored, a tombstone image included
	Version   proa.Version   // the version that this state was given; zero: never existed
	Stored    *proa.Envelope // the envelope as stored, which a foreign write leaves stale; nil: none
	Hash      proa.Hash      // of the content as stored
	Tombstone bool           // what is stored is a valid tombstone image
	Gone      bool           // absent without a change that says why
	Lapsed    bool           // removed by the store's time-to-live, which the rules do not count
	// why the stored envelope could not be read; "" where it could or there is none
	Malformed string
	ETag      string
}

// Side is what is known of the key at one region.
type Side struct {
	Known        bool          // the region has told something of this key
	Feed         Held          // after the last change of its feed
	Position     proa.Position // of that change
	Placed       time.Time     // when it was captured
	Unpositioned bool          // Feed was read from the table, ahead of the feed
	Read         time.Time     // when it was
	Spread       bool          // what was read so has won: the other side's writers may see it
	Ahead        *Held         // what a write of ours left there and the feed has not shown yet
	AheadBy      uint64        // the intent that did
	LastAssigned hlc.Timestamp // the last time given to a local write of this key here
	Shown        hlc.Timestamp // the highest stamp that the feed has shown, ours excepted
	Touched      time.Time     // when the feed or a write of ours last said anything
	Intents      []Intent
	InFlight     uint64    // the intent whose outcome is awaited; 0: none
	Refused      time.Time // a write was refused and the feed must say why; zero: no
	Attempts     int       // failures in a row
	RetryAt      time.Time
	Poison       *Poison // a stored state that cannot be judged: the key is left alone on both sides
	Unfit        *Unfit  // the winner cannot be stored here
	// the last version that a predecessor is known to have given to a local write here; zero: none
	Judged proa.Version
	Landed uint64 // the last write of a predecessor that the feed has told of; 0: none
}

// Intent is a write of ours that may show up in a region's feed. It is durable before the write is
// sent.
type Intent struct {
	ID      uint64       // stored in the envelope, so that no other image can pass for it
	Version proa.Version // what is written; of the tombstone image for a purge
	Purge   bool
	Seen    Print // what it may take the place of
	Sent    time.Time
	Echoed  bool      // the feed has shown it
	Refused bool      // it was refused, as far as its answer can tell
	Over    time.Time // of the removal of a foreign state that was taken for this purge; zero: none
}

// Print tells stored states apart, as far as a compare-and-set can.
type Print struct {
	Exists bool
	Stored proa.Version
	Hash   proa.Hash
}

// Poison is why a region's stored state of a key was not judged.
type Poison struct {
	Reason string
	Image  proa.Image
	ETag   string
	At     time.Time
	Time   time.Time // of the event
	Parent proa.Version
}

// Unfit is why a version could not be stored at a region.
type Unfit struct {
	Version proa.Version
	Reason  string
	At      time.Time
}

// Index is a region's place in State.Sides.
func Index(r proa.Region) int {
	if r == proa.Azure {
		return 1
	}
	return 0
}

// At returns the side of a region.
func (s *State) At(r proa.Region) *Side { return &s.Sides[Index(r)] }

// Current is what the side holds as far as is known: the outcome of our last write, or else the
// feed's last state.
func (sd *Side) Current() *Held {
	if sd.Ahead != nil {
		return sd.Ahead
	}
	return &sd.Feed
}

func (h *Held) print() Print {
	p := Print{Exists: h.Exists, Hash: h.Hash}
	if h.Stored != nil {
		p.Stored = h.Stored.Version
	}
	return p
}

// stored takes over how a state is stored of which the prints are equal: another attempt of the same write may
// have left it, with its own number and token, and what is written next is compared with all of it.
func (h *Held) stored(as *Held) { h.Stored, h.Malformed, h.ETag = as.Stored, as.Malformed, as.ETag }

// holds reports whether a stored state is the winner.
func (w *Winner) heldBy(h *Held) bool {
	switch {
	case w.Version.IsZero():
		return true
	case h.Gone:
		return false
	case h.Lapsed:
		return h.Version == w.Version
	case w.Tombstone:
		return !h.Exists && h.Version == w.Version
	}
	return h.Exists && !h.Tombstone && h.Stored != nil && h.Stored.Version == w.Version &&
		h.Hash == w.Version.Hash
}

// InSync reports whether the region holds the winner, for a tombstone: nothing any more.
func (s *State) InSync(r proa.Region) bool { return s.Winner.heldBy(s.At(r).Current()) }

// Applied reports whether readers of the region see the winner: in sync but for a tombstone image
// that waits for its purge, or an envelope that has not been put beside the content that was
// written there.
func (s *State) Applied(r proa.Region) bool {
	h, w := s.At(r).Current(), &s.Winner
	switch {
	case w.heldBy(h):
		return true
	case h.Gone:
		return false
	case w.Tombstone:
		return h.Version == w.Version && h.Tombstone
	}
	return h.Exists && h.Version == w.Version && h.Hash == w.Version.Hash
}

// settled reports whether both feeds have shown the winner and nothing is under way.
func (s *State) settled() bool {
	for i := range s.Sides {
		sd := &s.Sides[i]
		if sd.Ahead != nil || sd.InFlight != 0 || sd.Poison != nil || !s.Winner.heldBy(&sd.Feed) {
			return false
		}
	}
	return true
}

// image puts a stored state together again. The body is missing where it was let go.
func (s *State) image(h *Held, schema proa.Schema) (img proa.Image, whole bool) {
	if !h.Exists {
		return proa.Image{}, true
	}
	if h.Tombstone {
		return proa.Image{Item: schema.Attributes(s.Key), Envelope: h.Stored}, true
	}
	body, ok := s.Bodies[h.Hash]
	return proa.Image{Item: body, Envelope: h.Stored, Malformed: h.Malformed}, ok
}

func (s *State) keep(hash proa.Hash, body proa.Item) {
	if s.Bodies == nil {
		s.Bodies = make(map[proa.Hash]proa.Item, 1)
	}
	s.Bodies[hash] = body
}

// compact lets go of bodies that nothing needs.
func (s *State) compact(inline int) {
	settled := s.settled() && s.Hold == nil
	for hash, body := range s.Bodies {
		used := hash == s.Winner.Version.Hash && !s.Winner.Tombstone || s.held(hash)
		for i := range s.Sides {
			sd := &s.Sides[i]
			used = used || hash == sd.Feed.Hash || sd.Ahead != nil && hash == sd.Ahead.Hash
		}
		if !used || settled && Size(body) > inline {
			delete(s.Bodies, hash)
		}
	}
}

// Size estimates an item's size in bytes, names and values, as DynamoDB counts it.
func Size(item proa.Item) int {
	n := 0
	for name, v := range item {
		n += len(name) + valueSize(v)
	}
	return n
}

func valueSize(v proa.Value) int {
	n := len(v.Str) + 1
	for _, e := range v.List {
		n += valueSize(e) + 1
	}
	for _, m := range v.Set {
		n += len(m)
	}
	return n + Size(v.Map)
}
