package datasync

import (
	"errors"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/bus"
	"github.com/proa-cloud/proa/datasync/objects"
	"github.com/proa-cloud/proa/datasync/verify"
)

// Direction is replication from one region to the other.
type Direction struct {
	From proa.Region `json:"from"`
	To   proa.Region `json:"to"`
	// Known says that From's feed could be read lately, all of it. Where it is false, Lag says
	// nothing and Backlog counts only what had been captured.
	Known bool `json:"known"`
	// Lag is the age of the oldest change that was written at From and that To's readers do not
	// see; without such a change, it is the time since the feed was last known to have none.
	Lag time.Duration `json:"lag"`
	// Backlog is the number of keys and objects captured from From whose winner is not at To yet.
	Backlog int `json:"backlog"`
	// of those that wait for an operator or a newer write; not in Backlog
	Quarantined int `json:"quarantined"`
	// writes that From acknowledged and its feed has not shown
	Announced int `json:"announced"`
	// a table of From is being scanned: rows may be missing from Backlog
	Scanning  bool    `json:"scanning"`
	P50       float64 `json:"p50_ms"` // of the lags measured lately
	P99       float64 `json:"p99_ms"`
	PerSecond float64 `json:"per_second"`
	// why From's feed cannot be read, or the last write to To failed
	Error string `json:"error,omitempty"`
	// Through is the time such that everything written at From before it, as far as its feed tells,
	// is at To.
	Through time.Time `json:"through,omitzero"`
}

// CaughtUp reports whether the other side had everything up to an objective ago: a gate for
// failback.
func (d *Direction) CaughtUp(objective time.Duration) bool {
	return d.Known && !d.Scanning && d.Lag <= objective
}

// Status is the state of data sync.
type Status struct {
	Directions [2]Direction `json:"directions"` // from aws, from azure
	// Parts are the same for each table and bucket.
	Parts []Part `json:"parts"`
	// Transactions says how changes that were made in one transaction are applied.
	Transactions string `json:"transactions"`
	Keys         int64  `json:"keys"` // remembered, deleted ones included
	Objects      int64  `json:"objects"`
	// the last comparison; nil: none was made yet
	Verified *verify.Result `json:"verified,omitempty"`
	// Ownership says which node replicates; on any other one, the rest is what it last knew.
	Ownership Ownership `json:"ownership"`
	Metrics   Metrics   `json:"metrics"`
	Cost      Cost      `json:"cost"`
	Scans     []Scan    `json:"scans"`
	// Subscribers is how far each has come.
	Subscribers []bus.SubscriptionStatus `json:"subscribers"`
	// Warnings say what a feed cannot show and which budget is spent.
	Warnings []string `json:"warnings,omitempty"`
}

// TransactionsApart is how transactions are applied: one change at a time. See docs/adr/0006-transactions-apart.md.
const TransactionsApart = "apart"

// Status returns the state of data sync.
func (s *Service) Status() (Status, error) {
	st := Status{
		Transactions: TransactionsApart, Metrics: s.Metrics(), Ownership: s.Ownership(), Verified: s.Verified(), Cost: s.Cost(), Subscribers: s.Subscribers(),
		Warnings: s.Warnings(),
	}
	var errs []error
	scans, err := s.Scans()
	st.Scans, errs = scans, append(errs, err)
	st.Parts, err = s.Parts()
	errs = append(errs, err)
	for i, region := range proa.Regions() {
		d, err := s.Replication(region)
		st.Directions[i] = d
		errs = append(errs, err)
	}
	for _, t := range s.tables() {
		st.Keys += s.store.Keys(t.schema.Table)
	}
	for _, b := range s.buckets() {
		st.Objects += b.Objects()
	}
	return st, errors.Join(errs...)
}

// Replication returns how far changes written in a region have come to the other one, over all
// tables and buckets.
func (s *Service) Replication(from proa.Region) (Direction, error) {
	now := s.clock.now()
	d := Direction{From: from, To: from.Other(), Known: true, Through: now}
	var lags lagMeter
	for _, t := range s.tables() {
		if err := t.direction(&d, now, &lags); err != nil {
			return d, err
		}
	}
	for _, b := range s.buckets() {
		d.bucket(b)
	}
	d.measure(now, &lags, s.mustOwn("replicate"))
	var err error
	d.Announced, _, err = s.store.Announced(from, 0)
	return d, err
}

// bucket adds one bucket to a direction.
func (d *Direction) bucket(b *objects.Replicator) {
	o := b.Direction(d.From)
	d.Known = d.Known && o.Known
	d.Backlog += o.Backlog
	d.Scanning = d.Scanning || o.Scanning
	d.through(o.Through)
	if o.Err != nil {
		d.Error = o.Err.Error()
	}
}

// measure says what the parts come to: notOwner, where this node does not replicate, nothing.
func (d *Direction) measure(now time.Time, lags *lagMeter, notOwner error) {
	if notOwner != nil {
		d.Known, d.Error = false, notOwner.Error()
	}
	p50, p99, rate := lags.percentiles(now)
	d.P50, d.P99, d.PerSecond = ms(p50), ms(p99), rate
	d.Lag = now.Sub(d.Through)
	if !d.Known {
		d.Lag, d.Through = 0, time.Time{}
	}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func (d *Direction) through(t time.Time) {
	if t.Before(d.Through) {
		d.Through = t
	}
}

// direction adds one table to a direction.
func (t *table) direction(d *Direction, now time.Time, lags *lagMeter) error {
	from, to := t.side(d.From), t.side(d.To)
	depth := t.store.Depth(t.schema.Table, d.To)
	t.readState(d, from, now, lags)
	if depth.Backlog > 0 {
		oldest, err := t.store.Oldest(t.schema.Table, d.To)
		if err != nil {
			return err
		}
		if !oldest.IsZero() {
			d.through(oldest)
		}
	}
	d.Backlog += depth.Backlog
	d.Quarantined += depth.Parked
	to.mu.Lock() // never while from's is held: the other direction takes them the other way round
	defer to.mu.Unlock()
	if d.Error == "" && to.lastWriteErr != "" {
		d.Error = to.lastWriteErr
	}
	return nil
}

// readState adds how reading the side's feed goes.
func (t *table) readState(d *Direction, from *side, now time.Time, lags *lagMeter) {
	from.mu.Lock()
	defer from.mu.Unlock()
	d.Known = d.Known && !from.fresh.IsZero() && now.Sub(from.fresh) < t.cfg.Stale
	d.Scanning = d.Scanning || !from.scanned
	d.through(from.fresh)
	if from.lastErr != nil {
		d.Error = from.lastErr.Error()
	}
	for _, l := range from.lags.ring {
		lags.add(l.at, l.lag)
	}
}

func (t *table) side(r proa.Region) *side {
	if t.sides[0].region == r {
		return t.sides[0]
	}
	return t.sides[1]
}
