package datasync

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/internal/fake"
)

func TestBothDirectionsCanBeAskedAtOnce(t *testing.T) {
	w := newWorld(t)
	w.start()
	var asking sync.WaitGroup
	for i := range 8 {
		asking.Go(func() {
			for range 3000 {
				if _, err := w.s.Replication(proa.Regions()[i%2]); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { asking.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		panic("two who ask for the state of opposite directions wait for each other") // Cleanup would wait as well
	}
}

// What is written together is applied apart, and that is said (docs/adr/0006-transactions-apart.md): here the
// other side takes one item of two. Each table and direction tells its own backlog.
func TestTransactionsAreAppliedApartAndThatIsSaid(t *testing.T) {
	w := newWorld(t)
	var left atomic.Int64
	left.Store(1)
	w.az.Fault = func(op string) fake.Fault {
		if op == "swap" && left.Add(-1) < 0 {
			return fake.Throttle
		}
		return fake.None
	}
	w.ready()
	w.aws.Hide()
	w.aws.Put(order("a", "one"), 0)
	w.aws.Put(order("b", "one"), 0)
	w.aws.Show(-1)
	part := func() Part {
		st, err := w.s.Status()
		if err != nil || st.Transactions != "apart" || len(st.Parts) != 2 {
			t.Fatalf("%+v, %v", st, err)
		}
		if other := st.Parts[1]; other.From != proa.Azure || other.Backlog != 0 {
			t.Errorf("from azure: %+v", other)
		}
		return st.Parts[0]
	}
	w.until("one of two is there", func() bool { return w.az.Len() == 1 && part().Backlog == 1 })
	if p := part(); p.Table != "orders" || p.From != proa.AWS || !p.Known || p.Lag <= 0 || p.Through.IsZero() {
		t.Errorf("from aws: %+v", p)
	}
	left.Store(1000)
	w.until("the other one follows", func() bool { return w.az.Len() == 2 && part().Backlog == 0 })
}

// Everything that was written before Through is at the other side, and Through does not stand still while nothing
// is written: a planned move waits for it to pass the moment of its fence.
func TestThroughPassesAMomentWhileNothingIsWritten(t *testing.T) {
	w := newWorld(t)
	w.ready()
	w.aws.Put(order("a", "one"), 0)
	w.quiet()
	for _, from := range proa.Regions() {
		moment := w.s.clock.now()
		w.until("it passes", func() bool {
			d, err := w.s.Replication(from)
			return err == nil && d.Known && d.Backlog == 0 && d.Through.After(moment)
		})
	}
}
