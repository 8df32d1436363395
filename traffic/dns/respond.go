package dns

import (
	"encoding/binary"

	mdns "github.com/miekg/dns"
)

// reply says how an answer is to be put on the wire.
type reply struct {
	limit     int    // the longest UDP message that is sent without EDNS having asked for less
	nsid      []byte // the server's identity, nil for none
	agent     name   // who takes reports of errors, "" for nobody
	client    client
	cookies   *cookies // nil: no cookies are given
	cookieAge int32
	limiter   *limiter // nil: replies are not limited
	keepalive uint16   // how long a TCP client may stay, in tenths of a second
	degraded  *Reason  // what answers that follow the plan say
	reason    Reason

	pool     *pool
	answer   *answer
	home     int32 // the node that the answer is of, or the deepest one that the name is below
	exists   bool  // the name does, if only by a wildcard
	soa      *soaState
	moving   *pool // of soa
	live     *liveAnswer
	rcode    int
	prefix   int    // a DNAME applies: bytes of the query's name in front of the DNAME's owner
	hinfo    bool   // ANY: the minimal answer of RFC 8482
	compact  bool   // a signed denial, whose code says that the name exists (RFC 9824)
	scope    uint8  // bits of the client's network that decided (RFC 7871)
	variant  uint16 // one past the client's variant of the answer; 0: it is the same for all
	truncate bool   // say only that there is more over TCP
}

// respond appends to dst the reply to msg, nothing when none is due. dst has room for the longest
// message of the transport. It does not allocate, except to sign. rcode and kind are for the
// counters; rcode is negative when there is no reply.
func (s *Snapshot) respond(dst, msg []byte, r reply) (out []byte, rcode int, kind uint16) {
	var q query
	r.reason.Code = noReason
	r.rcode = q.parse(msg)
	if r.rcode == rcodeDrop {
		return dst, rcodeDrop, 0
	}
	if q.cookie && r.cookies != nil && len(q.serverCookie) > 0 {
		var good bool
		r.cookieAge, good = r.cookies.check(&q.options, r.client.addr, r.client.now)
		r.client.proven = r.client.proven || good
		if !good {
			q.serverCookie = nil
		}
	}
	if r.rcode == rcodeOK && !q.empty {
		s.answer(&q, &r)
		if r.rcode == rcodeDrop {
			return dst, rcodeDrop, q.kind
		}
	}
	if r.limiter != nil && !r.client.proven {
		switch r.limiter.admit(r.client.addr, s.likeness(&q, &r), r.client.now) {
		case drop:
			return dst, rcodeLimited, 0
		case slip:
			r.truncate, r.answer = true, nil
		}
	}
	r.explain(&q)
	if q.do && r.answer != nil && r.soa != nil && r.soa.secure != nil {
		s.secure(&q, &r)
	}
	return r.write(dst, msg, &q), r.rcode, q.kind
}

// likeness tells replies apart for the rate limit: by what they are and the name in our zones that
// they are about. Denials of all names of a zone are alike, as are failures.
func (s *Snapshot) likeness(q *query, r *reply) uint64 {
	switch {
	case r.answer == nil:
		return 1<<48 | uint64(r.rcode)
	case r.answer.flags&flagNXDomain != 0 && r.answer == &noDomain:
		return 2<<48 | uint64(s.node(r.home).zone)
	case r.answer.flags&flagSOA != 0:
		return 3<<48 | uint64(r.home)
	}
	return 4<<48 | uint64(r.home)<<16 | uint64(q.kind)
}

// answer finds the reply to a well-formed query.
func (s *Snapshot) answer(q *query, r *reply) {
	switch {
	case q.class != mdns.ClassINET && q.class != mdns.ClassANY:
		r.rcode = rcodeRefused
		return
	case q.kind == mdns.TypeOPT || q.kind == mdns.TypeTSIG || q.kind == 0 || q.kind == typeNXNAME:
		r.rcode = rcodeFormErr
		return
	case q.kind == mdns.TypeTKEY || q.kind == mdns.TypeMAILA || q.kind == mdns.TypeMAILB:
		r.rcode = rcodeNotImp
		return
	}
	at, exact := s.closest(q)
	if at < 0 {
		r.rcode = rcodeRefused
		return
	}
	n := s.node(at)
	if q.kind == mdns.TypeDS && exact && n.parent >= 0 {
		at = n.parent
		n = s.node(at)
	}
	r.soa, r.moving = &s.soas[n.zone], &s.moving
	r.home, r.exists = at, exact
	switch {
	case n.flags&nodeCut != 0:
		s.pickReferral(n, q, r, exact)
	case exact:
		s.pick(n, q, q.kind, r)
	case n.flags&nodeDNAME != 0:
		s.pick(n, q, mdns.TypeDNAME, r)
		r.prefix = q.nameLen - len(s.nameOf(at))
	case n.wildcard >= 0:
		r.home, r.exists = n.wildcard, true
		s.pick(s.node(n.wildcard), q, q.kind, r)
	default:
		r.answer, r.pool = &noDomain, &noPool
	}
}

// The answers without records of their own.
var (
	noPool   pool
	noData   = answer{flags: flagAA | flagSOA}
	noDomain = answer{flags: flagAA | flagSOA | flagNXDomain}
)

// node returns the node at a place: those over the zones' names come behind the base's.
func (s *Snapshot) node(at int32) *node {
	if count := int32(len(s.base.nodes)); at >= count {
		return &s.over.nodes[at-count]
	}
	return &s.base.nodes[at]
}

func (s *Snapshot) nameOf(at int32) []byte {
	if count := int32(len(s.base.nodes)); at >= count {
		return s.over.nameOf(at - count)
	}
	return s.base.nameOf(at)
}

// closest returns the node of the query's name or, when there is none, of its closest encloser; -1
// outside all zones.
func (s *Snapshot) closest(q *query) (at int32, exact bool) {
	at, exact, labels := s.base.closest(q)
	if s.over == nil {
		return at, exact
	}
	over, overExact, overLabels := s.over.closest(q)
	if over >= 0 && (at < 0 || overLabels >= labels) { // it hides what is at the same name
		return over + int32(len(s.base.nodes)), overExact
	}
	return at, exact
}

// closest returns the node of the query's name or of its closest encloser, and how many labels it
// has; -1 when there is none.
func (x *index) closest(q *query) (at int32, exact bool, labels int) {
	full := q.name[:q.nameLen]
	if q.labels <= x.depth {
		if at = x.find(full); at >= 0 {
			return at, true, q.labels
		}
	}
	for i := max(1, q.labels-x.depth); i <= q.labels; i++ {
		from := q.nameLen - 1
		if i < q.labels {
			from = int(q.starts[i])
		}
		if at = x.find(full[from:]); at >= 0 {
			return at, false, q.labels - i
		}
	}
	return -1, false, 0
}

// pickReferral answers at or below a delegation.
func (s *Snapshot) pickReferral(n *node, q *query, r *reply, exact bool) {
	r.pool = &s.base.static
	list := r.pool.answers[n.first : n.first+uint32(n.count)]
	r.answer = &list[len(list)-1]
	if q.kind == mdns.TypeDS && exact && n.flags&nodeBelow == 0 {
		r.answer, r.pool = &noData, &noPool
		if list[0].kind == mdns.TypeDS {
			r.answer, r.pool = &list[0], &s.base.static
		}
	}
}

// pick chooses a node's answer for a type.
func (s *Snapshot) pick(n *node, q *query, kind uint16, r *reply) {
	first, count := n.first, n.count
	r.pool = &s.base.static
	if n.live >= 0 {
		at := &s.live[n.live]
		if s.silent && at.silent {
			r.rcode = rcodeDrop
			return
		}
		if at.choice != 0 {
			at = s.choose(at, q, r)
		}
		first, count = at.first, at.count
		r.pool = &s.moving
		if r.degraded != nil {
			r.reason = *r.degraded
		}
	}
	list := r.pool.answers[first : first+uint32(count)]
	if n.flags&nodeWaiting != 0 && (kind == mdns.TypeA || kind == mdns.TypeAAAA) {
		r.rcode, r.soa = rcodeServFail, nil
		r.reason = Reason{Code: ReasonNotReady, Text: "the alias's target was not found yet"}
		return
	}
	if kind == mdns.TypeANY && len(list) > 0 {
		if list[len(list)-1].kind != anyKind {
			r.hinfo, r.answer, r.pool = true, &minimalANY, &noPool
			return
		}
		kind = mdns.TypeCNAME
	}
	if r.soa.over { // a chain may lead to what is put over the zone: the resolver follows it
		for i := range list {
			if list[i].kind == mdns.TypeCNAME {
				kind = mdns.TypeCNAME
			}
		}
	}
	for i := range list {
		if a := &list[i]; a.kind == kind || a.kind == anyKind {
			r.answer = a
			if a.flags&flagZoneSOA != 0 {
				r.answer, r.pool = &r.soa.answer, &s.moving
			}
			return
		}
	}
	r.answer, r.pool = &noData, &noPool
}

// choose finds the client's variant: by the network that the resolver speaks for, or by its own.
func (s *Snapshot) choose(at *liveNode, q *query, r *reply) *liveNode {
	c := &s.choices[at.choice-1]
	who, told := q.clientNetwork()
	if !told {
		who = r.client.addr
	}
	set, scope := c.answers.Pick(who, uint64(q.id)<<32|uint64(r.client.now))
	if told {
		r.scope = uint8(scope) //nolint:gosec // at most 128
	}
	r.variant = uint16(set) + 1 //nolint:gosec // bounded by the policy
	return &s.live[int(c.first)+set]
}

var minimalANY = answer{flags: flagAA, an: 1}

// hinfoRecord is the minimal answer to ANY (RFC 8482 section 4.2), an hour to live.
var hinfoRecord = []byte("\xc0\x0c\x00\x0d\x00\x01\x00\x00\x0e\x10\x00\x09\x07RFC8482\x00")

// write puts the message together.
func (r *reply) write(dst, msg []byte, q *query) []byte {
	start := len(dst)
	limit := r.messageLimit(q)
	bits := uint16(bitQR) | q.bits&(0x7800|bitRD)
	dst = append(dst, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	if q.question > 0 {
		dst = append(dst, msg[headerLen:headerLen+q.question]...)
		dst[start+5] = 1
	}
	if r.truncate {
		bits |= bitTC
	}
	if a := r.answer; a != nil {
		if a.flags&flagAA != 0 {
			bits |= bitAA
		}
		if a.flags&flagNXDomain != 0 && (!r.compact || q.co) {
			r.rcode = rcodeNXDomain
		}
		var fits bool
		if r.live != nil {
			dst, fits = r.live.sections(dst, start, limit-r.optSize(q))
		} else {
			dst, fits = r.sections(dst, start, q, limit)
		}
		if !fits {
			bits |= bitTC
		}
	}
	if q.edns {
		dst = r.opt(dst, start, limit, q)
		records := dst[start+10 : start+12]
		binary.BigEndian.PutUint16(records, binary.BigEndian.Uint16(records)+1)
	}
	bits |= uint16(r.rcode & 15)
	binary.BigEndian.PutUint16(dst[start:], q.id)
	binary.BigEndian.PutUint16(dst[start+2:], bits)
	return dst
}

// messageLimit is the longest message that may be sent. Whoever has not proven to be where it says
// gets no more than 512 bytes: a forged address is of little use then.
func (r *reply) messageLimit(q *query) int {
	switch {
	case r.client.stream():
		return 65535
	case q.edns && r.client.proven:
		return min(max(512, int(q.udpSize)), max(512, r.limit))
	}
	return 512
}

// sections appends the records. When they do not fit, first the tail is left out, then everything.
func (r *reply) sections(dst []byte, start int, q *query, limit int) ([]byte, bool) {
	a := r.answer
	room := limit - (len(dst) - start) - r.optSize(q)
	body, ar := r.pool.bytes[a.body:a.body+a.size], a.ar
	extra := 0
	if a.flags&flagSOA != 0 {
		extra = int(r.soa.denial.size)
	}
	if r.hinfo {
		extra = len(hinfoRecord)
	}
	if r.prefix > 0 {
		extra += r.prefix + len(body)
	}
	if len(body)+extra > room && a.tail > 0 {
		body = body[:a.size-a.tail]
		ar -= a.tailAR
	}
	if len(body)+extra > room {
		return dst, false
	}
	at, an, ns := len(dst), a.an, a.ns
	dst = append(dst, body...)
	r.pool.complete(dst[at:], a, q.nameLen)
	switch {
	case r.hinfo:
		dst = append(dst, hinfoRecord...)
	case r.prefix > 0:
		var renamed bool
		if dst, renamed = r.rename(dst, body, dst[start+headerLen:start+headerLen+q.nameLen]); renamed {
			an++
		}
	}
	if a.flags&flagSOA != 0 {
		at, soa := len(dst), &r.soa.denial
		dst = append(dst, r.moving.bytes[soa.body:soa.body+soa.size]...)
		r.moving.complete(dst[at:], soa, q.nameLen)
		ns++
	}
	binary.BigEndian.PutUint16(dst[start+6:], an)
	binary.BigEndian.PutUint16(dst[start+8:], ns)
	binary.BigEndian.PutUint16(dst[start+10:], ar)
	return dst, true
}

// rename appends the CNAME that a DNAME stands for (RFC 6672 section 3.1). dname is the packed
// DNAME record, whose owner is a pointer, perhaps with its signature behind it; qname is the query's
// name in its own case. The new name may be too long: then there is no CNAME.
func (r *reply) rename(dst, dname, qname []byte) ([]byte, bool) {
	target := dname[12 : 12+int(binary.BigEndian.Uint16(dname[10:]))]
	size := r.prefix + len(target)
	if size > maxName {
		r.rcode = rcodeYXDomain
		return dst, false
	}
	dst = append(dst, 0xc0, headerLen, 0, byte(mdns.TypeCNAME), 0, byte(mdns.ClassINET))
	dst = append(dst, dname[6:10]...)
	dst = binary.BigEndian.AppendUint16(dst, uint16(size))
	dst = append(dst, qname[:r.prefix]...)
	return append(dst, target...), true
}
