package telemetry

import (
	"math"
	"sync/atomic"
	"time"
)

// Buckets of a latency histogram: four to each doubling from 64 µs to about 67 s, so that a quantile is off by a tenth at most.
const (
	perOctave   = 4
	octaves     = 20
	bucketCount = perOctave*octaves + 1 // the last one is open
	smallest    = 64 * time.Microsecond
)

// Bound is a bucket's upper end; the last one's is +Inf.
func Bound(i int) time.Duration {
	if i >= bucketCount-1 {
		return math.MaxInt64
	}
	return time.Duration(float64(smallest) * math.Exp2(float64(i)/perOctave))
}

func bucketOf(d time.Duration) int {
	if d <= smallest {
		return 0
	}
	i := int(math.Ceil(perOctave * math.Log2(float64(d)/float64(smallest))))
	return min(max(i, 0), bucketCount-1)
}

// cell is the counters of one box or arrow.
type cell struct {
	requests, errors, sum atomic.Uint64 // sum in microseconds
	timed                 atomic.Uint64 // requests whose time is known
	buckets               [bucketCount]atomic.Uint64
}

func (c *cell) observe(d time.Duration, failed bool) {
	c.requests.Add(1)
	if failed {
		c.errors.Add(1)
	}
	if d >= 0 {
		c.timed.Add(1)
		c.sum.Add(uint64(d.Microseconds()))
		c.buckets[bucketOf(d)].Add(1)
	}
}

// Counts are a cell's totals since its process began. Buckets are sparse: index and count in turn.
type Counts struct {
	Requests uint64   `json:"n"`
	Errors   uint64   `json:"e,omitempty"`
	Timed    uint64   `json:"t,omitempty"`
	SumUS    uint64   `json:"us,omitempty"`
	Buckets  []uint64 `json:"b,omitempty"`
}

func (c *cell) counts() Counts {
	out := Counts{
		Requests: c.requests.Load(), Errors: c.errors.Load(), Timed: c.timed.Load(), SumUS: c.sum.Load(),
	}
	for i := range c.buckets {
		if n := c.buckets[i].Load(); n > 0 {
			out.Buckets = append(out.Buckets, uint64(i), n)
		}
	}
	return out
}

// totals is Counts with its buckets spread out, so that they can be added and subtracted.
type totals struct {
	requests, errors, timed, sumUS uint64
	buckets                        [bucketCount]uint64
}

// add adds counts; what a sender made up is ignored.
func (t *totals) add(c Counts) {
	t.requests += c.Requests
	t.errors += c.Errors
	t.timed += c.Timed
	t.sumUS += c.SumUS
	for i := 0; i+1 < len(c.Buckets); i += 2 {
		if b := c.Buckets[i]; b < bucketCount {
			t.buckets[b] += c.Buckets[i+1]
		}
	}
}

// since is what came after an earlier reading. A counter that fell (its process is gone) gives nothing.
func (t *totals) since(before *totals) totals {
	var d totals
	d.requests, d.errors = fallen(t.requests, before.requests), fallen(t.errors, before.errors)
	d.timed, d.sumUS = fallen(t.timed, before.timed), fallen(t.sumUS, before.sumUS)
	for i := range t.buckets {
		d.buckets[i] = fallen(t.buckets[i], before.buckets[i])
	}
	return d
}

func fallen(now, before uint64) uint64 {
	if now < before {
		return 0
	}
	return now - before
}

// quantile is the upper end of the bucket in which the quantile lies, in milliseconds; nil when nothing was timed.
func (t *totals) quantile(q float64) *float64 {
	var all uint64
	for _, n := range t.buckets {
		all += n
	}
	if all == 0 {
		return nil
	}
	want, seen := uint64(math.Ceil(q*float64(all))), uint64(0)
	for i, n := range t.buckets {
		if seen += n; seen >= want {
			bound := Bound(min(i, bucketCount-2)) // what is past the last bound counts as that
			ms := float64(bound.Microseconds()) / 1000
			return &ms
		}
	}
	return nil
}
