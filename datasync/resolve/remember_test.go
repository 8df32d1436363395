package resolve

import (
	"testing"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/hlc"
)

// version is AWS's of a text, some time after the bench's beginning.
func (b *bench) version(s string, after time.Duration) proa.Version {
	at := time.Unix(1_700_000_000, 0).Add(after)
	return proa.Version{Time: hlc.At(at), Region: proa.AWS, Hash: proa.ContentHash(text(s))}
}

// heir makes the shadow index one that was begun anew, ten seconds from now.
func (b *bench) heir() { b.rules.Born = b.now.Add(10 * time.Second) }

// wrote is a write of the predecessor, as the store and its feed show it.
func (b *bench) wrote(r proa.Region, s string, v, parent proa.Version) proa.Image {
	img := proa.Image{Item: text(s), Envelope: &proa.Envelope{
		Version: v, Parent: parent, Write: uint64(b.now.Add(time.Second).UnixMilli()),
	}}
	b.store(r, img, false)
	return img
}

// A new owner reads what its predecessor wrote while the other side has moved on.
func TestAnInheritedWriteIsNotGivenANewVersion(t *testing.T) {
	b := newBench(t, "lww", nil)
	b.heir()
	five, seven := b.version("five", 0), b.version("seven", 100*time.Millisecond)
	b.stored[0] = proa.Image{Item: text("seven"), Envelope: &proa.Envelope{Version: seven, Parent: five, Write: 1}}
	b.wrote(proa.Azure, "five", five, proa.Version{})
	b.store(proa.AWS, proa.Image{Item: text("nine"), Envelope: b.stored[0].Envelope}, false)
	b.now = b.now.Add(3 * time.Second) // the predecessor's write is later than the application's
	b.wrote(proa.Azure, "seven", seven, five)
	b.ends(text("nine"))
}

func TestWhatAnApplicationPutsBackIsNoInheritedWrite(t *testing.T) {
	b := newBench(t, "lww", nil)
	b.heir()
	saved := b.wrote(proa.Azure, "saved", b.version("saved", 0), proa.Version{})
	b.settle()
	b.put(proa.Azure, text("later"))
	b.settle()
	b.now = b.now.Add(time.Minute)
	b.store(proa.Azure, saved, false)
	b.ends(text("saved"))
}

func TestARememberedDeleteIsBroughtToTheOtherSide(t *testing.T) {
	b := newBench(t, "lww", nil)
	b.heir()
	one := b.version("one", 0)
	b.stored[1] = proa.Image{Item: text("one"), Envelope: &proa.Envelope{Version: one, Write: 1}}
	gone := proa.Version{Time: hlc.At(b.now.Add(time.Second)), Region: proa.AWS}
	b.step(Remembered{Side: proa.AWS, Version: gone, Parent: one, At: b.now})
	b.step(Observed{Side: proa.Azure, Row: b.row(proa.Azure), Began: b.now})
	b.ends(nil)
	if b.next[0] != 0 {
		t.Errorf("%d writes to the side that has deleted it", b.next[0])
	}
	if got := b.losers(); len(got) != 0 {
		t.Errorf("in the journal: %v", got)
	}
}

func TestARememberedDeleteDoesNotBeatWhatCameAfterIt(t *testing.T) {
	b := newBench(t, "lww", nil)
	b.heir()
	old, gone := b.version("old", 0), proa.Version{Time: hlc.At(b.now.Add(time.Second)), Region: proa.AWS}
	again := b.version("again", 2*time.Second)
	b.stored[0] = proa.Image{Item: text("again"), Envelope: &proa.Envelope{Version: again, Parent: gone, Write: 2}}
	b.stored[1] = proa.Image{Item: text("old"), Envelope: &proa.Envelope{Version: old, Write: 1}}
	b.step(Remembered{Side: proa.AWS, Version: gone, Parent: old, At: b.now})
	b.step(Remembered{Side: proa.Azure, Version: gone, Parent: old, At: b.now})
	for _, r := range proa.Regions() {
		b.step(Observed{Side: r, Row: b.row(r), Began: b.now})
	}
	b.ends(text("again"))
	if v := b.s.Winner.Version; v != again {
		t.Errorf("the winner was given a new version, %s", v)
	}
}

func TestADeleteIsNotPurgedBeforeItIsKept(t *testing.T) {
	b := newBench(t, "lww", nil)
	b.rules.KeepDeletes = true
	b.put(proa.AWS, text("one"))
	b.settle()
	b.put(proa.AWS, nil)
	b.settleUntilAsked()
	if !b.stored[1].Tombstone() {
		t.Fatalf("purged at once: %v", b.stored[1])
	}
	b.now = b.now.Add(time.Second)
	out := b.step(Dispatch{Side: proa.Azure, Fresh: b.now.Add(time.Second), Kept: b.s.Winner.Version})
	if len(out) != 1 {
		t.Fatalf("%v", out)
	}
	w, ok := out[0].(Write)
	if !ok || !w.Purge {
		t.Fatalf("%v", out)
	}
	b.write(w)
	b.ends(nil)
}

// settleUntilAsked settles until the core asks to keep a delete, and longer, as nobody answers.
func (b *bench) settleUntilAsked() {
	b.t.Helper()
	asked := 0
	for range 20 {
		b.now = b.now.Add(time.Second)
		b.read(proa.AWS)
		b.read(proa.Azure)
		for _, r := range proa.Regions() {
			for _, o := range b.step(Dispatch{Side: r, Fresh: b.now}) {
				switch o := o.(type) {
				case Write:
					b.write(o)
				case Remember:
					asked++
				}
			}
		}
	}
	if asked == 0 {
		b.t.Fatal("the core never asks to keep the delete")
	}
}

// The predecessor may have died before it judged a delete and what the other side holds.
func TestARememberedDeleteThatIsOlderIsInTheJournal(t *testing.T) {
	b := newBench(t, "lww", nil)
	b.heir()
	gone := proa.Version{Time: hlc.At(b.now), Region: proa.AWS}
	b.put(proa.Azure, text("newer"))
	b.read(proa.Azure)
	b.step(Remembered{Side: proa.AWS, Version: gone, Parent: b.version("old", -time.Second), At: b.now})
	b.ends(text("newer"))
	if list := b.clashes(); len(list) != 1 || list[0].Loser.Version != gone || !list[0].Loser.Tombstone {
		t.Errorf("the journal has %v", list)
	}
}

// An heir meets a replica first, and then a write over the original, which has no envelope.
func TestAnHeirKnowsTheOriginalOfAReplica(t *testing.T) {
	b := newBench(t, "lww", nil)
	b.heir()
	b.rules.Born = b.now
	one := proa.Version{Time: hlc.At(b.now.Add(time.Minute)), Region: proa.Azure, Hash: proa.ContentHash(text("one"))}
	b.stored[0] = proa.Image{Item: text("one"), Envelope: &proa.Envelope{Version: one, Write: 1}}
	b.stored[1] = proa.Image{Item: text("one")}
	b.step(Observed{Side: proa.AWS, Row: b.row(proa.AWS), Began: b.now})
	b.put(proa.Azure, text("two"))
	b.ends(text("two"))
}

// A predecessor had put a stamp back to the skew bound. Its heir meets the original, at the stamp's word, and
// a delete of the replica: after the replica, before it, or without it.
func TestAnHeirKnowsAReplicaWhoseStampWasPutBack(t *testing.T) {
	for _, order := range []string{"original, replica", "replica, original", "original"} {
		b := newBench(t, "lww", nil)
		b.heir()
		b.rules.Born = b.now
		stamped := proa.Version{Time: hlc.At(b.now.Add(time.Minute)), Region: proa.AWS, Hash: proa.ContentHash(text("one"))}
		back := stamped
		back.Time = hlc.At(b.now.Truncate(time.Second))
		b.stored[0] = proa.Image{Item: text("one"), Envelope: &proa.Envelope{Version: stamped}}
		b.wrote(proa.Azure, "one", back, proa.Version{})
		switch order {
		case "replica, original":
			b.read(proa.Azure)
		case "original":
			b.lose(proa.Azure)
		}
		b.step(Observed{Side: proa.AWS, Row: b.row(proa.AWS), Began: b.now})
		b.put(proa.Azure, nil)
		b.ends(nil)
	}
}

// What an application made of an item without proa is at the word of no envelope. The heir meets its replica,
// and then the original in a scan or as a previous image: it is the replica's state, though the envelope that
// it has left beside it is of a stamp minutes ahead.
func TestAnHeirKnowsTheOriginalBesideAStaleEnvelope(t *testing.T) {
	for _, met := range []string{"in a scan", "as a previous image"} {
		b := newBench(t, "lww", nil)
		b.heir()
		b.rules.Born = b.now
		stale := proa.Version{
			Time: hlc.At(b.now.Add(3 * time.Minute)), Region: proa.AWS, Hash: proa.ContentHash(text("before")),
		}
		back := b.version("one", 0)
		back.Time = hlc.At(b.now.Truncate(time.Second)).Next()
		b.stored[0] = proa.Image{Item: text("one"), Envelope: &proa.Envelope{Version: stale}}
		b.wrote(proa.Azure, "one", back, proa.Version{})
		b.read(proa.Azure)
		b.put(proa.Azure, text("two"))
		if met == "in a scan" {
			b.step(Observed{Side: proa.AWS, Row: b.row(proa.AWS), Began: b.now})
			b.ends(text("two"))
			continue
		}
		b.put(proa.AWS, text("three"))
		b.read(proa.AWS)
		if got := b.s.Winner; got.Version.Hash != proa.ContentHash(text("three")) || got.Parent != back {
			t.Errorf("%s: the winner is %s of %s, want \"three\" of %s", met, got.Version, got.Parent, back)
		}
	}
}
