package datasync

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
)

// hotTable takes limit writes a second of the keys that begin with "hot", and refuses the rest of them.
type hotTable struct {
	cloud.Table
	limit int

	mu     sync.Mutex
	second int64
	taken  int
	no     int
}

func (h *hotTable) Swap(ctx context.Context, seen cloud.Row, next proa.Image) (cloud.Row, *proa.Image, error) {
	time.Sleep(5 * time.Millisecond)
	if strings.HasPrefix(seen.Key.Hash.Str, "hot") && !h.admit() {
		return cloud.Row{}, nil, &proa.Error{Op: "swap", Region: proa.Azure, Key: seen.Key.String(), Err: proa.ErrThrottled}
	}
	return h.Table.Swap(ctx, seen, next)
}

func (h *hotTable) admit() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if now := time.Now().Unix(); now != h.second {
		h.second, h.taken = now, 0
	}
	if h.taken++; h.taken > h.limit {
		h.no++
		return false
	}
	return true
}

// BenchmarkHotPartition is how fast 5,000 new keys cross while the other side refuses most writes of some hot keys,
// which are written 500 times a second: go test ./datasync -run xxx -bench HotPartition -benchtime 1x.
func BenchmarkHotPartition(b *testing.B) {
	for _, hot := range []int{0, 20, 200, 2000} {
		b.Run(fmt.Sprintf("hot=%d", hot), func(b *testing.B) {
			for range b.N {
				besideHotKeys(b, hot)
			}
		})
	}
}

func besideHotKeys(b *testing.B, hot int) {
	w := newWorld(b)
	table := &hotTable{Table: w.az, limit: 100}
	w.cfg.Tables[0].Sides[proa.Azure] = TableSide{Table: table, Feed: w.feeds[proa.Azure]}
	w.ready()
	stop := make(chan struct{})
	var writer sync.WaitGroup
	for i := range hot {
		w.aws.Put(order(fmt.Sprint("hot", i), "x"), 0)
	}
	writer.Go(func() {
		for i := 0; hot > 0; i++ {
			select {
			case <-stop:
				return
			case <-time.After(2 * time.Millisecond):
				w.aws.Put(order(fmt.Sprint("hot", i%hot), fmt.Sprint(i)), 0)
			}
		}
	})
	time.Sleep(2 * time.Second)
	const n = 5000
	began := time.Now()
	for i := range n {
		w.aws.Put(order(fmt.Sprint("cold", i), "x"), 0)
	}
	w.until("all have crossed", func() bool {
		for i := range n {
			if w.az.Item(key(fmt.Sprint("cold", i))) == nil {
				return false
			}
		}
		return true
	})
	b.ReportMetric(n/time.Since(began).Seconds(), "keys/s")
	close(stop)
	writer.Wait()
	b.ReportMetric(float64(table.no), "refusals")
	w.shutdown()
	w.stop = nil
}
