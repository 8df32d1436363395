package objects

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/proa-cloud/proa"
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
