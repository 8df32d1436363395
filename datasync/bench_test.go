package datasync

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/proa-cloud/proa/internal/store"
)

// BenchmarkCatchUp measures how fast a backlog of 1 KiB items is applied to the other side, on the
// operating system's disk, with fake clouds: what is left is the node's own cost. It reports items
// a second and the process's CPU time an item, fakes included.
func BenchmarkCatchUp(b *testing.B) {
	var w *world
	t := &testing.T{}
	w = newWorld(t)
	w.cfg.Upkeep, w.cfg.PollMin, w.cfg.PollMax = Default().Upkeep, Default().PollMin, Default().PollMax
	dir, err := os.MkdirTemp(".", "bench")
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if w.db, err = store.Open(store.Options{Dir: dir}); err != nil {
		b.Fatal(err)
	}
	w.cfg.DB = w.db
	if w.s, err = New(w.cfg); err != nil {
		b.Fatal(err)
	}
	stop := w.runOn()
	w.t = t
	w.quiet()
	body := strings.Repeat("0123456789abcdef", 62)
	w.aws.Hide()
	const items = 20_000
	for i := range items {
		w.aws.Put(order(fmt.Sprint("k", i), body+fmt.Sprint(i)), 0)
	}
	before := cpu()
	began := time.Now()
	w.aws.Show(-1)
	for w.s.m.applied.Load() < items {
		time.Sleep(time.Millisecond)
	}
	n := items
	took := time.Since(began)
	used := cpu() - before
	stop()
	b.ReportMetric(float64(n)/took.Seconds(), "items/s")
	b.ReportMetric(float64(used.Microseconds())/float64(n), "cpu-µs/item")
	if err := w.db.Close(); err != nil {
		b.Error(err)
	}
}

func cpu() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
