package dns

import (
	"fmt"
	"slices"

	mdns "github.com/miekg/dns"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/traffic/dns/dnssec"
)

// maxBody is the most that an answer's records may take: the rest of 65,535 bytes is for header,
// question, SOA and OPT.
const maxBody = 64_000

// packOwner packs one authoritative name's answers: one for each of its types, and for an alias one
// for each type at its end and one for all others.
func (v *view) packOwner(p *pool, n name, o *owner) error {
	for i := range o.sets {
		kind := o.sets[i].kind
		if kind == mdns.TypeSOA {
			p.answers = append(p.answers, answer{kind: kind, an: 1, flags: flagAA | flagZoneSOA})
			continue
		}
		if kind == mdns.TypeDNAME {
			if err := v.packRenaming(p, n, &o.sets[i]); err != nil {
				return err
			}
			continue
		}
		shared := o.sets[i].late && v.late != nil && !n.isWildcard()
		if a, ok := v.late[o.sets[i].ttl]; shared && ok {
			p.answers = append(p.answers, a)
			continue
		}
		if err := v.pack(p, n, kind, resolution{links: []link{{set: &o.sets[i]}}}); err != nil {
			return err
		}
		if shared {
			v.late[o.sets[i].ttl] = p.answers[len(p.answers)-1]
		}
	}
	if o.set(mdns.TypeCNAME) == nil {
		return nil
	}
	r := v.resolve("", o, anyKind)
	if r.cut != "" && r.cut == r.visited[len(r.visited)-1] { // the parent side answers for DS
		if err := v.pack(p, n, mdns.TypeDS, v.resolve("", o, mdns.TypeDS)); err != nil {
			return err
		}
	}
	if r.denied {
		end := v.lookup(&resolution{}, r.visited[len(r.visited)-1])
		for i := range end.sets {
			kind := end.sets[i].kind
			if o.set(kind) != nil {
				continue
			}
			if err := v.pack(p, n, kind, v.resolve("", o, kind)); err != nil {
				return err
			}
		}
	}
	return v.pack(p, n, anyKind, r)
}

// pack packs one resolution as the answer of name n to a type.
func (v *view) pack(p *pool, n name, kind uint16, r resolution) error {
	known, variable := n, n.isWildcard()
	if variable {
		known = n.parent()
	}
	k := newPacker(p, known, variable)
	a := answer{kind: kind, flags: flagAA}
	for _, l := range r.links {
		a.an += k.set(l.owner, l.set, l.set.ttl)
	}
	switch {
	case r.nxdomain:
		a.flags |= flagNXDomain | flagSOA
	case r.denied:
		a.flags |= flagSOA
	case r.cut != "":
		v.referral(k, &a, r.cut, nil)
	}
	if err := finishPack(k, a, n); err != nil || variable || r.denied || r.nxdomain || r.cut != "" {
		return err
	}
	return v.packSigned(p, n, kind, r)
}

// packSigned packs the same answer with the signatures of its sets. It leaves that to the query
// when the cap on what is signed ahead is reached, or when it is not worth it.
func (v *view) packSigned(p *pool, n name, kind uint16, r resolution) error {
	late := slices.ContainsFunc(r.links, func(l link) bool { return l.set.late })
	if late || !v.sign.ahead(len(r.links)) {
		return nil
	}
	k := newPacker(p, n, false)
	a := answer{kind: kind, flags: flagAA}
	for _, l := range r.links {
		a.an += k.set(l.owner, l.set, l.set.ttl)
	}
	for _, l := range r.links {
		if l.made {
			continue // the DNAME's signature is its proof
		}
		owner := l.owner
		if owner == "" {
			owner = n
		}
		sigs, err := v.sign.signatures(owner, l.set)
		if err != nil {
			return err
		}
		a.an += k.set(l.owner, sigs, sigs.ttl)
	}
	if k.offset() > maxBody {
		return finishPack(k, a, n)
	}
	k.doneSigned(a)
	return nil
}

// packRenaming packs a DNAME for its own name and for all names below, so with the owner as a
// pointer to complete.
func (v *view) packRenaming(p *pool, n name, set *rrset) error {
	k := newPacker(p, n, true)
	a := answer{kind: mdns.TypeDNAME, flags: flagAA}
	a.an = k.set(n, set, set.ttl)
	k.done(a)
	if !v.sign.ahead(1) {
		return nil
	}
	sigs, err := v.sign.signatures(n, set)
	if err != nil {
		return err
	}
	k = newPacker(p, n, true)
	k.set(n, set, set.ttl)
	a.an += k.set(n, sigs, sigs.ttl)
	k.doneSigned(a)
	return nil
}

// packReferral packs the referral to a delegation, for its name and all names below.
func (v *view) packReferral(p *pool, cut name) error {
	k := newPacker(p, cut, true)
	a := answer{kind: anyKind}
	v.referral(k, &a, cut, nil)
	if err := finishPack(k, a, cut); err != nil || !v.sign.ahead(1) {
		return err
	}
	proof, err := v.delegationProof(cut)
	if err != nil {
		return err
	}
	k = newPacker(p, cut, true)
	a = answer{kind: anyKind}
	v.referral(k, &a, cut, proof)
	k.doneSigned(a)
	return nil
}

// delegationProof is what a signed referral says of the child's keys: its DS, or that it has none,
// with signatures.
func (v *view) delegationProof(cut name) ([]*rrset, error) {
	proof := v.zone.owners[cut].set(mdns.TypeDS)
	if proof == nil {
		proof = &rrset{
			kind: mdns.TypeNSEC, ttl: negativeTTL(v.owner(v.zone.apex).set(mdns.TypeSOA)),
			data: []string{dnssec.Denial(string(cut), true, []uint16{mdns.TypeNS})},
		}
	}
	sigs, err := v.sign.signatures(cut, proof)
	return []*rrset{proof, sigs}, err
}

func finishPack(k *packer, a answer, n name) error {
	if size := k.offset(); size > maxBody {
		return fmt.Errorf("%s %s: the answer takes %d bytes, at most %d: %w",
			n, typeText(a.kind), size, maxBody, proa.ErrInvalidConfig)
	}
	k.done(a)
	return nil
}

// referral writes a delegation's name servers and their addresses. Those below the delegation must
// be in the message (RFC 9471); those elsewhere in the zone go into the droppable tail.
func (v *view) referral(k *packer, a *answer, cut name, proof []*rrset) {
	ns := v.zone.owners[cut].set(mdns.TypeNS)
	a.ns += k.set(cut, ns, ns.ttl)
	for _, set := range proof {
		a.ns += k.set(cut, set, set.ttl)
	}
	for _, below := range []bool{true, false} {
		before := k.offset()
		for _, d := range ns.data {
			server := lowerName(name(d))
			o := v.zone.owners[server]
			if o == nil || server.under(cut) != below {
				continue
			}
			for _, kind := range []uint16{mdns.TypeA, mdns.TypeAAAA} {
				if set := o.set(kind); set != nil {
					n := k.set(server, set, set.ttl)
					a.ar += n
					if !below {
						a.tailAR += n
					}
				}
			}
		}
		if !below {
			a.tail = uint32(k.offset() - before)
		}
	}
}
