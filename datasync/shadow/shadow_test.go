package shadow

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/internal/wire"
	"github.com/proa-cloud/proa/datasync/resolve"
	"github.com/proa-cloud/proa/hlc"
	"github.com/proa-cloud/proa/internal/store"
)

var (
	schema = proa.Schema{Table: "t", HashName: "id", HashKind: proa.KindS}
	began  = time.Unix(1_700_000_000, 0).UTC()
)

func key(id string) proa.Key { return proa.Key{Table: "t", Hash: proa.String(id)} }

func open(t *testing.T, fs *vfs.MemFS) (*pebble.DB, *Store) {
	t.Helper()
	db, err := store.Open(store.Options{Dir: "db", FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(db, DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	return db, s
}

// capture steps the core with a write of a key at a region.
func capture(t *testing.T, s *Store, r proa.Region, id, text string, n int) {
	t.Helper()
	rules := resolve.DefaultRules(schema)
	err := s.Commit(func(tx *Tx) error {
		rec, err := tx.Load(key(id))
		if err != nil {
			return err
		}
		c := proa.Change{
			Region: r, Key: key(id), Time: began.Add(time.Duration(n) * time.Second), Position: proa.Position(fmt.Sprint(n)),
			Old: &proa.Image{}, New: proa.Image{Item: proa.Item{"id": proa.String(id), "text": proa.String(text)}},
		}
		rules.Step(rec.State, began.Add(time.Hour), resolve.Captured{Change: c})
		tx.Saw(began.Add(time.Hour))
		return tx.Requeue(rules, rec)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestEverythingOfAStateSurvivesTheDisk(t *testing.T) {
	v := proa.Version{Time: hlc.At(began), Region: proa.AWS, Hash: proa.Hash{1}}
	w := resolve.Winner{Version: v, Parent: v, Tombstone: true, Expired: true, Origin: began, Decided: began, Of: []proa.Version{v}}
	e := &proa.Envelope{Version: v, Parent: v, Tombstone: true, Write: 9}
	h := resolve.Held{Exists: true, Version: v, Stored: e, Hash: proa.Hash{2}, Tombstone: true, Gone: true, Lapsed: true, Malformed: "m", ETag: "t"}
	side := resolve.Side{
		Known: true, Feed: h, Position: "123", Placed: began.Add(time.Minute), Unpositioned: true, Read: began.Add(time.Second), Spread: true, Ahead: &h, AheadBy: 7, LastAssigned: 8, Shown: 9, Touched: began, Judged: v, Landed: 11,
		Intents:  []resolve.Intent{{ID: 3, Version: v, Purge: true, Seen: resolve.Print{Exists: true, Stored: v, Hash: proa.Hash{3}}, Sent: began, Echoed: true, Refused: true, Over: began}},
		InFlight: 3, Refused: began, Attempts: 2, RetryAt: began,
		Poison: &resolve.Poison{Reason: "why", Image: proa.Image{Item: proa.Item{"id": proa.String("k")}, Envelope: e, Malformed: "m"}, ETag: "t", At: began, Time: began, Parent: v},
		Unfit:  &resolve.Unfit{Version: v, Reason: "why", At: began},
	}
	want := &resolve.State{
		Key: key("k"), Winner: w, Sides: [2]resolve.Side{side, side}, LastID: 5, Bodies: map[proa.Hash]proa.Item{{4}: nil},
		Hold: &resolve.Hold{Other: w, Reason: "why", At: began},
	}
	b := encodeRecord(&Record{State: want})
	got, err := decodeRecord(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got.State); diff != "" {
		t.Error(diff)
	}
	for n := range b {
		if _, err := decodeRecord(b[:n]); !errors.Is(err, wire.ErrCorrupt) {
			t.Fatalf("%d bytes of a record: %v", n, err)
		}
	}
	b[0] = recordFormat + 1
	if _, err := decodeRecord(b); !errors.Is(err, wire.ErrCorrupt) {
		t.Errorf("a newer format: %v", err)
	}
}

// Records of format 1, which an earlier proa wrote, lack the lapse of each held state, the hold and the
// winner's former names.
func TestRecordsOfTheFirstFormatAreRead(t *testing.T) {
	e := encoder{}
	e.B = append(e.B, 1)
	s := &resolve.State{Key: key("k"), LastID: 5}
	e.Key(s.Key)
	e.winner(&s.Winner)
	e.B = e.B[:len(e.B)-1] // the count of names
	e.Uint(s.LastID)
	e.Uint(0)
	for i := range s.Sides {
		var one encoder
		one.side(&s.Sides[i])
		at := 1 + heldSize() // known, then the held state, whose last byte is the lapse
		var newer encoder
		newer.Bool(false)
		newer.Time(time.Time{})
		newer.Time(time.Time{})
		newer.Version(proa.Version{})
		newer.Uint(0)
		one.B = append(one.B[:at-1:at-1], one.B[at:len(one.B)-len(newer.B)]...)
		e.B = append(e.B, one.B...)
		e.slot(slot{})
	}
	got, err := decodeRecord(e.B)
	if err != nil || got.State.LastID != 5 || got.State.Hold != nil {
		t.Fatalf("%+v, %v", got, err)
	}
}

func heldSize() int {
	var e encoder
	e.held(&resolve.Held{})
	return len(e.B)
}

func TestQueuesAndStatesAreTheSameAfterARestart(t *testing.T) {
	fs := vfs.NewMem()
	db, s := open(t, fs)
	for i := range 30 {
		capture(t, s, proa.AWS, fmt.Sprint("k", i), "x", i+1)
	}
	before := s.Depth("t", proa.Azure)
	if before.Ready != 30 || before.Backlog != 30 || s.Keys("t") != 30 {
		t.Fatalf("%+v, %d keys", before, s.Keys("t"))
	}
	next, _, err := s.Next("t", proa.Azure, began, 7)
	if err != nil || len(next) != 7 || next[0].Key.Hash.Str != "k0" || next[6].Key.Hash.Str != "k6" {
		t.Fatalf("the oldest first: %+v, %v", next, err)
	}
	was, err := s.State(key("k3"))
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db, s = open(t, fs)
	defer db.Close()
	if after := s.Depth("t", proa.Azure); after != before || s.Keys("t") != 30 || !s.Clock().Equal(began.Add(time.Hour)) {
		t.Errorf("%+v, %d keys, clock %s", after, s.Keys("t"), s.Clock())
	}
	is, err := s.State(key("k3"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range is.Sides {
		if len(is.Sides[i].Intents) == 0 {
			is.Sides[i].Intents = nil
		}
	}
	if diff := cmp.Diff(was, is); diff != "" {
		t.Error(diff)
	}
}

func TestAFailedBatchBreaksTheStore(t *testing.T) {
	db, s := open(t, vfs.NewMem())
	defer db.Close()
	boom := errors.New("boom")
	if err := s.Commit(func(*Tx) error { return boom }); !errors.Is(err, boom) {
		t.Fatal(err)
	}
	if err := s.Commit(func(*Tx) error { return nil }); !errors.Is(err, ErrBroken) || !errors.Is(err, boom) {
		t.Errorf("after it: %v", err)
	}
}

func TestForgettingAKeyLeavesNothingOfIt(t *testing.T) {
	db, s := open(t, vfs.NewMem())
	defer db.Close()
	capture(t, s, proa.AWS, "k", "x", 1)
	if err := s.Commit(func(tx *Tx) error { return tx.Forget(key("k")) }); err != nil {
		t.Fatal(err)
	}
	if st, err := s.State(key("k")); err != nil || st != nil || s.Keys("t") != 0 || s.Depth("t", proa.Azure) != (Depth{}) {
		t.Errorf("%+v, %v, %d keys", st, err, s.Keys("t"))
	}
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte{keyBody}, UpperBound: []byte{keyBody + 1}})
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	if it.First() {
		t.Errorf("a body is left: %q", it.Key())
	}
}

func TestADigestBuiltDuringWorkIsTheOneBuiltAfterIt(t *testing.T) {
	fs := vfs.NewMem()
	db, s := open(t, fs)
	for i := range 3 * digestPage / 2 {
		capture(t, s, proa.AWS, fmt.Sprintf("k%05d", i), "x", i+1)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db, s = open(t, fs)
	defer db.Close()
	if done, err := s.BuildDigest("t"); done || err != nil {
		t.Fatalf("one page of two: %t, %v", done, err)
	}
	if s.CompareDigests("t").Ready {
		t.Error("it is ready before it is built")
	}
	// Changes on both sides of where the walk has come, and a new key on each.
	for n, id := range []string{"k00001", "k00700", "a", "z"} {
		capture(t, s, proa.AWS, id, "changed", 2000+n)
	}
	if done, err := s.BuildDigest("t"); !done || err != nil {
		t.Fatalf("%t, %v", done, err)
	}
	during := s.CompareDigests("t")
	if !during.Ready || during.Keys != 3*digestPage/2+2 {
		t.Fatalf("%d keys", during.Keys)
	}
	built := s.digests.tables["t"].Digest
	s.digests.tables["t"] = &tableDigest{}
	for done := false; !done; {
		var err error
		if done, err = s.BuildDigest("t"); err != nil {
			t.Fatal(err)
		}
	}
	if s.digests.tables["t"].Digest != built {
		t.Error("they differ")
	}
}

func TestAnnouncementsAreKeptUntilTheFeedShowsThem(t *testing.T) {
	fs := vfs.NewMem()
	db, s := open(t, fs)
	a := proa.Announcement{
		Region: proa.AWS, Table: "t", Key: proa.Item{"id": proa.String("k")}, At: began,
		Version: proa.Version{Time: hlc.At(began), Region: proa.AWS, Hash: proa.Hash{1}},
	}
	if err := s.Commit(func(tx *Tx) error { return tx.Announce(key("k"), a) }); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db, s = open(t, fs)
	defer db.Close()
	if n, list, err := s.Announced(proa.AWS, 10); n != 1 || len(list) != 1 || err != nil {
		t.Fatalf("%d, %+v, %v", n, list, err)
	}
	err := s.Commit(func(tx *Tx) error { return tx.Shown(proa.AWS, key("k").ID(), hlc.At(began), time.Time{}) })
	if err != nil {
		t.Fatal(err)
	}
	if n, _, err := s.Announced(proa.AWS, 10); n != 0 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}
