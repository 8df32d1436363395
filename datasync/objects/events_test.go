package objects

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/datasync/shadow"
)

// withNotices gives both buckets queues, and sweeps that take an hour.
func withNotices(p *pair) (s3, blob *queue) {
	s3, blob = &queue{}, &queue{}
	p.s3.notices, p.blob.notices = s3, blob
	p.tune = func(b *Bucket) {
		b.Events = map[proa.Region]cloud.ObjectEvents{proa.AWS: s3, proa.Azure: blob}
		b.SweepEvery, b.BeatEvery, b.Poll = time.Hour, 2*time.Second, 2*time.Millisecond
	}
	return s3, blob
}

func (b *bucket) count(op string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.calls[op]
}

// sent is how many bytes of objects were read in ranges.
func (b *partBucket) sent() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ranges
}

func (b *bucket) described(name string) cloud.ObjectInfo {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.objects[name].info
}

// unhurried waits until notices are relied on at both sides.
func (p *pair) unhurried() {
	p.t.Helper()
	wait(p.t, "notices", func() bool {
		now := p.r.now()
		p.r.mu.Lock()
		defer p.r.mu.Unlock()
		return p.r.unhurried(&p.r.sides[0], now) && p.r.unhurried(&p.r.sides[1], now)
	})
	time.Sleep(20 * time.Millisecond) // a sweep that began before has ended
}

func TestAChangeCrossesByItsNoticeWithoutAListing(t *testing.T) {
	p := newPair(t)
	withNotices(p)
	p.s3.put("old", "1", nil)
	p.start()
	p.unhurried()
	p.settled()
	lists := p.s3.count("list") + p.blob.count("list")
	for i := range 20 {
		p.s3.put(fmt.Sprint("from s3 ", i), "2", nil)
		p.blob.put(fmt.Sprint("from blob ", i), "3", nil)
	}
	p.blob.del("old")
	p.s3.put("from s3 1", "second", nil)
	p.settled()
	want := map[string]string{}
	for i := range 20 {
		want[fmt.Sprint("from s3 ", i)], want[fmt.Sprint("from blob ", i)] = "2", "3"
	}
	want["from s3 1"] = "second"
	p.equal(want)
	if more := p.s3.count("list") + p.blob.count("list") - lists; more > 0 {
		t.Errorf("%d listings", more)
	}
	if c := p.conflicts(); len(c) > 0 {
		t.Errorf("conflicts: %+v", c)
	}
}

// TestOurOwnNoticesCostNothing has copies announced at the side where they were made.
func TestOurOwnNoticesCostNothing(t *testing.T) {
	p := newPair(t)
	s3, blob := withNotices(p)
	s3.double, blob.double = true, true
	p.start()
	p.unhurried()
	for i := range 10 {
		p.s3.put(fmt.Sprint("o", i), "1", nil)
	}
	p.settled()
	if n := p.blob.count("get") + p.blob.count("head"); n > 0 {
		t.Errorf("%d of our own writes were looked at", n)
	}
	p.equal(map[string]string{
		"o0": "1", "o1": "1", "o2": "1", "o3": "1", "o4": "1",
		"o5": "1", "o6": "1", "o7": "1", "o8": "1", "o9": "1",
	})
}

// waits is a queue that counts the short waits and the long ones.
type waits struct {
	*queue
	short, long atomic.Int64
}

func (w *waits) Receive(ctx context.Context, wait time.Duration) ([]cloud.ObjectEvent, error) {
	if wait < 2*time.Millisecond {
		w.short.Add(1)
	} else {
		w.long.Add(1)
	}
	return w.queue.Receive(ctx, wait)
}

// A side that tells of nothing but its markers is asked less often, until it tells of something.
func TestAnIdleQueueIsAskedLessOften(t *testing.T) {
	p := newPair(t)
	s3, blob := withNotices(p)
	asked, tune := &waits{queue: s3}, p.tune
	p.tune = func(b *Bucket) {
		tune(b)
		b.Events = map[proa.Region]cloud.ObjectEvents{proa.AWS: asked, proa.Azure: blob}
		b.Poll, b.PollIdle, b.IdleAfter = time.Millisecond, 2*time.Millisecond, 100*time.Millisecond
	}
	p.start()
	wait(t, "it to be idle", func() bool { return asked.long.Load() > 0 })
	often := asked.short.Load()
	p.s3.put("a", "1", nil)
	wait(t, "it to be asked more often", func() bool { return asked.short.Load() > often })
	seldom := asked.long.Load()
	wait(t, "it to be idle again", func() bool { return asked.long.Load() > seldom })
}

func TestLostNoticesAreMadeGoodBySweeps(t *testing.T) {
	p := newPair(t)
	s3, _ := withNotices(p)
	all := p.tune
	p.tune = func(b *Bucket) { all(b); b.BeatEvery = 50 * time.Millisecond }
	p.start()
	p.unhurried()
	var lose atomic.Bool
	lose.Store(true)
	s3.mu.Lock()
	s3.drop = lose.Load
	s3.mu.Unlock()
	p.s3.put("unannounced", "1", nil)
	wait(t, "a sweep", func() bool { _, ok := p.blob.content("unannounced"); return ok })
	lose.Store(false)
	p.unhurried()
	p.settled()
	p.equal(map[string]string{"unannounced": "1"})
}

func TestNoticesInAnyOrderConverge(t *testing.T) {
	for seed := range uint64(3) {
		p := newPair(t)
		s3, blob := withNotices(p)
		var mu sync.Mutex
		rng, calm := rand.New(rand.NewPCG(seed, 9)), false
		for _, q := range []*queue{s3, blob} {
			q.double = true
			q.drop = func() bool { mu.Lock(); defer mu.Unlock(); return !calm && rng.IntN(10) == 0 }
		}
		p.start()
		ops := rand.New(rand.NewPCG(seed, 3))
		for i := range 150 {
			b, name := []*bucket{p.s3, p.blob}[ops.IntN(2)], fmt.Sprint("n", ops.IntN(6))
			switch ops.IntN(8) {
			case 0:
				b.del(name)
			case 1:
				if i%10 == 0 {
					p.stop()
					p.start()
				}
			default:
				b.put(name, fmt.Sprint("body ", i), nil)
			}
			time.Sleep(time.Duration(ops.IntN(2)) * time.Millisecond)
		}
		mu.Lock()
		calm = true
		mu.Unlock()
		p.stop()
		all := p.tune
		p.tune = func(b *Bucket) { all(b); b.SweepEvery = time.Millisecond } // what was lost is found
		p.start()
		p.settled()
		time.Sleep(50 * time.Millisecond)
		p.settled()
		want := map[string]string{}
		for _, name := range p.s3.names() {
			if !Own(name) {
				want[name], _ = p.s3.content(name)
			}
		}
		p.equal(want)
		p.stop()
	}
}

// huge is a bucket of so many objects that none of it is in memory.
type huge struct {
	bucket
	total int
	lists atomic.Int64
}

func hugeName(i int) string { return fmt.Sprintf("dir-%03d/object-%08d", i/1000, i) }

func (h *huge) info(i int) cloud.ObjectInfo {
	sum := cloud.NewCRC64()
	sum.Write([]byte(hugeName(i)))
	return cloud.ObjectInfo{
		Name: hugeName(i), Size: int64(len(hugeName(i))), ETag: fmt.Sprint("e", i),
		LastModified: time.Unix(1.7e9, 0), CRC64: sum.Sum64(), HasCRC64: true,
	}
}

func (h *huge) List(_ context.Context, after string, limit int) ([]cloud.ObjectInfo, bool, error) {
	h.lists.Add(1)
	i := 0
	if _, number, ok := strings.Cut(after, "object-"); ok {
		if _, err := fmt.Sscanf(number, "%d", &i); err != nil {
			return nil, false, err
		}
		i++
	}
	var page []cloud.ObjectInfo
	for ; i < h.total && len(page) < limit; i++ {
		page = append(page, h.info(i))
	}
	return page, i < h.total, nil
}

// known is the shadow index's record of one that both sides hold.
func (h *huge) known(i int) ([]byte, error) {
	info := h.info(i)
	side := Side{
		Known: true, Exists: true, ETag: info.ETag, Modified: info.LastModified, Content: contentOf(info),
		Version: proa.Version{Time: 1, Region: proa.AWS},
	}
	return json.Marshal(State{
		Name: info.Name, Winner: Winner{Version: side.Version, Content: side.Content}, Sides: [2]Side{side, side},
	})
}

// TestAHundredThousandObjectsAreSweptInBoundedMemory sweeps two sides that hold what is known of them.
// The shadow index is on a disk in memory and not counted; half of the bound is what the store may take meanwhile, 16 MiB of
// blocks and four tables in memory of 8 MiB. The index decoded as a whole would take more than the bound.
func TestAHundredThousandObjectsAreSweptInBoundedMemory(t *testing.T) {
	const count, bound = 100_000, 96 << 20
	p := newPair(t)
	s3, blob := &huge{bucket: *newBucket(false), total: count}, &huge{bucket: *newBucket(true), total: count}
	p.sides = map[proa.Region]cloud.Bucket{proa.AWS: s3, proa.Azure: blob}
	p.tune = func(b *Bucket) { b.Page, b.SweepMin, b.SweepMax = 1000, time.Millisecond, time.Minute }
	p.prepare = func(index *shadow.Store) error {
		for i := 0; i < count; {
			err := index.Lazy(func(tx *shadow.Tx) error {
				for end := i + 1000; i < end; i++ {
					record, err := s3.known(i)
					if err == nil {
						err = tx.SetObject("attachments", hugeName(i), record)
					}
					if err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	}
	p.start()
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	runtime.GC()
	before, peak := heap(), uint64(0)
	lists := s3.lists.Load() + blob.lists.Load()
	for p.r.Fresh(proa.AWS).IsZero() || p.r.Fresh(proa.Azure).IsZero() { // go test has a time-out
		time.Sleep(200 * time.Millisecond)
		runtime.GC()
		peak = max(peak, heap())
	}
	t.Logf("%d listings, heap %d MiB before, %d MiB at most", s3.lists.Load()+blob.lists.Load()-lists, before>>20, peak>>20)
	if peak > before+bound {
		t.Errorf("the heap grew from %d to %d MiB", before>>20, peak>>20)
	}
	if n := s3.count("get") + s3.count("head") + blob.count("put"); n > 0 {
		t.Errorf("%d calls beside listings", n)
	}
}

// TestAFailedCopyIsTriedAgainWithoutASweep has notices relied on, so that no sweep comes for an hour, and more failures
// than are remembered one by one.
func TestAFailedCopyIsTriedAgainWithoutASweep(t *testing.T) {
	p := newPair(t)
	withNotices(p)
	more := p.tune
	p.tune = func(b *Bucket) { more(b); b.Small = 5 }
	p.start()
	p.unhurried()
	p.blob.cut(true)
	want := map[string]string{}
	for i := range 200 {
		name := fmt.Sprintf("o%03d", i)
		want[name] = strings.Repeat("x", i%10+1) // some whole, some by themselves
		p.s3.put(name, want[name], nil)
	}
	wait(t, "all to be seen", func() bool { return p.r.Direction(proa.AWS).Backlog == len(want) })
	p.r.mu.Lock()
	p.r.later = map[string]time.Time{} // as if they had been too many
	p.r.missLocked()
	p.r.mu.Unlock()
	p.blob.cut(false)
	wait(t, "all to be copied", func() bool { return p.r.Direction(proa.AWS).Backlog == 0 })
	p.equal(want)
}

// TestATryThatComesWhileItsObjectIsHeldIsNotLost has the time for the next try come while the last one, or a look
// at the object, has not let go of its name yet.
func TestATryThatComesWhileItsObjectIsHeldIsNotLost(t *testing.T) {
	p := newPair(t)
	withNotices(p)
	p.start()
	p.unhurried()
	p.blob.cut(true)
	p.s3.put("o", "x", nil)
	wait(t, "it to be seen", func() bool { return p.r.Direction(proa.AWS).Backlog == 1 })
	wait(t, "its name", func() bool { return p.r.take("o") })
	p.blob.cut(false)
	p.r.enqueue("o")
	wait(t, "a worker to come for it", func() bool {
		p.r.mu.Lock()
		defer p.r.mu.Unlock()
		return len(p.r.queued) == 0 && len(p.r.later) == 0
	})
	p.r.release("o")
	wait(t, "it to be copied", func() bool { return p.r.Direction(proa.AWS).Backlog == 0 })
	p.equal(map[string]string{"o": "x"})
}
