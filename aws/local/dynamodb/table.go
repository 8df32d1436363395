package dynamodb

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/proa-cloud/proa"
)

// tableMeta is what is stored of a table, but for its counters.
type tableMeta struct {
	ID          uint64
	UUID        string
	Name        string
	CreatedMS   int64
	Schema      proa.Schema
	Indexes     []indexMeta `json:",omitempty"`
	OnDemand    bool
	OnDemandMS  int64 // since when
	ReadUnits   int64
	WriteUnits  int64
	Class       string `json:",omitempty"`
	Protected   bool   // from deletion
	Stream      uint64 // 0 when it has none
	StreamLabel string // of the last stream, enabled or not
	TTLName     string // of the last specification, enabled or not
	TTL         bool
	Tags        map[string]string `json:",omitempty"`
}

// tableSize is what the vendor reports of a table's content.
type tableSize struct{ items, bytes int64 }

func (n tableSize) encode() []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(n.items))
	return binary.BigEndian.AppendUint64(b, uint64(n.bytes))
}

// table is one table. A request holds mu shared while it reads the description or writes items;
// what changes the description holds it alone.
type table struct {
	mu      sync.RWMutex
	meta    tableMeta
	dropped bool
	stream  *stream // nil when it has none

	reads, writes bucket

	size tableSize // guarded by Server.commitMu
}

// count updates the table's size. The caller holds commitMu.
func (t *table) count(c change) {
	if c.old != nil {
		t.size.items--
		t.size.bytes -= int64(itemSize(c.old))
	}
	if c.new != nil {
		t.size.items++
		t.size.bytes += int64(itemSize(c.new))
	}
}

// load reads every table, stream and counter.
func (s *Server) load() error {
	if err := s.loadLast(); err != nil {
		return err
	}
	err := s.eachPair([]byte{prefixStream}, func(_, value []byte) error {
		st := &stream{}
		if err := json.Unmarshal(value, &st.meta); err != nil {
			return fmt.Errorf("stream: %w", err)
		}
		st.id = st.meta.ID
		s.streams[st.id] = st
		return nil
	})
	if err != nil {
		return err
	}
	return s.eachPair([]byte{prefixTable}, func(_, value []byte) error {
		t := &table{}
		if err := json.Unmarshal(value, &t.meta); err != nil {
			return fmt.Errorf("table: %w", err)
		}
		t.stream = s.streams[t.meta.Stream]
		t.setCapacity(s.cfg.Clock())
		s.tables[t.meta.Name] = t
		return s.loadSize(t)
	})
}

func (s *Server) loadLast() error {
	b, err := s.get([]byte{prefixLast})
	if err != nil || b == nil {
		return err
	}
	s.last, err = decodeLastIDs(b)
	return err
}

func (s *Server) loadSize(t *table) error {
	b, err := s.get(prefixed(prefixCount, t.meta.ID))
	if err != nil || len(b) != 16 {
		return err
	}
	t.size = tableSize{int64(binary.BigEndian.Uint64(b)), int64(binary.BigEndian.Uint64(b[8:]))}
	return nil
}

// get returns a copy of what a key holds; nil when it holds nothing.
func (s *Server) get(key []byte) ([]byte, error) { return getFrom(s.db, key) }

func getFrom(r pebble.Reader, key []byte) ([]byte, error) {
	v, closer, err := r.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	b := append([]byte{}, v...)
	return b, closer.Close()
}

// eachPair visits every pair whose key has the prefix, in order.
func (s *Server) eachPair(prefix []byte, visit func(key, value []byte) error) (err error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: prefixEnd(prefix)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.First(); ok; ok = it.Next() {
		if err := visit(it.Key(), it.Value()); err != nil {
			return err
		}
	}
	return it.Error()
}

// readItem returns the item under a key; nil when there is none.
func readItem(r pebble.Reader, key []byte) (proa.Item, error) {
	v, closer, err := r.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	item, err := decodeItem(v)
	return item, errors.Join(err, closer.Close())
}

// put stores the description in a batch.
func (m tableMeta) put(batch *pebble.Batch) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return batch.Set(tableKey(m.Name), b, nil)
}

func (s *Server) allTables() []*table {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := make([]*table, 0, len(s.tables))
	for _, t := range s.tables {
		all = append(all, t)
	}
	return all
}

// open returns the named table, locked shared; the caller unlocks it.
func (s *Server) open(name string, missing *apiError) (*table, error) {
	t := s.lookup(name)
	if t == nil {
		return nil, missing
	}
	t.mu.RLock()
	if t.dropped {
		t.mu.RUnlock()
		return nil, missing
	}
	return t, nil
}

func (s *Server) lookup(name string) *table {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.tables[name]
}

func (s *Server) tableARN(name string) string {
	return fmt.Sprintf("arn:aws:dynamodb:%s:%s:table/%s", s.cfg.Region, s.cfg.AccountID, name)
}

// seconds renders milliseconds as the wire's epoch seconds.
func seconds(ms int64) float64 { return float64(ms) / 1000 }

func (s *Server) nowMS() int64 { return s.cfg.Clock().UnixMilli() }

// bucket is a token bucket of capacity units with the vendor's 300 seconds of burst. The zero
// bucket is unlimited.
type bucket struct {
	mu     sync.Mutex
	perSec float64
	tokens float64
	at     time.Time
}

const burstSeconds = 300

func (b *bucket) set(perSec int64, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.perSec, b.tokens, b.at = float64(perSec), float64(perSec)*burstSeconds, now
}

// take spends units; it refuses only when none are left, so that what costs more than the bucket
// holds can pass at all.
func (b *bucket) take(units float64, now time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.perSec == 0 {
		return nil
	}
	if d := now.Sub(b.at); d > 0 {
		b.tokens = min(b.tokens+b.perSec*d.Seconds(), b.perSec*burstSeconds)
		b.at = now
	}
	if b.tokens <= 0 {
		return serviceError("ProvisionedThroughputExceededException",
			"The level of configured provisioned throughput "+
				"for the table was exceeded. Consider increasing your provisioning level with the UpdateTable "+
				"API.")
	}
	b.tokens -= units
	return nil
}

func (t *table) setCapacity(now time.Time) {
	if t.meta.OnDemand {
		t.reads.set(0, now)
		t.writes.set(0, now)
		return
	}
	t.reads.set(t.meta.ReadUnits, now)
	t.writes.set(t.meta.WriteUnits, now)
}
