package dynamodb

import (
	"bytes"
	"encoding/binary"
	"hash/fnv"
	"strings"

	"github.com/proa-cloud/proa"
)

// The database's key space. Integers are big-endian.
//
//	T name                            a table's description
//	N table                           a table's item count and bytes
//	I table hash32 hashkey rangekey   an item
//	G index hash32 hashkey rangekey itemkey   an item in a secondary index
//	X table second itemkey            an item's expiry, while time to live is on
//	D stream                          a stream's description, shards included
//	S stream shard sequence           a stream record
//	K token                           an idempotency token of TransactWriteItems
//	C                                 the last sequence number, and the last table and stream id
const (
	prefixTable  = 'T'
	prefixCount  = 'N'
	prefixItem   = 'I'
	prefixIndex  = 'G'
	prefixExpiry = 'X'
	prefixStream = 'D'
	prefixRecord = 'S'
	prefixToken  = 'K'
	prefixLast   = 'C'
)

func prefixed(prefix byte, ids ...uint64) []byte {
	b := append(make([]byte, 0, 64), prefix)
	for _, id := range ids {
		b = binary.BigEndian.AppendUint64(b, id)
	}
	return b
}

func tableKey(name string) []byte { return append([]byte{prefixTable}, name...) }

// prefixEnd is the first key past every key that starts with b.
func prefixEnd(b []byte) []byte {
	end := bytes.Clone(b)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}

// partition is the place of a hash key in the table's unordered space; segments of a parallel scan
// are ranges of it.
func partition(hash proa.Value) uint32 {
	h := fnv.New64a()
	h.Write([]byte(hash.Str))
	x := h.Sum64()
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd // murmur3's finalizer spreads FNV's weak high bits
	x ^= x >> 33
	return uint32(x >> 32)
}

// partitionPrefix starts the keys of all items with one hash key.
func partitionPrefix(table uint64, hash proa.Value) []byte {
	return appendPartition(prefixed(prefixItem, table), hash)
}

func appendPartition(b []byte, hash proa.Value) []byte {
	b = binary.BigEndian.AppendUint32(b, partition(hash))
	return appendTerminated(b, hash.Str)
}

func itemKey(table uint64, k proa.Key) []byte {
	return appendRange(partitionPrefix(table, k.Hash), k.Range)
}

// appendTerminated appends text so that it is self-delimiting and keeps its order.
func appendTerminated(b []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if b = append(b, s[i]); s[i] == 0 {
			b = append(b, 0xFF)
		}
	}
	return append(b, 0, 1)
}

// appendRange appends a range key such that bytes order as the vendor orders values.
func appendRange(b []byte, v proa.Value) []byte {
	if v.Kind == proa.KindN {
		return appendNumber(b, v.Str)
	}
	return append(b, v.Str...)
}

// appendNumber appends a canonical number: sign, exponent, digits; a negative one's are
// complemented.
func appendNumber(b []byte, s string) []byte {
	if s == "0" {
		return append(b, 0x80)
	}
	rest, negative := strings.CutPrefix(s, "-")
	whole, frac, _ := strings.Cut(rest, ".")
	digits := strings.TrimLeft(whole+frac, "0")
	exponent := len(whole) - (len(whole) + len(frac) - len(digits))
	digits = strings.TrimRight(digits, "0")
	if !negative {
		b = append(b, 0x81)
		b = binary.BigEndian.AppendUint16(b, uint16(exponent+1024))
		return append(b, digits...)
	}
	b = append(b, 0x7F)
	b = binary.BigEndian.AppendUint16(b, ^uint16(exponent+1024))
	for i := 0; i < len(digits); i++ {
		b = append(b, ^digits[i])
	}
	return append(b, 0xFF)
}

func recordKey(stream uint64, shard uint32, seq uint64) []byte {
	b := prefixed(prefixRecord, stream)
	b = binary.BigEndian.AppendUint32(b, shard)
	return binary.BigEndian.AppendUint64(b, seq)
}

func expiryKey(table uint64, second int64, item []byte) []byte {
	b := binary.BigEndian.AppendUint64(prefixed(prefixExpiry, table), uint64(second))
	return append(b, item...)
}
