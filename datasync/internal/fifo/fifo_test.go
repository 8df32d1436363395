package fifo

import (
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/proa-cloud/proa/internal/store"
)

// What was dropped stays on disk until it is compacted: a bound that is kept drops nothing more.
func TestFitStopsAtTheBound(t *testing.T) {
	db, err := store.Open(store.Options{Dir: "db", FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	const entry, entries, most = 8 << 10, 500, 1 << 20
	random := rand.NewChaCha8([32]byte{1})
	body := make([]byte, entry)
	for i := range uint64(entries) {
		_, _ = random.Read(body)
		if err := db.Set(Key('l', i+1), body, pebble.NoSync); err != nil {
			t.Fatal(err)
		}
		// neighbours in the same tables
		if err := db.Set(Key('k', i+1), body, pebble.NoSync); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Flush(); err != nil {
		t.Fatal(err)
	}
	first, next := uint64(1), uint64(entries+1)
	for round := range 40 {
		cut, err := Fit(db, 'l', first, next, most)
		if err != nil {
			t.Fatal(err)
		}
		if kept := (next - cut) * entry; kept > most || kept < most*3/4 {
			t.Fatalf("round %d: %d bytes kept of %d", round, kept, most)
		}
		if round > 0 && cut != first {
			t.Fatalf("round %d: %d more went, and nothing was written", round, cut-first)
		}
		if err := db.DeleteRange(Key('l', 0), Key('l', cut), pebble.NoSync); err != nil {
			t.Fatal(err)
		}
		first = cut
	}
	if cut, err := Fit(db, 'l', next, next, 0); err != nil || cut != next {
		t.Errorf("an empty log: %d, %v", cut, err)
	}
}
