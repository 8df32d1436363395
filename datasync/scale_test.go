package datasync

import (
	"context"
	"fmt"
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
	"github.com/proa-cloud/proa/internal/store"
)

// mill is one side of a table that keeps nothing, so that the process's memory is the node's: its feed
// gives a new item at each of the first `allow` positions, and after each write of the replicator the
// write's echo.
type mill struct {
	region proa.Region
	body   string

	mu    sync.Mutex
	allow int // items that the feed may have given
	made  int
	pos   int
	echo  []proa.Change
	down  bool
}

func (m *mill) Schema() proa.Schema { return schema }

func (m *mill) item(i int) proa.Item { return order(fmt.Sprintf("k%08d", i), m.body) }

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
		item := m.item(m.made)
		m.made++
		b.Changes = append(b.Changes, proa.Change{
			Region: m.region, Key: key(item["id"].Str), Old: &proa.Image{}, New: proa.Image{Item: item}, Time: time.Now(),
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
	db, err := store.Open(store.Options{Dir: dir})
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

func scaleKeys(otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv("PROA_SCALE_KEYS")); err == nil && n > 0 {
		return n
	}
	return otherwise
}

// BenchmarkCostPerKey replicates new items of 100 B, and reports the node's CPU time a change with 10
// thousand keys in its index and with 1 million (PROA_SCALE_KEYS: another number), their ratio and the
// heap. The stores cost nothing.
func BenchmarkCostPerKey(b *testing.B) {
	most, window := scaleKeys(1_000_000), 10_000
	for range b.N {
		x := newScale(b, strings.Repeat("x", 60))
		applied := func(n int) func() bool {
			return func() bool { return x.s.m.applied.Load() >= uint64(n) }
		}
		x.until(window, applied(window))
		small, _, heapSmall := x.until(2*window, applied(2*window))
		x.until(most-window, applied(most-window))
		large, took, heapLarge := x.until(most, applied(most))
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

// BenchmarkAway captures the writes of six hours at 20 a second (PROA_SCALE_KEYS: another number) of 1 KiB
// items while the other side cannot be reached, and reports the heap after a tenth and after all of them.
func BenchmarkAway(b *testing.B) {
	most := scaleKeys(6 * 3600 * 20)
	for range b.N {
		x := newScale(b, strings.Repeat("0123456789abcdef", 62))
		x.until(1000, func() bool { return x.s.m.applied.Load() >= 1000 })
		x.z.set(func(m *mill) { m.down = true })
		captured := func(n int) func() bool {
			return func() bool { x.a.mu.Lock(); defer x.a.mu.Unlock(); return x.a.made >= n && len(x.a.echo) == 0 }
		}
		_, _, early := x.until(most/10, captured(most/10))
		_, took, late := x.until(most, captured(most))
		d, err := x.s.Replication(proa.AWS)
		if err != nil {
			b.Fatal(err)
		}
		x.finish()
		b.ReportMetric(early, "heap-MiB-after-10%")
		b.ReportMetric(late, "heap-MiB-after-all")
		b.ReportMetric(float64(d.Backlog), "backlog")
		b.ReportMetric(float64(most)*0.9/took.Seconds(), "captured/s")
	}
	b.ReportMetric(0, "ns/op")
}
