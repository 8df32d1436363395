package resolve

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/hlc"
)

// An update slipped under a predecessor's write of a tombstone, whose stamp is ahead: what is stored is neither
// content, beside the tombstone's envelope. Whoever writes over that has seen the delete.
func TestAnHeirKnowsWhatADeleteWasWrittenUnder(t *testing.T) {
	b := newBench(t, "lww", nil)
	b.rules.Born = b.now.Add(10 * time.Second)
	gone := proa.Version{Time: hlc.At(b.now.Add(4 * time.Second)), Region: proa.Azure}
	item := text("slipped under")
	b.store(proa.AWS, proa.Image{Item: item, Envelope: &proa.Envelope{Version: gone, Tombstone: true, Write: 7}}, false)
	b.put(proa.AWS, text("new"))
	b.read(proa.AWS)
	key := proa.Item{"id": proa.String("k")}
	b.store(proa.Azure, proa.Image{Item: key, Envelope: &proa.Envelope{Version: gone, Tombstone: true}}, false)
	b.ends(text("new"))
}

// Within seconds of a predecessor's write an application puts that very image back, over what it had become.
func TestAnHeirTellsAPredecessorsWriteFromWhatIsPutBackAtOnce(t *testing.T) {
	for _, shown := range []string{"the write was shown", "only its removal was"} {
		b := newBench(t, "lww", nil)
		b.heir()
		saved := b.wrote(proa.Azure, "saved", b.version("saved", 0), proa.Version{})
		if shown != "the write was shown" {
			b.lose(proa.Azure)
		}
		b.put(proa.Azure, nil)
		b.store(proa.Azure, saved, false)
		b.ends(text("saved"))
	}
}

// A latest-version feed hides that a frozen owner's write has landed on a purged delete, but shows what was made
// of it: the delete is in the journal.
func TestADeleteUnderAnUpdateOfALateWriteIsInTheJournal(t *testing.T) {
	b := newBench(t, "lww", nil)
	b.rules.Born = b.now
	old := b.version("old", 0)
	gone := proa.Version{Time: hlc.At(b.now.Add(2 * time.Second)), Region: proa.Azure}
	key := proa.Item{"id": proa.String("k")}
	b.store(proa.Azure, proa.Image{Item: key, Envelope: &proa.Envelope{Version: gone, Tombstone: true}}, false)
	b.latest(proa.Azure)
	b.read(proa.Azure)
	b.send(proa.AWS)
	updated := text("old")
	updated["y"] = proa.String("new")
	b.store(proa.Azure, proa.Image{Item: updated, Envelope: &proa.Envelope{Version: old, Write: b.s.LastID - 1}}, false)
	b.latest(proa.Azure)
	b.ends(updated)
	if diff := cmp.Diff([]proa.Item{nil}, b.losers()); diff != "" {
		t.Errorf("losers:\n%s", diff)
	}
}

// A table that was made anew counts its positions from the beginning: deletes of two contents at one position in
// one second have two versions, though the node has forgotten the first.
func TestDeletesOfATableMadeAnewHaveVersionsOfTheirOwn(t *testing.T) {
	var versions []proa.Version
	for _, s := range []string{"one", "two"} {
		b := newBench(t, "lww", nil)
		b.put(proa.AWS, text(s))
		b.put(proa.AWS, nil)
		b.read(proa.AWS)
		versions = append(versions, b.s.Winner.Version)
	}
	if versions[0] == versions[1] {
		t.Errorf("both are %s", versions[0])
	}
}

// An heir reads again what its predecessor had read: the state that a replica had replaced is no concurrent one,
// whatever the policy prefers.
func TestAnHeirAsksNoPolicyAboutWhatItReadsAgain(t *testing.T) {
	for _, rule := range []string{"prefer: aws", "manual", `cel: older.item`} {
		b := newBench(t, rule, nil)
		b.heir()
		b.put(proa.AWS, text("one"))
		b.put(proa.AWS, text("two"))
		two := b.version("two", 2*time.Second)
		b.wrote(proa.Azure, "two", two, b.version("one", time.Second))
		b.put(proa.Azure, nil)
		b.read(proa.Azure)
		b.ends(nil)
		if b.s.Hold != nil {
			t.Errorf("%s: an operator is asked", rule)
		}
	}
}

// The same over two later writes, of which only the first replica tells.
func TestAnHeirAsksNoPolicyAboutTheOriginalOfAReplica(t *testing.T) {
	b := newBench(t, "prefer: azure", nil)
	b.heir()
	b.put(proa.Azure, text("one"))
	one := proa.Version{Time: hlc.At(b.now), Region: proa.Azure, Hash: proa.ContentHash(text("one"))}
	b.wrote(proa.AWS, "one", one, proa.Version{})
	b.put(proa.AWS, text("two"))
	b.put(proa.AWS, text("three"))
	b.read(proa.AWS)
	b.ends(text("three"))
}

// What an envelope without a place in the feed says of time is bounded: of a row in a scan, and of a previous image.
func TestAnHeirBoundsTheStampOfWhatItHasNotSeenWritten(t *testing.T) {
	for _, met := range []string{"a row", "a stale row", "a stale previous image"} {
		b := newBench(t, "lww", nil)
		b.rules.Born = b.now
		ahead := proa.Version{
			Time: hlc.At(b.now.Add(5 * time.Minute)), Region: proa.AWS, Hash: proa.ContentHash(text("one")),
		}
		img := proa.Image{Item: text("one"), Envelope: &proa.Envelope{Version: ahead}}
		if met != "a row" {
			img.Item = text("updated")
		}
		b.store(proa.AWS, img, false)
		b.lose(proa.AWS)
		if met == "a stale previous image" {
			b.put(proa.AWS, text("two"))
		} else {
			b.observe(proa.AWS)
		}
		b.now = b.now.Add(10 * time.Second)
		b.put(proa.Azure, text("later"))
		b.ends(text("later"))
	}
}

// A merge makes a version in a region's name: the next write there is given another, whatever it is of.
func TestNoWriteIsGivenTheVersionOfAMerge(t *testing.T) {
	b := newBench(t, "merge", nil)
	b.put(proa.AWS, proa.Item{"x": proa.String("x")})
	b.now = b.now.Add(-time.Second)
	b.put(proa.Azure, proa.Item{"y": proa.String("y")})
	b.read(proa.AWS)
	b.read(proa.Azure)
	merged := b.s.Winner.Version
	b.store(merged.Region, proa.Image{Item: b.s.Bodies[merged.Hash]}, false)
	b.unread[Index(merged.Region)][0].Time = time.Unix(1_700_000_000, 0)
	b.read(merged.Region)
	if got := b.s.At(merged.Region).Feed.Version; got.Time <= merged.Time {
		t.Errorf("%s is given to a write after %s was made", got, merged)
	}
}

// A predecessor had put a stamp back to the skew bound, and the other side has replaced or deleted its replica. Its
// heir's scan meets the original, at the stamp's word or beside it: the replica tells how old it is.
func TestAnHeirKnowsARowByItsReplica(t *testing.T) {
	for _, after := range []proa.Item{text("new"), nil} {
		for _, stale := range []bool{false, true} {
			b := newBench(t, "lww", nil)
			b.rules.Born = b.now.Add(10 * time.Second)
			one := b.version("one", 3*time.Second)
			stamp := proa.Version{Time: hlc.At(b.now.Add(5 * time.Minute)), Region: proa.AWS, Hash: one.Hash}
			if stale {
				stamp.Hash = proa.ContentHash(text("before"))
			}
			b.stored[0] = proa.Image{Item: text("one"), Envelope: &proa.Envelope{Version: stamp}}
			b.wrote(proa.Azure, "one", one, proa.Version{})
			b.put(proa.Azure, text("between"))
			b.put(proa.Azure, after)
			b.read(proa.Azure)
			b.observe(proa.AWS)
			b.put(proa.Azure, text("later"))
			b.ends(text("later"))
			b.wantLosers(text("one")) // it may have been put there once more
		}
	}
}

// A key is not forgotten while a row of it waits to be read again.
func TestAKeyIsNotForgottenWhileItsRowIsToBeRead(t *testing.T) {
	b := newBench(t, "lww", nil)
	b.stored[0] = proa.Image{Item: text("one")}
	began := b.now
	b.now = b.now.Add(10 * time.Hour)
	b.step(Observed{Side: proa.AWS, Row: b.row(proa.AWS), Began: began})
	for _, o := range b.step(Tick{Fresh: [2]time.Time{b.now, b.now}}) {
		if _, is := o.(Forget); is {
			t.Error("it is forgotten")
		}
	}
}

// An heir begins in the millisecond of its predecessor's last write, and has written itself before it reads of that.
func TestAnHeirsNumbersAreNotItsPredecessors(t *testing.T) {
	b := newBench(t, `cel: newer.deleted ? "older" : "newer"`, nil)
	b.heir()
	one := b.version("one", 0)
	b.stored[0] = proa.Image{Item: text("one")}
	b.wrote(proa.Azure, "one", one, proa.Version{})
	b.put(proa.Azure, nil)
	b.read(proa.Azure)
	img := proa.Image{Item: text("one"), Envelope: &proa.Envelope{Version: one, Write: uint64(b.now.UnixMilli())}}
	b.store(proa.AWS, img, false)
	b.rules.Born = time.UnixMilli(int64(img.Envelope.Write))
	b.step(Dispatch{Side: proa.AWS, Fresh: b.now})
	b.read(proa.AWS)
	if !b.s.Winner.Tombstone {
		t.Errorf("the winner is %s", b.s.Winner.Version)
	}
}
