package cloud

import (
	"hash"
	"hash/crc64"
)

// NewCRC64 returns CRC-64/NVME, the checksum that S3 and Blob have in common: the polynomial 0xAD93D23594C93659, reflected. S3 writes it in
// base64 of big-endian bytes, Blob of little-endian ones.
//
// The check value of "123456789" is ae8b14860a799888.
func NewCRC64() hash.Hash64 { return crc64.New(crc64.MakeTable(crc64NVME)) }

// CombineCRC64 returns the checksum of a and b one after the other, from the checksum of each and b's length. It costs the logarithm of
// the length, so parts may be summed side by side.
//
// It appends the length's zeros to a by squaring the matrix over GF(2) that appends one, as zlib's crc32_combine does.
func CombineCRC64(a, b uint64, length int64) uint64 {
	if length <= 0 {
		return a
	}
	var m gf2
	m[0] = crc64NVME // one zero bit
	for i := 1; i < 64; i++ {
		m[i] = 1 << (i - 1)
	}
	for range 3 { // one zero byte
		m = m.square()
	}
	for ; length > 0; length >>= 1 {
		if length&1 == 1 {
			a = m.times(a)
		}
		m = m.square()
	}
	return a ^ b
}

// PartsCRC64 is the checksum of parts one after the other.
func PartsCRC64(parts []Part) uint64 {
	var sum uint64
	for _, p := range parts {
		sum = CombineCRC64(sum, p.CRC64, p.Size)
	}
	return sum
}

// gf2 is a square matrix of bits, by columns.
type gf2 [64]uint64

func (m *gf2) times(v uint64) uint64 {
	var sum uint64
	for i := 0; v != 0; i, v = i+1, v>>1 {
		if v&1 == 1 {
			sum ^= m[i]
		}
	}
	return sum
}

func (m *gf2) square() gf2 {
	var out gf2
	for i, column := range m {
		out[i] = m.times(column)
	}
	return out
}

const crc64NVME = 0x9a6c9329ac4bc9b5
