package resolve

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/hlc"
)

// A policy may put an older state after a newer one, as a new version. Who has seen the state under its
// old name has seen the winner.
func TestSecondWriteAtThePreferredRegionWins(t *testing.T) {
	b := newBench(t, "prefer: aws", nil)
	b.put(proa.AWS, text("one"))
	b.read(proa.AWS)
	b.put(proa.Azure, text("other"))
	b.read(proa.Azure) // "one" stays, as a new version
	b.put(proa.AWS, text("two"))
	b.ends(text("two"))
	b.wantLosers(text("other"))
}

// Of the states that waited for an operator each that is not chosen is in the journal, also one that
// came later.
func TestStatesThatAnOperatorDidNotChooseAreInTheJournal(t *testing.T) {
	b := newBench(t, "manual", nil)
	b.put(proa.AWS, text("a"))
	b.put(proa.Azure, text("b"))
	b.settle()
	b.put(proa.Azure, text("b2"))
	b.settle()
	b.step(Settle{Region: proa.AWS, Item: text("a"), Expect: b.s.Winner.Version})
	b.ends(text("a"))
	found := false
	for _, item := range b.losers() {
		found = found || item.Equal(text("b2"))
	}
	if !found {
		t.Errorf("b2 is not among the losers: %v", b.losers())
	}
}

// Where writers bring both sides to the same content, there is nothing left to choose.
func TestWriterThatSettlesAConflictEndsTheWait(t *testing.T) {
	b := newBench(t, "manual", nil)
	b.put(proa.AWS, text("a"))
	b.put(proa.Azure, text("b"))
	b.settle()
	b.put(proa.AWS, text("b"))
	b.settle()
	if b.s.Hold != nil {
		t.Errorf("it still waits: %+v", b.s.Hold)
	}
	b.ends(text("b"))
}

// A latest-version feed may hide a write of ours under the one that took its place: what that one was
// based on is then not known, and nothing is counted twice.
func TestHiddenBaseIsNotGuessed(t *testing.T) {
	b := newBench(t, "counter", nil)
	count := func() proa.Item {
		return proa.Item{"id": proa.String("k"), "n": proa.Value{Kind: proa.KindN, Str: "1"}}
	}
	b.put(proa.AWS, count())
	b.read(proa.AWS)
	b.send(proa.Azure)
	b.put(proa.Azure, count()) // over ours, which the feed does not show
	b.latest(proa.Azure)
	b.read(proa.Azure)
	if diff := cmp.Diff(count(), b.s.Bodies[b.s.Winner.Version.Hash]); diff != "" {
		t.Error(diff)
	}
}

// A row that was read ahead of its feed has reached the other side under one name; given its real time
// by the feed, it does not beat who has seen it.
func TestRowReadAheadDoesNotBeatWhoSawIt(t *testing.T) {
	b := newBench(t, "lww", nil)
	b.put(proa.AWS, text("one"))
	b.settle()
	b.store(proa.Azure, proa.Image{Item: text("two"), Envelope: b.stored[Index(proa.Azure)].Envelope}, false)
	b.unread[Index(proa.Azure)][0].Time = b.now.Add(time.Minute) // its side's clock is ahead
	b.observe(proa.Azure)
	b.send(proa.AWS)
	b.put(proa.AWS, nil)
	b.read(proa.AWS)
	b.ends(nil)
}

// A purge that finds nothing is answered late: what the feed has shown meanwhile came after the removal.
func TestLateAnswerToAPurgeHidesNothing(t *testing.T) {
	b := newBench(t, "lww", nil)
	b.put(proa.AWS, text("one"))
	b.settle()
	v := proa.Version{Time: b.s.Winner.Version.Time.Next(), Region: proa.AWS}
	b.store(proa.AWS, proa.Image{
		Item: schema.Attributes(b.s.Key), Envelope: &proa.Envelope{Version: v, Tombstone: true},
	}, false)
	b.read(proa.AWS)
	var purge Write
	for _, o := range b.step(Dispatch{Side: proa.AWS, Fresh: b.now}) {
		if w, ok := o.(Write); ok {
			purge = w
		}
	}
	b.put(proa.AWS, text("between"))
	b.put(proa.AWS, nil)
	answer := Applied{
		Side: proa.AWS, Intent: purge.Intent, Outcome: Conflict, Row: b.row(proa.AWS),
	}
	b.put(proa.AWS, text("two"))
	b.read(proa.AWS)
	b.step(answer)
	if !purge.Purge || !b.s.At(proa.AWS).Current().Exists {
		t.Errorf("purge %t; the key is taken for absent", purge.Purge)
	}
	b.ends(text("two"))
}

// A removal that was taken for our purge is judged once the purge is known to have been refused; what
// came after the removal stays quarantined.
func TestRefusedPurgeLeavesWhatIsQuarantined(t *testing.T) {
	b := newBench(t, "lww", nil)
	b.put(proa.AWS, text("one"))
	b.read(proa.AWS)
	v := proa.Version{Time: hlc.At(b.now.Add(time.Second)), Region: proa.AWS}
	image := proa.Image{Item: schema.Attributes(b.s.Key), Envelope: &proa.Envelope{Version: v, Tombstone: true}}
	b.store(proa.AWS, image, false)
	b.read(proa.AWS)
	outs := b.step(Dispatch{Side: proa.AWS, Fresh: b.now})
	image.Item = text("more")
	b.store(proa.AWS, image, false)
	b.put(proa.AWS, nil)
	b.store(proa.AWS, proa.Image{Item: text("odd"), Malformed: "version"}, false)
	b.read(proa.AWS)
	for _, o := range outs {
		if w, ok := o.(Write); ok && w.Purge {
			b.write(w)
		}
	}
	if p := b.s.At(proa.AWS).Poison; p == nil || p.Image.Malformed == "" {
		t.Fatalf("no longer quarantined: %+v", b.s.At(proa.AWS))
	}
	b.step(Retry{})
	b.ends(text("odd"))
}
