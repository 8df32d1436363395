package dns

import (
	"encoding/binary"

	mdns "github.com/miekg/dns"
)

// finish adds the empty non-terminals and refuses what cannot be served truthfully.
func (b *zoneBuilder) finish() (*Zone, error) {
	z := b.zone
	if z.apex == "" {
		return nil, b.fail(position{}, "no SOA record: the zone is empty")
	}
	for n := range z.owners {
		for p := n; p != z.apex; {
			p = p.parent()
			if z.owners[p] != nil {
				break
			}
			z.owners[p] = &owner{pos: z.owners[n].pos}
		}
	}
	apex := z.owners[z.apex]
	if apex.set(mdns.TypeNS) == nil {
		return nil, b.fail(apex.pos, "no NS record at %s", z.Origin)
	}
	for n, o := range z.owners {
		if err := b.checkOwner(n, o); err != nil {
			return nil, err
		}
	}
	return z, nil
}

func (b *zoneBuilder) checkOwner(n name, o *owner) error {
	z := b.zone
	if cname := o.set(mdns.TypeCNAME); cname != nil {
		if len(cname.data) > 1 {
			return b.fail(o.pos, "%s has several CNAME records", n)
		}
		for _, s := range o.sets {
			if s.kind != mdns.TypeCNAME && s.kind != mdns.TypeRRSIG && s.kind != mdns.TypeNSEC {
				return b.fail(o.pos, "%s has a CNAME and other records (RFC 1034 section 3.6.2)", n)
			}
		}
	}
	if d := o.set(mdns.TypeDNAME); d != nil {
		if len(d.data) > 1 {
			return b.fail(o.pos, "%s has several DNAME records", n)
		}
		if n.isWildcard() || o.set(mdns.TypeNS) != nil && n != z.apex {
			return b.fail(o.pos, "%s: a DNAME at a wildcard or a delegation has no meaning", n)
		}
	}
	for p := n; p != z.apex; {
		p = p.parent()
		if z.owners[p].set(mdns.TypeDNAME) != nil {
			return b.fail(o.pos, "%s is below the DNAME at %s (RFC 6672 section 2.4)", n, p)
		}
	}
	if ns := o.set(mdns.TypeNS); ns != nil {
		if n.isWildcard() {
			return b.fail(o.pos, "%s: a wildcard delegation has no meaning (RFC 4592 section 4.2)", n)
		}
		if err := b.checkServers(n, o, ns); err != nil {
			return err
		}
	}
	return nil
}

// checkServers refuses name servers inside the zone that cannot be reached: without an address, or
// behind an alias.
func (b *zoneBuilder) checkServers(n name, o *owner, ns *rrset) error {
	z := b.zone
	for _, d := range ns.data {
		server := name(d)
		server = lowerName(server)
		if !server.under(z.apex) {
			continue
		}
		if cut := z.cutAbove(server); n == z.apex && cut != "" || n != z.apex && !server.under(n) {
			continue // the addresses are another zone's affair
		}
		target := z.owners[server]
		if target == nil && z.wildcardFor(server) != nil {
			continue
		}
		if target == nil || target.set(mdns.TypeA) == nil && target.set(mdns.TypeAAAA) == nil {
			return b.fail(o.pos, "name server %s of %s has no address record in the zone", server, n)
		}
	}
	return nil
}

// cutAbove returns the highest delegation at or above n, "" when n is authoritative.
func (z *Zone) cutAbove(n name) name {
	var cut name
	for p := n; p != z.apex && len(p) > 1; p = p.parent() {
		if o := z.owners[p]; o != nil && o.set(mdns.TypeNS) != nil {
			cut = p
		}
	}
	return cut
}

// wildcardFor returns the wildcard that would answer for a name that does not exist, nil when there
// is none.
func (z *Zone) wildcardFor(n name) *owner {
	for p := n; p != z.apex && len(p) > 1; {
		p = p.parent()
		if z.owners[p] != nil {
			return z.owners["\x01*"+p]
		}
	}
	return nil
}

func lowerName(n name) name {
	b := []byte(n)
	lowerInPlace(b)
	return name(b)
}

func typeText(t uint16) string { return mdns.Type(t).String() }

// negativeTTL is how long a denial may be kept: the lower of the SOA's own TTL and its last field
// (RFC 2308 section 5).
func negativeTTL(soa *rrset) uint32 {
	d := soa.data[0]
	return min(soa.ttl, binary.BigEndian.Uint32([]byte(d[len(d)-4:])))
}
