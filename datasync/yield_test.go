package datasync

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/internal/fake"
)

func TestEnvelopesYieldToABacklogAndComeToTheirEnd(t *testing.T) {
	w := newWorld(t)
	const keys = yieldTo + 200
	var full atomic.Bool
	w.az.Fault = func(op string) fake.Fault {
		if op == "swap" && full.Load() {
			return fake.Throttle // it can be reached, and takes nothing
		}
		return fake.None
	}
	w.ready()
	tb := w.s.tables()[0]
	check := func(side proa.Region, yields bool) {
		t.Helper()
		n, pause := tb.yield(tb.side(side), 256)
		if got := n == yieldBatch && pause == yieldPause; got != yields {
			t.Errorf("%s takes %d, then pauses for %v", side, n, pause)
		}
	}
	check(proa.AWS, false)
	full.Store(true)
	w.aws.Hide()
	for i := range keys {
		w.aws.Put(order(fmt.Sprint("k", i), "x"), 0)
	}
	w.aws.Show(-1)
	w.until("all are captured", func() bool {
		d, err := w.s.Replication(proa.AWS)
		return err == nil && d.Backlog == keys
	})
	check(proa.AWS, true)
	check(proa.Azure, false)
	full.Store(false)
	w.quiet()
	for i := range keys {
		k := key(fmt.Sprint("k", i))
		if w.az.Item(k) == nil || w.aws.Item(k)[proa.EnvelopeAttr].Map == nil {
			t.Fatalf("%v: %v, %v", k, w.aws.Item(k), w.az.Item(k))
		}
	}
}
