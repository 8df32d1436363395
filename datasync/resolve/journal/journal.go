// Package journal keeps the losers of conflicts, whole, so that they can be searched and restored.
//
// An entry is appended in the batch that decides the conflict: where a crash undoes the decision,
// the entry is undone too. Entries are kept up to bounds of size and age; what goes past them is
// counted (Dropped), the oldest first.
package journal

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/internal/fifo"
)

// Conflict is one entry. Its JSON is stable.
type Conflict struct {
	ID     uint64    `json:"id"`   // rises with time
	Time   time.Time `json:"time"` // when it was decided
	Table  string    `json:"table,omitempty"`
	Key    proa.Item `json:"key,omitempty"` // the key attributes
	Bucket string    `json:"bucket,omitempty"`
	Object string    `json:"object,omitempty"`
	Reason string    `json:"reason"`
	Policy string    `json:"policy"`
	// Outcome is what the policy made of it: newer, older, merged or hold; "" is newer. Note is why it
	// could do no better.
	Outcome string `json:"outcome,omitempty"`
	Note    string `json:"note,omitempty"`
	Winner  Side   `json:"winner"` // of a merge or a hold: the newer one
	Loser   Side   `json:"loser"`
	// Merged is what a merge made of both; Base is the state that both came from, where it was at hand.
	Merged proa.Item `json:"merged,omitempty"`
	Base   *Side     `json:"base,omitempty"`
	// Redacted names attributes that a residency rule keeps out of here.
	Redacted []string `json:"redacted,omitempty"`
}

// Side is one of the two states of a conflict.
type Side struct {
	Version   proa.Version `json:"version"`
	Parent    proa.Version `json:"parent,omitzero"` // what it replaced at its region
	Region    proa.Region  `json:"region"`
	Time      time.Time    `json:"time"`
	Tombstone bool         `json:"tombstone,omitempty"`
	Expired   bool         `json:"expired,omitempty"`
	Item      proa.Item    `json:"item,omitempty"` // the whole content
	// the content was no more at hand when the conflict was found
	Missing bool    `json:"missing,omitempty"`
	Object  *Object `json:"object,omitempty"`
}

// Object says what an object was and where its content can be had.
type Object struct {
	Size int64  `json:"size"`
	ETag string `json:"etag"`
	// of the bucket at Region, where it keeps versions
	VersionID string `json:"version_id,omitempty"`
	// the name under which the content was kept, in the bucket at KeptAt
	Kept        string            `json:"kept,omitempty"`
	KeptAt      proa.Region       `json:"kept_at,omitempty"`
	ContentType string            `json:"content_type,omitempty"`
	Metadata    map[string]string `json:"metadata,omitempty"`
}

// Query selects entries, the newest first.
type Query struct {
	Table  string    // "" for all; ignored where KeyID is set
	KeyID  string    // proa.Key.ID, or ObjectID
	Since  time.Time // not older
	Until  time.Time // not younger; the zero time: no bound
	Policy string    // whose policy begins so; "" for all
	Before uint64    // entries with a lower ID only; 0: from the newest
	Limit  int       // 100 when 0, 1,000 at most
}

// selects checks what an index does not help with.
func (q *Query) selects(c *Conflict) bool {
	return (q.Until.IsZero() || !c.Time.After(q.Until)) && strings.HasPrefix(c.Policy, q.Policy)
}

// ObjectID is to an object what proa.Key.ID is to an item.
func ObjectID(bucket, name string) string {
	return fmt.Sprintf("o%d:%s%d:%s", len(bucket), bucket, len(name), name)
}

// Journal is the journal in two key ranges of a database: entries, and their IDs by key.
type Journal struct {
	db             *pebble.DB
	entries, byKey byte

	mu          sync.Mutex
	first, next uint64
	dropped     uint64

	indexed uint64 // Trim's: no conflict before it is in the index by key
}

// Open finds the journal's ends.
func Open(db *pebble.DB, entries, byKey byte) (*Journal, error) {
	j := &Journal{db: db, entries: entries, byKey: byKey, first: 1, next: 1}
	it, err := db.NewIter(&pebble.IterOptions{
		LowerBound: []byte{entries},
		UpperBound: []byte{entries + 1},
	})
	if err != nil {
		return nil, fmt.Errorf("open conflict journal: %w", err)
	}
	if it.First() {
		j.first = binary.BigEndian.Uint64(it.Key()[1:])
	}
	if it.Last() {
		j.next = binary.BigEndian.Uint64(it.Key()[1:]) + 1
	}
	return j, errors.Join(it.Error(), it.Close())
}

// Append puts an entry into the batch and gives it its ID. One caller at a time.
func (j *Journal) Append(b *pebble.Batch, keyID string, c Conflict) error {
	j.mu.Lock()
	c.ID = j.next
	j.next++
	j.mu.Unlock()
	body, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("append to conflict journal: %w", err)
	}
	if err := b.Set(j.key(c.ID), body, nil); err != nil {
		return err
	}
	return b.Set(binary.BigEndian.AppendUint64(append([]byte{j.byKey}, keyID...), c.ID), nil, nil)
}

func (j *Journal) key(id uint64) []byte { return fifo.Key(j.entries, id) }

// Stats returns how many entries are kept, how many were ever made and how many this process
// dropped at the bounds.
func (j *Journal) Stats() (kept, made, dropped uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.next - j.first, j.next - 1, j.dropped
}

// Find returns the entries that a query selects.
func (j *Journal) Find(q Query) ([]Conflict, error) {
	limit := min(q.Limit, 1000)
	if limit <= 0 {
		limit = 100
	}
	if q.KeyID != "" {
		return j.findKey(q, limit)
	}
	o := &pebble.IterOptions{LowerBound: []byte{j.entries}, UpperBound: []byte{j.entries + 1}}
	if q.Before > 0 {
		o.UpperBound = j.key(q.Before)
	}
	it, err := j.db.NewIter(o)
	if err != nil {
		return nil, fmt.Errorf("read conflict journal: %w", err)
	}
	var found []Conflict
	for ok := it.Last(); ok && len(found) < limit; ok = it.Prev() {
		var c Conflict
		if err := json.Unmarshal(it.Value(), &c); err != nil {
			return nil, errors.Join(fmt.Errorf("read conflict journal: %w", err), it.Close())
		}
		if c.Time.Before(q.Since) {
			break
		}
		if (q.Table == "" || q.Table == c.Table) && q.selects(&c) {
			found = append(found, c)
		}
	}
	return found, errors.Join(it.Error(), it.Close())
}

func (j *Journal) findKey(q Query, limit int) ([]Conflict, error) {
	prefix := append([]byte{j.byKey}, q.KeyID...)
	until := binary.BigEndian.AppendUint64(append([]byte(nil), prefix...), max(q.Before, 1)-1)
	if q.Before == 0 {
		until = binary.BigEndian.AppendUint64(append([]byte(nil), prefix...), ^uint64(0))
	}
	it, err := j.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: append(until, 0)})
	if err != nil {
		return nil, fmt.Errorf("read conflict journal: %w", err)
	}
	var found []Conflict
	for ok := it.Last(); ok && len(found) < limit; ok = it.Prev() {
		if len(it.Key()) != len(prefix)+8 {
			continue
		}
		c, err := j.Get(binary.BigEndian.Uint64(it.Key()[len(prefix):]))
		if errors.Is(err, proa.ErrNotFound) {
			break // dropped at a bound, as all before it
		}
		if err != nil {
			return nil, errors.Join(err, it.Close())
		}
		if c.Time.Before(q.Since) {
			break
		}
		if q.selects(&c) {
			found = append(found, c)
		}
	}
	return found, errors.Join(it.Error(), it.Close())
}

// Get returns one entry; proa.ErrNotFound where there is none of that ID any more.
func (j *Journal) Get(id uint64) (Conflict, error) {
	var c Conflict
	body, closer, err := j.db.Get(j.key(id))
	if errors.Is(err, pebble.ErrNotFound) {
		return c, fmt.Errorf("conflict %d: %w", id, proa.ErrNotFound)
	}
	if err != nil {
		return c, fmt.Errorf("conflict %d: %w", id, err)
	}
	err = json.Unmarshal(body, &c)
	return c, errors.Join(err, closer.Close())
}

// Trim drops entries decided before a time, and the oldest ones that do not fit into maxBytes on disk
// (their index by key comes on top). It returns how many went.
func (j *Journal) Trim(before time.Time, maxBytes int64) (uint64, error) {
	j.mu.Lock()
	first, next := j.first, j.next
	j.mu.Unlock()
	cut := first
	for step := max((next-first)/1000, 1); cut < next; cut += step {
		c, err := j.Get(cut)
		if err != nil && !errors.Is(err, proa.ErrNotFound) {
			return 0, err
		}
		if err == nil && !c.Time.Before(before) {
			break
		}
	}
	fits, err := fifo.Fit(j.db, j.entries, first, next, maxBytes)
	if err != nil {
		return 0, fmt.Errorf("trim conflict journal: %w", err)
	}
	cut = min(max(cut, fits), max(next, 1)-1) // the last one stays: it remembers the ID
	if cut <= first {
		return 0, nil
	}
	if cut-j.indexed >= (next-cut)/8 {
		if err := j.dropIndex(cut); err != nil {
			return 0, err
		}
		j.indexed = cut
	}
	if err := j.db.DeleteRange(j.key(0), j.key(cut), pebble.NoSync); err != nil {
		return 0, fmt.Errorf("trim conflict journal: %w", err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.first = cut
	j.dropped += cut - first
	return cut - first, nil
}

// dropIndex removes the index entries of dropped conflicts. It reads the whole index, so it is done for
// many conflicts at a time.
func (j *Journal) dropIndex(to uint64) error {
	b := j.db.NewBatch()
	it, err := j.db.NewIter(&pebble.IterOptions{
		LowerBound: []byte{j.byKey},
		UpperBound: []byte{j.byKey + 1},
	})
	if err != nil {
		return errors.Join(fmt.Errorf("trim conflict journal: %w", err), b.Close())
	}
	for ok := it.First(); ok; ok = it.Next() {
		if id := binary.BigEndian.Uint64(it.Key()[len(it.Key())-8:]); id < to {
			if err := b.Delete(it.Key(), nil); err != nil {
				return errors.Join(err, it.Close(), b.Close())
			}
		}
	}
	return errors.Join(it.Error(), it.Close(), b.Commit(pebble.NoSync))
}
