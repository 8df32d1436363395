package dynamodb

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// segmentBounds splits the partitions under a prefix into equal ranges.
func segmentBounds(all []byte, segment, total int) (low, high []byte) {
	edge := func(n int) []byte {
		return binary.BigEndian.AppendUint32(slices.Clone(all), uint32((uint64(n)<<32)/uint64(total)))
	}
	low, high = edge(segment), prefixEnd(all)
	if segment+1 < total {
		high = edge(segment + 1)
	}
	return low, high
}

func quote(n int) string { return fmt.Sprintf("'%d'", n) }
