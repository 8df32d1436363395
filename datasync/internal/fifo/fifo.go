// Package fifo bounds logs: key ranges of a database whose keys are one byte and a rising number.
package fifo

import (
	"encoding/binary"
	"fmt"
	"sort"

	"github.com/cockroachdb/pebble/v2"
)

// Key is the key of an entry.
func Key(prefix byte, number uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{prefix}, number)
}

// Fit returns the lowest number, from first to next, from which on the entries take at most maxBytes on
// disk. What has been dropped before first does not count, though Pebble may not have reclaimed it yet;
// nor does what is still in its memtables.
func Fit(db *pebble.DB, prefix byte, first, next uint64, maxBytes int64) (uint64, error) {
	if next <= first {
		return first, nil
	}
	var failed error
	fits := func(from uint64) bool {
		size, err := db.EstimateDiskUsage(Key(prefix, from), Key(prefix, next))
		if err != nil && failed == nil {
			failed = fmt.Errorf("size of log %q: %w", prefix, err)
		}
		return size <= uint64(max(maxBytes, 0))
	}
	if fits(first) {
		return first, failed
	}
	n := sort.Search(int(next-first), func(i int) bool { return fits(first + uint64(i)) })
	return first + uint64(n), failed
}
