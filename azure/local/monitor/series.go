package monitor

import (
	"slices"
	"strings"
	"sync"
	"time"
)

// Bounds of the metrics store: this many series, seconds for alert windows and minutes for reads.
const (
	maxSeries   = 512
	keptSeconds = 600
	keptMinutes = 24 * 60
)

// seriesKey names a time series. Dimensions are name and value in turn, joined by NUL.
type seriesKey struct{ resource, metric, dimensions string }

// bucket sums up the measurements of one second or minute.
type bucket struct {
	at       int64 // second or minute since the epoch
	count    float64
	sum      float64
	min, max float64
}

func (b *bucket) add(o bucket) {
	if b.count == 0 {
		b.min, b.max = o.min, o.max
	}
	b.count += o.count
	b.sum += o.sum
	b.min, b.max = min(b.min, o.min), max(b.max, o.max)
}

// ring holds the last buckets, each at its time modulo the size. It grows when first used.
type ring struct {
	size    int
	buckets []bucket
}

func (r *ring) add(at int64, value float64) {
	if r.buckets == nil {
		r.buckets = make([]bucket, r.size)
	}
	b := &r.buckets[at%int64(r.size)]
	if b.at > at {
		return // the clock went back further than the ring reaches
	}
	if b.at != at {
		*b = bucket{at: at}
	}
	b.add(bucket{count: 1, sum: value, min: value, max: value})
}

// total sums up the buckets from..to-1.
func (r *ring) total(from, to int64) bucket {
	var out bucket
	from = max(from, to-int64(r.size))
	for at := from; at < to && r.buckets != nil; at++ {
		if b := r.buckets[((at%int64(r.size))+int64(r.size))%int64(r.size)]; b.at == at && b.count > 0 {
			out.add(b)
		}
	}
	return out
}

type series struct{ seconds, minutes ring }

// metrics holds all series.
type metrics struct {
	mu     sync.Mutex
	series map[seriesKey]*series
}

func (m *metrics) record(now time.Time, key seriesKey, value float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.series[key]
	if s == nil {
		if len(m.series) >= maxSeries {
			return
		}
		if m.series == nil {
			m.series = map[seriesKey]*series{}
		}
		s = &series{ring{size: keptSeconds}, ring{size: keptMinutes}}
		m.series[key] = s
	}
	s.seconds.add(now.Unix(), value)
	s.minutes.add(now.Unix()/60, value)
}

// window sums up the seconds up to now of every series of a metric that has the dimension, if any.
func (m *metrics) window(
	resource, metric, dimension string, now time.Time, width time.Duration,
) bucket {
	m.mu.Lock()
	defer m.mu.Unlock()
	to := now.Unix() + 1
	var out bucket
	for key, s := range m.series {
		if key.resource != strings.ToLower(resource) || !strings.EqualFold(key.metric, metric) ||
			!key.has(dimension) {
			continue
		}
		if b := s.seconds.total(to-int64(width/time.Second), to); b.count > 0 {
			out.add(b)
		}
	}
	return out
}

// has reports whether a series has the dimension "name=value"; "" is had by all.
func (k seriesKey) has(dimension string) bool {
	if dimension == "" {
		return true
	}
	name, value, _ := strings.Cut(dimension, "=")
	parts := strings.Split(k.dimensions, "\x00")
	for i := 0; i+1 < len(parts); i += 2 {
		if strings.EqualFold(parts[i], name) && strings.EqualFold(parts[i+1], value) {
			return true
		}
	}
	return false
}

// points returns one bucket for each interval of [from, to), both in minutes.
func (m *metrics) points(
	resource, metric string, filters []string, from, to, interval int64,
) []bucket {
	m.mu.Lock()
	defer m.mu.Unlock()
	var chosen []*series
	for key, s := range m.series {
		has := func(dimension string) bool { return key.has(dimension) }
		if key.resource == strings.ToLower(resource) && strings.EqualFold(key.metric, metric) &&
			!slices.ContainsFunc(filters, func(f string) bool { return !has(f) }) {
			chosen = append(chosen, s)
		}
	}
	var out []bucket
	for at := from; at < to; at += interval {
		sum := bucket{at: at}
		for _, s := range chosen {
			if b := s.minutes.total(at, at+interval); b.count > 0 {
				sum.add(b)
			}
		}
		out = append(out, sum)
	}
	return out
}
