package datasync

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/internal/fake"
	"github.com/proa-cloud/proa/datasync/residency"
	"github.com/proa-cloud/proa/datasync/resolve"
	"github.com/proa-cloud/proa/datasync/verify"
)

func (w *world) compared() verify.Result {
	w.t.Helper()
	var res verify.Result
	w.until("digests", func() bool {
		var err error
		if res, err = w.s.Compare(); err != nil && !errors.Is(err, proa.ErrUnavailable) {
			w.t.Fatal(err)
		} else if err == nil {
			return true
		}
		return false
	})
	return res
}

func TestDigestsFollowEveryChangeAndSurviveARestart(t *testing.T) {
	w := newWorld(t)
	w.ready()
	for i := range 700 {
		w.aws.Put(order(fmt.Sprint("a", i), "x"), 0)
		w.az.Put(order(fmt.Sprint("z", i), "x"), 0)
	}
	w.quiet()
	if res := w.compared(); res.Differences+res.InFlight != 0 || res.Keys != 1400 {
		t.Fatalf("%+v", res)
	}
	for i := range 100 {
		w.aws.Delete(key(fmt.Sprint("z", i)), false, 0)
	}
	w.quiet()
	if res := w.compared(); res.Differences+res.InFlight != 0 || res.Keys != 1300 {
		t.Fatalf("after deletes %+v", res)
	}
	w.shutdown()
	w.start()
	w.quiet()
	if res := w.compared(); res.Differences+res.InFlight != 0 || res.Keys != 1300 {
		t.Fatalf("after a restart %+v", res)
	}
}

func TestDigestsNameWhatIsUnderWayAndWhatDiffers(t *testing.T) {
	w := newWorld(t)
	var fault atomic.Int64
	w.az.Fault = func(op string) fake.Fault {
		if op == "swap" {
			return fake.Fault(fault.Load())
		}
		return fake.None
	}
	w.ready()
	for i := range 300 {
		w.aws.Put(order(fmt.Sprint("a", i), "x"), 0)
	}
	w.quiet()
	fault.Store(int64(fake.Throttle))
	for i := range 5 {
		w.aws.Put(order(fmt.Sprint("a", i), "y"), 0)
	}
	w.until("in flight", func() bool { r := w.compared(); return r.InFlight == 5 && r.Differences == 0 })
	bad := order("bad", "x")
	bad[proa.EnvelopeAttr] = proa.String("rubbish")
	w.aws.Put(bad, 0)
	// The poisoned key is not judged, so what the side holds of it is not part of the digests; a key
	// that cannot be stored is.
	fault.Store(int64(fake.Invalid))
	w.aws.Put(order("unfit", "x"), 0)
	w.until("a difference", func() bool {
		r := w.compared()
		for _, d := range r.First {
			if d.Key["id"].Str == "unfit" && d.Kind == verify.Missing && d.Detail != "" {
				return true
			}
		}
		return false
	})
}

// What a feed missed is not in the digests; a full comparison finds it and has it repaired.
func TestAFullComparisonRepairsWhatAFeedMissed(t *testing.T) {
	w := newWorld(t)
	w.ready()
	for i := range 50 {
		w.aws.Put(order(fmt.Sprint("k", i), "x"), 0)
	}
	w.quiet()
	w.az.Lose(key("k7"))
	if res := w.compared(); res.Differences != 0 {
		t.Fatalf("digests know of it: %+v", res)
	}
	res, err := w.s.Verify(context.Background(), VerifyOptions{Repair: true, Recheck: time.Millisecond})
	if err != nil || res.Differences != 1 {
		t.Fatalf("%+v, %v", res, err)
	}
	w.until("written again", func() bool { return w.az.Item(key("k7")) != nil })
	w.quiet()
}

func TestAScanIsPausedResumedAndOrdered(t *testing.T) {
	w := newWorld(t)
	for i := range 40 {
		w.aws.Put(order(fmt.Sprint("old", i), "x"), 0)
	}
	w.cfg.PageSize = 10
	var healed atomic.Bool
	w.aws.Fault = func(op string) fake.Fault {
		if op == "scan" && !healed.Load() {
			return fake.Down
		}
		return fake.None
	}
	w.start()
	if err := w.s.PauseScan("orders"); err != nil {
		t.Fatal(err)
	}
	healed.Store(true)
	w.until("the feeds are read", func() bool { d, _ := w.s.Replication(proa.Azure); return d.Known })
	w.az.Put(order("live", "x"), 0)
	w.until("changes cross while the scan is paused", func() bool { return w.aws.Item(key("live")) != nil })
	if w.az.Len() != 1 {
		t.Fatalf("azure has %d items while the scan is paused", w.az.Len())
	}
	w.shutdown()
	w.start()
	scans, err := w.s.Scans()
	if err != nil || len(scans) != 2 || !scans[0].Paused || scans[0].Done {
		t.Fatalf("%+v, %v", scans, err)
	}
	if err := w.s.ResumeScan("orders"); err != nil {
		t.Fatal(err)
	}
	w.quiet()
	if w.az.Len() != 41 {
		t.Fatalf("azure has %d items", w.az.Len())
	}
	w.az.Lose(key("old3"))
	if err := w.s.Rescan("orders"); err != nil {
		t.Fatal(err)
	}
	w.until("the sweep writes it again", func() bool { return w.az.Item(key("old3")) != nil })
	w.quiet()
	if err := w.s.Rescan("nothing"); !errors.Is(err, proa.ErrNotFound) {
		t.Errorf("%v", err)
	}
}

// A table beyond what a comparison lists, and a key that may not be listed, are repaired too.
func TestAFullComparisonRepairsWhatItDoesNotList(t *testing.T) {
	w := newWorld(t)
	late := proa.Schema{Table: "late", HashName: "id", HashKind: proa.KindS}
	aws, az := fake.New(proa.AWS, false, late, time.Now), fake.New(proa.Azure, true, late, time.Now)
	rules, err := residency.New(late, residency.Open, map[string]residency.Mode{"id": residency.NeverLogged}, proa.NewSecret("k"))
	if err != nil {
		t.Fatal(err)
	}
	w.cfg.Tables = append(w.cfg.Tables, Table{
		Schema: late, Rules: resolve.DefaultRules(late), Residency: rules, Sides: map[proa.Region]TableSide{
			proa.AWS:   {Table: aws, Feed: &fake.Feed{Table: aws}},
			proa.Azure: {Table: az, Feed: &fake.Feed{Table: az}},
		},
	})
	w.ready()
	const n = verify.MaxListed + 20
	for i := range n {
		w.aws.Put(order(fmt.Sprint("k", i), "x"), 0)
	}
	aws.Put(order("z", "x"), 0)
	w.until("both are there", func() bool {
		return w.az.Len() == n && az.Len() == 1
	})
	w.quiet()
	for i := range n {
		w.az.Lose(key(fmt.Sprint("k", i)))
	}
	z := proa.Key{Table: "late", Hash: proa.String("z")}
	az.Lose(z)
	res, err := w.s.Verify(context.Background(), VerifyOptions{Repair: true, Recheck: time.Millisecond})
	if err != nil || res.Differences != n+1 {
		t.Fatalf("%+v, %v", res, err)
	}
	w.until("all are written again", func() bool { return w.az.Len() == n && az.Item(z) != nil })
}
