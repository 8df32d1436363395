package dns

import (
	"encoding/binary"

	mdns "github.com/miekg/dns"
)

// Response codes that the packer of answers knows.
const (
	rcodeOK       = 0
	rcodeFormErr  = 1
	rcodeServFail = 2
	rcodeNXDomain = 3
	rcodeNotImp   = 4
	rcodeRefused  = 5
	rcodeYXDomain = 6
	rcodeBadVers  = 16 // its upper bits stand in the OPT record
	rcodeDrop     = -1 // no reply: the message is none that may be answered
	rcodeLimited  = -2 // no reply: too many like it
)

// Bits of a header's second and third word.
const (
	bitQR     = 0x8000
	bitAA     = 0x0400
	bitTC     = 0x0200
	bitRD     = 0x0100
	bitDO     = 0x8000 // in the OPT record's TTL
	bitCO     = 0x4000 // beside it: compact denials are understood (RFC 9824 section 5.1)
	headerLen = 12
	optLen    = 11 // an OPT record without options
)

// typeNXNAME stands in the type bitmap of a signed denial for "no such name" and is never asked for
// (RFC 9824 section 3.4).
const typeNXNAME = 128

// query is what was understood of a message. It lives on the stack.
type query struct {
	id      uint16
	bits    uint16 // the header's flags
	kind    uint16
	class   uint16
	nameLen int // of the question's name
	// Bytes of the whole question as received; 0: not understood, not to be echoed
	question int
	labels   int           // of the name, without the root's
	starts   [128]uint8    // where each label begins in name
	name     [maxName]byte // in lower case
	empty    bool          // no question, only a cookie: RFC 7873 section 5.4
	edns     bool          // an OPT record was there
	version  uint8         // its version
	do       bool          // DNSSEC OK
	co       bool          // Compact Answers OK
	udpSize  uint16        // what the sender can take
	options
}

// parse reads a message and returns the response code that it calls for before any look at zones:
// rcodeOK goes on. It allocates nothing and looks at nothing behind the first few records.
func (q *query) parse(msg []byte) int {
	if len(msg) < headerLen {
		return rcodeDrop
	}
	q.id = binary.BigEndian.Uint16(msg)
	q.bits = binary.BigEndian.Uint16(msg[2:])
	if q.bits&bitQR != 0 {
		return rcodeDrop // answering answers makes loops
	}
	switch opcode := q.bits >> 11 & 15; opcode {
	case mdns.OpcodeQuery:
	case mdns.OpcodeNotify, mdns.OpcodeUpdate:
		return rcodeRefused
	default:
		return rcodeNotImp
	}
	qd, an := binary.BigEndian.Uint16(msg[4:]), binary.BigEndian.Uint16(msg[6:])
	ns, ar := binary.BigEndian.Uint16(msg[8:]), binary.BigEndian.Uint16(msg[10:])
	if qd > 1 || ar > maxAdditional || an != 0 { // RFC 9619
		return rcodeFormErr
	}
	if qd == 0 { // to learn a cookie, and for nothing else
		q.empty = true
		rcode := q.parseAdditional(msg, headerLen, int(ar))
		if ns != 0 || rcode == rcodeOK && !q.cookie {
			return rcodeFormErr
		}
		return rcode
	}
	if !q.parseQuestion(msg[headerLen:]) {
		return rcodeFormErr
	}
	if q.kind == mdns.TypeIXFR || q.kind == mdns.TypeAXFR {
		return q.parseTransfer(msg, int(ns), int(ar))
	}
	if ns != 0 {
		return rcodeFormErr
	}
	return q.parseAdditional(msg, headerLen+q.question, int(ar))
}

// parseTransfer steps over the client's SOA in an IXFR. Transfers are answered elsewhere; here they
// are refused.
func (q *query) parseTransfer(msg []byte, ns, ar int) int {
	at := headerLen + q.question
	if ns > 1 || ns == 1 && q.kind != mdns.TypeIXFR {
		return rcodeFormErr
	}
	if ns == 1 {
		if at = skipRecord(msg, at); at == 0 {
			return rcodeFormErr
		}
	}
	if rcode := q.parseAdditional(msg, at, ar); rcode != rcodeOK {
		return rcode
	}
	return rcodeRefused
}

// skipRecord returns where the record at a place ends, 0 when it is cut.
func skipRecord(msg []byte, at int) int {
	nameLen := skipName(msg[at:])
	if nameLen == 0 || len(msg) < at+nameLen+10 {
		return 0
	}
	end := at + nameLen + 10 + int(binary.BigEndian.Uint16(msg[at+nameLen+8:]))
	if len(msg) < end {
		return 0
	}
	return end
}

// lowerWords lowers ASCII letters eight at a time; len(b) is a multiple of eight. A byte is an
// upper-case letter when it is ASCII, reaches bit 7 once 0x80-'A' is added, and does not when
// 0x7f-'Z' is.
func lowerWords(b []byte) {
	const each = 0x0101010101010101
	for ; len(b) >= 8; b = b[8:] {
		x := binary.LittleEndian.Uint64(b)
		low := x & (0x7f * each)
		upper := ((low + (0x80-'A')*each) ^ (low + (0x7f-'Z')*each)) &^ x & (0x80 * each)
		binary.LittleEndian.PutUint64(b, x|upper>>2)
	}
}

// maxAdditional is how many additional records a query may have: OPT and a signature.
const maxAdditional = 4

// parseQuestion reads name, type and class. A compressed name is malformed: there is nothing before
// it to point to.
func (q *query) parseQuestion(b []byte) bool {
	i := 0
	for {
		if i >= len(b) || i >= maxName {
			return false
		}
		size := int(b[i])
		if size == 0 {
			break
		}
		if size > 63 || q.labels >= len(q.starts)-1 {
			return false
		}
		q.starts[q.labels] = uint8(i)
		q.labels++
		i += 1 + size
	}
	q.nameLen = i + 1
	if len(b) < q.nameLen+4 {
		return false
	}
	copy(q.name[:], b[:q.nameLen])
	lowerWords(q.name[:(q.nameLen+7)&^7])
	q.kind = binary.BigEndian.Uint16(b[q.nameLen:])
	q.class = binary.BigEndian.Uint16(b[q.nameLen+2:])
	q.question = q.nameLen + 4
	return true
}

// parseAdditional looks for the OPT record (RFC 6891). Other records are stepped over.
func (q *query) parseAdditional(msg []byte, at, count int) int {
	for range count {
		end := skipRecord(msg, at)
		if end == 0 {
			return rcodeFormErr
		}
		nameLen := skipName(msg[at:])
		fixed := msg[at+nameLen:]
		if binary.BigEndian.Uint16(fixed) == mdns.TypeOPT {
			if q.edns || msg[at] != 0 {
				return rcodeFormErr
			}
			q.edns = true
			q.udpSize = binary.BigEndian.Uint16(fixed[2:])
			q.version = fixed[5]
			flags := binary.BigEndian.Uint16(fixed[6:])
			q.do, q.co = flags&bitDO != 0, flags&bitCO != 0
			if q.version == 0 && !q.options.parse(msg[at+nameLen+10:end]) {
				return rcodeFormErr
			}
		}
		at = end
	}
	if q.version != 0 {
		return rcodeBadVers
	}
	return rcodeOK
}

// skipName returns the length of a name that may end in a compression pointer, 0 when it is
// malformed.
func skipName(b []byte) int {
	for i := 0; i < len(b) && i < maxName; {
		switch c := b[i]; {
		case c == 0:
			return i + 1
		case c&0xc0 == 0xc0:
			return i + 2 // the caller checks the length
		case c > 63:
			return 0
		default:
			i += 1 + int(c)
		}
	}
	return 0
}
