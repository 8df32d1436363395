package policy

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"net/netip"
	"slices"
)

// Table gives each address a class, 0 unless told otherwise. It does not change once made, and
// finding does not allocate.
type Table struct {
	v4, v6 []span // by start; the first one starts at 0
}

// span is the addresses from start to the next span's start. IPv4 addresses are in hi.
type span struct {
	hi, lo uint64
	class  uint16
}

// Entry gives the addresses of a network a class.
type Entry struct {
	Network netip.Prefix
	Class   uint16
}

// NewTable makes a table. Of networks within each other the longer counts, of equal ones the last.
func NewTable(entries []Entry) *Table {
	var v4, v6 []Entry
	for _, e := range entries {
		p := e.Network.Masked()
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		e.Network = p
		if p.Addr().Is4() {
			v4 = append(v4, e)
		} else {
			v6 = append(v6, e)
		}
	}
	return &Table{v4: spans(v4, 32), v6: spans(v6, 128)}
}

// spans lays networks side by side. long is the length of an address in bits.
func spans(entries []Entry, long int) []span {
	slices.SortStableFunc(entries, func(a, b Entry) int {
		return cmp.Or(a.Network.Addr().Compare(b.Network.Addr()),
			cmp.Compare(a.Network.Bits(), b.Network.Bits()))
	})
	out := []span{{}}
	put := func(hi, lo uint64, class uint16) {
		last := &out[len(out)-1]
		if last.hi == hi && last.lo == lo {
			last.class = class
		} else if last.class != class {
			out = append(out, span{hi, lo, class})
		}
		if n := len(out); n > 1 && out[n-2].class == out[n-1].class {
			out = out[:n-1]
		}
	}
	var open []Entry // the networks that the place is in, the outermost first
	leave := func(until netip.Prefix) {
		for len(open) > 0 && (!until.IsValid() || !open[len(open)-1].Network.Contains(until.Addr())) {
			left := open[len(open)-1].Network
			open = open[:len(open)-1]
			class := uint16(0)
			if len(open) > 0 {
				class = open[len(open)-1].Class
			}
			if hi, lo, ok := after(left, long); ok {
				put(hi, lo, class)
			}
		}
	}
	for _, e := range entries {
		leave(e.Network)
		hi, lo := number(e.Network.Addr())
		put(hi, lo, e.Class)
		open = append(open, e)
	}
	leave(netip.Prefix{})
	return out
}

// number is an address as one: IPv4 in hi.
func number(a netip.Addr) (hi, lo uint64) {
	if a.Is4() {
		b := a.As4()
		return uint64(binary.BigEndian.Uint32(b[:])), 0
	}
	b := a.As16()
	return binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
}

// after is the address behind a network; false behind the last.
func after(p netip.Prefix, long int) (hi, lo uint64, ok bool) {
	hi, lo = number(p.Addr())
	if long == 32 {
		hi += 1 << (32 - p.Bits())
		return hi, 0, hi < 1<<32
	}
	if p.Bits() <= 64 {
		if p.Bits() == 0 {
			return 0, 0, false
		}
		step := uint64(1) << (64 - p.Bits())
		return hi + step, 0, hi+step > hi
	}
	next := lo + 1<<(128-p.Bits())
	if next < lo || next == 0 {
		hi++
		return hi, 0, hi != 0
	}
	return hi, next, true
}

// Find returns the class of an address, and how many of its leading bits decide it: all addresses
// that begin with those are of the class (the scope of RFC 7871).
func (t *Table) Find(a netip.Addr) (class uint16, scope int) {
	a = a.Unmap()
	list, long := t.v6, 128
	if a.Is4() {
		list, long = t.v4, 32
	}
	if len(list) <= 1 {
		if len(list) == 1 {
			class = list[0].class
		}
		return class, 0
	}
	hi, lo := number(a)
	i, j := 0, len(list)
	for j-i > 1 {
		mid := int(uint(i+j) >> 1)
		if s := &list[mid]; s.hi < hi || s.hi == hi && s.lo <= lo {
			i = mid
		} else {
			j = mid
		}
	}
	if s := &list[i]; s.hi != 0 || s.lo != 0 { // the address before the span is outside
		before, under := s.hi, s.lo-1
		if s.lo == 0 {
			before--
		}
		scope = common(hi, lo, before, under, long) + 1
	}
	if i+1 < len(list) {
		next := &list[i+1]
		scope = max(scope, common(hi, lo, next.hi, next.lo, long)+1)
	}
	return list[i].class, scope
}

// common is how many leading bits two addresses share.
func common(hi, lo, hi2, lo2 uint64, long int) int {
	if long == 32 {
		return bits.LeadingZeros32(uint32(hi ^ hi2))
	}
	if hi != hi2 {
		return bits.LeadingZeros64(hi ^ hi2)
	}
	return 64 + bits.LeadingZeros64(lo^lo2)
}

// join makes one table of several: its classes stand for what each of them says, and are listed.
func join(tables []*Table) (*Table, [][]uint16) {
	var classes [][]uint16
	class := func(tuple []uint16) uint16 {
		for i, c := range classes {
			if slices.Equal(c, tuple) {
				return uint16(i)
			}
		}
		classes = append(classes, slices.Clone(tuple))
		return uint16(len(classes) - 1)
	}
	class(make([]uint16, len(tables))) // 0 is where nothing is told
	merge := func(lists [][]span) []span {
		at, tuple := make([]int, len(lists)), make([]uint16, len(lists))
		out := []span{}
		for hi, lo, more := uint64(0), uint64(0), true; more; {
			for i, l := range lists {
				for at[i]+1 < len(l) && (l[at[i]+1].hi < hi || l[at[i]+1].hi == hi && l[at[i]+1].lo <= lo) {
					at[i]++
				}
				tuple[i] = l[at[i]].class
			}
			if c := class(tuple); len(out) == 0 || out[len(out)-1].class != c {
				out = append(out, span{hi, lo, c})
			}
			hi, lo, more = nextStart(lists, at)
		}
		return out
	}
	var v4, v6 [][]span
	for _, t := range tables {
		v4, v6 = append(v4, t.v4), append(v6, t.v6)
	}
	return &Table{v4: merge(v4), v6: merge(v6)}, classes
}

// nextStart is the next place at which some list's class changes.
func nextStart(lists [][]span, at []int) (hi, lo uint64, ok bool) {
	for i, l := range lists {
		if at[i]+1 == len(l) {
			continue
		}
		if s := l[at[i]+1]; !ok || s.hi < hi || s.hi == hi && s.lo < lo {
			hi, lo, ok = s.hi, s.lo, true
		}
	}
	return hi, lo, ok
}
