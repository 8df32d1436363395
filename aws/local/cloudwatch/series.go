package cloudwatch

import (
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	maxSeries     = 1000
	maxDimensions = 30
	fineStep      = 1 // seconds
	fineKeep      = 15 * 60
	coarseStep    = 60 // seconds
	coarseKeep    = 24 * 60 * 60
)

var errTooManyMetrics = errors.New("too many metrics")

// Dimension is a name and a value that tell metrics of one name apart.
type Dimension struct{ Name, Value string }

// id names a metric.
type id struct {
	Namespace  string
	Name       string
	Dimensions []Dimension
}

// key is the same for the same metric, whatever the order of its dimensions.
func (m id) key() string {
	if len(m.Dimensions) > 1 {
		m.Dimensions = slices.Clone(m.Dimensions)
		slices.SortFunc(m.Dimensions, func(a, b Dimension) int { return strings.Compare(a.Name, b.Name) })
	}
	var b strings.Builder
	b.WriteString(m.Namespace)
	b.WriteByte(0)
	b.WriteString(m.Name)
	for _, d := range m.Dimensions {
		b.WriteByte(0)
		b.WriteString(d.Name)
		b.WriteByte(0)
		b.WriteString(d.Value)
	}
	return b.String()
}

// statistics sum up the samples of a period.
type statistics struct{ count, sum, min, max float64 }

func single(value float64) statistics { return statistics{1, value, value, value} }

func (s *statistics) merge(o statistics) {
	if o.count == 0 {
		return
	}
	if s.count == 0 {
		*s = o
		return
	}
	s.count += o.count
	s.sum += o.sum
	s.min = math.Min(s.min, o.min)
	s.max = math.Max(s.max, o.max)
}

// value returns one statistic by the vendor's name.
func (s statistics) value(name string) (float64, bool) {
	switch name {
	case "SampleCount":
		return s.count, true
	case "Sum":
		return s.sum, true
	case "Average":
		return s.sum / s.count, true
	case "Minimum":
		return s.min, true
	case "Maximum":
		return s.max, true
	}
	return 0, false
}

type bucket struct {
	at int64 // seconds since 1970, a multiple of the step
	statistics
}

// series are the samples of one metric, summed up by the second and by the minute.
type series struct {
	id           id
	unit         string
	fine, coarse []bucket // in the order of time
	last         time.Time
}

// metrics are all series.
type metrics struct {
	mu     sync.Mutex
	series map[string]*series
}

// add puts samples into a series. Samples older than what is kept are taken and forgotten.
func (m *metrics) add(metric id, unit string, now, at time.Time, s statistics) error {
	key := metric.key()
	m.mu.Lock()
	defer m.mu.Unlock()
	entry := m.series[key]
	if entry == nil {
		if len(m.series) >= maxSeries && !m.evict(now) {
			return errTooManyMetrics
		}
		entry = &series{id: metric}
		m.series[key] = entry
	}
	entry.unit, entry.last = unit, now
	entry.fine = insert(entry.fine, now, at, s, fineStep, fineKeep)
	entry.coarse = insert(entry.coarse, now, at, s, coarseStep, coarseKeep)
	return nil
}

// evict makes room by dropping a metric that has nothing left. The lock is held.
func (m *metrics) evict(now time.Time) bool {
	for key, entry := range m.series {
		if now.Sub(entry.last) > coarseKeep*time.Second {
			delete(m.series, key)
			return true
		}
	}
	return false
}

func insert(buckets []bucket, now, at time.Time, s statistics, step, keep int64) []bucket {
	oldest := now.Unix() - keep
	drop := 0
	for drop < len(buckets) && buckets[drop].at < oldest {
		drop++
	}
	if drop > 0 && (drop == len(buckets) || drop*2 > len(buckets)) {
		buckets = slices.Clone(buckets[drop:]) // let the old array go
	} else {
		buckets = buckets[drop:]
	}
	start := at.Unix() / step * step
	if start < oldest {
		return buckets
	}
	i := len(buckets)
	for i > 0 && buckets[i-1].at >= start {
		i--
	}
	if i < len(buckets) && buckets[i].at == start {
		buckets[i].merge(s)
		return buckets
	}
	return slices.Insert(buckets, i, bucket{start, s})
}

// window sums up what lies in [from, to), in seconds since 1970, by periods that begin at from.
// Periods without samples are left out.
func (m *metrics) window(metric id, unit string, from, to, period int64) []bucket {
	m.mu.Lock()
	defer m.mu.Unlock()
	entry := m.series[metric.key()]
	if entry == nil || unit != "" && unit != entry.unit {
		return nil
	}
	source := entry.fine
	if from%coarseStep == 0 && period%coarseStep == 0 {
		source = entry.coarse
	}
	var out []bucket
	for _, b := range source {
		if b.at < from || b.at >= to {
			continue
		}
		start := from + (b.at-from)/period*period
		if n := len(out); n > 0 && out[n-1].at == start {
			out[n-1].merge(b.statistics)
			continue
		}
		out = append(out, bucket{start, b.statistics})
	}
	return out
}

// list returns the metrics that pass the filter, in order.
func (m *metrics) list(pass func(*series) bool) []id {
	m.mu.Lock()
	defer m.mu.Unlock()
	var keys []string
	for key, entry := range m.series {
		if pass(entry) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	out := make([]id, len(keys))
	for i, key := range keys {
		out[i] = m.series[key].id
	}
	return out
}
