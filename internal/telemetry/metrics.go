package telemetry

import (
	"maps"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// Describe implements prometheus.Collector.
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{requestsDesc, errorsDesc, secondsDesc} {
		ch <- d
	}
}

var _ prometheus.Collector = (*Collector)(nil)

// What /metrics says of each box and arrow, added up over all processes that report here.
var (
	labels       = []string{"kind", "name"}
	requestsDesc = prometheus.NewDesc("proa_requests_total",
		"Requests that a box answered or that crossed an arrow of the picture.", labels, nil)
	errorsDesc = prometheus.NewDesc("proa_errors_total",
		"Of those, the ones that failed: 5xx, 429, unreachable.", labels, nil)
	secondsDesc = prometheus.NewDesc("proa_request_duration_seconds",
		"How long they took, where that is known.", labels, nil)
)

// Collect implements prometheus.Collector.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	c.mu.Lock()
	c.expire(c.clock())
	sum := c.sum()
	c.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(sum)) {
		t, kind := sum[name], "box"
		if strings.Contains(name, ">") {
			kind = "arrow"
		}
		requests, failed := float64(t.requests), float64(t.errors)
		ch <- prometheus.MustNewConstMetric(requestsDesc, prometheus.CounterValue, requests, kind, name)
		ch <- prometheus.MustNewConstMetric(errorsDesc, prometheus.CounterValue, failed, kind, name)
		if t.timed == 0 {
			continue
		}
		buckets := map[float64]uint64{}
		var seen uint64
		for i, n := range t.buckets[:bucketCount-1] {
			if seen += n; i%perOctave == 0 {
				buckets[Bound(i).Seconds()] = seen
			}
		}
		ch <- prometheus.MustNewConstHistogram(secondsDesc, t.timed, float64(t.sumUS)/1e6, buckets, kind, name)
	}
}
