package dns

import (
	"encoding/binary"

	mdns "github.com/miekg/dns"
)

// packer writes one answer's records into a pool.
type packer struct {
	pool   *pool
	start  int // of the body
	fixups int
	qname  name // the query's name, "" when it varies: below a wildcard, a delegation or an apex
	// deltas are the names that can be pointed at: distance from the end of the query's name.
	deltas map[name]int
	frozen bool // no new names: the records will stand behind others
}

// maxDelta keeps every pointer below 2^14 behind the longest query name.
const maxDelta = 0x3fff - 12 - maxName

// newPacker begins an answer. known is what the query's name is or, when variable, ends in.
func newPacker(p *pool, known name, variable bool) *packer {
	k := &packer{pool: p, start: len(p.bytes), fixups: len(p.fixups), deltas: map[name]int{}}
	if !variable {
		k.qname = known
	}
	for n := known; len(n) > 1; n = n.parent() {
		k.deltas[n] = -len(n)
	}
	return k
}

func (k *packer) offset() int { return len(k.pool.bytes) - k.start }

func (k *packer) raw(b string) { k.pool.bytes = append(k.pool.bytes, b...) }

func (k *packer) uint16(v uint16) {
	k.pool.bytes = binary.BigEndian.AppendUint16(k.pool.bytes, v)
}

// pointer writes a compression pointer, complete when the query's name is known.
func (k *packer) pointer(delta int) {
	if k.qname != "" {
		k.uint16(0xc000 | uint16(12+len(k.qname)+delta))
		return
	}
	k.pool.fixups = append(k.pool.fixups, uint16(k.offset()))
	k.uint16(uint16(int16(delta)))
}

// name writes a name with as much of it as possible as a pointer.
func (k *packer) name(n name) {
	for ; len(n) > 1; n = n.parent() {
		lower := lowerName(n)
		if delta, ok := k.deltas[lower]; ok {
			k.pointer(delta)
			return
		}
		if at := 4 + k.offset(); at <= maxDelta && !k.frozen {
			k.deltas[lower] = at
		}
		k.raw(string(n[:1+int(n[0])]))
	}
	k.raw("\x00")
}

// owner writes a record's owner; "" stands for the query's name.
func (k *packer) owner(n name) {
	if n == "" || n == k.qname {
		k.uint16(0xc00c)
		return
	}
	k.name(n)
}

// set writes the records of a set and returns their number.
func (k *packer) set(n name, s *rrset, ttl uint32) uint16 {
	for _, d := range s.data {
		k.owner(n)
		k.uint16(s.kind)
		k.uint16(mdns.ClassINET)
		k.pool.bytes = binary.BigEndian.AppendUint32(k.pool.bytes, ttl)
		at := len(k.pool.bytes)
		k.uint16(0)
		k.rdata(s.kind, d)
		size := len(k.pool.bytes) - at - 2
		binary.BigEndian.PutUint16(k.pool.bytes[at:], uint16(size))
	}
	return uint16(len(s.data))
}

// rdata compresses names only in the types of RFC 1035 that everyone can read compressed (RFC 3597
// section 4).
func (k *packer) rdata(kind uint16, d string) {
	switch kind {
	case mdns.TypeNS, mdns.TypeCNAME, mdns.TypePTR:
		k.name(name(d))
	case mdns.TypeMX:
		k.raw(d[:2])
		k.name(name(d[2:]))
	case mdns.TypeSOA:
		first := wireNameLen([]byte(d))
		k.name(name(d[:first]))
		k.name(name(d[first : len(d)-20]))
		k.raw(d[len(d)-20:])
	default:
		k.raw(d)
	}
}

// close ends the answer.
func (k *packer) close(a answer) answer {
	a.body, a.size = uint32(k.start), uint32(k.offset())
	a.fixups, a.nfix = uint32(k.fixups), uint16(len(k.pool.fixups)-k.fixups)
	return a
}

// done closes the answer and adds it to the pool.
func (k *packer) done(a answer) answer {
	a = k.close(a)
	k.pool.answers = append(k.pool.answers, a)
	return a
}

// doneSigned closes an answer with signatures and ties it to the plain one before it.
func (k *packer) doneSigned(a answer) {
	k.pool.signed = append(k.pool.signed, k.close(a))
	k.pool.answers[len(k.pool.answers)-1].signed = uint32(len(k.pool.signed))
}
