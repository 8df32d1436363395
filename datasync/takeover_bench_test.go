package datasync

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/sidecar"
	"github.com/proa-cloud/proa/hlc"
)

// BenchmarkTakeover measures how long a node with an empty disk takes from being named the owner until
// it has brought over its first changes, of a new key and of one that both sides held, and until it
// has read all keys. The stores cost nothing but the fake's own time.
func BenchmarkTakeover(b *testing.B) {
	for _, keys := range []int{10_000, 100_000} {
		b.Run(fmt.Sprint("keys=", keys), func(b *testing.B) {
			for range b.N {
				takeover(b, keys)
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

func takeover(b *testing.B, keys int) {
	w := newWorld(b)
	w.withSidecars()
	w.cfg.PollMin, w.cfg.PollMax = Default().PollMin, Default().PollMax
	w.cfg.Tables[0].Rules.FeedWait = 2 * time.Second
	for i := range keys {
		content := order(fmt.Sprint("k", i), "x")
		v := proa.Version{Time: hlc.At(time.Now()), Region: proa.AWS, Hash: proa.ContentHash(content)}
		item := proa.Image{Item: content, Envelope: &proa.Envelope{Version: v, Write: 1}}.Stored()
		w.aws.Put(item, 0)
		w.az.Put(item, 0)
	}
	for _, r := range proa.Regions() {
		car := sidecar.New(w.cfg.Sidecars[r], "proa", "first", nil)
		_, err := car.Claim(b.Context(), 1, "node-1")
		cursor, err2 := w.feeds[r].Now(b.Context())
		err3 := car.Save(b.Context(), map[string]sidecar.Feed{"orders": {Cursor: cursor, At: time.Now()}})
		if err := errors.Join(err, err2, err3); err != nil {
			b.Fatal(err)
		}
	}
	w.aws.Put(order("new", "x"), 0)
	w.az.Put(order(fmt.Sprint("k", keys/2), "changed"), 0)
	b.ResetTimer()
	began := time.Now()
	second := w.join("node-2", vfs.NewMem())
	second.s.Assign(Tenure{Owner: "node-2", Epoch: 2})
	w.s = second.s
	w.until("a new key is there", func() bool { return w.az.Item(key("new")) != nil })
	b.ReportMetric(float64(time.Since(began).Milliseconds()), "ms-first")
	w.until("a changed key is there", func() bool {
		return w.aws.Item(key(fmt.Sprint("k", keys/2)))["text"].Str == "changed"
	})
	b.ReportMetric(float64(time.Since(began).Milliseconds()), "ms-changed")
	w.patience = 10 * time.Minute
	w.until("all keys are known", func() bool {
		d, _ := second.s.Replication(proa.AWS)
		e, _ := second.s.Replication(proa.Azure)
		return !d.Scanning && !e.Scanning
	})
	b.ReportMetric(float64(time.Since(began).Milliseconds()), "ms-all")
	b.StopTimer()
	second.kill()
}
