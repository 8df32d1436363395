package datasync

import (
	"fmt"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/shadow"
)

// Scan is how far the scan of one side of a table has come: the first one (the backfill), one after
// a gap of its feed, or one that an operator ordered.
type Scan struct {
	Table string `json:"table"`
	// Bucket stands in the place of a table: the first sweep of a side, or the first one after a restore.
	Bucket string      `json:"bucket,omitempty"`
	Region proa.Region `json:"region"`
	Rows   int64       `json:"rows"` // met so far
	// Known is how many keys of the table are known on either side; while a backfill runs, a lower
	// bound of how many there are.
	Known  int64     `json:"known"`
	Began  time.Time `json:"began,omitzero"`
	At     time.Time `json:"at,omitzero"` // when its place was last kept
	Done   bool      `json:"done"`
	Paused bool      `json:"paused"`
	Rate   float64   `json:"rows_per_second"` // since it began, pauses included
}

// Scans returns how far all scans have come.
func (s *Service) Scans() ([]Scan, error) {
	var list []Scan
	for _, t := range s.tables() {
		for _, sd := range t.sides {
			cp, err := s.store.Checkpoint(t.scanName(sd.region))
			if err != nil {
				return nil, err
			}
			scan := Scan{
				Table: t.schema.Table, Region: sd.region, Rows: cp.Rows, Known: s.store.Keys(t.schema.Table),
				Began: cp.ScanBegan, At: cp.At, Done: cp.Scanned, Paused: cp.Paused && !cp.Scanned,
			}
			if took := cp.At.Sub(cp.ScanBegan).Seconds(); !cp.ScanBegan.IsZero() && took > 0 {
				scan.Rate = float64(cp.Rows) / took
			}
			list = append(list, scan)
		}
	}
	for _, b := range s.buckets() {
		list = append(list, sweeps(b)...)
	}
	return list, nil
}

// newScan is the checkpoint of a scan from the beginning. Its sweep writes again what the scan does
// not meet. The caller holds sd.scan.
func (t *table) newScan(sd *side, now time.Time) (shadow.Checkpoint, error) {
	cp, err := t.store.Checkpoint(t.scanName(sd.region))
	return shadow.Checkpoint{
		ScanBegan: now, At: now, Sweep: true, Order: cp.Order + 1, Paused: cp.Paused && !cp.Scanned,
	}, err
}

// Rescan scans both sides of a table from the beginning, without stopping writes.
func (s *Service) Rescan(name string) error {
	return s.eachScan(name, func(t *table, sd *side, _ shadow.Checkpoint) (shadow.Checkpoint, error) {
		return t.newScan(sd, t.clock.now())
	})
}

// PauseScan stops the scans of a table until ResumeScan, also over restarts. Replication of changes
// goes on.
func (s *Service) PauseScan(name string) error { return s.pauseScan(name, true) }

// ResumeScan lets the scans of a table go on from where they were.
func (s *Service) ResumeScan(name string) error { return s.pauseScan(name, false) }

func (s *Service) pauseScan(name string, paused bool) error {
	return s.eachScan(name, func(_ *table, _ *side, cp shadow.Checkpoint) (shadow.Checkpoint, error) {
		cp.Paused = paused
		return cp, nil
	})
}

func (s *Service) eachScan(
	name string, change func(*table, *side, shadow.Checkpoint) (shadow.Checkpoint, error),
) error {
	if err := s.mustOwn("scan"); err != nil {
		return err
	}
	t := s.table(name)
	if t == nil {
		return fmt.Errorf("scan: table %q: %w", name, proa.ErrNotFound)
	}
	for _, sd := range t.sides {
		if err := t.changeScan(sd, change); err != nil {
			return err
		}
	}
	return nil
}

func (t *table) changeScan(
	sd *side, change func(*table, *side, shadow.Checkpoint) (shadow.Checkpoint, error),
) error {
	sd.scan.Lock()
	defer sd.scan.Unlock()
	cp, err := t.store.Checkpoint(t.scanName(sd.region))
	if err != nil {
		return err
	}
	if cp, err = change(t, sd, cp); err != nil {
		return err
	}
	sd.setScanned(cp.Scanned)
	return t.store.Commit(func(tx *shadow.Tx) error {
		return tx.SetCheckpoint(t.scanName(sd.region), cp)
	})
}
