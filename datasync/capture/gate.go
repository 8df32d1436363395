package capture

import (
	"math/rand/v2"
	"sync"
	"time"
)

// Gate bounds the writes in flight at one side. Its width grows by one with each window of
// successes and halves when the side throttles (AIMD); while the side cannot be reached it lets one
// write through at a time, after a pause that grows. Safe for concurrent use.
type Gate struct {
	mu       sync.Mutex
	max      float64
	width    float64
	flying   int
	failures int       // in a row, of reaching the side
	until    time.Time // closed until then
	halved   time.Time
	retryMax time.Duration
	rand     *rand.Rand
}

// NewGate makes a gate of at most width writes.
func NewGate(width int, retryMax time.Duration, r *rand.Rand) *Gate {
	return &Gate{max: float64(width), width: min(float64(width), 32), retryMax: retryMax, rand: r}
}

// Free returns how many writes may start now, and when to ask again where none may and none is in
// flight.
func (g *Gate) Free(now time.Time) (n int, retry time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if now.Before(g.until) {
		return 0, g.until
	}
	if g.failures > 0 {
		return max(1-g.flying, 0), g.until
	}
	return max(int(g.width)-g.flying, 0), g.until
}

// Open reports whether writes may start, room apart.
func (g *Gate) Open(now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.failures == 0 && !now.Before(g.until)
}

// Start counts writes that have started.
func (g *Gate) Start(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.flying += n
}

// Result is how a write went, as far as the gate is concerned.
type Result int

// The results.
const (
	OK        Result = iota
	Throttled        // the side asks for less
	Away             // the side was not reached
	Failed           // for a reason that says nothing of the side's load
)

// End counts one write that has ended.
func (g *Gate) End(now time.Time, r Result) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.flying--
	switch r {
	case OK:
		g.failures = 0
		g.until = time.Time{}
		g.width = min(g.width+1/g.width, g.max)
	case Throttled:
		g.failures = 0
		if now.Sub(g.halved) > 100*time.Millisecond {
			g.halved = now
			g.width = max(g.width/2, 1)
		}
	case Away:
		if now.Before(g.until) {
			return // one of a burst that failed together
		}
		g.failures++
		g.width = max(g.width/2, 1)
		g.until = now.Add(Backoff(g.failures, 50*time.Millisecond, g.retryMax, g.rand))
	}
}

// Back says that the side was reached by other means: the next write may start at once.
func (g *Gate) Back() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.failures > 0 {
		g.until = time.Time{}
		g.failures = 1
	}
}

// Width returns the current bound, for metrics.
func (g *Gate) Width() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return int(g.width)
}
