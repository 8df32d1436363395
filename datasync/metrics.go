package datasync

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/proa-cloud/proa/datasync/resolve"
)

// Metrics are counts since the process began, but for those that say otherwise. The box that a
// count belongs to stands first.
type Metrics struct {
	EventsReads  uint64 `json:"events_reads"`  // reads of change feeds
	EventsFailed uint64 `json:"events_failed"` // of which failed
	// feeds that had lost changes, so that a table was scanned
	EventsGaps       uint64 `json:"events_gaps"`
	EventsCaptured   uint64 `json:"events_captured"` // changes, echoes and repetitions included
	EventsScanned    uint64 `json:"events_scanned"`  // rows read by scans
	EventsEchoes     uint64 `json:"events_echoes"`   // changes that were our own writes
	EventsRepeated   uint64 `json:"events_repeated"` // changes that had been seen before
	EventsClamped    uint64 `json:"events_clamped"`  // stamps outside the skew bound
	EventsLogged     uint64 `json:"events_logged"`   // changes in the log, ever
	EventsAnnounced  uint64 `json:"events_announced"`
	EventsDropped    int64  `json:"events_dropped"` // announcements dropped at a bound, ever
	ReplicationWrite uint64 `json:"replication_writes"`
	// changes that the other side's readers came to see
	Applied      uint64 `json:"replication_applied"`
	Refused      uint64 `json:"replication_refused"` // compare-and-sets that found something else
	Throttled    uint64 `json:"replication_throttled"`
	WritesFailed uint64 `json:"replication_failed"` // outcome unknown
	// foreign updates that came between a check and its write
	SlippedUnder uint64 `json:"replication_slipped"`
	// writes that landed after they had been given up
	Late uint64 `json:"replication_late"`
	// rows that differed without a change that says why
	UnknownAge uint64 `json:"replication_unknown"`
	// rows that were missing without a change that says why
	Unions      uint64 `json:"replication_restored"`
	Quarantined uint64 `json:"replication_quarantined"`
	// changes of feeds that could not be judged, ever
	Malformed int64 `json:"events_malformed"`
	// removals by a store's time-to-live that the rules do not count as deletes
	Lapsed uint64 `json:"replication_lapsed"`
	// keys that a full comparison found to differ
	Repaired uint64 `json:"replication_repaired"`
	// operators' orders: restored losers, settled conflicts
	Settled   uint64 `json:"conflicts_settled"`
	Conflicts uint64 `json:"conflicts_made"`
	// both sides wrote the same: not in the journal
	ConflictsSame    uint64 `json:"conflicts_same_content"`
	ConflictsKept    uint64 `json:"conflicts_kept"`    // in the journal now
	ConflictsDropped uint64 `json:"conflicts_dropped"` // from the journal at its bounds
}

type counters struct {
	reads, readErrors, gaps, captured, scanned        atomic.Uint64
	echoes, repeated, clamped, announced              atomic.Uint64
	writes, applied, refusals, throttles, writeErrors atomic.Uint64
	slipped, late, unknown, unions, quarantined       atomic.Uint64
	conflicts, same, malformed, lapsed, settled       atomic.Uint64
	repaired                                          atomic.Uint64
}

func (c *counters) note(n resolve.Note) {
	switch n {
	case resolve.NoteEcho:
		c.echoes.Add(1)
	case resolve.NoteRepeated:
		c.repeated.Add(1)
	case resolve.NoteClamped:
		c.clamped.Add(1)
	case resolve.NoteMerged:
		c.slipped.Add(1)
	case resolve.NoteLate:
		c.late.Add(1)
	case resolve.NoteUnknown:
		c.unknown.Add(1)
	case resolve.NoteUnion:
		c.unions.Add(1)
	case resolve.NoteSameAgain:
		c.same.Add(1)
	case resolve.NoteLapsed:
		c.lapsed.Add(1)
	case resolve.NoteSettled:
		c.settled.Add(1)
	}
}

// Metrics returns the counts.
func (s *Service) Metrics() Metrics {
	c := &s.m
	m := Metrics{
		EventsReads: c.reads.Load(), EventsFailed: c.readErrors.Load(), EventsGaps: c.gaps.Load(),
		EventsCaptured: c.captured.Load(), EventsScanned: c.scanned.Load(), EventsEchoes: c.echoes.Load(),
		EventsRepeated: c.repeated.Load(), EventsClamped: c.clamped.Load(),
		EventsAnnounced: c.announced.Load(),
		EventsDropped:   s.store.Count("announcements_dropped"), ReplicationWrite: c.writes.Load(),
		Applied: c.applied.Load(), Refused: c.refusals.Load(), Throttled: c.throttles.Load(),
		WritesFailed: c.writeErrors.Load(), SlippedUnder: c.slipped.Load(), Late: c.late.Load(),
		UnknownAge: c.unknown.Load(), Unions: c.unions.Load(), Quarantined: c.quarantined.Load(),
		Conflicts: c.conflicts.Load(), ConflictsSame: c.same.Load(), Lapsed: c.lapsed.Load(),
		Settled: c.settled.Load(), Repaired: c.repaired.Load(), Malformed: s.store.Count("malformed"),
	}
	m.ConflictsKept, _, m.ConflictsDropped = s.store.Journal.Stats()
	_, next := s.store.Log.Ends()
	m.EventsLogged = next - 1
	return m
}

// lagWindow is how many lags, and lagSpan for how long, percentiles are made of.
const (
	lagWindow = 2048
	lagSpan   = 5 * time.Minute
)

// lagMeter keeps the lags of the last changes. It is not safe for concurrent use.
type lagMeter struct {
	ring  []timedLag
	next  int
	total uint64
}

type timedLag struct {
	at  time.Time
	lag time.Duration
}

func (l *lagMeter) add(at time.Time, lag time.Duration) {
	l.total++
	t := timedLag{at, max(lag, 0)}
	if len(l.ring) < lagWindow {
		l.ring = append(l.ring, t)
		return
	}
	l.ring[l.next] = t
	l.next = (l.next + 1) % lagWindow
}

// percentiles returns the median and the 99th percentile, and the number of changes a second over
// the last ten seconds.
func (l *lagMeter) percentiles(now time.Time) (p50, p99 time.Duration, rate float64) {
	var lags []time.Duration
	recent := 0
	for _, t := range l.ring {
		if now.Sub(t.at) < lagSpan {
			lags = append(lags, t.lag)
		}
		if now.Sub(t.at) < 10*time.Second {
			recent++
		}
	}
	if len(lags) == 0 {
		return 0, 0, 0
	}
	slices.Sort(lags)
	return lags[len(lags)/2], lags[len(lags)*99/100], float64(recent) / 10
}
