package datasync

import (
	"time"

	"github.com/proa-cloud/proa"
)

// Part is how far the changes of one table or bucket that were written in one region have come; the fields are a
// Direction's.
type Part struct {
	Table       string        `json:"table,omitempty"`
	Bucket      string        `json:"bucket,omitempty"`
	From        proa.Region   `json:"from"`
	Known       bool          `json:"known"`
	Lag         time.Duration `json:"lag"`
	Backlog     int           `json:"backlog"`
	Quarantined int           `json:"quarantined"`
	Scanning    bool          `json:"scanning"`
	P50         float64       `json:"p50_ms"`
	P99         float64       `json:"p99_ms"`
	PerSecond   float64       `json:"per_second"`
	Error       string        `json:"error,omitempty"`
	Through     time.Time     `json:"through,omitzero"`
}

// Parts returns both directions of each table, then of each bucket, as Replication adds them up.
func (s *Service) Parts() ([]Part, error) {
	now := s.clock.now()
	owner := s.mustOwn("replicate")
	list := []Part{}
	for _, t := range s.tables() {
		for _, from := range proa.Regions() {
			d := Direction{From: from, To: from.Other(), Known: true, Through: now}
			var lags lagMeter
			if err := t.direction(&d, now, &lags); err != nil {
				return nil, err
			}
			d.measure(now, &lags, owner)
			p := partOf(&d)
			p.Table = t.schema.Table
			list = append(list, p)
		}
	}
	for _, b := range s.buckets() {
		for _, from := range proa.Regions() {
			d := Direction{From: from, To: from.Other(), Known: true, Through: now}
			d.bucket(b)
			d.measure(now, &lagMeter{}, owner)
			p := partOf(&d)
			p.Bucket = b.Name()
			list = append(list, p)
		}
	}
	return list, nil
}

func partOf(d *Direction) Part {
	return Part{
		From: d.From, Known: d.Known, Lag: d.Lag, Backlog: d.Backlog, Quarantined: d.Quarantined,
		Scanning: d.Scanning, P50: d.P50, P99: d.P99, PerSecond: d.PerSecond, Error: d.Error, Through: d.Through,
	}
}
