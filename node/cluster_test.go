package node

import (
	"testing"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/traffic"
)

// A planned move waits for a heartbeat later than its phase. The owner's clock may be ahead of that of whoever decides.
func TestTheOwnersClockIsNotTakenForThisOne(t *testing.T) {
	began := time.Now()
	measured := began.Add(2 * time.Second)
	for name, tc := range map[string]struct {
		skew, lag time.Duration // of the owner's clock; of replication
		measured  time.Time
		after     bool // a heartbeat from after the phase began has crossed
	}{
		"behind, crossed":    {skew: -time.Minute, lag: time.Second, measured: measured, after: true},
		"ahead, not crossed": {skew: time.Minute, lag: 3 * time.Second, measured: measured},
		"equal, crossed":     {lag: time.Second, measured: measured, after: true},
		"from the future":    {skew: time.Minute, lag: -time.Minute, measured: began},
		"unheard of":         {skew: time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			said := []traffic.Replication{
				{From: proa.AWS, Known: true, Lag: tc.lag, Through: measured.Add(tc.skew - tc.lag)},
				{From: proa.Azure},
			}
			got := onThisClock(said, tc.measured)
			if got[0].Through.After(began) != tc.after || got[0].Through.IsZero() {
				t.Errorf("through %s after the phase began, want after: %v", got[0].Through.Sub(began), tc.after)
			}
			if !got[1].Through.IsZero() {
				t.Error("heartbeats that are not written have crossed")
			}
			if !said[0].Through.Equal(measured.Add(tc.skew - tc.lag)) {
				t.Error("what was heard is changed")
			}
		})
	}
}
