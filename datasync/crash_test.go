package datasync

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/internal/fake"
	"github.com/proa-cloud/proa/datasync/resolve/journal"
	"github.com/proa-cloud/proa/hlc"
)

// crash ends the process without warning: what was not synced is gone, what was sent may still
// land.
func (w *world) crash(rng *rand.Rand) {
	w.t.Helper()
	clone := w.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
	w.shutdown()
	w.fs = clone
}

// TestCrashAtAnyPointLosesNothing writes both sides while the node is killed over and over and its
// disk forgets what was not synced.
func TestCrashAtAnyPointLosesNothing(t *testing.T) {
	for seed := range uint64(4) {
		w := newWorld(t)
		w.fs = vfs.NewCrashableMem()
		rng := rand.New(rand.NewPCG(seed, 1))
		faults := rand.New(rand.NewPCG(seed, 2))
		var mu sync.Mutex
		calm := false
		for _, side := range []*fake.Table{w.aws, w.az} {
			side.Fault = func(op string) fake.Fault {
				mu.Lock()
				defer mu.Unlock()
				if calm || op != "swap" && op != "purge" {
					return fake.None
				}
				return []fake.Fault{
					fake.None, fake.None, fake.None, fake.None, fake.LostReply, fake.LostWrite,
					fake.Late,
					fake.Throttle,
				}[faults.IntN(8)]
			}
		}
		w.start()
		for round := range 12 {
			for i := range 30 {
				side := []*fake.Table{w.aws, w.az}[rng.IntN(2)]
				k := key(fmt.Sprint("k", rng.IntN(20)))
				if rng.IntN(4) == 0 {
					side.Delete(k, false, 0)
				} else {
					side.Put(order(k.Hash.Str, fmt.Sprint(round, " ", i)), 0)
				}
				if rng.IntN(5) == 0 {
					time.Sleep(time.Duration(rng.IntN(3)) * time.Millisecond)
				}
			}
			w.crash(rng)
			if round%3 == 0 {
				w.aws.Land()
				w.az.Land()
			}
			w.start()
		}
		mu.Lock()
		calm = true
		mu.Unlock()
		w.aws.Land()
		w.az.Land()
		w.quiet()
		w.shutdown()
	}
}

func TestConflictOfAPartitionIsInTheJournalAfterARestart(t *testing.T) {
	w := newWorld(t)
	down := fake.Down
	var mu sync.Mutex
	w.az.Fault = func(string) fake.Fault { mu.Lock(); defer mu.Unlock(); return down }
	w.start()
	w.until("aws is read", func() bool {
		d, _ := w.s.Replication(proa.AWS)
		return d.Known &&
			!d.Scanning
	})
	w.aws.Put(order("a", "aws"), 0)
	w.az.Put(order("a", "azure"), 0)
	w.until("a backlog", func() bool { d, _ := w.s.Replication(proa.AWS); return d.Backlog == 1 })
	if d, _ := w.s.Replication(proa.Azure); d.Known {
		t.Errorf("azure cannot be read but its lag is known: %+v", d)
	}
	mu.Lock()
	down = fake.None
	mu.Unlock()
	w.quiet()
	w.shutdown()
	w.start()
	found, err := w.s.Conflicts(journal.Query{KeyID: key("a").ID()})
	if err != nil || len(found) != 1 {
		t.Fatalf("conflicts %v, %v", found, err)
	}
	if c := found[0]; c.Loser.Item == nil || c.Winner.Item == nil ||
		c.Loser.Version.Compare(c.Winner.Version) >= 0 {
		t.Errorf("conflict %+v", c)
	}
}

func TestFeedGapIsRepairedByAScanAndDeletesNothing(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.until("ready", func() bool { d, _ := w.s.Replication(proa.AWS); return d.Known && !d.Scanning })
	for i := range 30 {
		w.aws.Put(order(fmt.Sprint("k", i), "one"), 0)
	}
	w.quiet()
	w.shutdown()
	w.az.Put(order("k1", "changed in the gap"), 0)
	w.az.Put(order("new", "made in the gap"), 0)
	w.az.Delete(key("k2"), false, 0)
	w.az.Trim()
	w.start()
	w.until("the gap is found", func() bool { return w.s.Metrics().EventsGaps == 1 })
	w.until("the scan is over", func() bool {
		d, _ := w.s.Replication(proa.Azure)
		return !d.Scanning && w.s.Metrics().EventsScanned > 0
	})
	w.quiet()
	if got := w.aws.Item(key("k1"))["text"].Str; got != "changed in the gap" {
		t.Errorf("k1 is %q", got)
	}
	if w.aws.Item(key("new")) == nil || w.az.Item(key("k2")) == nil {
		t.Error("the union is not complete")
	}
	if m := w.s.Metrics(); m.Unions != 1 {
		t.Errorf("%d unexplained absences, want 1", m.Unions)
	}
}

func TestBackfillUnitesTablesThatHoldData(t *testing.T) {
	w := newWorld(t)
	for i := range 700 {
		w.aws.Put(order(fmt.Sprint("a", i), "aws"), 0)
		w.az.Put(order(fmt.Sprint("z", i), "azure"), 0)
	}
	w.aws.Put(order("both", "same"), 0)
	w.az.Put(order("both", "same"), 0)
	w.aws.Put(order("differs", "aws"), 0)
	w.az.Put(order("differs", "azure"), 0)
	w.start()
	w.quiet()
	if n := w.az.Len(); n != 1402 {
		t.Errorf("%d items at azure, want 1402", n)
	}
	found, err := w.s.Conflicts(journal.Query{})
	if err != nil || len(found) != 1 || found[0].Key["id"].Str != "differs" {
		t.Errorf("conflicts %+v, %v", found, err)
	}
}

func TestAnnouncedWritesAreListedUntilTheFeedShowsThem(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.until("ready", func() bool { d, _ := w.s.Replication(proa.AWS); return d.Known && !d.Scanning })
	w.aws.Hide()
	stamped := func(id string) (proa.Item, proa.Announcement) {
		content := order(id, "x")
		v := proa.Version{
			Time: hlc.At(w.s.clock.now()), Region: proa.AWS,
			Hash: proa.ContentHash(content),
		}
		return proa.Image{Item: content, Envelope: &proa.Envelope{Version: v}}.Stored(),
			proa.Announcement{
				Region: proa.AWS, Table: "orders", Key: schema.Attributes(key(id)),
				Version: v, At: time.Now(),
			}
	}
	for i := range 5 {
		item, a := stamped(fmt.Sprint("k", i))
		w.aws.Put(item, 0)
		if err := w.s.Announce(context.Background(), a); err != nil {
			t.Fatal(err)
		}
	}
	w.shutdown()
	w.start()
	list, total, err := w.s.Unreplicated(proa.AWS, 3)
	if err != nil || total != 5 || len(list) != 3 || list[0].Known != KnownAnnounced {
		t.Fatalf("%+v, %d, %v", list, total, err)
	}
	w.aws.Show(-1)
	w.quiet()
	w.until("nothing is unreplicated", func() bool {
		_, total, err := w.s.Unreplicated(proa.AWS, 10)
		return err == nil && total == 0
	})
	item, a := stamped("late")
	w.aws.Put(item, 0)
	w.quiet()
	// the announcement is overtaken by the feed
	if err := w.s.Announce(context.Background(), a); err != nil {
		t.Fatal(err)
	}
	if _, total, _ := w.s.Unreplicated(proa.AWS, 10); total != 0 {
		t.Errorf("%d unreplicated", total)
	}
	if err := w.s.Announce(context.Background(), proa.Announcement{
		Region: proa.AWS,
		Table:  "nope",
	}); err == nil {
		t.Error("an unknown table is accepted")
	}
}

func TestInvalidWriteQuarantinesOneKeyOnly(t *testing.T) {
	w := newWorld(t)
	var mu sync.Mutex
	odd := true
	w.az.Fault = func(op string) fake.Fault {
		mu.Lock()
		defer mu.Unlock()
		if odd && op == "swap" {
			odd = false
			return fake.Invalid
		}
		return fake.None
	}
	w.start()
	w.until("ready", func() bool { d, _ := w.s.Replication(proa.AWS); return d.Known && !d.Scanning })
	w.aws.Put(order("odd", "x"), 0)
	w.until("quarantine", func() bool { d, _ := w.s.Replication(proa.AWS); return d.Quarantined == 1 })
	w.aws.Put(order("even", "x"), 0)
	w.until("the other key crosses", func() bool { return w.az.Item(key("even")) != nil })
	list, _, err := w.s.Unreplicated(proa.AWS, 10)
	if err != nil || len(list) != 1 || list[0].Known != KnownQuarantined || list[0].Reason == "" {
		t.Fatalf("%+v, %v", list, err)
	}
	if err := w.s.Retry(key("odd")); err != nil {
		t.Fatal(err)
	}
	w.quiet()
}

func TestLogHoldsEachChangeOnce(t *testing.T) {
	w := newWorld(t)
	w.feeds[proa.AWS].Repeat = func(int) int { return 2 }
	w.start()
	w.until("ready", func() bool { d, _ := w.s.Replication(proa.AWS); return d.Known && !d.Scanning })
	for i := range 10 {
		w.aws.Put(order("k", fmt.Sprint(i)), 0)
		w.az.Put(order("other", fmt.Sprint(i)), 0)
	}
	w.quiet()
	events, next, err := w.s.Log().Read(0, 100)
	if err != nil || len(events) != 20 || next != 21 {
		t.Fatalf("%d events to %d, %v", len(events), next, err)
	}
	if _, err := events[0].CloudEvent(); err != nil {
		t.Error(err)
	}
	last := map[proa.Region]string{}
	for _, e := range events {
		last[e.Region] = e.Image.Item["text"].Str
	}
	if last[proa.AWS] != "9" || last[proa.Azure] != "9" {
		t.Errorf("not in order: %v", last)
	}
}

func TestDeadRegionIsNotHammeredAndIsResumedAtOnce(t *testing.T) {
	w := newWorld(t)
	var mu sync.Mutex
	down, calls := false, 0
	w.az.Fault = func(op string) fake.Fault {
		mu.Lock()
		defer mu.Unlock()
		if !down {
			return fake.None
		}
		calls++
		return fake.Down
	}
	w.start()
	w.quiet()
	mu.Lock()
	down = true
	mu.Unlock()
	for i := range 500 {
		w.aws.Put(order(fmt.Sprint("k", i), "x"), 0)
	}
	w.until("a backlog", func() bool { d, _ := w.s.Replication(proa.AWS); return d.Backlog == 500 })
	time.Sleep(300 * time.Millisecond)
	mu.Lock()
	calls = 0
	mu.Unlock()
	time.Sleep(time.Second)
	mu.Lock()
	if calls > 20 {
		t.Errorf("%d calls in a second to a region that is away", calls)
	}
	down = false
	mu.Unlock()
	began := time.Now()
	w.until("caught up", func() bool { d, _ := w.s.Replication(proa.AWS); return d.Backlog == 0 })
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("caught up only after %s", took)
	}
	w.quiet()
}
