package datasync

import (
	"sync/atomic"
	"testing"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/internal/fake"
)

// TestTheTimeWithoutANodeIsSaid kills the node and one region: what that region acknowledged in
// between is in no list, and the list says which span it lacks until the region's feed has shown it.
func TestTheTimeWithoutANodeIsSaid(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.quiet()
	if spans, err := w.s.Unheard(proa.AWS); err != nil || len(spans) > 0 {
		t.Fatalf("a first start has missed nothing: %v, %v", spans, err)
	}
	w.shutdown()

	w.aws.Put(order("while-away", "x"), 0)
	written := w.cfg.Clock()
	var up atomic.Bool
	w.aws.Fault = func(string) fake.Fault {
		if up.Load() {
			return fake.None
		}
		return fake.Down
	}
	w.start()
	w.until("the other region's span is filled", func() bool {
		spans, err := w.s.Unheard(proa.Azure)
		return err == nil && len(spans) == 0
	})
	spans, err := w.s.Unheard(proa.AWS)
	if err != nil || len(spans) != 1 || written.Before(spans[0].From) || written.After(spans[0].To) {
		t.Fatalf("the write of %v is in no span: %v, %v", written, spans, err)
	}
	w.shutdown()
	w.start()
	if spans, err := w.s.Unheard(proa.AWS); err != nil || len(spans) == 0 || written.Before(spans[0].From) {
		t.Fatalf("forgotten by a restart: %v, %v", spans, err)
	}
	up.Store(true)
	w.until("the region has shown what it wrote", func() bool {
		spans, err := w.s.Unheard(proa.AWS)
		return err == nil && len(spans) == 0
	})
	w.quiet()
}
