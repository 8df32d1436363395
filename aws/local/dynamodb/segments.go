package dynamodb

import (
	"encoding/binary"
	"fmt"
)

// segmentBounds splits the space of partitions into equal ranges.
func segmentBounds(table uint64, segment, total int) (low, high []byte) {
	all := prefixed(prefixItem, table)
	edge := func(n int) []byte {
		return binary.BigEndian.AppendUint32(prefixed(prefixItem, table),
			uint32((uint64(n)<<32)/uint64(total)))
	}
	low, high = edge(segment), prefixEnd(all)
	if segment+1 < total {
		high = edge(segment + 1)
	}
	return low, high
}

func quote(n int) string { return fmt.Sprintf("'%d'", n) }
