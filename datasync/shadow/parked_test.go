package shadow

import (
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/proa-cloud/proa"
)

// Changes that cannot be judged are kept up to a number and up to a size, the newest ones.
func TestMalformedChangesAreBoundedByNumberAndBytes(t *testing.T) {
	db, s := open(t, vfs.NewMem())
	defer db.Close()
	keep := func(n int, text string) {
		t.Helper()
		err := s.Commit(func(tx *Tx) error {
			for range n {
				if err := tx.Malformed(Malformed{Table: "t", New: proa.Item{"x": proa.String(text)}}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	kept := func(want int, newest uint64) {
		t.Helper()
		for range 2 {
			list, err := s.MalformedChanges()
			if err != nil || len(list) != want || list[0].ID != newest {
				t.Fatalf("%d kept, want %d, %v", len(list), want, err)
			}
			if err := s.TrimMalformed(); err != nil {
				t.Fatal(err)
			}
		}
	}
	keep(maxMalformed+50, "small")
	kept(maxMalformed, maxMalformed+50)
	for range 9 {
		keep(1, strings.Repeat("x", 8<<20))
	}
	kept(7, maxMalformed+59)
}
