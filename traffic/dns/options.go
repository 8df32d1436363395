package dns

import (
	"encoding/binary"
	"net/netip"

	mdns "github.com/miekg/dns"
)

// options are the EDNS options of a query that are known. Slices point into the message.
type options struct {
	nsid         bool // the server's identity is asked for (RFC 5001)
	cookie       bool // a client cookie came (RFC 7873)
	clientCookie [clientCookieLen]byte
	serverCookie []byte
	subnet       []byte // the client subnet option's data (RFC 7871), nil without one
	keepalive    bool   // a TCP client asks how long it may stay (RFC 7828)
	padding      bool   // the client pads, so the reply is padded where it is encrypted (RFC 7830)
}

// parse notes the options that are known and steps over the others (RFC 6891 section 6.1.2). It is
// false when one is malformed. Of a repeated option the first counts.
func (o *options) parse(b []byte) bool {
	for len(b) > 0 {
		if len(b) < 4 {
			return false
		}
		end := 4 + int(binary.BigEndian.Uint16(b[2:]))
		if len(b) < end || !o.take(binary.BigEndian.Uint16(b), b[4:end:end]) {
			return false
		}
		b = b[end:]
	}
	return true
}

func (o *options) take(code uint16, data []byte) bool {
	switch code {
	case mdns.EDNS0NSID:
		o.nsid = true
	case mdns.EDNS0COOKIE:
		if !o.cookie {
			return o.takeCookie(data)
		}
	case mdns.EDNS0SUBNET:
		if !validSubnet(data) {
			return false
		}
		if o.subnet == nil {
			o.subnet = data
		}
	case mdns.EDNS0TCPKEEPALIVE:
		o.keepalive = true
		return len(data) == 0
	case mdns.EDNS0PADDING:
		o.padding = true
	}
	return true
}

func (o *options) takeCookie(data []byte) bool {
	server := len(data) - clientCookieLen
	if server != 0 && (server < minServerCookie || server > maxServerCookie) {
		return false
	}
	o.cookie = true
	copy(o.clientCookie[:], data)
	o.serverCookie = data[clientCookieLen:]
	return true
}

// validSubnet checks a client subnet as RFC 7871 section 6 asks: a known family, a length within
// it, exactly the bytes for it, no bits behind it, and no scope, which is the answer's.
func validSubnet(d []byte) bool {
	if len(d) < 4 {
		return false
	}
	longest := byte(0)
	switch binary.BigEndian.Uint16(d) {
	case 0: // some clients mean "no subnet" by it
	case 1:
		longest = 32
	case 2:
		longest = 128
	default:
		return false
	}
	source, scope, address := d[2], d[3], d[4:]
	if source > longest || scope != 0 || len(address) != (int(source)+7)/8 {
		return false
	}
	rest := source % 8
	return rest == 0 || address[len(address)-1]<<rest == 0
}

// clientNetwork is the network that a resolver asks for; false when it does not say.
func (o *options) clientNetwork() (netip.Addr, bool) {
	if len(o.subnet) < 4 || o.subnet[2] == 0 {
		return netip.Addr{}, false
	}
	switch binary.BigEndian.Uint16(o.subnet) {
	case 1:
		var a [4]byte
		copy(a[:], o.subnet[4:])
		return netip.AddrFrom4(a), true
	case 2:
		var a [16]byte
		copy(a[:], o.subnet[4:])
		return netip.AddrFrom16(a), true
	}
	return netip.Addr{}, false
}

// keepaliveLen, cookieOptLen and edeLen are what options take in a reply.
const (
	keepaliveLen = 4 + 2
	cookieOptLen = 4 + clientCookieLen + serverCookieLen
	edeLen       = 4 + 2
	// padBlock is what encrypted replies are padded to a multiple of (RFC 8467 section 4.1).
	padBlock = 468
)

// optSize is what the OPT record of the reply takes, without what may be left out: the reason and
// the padding.
func (r *reply) optSize(q *query) int {
	if !q.edns {
		return 0
	}
	size := optLen
	if q.nsid && len(r.nsid) > 0 {
		size += 4 + len(r.nsid)
	}
	if q.cookie && r.cookies != nil {
		size += cookieOptLen
	}
	if q.subnet != nil {
		size += 4 + len(q.subnet)
	}
	if q.keepalive && r.client.stream() {
		size += keepaliveLen
	}
	if len(r.agent) > 0 {
		size += 4 + len(r.agent)
	}
	return size
}

// opt appends the OPT record: our size, the upper bits of the code, DO as it came (RFC 3225), and
// the options. limit is the longest message.
func (r *reply) opt(dst []byte, start, limit int, q *query) []byte {
	dst = append(dst, 0, 0, byte(mdns.TypeOPT))
	dst = binary.BigEndian.AppendUint16(dst, uint16(max(512, r.limit)))
	dst = append(dst, byte(r.rcode>>4), 0, 0, 0)
	if q.do {
		dst[len(dst)-2] = bitDO >> 8
	}
	dst = append(dst, 0, 0)
	at := len(dst)
	if q.nsid && len(r.nsid) > 0 {
		dst = append(option(dst, mdns.EDNS0NSID, len(r.nsid)), r.nsid...)
	}
	if q.cookie && r.cookies != nil {
		dst = option(dst, mdns.EDNS0COOKIE, clientCookieLen+serverCookieLen)
		dst = append(dst, q.clientCookie[:]...)
		dst = r.appendCookie(dst, q)
	}
	if q.subnet != nil { // as it came, with what of it decided
		dst = append(option(dst, mdns.EDNS0SUBNET, len(q.subnet)), q.subnet...)
		dst[len(dst)-len(q.subnet)+3] = r.scope
	}
	if q.keepalive && r.client.stream() {
		dst = option(dst, mdns.EDNS0TCPKEEPALIVE, 2)
		dst = binary.BigEndian.AppendUint16(dst, r.keepalive)
	}
	if len(r.agent) > 0 {
		dst = append(option(dst, mdns.EDNS0REPORTING, len(r.agent)), r.agent...)
	}
	if size := edeLen + len(r.reason.Text); r.reason.Code != noReason &&
		len(dst)-start+size <= limit {
		dst = option(dst, mdns.EDNS0EDE, size-4)
		dst = binary.BigEndian.AppendUint16(dst, r.reason.Code)
		dst = append(dst, r.reason.Text...)
	}
	if q.padding && r.client.encrypted() {
		dst = pad(dst, start, limit)
	}
	binary.BigEndian.PutUint16(dst[at-2:], uint16(len(dst)-at))
	return dst
}

// appendCookie appends the server cookie: the client's own while it is young, else a fresh one.
func (r *reply) appendCookie(dst []byte, q *query) []byte {
	if r.client.proven && r.cookieAge < cookieRenew && len(q.serverCookie) > 0 {
		return append(dst, q.serverCookie...)
	}
	fresh := r.cookies.make(&q.clientCookie, r.client.addr, r.client.now)
	return append(dst, fresh[:]...)
}

func option(dst []byte, code uint16, size int) []byte {
	dst = binary.BigEndian.AppendUint16(dst, code)
	return binary.BigEndian.AppendUint16(dst, uint16(size))
}

// pad fills the message up to a multiple of padBlock.
func pad(dst []byte, start, limit int) []byte {
	size := len(dst) - start + 4
	fill := (padBlock - size%padBlock) % padBlock
	if size+fill > limit {
		return dst
	}
	dst = option(dst, mdns.EDNS0PADDING, fill)
	for range fill {
		dst = append(dst, 0)
	}
	return dst
}
