package shadow

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/resolve"
	"github.com/proa-cloud/proa/hlc"
	"github.com/proa-cloud/proa/internal/store"
)

// BenchmarkCompareAMillionKeys measures what `proa verify` costs on a million keys: the comparison of digests when both sides are
// equal, the one that must find a key among them, and the walk that builds the digests after a start.
func BenchmarkCompareAMillionKeys(b *testing.B) {
	const keys = 1_000_000
	dir, err := os.MkdirTemp(".", "bench")
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(dir)
	db, err := store.Open(store.Options{Dir: dir})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	s, err := New(db, DefaultLimits())
	if err != nil {
		b.Fatal(err)
	}
	for from := 0; from < keys; from += 5000 {
		err := s.Lazy(func(tx *Tx) error {
			for i := from; i < from+5000; i++ {
				r, err := tx.Load(key(fmt.Sprintf("k%07d", i)))
				if err != nil {
					return err
				}
				equalSides(r.State, i)
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	began := time.Now()
	for done := false; !done; {
		if done, err = s.BuildDigest("t"); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(time.Since(began).Milliseconds()), "build-ms")
	began = time.Now()
	if c := s.CompareDigests("t"); !c.Ready || c.Keys != keys || len(c.Differing) != 0 {
		b.Fatalf("%d keys, %d buckets differ", c.Keys, len(c.Differing))
	}
	b.ReportMetric(float64(time.Since(began).Microseconds())/1000, "equal-ms")
	began = time.Now()
	found := 0
	_, err = s.Walk("t", "", keys, func(id string, st *resolve.State) error {
		if p := s.Part(id, st); p.Bucket == 7 {
			found++
		}
		return nil
	})
	if err != nil || found == 0 {
		b.Fatal(found, err)
	}
	b.ReportMetric(float64(time.Since(began).Milliseconds()), "drill-down-ms")
	b.ReportMetric(0, "ns/op")
}

// equalSides makes a state in which both sides hold the winner.
func equalSides(st *resolve.State, i int) {
	v := proa.Version{Time: hlc.At(began.Add(time.Duration(i))), Region: proa.AWS, Hash: proa.Hash{byte(i), byte(i >> 8), byte(i >> 16)}}
	h := resolve.Held{Exists: true, Version: v, Hash: v.Hash, Stored: &proa.Envelope{Version: v, Write: 1}}
	st.Winner = resolve.Winner{Version: v, Origin: began, Decided: began}
	for n := range st.Sides {
		st.Sides[n] = resolve.Side{Known: true, Feed: h, Position: "1", Touched: began}
	}
}
