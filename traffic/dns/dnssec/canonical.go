package dnssec

import (
	"encoding/binary"
	"slices"

	mdns "github.com/miekg/dns"
)

// canonicalSet is a set as it is signed: canonical records in canonical order, repeats dropped (RFC
// 4034 sections 3.1.8.1 and 6).
func canonicalSet(owner string, kind uint16, ttl uint32, rdata []string) []byte {
	sorted := make([]string, len(rdata))
	size := 0
	for i, d := range rdata {
		sorted[i] = canonicalData(kind, d)
		size += len(owner) + 10 + len(d)
	}
	slices.Sort(sorted)
	sorted = slices.Compact(sorted)
	b := make([]byte, 0, size)
	for _, d := range sorted {
		b = append(b, owner...)
		b = binary.BigEndian.AppendUint16(b, kind)
		b = binary.BigEndian.AppendUint16(b, mdns.ClassINET)
		b = binary.BigEndian.AppendUint32(b, ttl)
		b = binary.BigEndian.AppendUint16(b, uint16(len(d)))
		b = append(b, d...)
	}
	return b
}

// canonicalData lowers the names inside RDATA, in the types where that is done (RFC 4034 section
// 6.2, RFC 6840 section 5.1).
func canonicalData(kind uint16, d string) string {
	skip := 0
	switch kind {
	case mdns.TypeNS, mdns.TypeCNAME, mdns.TypePTR, mdns.TypeDNAME, mdns.TypeMB, mdns.TypeMG,
		mdns.TypeMR, mdns.TypeMD, mdns.TypeMF, mdns.TypeRP, mdns.TypeMINFO:
		return lower(d)
	case mdns.TypeMX, mdns.TypeAFSDB, mdns.TypeRT, mdns.TypeKX, mdns.TypePX:
		skip = 2
	case mdns.TypeSRV:
		skip = 6
	case mdns.TypeSOA:
		if len(d) < 20 {
			return d
		}
		return lower(d[:len(d)-20]) + d[len(d)-20:]
	case mdns.TypeNAPTR:
		skip = 4
		for range 3 { // flags, services, regular expression
			if skip >= len(d) {
				return d
			}
			skip += 1 + int(d[skip])
		}
	default:
		return d
	}
	if skip > len(d) {
		return d
	}
	return d[:skip] + lower(d[skip:])
}

// lower lowers names on the wire; length bytes are below 64 and so never letters.
func lower(names string) string {
	b := []byte(names)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}
