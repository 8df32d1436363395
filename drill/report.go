package drill

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// Report is a drill's outcome: what was measured, against what was promised. Times are milliseconds.
type Report struct {
	Started    time.Time `json:"started"`
	Rate       int       `json:"rate"`     // requests a second that were asked for
	Requests   int       `json:"requests"` // sent in all
	Acked      int       `json:"acked"`
	Failed     int       `json:"failed"`
	Skipped    int       `json:"skipped"`     // not sent, because the client's queue was full
	DetectMS   float64   `json:"detect_ms"`   // kill → the name server's answer is the other region
	RTOMS      float64   `json:"rto_ms"`      // kill → first order acknowledged by the other region
	RPOMS      float64   `json:"rpo_ms"`      // kill − the oldest acknowledged order that the other region lacked
	RecoverMS  float64   `json:"recover_ms"`  // heal → both sides equal again
	FailbackMS float64   `json:"failback_ms"` // heal → the answer is the first region again

	// Unreplicated are orders acknowledged by the lost region that the other lacked at failover; Listed are those of them that proa
	// itself listed. Lost are those that were nowhere after healing.
	Unreplicated []string `json:"unreplicated"`
	Listed       []string `json:"listed"`
	Lost         []string `json:"lost"`

	// ConflictsMade keys were written on both sides of a partition; Conflicts of them are in the journal, whole.
	ConflictsMade []string `json:"conflicts_made"`
	Conflicts     []string `json:"conflicts"`

	Keys        int64 `json:"keys"`        // compared at the end
	Differences int64 `json:"differences"` // between both sides at the end

	ObjectiveRTOMS float64  `json:"objective_rto_ms"`
	ObjectiveRPOMS float64  `json:"objective_rpo_ms"`
	Missed         []string `json:"missed"` // objectives and promises that did not hold; empty is a pass
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// judge compares what was measured with what was promised.
func (r *Report) judge() {
	r.Missed = []string{}
	miss := func(bad bool, format string, args ...any) {
		if bad {
			r.Missed = append(r.Missed, fmt.Sprintf(format, args...))
		}
	}
	miss(r.RTOMS > r.ObjectiveRTOMS, "RTO %.0f ms is over the objective of %.0f ms", r.RTOMS, r.ObjectiveRTOMS)
	miss(r.RPOMS > r.ObjectiveRPOMS, "RPO %.0f ms is over the objective of %.0f ms", r.RPOMS, r.ObjectiveRPOMS)
	miss(len(r.Lost) > 0, "%d acknowledged orders were lost", len(r.Lost))
	miss(len(r.Listed) < len(r.Unreplicated), "%d of %d unreplicated orders were not listed", len(r.Unreplicated)-len(r.Listed), len(r.Unreplicated))
	miss(len(r.Conflicts) < len(r.ConflictsMade), "%d of %d conflicts are not in the journal", len(r.ConflictsMade)-len(r.Conflicts), len(r.ConflictsMade))
	miss(r.Differences > 0, "%d of %d keys differ at the end", r.Differences, r.Keys)
	miss(r.Acked == 0, "no order was acknowledged at all")
}

// Passed reports whether every objective was met.
func (r *Report) Passed() bool { return len(r.Missed) == 0 }

// WriteTable prints the report for people.
func (r *Report) WriteTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(t, "%s\t%s\n", name, fmt.Sprintf(format, args...)) }
	row("requests", "%d sent at %d/s, %d acknowledged, %d failed, %d skipped", r.Requests, r.Rate, r.Acked, r.Failed, r.Skipped)
	row("detection", "%.0f ms  kill → DNS answer flipped", r.DetectMS)
	row("RTO", "%.0f ms  kill → first order acknowledged elsewhere (objective %.0f ms)", r.RTOMS, r.ObjectiveRTOMS)
	row("RPO", "%.0f ms, %d orders not yet replicated (objective %.0f ms)", r.RPOMS, len(r.Unreplicated), r.ObjectiveRPOMS)
	row("listed", "%d of %d by proa itself at the moment of the loss", len(r.Listed), len(r.Unreplicated))
	row("recovery", "%.0f ms  heal → both sides equal", r.RecoverMS)
	row("failback", "%.0f ms  heal → DNS answer is back", r.FailbackMS)
	row("lost", "%d orders", len(r.Lost))
	row("conflicts", "%d of %d in the journal", len(r.Conflicts), len(r.ConflictsMade))
	row("equal", "%d differences of %d keys", r.Differences, r.Keys)
	if err := t.Flush(); err != nil {
		return err
	}
	writeList(w, "not yet replicated at the loss", r.Unreplicated)
	writeList(w, "lost", r.Lost)
	writeList(w, "conflicting", r.Conflicts)
	if r.Passed() {
		_, err := fmt.Fprintln(w, "\nPASS: every objective was met")
		return err
	}
	_, err := fmt.Fprintf(w, "\nMISSED:\n  %s\n", strings.Join(r.Missed, "\n  "))
	return err
}

// maxListed bounds what the table prints; JSON has everything.
const maxListed = 10

func writeList(w io.Writer, title string, keys []string) {
	if len(keys) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s:\n", title)
	for i, k := range keys {
		if i == maxListed {
			fmt.Fprintf(w, "  … and %d more (-o json lists all)\n", len(keys)-maxListed)
			return
		}
		fmt.Fprintf(w, "  %s\n", k)
	}
}
