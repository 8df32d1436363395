package sim

import (
	"testing"
	"time"

	"github.com/proa-cloud/proa"
)

const (
	aws   = 0
	azure = 1
)

// script plays a history that is written out, on the first key, and holds its end against all promises.
type script struct {
	t *testing.T
	w *world
	n int // writes so far
}

func newScript(t *testing.T, c config) *script {
	t.Helper()
	c.keys = 1
	s := &script{t: t, w: newWorld(c, NoBug)}
	s.w.quiet = true // feeds are read to their ends
	return s
}

// do does some things, a tenth of a second apart.
func (s *script) do(side int, kinds ...kind) {
	for _, k := range kinds {
		a := action{kind: k, side: side, op: -1, pause: 100 * time.Millisecond, arg: 1}
		if k.writes() {
			a.op = s.n
			s.n++
		}
		s.w.act(&a)
	}
}

// write stores an item whose attributes are x and, where there is a second value, y.
func (s *script) write(side int, values ...string) {
	s.apply(side, func(site *site) proa.Image { return proa.Image{Item: written(values...)} })
}

func written(values ...string) proa.Item {
	item := proa.Item{"id": theKeys[0].Hash}
	for i, v := range values {
		item[attributes[i]] = proa.String(v)
	}
	return item
}

// apply is an application's write of what it makes of its side.
func (s *script) apply(side int, image func(*site) proa.Image) {
	w, site, k := s.w, s.w.sites[side], 0
	w.now = w.now.Add(100 * time.Millisecond)
	o := op{side: side, event: -1}
	if n := len(site.events[k]); site.set(k, image(site), site.rows[k].ghost|1<<s.n, s.n, false) {
		o.event = n
	}
	for len(w.ops[k]) <= s.n {
		w.ops[k] = append(w.ops[k], op{event: -1})
	}
	w.ops[k][s.n] = o
	s.n++
}

// replicate lets everything be done that there is to do.
func (s *script) replicate() {
	s.t.Helper()
	s.w.calm()
	if s.w.broken != nil {
		s.t.Fatal(s.w.broken)
	}
}

// send lets one write of the node to a side be made, and its answer be taken unless it is lost.
func (s *script) send(side int, answered bool) {
	s.do(side, dispatch)
	s.do(side, fly)
	if answered {
		s.do(side, fly)
	}
}

// ends repairs all, holds the promises against the end and wants both sides to hold an item, nil for
// none.
func (s *script) ends(want proa.Item) {
	s.t.Helper()
	s.w.end()
	if s.w.broken != nil {
		s.t.Fatal(s.w.broken)
	}
	for _, site := range s.w.sites {
		if got := site.rows[0].img.Item; !got.Equal(want) {
			s.t.Errorf("%s has %s, want %v", site.region, show(site.rows[0].img), want)
		}
	}
}

// journaled wants a content in the journal, and how many entries there are.
func (s *script) journaled(entries int, contents ...proa.Item) {
	s.t.Helper()
	list := s.w.owner.journal
	if len(list) != entries {
		s.t.Errorf("%d entries in the journal, want %d", len(list), entries)
	}
	for _, want := range contents {
		found := false
		for _, e := range list {
			found = found || e.version.Hash == proa.ContentHash(want)
		}
		if !found {
			s.t.Errorf("%v is not in the journal", want)
		}
	}
}

func TestSavedItemPutBackVerbatimWins(t *testing.T) {
	s := newScript(t, config{})
	s.write(aws, "one")
	s.replicate()
	saved := s.w.sites[aws].rows[0].img // with our envelope, whose hash fits
	s.write(azure, "two")
	s.replicate()
	s.apply(aws, func(*site) proa.Image { return saved })
	s.ends(written("one"))
	s.journaled(0)
}

func TestTwoInstancesFiveMinutesApartKeepTheirOrder(t *testing.T) {
	c := config{}
	c.writers[aws] = [2]time.Duration{-5 * time.Minute, -5 * time.Minute}
	c.writers[azure] = [2]time.Duration{5 * time.Minute, 5 * time.Minute}
	s := newScript(t, c)
	stamped := func(text string) func(*site) proa.Image {
		return func(site *site) proa.Image {
			return s.w.stamped(site, site.rows[0].img, written(text), false)
		}
	}
	s.apply(azure, stamped("ahead"))
	s.replicate()
	s.apply(aws, stamped("behind")) // it saw the other one's, and comes after it
	s.ends(written("behind"))
	s.journaled(0)
}

func TestForeignWritesWithinOneSecondOnBothSides(t *testing.T) {
	s := newScript(t, config{})
	s.write(aws, "a")
	s.write(azure, "b")
	s.replicate()
	// The stamps of both are the same second: the region decides, on every node alike.
	s.ends(written("b"))
	s.journaled(1, written("a"))
}

func TestOwnerDiesWithItsDiskBetweenTombstoneAndPurge(t *testing.T) {
	s := newScript(t, config{})
	s.write(aws, "one")
	s.replicate()
	s.apply(aws, func(*site) proa.Image { return proa.Image{} })
	s.do(aws, capture)
	s.send(azure, true)
	if !s.w.sites[azure].rows[0].img.Tombstone() {
		t.Fatalf("azure has %s, want a tombstone image", show(s.w.sites[azure].rows[0].img))
	}
	s.do(azure, loseDisk)
	s.ends(nil)
	s.journaled(0)
}

func TestFrozenOwnerThawsAfterItsSuccessorHasWritten(t *testing.T) {
	s := newScript(t, config{})
	s.write(aws, "one")
	s.do(aws, capture)
	s.do(azure, dispatch) // recorded, not sent
	s.do(azure, freeze)
	s.write(aws, "two")
	s.replicate()
	s.do(azure, thaw)
	s.ends(written("two"))
}

func TestNewOwnerReadsItsPredecessorsEchoes(t *testing.T) {
	s := newScript(t, config{})
	s.write(aws, "one")
	s.do(aws, capture)
	s.do(azure, dispatch)
	s.do(azure, freeze) // the next write is under way
	s.do(aws, capture)  // the successor's feeds begin here
	s.do(azure, capture)
	s.write(aws, "two") // the other side has moved on
	s.do(azure, thaw)   // and now the echo comes
	s.ends(written("two"))
	for _, e := range s.w.owner.journal {
		if e.version.Hash == proa.ContentHash(written("two")) {
			t.Errorf("the newer write lost to an echo: %s", e.version)
		}
	}
}

func TestLockRacesAnApply(t *testing.T) {
	s := newScript(t, config{})
	s.write(aws, "free")
	s.replicate()
	s.do(azure, appRead)
	s.write(aws, "newer")
	s.do(aws, capture)
	s.send(azure, false) // it lands between the lock's read and its write
	held := s.w.sites[azure].rows[0].img
	s.do(azure, appCAS)
	if got := s.w.sites[azure].rows[0].img; !same(got, held) || s.w.reached[LockRefused] == 0 {
		t.Errorf("the lock was taken over %s", show(held))
	}
	s.ends(written("newer"))
}

func TestLockTakenFirstRefusesTheApply(t *testing.T) {
	s := newScript(t, config{})
	s.write(aws, "free")
	s.replicate()
	s.do(azure, appRead)
	s.write(aws, "newer")
	s.do(aws, capture)
	s.do(azure, dispatch) // the write is on its way
	s.do(azure, appCAS)
	s.do(azure, fly)
	if s.w.reached[LockTaken] == 0 {
		t.Error("the lock was refused")
	}
	s.w.end()
	if s.w.broken != nil {
		t.Error(s.w.broken)
	}
	s.journaled(1) // one of the two, whole
}

func TestExpiryOnOneSideOnlyIsIgnoredWhereTheRulesSaySo(t *testing.T) {
	for _, ignore := range []bool{false, true} {
		c := config{}
		c.ignore[aws] = ignore
		s := newScript(t, c)
		s.write(azure, "kept")
		s.replicate()
		s.do(aws, appExpire)
		s.replicate()
		got := s.w.sites[azure].rows[0].img
		if ignore != got.Exists() {
			t.Errorf("ignored %t: azure has %s", ignore, show(got))
		}
		s.w.end()
		if s.w.broken != nil {
			t.Error(s.w.broken)
		}
	}
}

func TestSideRestoredToYesterdayBeatsNothingNewer(t *testing.T) {
	s := newScript(t, config{})
	s.write(aws, "yesterday")
	s.replicate()
	s.w.save(s.w.sites[azure])
	s.write(aws, "today")
	s.replicate()
	s.w.restore(s.w.sites[azure])
	s.ends(written("today"))
}

// What the writers of a restored side store is new, though it was made of yesterday's: what it beats is
// in the journal.
func TestWriteOnARestoredSideIsJournaledAgainstWhatItDidNotSee(t *testing.T) {
	s := newScript(t, config{})
	s.write(aws, "yesterday")
	s.replicate()
	s.w.save(s.w.sites[azure])
	s.write(aws, "today")
	s.replicate()
	s.w.restore(s.w.sites[azure])
	s.do(azure, capture) // the gap is noticed
	s.write(azure, "made of yesterday's")
	s.ends(written("made of yesterday's"))
	s.journaled(1, written("today"))
}

// DynamoDB's comparison cannot see an attribute that another writer added: it stays, and is told of.
func TestPartialUpdateUnderAnApplyIsNotLost(t *testing.T) {
	s := newScript(t, config{})
	s.write(azure, "one")
	s.replicate()
	s.write(azure, "two")
	s.do(azure, capture)
	s.do(aws, dispatch)
	s.apply(aws, func(site *site) proa.Image {
		img := site.rows[0].img
		img.Item = written("one", "slipped")
		return img
	})
	s.do(aws, fly)
	s.w.end()
	if s.w.broken != nil {
		t.Fatal(s.w.broken)
	}
	if s.w.reached[SlippedUnder] == 0 {
		t.Error("nothing slipped under")
	}
	found := s.w.sites[aws].rows[0].img.Item["y"].Str == "slipped"
	for _, e := range s.w.owner.journal {
		found = found || e.version.Hash == proa.ContentHash(written("one", "slipped"))
	}
	if !found {
		t.Error("the update is nowhere")
	}
}

// An attribute that never leaves its region is updated while a write of ours is on its way there: it is
// neither lost nor seen elsewhere.
func TestResidentAttributeUnderAPartialUpdateStays(t *testing.T) {
	s := newScript(t, config{resident: true})
	s.write(azure, "one")
	s.replicate()
	at := func(text string) func(*site) proa.Image {
		return func(site *site) proa.Image {
			img := site.rows[0].img
			item := written(img.Item["x"].Str)
			item[home] = proa.String(text)
			img.Item = item
			return img
		}
	}
	s.apply(aws, at("first"))
	s.replicate()
	s.write(azure, "two")
	s.do(azure, capture)
	s.do(aws, dispatch)
	s.apply(aws, at("second"))
	s.do(aws, fly)
	s.w.end()
	if s.w.broken != nil {
		t.Fatal(s.w.broken)
	}
	for side, want := range []proa.Item{
		{"id": theKeys[0].Hash, "x": proa.String("two"), home: proa.String("second")}, written("two"),
	} {
		if got := s.w.sites[side].rows[0].img.Item; !got.Equal(want) {
			t.Errorf("%s has %v, want %v", s.w.sites[side].region, got, want)
		}
	}
	s.journaled(0)
}

// A delete has no content that tells its version from another's: two owners can give the same one to two
// deletes of one second, and who has seen the former would beat all that led to the latter.
func TestHeirGivesItsDeleteAVersionOfItsOwn(t *testing.T) {
	s := newScript(t, config{skew: [2]time.Duration{-100 * time.Millisecond, -100 * time.Millisecond}})
	remove := func(*site) proa.Image { return proa.Image{} }
	s.write(aws, "one")
	s.apply(aws, remove)
	s.do(aws, capture)
	s.send(azure, false) // a tombstone image
	s.do(azure, loseDisk)
	s.do(aws, capture) // the successor's feeds begin here
	s.do(azure, capture)
	s.write(aws, "two")
	s.apply(aws, remove)
	s.do(aws, capture)
	s.apply(azure, func(site *site) proa.Image {
		return s.w.stamped(site, site.rows[0].img, written("three"), false)
	})
	s.ends(written("three"))
	s.journaled(1) // the second delete, which has seen "two"
}

// A later proa has written one side while a node that does not know its format owns data sync: the node leaves
// the key alone on both sides, and goes on with it once it has been upgraded.
func TestOlderNodeLeavesALaterFormatAlone(t *testing.T) {
	s := newScript(t, config{})
	s.write(aws, "one")
	s.replicate()
	there := s.w.sites[azure]
	s.w.poisoned[0] = true
	var meant proa.Image
	s.apply(azure, func(site *site) proa.Image {
		meant = s.w.stamped(site, site.rows[0].img, written("of a later proa"), false)
		fields := meant.Envelope.Value().Map
		fields["f"] = proa.Value{Kind: proa.KindN, Str: "2"}
		stored := written("of a later proa")
		stored[proa.EnvelopeAttr] = proa.Map(fields)
		return proa.SplitEnvelope(stored) // as the older node reads it
	})
	s.replicate()
	s.write(aws, "two")
	s.replicate()
	s.w.retry() // an operator's order changes nothing
	if got := there.rows[0].img; got.Envelope != nil || !got.Item.Equal(written("of a later proa")) {
		t.Errorf("azure has %s", show(got))
	}
	if got := s.w.sites[aws].rows[0].img.Item; !got.Equal(written("two")) {
		t.Errorf("aws has %v", got)
	}
	there.rows[0].img = meant // upgraded: what is stored is the same, and can be read
	s.ends(written("two"))
	s.journaled(1, written("of a later proa"))
}
