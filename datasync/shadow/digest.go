package shadow

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/proa-cloud/proa/datasync/resolve"
	"github.com/proa-cloud/proa/datasync/verify"
)

// digests are the digests of what both sides are known to hold, by table. They live in memory, are
// kept by every commit, and are built by a walk after a start: up to where the walk has come, they
// are right at any moment.
type digests struct {
	hasher verify.Hasher
	tables map[string]*tableDigest
}

type tableDigest struct {
	verify.Digest
	upTo string // the ID up to which the walk has come
	done bool
}

func (s *Store) digest(table string) *tableDigest {
	if s.digests.tables == nil {
		s.digests = digests{hasher: verify.NewHasher(), tables: map[string]*tableDigest{}}
	}
	d := s.digests.tables[table]
	if d == nil {
		d = &tableDigest{}
		s.digests.tables[table] = d
	}
	return d
}

// part is what a state adds to its table's digest.
func (s *Store) part(id string, st *resolve.State) verify.Part {
	var sides [2]verify.Held
	if st != nil {
		for i := range st.Sides {
			h := st.Sides[i].Current()
			if !h.Exists || h.Tombstone {
				continue
			}
			sides[i] = verify.Held{Exists: true, Hash: h.Hash}
			if h.Stored != nil {
				sides[i].Version = h.Stored.Version
			}
		}
		if lapsed(st) {
			sides = [2]verify.Held{} // one side may lack it, by a rule
		}
	}
	return s.digests.hasher.Part(id, sides)
}

func lapsed(st *resolve.State) bool {
	return st.Sides[0].Current().Lapsed || st.Sides[1].Current().Lapsed
}

// before remembers what a record added to its digest before the batch changes it.
func (tx *Tx) before(id string, r *Record) {
	tx.s.digest(r.State.Key.Table)
	if tx.parts == nil {
		tx.parts = map[string]verify.Part{}
	}
	if _, ok := tx.parts[id]; ok {
		return
	}
	switch {
	case r.parted:
		tx.parts[id] = r.part
	case r.isNew:
		tx.parts[id] = tx.s.part(id, nil)
	default:
		tx.parts[id] = tx.s.part(id, r.State)
	}
}

// digested puts what the batch changed into the digests.
func (tx *Tx) digested(id string, r *Record) {
	was, now := tx.parts[id], tx.s.part(id, r.State)
	r.part, r.parted = now, true
	d := tx.s.digest(r.table)
	if !d.done && id > d.upTo {
		return
	}
	if was != now {
		d.Remove(was)
		d.Add(now)
	}
}

// digestPage is how many keys one step of the walk takes under the store's lock.
const digestPage = 500

// BuildDigest does one step of the walk that builds a table's digest and reports whether it is done.
func (s *Store) BuildDigest(table string) (done bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.digest(table)
	if d.done {
		return true, nil
	}
	prefix := recordKey(tablePrefix(table))
	lower := prefix
	if d.upTo != "" {
		lower = append(recordKey(d.upTo), 0)
	}
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper(prefix)})
	if err != nil {
		return false, fmt.Errorf("build digest: %w", err)
	}
	n := 0
	for ok := it.First(); ok; ok = it.Next() {
		if n == digestPage {
			return false, it.Close()
		}
		r, err := decodeRecord(it.Value())
		if err != nil {
			return false, errors.Join(fmt.Errorf("build digest at %q: %w", it.Key(), err), it.Close())
		}
		d.upTo = string(it.Key()[1:])
		d.Add(s.part(d.upTo, r.State))
		n++
	}
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		return false, fmt.Errorf("build digest: %w", err)
	}
	d.done = true
	return true, nil
}

// Compared is what the digests of a table say.
type Compared struct {
	Ready     bool  // the digest is built
	Keys      int64 // that exist on either side
	Differing map[uint16]verify.Sum
}

// CompareDigests compares both sides of a table by digest.
func (s *Store) CompareDigests(table string) Compared {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.digest(table)
	if !d.done {
		return Compared{}
	}
	return Compared{Ready: true, Keys: d.Keys(), Differing: d.Differing()}
}

// Part is what a key adds to its table's digest now.
func (s *Store) Part(id string, st *resolve.State) verify.Part { return s.part(id, st) }
