package datasync

import (
	"context"
	"fmt"
	"maps"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/datasync/resolve"
	"github.com/proa-cloud/proa/datasync/shadow"
	"github.com/proa-cloud/proa/internal/store"
)

// mill is one side of a table that keeps nothing, so that the process's memory is the node's: its feed
// gives a new item at each of the first `allow` positions, and after each write of the replicator the
// write's echo.
type mill struct {
	region proa.Region
	body   string
	keys   int // that the items go round; 0: each has its own

	mu    sync.Mutex
	allow int // items that the feed may have given
	made  int
	pos   int
	echo  []proa.Change
	down  bool
}

func (m *mill) Schema() proa.Schema { return schema }

// item is the i-th change's; those of one key differ.
func (m *mill) item(i int) proa.Item {
	if m.keys == 0 {
		return order(fmt.Sprintf("k%08d", i), m.body)
	}
	return order(fmt.Sprintf("k%08d", i%m.keys), strconv.Itoa(i)+m.body)
}

// before is what was there before the i-th change.
func (m *mill) before(i int) *proa.Image {
	if m.keys == 0 || i < m.keys {
		return &proa.Image{}
	}
	return &proa.Image{Item: m.item(i - m.keys)}
}

func (m *mill) Now(context.Context) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down {
		return "", proa.ErrUnavailable
	}
	return strconv.Itoa(m.pos), nil
}

// Read ignores where the cursor is: the reader never goes back while the process lives.
func (m *mill) Read(context.Context, string) (cloud.Batch, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down {
		return cloud.Batch{}, proa.ErrUnavailable
	}
	var b cloud.Batch
	n := min(len(m.echo), 500)
	b.Changes = append(b.Changes, m.echo[:n]...)
	m.echo = append([]proa.Change(nil), m.echo[n:]...)
	for len(b.Changes) < 500 && m.made < m.allow {
		item, old := m.item(m.made), m.before(m.made)
		m.made++
		b.Changes = append(b.Changes, proa.Change{
			Region: m.region, Key: key(item["id"].Str), Old: old, New: proa.Image{Item: item}, Time: time.Now(),
		})
	}
	for i := range b.Changes {
		m.pos++
		b.Changes[i].Position = proa.Position(strconv.Itoa(m.pos))
	}
	b.Next, b.More = strconv.Itoa(m.pos), len(b.Changes) == 500
	return b, nil
}

func (m *mill) Get(_ context.Context, k proa.Key) (cloud.Row, error) {
	if m.down {
		return cloud.Row{}, proa.ErrUnavailable
	}
	return cloud.Row{Key: k}, nil
}

func (m *mill) Swap(_ context.Context, seen cloud.Row, next proa.Image) (cloud.Row, *proa.Image, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down {
		return cloud.Row{}, nil, proa.ErrUnavailable
	}
	old := seen.Image
	m.echo = append(m.echo, proa.Change{Region: m.region, Key: seen.Key, Old: &old, New: next, ETag: "e", Time: time.Now()})
	now := cloud.Row{Key: seen.Key, Image: next}
	if m.region == proa.Azure {
		now.ETag = "e"
	}
	return now, &old, nil
}

func (m *mill) Purge(_ context.Context, seen cloud.Row) (cloud.Row, error) {
	return cloud.Row{Key: seen.Key}, nil
}

func (m *mill) Scan(context.Context, string, int) ([]cloud.Row, string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down {
		return nil, "", proa.ErrUnavailable
	}
	return nil, "", nil
}

func (m *mill) set(do func(*mill)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	do(m)
}

// scale is a service between two mills.
type scale struct {
	b      *testing.B
	s      *Service
	a, z   *mill
	finish func()
}

func newScale(b *testing.B, body string) *scale {
	b.Helper()
	x := &scale{b: b, a: &mill{region: proa.AWS, body: body}, z: &mill{region: proa.Azure}}
	cfg := Default()
	cfg.Clock = time.Now
	rules := resolve.DefaultRules(schema)
	cfg.Tables = []Table{{Schema: schema, Rules: rules, Sides: map[proa.Region]TableSide{
		proa.AWS: {Table: x.a, Feed: x.a}, proa.Azure: {Table: x.z, Feed: x.z},
	}}}
	dir, err := os.MkdirTemp(".", "scale")
	if err != nil {
		b.Fatal(err)
	}
	db, err := store.Open(store.Options{Dir: dir, Cache: 48 << 20}) // as the node does
	if err != nil {
		b.Fatal(err)
	}
	cfg.DB = db
	if x.s, err = New(cfg); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- x.s.Run(ctx) }()
	x.finish = func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
		if err := db.Close(); err != nil {
			b.Error(err)
		}
		os.RemoveAll(dir)
	}
	return x
}

// until lets the feed give items up to n and waits for done; it returns the CPU time and the time that
// this took, and the heap in MiB after it.
func (x *scale) until(n int, done func() bool) (cpuUsed, took time.Duration, heap float64) {
	x.b.Helper()
	before, began := cpu(), time.Now()
	x.a.set(func(m *mill) { m.allow = n })
	for !done() {
		time.Sleep(5 * time.Millisecond)
	}
	cpuUsed, took = cpu()-before, time.Since(began)
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return cpuUsed, took, float64(m.HeapAlloc) / (1 << 20)
}

// seed puts keys into the index with the state of one that both sides hold.
func (x *scale) seed(n int) {
	x.b.Helper()
	var done resolve.State
	err := x.s.store.View(key(fmt.Sprintf("k%08d", 0)), func(st *resolve.State) { done = *st })
	if err != nil {
		x.b.Fatal(err)
	}
	for i := 0; i < n; i += 2000 {
		err := x.s.store.Lazy(func(tx *shadow.Tx) error {
			for j := i; j < min(n, i+2000); j++ {
				// Spread as keys are: a store whose keys come in order is cheaper than it will be.
				r, err := tx.Load(key(fmt.Sprintf("s%016x", uint64(j)*0x9e3779b97f4a7c15)))
				if err != nil {
					return err
				}
				k := r.State.Key
				*r.State = done
				r.State.Key, r.State.Bodies = k, maps.Clone(done.Bodies)
			}
			return nil
		})
		if err != nil {
			x.b.Fatal(err)
		}
	}
}

func scaleKeys(otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv("PROA_SCALE_KEYS")); err == nil && n > 0 {
		return n
	}
	return otherwise
}

// BenchmarkCostPerKey replicates new items of 100 B, and reports the node's CPU time a change with 10
// thousand keys in its index and with 1 million (PROA_SCALE_KEYS: another number), their ratio and the
// heap. The stores cost nothing. Above 1 million the keys before the last ones are put into the index without being replicated.
func BenchmarkCostPerKey(b *testing.B) {
	most, window := scaleKeys(1_000_000), 10_000
	for range b.N {
		x := newScale(b, strings.Repeat("x", 60))
		applied := func(n int) func() bool {
			return func() bool { return x.s.m.applied.Load() >= uint64(n) }
		}
		x.until(window, applied(window))
		small, _, heapSmall := x.until(2*window, applied(2*window))
		seeded := 0
		if most > 1_000_000 { // the others are put into the index as they would stand there
			seeded = most - 4*window
			x.seed(seeded)
			x.until(3*window, applied(3*window))
		} else {
			x.until(most-window, applied(most-window))
		}
		large, took, heapLarge := x.until(most-seeded, applied(most-seeded))
		x.finish()
		perSmall, perLarge := float64(small.Microseconds())/float64(window), float64(large.Microseconds())/float64(window)
		b.ReportMetric(perSmall, "µs-at-10k")
		b.ReportMetric(perLarge, "µs-at-most")
		b.ReportMetric(perLarge/perSmall, "ratio")
		b.ReportMetric(float64(window)/took.Seconds(), "changes/s-at-most")
		b.ReportMetric(heapSmall, "heap-MiB-at-10k")
		b.ReportMetric(heapLarge, "heap-MiB-at-most")
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkAway captures the writes of six hours at 100 a second (PROA_SCALE_KEYS: another number) while the other side
// cannot be reached: 1 KiB items of 100,000 keys, which are changed again and again. It logs heap and resident memory after each
// hour's worth, and reports the first and the last. The stores cost nothing.
func BenchmarkAway(b *testing.B) {
	most := scaleKeys(6 * 3600 * 100)
	for range b.N {
		x := newScale(b, strings.Repeat("0123456789abcdef", 62))
		x.a.set(func(m *mill) { m.keys = 100_000 })
		x.until(1000, func() bool { return x.s.m.applied.Load() >= 1000 })
		x.z.set(func(m *mill) { m.down = true })
		var heap, resident [7]float64
		began := time.Now()
		for hour := 1; hour <= 6; hour++ {
			n := most * hour / 6
			_, _, heap[hour] = x.until(n, func() bool {
				x.a.mu.Lock()
				defer x.a.mu.Unlock()
				return x.a.made >= n && len(x.a.echo) == 0
			})
			resident[hour] = rss(b)
			b.Logf("after hour %d, %d changes: heap %.0f MiB, resident %.0f MiB", hour, n, heap[hour], resident[hour])
		}
		took := time.Since(began)
		d, err := x.s.Replication(proa.AWS)
		if err != nil {
			b.Fatal(err)
		}
		x.finish()
		b.ReportMetric(heap[1], "heap-MiB-hour-1")
		b.ReportMetric(heap[6], "heap-MiB-hour-6")
		b.ReportMetric(resident[1], "rss-MiB-hour-1")
		b.ReportMetric(resident[6], "rss-MiB-hour-6")
		b.ReportMetric(float64(d.Backlog), "backlog")
		b.ReportMetric(float64(most)/took.Seconds(), "captured/s")
	}
	b.ReportMetric(0, "ns/op")
}

// rss is the process's resident memory in MiB.
func rss(b *testing.B) float64 {
	b.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Skip("no /proc")
	}
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	if err != nil {
		b.Fatal(err)
	}
	return float64(pages*os.Getpagesize()) / (1 << 20)
}
