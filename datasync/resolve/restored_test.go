package resolve

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/hlc"
)

// restore puts another state into a side's table, in a feed of a new epoch.
func (b *bench) restore(r proa.Region, img proa.Image) {
	b.stored[Index(r)] = img
	b.lose(r)
	b.now = b.now.Add(time.Hour)
}

func (b *bench) observe(r proa.Region) {
	b.step(Observed{Side: r, Row: b.row(r), Began: b.now})
}

func (b *bench) wantLosers(want ...proa.Item) {
	b.t.Helper()
	if diff := cmp.Diff(want, b.losers()); diff != "" {
		b.t.Errorf("losers:\n%s", diff)
	}
}

// A writer of a restored table has not seen what the restore undid: what its write takes the place of
// is in the journal.
func TestWriteAfterARestoreReplacesNothingUnseen(t *testing.T) {
	for _, scanned := range []bool{false, true} {
		b := newBench(t, "lww", nil)
		b.put(proa.AWS, text("today"))
		b.settle()
		b.restore(proa.AWS, proa.Image{})
		if scanned {
			b.observe(proa.AWS)
		}
		b.put(proa.AWS, text("new"))
		b.ends(text("new"))
		b.wantLosers(text("today"))
	}
}

// The same of a delete.
func TestDeleteAfterARestoreDeletesNothingUnseen(t *testing.T) {
	b := newBench(t, "lww", nil)
	b.put(proa.AWS, text("today"))
	b.settle()
	b.restore(proa.AWS, proa.Image{Item: text("yesterday")})
	b.put(proa.AWS, nil)
	b.ends(nil)
	b.wantLosers(text("today"))
}

// A tombstone image of yesterday deletes nothing of today, whoever meets it.
func TestRestoredTombstoneDeletesNothing(t *testing.T) {
	b := newBench(t, "lww", nil)
	b.put(proa.AWS, text("one"))
	b.settle()
	b.put(proa.AWS, nil)
	b.read(proa.AWS)
	b.send(proa.Azure)
	image := b.stored[Index(proa.Azure)]
	b.settle()
	b.put(proa.AWS, text("two"))
	b.settle()
	b.restore(proa.Azure, image)
	b.observe(proa.Azure)
	b.ends(text("two"))
}

// A tombstone image that nobody knows of deletes; what it deletes is in the journal.
func TestUnexplainedTombstoneIsJournaled(t *testing.T) {
	b := newBench(t, "lww", nil)
	b.put(proa.AWS, text("one"))
	b.settle()
	v := proa.Version{Time: hlc.At(b.now.Add(time.Hour)), Region: proa.Azure}
	b.restore(proa.Azure, proa.Image{
		Item: schema.Attributes(b.s.Key), Envelope: &proa.Envelope{Version: v, Tombstone: true},
	})
	b.observe(proa.Azure)
	b.ends(nil)
	b.wantLosers(text("one"))
}

// A quarantined state that a restore took away is in the journal.
func TestQuarantinedStateThatIsGoneIsInTheJournal(t *testing.T) {
	b := newBench(t, "lww", nil)
	b.store(proa.AWS, proa.Image{Item: text("odd"), Malformed: "version"}, false)
	b.read(proa.AWS)
	b.restore(proa.AWS, proa.Image{})
	b.observe(proa.AWS)
	b.wantLosers(text("odd"))
}

// A row that was read ahead of the feed is behind it where the feed was begun anew since.
func TestChangeAfterABreakIsLaterThanARowReadBefore(t *testing.T) {
	b := newBench(t, "lww", nil)
	b.put(proa.AWS, text("one"))
	b.settle()
	b.restore(proa.AWS, proa.Image{Item: text("two")})
	b.observe(proa.AWS)
	b.put(proa.AWS, text("hidden"))
	b.lose(proa.AWS)
	resumed := b.now.Add(time.Second)
	b.now = resumed.Add(time.Second)
	b.step(Dispatch{Side: proa.AWS, Fresh: b.now}) // a write of ours says nothing of when the row was read
	b.put(proa.AWS, nil)
	b.step(Captured{Change: b.unread[0][0], Resumed: resumed})
	b.lose(proa.AWS)
	b.ends(nil)
}

// What waits for an operator is not replaced by a delete at its side that may not have seen it.
func TestHeldStateThatARestoreUndidIsInTheJournal(t *testing.T) {
	b := newBench(t, "manual", nil)
	b.put(proa.AWS, text("a"))
	b.put(proa.Azure, text("z"))
	b.read(proa.AWS)
	b.read(proa.Azure)
	b.put(proa.AWS, nil)
	b.read(proa.AWS)
	b.restore(proa.Azure, proa.Image{Item: text("yesterday")})
	b.put(proa.Azure, nil)
	b.read(proa.Azure)
	for _, item := range b.losers() {
		if item["x"].Str == "z" {
			return
		}
	}
	t.Errorf("not in the journal, which has %v", b.losers())
}

// A stamp that is known from a previous image alone is within the skew bound of what took its place.
func TestStampOfAHiddenWriteIsBounded(t *testing.T) {
	b := newBench(t, "lww", nil)
	far := proa.Version{
		Time: hlc.At(b.now.Add(3 * time.Minute)), Region: proa.Azure, Hash: proa.ContentHash(text("ahead")),
	}
	b.stored[Index(proa.Azure)] = proa.Image{Item: text("ahead"), Envelope: &proa.Envelope{Version: far}}
	b.put(proa.Azure, nil)
	b.now = b.now.Add(time.Minute)
	b.put(proa.AWS, text("later"))
	b.ends(text("later"))
}

// What a write of ours had left at a side is gone with its restore, and its echo never comes.
func TestARestoreTakesAWriteOfOursWithIt(t *testing.T) {
	b := newBench(t, "lww", nil)
	b.put(proa.Azure, text("one"))
	b.read(proa.Azure)
	b.send(proa.AWS) // stored, and not shown yet
	b.restore(proa.AWS, proa.Image{})
	resumed := b.now
	b.now = b.now.Add(time.Second)
	old := proa.Image{Item: text("older"), Envelope: nil}
	b.store(proa.AWS, old, false)
	change := b.unread[0][0]
	change.Time = b.now.Add(-2 * time.Hour) // its clock is behind: it loses
	b.step(Captured{Change: change, Resumed: resumed})
	b.lose(proa.AWS)
	b.ends(text("one"))
	b.wantLosers(text("older"))
}

// A table that was made anew counts its positions from the beginning: they say nothing beside those before.
func TestAWriteToATableMadeAnewIsNotARepetition(t *testing.T) {
	for name, told := range map[string]proa.Change{
		"a write":  {New: proa.Image{Item: text("new")}, Old: &proa.Image{Item: text("one")}},
		"a delete": {Old: &proa.Image{Item: text("one")}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, "lww", nil)
			b.put(proa.AWS, text("one"))
			b.put(proa.AWS, text("one"))
			b.settle()
			resumed := b.now.Add(time.Second)
			b.now = resumed.Add(time.Second)
			b.step(Observed{Side: proa.AWS, Row: b.row(proa.AWS), Began: b.now.Add(-time.Millisecond)})
			b.stored[0] = told.New
			told.Region, told.Key, told.Time, told.Position = proa.AWS, b.s.Key, b.now, "1"
			for range 2 {
				b.now = b.now.Add(time.Second)
				b.step(Captured{Change: told, Resumed: resumed}) // and once more
			}
			b.ends(told.New.Item)
		})
	}
}
