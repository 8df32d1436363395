package node

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/console"
)

func TestGaugesOfEachTableAndDirection(t *testing.T) {
	lag, p50, p99 := 1500.0, 20.0, 80.0
	g := partGauges{func() []console.Part {
		return []console.Part{
			{Table: "orders", Quarantined: 2, Through: time.UnixMilli(1500), Direction: console.Direction{
				From: proa.AWS, Known: true, Backlog: 7, LagMS: &lag, P50: &p50, P99: &p99,
			}},
			{Table: "orders", Direction: console.Direction{From: proa.Azure}},
			{Bucket: "attachments", Direction: console.Direction{From: proa.AWS, Known: true}, Through: time.UnixMilli(2000)},
		}
	}}
	want := `
# HELP proa_replication_backlog Keys or objects that are captured and not on the other side.
# TYPE proa_replication_backlog gauge
proa_replication_backlog{from="aws",kind="bucket",name="attachments"} 0
proa_replication_backlog{from="aws",kind="table",name="orders"} 7
# HELP proa_replication_known 1 where this node knows how far changes have come; the other gauges of the direction are left out elsewhere.
# TYPE proa_replication_known gauge
proa_replication_known{from="aws",kind="bucket",name="attachments"} 1
proa_replication_known{from="aws",kind="table",name="orders"} 1
proa_replication_known{from="azure",kind="table",name="orders"} 0
# HELP proa_replication_lag_seconds Age of the oldest change that the other side lacks, or the time since there was known to be none.
# TYPE proa_replication_lag_seconds gauge
proa_replication_lag_seconds{from="aws",kind="table",name="orders"} 1.5
# HELP proa_replication_quarantined Keys that wait for an operator or a newer write.
# TYPE proa_replication_quarantined gauge
proa_replication_quarantined{from="aws",kind="bucket",name="attachments"} 0
proa_replication_quarantined{from="aws",kind="table",name="orders"} 2
# HELP proa_replication_recent_lag_seconds Quantiles of the lags of changes that were applied lately.
# TYPE proa_replication_recent_lag_seconds gauge
proa_replication_recent_lag_seconds{from="aws",kind="table",name="orders",quantile="0.5"} 0.02
proa_replication_recent_lag_seconds{from="aws",kind="table",name="orders",quantile="0.99"} 0.08
# HELP proa_replication_through_timestamp_seconds All that was written before it is on the other side.
# TYPE proa_replication_through_timestamp_seconds gauge
proa_replication_through_timestamp_seconds{from="aws",kind="bucket",name="attachments"} 2
proa_replication_through_timestamp_seconds{from="aws",kind="table",name="orders"} 1.5
`
	if err := testutil.CollectAndCompare(g, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}
