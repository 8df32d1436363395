package node

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/proa-cloud/proa/console"
)

// partGauges tells /metrics how far each table and bucket has come in each direction, as of the last half second. A direction
// that this node does not know of, as one that does not own data sync, has the gauge proa_replication_known alone.
type partGauges struct{ parts func() []console.Part }

var _ prometheus.Collector = partGauges{}

var (
	partLabels = []string{"kind", "name", "from"}
	knownDesc  = prometheus.NewDesc("proa_replication_known",
		"1 where this node knows how far changes have come; the other gauges of the direction are left out elsewhere.", partLabels, nil)
	lagDesc = prometheus.NewDesc("proa_replication_lag_seconds",
		"Age of the oldest change that the other side lacks, or the time since there was known to be none.", partLabels, nil)
	recentDesc = prometheus.NewDesc("proa_replication_recent_lag_seconds",
		"Quantiles of the lags of changes that were applied lately.", append(partLabels[:3:3], "quantile"), nil)
	backlogDesc = prometheus.NewDesc("proa_replication_backlog",
		"Keys or objects that are captured and not on the other side.", partLabels, nil)
	quarantinedDesc = prometheus.NewDesc("proa_replication_quarantined",
		"Keys that wait for an operator or a newer write.", partLabels, nil)
	throughDesc = prometheus.NewDesc("proa_replication_through_timestamp_seconds",
		"All that was written before it is on the other side.", partLabels, nil)
)

// Describe implements prometheus.Collector.
func (g partGauges) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{knownDesc, lagDesc, recentDesc, backlogDesc, quarantinedDesc, throughDesc} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (g partGauges) Collect(ch chan<- prometheus.Metric) {
	parts := g.parts()
	for i := range parts {
		p := &parts[i]
		kind, name := "table", p.Table
		if p.Bucket != "" {
			kind, name = "bucket", p.Bucket
		}
		gauge := func(d *prometheus.Desc, v float64, more ...string) {
			labels := append([]string{kind, name, string(p.From)}, more...)
			ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
		}
		if !p.Known {
			gauge(knownDesc, 0)
			continue
		}
		gauge(knownDesc, 1)
		gauge(backlogDesc, float64(p.Backlog))
		gauge(quarantinedDesc, float64(p.Quarantined))
		gauge(throughDesc, float64(p.Through.UnixMilli())/1000)
		if p.LagMS != nil {
			gauge(lagDesc, *p.LagMS/1000)
		}
		if p.P50 != nil && p.P99 != nil {
			gauge(recentDesc, *p.P50/1000, "0.5")
			gauge(recentDesc, *p.P99/1000, "0.99")
		}
	}
}
