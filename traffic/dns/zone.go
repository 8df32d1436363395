package dns

import (
	"fmt"
	"slices"
	"strings"

	mdns "github.com/miekg/dns"

	"github.com/proa-cloud/proa"
)

// Zone is one zone's records, checked and grouped. It does not change once made.
type Zone struct {
	// Origin is the zone's name in presentation format, with its last dot.
	Origin string
	// Serial is the SOA's serial.
	Serial uint32

	apex   name
	owners map[name]*owner
	file   string
	lean   bool // only the apex's records are kept
}

// owner is one name's record sets; without any it is an empty non-terminal.
type owner struct {
	sets []rrset
	pos  position
	// varies: other clients may be given other sets
	varies bool
}

// rrset is the records of one name and type.
type rrset struct {
	kind uint16
	ttl  uint32
	data []string // uncompressed RDATA
	size int      // bytes that it takes in an answer at most
	late bool     // not signed ahead: it changes with each plan
}

func (o *owner) set(kind uint16) *rrset {
	for i := range o.sets {
		if o.sets[i].kind == kind {
			return &o.sets[i]
		}
	}
	return nil
}

// position is where a record begins in its file; line 0 for a record of a programmatic zone.
type position struct{ line, column int }

// ZoneError says what is wrong with a zone, and where.
type ZoneError struct {
	File         string
	Line, Column int
	Reason       string
}

// Error renders "file:line:column: reason", without what is not known.
func (e *ZoneError) Error() string {
	s := e.File
	if s == "" {
		s = "zone"
	}
	if e.Line > 0 {
		s += fmt.Sprintf(":%d:%d", e.Line, e.Column)
	}
	return s + ": " + e.Reason
}

// Unwrap makes a ZoneError a proa.ErrInvalidConfig.
func (e *ZoneError) Unwrap() error { return proa.ErrInvalidConfig }

// NewZone makes a zone of records in presentation format, one a string: "www.example.org. 300 IN A
// 192.0.2.1".
func NewZone(origin string, records ...string) (*Zone, error) {
	return ParseZone(strings.NewReader(strings.Join(records, "\n")+"\n"), origin, "")
}

// zoneBuilder collects records in the order of their file.
type zoneBuilder struct {
	zone  *Zone
	count int
	limit int // of records
}

// maxRecords bounds a zone.
const maxRecords = 20_000_000

func (b *zoneBuilder) fail(at position, format string, args ...any) error {
	return &ZoneError{
		File: b.zone.file, Line: at.line, Column: at.column,
		Reason: fmt.Sprintf(format, args...),
	}
}

// add takes one record. The first one must be the SOA, whose owner is the zone.
func (b *zoneBuilder) add(rr mdns.RR, at position) error {
	h := rr.Header()
	if h.Name == "" {
		return b.fail(at, "the first record has no owner")
	}
	n, err := parseName(h.Name)
	if err != nil {
		return b.fail(at, "%v", err)
	}
	if h.Class != mdns.ClassINET {
		return b.fail(at, "class %s: only IN is served", mdns.ClassToString[h.Class])
	}
	if metaType(h.Rrtype) {
		return b.fail(at, "type %s cannot be stored in a zone", mdns.TypeToString[h.Rrtype])
	}
	if h.Ttl > 1<<31-1 {
		return b.fail(at, "TTL %d is over 2147483647 (RFC 2181 section 8)", h.Ttl)
	}
	if b.count++; b.count > b.limit {
		return b.fail(at, "more than %d records", b.limit)
	}
	if b.zone.apex == "" {
		if h.Rrtype != mdns.TypeSOA {
			return b.fail(at, "the first record must be the zone's SOA, not %s", mdns.TypeToString[h.Rrtype])
		}
		b.zone.apex, b.zone.Origin = n, n.String()
		b.zone.Serial = rr.(*mdns.SOA).Serial
	} else if h.Rrtype == mdns.TypeSOA {
		return b.fail(at, "a second SOA")
	}
	if !n.under(b.zone.apex) {
		return b.fail(at, "%s is outside the zone %s", n, b.zone.Origin)
	}
	data, err := rdataOf(rr)
	if err != nil {
		return b.fail(at, "%v", err)
	}
	if size := b.store(n, h.Rrtype, h.Ttl, data, at); size > maxSetBytes {
		return b.fail(at, "%s %s: the set takes %d bytes, more than a message holds", n,
			typeText(h.Rrtype), size)
	}
	return nil
}

// maxSetBytes leaves room in a message of 65,535 bytes for a question, a chain of aliases and an
// OPT record.
const maxSetBytes = 60_000

// store files one record and returns what its set takes in an answer at most. Exact repeats are
// dropped, and a set has the lowest of its TTLs (RFC 2181 section 5.2).
func (b *zoneBuilder) store(n name, kind uint16, ttl uint32, data string, at position) int {
	o := b.zone.owners[n]
	if o == nil {
		o = &owner{pos: at}
		b.zone.owners[n] = o
	}
	set := o.set(kind)
	if set == nil {
		o.sets = append(o.sets, rrset{kind: kind, ttl: ttl})
		set = &o.sets[len(o.sets)-1]
	}
	set.ttl = min(set.ttl, ttl)
	if !slices.Contains(set.data, data) {
		set.data = append(set.data, data)
		set.size += 12 + len(data)
	}
	return set.size
}

// metaType reports types that exist in queries and messages only (RFC 6895 section 3.1).
func metaType(t uint16) bool { return t == 0 || t == mdns.TypeOPT || 128 <= t && t <= 255 }

// rdataOf packs a record and returns its RDATA, names uncompressed.
func rdataOf(rr mdns.RR) (string, error) {
	buf := make([]byte, mdns.Len(rr)+64)
	end, err := mdns.PackRR(rr, buf, 0, nil, false)
	if err != nil {
		return "", fmt.Errorf("record cannot be packed: %w", err)
	}
	start := wireNameLen(buf) + 10
	if start > end || start == 10 {
		return "", fmt.Errorf("record cannot be packed: %w", proa.ErrInvalid)
	}
	return string(buf[start:end]), nil
}
