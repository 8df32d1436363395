package datasync

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/internal/fake"
)

// TestASideThatWasRestoredIsBroughtUpToDate puts one side back to yesterday, and its sidecar with it.
func TestASideThatWasRestoredIsBroughtUpToDate(t *testing.T) {
	t.Parallel()
	for _, region := range proa.Regions() {
		t.Run(string(region), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			stateA, stateZ := w.withSidecars()
			side := map[proa.Region][2]*fake.Table{
				proa.AWS: {w.aws, stateA}, proa.Azure: {w.az, stateZ},
			}[region]
			a := w.join("node-1", vfs.NewMem())
			a.s.Assign(Tenure{Owner: "node-1", Epoch: 1})
			a.settle()
			for i := range 20 {
				w.aws.Put(order(fmt.Sprint("k", i), "yesterday"), 0)
			}
			a.settle()
			restoreTable, restoreState := side[0].Save(), side[1].Save()
			a.kill()
			b := w.join("node-2", vfs.NewMem())
			b.s.Assign(Tenure{Owner: "node-2", Epoch: 2})
			b.settle()
			for i := range 10 {
				w.az.Put(order(fmt.Sprint("k", i), "today"), 0)
			}
			w.aws.Put(order("k30", "new today"), 0)
			b.settle()
			restoreTable()
			restoreState()
			if err := b.s.SideRestored(t.Context(), "orders", region); err != nil {
				t.Fatal(err)
			}
			w.until("the side is scanned", func() bool { d, _ := b.s.Replication(region); return !d.Scanning })
			w.aws.Put(order("k31", "later"), 0)
			b.settle()
			if n := w.equal(32); n != 22 {
				t.Errorf("%d keys, want 22", n)
			}
			for id, want := range map[string]string{"k3": "today", "k15": "yesterday", "k30": "new today"} {
				if got := side[0].Item(key(id))["text"].Str; got != want {
					t.Errorf("%s is %q, want %q", id, got, want)
				}
			}
			if own := b.s.Ownership(); own.State != Owning {
				t.Errorf("a sidecar that was restored ends the owner: %+v", own)
			}
		})
	}
}

func TestOnlyARegionThatAnswersIsBegunAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	away := &switches{}
	w.az.Fault = away.fault
	w.ready()
	if err := w.s.SideRestored(t.Context(), "nope", proa.AWS); !errors.Is(err, proa.ErrNotFound) {
		t.Errorf("an unknown table: %v", err)
	}
	if err := w.s.SideRestored(t.Context(), "orders", "mars"); !errors.Is(err, proa.ErrInvalid) {
		t.Errorf("an unknown region: %v", err)
	}
	away.set(true)
	if err := w.s.SideRestored(t.Context(), "orders", proa.Azure); !errors.Is(err, proa.ErrUnavailable) {
		t.Errorf("a region that is away: %v", err)
	}
}

// A row that a gap's scan has read is ahead of the feed; what the feed shows after the next gap is not
// what led to that row.
func TestADeleteAfterASecondGapCrosses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var unscanned, unwritten atomic.Bool
	w.aws.Fault = func(op string) fake.Fault {
		if op == "scan" && unscanned.Load() || op == "swap" && unwritten.Load() {
			return fake.Throttle
		}
		return fake.None
	}
	gap := func(text string) {
		w.shutdown()
		w.aws.Put(order("k", text), 0)
		w.aws.Trim()
		w.start()
		w.until("the gap is found", func() bool { return w.s.Metrics().EventsGaps == 1 })
	}
	w.start()
	w.until("ready", func() bool { d, _ := w.s.Replication(proa.AWS); return d.Known && !d.Scanning })
	w.aws.Put(order("k", "one"), 0)
	w.quiet()
	unwritten.Store(true) // the row does not get the envelope that would show its place in the feed
	gap("two")
	w.until("the row is read", func() bool { return w.az.Item(key("k"))["text"].Str == "two" })
	unscanned.Store(true)
	gap("hidden")
	w.aws.Delete(key("k"), false, 0)
	w.until("the delete is captured", func() bool { return w.s.Metrics().EventsCaptured > 0 })
	unscanned.Store(false)
	unwritten.Store(false)
	w.quiet()
	if a, z := w.aws.Item(key("k")), w.az.Item(key("k")); a != nil || z != nil {
		t.Errorf("aws has %v, azure %v", a, z)
	}
}
