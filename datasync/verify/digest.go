package verify

import (
	"encoding/binary"
	"hash/maphash"

	"github.com/proa-cloud/proa"
)

// Buckets64K is the number of buckets of a digest.
const Buckets64K = 1 << 16

// Sum is an order-free digest of a set of rows: the sum of their hashes, twice with two seeds, so
// that two sets with the same sum are the same but for a chance of 2^-128. It means something in
// this process only.
type Sum [2]uint64

func (s Sum) plus(o Sum) Sum  { return Sum{s[0] + o[0], s[1] + o[1]} }
func (s Sum) minus(o Sum) Sum { return Sum{s[0] - o[0], s[1] - o[1]} }

// Part is what one key adds to the digests of both sides.
type Part struct {
	Bucket uint16
	Sums   [2]Sum
	Exists bool // on either side
}

// Equal reports whether both sides hold the same.
func (p *Part) Equal() bool { return p.Sums[0] == p.Sums[1] }

// Digest is the digests of both sides of one table in 65,536 buckets of keys, 2 MiB in all. It is
// not safe for concurrent use.
type Digest struct {
	sums [Buckets64K][2]Sum
	keys int64
}

// Hasher makes parts. All digests of a process use one.
type Hasher struct{ seeds [2]maphash.Seed }

// NewHasher makes a hasher.
func NewHasher() Hasher { return Hasher{[2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}} }

// Held is what one side is known to store of a key, for a digest.
type Held struct {
	Exists  bool
	Version proa.Version // as stored
	Hash    proa.Hash    // of the content
}

// Part is what a key adds.
func (h *Hasher) Part(id string, sides [2]Held) Part {
	p := Part{Bucket: h.Bucket(id), Exists: sides[0].Exists || sides[1].Exists}
	if !p.Exists {
		return p
	}
	b := make([]byte, 0, 128)
	for i, s := range sides {
		if !s.Exists {
			continue
		}
		if i == 1 && s == sides[0] {
			p.Sums[1] = p.Sums[0]
			continue
		}
		b = append(b[:0], id...)
		b = append(b, 0)
		b = binary.BigEndian.AppendUint64(b, uint64(s.Version.Time))
		b = append(b, s.Version.Region...)
		b = append(append(b, s.Version.Hash[:]...), s.Hash[:]...)
		p.Sums[i] = Sum{maphash.Bytes(h.seeds[0], b), maphash.Bytes(h.seeds[1], b)}
	}
	return p
}

// Bucket is a key's bucket.
func (h *Hasher) Bucket(id string) uint16 { return uint16(maphash.String(h.seeds[0], id)) }

// Add adds a key's part.
func (d *Digest) Add(p Part) {
	for i := range p.Sums {
		d.sums[p.Bucket][i] = d.sums[p.Bucket][i].plus(p.Sums[i])
	}
	if p.Exists {
		d.keys++
	}
}

// Remove takes a key's part away.
func (d *Digest) Remove(p Part) {
	for i := range p.Sums {
		d.sums[p.Bucket][i] = d.sums[p.Bucket][i].minus(p.Sums[i])
	}
	if p.Exists {
		d.keys--
	}
}

// Keys is the number of keys that exist on either side.
func (d *Digest) Keys() int64 { return d.keys }

// Differing returns the buckets in which the sides differ, with the difference of their sums.
func (d *Digest) Differing() map[uint16]Sum {
	var out map[uint16]Sum
	for i := range d.sums {
		if d.sums[i][0] == d.sums[i][1] {
			continue
		}
		if out == nil {
			out = map[uint16]Sum{}
		}
		out[uint16(i)] = d.sums[i][0].minus(d.sums[i][1])
	}
	return out
}

// Explain takes what one key differs by out of what its bucket differs by.
func Explain(differing map[uint16]Sum, p Part) {
	left := differing[p.Bucket].minus(p.Sums[0].minus(p.Sums[1]))
	if left == (Sum{}) {
		delete(differing, p.Bucket)
		return
	}
	differing[p.Bucket] = left
}
