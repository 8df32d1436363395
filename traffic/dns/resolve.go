package dns

import (
	mdns "github.com/miekg/dns"
)

// maxChain bounds a chain of aliases within a zone.
const maxChain = 16

// link is one set of an answer; owner "" is the query's name.
type link struct {
	owner name
	set   *rrset
	made  bool // a CNAME made of the DNAME before it, never signed
}

// resolution is the answer to one name and type by the algorithm of RFC 1034 section 4.3.2 within
// one zone.
type resolution struct {
	links    []link
	cut      name // a referral to this delegation
	denied   bool // the last name has no such type
	nxdomain bool // the last name does not exist
	visited  []name
}

// view is a zone with some sets replaced: those that depend on the plan.
type view struct {
	zone *Zone
	live map[name]*owner
	sign *signing // nil: the zone is not signed
	// The plan's account as it was packed, by TTL: its bytes are the same for all names.
	late map[uint32]answer
}

// owner returns a name's record sets, the live ones in the place of the zone's.
func (v *view) owner(n name) *owner {
	if o := v.live[n]; o != nil {
		return o
	}
	return v.zone.owners[n]
}

// resolve follows aliases from o, which stands for start, to the sets of the type. start is "" for
// a varying name.
func (v *view) resolve(start name, o *owner, kind uint16) resolution {
	var r resolution
	at := start
	for range maxChain {
		if set := o.set(kind); set != nil {
			r.links = append(r.links, link{owner: at, set: set})
			return r
		}
		alias := o.set(mdns.TypeCNAME)
		if alias == nil {
			r.denied = true
			return r
		}
		r.links = append(r.links, link{owner: at, set: alias})
		at = lowerName(name(alias.data[0]))
		for range maxChain {
			renamed := v.rename(&r, at)
			if renamed == "" {
				break
			}
			at = renamed
		}
		r.visited = append(r.visited, at)
		if !at.under(v.zone.apex) {
			return r
		}
		if cut := v.zone.cutAbove(at); cut != "" && (cut != at || kind != mdns.TypeDS) {
			r.cut = cut
			return r
		}
		if o = v.lookup(&r, at); o == nil {
			r.nxdomain = true
			return r
		}
		if o.varies { // by client: the resolver asks for it
			return r
		}
	}
	return r // a loop, or longer than is sane: the resolver gets what there is
}

// lookup finds a name or the wildcard that answers for it.
func (v *view) lookup(r *resolution, n name) *owner {
	if o := v.owner(n); o != nil {
		return o
	}
	for p := n; p != v.zone.apex && len(p) > 1; {
		p = p.parent()
		if v.zone.owners[p] != nil || v.live[p] != nil {
			r.visited = append(r.visited, "\x01*"+p)
			return v.owner("\x01*" + p)
		}
	}
	return nil
}

// rename applies a DNAME above n (RFC 6672 section 3.2): it adds the DNAME and the CNAME it stands
// for and returns the new name, "" when there is none.
func (v *view) rename(r *resolution, n name) name {
	if !n.under(v.zone.apex) {
		return ""
	}
	for p := n; p != v.zone.apex; {
		p = p.parent()
		o := v.owner(p)
		if o == nil {
			continue
		}
		d := o.set(mdns.TypeDNAME)
		if d == nil || v.zone.cutAbove(p) != "" {
			continue
		}
		target := n[:len(n)-len(p)] + name(d.data[0])
		if len(target) > maxName {
			return ""
		}
		r.links = append(r.links, link{owner: p, set: d}, link{owner: n, made: true, set: &rrset{
			kind: mdns.TypeCNAME, ttl: d.ttl, data: []string{string(target)},
		}})
		return lowerName(target)
	}
	return ""
}
