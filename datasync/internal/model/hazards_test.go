package model

import (
	"testing"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/internal/fake"
	"github.com/proa-cloud/proa/datasync/resolve"
	"github.com/proa-cloud/proa/hlc"
)

const (
	aws   = 0
	azure = 1
)

// script is a world that a test drives by hand.
type script struct {
	*world
	t     *testing.T
	fault fake.Fault // of the next write
	lost  []resolve.Clash
	held  []string // reasons of quarantine
}

func newScript(t *testing.T) *script {
	t.Helper()
	s := &script{world: newWorld(1, Config{Trace: true}), t: t}
	s.tell = func(o resolve.Output) {
		switch o := o.(type) {
		case resolve.Clash:
			s.lost = append(s.lost, o)
		case resolve.Quarantined:
			s.held = append(s.held, o.Reason)
		}
	}
	for _, site := range s.sides {
		site.feed.Repeat, site.feed.Limit = nil, 100
		site.table.Fault = func(op string) fake.Fault {
			if op != "swap" && op != "purge" {
				return fake.None
			}
			f := s.fault
			s.fault = fake.None
			return f
		}
	}
	return s
}

func (s *script) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("%v\n%s", err, s.trace.String())
	}
}

// read captures all that a side's feed shows.
func (s *script) read(side int) {
	s.t.Helper()
	s.wait(time.Millisecond)
	s.must(s.capture(side))
}

// push writes what is due at a side and takes the answer.
func (s *script) push(side int) {
	s.t.Helper()
	s.send(side)
	for len(s.flying) > 0 {
		s.must(s.fly())
	}
}

// send records what is due at a side as an intent.
func (s *script) send(side int) {
	s.t.Helper()
	s.must(s.dispatch(side))
}

func (s *script) wait(d time.Duration) { s.now = s.now.Add(d) }

// end lets everything come to rest and returns what both sides hold, nil for nothing.
func (s *script) end() proa.Item {
	s.t.Helper()
	for range 40 {
		s.wait(500 * time.Millisecond)
		s.must(s.settle())
	}
	s.must(s.converged())
	s.must(s.still())
	return s.sides[aws].table.Item(theKey).Without(proa.EnvelopeAttr)
}

func (s *script) wins(want proa.Item) {
	s.t.Helper()
	if got := s.end(); !got.Equal(want) || (got == nil) != (want == nil) {
		s.t.Errorf("got %s, want %s\n%s", show(proa.Image{Item: got}), show(proa.Image{Item: want}),
			s.trace.String())
	}
}

// loses checks that exactly these contents are in the journal, in order; nil is a delete.
func (s *script) loses(want ...proa.Item) {
	s.t.Helper()
	if len(s.lost) != len(want) {
		s.t.Fatalf("%d conflicts, want %d\n%s", len(s.lost), len(want), s.trace.String())
	}
	for i, c := range s.lost {
		if !c.Loser.Item.Equal(want[i]) || c.Loser.Tombstone != (want[i] == nil) || c.Loser.Missing {
			s.t.Errorf("loser %d is %+v, want %v", i, c.Loser, want[i])
		}
	}
}

func doc(x string) proa.Item { return proa.Item{"id": theKey.Hash, "x": proa.String(x)} }

// both puts an item that both sides hold at the start.
func (s *script) both(x string) {
	s.t.Helper()
	s.sides[aws].table.Put(doc(x), 0)
	if got := s.end(); !got.Equal(doc(x)) {
		s.t.Fatalf("start: %v", got)
	}
}

func TestItemPutBackVerbatimWins(t *testing.T) {
	for side := range 2 {
		s := newScript(t)
		s.both("one")
		saved := s.sides[side].table.Item(theKey)
		s.sides[side].table.Put(doc("two"), 0)
		s.end()
		s.sides[side].table.Put(saved, 0)
		s.wins(doc("one"))
		s.loses()
	}
}

func TestItemPutBackVerbatimWinsBeforeTheFirstWriteIsSeen(t *testing.T) {
	s := newScript(t)
	s.sides[azure].table.Put(doc("one"), 0)
	s.read(azure)
	s.push(aws) // the echo is not read yet
	saved := s.sides[aws].table.Item(theKey)
	s.sides[aws].table.Put(doc("two"), 0)
	s.sides[aws].table.Put(saved, 0)
	s.wins(doc("one"))
	s.loses()
}

func TestStampsOfSkewedInstancesDoNotBeatTheFeedsOrder(t *testing.T) {
	s := newScript(t)
	stamp := func(x string, skew time.Duration) proa.Item {
		content := doc(x)
		e := proa.Envelope{Version: proa.Version{
			Time: hlc.At(s.now.Add(skew)), Region: proa.AWS,
			Hash: proa.ContentHash(content),
		}}
		return proa.Image{Item: content, Envelope: &e}.Stored()
	}
	s.sides[aws].table.Put(stamp("ahead", 5*time.Minute), 0)
	s.wait(2 * time.Second)
	s.sides[aws].table.Put(stamp("behind", -5*time.Minute), 0)
	s.read(aws)
	s.wait(10 * time.Second)
	// by 10 s: a stamp of five minutes ahead must not beat it
	s.sides[azure].table.Put(doc("later"), 0)
	s.wins(doc("later"))
	s.loses(doc("behind"))
}

func TestStampWithinTheSkewBoundIsKeptAsItIs(t *testing.T) {
	s := newScript(t)
	content := doc("stamped")
	v := proa.Version{
		Time: hlc.At(s.now.Add(123 * time.Millisecond)), Region: proa.AWS,
		Hash: proa.ContentHash(content),
	}
	s.sides[aws].table.Put(proa.Image{Item: content, Envelope: &proa.Envelope{Version: v}}.Stored(), 0)
	s.wins(content)
	if s.state.Winner.Version != v {
		t.Errorf("version %s, want the stamp %s", s.state.Winner.Version, v)
	}
	if n := s.sides[aws].table.Writes; n != 0 {
		t.Errorf("%d writes at the side where it was written", n)
	}
}

func TestForeignWritesWithinOneSecondResolveTheSameWhoeverIsReadFirst(t *testing.T) {
	var ends []proa.Item
	for first := range 2 {
		s := newScript(t)
		s.sides[aws].table.Put(doc("a"), 0)
		s.sides[azure].table.Put(doc("z"), 0)
		s.read(first)
		s.read(1 - first)
		ends = append(ends, s.end())
		s.loses(doc("a"))
	}
	if !ends[0].Equal(ends[1]) {
		t.Errorf("%v and %v", ends[0], ends[1])
	}
}

func TestPartialUpdatesOfBothSidesLeaveOneWholeAndJournalTheOther(t *testing.T) {
	s := newScript(t)
	s.both("base")
	s.sides[aws].table.Update(theKey, proa.Item{"a": proa.String("1")}, 0)
	s.wait(3 * time.Second)
	s.sides[azure].table.Update(theKey, proa.Item{"z": proa.String("1")}, 0)
	want := doc("base")
	want["z"] = proa.String("1")
	lost := doc("base")
	lost["a"] = proa.String("1")
	s.wins(want)
	s.loses(lost)
}

func TestPartialUpdateThatSlipsUnderAWriteIsJudgedAgain(t *testing.T) {
	s := newScript(t)
	s.both("base")
	s.sides[azure].table.Put(doc("new"), 0)
	s.read(azure)
	s.send(aws) // compared with what was read before the update
	s.wait(3 * time.Second)
	s.sides[aws].table.Update(theKey, proa.Item{"a": proa.String("1")}, 0)
	s.push(aws)
	if item := s.sides[aws].table.Item(theKey); item["x"].Str != "new" || item["a"].Str != "1" {
		t.Fatalf("it did not slip: %v", item)
	}
	want := doc("base")
	want["a"] = proa.String("1")
	s.wins(want) // the later one, whole
	s.loses(doc("new"))
	if s.rep.Slipped != 1 {
		t.Errorf("slipped under %d times", s.rep.Slipped)
	}
}

func TestDeleteAndUpdateAtOnceResolveByTime(t *testing.T) {
	s := newScript(t)
	s.both("base")
	s.sides[aws].table.Delete(theKey, false, 0)
	s.wait(3 * time.Second)
	s.sides[azure].table.Put(doc("later"), 0)
	s.wins(doc("later"))
	s.loses(nil)

	s = newScript(t)
	s.both("base")
	s.sides[azure].table.Put(doc("earlier"), 0)
	s.wait(3 * time.Second)
	s.sides[aws].table.Delete(theKey, false, 0)
	s.wins(nil)
	s.loses(doc("earlier"))
}

func TestDeletedItemDoesNotComeBackByAWriteThatLandsLate(t *testing.T) {
	s := newScript(t)
	s.sides[aws].table.Put(doc("one"), 0)
	s.read(aws)
	s.fault = fake.Late // the copy to Azure times out, and is under way
	s.push(azure)
	s.wait(time.Second)
	s.push(azure) // tried again: stored
	s.read(azure)
	s.wait(time.Second)
	s.sides[aws].table.Delete(theKey, false, 0)
	s.end()
	s.sides[azure].table.Land() // the first try arrives where nothing is stored, as it was then
	s.wins(nil)
	s.loses()
}

func TestRecreatedItemIsAfterItsTombstoneWhateverTheClocksSay(t *testing.T) {
	s := newScript(t)
	s.both("one")
	s.wait(time.Hour)
	s.sides[aws].table.Delete(theKey, false, 0)
	s.end()
	s.sides[azure].skew = -30 * time.Minute
	s.sides[azure].table.Put(doc("again"), 0)
	s.wins(doc("again"))
	s.loses()
}

func TestWriteWhoseAnswerIsLostIsNotWrittenTwice(t *testing.T) {
	s := newScript(t)
	s.sides[aws].table.Put(doc("one"), 0)
	s.read(aws)
	s.fault = fake.LostReply
	s.push(azure)
	s.wins(doc("one"))
	if n := s.sides[azure].table.Writes; n != 1 {
		t.Errorf("%d writes at azure, want 1", n)
	}
}

func TestPartitionWithBothSidesWrittenEndsEqualWithTheLosersListed(t *testing.T) {
	s := newScript(t)
	s.both("base")
	for _, x := range []string{"a1", "a2"} {
		s.sides[aws].table.Put(doc(x), 0)
		s.wait(2 * time.Second)
	}
	for _, x := range []string{"z1", "z2"} {
		s.sides[azure].table.Put(doc(x), 0)
		s.wait(2 * time.Second)
	}
	s.wins(doc("z2"))
	s.loses(doc("a2"))
}

func TestExpiryIsMarkedAndCrosses(t *testing.T) {
	s := newScript(t)
	s.both("one")
	s.sides[aws].table.Delete(theKey, true, 0)
	s.wins(nil)
	if !s.state.Winner.Expired {
		t.Error("the tombstone does not say that it expired")
	}
}

func TestMalformedEnvelopeQuarantinesTheKeyUntilANewerWrite(t *testing.T) {
	s := newScript(t)
	s.both("one")
	bad := doc("bad")
	bad[proa.EnvelopeAttr] = proa.String("not an envelope")
	s.sides[aws].table.Put(bad, 0)
	s.read(aws)
	s.push(azure)
	s.push(aws)
	if len(s.held) != 1 || !s.sides[azure].table.Item(theKey)["x"].Equal(proa.String("one")) {
		t.Fatalf("quarantined %v; azure has %v", s.held, s.sides[azure].table.Item(theKey))
	}
	s.wait(2 * time.Second)
	s.sides[aws].table.Put(doc("good"), 0)
	s.wins(doc("good"))
}

func TestQuarantinedKeyIsTakenAsForeignOnRetry(t *testing.T) {
	s := newScript(t)
	s.both("one")
	bad := doc("bad")
	bad[proa.EnvelopeAttr] = proa.Map(proa.Item{"v": proa.String("?")})
	s.sides[azure].table.Put(bad, 0)
	s.read(azure)
	s.must(s.step(resolve.Retry{}, 0, -1))
	s.wins(doc("bad"))
}

func TestVersionFromTheFutureIsQuarantined(t *testing.T) {
	s := newScript(t)
	s.both("one")
	content := doc("far")
	e := proa.Envelope{Version: proa.Version{
		Time: hlc.At(s.now.Add(48 * time.Hour)), Region: proa.AWS,
		Hash: proa.ContentHash(content),
	}}
	s.sides[aws].table.Put(proa.Image{Item: content, Envelope: &e}.Stored(), 0)
	s.read(aws)
	s.push(azure)
	if len(s.held) != 1 || s.sides[azure].table.Item(theKey)["x"].Str != "one" {
		t.Fatalf("quarantined %v; azure has %v", s.held, s.sides[azure].table.Item(theKey))
	}
}

func TestRowOfUnknownAgeIsNeverDeletedByATombstone(t *testing.T) {
	s := newScript(t)
	s.sides[azure].table.Put(doc("old"), 0) // before the feeds were first read
	s.cursors[azure] = "1"
	s.sides[aws].table.Put(doc("mine"), 0)
	s.sides[aws].table.Delete(theKey, false, 0)
	s.wins(doc("old"))
}

func TestTombstoneIsForgottenOnlyAfterItsGrace(t *testing.T) {
	s := newScript(t)
	s.both("one")
	s.sides[aws].table.Delete(theKey, false, 0)
	s.end()
	forgotten := false
	s.tell = func(o resolve.Output) {
		_, ok := o.(resolve.Forget)
		forgotten = forgotten || ok
	}
	for range 2 {
		fresh := [2]time.Time{s.now, s.now}
		s.must(s.step(resolve.Tick{Fresh: fresh}, 0, -1))
		if forgotten {
			t.Fatal("forgotten too early")
		}
		s.wait(s.rules.TombstoneGrace - time.Hour)
	}
	s.wait(3 * time.Hour)
	s.must(s.step(resolve.Tick{Fresh: [2]time.Time{s.now, s.now}}, 0, -1))
	if !forgotten {
		t.Error("never forgotten")
	}
}
