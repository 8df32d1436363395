package objects

import (
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/resolve/journal"
)

// save returns what puts a bucket back to what it holds now, without a notice of anything.
func (b *bucket) save() (restore func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	then := maps.Clone(b.objects)
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.objects = maps.Clone(then)
	}
}

func (p *pair) side(region proa.Region) *bucket {
	if region == proa.AWS {
		return p.s3
	}
	return p.blob
}

func numbered(from, to int, body string) map[string]string {
	out := map[string]string{}
	for i := from; i < to; i++ {
		out[fmt.Sprintf("o%03d", i)] = body
	}
	return out
}

func (b *bucket) putAll(objects map[string]string) {
	for name, body := range objects {
		b.put(name, body, nil)
	}
}

// yesterday is a pair whose side was put back: since then "new" objects were written at the other side, "changed" ones
// written anew, and one deleted.
func yesterday(t *testing.T, region proa.Region, notices bool) (p *pair, restore func()) {
	t.Helper()
	p = newPair(t)
	if notices {
		withNotices(p)
	}
	p.s3.putAll(numbered(0, 20, "yesterday"))
	p.start()
	if notices {
		p.unhurried()
	}
	p.settled()
	restore = p.side(region).save()
	p.side(region.Other()).putAll(numbered(10, 15, "today"))
	p.side(region.Other()).putAll(numbered(100, 140, "new today"))
	p.side(region).put("o005", "today at the side itself", nil)
	p.side(region.Other()).del("o000")
	p.settled()
	return p, restore
}

func today() map[string]string {
	want := numbered(1, 20, "yesterday")
	maps.Copy(want, numbered(10, 15, "today"))
	maps.Copy(want, numbered(100, 140, "new today"))
	want["o005"] = "today at the side itself"
	return want
}

func (p *pair) swept() {
	p.t.Helper()
	wait(p.t, "both sides to be swept", func() bool {
		return !p.r.Direction(proa.AWS).Scanning && !p.r.Direction(proa.Azure).Scanning
	})
	p.settled()
}

func TestABucketThatWasRestoredIsBroughtUpToDate(t *testing.T) {
	for _, region := range proa.Regions() {
		for _, versions := range []bool{false, true} {
			t.Run(fmt.Sprint(region, versions), func(t *testing.T) {
				p, restore := yesterday(t, region, false)
				p.side(region).mu.Lock()
				p.side(region).versions = versions
				p.side(region).mu.Unlock()
				if err := p.r.Pause(); err != nil {
					t.Fatal(err)
				}
				p.stop()
				p.start() // a pause outlives the process
				restore()
				if d := p.r.Direction(region); d.Known || d.Err == nil {
					t.Errorf("a paused bucket says %+v", d)
				}
				if err := p.r.Restored(region, time.Now()); err != nil {
					t.Fatal(err)
				}
				wait(t, "the new epoch", func() bool { return len(p.r.Holds()) == 0 && p.r.Paused().IsZero() })
				p.swept()
				p.equal(today())
				if n := p.r.Objects(); n != int64(len(today())) {
					t.Errorf("%d objects are counted, want %d", n, len(today()))
				}
				losers := map[string]bool{}
				for _, c := range p.conflicts() {
					losers[c.Object] = true
					kept := c.Loser.Object
					if kept == nil || kept.VersionID == "" && kept.Kept == "" {
						t.Errorf("an older state is not kept: %+v", c)
					}
				}
				for _, name := range []string{"o000", "o005", "o010", "o014"} {
					if !losers[name] {
						t.Errorf("the older state of %s is not in the journal: %v", name, losers)
					}
				}
				p.side(region).put("o005", "later", nil)
				p.side(region).del("o016")
				p.settled()
				want := today()
				want["o005"] = "later"
				delete(want, "o016")
				p.equal(want)
			})
		}
	}
}

// Without an order, a bucket that is put back or emptied deletes nothing of what has no notice.
func TestManyDeletesThatNobodySaidAreHeld(t *testing.T) {
	for _, region := range proa.Regions() {
		t.Run(string(region), func(t *testing.T) {
			p := newPair(t)
			p.tune = func(b *Bucket) { b.HoldObjects, b.HoldPercent, b.Page = 10, 10, 1000 }
			p.s3.putAll(numbered(0, 120, "x"))
			p.start()
			p.settled()
			for i := range 8 { // within the bound
				p.side(region).del(fmt.Sprintf("o%03d", i))
			}
			wait(t, "the deletes to cross", func() bool { return len(p.side(region.Other()).names()) == 112 })
			p.equal(numbered(8, 120, "x"))
			b := p.side(region)
			b.mu.Lock()
			for name := range numbered(20, 50, "") {
				delete(b.objects, name)
			}
			b.mu.Unlock()
			// some may be found missing one by one, up to the bound
			wait(t, "a hold", func() bool { h := p.r.Holds(); return len(h) == 1 && h[0].Missing >= 30-4 })
			b.put("written", "meanwhile", nil)
			p.side(region.Other()).put("o030", "anew", nil) // one that is missing is written at the other side
			wait(t, "writes to go on", func() bool {
				body, ok := p.side(region.Other()).content("written")
				again, _ := b.content("o030")
				return ok && body == "meanwhile" && again == "anew"
			})
			if n := len(p.side(region.Other()).names()); n < 113-4 {
				t.Errorf("%d objects at the other side, want 113", n)
			}
			p.settled()
			p.stop()
			p.start() // the hold outlives the process
			p.settled()
			if h := p.r.Holds(); len(h) != 1 || h[0].Region != region {
				t.Fatalf("holds: %+v", h)
			}
			if err := p.r.Release(); err != nil {
				t.Fatal(err)
			}
			want := numbered(8, 20, "x")
			maps.Copy(want, numbered(50, 120, "x"))
			want["written"], want["o030"] = "meanwhile", "anew"
			wait(t, "the deletes", func() bool { return len(p.side(region.Other()).names()) <= len(want) })
			p.settled()
			p.equal(want)
			if err := p.r.Release(); !errors.Is(err, proa.ErrConflict) {
				t.Errorf("a second release: %v", err)
			}
		})
	}
}

func TestAnEmptiedBucketDeletesNothingAndAHoldEndsWhenAllIsBack(t *testing.T) {
	p := newPair(t)
	p.tune = func(b *Bucket) { b.Page = 1000 }
	p.s3.putAll(numbered(0, 20, "x"))
	p.start()
	p.settled()
	p.settled() // no look at what was just copied is under way
	restore := p.blob.save()
	p.blob.mu.Lock()
	clear(p.blob.objects)
	p.blob.mu.Unlock()
	wait(t, "a hold", func() bool { h := p.r.Holds(); return len(h) == 1 && h[0].Missing >= 16 })
	if n := len(p.s3.names()); n < 16 { // some may be found missing one by one
		t.Errorf("%d objects are left at the other side", n)
	}
	restore()
	wait(t, "the hold to end", func() bool { return len(p.r.Holds()) == 0 })
	p.settled()
	p.equal(numbered(0, 20, "x"))
}

func TestDeletesWithNoticesAreNotHeld(t *testing.T) {
	p := newPair(t)
	p.tune = func(b *Bucket) { b.HoldObjects, b.HoldPercent = 3, 1 }
	withNotices(p)
	p.s3.putAll(numbered(0, 60, "x"))
	p.start()
	p.unhurried()
	p.settled()
	for i := range 50 {
		p.s3.del(fmt.Sprintf("o%03d", i))
	}
	wait(t, "the deletes", func() bool {
		return len(p.r.Holds()) == 0 && p.r.Objects() == 10 && p.r.Direction(proa.AWS).Backlog == 0
	})
}

// A delete that was taken for one before the operator spoke is undone where the other side has not followed.
func TestADeleteThatTheOtherSideHasNotFollowedIsUndone(t *testing.T) {
	p := newPair(t)
	p.s3.putAll(numbered(0, 5, "x"))
	p.start()
	p.settled()
	p.blob.cut(true)
	p.s3.del("o003")
	wait(t, "the delete to be kept", func() bool { return p.s3.marks() == 1 })
	if err := p.r.Restored(proa.AWS, time.Now()); err != nil {
		t.Fatal(err)
	}
	p.blob.cut(false)
	wait(t, "the new epoch", func() bool { return len(p.r.Holds()) == 0 && p.r.Paused().IsZero() })
	p.swept()
	p.equal(numbered(0, 5, "x"))
	wait(t, "the mark to go", func() bool { return p.s3.marks() == 0 })
}

// What one side alone had is gone with it: the other side's older content is the winner again.
func TestWhatOnlyTheRestoredSideHadIsGone(t *testing.T) {
	p := newPair(t)
	p.s3.put("both", "yesterday", nil)
	p.start()
	p.settled()
	restore := p.s3.save()
	p.blob.cut(true)
	p.s3.put("both", "today", nil)
	p.s3.put("alone", "today", nil)
	wait(t, "the writes to be seen", func() bool { return p.r.Direction(proa.AWS).Backlog == 2 })
	if err := p.r.Pause(); err != nil {
		t.Fatal(err)
	}
	restore()
	if err := p.r.Restored(proa.AWS, time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	wait(t, "the new epoch", func() bool { return len(p.r.Holds()) == 0 && p.r.Paused().IsZero() })
	p.blob.cut(false)
	p.swept()
	p.equal(map[string]string{"both": "yesterday"})
	p.s3.put("alone", "again", nil)
	p.settled()
	p.equal(map[string]string{"both": "yesterday", "alone": "again"})
}

func TestBothSidesRestoredAreUnited(t *testing.T) {
	p := newPair(t)
	p.s3.putAll(numbered(0, 30, "yesterday"))
	p.start()
	p.settled()
	back := []func(){p.s3.save(), p.blob.save()}
	for i := range 5 {
		p.s3.del(fmt.Sprintf("o%03d", i))
	}
	p.settled()
	p.equal(numbered(5, 30, "yesterday"))
	if err := p.r.Pause(); err != nil {
		t.Fatal(err)
	}
	for _, restore := range back {
		restore()
	}
	if err := p.r.Restored("", time.Now()); err != nil {
		t.Fatal(err)
	}
	wait(t, "the new epoch", func() bool { return len(p.r.Holds()) == 0 && p.r.Paused().IsZero() })
	p.swept()
	p.equal(numbered(0, 30, "yesterday"))
	if n := p.r.Objects(); n != 30 {
		t.Errorf("%d objects are counted", n)
	}
}

// The order is on stable storage: another process carries it out.
func TestAnOrderToTurnASideOutlivesTheProcess(t *testing.T) {
	p, restore := yesterday(t, proa.AWS, true)
	if err := p.r.Pause(); err != nil {
		t.Fatal(err)
	}
	restore()
	r := p.r
	stop := p.stop
	r.turning.Lock() // the round ends, and the index is not gone through yet
	done := make(chan error, 1)
	go func() { r.turning.Unlock(); done <- r.Restored(proa.AWS, time.Now()) }()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	stop()
	p.start()
	wait(t, "the new epoch", func() bool { return len(p.r.Holds()) == 0 && p.r.Paused().IsZero() })
	p.swept()
	p.equal(today())
	if c, err := p.store.Journal.Find(journal.Query{}); err != nil || len(c) == 0 {
		t.Errorf("the journal has %v, %v", c, err)
	}
}

func TestAPausedBucketStandsStill(t *testing.T) {
	p := newPair(t)
	p.s3.put("a", "1", nil)
	p.start()
	p.settled()
	if err := p.r.Pause(); err != nil {
		t.Fatal(err)
	}
	lists := -1
	wait(t, "the sweeps to stop", func() bool { n := p.s3.count("list"); still := n == lists; lists = n; return still })
	p.s3.put("a", "2", nil)
	p.s3.put("b", "1", nil)
	if err := p.r.Resume(); err != nil {
		t.Fatal(err)
	}
	p.settled()
	p.equal(map[string]string{"a": "2", "b": "1"})
}
