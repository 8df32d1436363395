package blob

import "hash/crc64"

// crcPolynomial is that of CRC-64/NVME, in the reversed form that hash/crc64 takes; Azure Storage
// and S3 both use it.
const crcPolynomial = 0x9a6c9329ac4bc9b5

// gf2 is a 64 × 64 matrix over GF(2): column i is what bit i turns into.
type gf2 [64]uint64

func (m *gf2) apply(v uint64) uint64 {
	var sum uint64
	for i := 0; v != 0; i, v = i+1, v>>1 {
		if v&1 != 0 {
			sum ^= m[i]
		}
	}
	return sum
}

func (m *gf2) square() gf2 {
	var out gf2
	for i := range m {
		out[i] = m.apply(m[i])
	}
	return out
}

// crcs computes CRC-64/NVME sums and joins them. It never changes after newCRCs.
type crcs struct {
	table *crc64.Table
	// shifts[k] appends 2^k zero bytes to a sum.
	shifts [64]gf2
}

func newCRCs() *crcs {
	c := &crcs{table: crc64.MakeTable(crcPolynomial)}
	var bit gf2 // one zero bit
	bit[0] = crcPolynomial
	for i := 1; i < 64; i++ {
		bit[i] = 1 << (i - 1)
	}
	two := bit.square()
	four := two.square()
	c.shifts[0] = four.square()
	for k := 1; k < len(c.shifts); k++ {
		c.shifts[k] = c.shifts[k-1].square()
	}
	return c
}

// join returns the sum of two stretches of bytes one after the other, from the sum of each and the
// length of the second.
func (c *crcs) join(first, second uint64, secondSize int64) uint64 {
	for k := 0; secondSize > 0; k, secondSize = k+1, secondSize>>1 {
		if secondSize&1 != 0 {
			first = c.shifts[k].apply(first)
		}
	}
	return first ^ second
}

func (c *crcs) sum(b []byte) uint64 { return crc64.Checksum(b, c.table) }
