package dns

import (
	"fmt"

	mdns "github.com/miekg/dns"

	"github.com/proa-cloud/proa"
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
			packRenaming(p, n, &o.sets[i])
			continue
		}
		if err := v.pack(p, n, kind, resolution{links: []link{{"", &o.sets[i]}}}); err != nil {
			return err
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
		v.referral(k, &a, r.cut)
	}
	return finishPack(k, a, n)
}

// packRenaming packs a DNAME for its own name and for all names below, so with the owner as a
// pointer to complete.
func packRenaming(p *pool, n name, set *rrset) {
	k := newPacker(p, n, true)
	a := answer{kind: mdns.TypeDNAME, flags: flagAA}
	a.an = k.set(n, set, set.ttl)
	k.done(a)
}

// packReferral packs the referral to a delegation, for its name and all names below.
func (v *view) packReferral(p *pool, cut name) error {
	k := newPacker(p, cut, true)
	a := answer{kind: anyKind}
	v.referral(k, &a, cut)
	return finishPack(k, a, cut)
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
func (v *view) referral(k *packer, a *answer, cut name) {
	ns := v.zone.owners[cut].set(mdns.TypeNS)
	a.ns += k.set(cut, ns, ns.ttl)
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
