package cosmos

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

var errCorrupt = errors.New("a stored record cannot be read: the data folder is damaged or " +
	"newer than this program")

// rangeMeta is what is stored of a physical partition.
type rangeMeta struct {
	ID      uint32   `json:"id"`
	Min     string   `json:"min"`
	Max     string   `json:"max"`
	Parents []uint32 `json:"parents,omitempty"` // oldest first
	// version of the container's range map in which it appeared
	Born uint64 `json:"born"`
}

// partition is a physical partition: a range of effective partition keys with one log.
//
// mu is held while a write is judged and applied, not while it is made durable, so that writers
// share fsyncs. Readers see writes when they are applied, and wait in waitDurable until what they
// saw is on stable storage.
type partition struct {
	rangeMeta
	mu     sync.Mutex
	lsn    uint64 // of the last applied write
	number uint64 // of the last document created

	durableMu sync.Mutex
	durableOK *sync.Cond
	durable   uint64 // every write up to this LSN is on stable storage
	trimmed   uint64 // the all-versions log holds nothing up to this LSN any more
}

func newPartition(m rangeMeta) *partition {
	p := &partition{rangeMeta: m}
	p.durableOK = sync.NewCond(&p.durableMu)
	return p
}

func (p *partition) name() string { return strconv.FormatUint(uint64(p.ID), 10) }

// lineage lists the logs that hold this partition's history, oldest first.
func (p *partition) lineage() []uint32 { return append(append([]uint32{}, p.Parents...), p.ID) }

func (p *partition) contains(e string) bool { return e >= p.Min && e < p.Max }

// markDurable notes that the write at lsn, and so every earlier one, is on stable storage.
func (p *partition) markDurable(lsn uint64) {
	p.durableMu.Lock()
	defer p.durableMu.Unlock()
	if lsn > p.durable {
		p.durable = lsn
		p.durableOK.Broadcast()
	}
}

// waitDurable returns when the write at lsn is on stable storage. A commit in flight ends this wait
// within one fsync.
func (p *partition) waitDurable(lsn uint64) {
	p.durableMu.Lock()
	defer p.durableMu.Unlock()
	for p.durable < lsn {
		p.durableOK.Wait()
	}
}

// durableLSN is the last LSN that a feed may show.
func (p *partition) durableLSN() uint64 {
	p.durableMu.Lock()
	defer p.durableMu.Unlock()
	return p.durable
}

func (p *partition) trimmedLSN() uint64 {
	p.durableMu.Lock()
	defer p.durableMu.Unlock()
	return p.trimmed
}

// appliedLSN is the last LSN that a reader that starts now can have seen.
func (p *partition) appliedLSN() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lsn
}

func encodeCounters(lsn, number, trimmed uint64) []byte {
	b := binary.BigEndian.AppendUint64(nil, lsn)
	b = binary.BigEndian.AppendUint64(b, number)
	return binary.BigEndian.AppendUint64(b, trimmed)
}

// load reads the counters.
func (p *partition) load(db *pebble.DB, cid uint32) error {
	b, closer, err := db.Get(keyRange(prefixCounters, cid, p.ID))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read counters of partition %d: %w", p.ID, err)
	}
	defer closer.Close()
	if len(b) != 24 {
		return errCorrupt
	}
	p.lsn, p.number = binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])
	p.trimmed = binary.BigEndian.Uint64(b[16:])
	p.durable = p.lsn
	return nil
}
