package dns

import (
	"fmt"
	"net/netip"
	"sync/atomic"

	"github.com/proa-cloud/proa"
)

// RateLimit bounds how many like replies go to one network over UDP, so that the server is of no
// use for flooding somebody whose address is forged. Clients with a server cookie and those on TCP
// are not limited.
type RateLimit struct {
	// PerSecond is how many replies of one kind, about one name, a /24 or /56 gets. 0 is 200;
	// negative sets no limit.
	PerSecond int
	// Slip is which of the replies over the limit is sent truncated, so that an honest client can
	// turn to TCP; the others are dropped. 0 is 2, every second; negative sends none.
	Slip int
	// Exempt are networks without a limit. nil means the loopback addresses.
	Exempt []netip.Prefix
}

const (
	defaultPerSecond = 200
	defaultSlip      = 2
	// rateBuckets is fixed: 1 MiB that no flood makes grow. Networks that share a bucket share its
	// limit.
	rateBuckets = 1 << 17
)

// verdict is what becomes of a reply.
type verdict uint8

const (
	pass verdict = iota
	slip
	drop
)

// limiter is a table of token buckets, each one word: an upper half that says when the bucket was
// last filled, in ticks, and a lower one of what was taken since.
type limiter struct {
	rate    uint32 // a second
	slip    uint32
	exempt  []netip.Prefix
	buckets []atomic.Uint64
	seed    uint64
}

func newLimiter(c RateLimit, seed uint64) (*limiter, error) {
	if c.PerSecond < 0 {
		return nil, nil
	}
	if c.PerSecond > 1<<30 || c.Slip > 1000 || len(c.Exempt) > 64 {
		return nil, fmt.Errorf("dns: rate limit %d, slip %d, %d exempt networks: %w",
			c.PerSecond, c.Slip, len(c.Exempt), proa.ErrInvalidConfig)
	}
	l := &limiter{
		rate: uint32(c.PerSecond), slip: uint32(max(c.Slip, 0)), exempt: c.Exempt,
		buckets: make([]atomic.Uint64, rateBuckets), seed: seed,
	}
	if c.PerSecond == 0 {
		l.rate = defaultPerSecond
	}
	if c.Slip == 0 {
		l.slip = defaultSlip
	}
	if c.Exempt == nil {
		l.exempt = []netip.Prefix{
			netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"),
		}
	}
	return l, nil
}

// admit counts a reply. kind tells replies apart: what they are and what they are about.
func (l *limiter) admit(addr netip.Addr, kind uint64, now uint32) verdict {
	addr = addr.Unmap()
	taken := l.take(l.bucket(addr, kind), now)
	if taken <= l.rate {
		return pass
	}
	for _, p := range l.exempt {
		if p.Contains(addr) {
			return pass
		}
	}
	if l.slip > 0 && (taken-l.rate)%l.slip == 0 {
		return slip
	}
	return drop
}

// bucket hashes the network and the kind of reply.
func (l *limiter) bucket(addr netip.Addr, kind uint64) *atomic.Uint64 {
	var network uint64
	if addr.Is4() {
		a := addr.As4()
		network = uint64(a[0])<<16 | uint64(a[1])<<8 | uint64(a[2])
	} else {
		a := addr.As16()
		for _, c := range a[:7] { // a /56
			network = network<<8 | uint64(c)
		}
		network |= 1 << 63
	}
	h := mix(mix(network^l.seed) ^ kind)
	return &l.buckets[h>>(64-17)]
}

// mix spreads a word's bits (the finisher of SplitMix64).
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// take counts one reply and returns how many were counted in this second, with what was over the
// limit before carried on: a client that keeps its rate above the limit stays over it.
func (l *limiter) take(b *atomic.Uint64, now uint32) uint32 {
	for {
		was := b.Load()
		then, taken := uint32(was>>32), uint32(was)
		if gone := now - then; gone != 0 {
			drained := uint64(gone) * uint64(l.rate)
			if gone > 16 || drained >= uint64(taken) {
				taken = 0
			} else {
				taken -= uint32(drained)
			}
			taken = min(taken, 2*l.rate) // two seconds of quiet forgive everything
		}
		if taken < 1<<31 {
			taken++
		}
		if b.CompareAndSwap(was, uint64(now)<<32|uint64(taken)) {
			return taken
		}
	}
}
