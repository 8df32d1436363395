package policy

import (
	"math/rand/v2"
	"net/netip"
	"testing"
)

func TestTheLongestNetworkCounts(t *testing.T) {
	table := NewTable([]Entry{
		{netip.MustParsePrefix("10.0.0.0/8"), 1},
		{netip.MustParsePrefix("10.1.0.0/16"), 2},
		{netip.MustParsePrefix("10.1.2.0/24"), 3},
		{netip.MustParsePrefix("255.0.0.0/8"), 4},
		{netip.MustParsePrefix("2001:db8::/32"), 5},
		{netip.MustParsePrefix("2001:db8:1::/48"), 6},
		{netip.MustParsePrefix("ffff::/16"), 7},
		{netip.MustParsePrefix("::ffff:192.0.2.0/120"), 8},
	})
	for address, want := range map[string]uint16{
		"9.255.255.255": 0, "10.0.0.0": 1, "10.1.1.255": 2, "10.1.2.0": 3, "10.1.3.0": 2, "10.2.0.0": 1,
		"11.0.0.0": 0, "255.255.255.255": 4, "192.0.2.7": 8, "::ffff:10.1.2.3": 3, "2001:db8::1": 5,
		"2001:db8:1:2::": 6, "2001:db8:2::": 5, "2001:db9::": 0, "ffff::1": 7, "::": 0,
	} {
		if got, _ := table.Find(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s is of class %d, want %d", address, got, want)
		}
	}
}

// TestScopeIsWhatDecides checks against a slow search: all addresses within the scope are of the
// class, and one bit less would not do.
func TestScopeIsWhatDecides(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 30 {
		var entries []Entry
		for range rng.IntN(12) {
			// within 16 bits, so that all can be looked at
			a := netip.AddrFrom4([4]byte{byte(rng.IntN(2)) * 255, byte(rng.IntN(4)) * 85, 0, 0})
			entries = append(entries, Entry{
				netip.PrefixFrom(a, rng.IntN(17)).Masked(), uint16(rng.IntN(3)),
			})
		}
		table := NewTable(entries)
		slow := func(a netip.Addr) uint16 {
			best, class := -1, uint16(0)
			for _, e := range entries {
				if e.Network.Contains(a) && e.Network.Bits() >= best {
					best, class = e.Network.Bits(), e.Class
				}
			}
			return class
		}
		for range 3 {
			a := netip.AddrFrom4([4]byte{byte(rng.IntN(256)), byte(rng.IntN(256)), 0, 0})
			class, scope := table.Find(a)
			if class != slow(a) {
				t.Fatalf("%s is of class %d, want %d: %v", a, class, slow(a), entries)
			}
			if !uniform(a, scope, slow) || scope > 0 && uniform(a, scope-1, slow) {
				t.Fatalf("%s has scope %d: %v", a, scope, entries)
			}
		}
	}
}

func uniform(a netip.Addr, bits int, class func(netip.Addr) uint16) bool {
	p := netip.PrefixFrom(a, bits).Masked()
	b := p.Addr().As4()
	first := int(b[0])<<8 | int(b[1])
	for i := range 1 << max(0, 16-bits) {
		at := first + i
		if class(netip.AddrFrom4([4]byte{byte(at >> 8), byte(at), 0, 0})) != class(a) {
			return false
		}
	}
	return true
}

func BenchmarkFind(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	var entries []Entry
	for range 100_000 {
		n := rng.Uint32()
		a := netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
		entries = append(entries, Entry{netip.PrefixFrom(a, 24).Masked(), uint16(rng.IntN(250))})
	}
	table := NewTable(entries)
	b.ReportAllocs()
	for b.Loop() {
		n := rng.Uint32()
		table.Find(netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}))
	}
}
