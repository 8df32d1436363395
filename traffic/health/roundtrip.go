package health

import (
	"context"
	"maps"
	"net/http/httptrace"
	"slices"
	"sync"
	"time"

	"github.com/proa-cloud/proa"
)

// samples is how many round trips a region's median is of: half a minute of two checks a second.
const samples = 63

// roundTrips are the last round trips to one endpoint, a ring.
type roundTrips struct {
	last []time.Duration
	next int
}

func (r *roundTrips) add(d time.Duration) {
	if len(r.last) < samples {
		r.last = append(r.last, d)
		return
	}
	r.last[r.next] = d
	r.next = (r.next + 1) % samples
}

// median is 0 without a sample.
func (r *roundTrips) median() time.Duration {
	if len(r.last) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(r.last))[len(r.last)/2]
}

// roundTrips are the medians by region, of those that were reached.
func (c *core) roundTrips() map[proa.Region]time.Duration {
	out := map[proa.Region]time.Duration{}
	for _, s := range c.sites {
		if d := s.trips.median(); d > 0 && s.cfg.Region != "" {
			out[s.cfg.Region] = d
		}
	}
	return out
}

// RoundTrips are the medians of how long connections to each region took to open lately. A region
// that is not reached keeps its last. It never blocks.
func (p *Prober) RoundTrips() map[proa.Region]time.Duration { return maps.Clone(*p.trips.Load()) }

// stopwatch takes the time of the first connection of a probe: one round trip of the network, and
// nothing of what TLS or the service take.
type stopwatch struct {
	mu    sync.Mutex
	began map[string]time.Time // by address: two may be tried beside each other
	took  time.Duration
}

// watch returns a context whose connections are timed.
func (s *stopwatch) watch(ctx context.Context, clock func() time.Time) context.Context {
	s.began = map[string]time.Time{}
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		ConnectStart: func(_, address string) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.began[address] = clock()
		},
		ConnectDone: func(_, address string, err error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if began, ok := s.began[address]; ok && err == nil && s.took == 0 {
				s.took = max(clock().Sub(began), 1)
			}
		},
	})
}

// time is 0 where nothing was connected.
func (s *stopwatch) time() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.took
}
