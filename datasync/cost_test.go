package datasync

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/datasync/bus"
)

func TestWhatReplicationCostsIsCounted(t *testing.T) {
	w := newWorld(t)
	var units atomic.Int64
	w.cfg.RequestUnits = func() float64 { return float64(units.Load()) }
	w.ready()
	for i := range 10 {
		w.aws.Put(order(fmt.Sprint("a", i), strings.Repeat("x", 3000)), 0)
	}
	w.quiet()
	units.Store(123)
	c := w.s.Cost()
	if c.Writes[proa.Azure] < 10 || c.Egress[proa.AWS] < 30_000 || *c.RequestUnits != 123 || c.WriteUnits < 30 {
		t.Errorf("%+v", c)
	}
	if c.PerChange < 1 || c.PerChange > 2.5 {
		t.Errorf("%.1f writes a change: its own and the envelope on the side where it was made", c.PerChange)
	}
	if c.Spent != "" || c.Waits != 0 {
		t.Errorf("without a budget: %+v", c)
	}
}

func TestASpentBudgetSlowsReplicationDownAndSaysSo(t *testing.T) {
	w := newWorld(t)
	w.cfg.Budget, w.cfg.Workers = Budget{Writes: 20}, 8 // what is in flight when it is spent ends
	w.ready()
	for i := range 60 {
		w.aws.Put(order(fmt.Sprint("a", i), "x"), 0)
	}
	w.until("the budget is spent", func() bool { return w.s.Cost().Spent == "writes" && w.s.Cost().Waits > 0 })
	if n := w.az.Len(); n > 40 {
		t.Errorf("%d items crossed on a budget of 20 writes an hour", n)
	}
	warnings := w.s.Warnings()
	if len(warnings) != 1 || !strings.Contains(warnings[0], "budget of writes") {
		t.Errorf("%q", warnings)
	}
}

func TestABudgetIsRefilledByTime(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	charged := 0.0
	m := newMeter(Budget{RequestUnits: 3600}, func() float64 { return charged }, now, nil)
	m.log = discard()
	charged = 3610
	wait, name := m.spent(now)
	if name != "request units" || wait < 9*time.Second || wait > 11*time.Second {
		t.Errorf("%s, %q: ten units too many are ten seconds", wait, name)
	}
	if _, name := m.spent(now.Add(11 * time.Second)); name != "" {
		t.Errorf("still spent: %q", name)
	}
}

// inbox is a sink that keeps what it is sent.
type inbox struct {
	mu     sync.Mutex
	bodies []string
}

func (i *inbox) Send(_ context.Context, batch []bus.Message) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, m := range batch {
		i.bodies = append(i.bodies, string(m.Body))
	}
	return nil
}

func (i *inbox) all() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return append([]string{}, i.bodies...)
}

func TestSubscribersGetTheChangesTheyAskedFor(t *testing.T) {
	w := newWorld(t)
	everything, deletes := &inbox{}, &inbox{}
	filter, err := bus.NewFilter([]string{"orders"}, "k", "event.deleted")
	if err != nil {
		t.Fatal(err)
	}
	w.cfg.Subscribers = []Subscriber{
		{Name: "all", Sink: everything, Batch: 10}, {Name: "deletes", Sink: deletes, Filter: filter},
	}
	w.ready()
	w.aws.Put(order("k1", "x"), 0)
	w.az.Put(order("z1", "x"), 0)
	w.quiet()
	w.az.Delete(key("k1"), false, 0)
	w.az.Delete(key("z1"), false, 0)
	w.quiet()
	w.until("four events", func() bool { return len(everything.all()) == 4 && len(deletes.all()) == 1 })
	var e struct {
		Type, Subject, Source string
	}
	if err := json.Unmarshal([]byte(deletes.all()[0]), &e); err != nil {
		t.Fatal(err)
	}
	if e.Type != "cloud.proa.item.deleted" || e.Subject != "orders/k1" || e.Source != "/proa/azure/tables/orders" {
		t.Errorf("%+v", e)
	}
	if got := w.s.Subscribers(); len(got) != 2 || got[0].Delivered != 4 || got[1].Skipped != 3 {
		t.Errorf("%+v", got)
	}
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// deaf is a feed of the latest versions only.
type deaf struct{ cloud.Feed }

func (deaf) Warning(string) string { return "deletes are not seen" }

func TestAFeedThatCannotShowEverythingIsWarnedOf(t *testing.T) {
	w := newWorld(t)
	w.feeds[proa.Azure].NoOld = true
	w.cfg.Tables[0].Sides[proa.Azure] = TableSide{Table: w.az, Feed: deaf{w.feeds[proa.Azure]}}
	w.ready()
	w.until("a warning", func() bool { return len(w.s.Warnings()) == 1 })
	if got := w.s.Warnings()[0]; got != "orders at azure: deletes are not seen" {
		t.Errorf("%q", got)
	}
}
