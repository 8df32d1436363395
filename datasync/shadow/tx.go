package shadow

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/proa-cloud/proa/datasync/bus"
	"github.com/proa-cloud/proa/datasync/resolve/journal"
)

// Append puts a captured change into the change log.
func (tx *Tx) Append(e *bus.Event) error {
	tx.grown = true
	_, err := tx.s.Log.Append(tx.b, e)
	return err
}

// Conflict puts a conflict into the journal.
func (tx *Tx) Conflict(keyID string, c journal.Conflict) error {
	return tx.s.Journal.Append(tx.b, keyID, c)
}

// Add adds to a counter that survives restarts.
func (tx *Tx) Add(name string, n int64) { tx.adds[name] += n }

// Count returns a counter that survives restarts.
func (s *Store) Count(name string) int64 { return s.count(name) }

// Checkpoint is how far something has come.
type Checkpoint struct {
	Cursor string    `json:"cursor"`
	At     time.Time `json:"at"` // the clock when it was written
	// when the feed was begun anew after its last gap; zero: it had none
	Resumed time.Time `json:"resumed,omitzero"`
	// Scan is where a scan of the whole table has come; it is complete where Scanned is set.
	Scan      string    `json:"scan,omitempty"`
	ScanBegan time.Time `json:"scan_began,omitzero"`
	Scanned   bool      `json:"scanned,omitempty"`
	// the scan follows a gap: what it does not meet is missing
	Sweep bool  `json:"sweep,omitempty"`
	Rows  int64 `json:"rows,omitempty"` // that it has met
	// the scan waits until an operator resumes it
	Paused bool  `json:"paused,omitempty"`
	Order  int64 `json:"order,omitempty"` // rises with each scan that is ordered
}

// SetCheckpoint keeps a checkpoint under a name.
func (tx *Tx) SetCheckpoint(name string, c Checkpoint) error {
	body, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("write checkpoint: %w", err)
	}
	return tx.b.Set(append([]byte{keyCheckpoint}, name...), body, nil)
}

// Checkpoint returns the checkpoint of a name, the zero Checkpoint where there is none.
func (s *Store) Checkpoint(name string) (Checkpoint, error) {
	var c Checkpoint
	err := s.getJSON(append([]byte{keyCheckpoint}, name...), &c)
	if err != nil {
		return c, fmt.Errorf("read checkpoint %s: %w", name, err)
	}
	return c, nil
}

// getJSON reads a value; it leaves into alone where there is none.
func (s *Store) getJSON(key []byte, into any) error {
	body, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(json.Unmarshal(body, into), closer.Close())
}

// SetObject keeps a record of package objects; nil removes it.
func (tx *Tx) SetObject(bucket, name string, record []byte) error {
	k := append(objectPrefix(bucket), name...)
	if record == nil {
		return tx.b.Delete(k, nil)
	}
	return tx.b.Set(k, record, nil)
}

// Object reads a record of package objects; nil where there is none.
func (s *Store) Object(bucket, name string) ([]byte, error) {
	body, closer, err := s.db.Get(append(objectPrefix(bucket), name...))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read object's shadow: %w", err)
	}
	return append([]byte(nil), body...), closer.Close()
}

// WalkObjects calls fn with up to limit records of a bucket whose names come after one and not
// after another ("" for no bound), in order of name. record is valid during the call only.
func (s *Store) WalkObjects(
	bucket, after, last string, limit int, fn func(name string, record []byte) error,
) (more bool, err error) {
	prefix := objectPrefix(bucket)
	o := &pebble.IterOptions{LowerBound: prefix, UpperBound: upper(prefix)}
	if after != "" {
		o.LowerBound = append(append(objectPrefix(bucket), after...), 0)
	}
	if last != "" {
		o.UpperBound = append(append(objectPrefix(bucket), last...), 0)
	}
	it, err := s.db.NewIter(o)
	if err != nil {
		return false, fmt.Errorf("walk objects: %w", err)
	}
	n := 0
	for ok := it.First(); ok; ok = it.Next() {
		if n == limit {
			return true, it.Close()
		}
		n++
		if err := fn(string(it.Key()[len(prefix):]), it.Value()); err != nil {
			return false, errors.Join(err, it.Close())
		}
	}
	return false, errors.Join(it.Error(), it.Close())
}

func objectPrefix(bucket string) []byte {
	return append([]byte{keyObject}, tablePrefix(bucket)+"\x00"...)
}

// Database is the database, for scratch ranges of verification under Scratch.
func (s *Store) Database() *pebble.DB { return s.db }

// Scratch is a key prefix that no record of the store has.
func Scratch() []byte { return []byte{keyScratch} }
