package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/datasync/resolve"
	"github.com/proa-cloud/proa/hlc"
)

// Bug is a mistake that is planted around the core, to see that the simulator finds it.
type Bug int

// NoBug and the planted bugs: of the shell (what is durable when, what is read and sent), of the feed
// reader, of the store's conditions, and of the core's inputs, outputs, state and rules.
const (
	NoBug Bug = iota
	BugNoSweep
	BugNoScanAfterGap
	BugCheckpointFirst
	BugIntentNotDurable
	BugScanBeatsFeed
	BugNoRestarted
	BugWriteBeforeFeed
	BugChildrenFirst
	BugChangeDropped
	BugOldDropped
	BugDeleteDropped
	BugUnconditional
	BugPurgeUnconditional
	BugConflictIsDone
	BugLostAnswerIsDone
	BugThrottledIsDone
	BugNoJournal
	BugTombstonesForgottenEarly
	BugIntentsForgottenEarly
	BugIntentsLostAtRestart
	BugNoLastAssigned
	BugBareDeletes
	BugForeignIsEcho
	BugHashAloneIsEcho
	BugWallClockOnly
	BugStampBelieved
	BugNoTombstoneParent
	BugPoisonStopsAll
	BugExpiryNotCrossed
	BugBodyLost
	BugDeletesUnmarked
	BugEpochUnchecked
	BugPurgedUnkept
	BugEchoReversioned
	BugPlaceBeforeDeletes
	BugNotRecalled
	BugRecalledOnce
	BugPendingForgotten
	BugAttributeRulesIgnored
	BugMergeTakesOne
	BugHomeLeaks
	BugUnmasked
	BugUnhashed
	BugNotJoined
	BugKeptBeforeDurable
	BugOldPositions
	bugs
)

var bugNames = [bugs]string{
	"", "a gap's scan does not sweep", "a gap is not scanned", "the checkpoint is kept before its changes",
	"an intent is not durable before its write", "a scanned row beats the feed",
	"a restart leaves writes in flight",
	"a side is written before its feed has a place", "child shards are read before their parents",
	"a change is dropped", "previous images are those of the change", "a delete is dropped",
	"a write has no condition", "a purge has no condition", "a refusal is taken for success",
	"a lost answer is taken for success", "throttling is taken for success", "losers are not journaled",
	"tombstones are forgotten early", "intents are forgotten early", "intents are lost at a restart",
	"a region forgets its last version", "deletes are bare", "a foreign write passes for an echo",
	"an echo is known by its hash alone", "versions are the wall clock's", "a stamp is believed",
	"a new item forgets its tombstone", "one key's poison stops all", "an expiry does not cross",
	"a body is let go while it is needed", "two owners give their deletes one version",
	"a sidecar's epoch is not checked", "deletes are purged before they are kept, and those that wait are lost in a crash",
	"a predecessor's echo is given a new version", "a feed's place is kept before its deletes",
	"kept deletes are not recalled", "kept deletes are recalled by an heir's first process only",
	"deletes that wait to be kept are lost in a crash", "rules of single attributes are ignored",
	"a merge takes one side's attributes", "what stays in its region leaves it",
	"what is masked leaves as it is", "what is hashed leaves as it is",
	"a write takes what stays in its region away", "a sidecar is ahead of the disk",
	"positions of two tables are compared",
}

func (b Bug) is(o Bug) bool { return b == o }

func (b Bug) String() string { return bugNames[b] }

// BugNamed finds a planted bug by its name.
func BugNamed(name string) (Bug, error) {
	if i := slices.Index(bugNames[:], name); i >= 0 {
		return Bug(i), nil
	}
	return NoBug, fmt.Errorf("%w: no bug is named %q", proa.ErrNotFound, name)
}

// Bugs lists the planted bugs.
func Bugs() []Bug {
	var list []Bug
	for b := NoBug + 1; b < bugs; b++ {
		list = append(list, b)
	}
	return list
}

func (b Bug) rules(r *resolve.Rules, d *deciding) {
	switch b {
	case BugAttributeRulesIgnored:
		r.Policy = d.without
	case BugMergeTakesOne:
		if len(d.merged) > 0 {
			r.Policy = theOneAsMerged
		}
	case BugTombstonesForgottenEarly:
		r.TombstoneGrace = -time.Hour
	case BugIntentsForgottenEarly:
		r.InFlightMax = time.Second
	case BugStampBelieved:
		r.MaxSkew = 24 * time.Hour
	}
}

func (b Bug) restarted(n *node) {
	if b != BugIntentsLostAtRestart {
		return
	}
	for k := range n.w.cfg.keys {
		st := n.states[k].Clone()
		for i := range st.Sides {
			st.Sides[i].Intents, st.Sides[i].InFlight = nil, 0
		}
		n.states[k] = st
	}
}

// outcome spoils the answer to a write.
func (b Bug) outcome(o resolve.Write, in resolve.Applied) resolve.Applied {
	switch {
	case b == BugConflictIsDone && in.Outcome == resolve.Conflict,
		b == BugLostAnswerIsDone && in.Outcome == resolve.Ambiguous,
		b == BugThrottledIsDone && in.Outcome == resolve.Throttled:
		in.Outcome = resolve.Done
		in.Row = cloud.Row{Key: o.Seen.Key, Image: o.Next}
	}
	return in
}

// condition spoils what a compare-and-set compares with.
func (b Bug) condition(s *site, key int, o resolve.Write) cloud.Row {
	if b == BugUnconditional && !o.Purge || b == BugPurgeUnconditional && o.Purge {
		row, _ := s.joined(key, proa.Image{})
		return row
	}
	return o.Seen
}

// input spoils what the core is told. It reports whether it is told at all.
func (b Bug) input(n *node, in resolve.Input) (resolve.Input, bool) {
	c, ok := in.(resolve.Captured)
	if row, is := in.(resolve.Observed); is && b == BugScanBeatsFeed {
		row.Began = n.last.Add(time.Hour)
		return row, true
	}
	switch {
	case b == BugPoisonStopsAll:
		for k := range n.w.cfg.keys {
			if n.w.poisonedNow(k) {
				return in, false
			}
		}
	case !ok:
	case b == BugChangeDropped:
		return in, !n.w.dice.One(20)
	case b == BugDeleteDropped:
		return in, c.Change.New.Exists() || !n.w.dice.One(10)
	case b == BugOldDropped && c.Change.Old != nil:
		old := c.Change.New
		c.Change.Old = &old
		return c, true
	case b == BugForeignIsEcho:
		// as where an origin flag tells: what came with any envelope of the other side is ours
		e := c.Change.New.Envelope
		return in, e == nil || e.Write != 0 && e.Version.Region == c.Change.Region
	case b == BugExpiryNotCrossed:
		return in, !c.Change.Expired
	}
	return in, true
}

// outputs spoils what the core asks for.
func (b Bug) outputs(outs []resolve.Output) []resolve.Output {
	switch b {
	case BugNoJournal:
		return slices.DeleteFunc(outs, func(o resolve.Output) bool {
			_, is := o.(resolve.Clash)
			return is
		})
	case BugBareDeletes:
		for i, o := range outs {
			if w, ok := o.(resolve.Write); ok && !w.Purge && w.Next.Envelope.Tombstone &&
				w.Seen.Image.Exists() {
				w.Purge = true
				outs[i] = w
			}
		}
	}
	return outs
}

// state spoils what the core remembers.
func (b Bug) state(st *resolve.State, in resolve.Input) {
	c, captured := in.(resolve.Captured)
	for i := range st.Sides {
		sd := &st.Sides[i]
		switch b {
		case BugNoLastAssigned:
			sd.LastAssigned = 0
		case BugHashAloneIsEcho:
			for j := range sd.Intents {
				sd.Intents[j].Echoed = false
			}
		case BugNoTombstoneParent:
			if !sd.Feed.Exists {
				sd.Feed.Version, sd.LastAssigned = proa.Version{}, 0
			}
		case BugOldPositions:
			sd.Placed = st.Winner.Decided.Add(1 << 60)
		case BugBodyLost:
			if sd.InFlight == 0 {
				st.Bodies = nil
			}
		}
	}
	if b == BugWallClockOnly && captured && st.Winner.Version.Region == c.Change.Region &&
		c.Change.New.Envelope == nil && !c.Change.Time.IsZero() {
		v := st.Winner.Version
		v.Time = max(hlc.At(c.Change.Time), 1)
		sd := st.At(c.Change.Region)
		if sd.Feed.Version == st.Winner.Version {
			sd.Feed.Version, sd.LastAssigned = v, v.Time
			st.Winner.Version = v
		}
	}
}

// unmarked gives deletes the versions of their times alone.
func (b Bug) unmarked(st *resolve.State, in resolve.Input, outs []resolve.Output) {
	c, ok := in.(resolve.Captured)
	w := &st.Winner
	if b != BugDeletesUnmarked || !ok || c.Change.New.Exists() || !w.Tombstone {
		return
	}
	sd := st.At(c.Change.Region)
	for i, o := range outs {
		if a, is := o.(resolve.Append); is && a.Version == w.Version && sd.Feed.Version == w.Version {
			w.Version.Time = max(hlc.FromMS(w.Version.Time.MS()), a.Parent.Time.Next())
			sd.Feed.Version, sd.LastAssigned, a.Version = w.Version, w.Version.Time, w.Version
			outs[i] = a
		}
	}
}

// misread spoils the order of a feed.
func (w *world) misread(list []shown) []shown {
	if w.bug == BugChildrenFirst && len(list) > 1 && w.dice.One(8) {
		slices.Reverse(list)
	}
	return list
}
