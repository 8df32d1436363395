package datasync

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/resolve"
)

// Budget bounds what replication may cost in an hour; 0: no bound. An hour's budget may be spent at
// once; once it is, writes wait for what the passing time adds to it, and so does the lag.
type Budget struct {
	Writes       int64 // of either cloud
	RequestUnits int64 // of Cosmos DB, reads of its feed included
	EgressBytes  int64 // that leave a cloud
}

// Cost is what replication has cost since the process began.
type Cost struct {
	Writes map[proa.Region]uint64 `json:"writes"` // that were sent to a region, refused ones included
	// WriteUnits are DynamoDB's, of the larger of the item before and after: an estimate, without
	// indexes.
	WriteUnits uint64 `json:"dynamodb_write_units"`
	// RequestUnits are Cosmos DB's as it tells them; nil where it was not asked.
	RequestUnits *float64 `json:"cosmos_request_units"`
	// Sidecar is how many of the writes were of the regions' sidecars.
	Sidecar uint64 `json:"sidecar_writes"`
	// Egress is the size in bytes of the contents that left a region, as DynamoDB counts an item.
	Egress map[proa.Region]uint64 `json:"egress_bytes"`
	// PerChange is writes for each change that came to be seen on the other side.
	PerChange float64 `json:"writes_per_change"`
	// Spent says which budget is spent, "" for none, and Waits how often a write has waited for one.
	Spent string `json:"budget_spent,omitempty"`
	Waits uint64 `json:"budget_waits"`
}

// bucket is one budget: a token bucket of an hour.
type bucket struct {
	name string
	hour float64 // 0: no bound
	left float64
}

// meter counts what replication costs. It is safe for concurrent use.
type meter struct {
	units func() float64
	log   *slog.Logger

	mu      sync.Mutex
	writes  [2]uint64
	egress  [2]uint64
	wcu     uint64
	sidecar uint64
	waits   uint64
	at      time.Time // when the buckets were last filled
	charged float64   // request units that were taken out
	warned  time.Time
	buckets [3]bucket
}

func newMeter(b Budget, units func() float64, now time.Time, log *slog.Logger) *meter {
	m := &meter{units: units, log: log, at: now}
	for i, hour := range []int64{b.Writes, b.RequestUnits, b.EgressBytes} {
		name := [...]string{"writes", "request units", "egress"}[i]
		m.buckets[i] = bucket{name, float64(hour), float64(hour)}
	}
	return m
}

// wrote counts one write.
func (m *meter) wrote(now time.Time, to proa.Region, w resolve.Write, o resolve.Outcome) {
	size := resolve.Size(w.Next.Item)
	before := resolve.Size(w.Seen.Image.Item)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fill(now)
	m.writes[resolve.Index(to)]++
	m.buckets[0].left--
	if to == proa.AWS {
		m.wcu += uint64(max((max(size, before)+1023)/1024, 1))
	}
	if o != resolve.Dropped {
		m.egress[resolve.Index(to.Other())] += uint64(size)
		m.buckets[2].left -= float64(size)
	}
}

// kept counts one write of a region's sidecar.
func (m *meter) kept(now time.Time, to proa.Region, bytes int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fill(now)
	m.writes[resolve.Index(to)]++
	m.sidecar++
	m.buckets[0].left--
	if to == proa.AWS {
		m.wcu += uint64(max((bytes+1023)/1024, 1))
	}
}

// fill adds what the passing time adds. The caller holds the lock.
func (m *meter) fill(now time.Time) {
	took := now.Sub(m.at).Hours()
	m.at = now
	if m.units != nil {
		units := m.units()
		m.buckets[1].left -= units - m.charged
		m.charged = units
	}
	for i := range m.buckets {
		b := &m.buckets[i]
		b.left = min(b.left+b.hour*took, b.hour)
	}
}

// maxPatience bounds one wait for a budget, so that what changes meanwhile is noticed.
const maxPatience = time.Second

// spent returns how long a write must wait for the budgets, and for which.
func (m *meter) spent(now time.Time) (time.Duration, string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fill(now)
	var wait time.Duration
	name := ""
	for _, b := range m.buckets {
		if b.hour <= 0 || b.left >= 0 {
			continue
		}
		if d := time.Duration(-b.left / b.hour * float64(time.Hour)); d >= wait {
			wait, name = max(d, time.Millisecond), b.name
		}
	}
	if name != "" && now.Sub(m.warned) > time.Hour {
		m.warned = now
		m.log.Warn("a budget is spent: replication slows down", "budget", name)
	}
	return wait, name
}

// afford waits until the budgets let a write start, or the context ends.
func (t *table) afford(ctx context.Context) {
	for ctx.Err() == nil {
		wait, name := t.cost.spent(t.clock.now())
		if name == "" {
			return
		}
		t.cost.mu.Lock()
		t.cost.waits++
		t.cost.mu.Unlock()
		_ = sleep(ctx, min(wait, maxPatience), nil)
	}
}

// Cost returns what replication has cost.
func (s *Service) Cost() Cost {
	_, spent := s.cost.spent(s.clock.now())
	m := s.cost
	m.mu.Lock()
	defer m.mu.Unlock()
	c := Cost{
		Writes: map[proa.Region]uint64{}, Egress: map[proa.Region]uint64{}, WriteUnits: m.wcu, Spent: spent,
		Waits: m.waits, Sidecar: m.sidecar,
	}
	var all uint64
	for i, r := range proa.Regions() {
		c.Writes[r], c.Egress[r] = m.writes[i], m.egress[i]
		all += m.writes[i]
	}
	if m.units != nil {
		units := m.units()
		c.RequestUnits = &units
	}
	if applied := s.m.applied.Load(); applied > 0 {
		c.PerChange = float64(all-m.sidecar) / float64(applied)
	}
	return c
}

// warner is a feed that cannot show everything.
type warner interface{ Warning(cursor string) string }

// Warnings say what the feeds in use cannot show, and which budget is spent.
func (s *Service) Warnings() []string {
	var list []string
	for _, t := range s.tables() {
		for _, sd := range t.sides {
			w, ok := sd.feed.(warner)
			if !ok {
				continue
			}
			cp, err := s.store.Checkpoint(t.feedName(sd.region))
			if err != nil || cp.Cursor == "" {
				continue
			}
			if text := w.Warning(cp.Cursor); text != "" {
				list = append(list, fmt.Sprintf("%s at %s: %s", t.schema.Table, sd.region, text))
			}
		}
	}
	for _, k := range s.parts.Load().keepers {
		if text := k.warning(); text != "" {
			list = append(list, text)
		}
	}
	list = append(list, s.bucketWarnings()...)
	if _, name := s.cost.spent(s.clock.now()); name != "" {
		list = append(list, "the budget of "+name+" is spent: replication waits for it")
	}
	return list
}
