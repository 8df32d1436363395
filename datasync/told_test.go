package datasync

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/resolve"
	"github.com/proa-cloud/proa/hlc"
)

// told returns the keys of the events in a node's log from an offset on, sorted, and where it ends.
func (p *peer) told(from uint64) (keys []string, next uint64) {
	p.w.t.Helper()
	events, next, err := p.s.Log().Read(from, 10_000)
	if err != nil {
		p.w.t.Fatal(err)
	}
	for _, e := range events {
		keys = append(keys, e.Key.Hash.Str)
	}
	slices.Sort(keys)
	return keys, next
}

// A new owner, whose shadow index is made anew, tells what changed while nobody owned data sync, and not
// the whole table once more.
func TestAHandOverTellsWhatChangedAndNotTheTable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.withSidecars()
	a, b := w.join("node-1", vfs.NewMem()), w.join("node-2", vfs.NewMem())
	a.s.Assign(Tenure{Owner: "node-1", Epoch: 1})
	b.s.Assign(Tenure{Owner: "node-1", Epoch: 1})
	a.settle()
	for i := range 40 {
		w.aws.Put(order(fmt.Sprint("k", i), "x"), 0)
	}
	for i := range 10 {
		w.az.Put(order(fmt.Sprint("z", i), "x"), 0)
	}
	a.settle()
	keys, end := a.told(0)
	if len(keys) != 50 {
		t.Fatalf("%d events, want 50: %v", len(keys), keys)
	}
	kept := func(p *peer) { // a successor tells again what its predecessor's place is not past yet
		w.until("the places are kept", func() bool {
			for i, k := range p.s.parts.Load().keepers {
				end, err := p.s.tables()[0].sides[i].feed.Now(t.Context())
				if err != nil || k.due() || k.car.Root().Feeds["orders"].Cursor != end {
					return false
				}
			}
			return true
		})
	}
	kept(a)
	a.s.Assign(Tenure{Owner: "", Epoch: 2})
	b.s.Assign(Tenure{Owner: "", Epoch: 2})
	w.until("nobody reads any more", func() bool {
		a.s.owner.mu.Lock()
		defer a.s.owner.mu.Unlock()
		return !a.s.owner.serving
	})
	w.aws.Put(order("new", "x"), 0)
	w.aws.Put(order("k1", "y"), 0)
	w.az.Delete(key("z1"), false, 0)
	stamped := order("stamped", "x")
	w.az.Put(proa.Image{Item: stamped, Envelope: &proa.Envelope{Version: proa.Version{
		Time: hlc.At(time.Now()), Region: proa.Azure, Hash: proa.ContentHash(stamped),
	}}}.Stored(), 0)
	hand := func(to *peer, epoch uint64) {
		for _, p := range []*peer{a, b} {
			p.s.Assign(Tenure{Owner: to.name, Epoch: epoch})
		}
		to.settle()
		w.until("both sides are scanned", func() bool {
			scans, err := to.s.Scans()
			return err == nil && len(scans) == 2 && scans[0].Done && scans[1].Done
		})
		kept(to)
	}
	hand(b, 3)
	keys, endB := b.told(0)
	if diff := cmp.Diff([]string{"k1", "new", "stamped", "z1"}, keys); diff != "" {
		t.Errorf("the new owner tells: %s", diff)
	}
	hand(a, 4)
	hand(b, 5)
	if keys, _ := a.told(end); len(keys) > 1 { // a stamp of the last minute may be told twice
		t.Errorf("nothing was written, and told: %v", keys)
	}
	if keys, _ := b.told(endB); len(keys) > 1 {
		t.Errorf("nothing was written, and told: %v", keys)
	}
}

// What a writer stamped itself is told again unless the predecessor has surely met it.
func TestAStampFromAfterThePredecessorsPlaceIsTold(t *testing.T) {
	now := time.Now()
	tb := &table{sides: [2]*side{{}, {}}, rules: resolve.Rules{Born: now}}
	told := func(age time.Duration, write uint64, in resolve.Input) bool {
		v := proa.Version{Time: hlc.At(now.Add(-age)), Region: proa.Azure}
		o := resolve.Append{Region: proa.Azure, Version: v, Image: proa.Image{
			Envelope: &proa.Envelope{Version: v, Write: write},
		}}
		return !tb.toldBefore(o, in)
	}
	if !told(time.Hour, 0, resolve.Observed{}) {
		t.Error("nobody knows how far the predecessor came: it must be told")
	}
	tb.sides[1].heard.Store(now.Add(-10 * time.Minute).UnixNano())
	for _, tc := range []struct {
		age   time.Duration
		write uint64
		in    resolve.Input
		want  bool
	}{
		{time.Hour, 0, resolve.Observed{}, false},
		{time.Minute, 0, resolve.Observed{}, true},
		{10*time.Minute + 30*time.Second, 0, resolve.Observed{}, true},
		{time.Minute, 7, resolve.Observed{}, false},
		{time.Hour, 0, resolve.Captured{}, true},
		{time.Minute, 7, resolve.Captured{}, false},
	} {
		if got := told(tc.age, tc.write, tc.in); got != tc.want {
			t.Errorf("%+v: told %t", tc, got)
		}
	}
	tb.rules.Born = time.Time{}
	if !told(time.Hour, 7, resolve.Observed{}) {
		t.Error("an index that was never begun anew has met what its table has not told")
	}
}
