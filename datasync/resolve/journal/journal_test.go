package journal

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/internal/store"
)

var began = time.Unix(1_700_000_000, 0).UTC()

func open(t *testing.T, fs *vfs.MemFS) (*pebble.DB, *Journal) {
	t.Helper()
	db, err := store.Open(store.Options{Dir: "db", FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	j, err := Open(db, 'j', 'J')
	if err != nil {
		t.Fatal(err)
	}
	return db, j
}

func keyID(name string) string { return proa.Key{Table: "t", Hash: proa.String(name)}.ID() }

func entry(n int, table, name, policy string) Conflict {
	item := proa.Item{"id": proa.String(name), "n": proa.String(fmt.Sprint(n))}
	return Conflict{
		Time: began.Add(time.Duration(n) * time.Minute), Table: table, Key: proa.Item{"id": proa.String(name)},
		Reason: "concurrent writes", Policy: policy, Winner: Side{Region: proa.AWS, Item: item, Time: began},
		Loser: Side{Region: proa.Azure, Tombstone: true, Time: began},
	}
}

func fill(t *testing.T, db *pebble.DB, j *Journal, entries ...Conflict) {
	t.Helper()
	b := db.NewBatch()
	for _, c := range entries {
		if err := j.Append(b, keyID(c.Key["id"].Str), c); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Commit(pebble.Sync); err != nil {
		t.Fatal(err)
	}
}

func ids(found []Conflict) (list []uint64) {
	for _, c := range found {
		list = append(list, c.ID)
	}
	return list
}

func TestTheJournalIsSearchedByTableKeyTimeAndPolicy(t *testing.T) {
	db, j := open(t, vfs.NewMem())
	defer db.Close()
	fill(t, db, j, entry(0, "t", "a", "lww"), entry(1, "t", "b", "merge"), entry(2, "u", "a", "lww"),
		entry(3, "t", "a", "merge; n counter"), entry(4, "t", "aa", "lww"))
	at := func(n int) time.Time { return began.Add(time.Duration(n) * time.Minute) }
	for _, tc := range []struct {
		name string
		q    Query
		want []uint64
	}{
		{"all, the newest first", Query{}, []uint64{5, 4, 3, 2, 1}},
		{"table", Query{Table: "t"}, []uint64{5, 4, 2, 1}},
		{"key, not its neighbours", Query{KeyID: keyID("a")}, []uint64{4, 3, 1}},
		{"since", Query{Since: at(3)}, []uint64{5, 4}},
		{"until", Query{Until: at(1)}, []uint64{2, 1}},
		{"between", Query{Since: at(1), Until: at(3)}, []uint64{4, 3, 2}},
		{"policy", Query{Policy: "merge"}, []uint64{4, 2}},
		{"key and policy", Query{KeyID: keyID("a"), Policy: "merge"}, []uint64{4}},
		{"page", Query{Limit: 2}, []uint64{5, 4}},
		{"next page", Query{Limit: 2, Before: 4}, []uint64{3, 2}},
		{"next page of a key", Query{KeyID: keyID("a"), Before: 4, Limit: 1}, []uint64{3}},
	} {
		got, err := j.Find(tc.q)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tc.want, ids(got)); diff != "" {
			t.Errorf("%s: %s", tc.name, diff)
		}
	}
}

func TestAnEntryIsKeptWholeOverARestart(t *testing.T) {
	fs := vfs.NewMem()
	db, j := open(t, fs)
	want := entry(0, "t", "a", "cel: \"x\"")
	want.Outcome, want.Note, want.Merged, want.Redacted = "merged", "why", proa.Item{"id": proa.String("a")}, []string{"ssn"}
	want.Base = &Side{Tombstone: true, Time: began}
	fill(t, db, j, want)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db, j = open(t, fs)
	defer db.Close()
	got, err := j.Get(1)
	if err != nil {
		t.Fatal(err)
	}
	want.ID = 1
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	fill(t, db, j, entry(1, "t", "b", "lww"))
	if kept, made, _ := j.Stats(); kept != 2 || made != 2 {
		t.Errorf("%d kept of %d: IDs go on after a restart", kept, made)
	}
	if _, err := j.Get(9); !errors.Is(err, proa.ErrNotFound) {
		t.Errorf("%v", err)
	}
}

func TestRetentionByAgeAndSizeCountsWhatItDrops(t *testing.T) {
	db, j := open(t, vfs.NewMem())
	defer db.Close()
	for i := range 100 {
		fill(t, db, j, entry(i, "t", fmt.Sprint("k", i), "lww"))
	}
	dropped, err := j.Trim(began.Add(50*time.Minute), 1<<40)
	if err != nil || dropped != 50 {
		t.Fatalf("by age: %d, %v", dropped, err)
	}
	if found, err := j.Find(Query{KeyID: keyID("k10")}); err != nil || len(found) != 0 {
		t.Errorf("a dropped entry is found: %v, %v", found, err)
	}
	big := entry(100, "t", "big", "lww")
	big.Winner.Item["text"] = proa.String(strings.Repeat("incompressible?", 100_000))
	fill(t, db, j, big)
	if err := db.Flush(); err != nil {
		t.Fatal(err)
	}
	if dropped, err = j.Trim(began, 1); err != nil || dropped == 0 {
		t.Fatalf("by size: %d, %v", dropped, err)
	}
	_, made, total := j.Stats()
	if made != 101 || total != 50+dropped {
		t.Errorf("%d made, %d dropped in all", made, total)
	}
	if _, err := j.Trim(began.Add(1000*time.Hour), 1); err != nil {
		t.Fatal(err)
	}
	if kept, _, _ := j.Stats(); kept != 1 {
		t.Errorf("%d kept: the last one stays, for its ID", kept)
	}
}

// A journal that has been cut to its bound stays as it is while nothing is written.
func TestRetentionBySizeKeepsWhatFits(t *testing.T) {
	db, j := open(t, vfs.NewMem())
	defer db.Close()
	random := rand.NewChaCha8([32]byte{1})
	text := make([]byte, 10<<10)
	for i := range 400 {
		e := entry(i, "t", fmt.Sprint("k", i%20), "lww")
		_, _ = random.Read(text)
		e.Winner.Item["b"] = proa.Binary(text)
		fill(t, db, j, e)
	}
	if err := db.Flush(); err != nil {
		t.Fatal(err)
	}
	const most = 2 << 20
	dropped, err := j.Trim(began, most)
	if err != nil || dropped == 0 {
		t.Fatalf("%d dropped, %v", dropped, err)
	}
	kept, _, _ := j.Stats()
	if size := kept * 10 << 10; size > most || size < most/2 {
		t.Errorf("%d entries of more than 10 KiB are kept", kept)
	}
	for range 40 {
		if again, err := j.Trim(began, most); err != nil || again != 0 {
			t.Fatalf("%d more dropped, %v", again, err)
		}
	}
	found, err := j.Find(Query{KeyID: keyID("k3"), Limit: 1000})
	if err != nil || len(found) == 0 || uint64(len(found)) > kept/20+1 {
		t.Errorf("%d of a key, %v", len(found), err)
	}
	fill(t, db, j, entry(1000, "t", "k3", "lww"))
	if after, err := j.Find(Query{KeyID: keyID("k3"), Limit: 1000}); err != nil || len(after) != len(found)+1 {
		t.Errorf("%d of a key, %v", len(after), err)
	}
}
