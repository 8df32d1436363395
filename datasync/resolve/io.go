package resolve

import (
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/datasync/policy"
)

// Input is what a step reacts to.
type Input interface{ input() }

// Captured is one change of a region's feed. A change at or before the last position is dropped as
// a repetition.
type Captured struct {
	Change  proa.Change
	Resumed time.Time // when the feed was last begun anew after a break; zero: never
}

// Dispatch asks what to write to a side now. The feed was read to its end by a read that began at
// Fresh (zero: not yet).
type Dispatch struct {
	Side  proa.Region
	Fresh time.Time
	Kept  proa.Version // the tombstone of this key that was kept (Remember); zero: none
}

// Outcome is how a write of ours ended.
type Outcome int

// The outcomes.
const (
	Done      Outcome = iota // stored: Row is what is stored now
	Conflict                 // refused: Row is what is stored instead
	Throttled                // refused for now
	Ambiguous                // may or may not have been stored, now or later
	Invalid                  // will be refused each time
	Dropped                  // never sent: it was no longer the winner
)

// Applied is the outcome of the intent in flight. Results of any other intent are ignored.
type Applied struct {
	Side    proa.Region
	Intent  uint64
	Outcome Outcome
	Row     cloud.Row
	Reason  string // of Invalid
}

// Observed is a row that was read from the table, after Began, without a place in the feed; nothing
// stored is the zero Image: a read, or a complete scan begun at Began, did not meet the key. It is
// ignored where the feed or a write of ours has said anything since then.
type Observed struct {
	Side  proa.Region
	Row   cloud.Row
	Began time.Time
}

// Restarted says that the process which sent what is in flight is no more.
type Restarted struct{ Side proa.Region }

// Retry is an operator's order to judge a poisoned state as if it had no envelope and to try an
// unfit one again.
type Retry struct{}

// Tick lets time pass: old intents and tombstones are collected. Fresh is that of Dispatch, by
// Index.
type Tick struct{ Fresh [2]time.Time }

func (Captured) input()  {}
func (Dispatch) input()  {}
func (Applied) input()   {}
func (Observed) input()  {}
func (Restarted) input() {}
func (Retry) input()     {}
func (Tick) input()      {}

// Output is what the shell must do once the step is durable.
type Output interface{ output() }

// Write asks for one compare-and-set: Table.Swap of Seen to Next, or Table.Purge of Seen. Where
// Whole is false the body of Seen was let go: the shell reads the row first and answers Conflict
// with it, if it is not as Seen.Print says.
type Write struct {
	Side   proa.Region
	Intent uint64
	Purge  bool
	Seen   cloud.Row
	Print  Print
	Whole  bool
	Next   proa.Image
}

// Observe asks to read the row and to step with Observed.
type Observe struct{ Side proa.Region }

// Append is a local write for the change log. Won says whether it became the winner.
type Append struct {
	Region  proa.Region
	Version proa.Version
	Parent  proa.Version
	Image   proa.Image // the zero Image for a delete
	Origin  time.Time
	Expired bool
	Won     bool
}

// Clash is a conflict for the journal.
type Clash struct {
	Reason string
	Winner Candidate
	Loser  Candidate
	// Policy, Outcome and Note are the policy's, "" for last-write-wins; Merged is what it made of
	// both, and Base what it compared with (nil: not known).
	Policy, Outcome, Note string
	Merged                proa.Item
	Base                  *policy.State
}

// Why two states conflict.
const (
	ReasonConcurrent = "concurrent writes"
	// a row that no change of a feed explains
	ReasonUnknownAge = "unknown age"
	ReasonDoubt      = "a removal that may be data sync's own" // the removed state is kept
)

// Candidate is one side of a conflict. Item is nil for a delete, and where Missing says so.
type Candidate struct {
	Version   proa.Version
	Parent    proa.Version
	Tombstone bool
	Expired   bool
	Item      proa.Item
	Missing   bool // the content was let go of before the conflict was known
}

// Synced says that a region's readers now see the winner.
type Synced struct {
	Side   proa.Region
	Winner Winner
}

// Shown says that a region's feed has shown all its writes of this key up to a stamp.
type Shown struct {
	Region proa.Region
	Change proa.Change
}

// Quarantined says that the key, or a side's write of it, waits for an operator or a newer write.
type Quarantined struct {
	Side   proa.Region
	Reason string
}

// Note counts something that is worth a metric.
type Note string

// The notes.
const (
	NoteClamped  Note = "stamp_clamped" // a stamp was outside the skew bound of its event
	NoteEcho     Note = "echo"          // a change was ours
	NoteRepeated Note = "repeated"      // a change had been seen before
	NoteUnknown  Note = "unknown_age"   // a row differed and no change says why
	// a foreign partial update came between a check and its write
	NoteMerged Note = "slipped_under"
	NoteLate   Note = "late_write" // a write of ours landed after it had been given up
	// a row was missing and no change says why: it is written again
	NoteUnion     Note = "absence_unexplained"
	NoteSameAgain Note = "same_content" // two sides wrote the same content: no conflict
)

// Forget says that nothing needs to be remembered of the key any more.
type Forget struct{}

func (Write) output()       {}
func (Observe) output()     {}
func (Append) output()      {}
func (Clash) output()       {}
func (Synced) output()      {}
func (Shown) output()       {}
func (Quarantined) output() {}
func (Note) output()        {}
func (Forget) output()      {}
