package dnssec

import (
	"slices"

	mdns "github.com/miekg/dns"
)

// TypeNXNAME in a bitmap says that the name does not exist (RFC 9824 section 2).
const TypeNXNAME = 128

// maxName is the longest name on the wire.
const maxName = 255

// Denial returns the RDATA of an NSEC that covers just one name: from it to the next possible one.
// types are those that the name has; none with exists false.
func Denial(owner string, exists bool, types []uint16) string {
	list := append([]uint16{mdns.TypeRRSIG, mdns.TypeNSEC}, types...)
	if !exists {
		list = append(list, TypeNXNAME)
	}
	return Next(successor(owner), list)
}

// Next returns the RDATA of an NSEC with a next name and types.
func Next(next string, types []uint16) string {
	b := []byte(next)
	slices.Sort(types)
	types = slices.Compact(types)
	for i := 0; i < len(types); {
		window := types[i] >> 8
		var bits [32]byte
		last := 0
		for ; i < len(types) && types[i]>>8 == window; i++ {
			low := int(types[i] & 0xff)
			bits[low/8] |= 0x80 >> (low % 8)
			last = low / 8
		}
		b = append(b, byte(window), byte(last+1))
		b = append(b, bits[:last+1]...)
	}
	return string(b)
}

// successor returns the name that comes right after one in canonical order: a label of one zero in
// front. Where there is no room for it, the first label is raised instead.
func successor(owner string) string {
	if len(owner)+2 <= maxName {
		return "\x01\x00" + owner
	}
	label, rest := []byte(owner[1:1+owner[0]]), owner[1+owner[0]:]
	for len(label) > 0 {
		last := len(label) - 1
		if label[last] < 0xff {
			label[last]++
			if 'A' <= label[last] && label[last] <= 'Z' { // letters are compared in lower case
				label[last] = '['
			}
			return string([]byte{byte(len(label))}) + string(label) + rest
		}
		label = label[:last]
	}
	return owner // of 0xff alone: the proof covers the whole zone's end, and is refused
}
