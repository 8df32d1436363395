package resolve

import (
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/policy"
)

// Rules are the constants of the state machine.
type Rules struct {
	Schema proa.Schema
	// MaxSkew is how far a writer's stamp may be from the second of its event and still be kept.
	MaxSkew time.Duration
	// MaxFuture is how far ahead of the clock an event or a stamp may be before the key is
	// quarantined.
	MaxFuture time.Duration
	// FeedWait is how long the feed may take to show why a write was refused, before the row is
	// read.
	FeedWait time.Duration
	// InFlightMax is the longest time after which a write that was given up may still land. Both
	// clouds refuse requests signed more than 15 minutes ago.
	InFlightMax time.Duration
	// TombstoneGrace is how long a delete is remembered after both feeds have shown it. It must be
	// longer than both feeds retain changes, or a change read again could bring the key back.
	TombstoneGrace time.Duration
	// InlineBody is the size in bytes up to which contents stay in the shadow index once both sides
	// hold them.
	InlineBody int
	// Backoff is the first pause after a failed write of a key; it doubles up to BackoffMax.
	Backoff, BackoffMax time.Duration
	// Policy decides conflicts; nil is last-write-wins.
	Policy *policy.Policy
	// KeepDeletes says that deletes are kept outside this node's disk before their images are purged.
	KeepDeletes bool
	// Born is when the shadow index was begun anew after another node's; zero: it never was.
	Born time.Time
	// Expiry says which removals by a store's time-to-live are no deletes.
	Expiry Expiry
}

// DefaultRules returns the rules for a table.
func DefaultRules(schema proa.Schema) Rules {
	return Rules{
		Schema:         schema,
		MaxSkew:        2 * time.Second,
		MaxFuture:      time.Hour,
		FeedWait:       2 * time.Second,
		InFlightMax:    20 * time.Minute,
		TombstoneGrace: 8 * 24 * time.Hour,
		InlineBody:     4 << 10,
		Backoff:        50 * time.Millisecond,
		BackoffMax:     5 * time.Second,
	}
}

// maxIntents bounds the intents remembered a side. Echoes clear them; a key whose writes are refused for ever
// or get no answer gathers them, as where a side is away. Once half of them are used, what may still land goes
// out so seldom that the other half lasts for InFlightMax.
const maxIntents = 256

// Step takes one input and returns what the shell must do. It does no I/O, reads no clock and never
// blocks.
func (r Rules) Step(s *State, now time.Time, in Input) []Output {
	m := machine{Rules: r, s: s, now: now}
	before := [2]bool{s.Applied(proa.AWS), s.Applied(proa.Azure)}
	was := s.Winner.Version
	switch in := in.(type) {
	case Captured:
		m.resumed(in)
		if !m.inherited(in.Change) {
			m.captured(in.Change)
		}
	case Remembered:
		m.remembered(in)
	case Dispatch:
		m.dispatch(in)
	case Applied:
		m.applied(in)
	case Observed:
		m.unassume(in)
		m.observed(in)
	case Restarted:
		m.restarted(in.Side)
	case Retry:
		m.retry()
	case Tick:
		m.tick(in)
	case Settle:
		m.settle(in)
	}
	m.out = append(m.out, m.later...)
	for i, side := range proa.Regions() {
		if s.Applied(side) && (!before[i] || was != s.Winner.Version) && side != s.Winner.Version.Region {
			m.out = append(m.out, Synced{Side: side, Winner: s.Winner})
		}
	}
	s.compact(r.InlineBody)
	return m.out
}

// machine is one step under way.
type machine struct {
	Rules
	s   *State
	now time.Time
	out []Output
	// what a policy made of the step's inputs: it comes after them
	later   []Output
	before  before // of the write that is being judged
	created bool   // the change says that nothing was there before
	unsure  bool   // the change may have taken the place of a write of ours that no feed has shown
	hole    bool   // the change took the place of a state that the feed has not shown
}

func (m *machine) emit(o Output) { m.out = append(m.out, o) }

// Due says whether a side of the key needs a dispatch: never, or not before a time. The zero time
// is at once.
func (r Rules) Due(s *State, side proa.Region) (due bool, at time.Time) {
	sd := s.At(side)
	switch {
	case s.Sides[0].Poison != nil || s.Sides[1].Poison != nil:
		return false, at
	case sd.InFlight != 0 || s.Hold != nil:
		return false, at
	case !sd.Refused.IsZero():
		return true, later(sd.RetryAt, sd.Refused.Add(r.FeedWait))
	case s.InSync(side):
		return false, at
	case sd.Unfit != nil && sd.Unfit.Version == s.Winner.Version:
		return false, at
	}
	return true, sd.RetryAt
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// pause is the wait before the next try: exponential, with a jitter that depends on the key and the
// attempt only.
func (m *machine) pause(sd *Side) {
	sd.Attempts++
	d := m.Backoff << min(sd.Attempts-1, 16)
	if d <= 0 || d > m.BackoffMax {
		d = m.BackoffMax
	}
	spread := uint64(sd.Attempts) * 0x9e3779b97f4a7c15
	for _, c := range []byte(m.s.Key.Hash.Str + m.s.Key.Range.Str) {
		spread = (spread ^ uint64(c)) * 0x100000001b3
	}
	d = d/2 + time.Duration(spread%uint64(d/2+1))
	sd.RetryAt = m.now.Add(d)
}

// PrintOf is the print of an image as it is stored.
func PrintOf(img proa.Image, schema proa.Schema) Print {
	if !img.Exists() {
		return Print{}
	}
	key, err := schema.KeyOf(img.Item)
	if err != nil {
		return Print{Exists: true, Hash: proa.ContentHash(img.Item)}
	}
	m := machine{Rules: Rules{Schema: schema}, s: &State{Key: key}}
	h := m.physical(img, proa.ContentHash(img.Item), "")
	return h.print()
}
