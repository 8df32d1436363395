package netfault

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/proa-cloud/proa"
)

// Conditions are what a network does to connections. The zero Conditions are a network in order.
type Conditions struct {
	// Latency, give or take Jitter, is added to everything that goes to the server.
	Latency time.Duration `json:"latency,omitempty"`
	Jitter  time.Duration `json:"jitter,omitempty"`
	// BytesPerSecond bounds each direction of each connection; 0: no bound.
	BytesPerSecond int64 `json:"bytes_per_second,omitempty"`
	// ResetRate is the share, 0 to 1, of requests whose connection is reset before they arrive.
	ResetRate float64 `json:"reset_rate,omitempty"`
	// CutTo holds what goes to the server, CutFrom what comes from it.
	CutTo   bool `json:"cut_to,omitempty"`
	CutFrom bool `json:"cut_from,omitempty"`
}

const (
	maxLatency = time.Minute
	minRate    = 64 // bytes a second; below it nothing would ever arrive
)

// Validate refuses what no network does.
func (c Conditions) Validate() error {
	switch {
	case c.Latency < 0 || c.Latency > maxLatency || c.Jitter < 0 || c.Jitter > maxLatency:
		return fmt.Errorf("latency %s, jitter %s: want 0 to %s: %w", c.Latency, c.Jitter, maxLatency,
			proa.ErrInvalid)
	case c.ResetRate < 0 || c.ResetRate > 1:
		return fmt.Errorf("reset rate %v: want 0 to 1: %w", c.ResetRate, proa.ErrInvalid)
	case c.BytesPerSecond < 0 || c.BytesPerSecond > 0 && c.BytesPerSecond < minRate:
		return fmt.Errorf("%d bytes a second: want 0 (no bound), or %d and more: %w",
			c.BytesPerSecond, minRate, proa.ErrInvalid)
	}
	return nil
}

// delay is how long one message is late.
func (c Conditions) delay() time.Duration {
	d := c.Latency
	if c.Jitter > 0 {
		d += time.Duration(rand.Int64N(2*int64(c.Jitter)+1)) - c.Jitter
	}
	return max(d, 0)
}

// resets draws whether a request's connection is reset.
func (c Conditions) resets() bool { return c.ResetRate > 0 && rand.Float64() < c.ResetRate }

// pace is how long n bytes take.
func (c Conditions) pace(n int) time.Duration {
	if c.BytesPerSecond <= 0 {
		return 0
	}
	return time.Duration(float64(n) / float64(c.BytesPerSecond) * float64(time.Second))
}

// rule is Conditions that change while connections wait for them.
type rule struct {
	mu      sync.Mutex
	now     Conditions
	changed chan struct{} // closed at the next change
}

func newRule() *rule { return &rule{changed: make(chan struct{})} }

func (r *rule) get() (Conditions, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now, r.changed
}

func (r *rule) update(change func(*Conditions)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.now)
	close(r.changed)
	r.changed = make(chan struct{})
}

// wait reports true once the conditions satisfy open, false when the context ended first.
func (r *rule) wait(ctx context.Context, open func(Conditions) bool) bool {
	for {
		c, changed := r.get()
		if open(c) {
			return ctx.Err() == nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// sleep waits for so long; it reports false when the context ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
