package dns

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"sync/atomic"
)

// liveAnswer is a reply's records, signed when it was asked for. It does not change once made.
type liveAnswer struct {
	snapshot   uint64
	name       string
	class      uint16 // the query's type, 0 for all that one proof denies
	denial     bool
	an, ns, ar uint16
	body       []byte
}

// sections appends the records, if they fit below limit.
func (l *liveAnswer) sections(dst []byte, start, limit int) ([]byte, bool) {
	if len(dst)-start+len(l.body) > limit {
		return dst, false
	}
	binary.BigEndian.PutUint16(dst[start+6:], l.an)
	binary.BigEndian.PutUint16(dst[start+8:], l.ns)
	binary.BigEndian.PutUint16(dst[start+10:], l.ar)
	return append(dst, l.body...), true
}

// liveCache keeps answers that were signed for queries, and bounds how many are signed. Its size is
// fixed: what hashes to a taken place takes it.
type liveCache struct {
	seed      maphash.Seed
	slots     []atomic.Pointer[liveAnswer]
	perSecond uint32
	issued    atomic.Uint64 // upper half: the second; lower half: signed in it
	refused   atomic.Uint64
	signed    atomic.Uint64
}

func newLiveCache(c Signing) *liveCache {
	size := 1 << bits.Len(uint(max(c.Kept, 2)-1))
	return &liveCache{
		seed: maphash.MakeSeed(), perSecond: uint32(c.LivePerSecond),
		slots: make([]atomic.Pointer[liveAnswer], size),
	}
}

func (c *liveCache) slot(n []byte, class uint16) *atomic.Pointer[liveAnswer] {
	h := maphash.Bytes(c.seed, n) ^ mix(uint64(class))
	return &c.slots[h&uint64(len(c.slots)-1)]
}

func (c *liveCache) get(snapshot uint64, n []byte, class uint16) *liveAnswer {
	l := c.slot(n, class).Load()
	if l == nil || l.snapshot != snapshot || l.class != class || l.name != string(n) {
		return nil
	}
	return l
}

func (c *liveCache) put(snapshot uint64, n string, class uint16, l *liveAnswer) {
	l.snapshot, l.name, l.class = snapshot, n, class
	c.slot([]byte(n), class).Store(l)
	c.signed.Add(1)
}

// mayIssue counts one answer to sign; false when this second has had its share.
func (c *liveCache) mayIssue(now uint32) bool {
	for {
		was := c.issued.Load()
		count := uint32(was)
		if uint32(was>>32) != now {
			count = 0
		}
		if count >= c.perSecond {
			c.refused.Add(1)
			return false
		}
		if c.issued.CompareAndSwap(was, uint64(now)<<32|uint64(count+1)) {
			return true
		}
	}
}
