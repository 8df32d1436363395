package telemetry

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/proa-cloud/proa"
)

// The collector's bounds.
const (
	maxSources  = 64
	sourceStale = 5 * time.Second // a process that is silent for so long is gone
	window      = 10 * time.Second
	maxReadings = 24 // a reading each half second, and some more
	maxTraces   = 256
	maxPerTrace = 32
	maxBody     = 1 << 20
)

// Collector adds up what all processes report. Its methods may be called from several goroutines.
type Collector struct {
	clock func() time.Time

	mu       sync.Mutex
	sources  map[string]*source
	ended    map[string]*totals // of processes that are gone
	readings []reading          // oldest first
	failures map[string]Failure
	traces   map[string]*Trace
	order    []string // traces, oldest first
	fresh    []string // traces that were not handed out yet
}

type source struct {
	report Report
	heard  time.Time
}

type reading struct {
	at    time.Time
	cells map[string]*totals
}

// NewCollector makes an empty collector.
func NewCollector(clock func() time.Time) *Collector {
	return &Collector{
		clock: clock, sources: map[string]*source{}, ended: map[string]*totals{},
		failures: map[string]Failure{}, traces: map[string]*Trace{},
	}
}

// Add takes a process's report. A process that came back under another incarnation leaves its former counts behind.
func (c *Collector) Add(r Report) error {
	if r.Process == "" || len(r.Process) > 64 || len(r.Incarnation) > 64 || len(r.Cells) > len(Cells()) {
		return fmt.Errorf("report of counters: %w", proa.ErrInvalid)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	key := r.Process + "/" + r.Incarnation
	if _, ok := c.sources[key]; !ok && len(c.sources) >= maxSources {
		c.expire(c.clock())
		if len(c.sources) >= maxSources {
			return fmt.Errorf("report of counters: more than %d processes: %w", maxSources, proa.ErrThrottled)
		}
	}
	c.sources[key] = &source{report: r, heard: c.clock()}
	for _, f := range r.Failures {
		if old, ok := c.failures[f.Cell]; (!ok || f.At.After(old.At)) && slices.Contains(Cells(), f.Cell) {
			c.failures[f.Cell] = f
		}
	}
	return nil
}

// expire folds the counts of processes that are gone into a sum.
func (c *Collector) expire(now time.Time) {
	for key, s := range c.sources {
		if now.Sub(s.heard) < sourceStale {
			continue
		}
		for name, n := range s.report.Cells {
			t := c.ended[name]
			if t == nil {
				t = &totals{}
				c.ended[name] = t
			}
			t.add(n)
		}
		delete(c.sources, key)
	}
}

// Stats is what one box or arrow did.
type Stats struct {
	Total  uint64 `json:"total"`
	Errors uint64 `json:"errors"`
	// Delta and DeltaErrors are since the last reading: how many dots to draw.
	Delta       uint64 `json:"delta"`
	DeltaErrors uint64 `json:"delta_errors"`
	// Rate and ErrorRate are a second, over ten seconds; P50 and P99 in milliseconds, null while nothing was timed.
	Rate      float64  `json:"rate"`
	ErrorRate float64  `json:"error_rate"`
	P50       *float64 `json:"p50_ms"`
	P99       *float64 `json:"p99_ms"`
	Last      *Failure `json:"last,omitempty"`
}

// Read takes a reading of all cells. Call it twice a second.
func (c *Collector) Read() map[string]Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.clock()
	c.expire(now)
	current := c.sum()
	out := map[string]Stats{}
	var before, oldest *reading
	if n := len(c.readings); n > 0 {
		before = &c.readings[n-1]
		oldest = &c.readings[0]
		for i := range c.readings {
			if now.Sub(c.readings[i].at) <= window {
				break
			}
			oldest = &c.readings[i]
		}
	}
	for name, t := range current {
		out[name] = stats(t, name, now, before, oldest)
	}
	for name, f := range c.failures {
		s := out[name]
		s.Last = &f
		out[name] = s
	}
	c.readings = append(c.readings, reading{now, current})
	if len(c.readings) > maxReadings {
		c.readings = slices.Delete(c.readings, 0, len(c.readings)-maxReadings)
	}
	return out
}

func (c *Collector) sum() map[string]*totals {
	sum := make(map[string]*totals, len(c.ended))
	for name, t := range c.ended {
		copied := *t
		sum[name] = &copied
	}
	for _, s := range c.sources {
		for name, n := range s.report.Cells {
			t := sum[name]
			if t == nil {
				t = &totals{}
				sum[name] = t
			}
			t.add(n)
		}
	}
	return sum
}

func stats(t *totals, name string, now time.Time, before, oldest *reading) Stats {
	s := Stats{Total: t.requests, Errors: t.errors}
	if before == nil {
		return s
	}
	step := t.since(earlier(before, name))
	s.Delta, s.DeltaErrors = step.requests, step.errors
	span := t.since(earlier(oldest, name))
	if seconds := now.Sub(oldest.at).Seconds(); seconds > 0 {
		s.Rate = float64(span.requests) / seconds
		s.ErrorRate = float64(span.errors) / seconds
	}
	s.P50, s.P99 = span.quantile(0.5), span.quantile(0.99)
	return s
}

func earlier(r *reading, name string) *totals {
	if t := r.cells[name]; t != nil {
		return t
	}
	return &totals{}
}

// Processes lists who reported lately.
func (c *Collector) Processes() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var names []string
	for _, s := range c.sources {
		if !slices.Contains(names, s.report.Process) {
			names = append(names, s.report.Process)
		}
	}
	slices.Sort(names)
	return names
}

// Trace is one followed request.
type Trace struct {
	ID    string    `json:"id"`
	Start time.Time `json:"start"`
	Spans []Span    `json:"spans"` // by their starts
}

// AddSpans takes spans; those past a trace's bound are dropped.
func (c *Collector) AddSpans(spans []Span) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range spans {
		t := c.traces[s.Trace]
		if t == nil {
			if len(c.order) >= maxTraces {
				delete(c.traces, c.order[0])
				c.order = c.order[1:]
			}
			t = &Trace{ID: s.Trace, Start: s.Start}
			c.traces[s.Trace] = t
			c.order = append(c.order, s.Trace)
			c.fresh = append(c.fresh, s.Trace)
		}
		if len(t.Spans) >= maxPerTrace {
			continue
		}
		t.Spans = append(t.Spans, s)
		if s.Start.Before(t.Start) {
			t.Start = s.Start
		}
	}
	if len(c.fresh) > maxTraces {
		c.fresh = c.fresh[len(c.fresh)-maxTraces:]
	}
}

// settle is how long a trace waits for the spans of other processes.
const settle = 1200 * time.Millisecond

// Settled takes the traces that came in and are likely complete, the newest last, limit at most.
func (c *Collector) Settled(limit int) []Trace {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.clock()
	var out []Trace
	var waiting []string
	for _, id := range c.fresh {
		t := c.traces[id]
		switch {
		case t == nil:
		case now.Sub(t.Start) < settle:
			waiting = append(waiting, id)
		default:
			out = append(out, t.sorted())
		}
	}
	c.fresh = waiting
	if len(out) > limit {
		out = out[len(out)-limit:]
	}
	return out
}

func (t *Trace) sorted() Trace {
	out := Trace{ID: t.ID, Start: t.Start, Spans: slices.Clone(t.Spans)}
	slices.SortStableFunc(out.Spans, func(a, b Span) int { return a.Start.Compare(b.Start) })
	return out
}

// Recent lists the last traces that crossed an arrow ("" for any), the newest first.
func (c *Collector) Recent(arrow string, limit int) []Trace {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := []Trace{}
	for _, id := range slices.Backward(c.order) {
		if len(out) >= limit {
			break
		}
		t := c.traces[id]
		if arrow == "" || slices.ContainsFunc(t.Spans, func(s Span) bool { return s.Arrow == arrow }) {
			out = append(out, t.sorted())
		}
	}
	return out
}

// ServeHTTP is the collector's intake: CountersPath and TracesPath.
func (c *Collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	var err error
	switch r.URL.Path {
	case CountersPath:
		var report Report
		if err = body.Decode(&report); err == nil {
			err = c.Add(report)
		}
	case TracesPath:
		var traces otlpTraces
		if err = body.Decode(&traces); err == nil {
			c.AddSpans(fromOTLP(traces))
		}
	default:
		http.NotFound(w, r)
		return
	}
	if err != nil {
		http.Error(w, fmt.Sprintf("%s: %v", r.URL.Path, err), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte("{}\n"))
}
