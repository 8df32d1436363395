package dns

import (
	"encoding/binary"
	"hash/maphash"
)

// answer is one pre-packed reply: what follows the question. Offsets and lengths are in its pool.
type answer struct {
	body uint32 // where the records begin in the pool's bytes
	size uint32 // bytes of records, the droppable tail included
	// Bytes at the end that may be dropped when the message is too long: addresses outside the
	// delegation
	tail   uint32
	fixups uint32 // the first compression pointer to complete
	kind   uint16 // the query type that it answers; anyKind for all others
	nfix   uint16 // compression pointers to complete
	an     uint16 // records in the answer section
	ns     uint16 // in the authority section, without the SOA of denial
	ar     uint16 // in the additional section
	tailAR uint16 // of those, in the tail
	flags  uint8
	// The same with its signatures: one past its place in the pool's signed answers; 0: it is
	// signed when it is asked for.
	signed uint32
}

// anyKind marks the answer for every query type without an answer of its own. Type 0 is never asked
// for.
const anyKind = 0

// Flags of an answer.
const (
	flagAA       = 1 << iota // authoritative
	flagNXDomain             // the name does not exist
	flagSOA                  // the zone's SOA belongs into the authority section
	flagZoneSOA              // the body is the zone's SOA record, whose serial moves

)

// pool holds pre-packed answers without pointers, so that the garbage collector has nothing to
// follow.
//
// A compression pointer can depend on the length of the query's name. Its place then holds delta,
// its distance from the end of the name, as a signed number, and is listed in fixups: the pointer
// is 12 + len(name) + delta.
type pool struct {
	bytes   []byte
	answers []answer
	signed  []answer // found through answers
	fixups  []uint16 // offsets within their body
}

// node is one name of a zone.
type node struct {
	first    uint32 // its answers in the pool
	count    uint16
	zone     uint16
	flags    uint8
	wildcard int32 // the node of "*" below it, -1 for none
	live     int32 // its place among the live nodes, -1 when its answers never change
	// For the apex of a zone whose parent is served too: the parent's node of the same name; else
	// -1
	parent int32
	nameAt uint32
}

// Flags of a node.
const (
	// At or below a delegation: its answer is the referral, apart from DS at the delegation
	nodeCut   = 1 << iota
	nodeDNAME // names below it are renamed
	nodeBelow // below a delegation, where even DS is a referral
	// An alias whose target's addresses are not known yet
	nodeWaiting
)

// index finds nodes by name: an open hash table over names in one byte slice.
type index struct {
	seed  maphash.Seed
	slots []uint64 // upper half: hash; lower half: node + 1
	names []byte   // length-prefixed wire names
	nodes []node
	depth int // labels of the deepest name
}

func newIndex(names int) *index {
	size := 16
	for size < names*2 {
		size *= 2
	}
	return &index{seed: maphash.MakeSeed(), slots: make([]uint64, size)}
}

// add appends a node; find sees it when mapped is true.
func (x *index) add(n name, v node, mapped bool) int32 {
	v.nameAt = uint32(len(x.names))
	x.names = append(append(x.names, byte(len(n))), n...)
	x.nodes = append(x.nodes, v)
	at := int32(len(x.nodes) - 1)
	if mapped {
		h := maphash.String(x.seed, string(n))
		mask := uint64(len(x.slots) - 1)
		slot := h & mask
		for x.slots[slot] != 0 {
			slot = (slot + 1) & mask
		}
		x.slots[slot] = h&^0xffffffff | uint64(at+1)
		x.depth = max(x.depth, n.labels())
	}
	return at
}

// find returns the node of a lower-case wire name, -1 when there is none.
func (x *index) find(n []byte) int32 {
	h := maphash.Bytes(x.seed, n)
	mask := uint64(len(x.slots) - 1)
	for slot := h & mask; ; slot = (slot + 1) & mask {
		entry := x.slots[slot]
		if entry == 0 {
			return -1
		}
		if entry&^0xffffffff != h&^0xffffffff {
			continue
		}
		at := int32(entry&0xffffffff) - 1
		if string(x.nameOf(at)) == string(n) {
			return at
		}
	}
}

func (x *index) nameOf(at int32) []byte {
	i := x.nodes[at].nameAt
	return x.names[i+1 : i+1+uint32(x.names[i])]
}

// complete fills in the compression pointers of a body that was copied to dst behind a name of qlen
// bytes.
func (p *pool) complete(dst []byte, a *answer, qlen int) {
	for _, at := range p.fixups[a.fixups : a.fixups+uint32(a.nfix)] {
		if int(at)+2 > len(dst) {
			return // in the dropped tail
		}
		delta := int(int16(binary.BigEndian.Uint16(dst[at:])))
		binary.BigEndian.PutUint16(dst[at:], 0xc000|uint16(12+qlen+delta))
	}
}
