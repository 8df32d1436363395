package shadow

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/bus"
	"github.com/proa-cloud/proa/datasync/internal/wire"
	"github.com/proa-cloud/proa/datasync/resolve"
	"github.com/proa-cloud/proa/datasync/resolve/journal"
	"github.com/proa-cloud/proa/datasync/verify"
)

// Key prefixes of the database. Each is followed by what its functions say.
const (
	keyRecord     = 'k' // key ID → record
	keyBody       = 'b' // key ID, hash → item
	keyReady      = 'r' // region, table, sequence → slot: write it now
	keyDelayed    = 'd' // region, table, due, sequence → slot: write it later
	keyInFlight   = 'i' // region, table, sequence → slot: sent, outcome not recorded
	keyParked     = 'q' // region, table, sequence → slot: quarantined
	keyCheckpoint = 'c' // name → cursor
	keyMeta       = 'm' // name → number
	keyLog        = 'l' // offset → change
	keyJournal    = 'j' // sequence → conflict
	keyJournalOf  = 'J' // key ID, sequence → nothing
	keyAnnounced  = 'a' // region, target, stamp → announcement
	keyUnheard    = 'u' // region → spans of time without announcements
	keyObject     = 'o' // bucket, name → record of package objects
	keyScratch    = 'v' // whatever verification likes
)

// Record is one key's state with its place in the queues.
type Record struct {
	State  *resolve.State
	slots  [2]slot
	bodies map[proa.Hash]int // those that are on disk, and their sizes
	size   int
	isNew  bool
	table  string
	part   verify.Part // of the digest, as of the last commit
	parted bool        // part is known
}

// Store is the database. Its methods may be called from several goroutines.
type Store struct {
	Log     *bus.Log
	Journal *journal.Journal

	db     *pebble.DB
	limits Limits

	mu     sync.Mutex // guards all below and the order of commits
	cache  cache
	seq    uint64 // of the queues, the log, the journal
	broken error
	queues map[queueName]*queue
	counts map[string]int64

	announced [2]announced
	digests   digests
}

// Limits bounds what the store keeps.
type Limits struct {
	CacheBytes     int           // of records in memory
	LogBytes       int64         // of the change log; the oldest go first
	LogAge         time.Duration // of its entries
	JournalBytes   int64         // of the conflict journal; the oldest go first
	JournalAge     time.Duration
	Announcements  int // outstanding, per region; the oldest go first
	AnnouncedValid time.Duration
}

// DefaultLimits returns the limits of a node: 32 MiB of memory, 1 GiB of log, 4 GiB of journal.
func DefaultLimits() Limits {
	return Limits{
		CacheBytes:     32 << 20,
		LogBytes:       1 << 30,
		LogAge:         72 * time.Hour,
		JournalBytes:   4 << 30,
		JournalAge:     90 * 24 * time.Hour,
		Announcements:  100_000,
		AnnouncedValid: 7 * 24 * time.Hour,
	}
}

// New makes a store of an open database, which stays the caller's to close, and reads its queues.
func New(db *pebble.DB, limits Limits) (*Store, error) {
	s := &Store{
		db: db, limits: limits, queues: map[queueName]*queue{}, counts: map[string]int64{},
	}
	s.cache.limit = limits.CacheBytes
	var err error
	if s.Log, err = bus.Open(db, keyLog); err != nil {
		return nil, err
	}
	if s.Journal, err = journal.Open(db, keyJournal, keyJournalOf); err != nil {
		return nil, err
	}
	if err := s.loadAnnounced(); err != nil {
		return nil, err
	}
	if err := s.loadMeta(); err != nil {
		return nil, err
	}
	if err := s.loadQueues(); err != nil {
		return nil, err
	}
	return s, nil
}

// ErrBroken says that a commit failed: the store refuses everything until the process has been
// restarted.
var ErrBroken = errors.New("shadow store is broken")

// Tx is one batch being made. It is valid inside Update only.
type Tx struct {
	s     *Store
	b     *pebble.Batch
	dirty map[string]*Record
	adds  map[string]int64
	grown bool // the log has
	now   time.Time
	seq   uint64                 // of the store when the batch began
	parts map[string]verify.Part // of the digests, before the batch
}

// Saw remembers the clock across restarts: time has been at least this.
func (tx *Tx) Saw(now time.Time) {
	if now.After(tx.now) {
		tx.now = now
	}
}

// Clock returns the latest time that a batch saw.
func (s *Store) Clock() time.Time { return time.Unix(0, s.count("clock")) }

// Lazy is Update for what a crash may undo: it becomes durable with a later batch.
func (s *Store) Lazy(fn func(tx *Tx) error) error {
	_, err := s.update(fn, pebble.NoSync)
	return err
}

// Update makes one batch with fn and applies it in order. The batch is durable once wait, which
// must be called, has returned nil. When fn fails, which it must for failures of the disk only,
// nothing is applied and the store is broken.
func (s *Store) Update(fn func(tx *Tx) error) (wait func() error, err error) {
	return s.update(fn, pebble.Sync)
}

func (s *Store) update(
	fn func(tx *Tx) error, o *pebble.WriteOptions,
) (wait func() error, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return nil, fmt.Errorf("%w: %w", ErrBroken, s.broken)
	}
	tx := &Tx{
		s: s, b: s.db.NewBatch(), dirty: map[string]*Record{}, adds: map[string]int64{},
		seq: s.seq,
	}
	undo := func(err error) (func() error, error) {
		for id := range tx.dirty {
			s.cache.drop(id)
		}
		s.broken = err // the queues' counts in memory are ahead of the disk
		return nil, errors.Join(err, tx.b.Close())
	}
	if err := fn(tx); err != nil {
		return undo(err)
	}
	if err := tx.flush(); err != nil {
		return undo(err)
	}
	if tx.b.Empty() {
		return func() error { return nil }, tx.b.Close()
	}
	if o.Sync {
		err = s.db.ApplyNoSyncWait(tx.b, o)
	} else {
		err = s.db.Apply(tx.b, o)
	}
	if err != nil {
		return undo(fmt.Errorf("commit shadow: %w", err))
	}
	tx.committed()
	if !o.Sync {
		return nil, tx.b.Close()
	}
	return func() error {
		err := tx.b.SyncWait()
		return errors.Join(err, tx.b.Close())
	}, nil
}

// Commit is Update and its wait.
func (s *Store) Commit(fn func(tx *Tx) error) error {
	wait, err := s.Update(fn)
	if err != nil {
		return err
	}
	return wait()
}

// Sync waits until every batch that has been begun is durable.
func (s *Store) Sync() error {
	s.mu.Lock()
	err := s.broken
	s.mu.Unlock()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrBroken, err)
	}
	if err := s.db.LogData(nil, pebble.Sync); err != nil {
		return fmt.Errorf("sync shadow: %w", err)
	}
	return nil
}

// flush writes the records that were touched.
func (tx *Tx) flush() error {
	for id, r := range tx.dirty {
		key := recordKey(id)
		if err := tx.flushBodies(id, r); err != nil {
			return err
		}
		if r.State == nil {
			if err := tx.b.Delete(key, nil); err != nil {
				return err
			}
			continue
		}
		b := encodeRecord(r)
		r.size = len(b)
		if err := tx.b.Set(key, b, nil); err != nil {
			return err
		}
	}
	if n := tx.now.UnixNano() - tx.s.counts["clock"]; !tx.now.IsZero() && n > 0 {
		tx.adds["clock"] = n
	}
	for name, add := range tx.adds {
		if err := tx.b.Set(metaKey(name), binary.AppendVarint(nil, tx.s.counts[name]+add),
			nil); err != nil {
			return err
		}
	}
	if tx.s.seq == tx.seq {
		return nil
	}
	return tx.b.Set(metaKey("seq"), binary.AppendVarint(nil, int64(tx.s.seq)), nil)
}

// committed takes over what the batch changed in memory.
func (tx *Tx) committed() {
	s := tx.s
	for id, r := range tx.dirty {
		tx.digested(id, r)
		if r.State == nil {
			s.cache.drop(id)
			continue
		}
		r.isNew = false
		s.cache.put(id, r)
	}
	for name, add := range tx.adds {
		s.counts[name] += add
	}
	if tx.grown {
		s.Log.Committed()
	}
}

// Load returns a key's record, which the batch will write; a new one where nothing is known of the
// key.
func (tx *Tx) Load(key proa.Key) (*Record, error) {
	id := key.ID()
	if r, ok := tx.dirty[id]; ok {
		if r.State == nil {
			r.State, r.isNew = &resolve.State{Key: key}, true
			tx.adds["keys/"+key.Table]++
		}
		return r, nil
	}
	r, err := tx.s.record(id)
	if err != nil {
		return nil, err
	}
	if r == nil {
		r = &Record{State: &resolve.State{Key: key}, isNew: true}
		tx.adds["keys/"+key.Table]++
	}
	tx.dirty[id] = r
	r.table = key.Table
	tx.before(id, r)
	return r, nil
}

// Forget removes a key's record.
func (tx *Tx) Forget(key proa.Key) error {
	id := key.ID()
	r, err := tx.Load(key)
	if err != nil {
		return err
	}
	for i := range r.slots {
		if err := tx.move(r, i, slot{}); err != nil {
			return err
		}
	}
	tx.adds["keys/"+key.Table]--
	tx.dirty[id] = &Record{bodies: r.bodies, table: key.Table}
	return nil
}

// record reads a record from memory or disk; nil where there is none.
func (s *Store) record(id string) (*Record, error) {
	if r := s.cache.get(id); r != nil {
		return r, nil
	}
	b, closer, err := s.db.Get(recordKey(id))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read shadow: %w", err)
	}
	r, err := decodeRecord(b)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read shadow of %q: %w", id, err), closer.Close())
	}
	if err := errors.Join(s.loadBodies(id, r), closer.Close()); err != nil {
		return nil, err
	}
	s.cache.put(id, r)
	return r, nil
}

// View calls fn with a key's state under the store's lock, nil where nothing is known. fn must not
// keep or change it.
func (s *Store) View(key proa.Key, fn func(*resolve.State)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.record(key.ID())
	if err != nil {
		return err
	}
	if r == nil {
		fn(nil)
		return nil
	}
	fn(r.State)
	return nil
}

// Keys is the number of keys of a table that are remembered, deleted ones included.
func (s *Store) Keys(table string) int64 { return s.count("keys/" + table) }

func (s *Store) count(name string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[name]
}

// Walk calls fn with the state of up to limit keys of a table whose IDs come after the given one,
// in order of ID, and returns the last ID seen, "" at the end. It sees one moment; fn must not keep
// states, whose bodies are left out.
func (s *Store) Walk(
	table, after string, limit int, fn func(id string, st *resolve.State) error,
) (string, error) {
	prefix := recordKey(tablePrefix(table))
	lower := prefix
	if after != "" {
		lower = append(recordKey(after), 0)
	}
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper(prefix)})
	if err != nil {
		return "", fmt.Errorf("walk shadow: %w", err)
	}
	last, n := "", 0
	for ok := it.First(); ok; ok = it.Next() {
		if n == limit {
			return last, it.Close()
		}
		r, err := decodeRecord(it.Value())
		if err != nil {
			return "", errors.Join(fmt.Errorf("walk shadow at %q: %w", it.Key(), err), it.Close())
		}
		last = string(it.Key()[1:])
		n++
		if err := fn(last, r.State); err != nil {
			return "", errors.Join(err, it.Close())
		}
	}
	return "", errors.Join(it.Error(), it.Close())
}

func recordKey(id string) []byte { return append([]byte{keyRecord}, id...) }

func metaKey(name string) []byte { return append([]byte{keyMeta}, name...) }

// tablePrefix is what the IDs of a table's keys start with (proa.Key.ID).
func tablePrefix(table string) string { return strconv.Itoa(len(table)) + ":" + table }

// upper is the first key after all that start with prefix.
func upper(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		end[i]++
		if end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}

func (s *Store) loadMeta() error {
	prefix := []byte{keyMeta}
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: upper(prefix)})
	if err != nil {
		return fmt.Errorf("open shadow: %w", err)
	}
	for ok := it.First(); ok; ok = it.Next() {
		n, size := binary.Varint(it.Value())
		if size <= 0 {
			return errors.Join(fmt.Errorf("open shadow: %q: %w", it.Key(), wire.ErrCorrupt), it.Close())
		}
		s.counts[string(it.Key()[1:])] = n
	}
	s.seq = uint64(s.counts["seq"])
	delete(s.counts, "seq")
	return errors.Join(it.Error(), it.Close())
}
