package dns

import (
	"encoding/binary"

	mdns "github.com/miekg/dns"

	"github.com/proa-cloud/proa/traffic/dns/dnssec"
)

// secureZone is what a signed zone needs to answer, under one plan.
type secureZone struct {
	apex     name
	sign     *signing
	soa      answer   // the SOA with its signature
	soaSigs  []string // that signature as RDATA
	negative uint32   // how long a denial may be kept, in seconds
}

// secure puts the signed answer in the place of the plain one: one that was signed ahead, one that
// was signed for an earlier query, or one that is signed now.
func (s *Snapshot) secure(q *query, r *reply) {
	if r.hinfo { // what is signed is what there is: one of the name's sets (RFC 8482 section 4.1)
		r.hinfo = false
		s.pickFirst(r)
	}
	switch a := r.answer; {
	case a == &r.soa.answer:
		r.answer, r.pool = &r.soa.secure.soa, &s.moving
		return
	case a.signed > 0:
		r.answer = &r.pool.signed[a.signed-1]
		return
	}
	class := q.kind
	if r.answer == &noData || r.answer == &noDomain {
		// One proof denies all types but those of the proof itself.
		r.compact = true
		if class != mdns.TypeNSEC && class != mdns.TypeRRSIG {
			class = 0
		}
	}
	cache := s.base.live
	full, id := q.name[:q.nameLen], s.id^uint64(r.variant)<<48
	if r.live = cache.get(id, full, class); r.live != nil {
		r.compact = r.compact || r.live.denial
		return
	}
	if !cache.mayIssue(r.client.now) {
		s.tooBusyToSign(r)
		return
	}
	live, err := s.signNow(q, r)
	if err != nil {
		r.answer, r.rcode = nil, rcodeServFail
		r.reason = Reason{Code: ReasonOther, Text: "signing failed"}
		return
	}
	r.live, r.compact = live, r.compact || live.denial
	cache.put(id, string(full), class, live)
}

func (s *Snapshot) tooBusyToSign(r *reply) {
	r.answer = nil
	r.reason = Reason{Code: ReasonOther, Text: "too many signatures were asked for"}
	if r.client.stream() {
		r.rcode = rcodeServFail
		return
	}
	r.truncate = true
}

// pickFirst chooses the first of a name's own sets.
func (s *Snapshot) pickFirst(r *reply) {
	n := s.node(r.home)
	r.pool = &s.base.static
	first := n.first
	if n.live >= 0 {
		first, r.pool = s.live[n.live].first, &s.moving
	}
	r.answer = &r.pool.answers[first]
	if r.answer.flags&flagZoneSOA != 0 {
		r.answer, r.pool = &r.soa.answer, &s.moving
	}
}

// kinds lists the types that a name has, for the proof that it has no other.
func (s *Snapshot) kinds(at int32) []uint16 {
	n := s.node(at)
	list := s.base.static.answers[n.first : n.first+uint32(n.count)]
	if n.live >= 0 {
		live := s.live[n.live]
		list = s.moving.answers[live.first : live.first+uint32(live.count)]
	}
	if n.flags&nodeCut != 0 {
		return []uint16{mdns.TypeNS} // the DS that is denied is not there
	}
	var kinds []uint16
	for _, a := range list {
		switch a.kind {
		case mdns.TypeCNAME:
			return []uint16{mdns.TypeCNAME} // the others are those of the alias's target
		case anyKind:
		default:
			kinds = append(kinds, a.kind)
		}
	}
	return kinds
}

// signNow makes the signed form of a plain answer.
func (s *Snapshot) signNow(q *query, r *reply) (*liveAnswer, error) {
	m, err := s.plain(q, r)
	if err != nil {
		return nil, err
	}
	l := &liveSigner{snapshot: s, zone: r.soa.secure, out: m}
	if err := l.run(q, r); err != nil {
		return nil, err
	}
	m.Compress = true
	wire, err := m.Pack()
	if err != nil {
		return nil, err
	}
	return &liveAnswer{
		denial: l.denial, an: binary.BigEndian.Uint16(wire[6:]),
		ns: binary.BigEndian.Uint16(wire[8:]), ar: binary.BigEndian.Uint16(wire[10:]),
		body: wire[headerLen+q.question:],
	}, nil
}

// plain writes the answer without signatures and reads it back as records.
func (s *Snapshot) plain(q *query, r *reply) (*mdns.Msg, error) {
	bare, ask := *r, *q
	bare.client.transport = overTCP
	ask.edns, ask.options = false, options{}
	question := make([]byte, headerLen, headerLen+maxName+4)
	question = append(question, q.name[:q.nameLen]...)
	question = binary.BigEndian.AppendUint16(question, q.kind)
	question = binary.BigEndian.AppendUint16(question, mdns.ClassINET)
	wire := bare.write(nil, question, &ask)
	r.rcode = bare.rcode
	if bare.rcode == rcodeNXDomain {
		r.rcode = rcodeOK // write decides it again, with the proof in sight
	}
	m := new(mdns.Msg)
	return m, m.Unpack(wire)
}

// liveSigner adds signatures and proofs to an answer's records.
type liveSigner struct {
	snapshot *Snapshot
	zone     *secureZone
	out      *mdns.Msg
	denial   bool
}

func (l *liveSigner) run(q *query, r *reply) error {
	m := l.out
	answer, last := m.Answer, name(q.name[:q.nameLen])
	for i := 0; i < len(answer); {
		end := i + 1
		for end < len(answer) && sameSet(answer[i], answer[end]) {
			end++
		}
		if alias, ok := answer[i].(*mdns.CNAME); ok {
			target, err := parseName(alias.Target)
			if err != nil {
				return err
			}
			last = target
		}
		if !madeOfDNAME(answer[:i], answer[i]) {
			sigs, err := l.signatures(answer[i:end])
			if err != nil {
				return err
			}
			m.Answer = append(m.Answer[:len(m.Answer):len(m.Answer)], sigs...)
		}
		i = end
	}
	switch {
	case len(m.Ns) == 0:
		return nil
	case m.Ns[0].Header().Rrtype == mdns.TypeSOA:
		l.denial = true
		return l.deny(q, r, last)
	}
	return l.refer()
}

func sameSet(a, b mdns.RR) bool {
	return a.Header().Rrtype == b.Header().Rrtype && a.Header().Name == b.Header().Name
}

// madeOfDNAME reports a CNAME whose proof is the DNAME before it.
func madeOfDNAME(before []mdns.RR, rr mdns.RR) bool {
	if len(before) == 0 || rr.Header().Rrtype != mdns.TypeCNAME {
		return false
	}
	d, ok := before[len(before)-1].(*mdns.DNAME)
	return ok && mdns.IsSubDomain(d.Hdr.Name, rr.Header().Name)
}

// signatures signs one set.
func (l *liveSigner) signatures(set []mdns.RR) ([]mdns.RR, error) {
	h := set[0].Header()
	owner, err := parseName(h.Name)
	if err != nil {
		return nil, err
	}
	s := rrset{kind: h.Rrtype, ttl: h.Ttl}
	for _, rr := range set {
		d, err := rdataOf(rr)
		if err != nil {
			return nil, err
		}
		s.data = append(s.data, d)
	}
	sigs, err := l.zone.sign.signatures(owner, &s)
	if err != nil {
		return nil, err
	}
	return recordsOf(h.Name, sigs)
}

// recordsOf makes records of a set.
func recordsOf(owner string, set *rrset) ([]mdns.RR, error) {
	var list []mdns.RR
	for _, d := range set.data {
		wire := binary.BigEndian.AppendUint16([]byte{0}, set.kind)
		wire = binary.BigEndian.AppendUint16(wire, mdns.ClassINET)
		wire = binary.BigEndian.AppendUint32(wire, set.ttl)
		wire = binary.BigEndian.AppendUint16(wire, uint16(len(d)))
		rr, _, err := mdns.UnpackRR(append(wire, d...), 0)
		if err != nil {
			return nil, err
		}
		rr.Header().Name = owner
		list = append(list, rr)
	}
	return list, nil
}

// deny proves that the last name of an answer does not have the type, or does not exist.
func (l *liveSigner) deny(q *query, r *reply, last name) error {
	exists, at := r.exists, r.home
	if string(last) != string(q.name[:q.nameLen]) {
		exists, at = l.snapshot.standing(last)
	}
	var kinds []uint16
	if exists {
		kinds = l.snapshot.kinds(at)
	}
	nsec := &rrset{
		kind: mdns.TypeNSEC, ttl: l.zone.negative,
		data: []string{dnssec.Denial(string(last), exists, kinds)},
	}
	proof, err := recordsOf(last.String(), nsec)
	if err != nil {
		return err
	}
	sigs, err := l.signatures(proof)
	if err != nil {
		return err
	}
	m := l.out
	if len(m.Answer) == 0 && q.kind == mdns.TypeNSEC {
		m.Answer, m.Ns, l.denial = append(proof, sigs...), nil, false
		return nil
	}
	if len(m.Answer) == 0 && q.kind == mdns.TypeRRSIG {
		m.Answer, m.Ns, l.denial = sigs, nil, false
		return nil
	}
	soa, err := recordsOf(m.Ns[0].Header().Name,
		&rrset{kind: mdns.TypeRRSIG, ttl: l.zone.negative, data: l.zone.soaSigs})
	if err != nil {
		return err
	}
	m.Ns = append(append(append(m.Ns, soa...), proof...), sigs...)
	return nil
}

// standing looks a name up as a query would: whether it exists, if only by a wildcard, and where
// its types are found.
func (s *Snapshot) standing(n name) (exists bool, at int32) {
	var q query
	q.parseQuestion(append([]byte(n), 0, byte(mdns.TypeNULL), 0, byte(mdns.ClassINET)))
	var r reply
	s.answer(&q, &r)
	return r.exists, r.home
}

// refer adds to a referral the DS of the delegation or the proof that it has none.
func (l *liveSigner) refer() error {
	cut, err := parseName(l.out.Ns[0].Header().Name)
	if err != nil {
		return err
	}
	v := l.snapshot.base.viewOf(l.zone.apex)
	proof, err := v.delegationProof(cut)
	if err != nil {
		return err
	}
	for _, set := range proof {
		list, err := recordsOf(cut.String(), set)
		if err != nil {
			return err
		}
		l.out.Ns = append(l.out.Ns, list...)
	}
	return nil
}

func (b *Base) viewOf(apex name) *view {
	for i := range b.views {
		if b.views[i].zone.apex == apex {
			return &b.views[i]
		}
	}
	return nil
}
