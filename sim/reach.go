package sim

// Situation is an interesting thing that a history may come to.
type Situation int

// The situations.
const (
	EchoSeen Situation = iota
	LateEcho
	ChangeRepeated
	FeedRepeats
	FeedGap
	DeleteHidden
	ScanDone
	RowUnexplained
	AbsenceUnexplained
	UnknownAge
	ConflictJournaled
	DeleteAgainstWrite
	SameContent
	PutBackVerbatim
	StampClamped
	SlippedUnder
	MergedUnder
	RemovalInDoubt
	TombstoneWritten
	TombstonePurged
	TombstoneForgotten
	LateWriteLanded
	Throttled
	AnswerLost
	SentTwice
	WriteFenced
	BodyReadAgain
	RowReadAgain
	Crash
	CrashInFlight
	UnsyncedLost
	DiskLost
	OwnerFrozen
	OwnerThawed
	SideRestored
	LockTaken
	LockRefused
	ExpiryIgnored
	KeyQuarantined
	PoisonReleased
	PolicyMerged
	PolicyOlder
	PolicyWithoutBase
	KeyHeld
	HoldSettled
	HomeUpdated
	FeedTakenOver
	DeleteRecalled
	PurgeWaits
	StaleRefused
	WriteInherited
	WritesSummed
	AttributesKept
	MaskedUpdated
	HashedUpdated
	MaskKept
	HashKept
	situations
)

var situationNames = [situations]string{
	"an echo is seen", "an echo of what is no longer the winner", "a change is dropped as a repetition",
	"a feed gives changes again", "a feed has a gap", "a feed hides a delete", "a scan is taken",
	"a row that no change explains", "an absence that no change explains", "a conflict of unknown age",
	"a conflict is journaled", "a delete against a write", "two sides write the same content",
	"an item is put back verbatim", "a stamp is clamped", "a write lands on an unseen update",
	"such an update is found", "a removal in doubt", "a tombstone is written", "a tombstone is purged",
	"a tombstone is forgotten", "a late write lands", "a write is throttled", "an answer is lost",
	"a write is sent twice", "a write is fenced", "a body is read again", "a row is read again",
	"the node crashes", "it crashes with writes in flight", "a disk forgets unsynced batches",
	"an owner dies with its disk", "an owner is frozen", "a frozen owner thaws", "a side is restored",
	"a lock is taken", "a lock is refused", "an expiry is ignored", "a key is quarantined",
	"a quarantined key is released", "a policy merges", "a policy takes the older state",
	"a policy lacks its base", "a key waits for an operator", "an operator settles a key",
	"what stays in its region is updated", "an owner goes on where its predecessor was",
	"a kept delete is recalled", "a purge waits until its delete is kept", "a stale owner is refused",
	"a predecessor's write is taken at its word", "all writes are counted once",
	"attributes are merged one by one", "what crosses as a mask is updated", "what crosses as its hash is updated",
	"a write goes around what crosses as a mask", "a write goes around what crosses as its hash",
}

func (s Situation) String() string { return situationNames[s] }

// Reach counts in how many histories each situation came up.
type Reach [situations]uint32

func (w *world) reach(s Situation) { w.reached[s] = 1 }
