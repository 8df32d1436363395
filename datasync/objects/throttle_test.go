package objects

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/datasync/resolve"
)

// busy has a store refuse a share of its calls with 503 SlowDown or ServerBusy.
func busy(b *bucket, share float64, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 1))
	b.fault = func(string, string) error { // under the bucket's lock
		if r.Float64() < share {
			return fmt.Errorf("503 SlowDown: %w", proa.ErrThrottled)
		}
		return nil
	}
}

// TestThrottledStoresLoseNothing has both stores refuse a third of all calls: small objects, objects in parts, replaced and
// deleted ones must cross all the same, with no conflict and no upload left.
func TestThrottledStoresLoseNothing(t *testing.T) {
	p, s3, blob := newPartPair(t)
	busy(p.s3, 0.3, 1)
	busy(p.blob, 0.3, 2)
	p.start()
	want := map[string]string{}
	for i := range 60 {
		name, from := fmt.Sprintf("o%02d", i), p.s3
		if i%2 == 1 {
			from = p.blob
		}
		want[name] = large[:1+i%12]
		from.put(name, want[name], nil)
	}
	wait(t, "all to be seen", func() bool { return p.r.Objects() == 60 })
	crossed(t, p)
	p.s3.put("o00", "replaced", nil)
	p.blob.del("o03")
	want["o00"] = "replaced"
	delete(want, "o03")
	wait(t, "the delete to be seen", func() bool { return p.r.Objects() == 59 })
	crossed(t, p)
	wait(t, "the replacement", func() bool { body, _ := p.blob.content("o00"); return body == "replaced" })
	p.equal(want)
	if c := p.conflicts(); len(c) > 0 {
		t.Errorf("conflicts: %+v", c)
	}
	if s3.open()+blob.open() != 0 {
		t.Error("uploads are left open")
	}
}

func crossed(t *testing.T, p *pair) {
	t.Helper()
	wait(t, "nothing to be left behind", func() bool {
		return p.r.Direction(proa.AWS).Backlog+p.r.Direction(proa.Azure).Backlog == 0
	})
}

// TestAThrottledStoreIsNotAskedAgainAtOnce counts the calls at a store that refuses all writes.
func TestAThrottledStoreIsNotAskedAgainAtOnce(t *testing.T) {
	p := newPair(t)
	p.tune = func(b *Bucket) { b.RetryMax = time.Hour }
	p.blob.fault = func(op, _ string) error {
		if op == "put" {
			return proa.ErrThrottled
		}
		return nil
	}
	p.s3.put("a", "1", nil)
	p.start()
	began := time.Now()
	wait(t, "some tries", func() bool { return p.blob.count("put") >= 4 })
	if took := time.Since(began); took < 100*time.Millisecond {
		t.Errorf("four tries took %s", took)
	}
	p.blob.mu.Lock()
	p.blob.fault = nil
	p.blob.mu.Unlock()
	crossed(t, p)
	p.equal(map[string]string{"a": "1"})
}

// narrow is a bucket that takes few writes at a time and answers the others with 503.
type narrow struct {
	*bucket
	room             atomic.Int64
	flying, most     atomic.Int64
	written, refused atomic.Int64
}

func (b *narrow) Put(
	ctx context.Context, name string, body io.Reader, size int64, o cloud.PutOptions,
) (cloud.ObjectInfo, error) {
	n := b.flying.Add(1)
	defer b.flying.Add(-1)
	for most := b.most.Load(); n > most && !b.most.CompareAndSwap(most, n); most = b.most.Load() {
	}
	time.Sleep(25 * time.Millisecond) // a write takes its time
	if n > b.room.Load() {
		b.refused.Add(1)
		return cloud.ObjectInfo{}, fmt.Errorf("503 ServerBusy: %w", proa.ErrThrottled)
	}
	b.written.Add(1)
	return b.bucket.Put(ctx, name, body, size, o)
}

func (r *Replicator) width(region proa.Region) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sides[resolve.Index(region)].gate.Width()
}

// TestCopiesInFlightFollowTheStore has a store take four writes at a time: fewer are sent until it refuses few, more
// again once it takes them, and copies to the other side are not held up.
func TestCopiesInFlightFollowTheStore(t *testing.T) {
	p := newPair(t)
	busy := &narrow{bucket: p.blob}
	busy.room.Store(4)
	p.sides = map[proa.Region]cloud.Bucket{proa.AWS: p.s3, proa.Azure: busy}
	p.tune = func(b *Bucket) { b.Page, b.RetryMax = 1000, 2*time.Second }
	want := map[string]string{}
	add := func(b *bucket, prefix string, n int) {
		for i := range n {
			name := fmt.Sprintf("%s%04d", prefix, i)
			want[name] = name
			b.put(name, name, nil)
		}
	}
	add(p.s3, "a", 250)
	p.start()
	wait(t, "fewer to be sent", func() bool { return p.r.width(proa.Azure) <= 8 })
	add(p.blob, "b", 50)
	wait(t, "the other direction", func() bool {
		_, ok := p.s3.content("b0049")
		return ok && p.r.Direction(proa.Azure).Backlog == 0
	})
	if w := p.r.width(proa.AWS); w < 16 {
		t.Errorf("the side that does not throttle is down to %d copies at a time", w)
	}
	crossed(t, p)
	if refused, all := busy.refused.Load(), busy.written.Load(); refused > all {
		t.Errorf("%d writes were refused for %d that were taken", refused, all)
	}
	t.Logf("%d written, %d refused, %d in flight at most", busy.written.Load(), busy.refused.Load(), busy.most.Load())
	busy.room.Store(1000)
	add(p.s3, "c", 600)
	wait(t, "as many to be sent as before", func() bool { return p.r.width(proa.Azure) >= 16 })
	wait(t, "all to be seen", func() bool { return p.r.Objects() == 900 })
	crossed(t, p)
	p.equal(want)
}
