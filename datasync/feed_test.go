package datasync

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/internal/fake"
)

// A feed that is opened after a write of ours does not show it, and an item that is put back verbatim
// would pass for it.
func TestNothingIsWrittenToASideBeforeItsFeedIsOpen(t *testing.T) {
	w := newWorld(t)
	var open atomic.Bool
	w.az.Fault = func(op string) fake.Fault {
		if op == "feed" && !open.Load() {
			return fake.Down
		}
		return fake.None
	}
	w.aws.Put(order("a", "one"), 0)
	w.start()
	w.until("the item waits", func() bool { d, _ := w.s.Replication(proa.AWS); return d.Backlog == 1 })
	time.Sleep(50 * time.Millisecond)
	if w.az.Len() != 0 {
		t.Fatal("written before the feed was open")
	}
	open.Store(true)
	w.quiet()
	if w.az.Len() != 1 {
		t.Errorf("%d items at azure", w.az.Len())
	}
}
