package dns

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/traffic/policy"
)

// State is what answers depend on besides zones and records.
type State struct {
	// Plan says which region's addresses are given.
	Plan proa.Plan
	// Isolated says that the server is cut off from the others: records that are silent then are.
	Isolated bool
	// Near is what vantage points measured, for records whose policies ask for it.
	Near map[string]policy.Near
	// Validations are records that prove to others that the zone is ours.
	Validations []Validation
	// Aliases are names with the addresses of others.
	Aliases []Alias
	// Found are the addresses of aliases' targets outside our zones, by target.
	Found map[string][]netip.Addr
	// Stamps are added to the serials of zones that secondaries copy, by zone.
	Stamps map[string]uint32
}

// Validation is a record that a certificate authority or a cloud asks for: the CNAME of AWS
// Certificate Manager, the TXT at "asuid." of an Azure custom domain, the TXT at "_acme-challenge."
// of ACME (RFC 8555 section 8.4). Records of the zone at the same name and of the same type are
// hidden.
type Validation struct {
	// Name is the owner, in a zone of the server.
	Name string
	// Type is "TXT" or "CNAME".
	Type string
	// Values are TXT strings of at most 255 bytes, or the one target of a CNAME.
	Values []string
	// TTL is how long it may be kept: whole seconds, at most a day.
	TTL time.Duration
	// Fixed says that it is of the configuration and stays.
	Fixed bool
}

// Alias gives a name, such as a zone's apex where a CNAME cannot stand, the addresses of another.
type Alias struct {
	// Name is the owner, in a zone of the server.
	Name string
	// Target is the name whose addresses are given.
	Target string
	// TTL is how long the addresses may be kept, and how often they are looked up: whole seconds up
	// to an hour.
	TTL time.Duration
}

// maxOver bounds validations and aliases, maxTexts the validations at one name.
const (
	maxOver  = 1000
	maxTexts = 64
)

// overSet is one set to put over a zone's.
type overSet struct {
	name    name
	zone    int
	sets    []rrset
	hides   []uint16 // the types that it takes the place of
	waiting bool
}

// putOver packs validations and aliases over the zones' names.
func (s *Snapshot) putOver(views []view, state State) error {
	if len(state.Validations)+len(state.Aliases) == 0 {
		return nil
	}
	if len(state.Validations) > maxOver || len(state.Aliases) > maxOver {
		return fmt.Errorf("dns: %d validations, %d aliases, at most %d: %w", len(state.Validations),
			len(state.Aliases), maxOver, proa.ErrTooLarge)
	}
	var list []overSet
	for _, v := range state.Validations {
		set, err := v.set()
		if err != nil {
			return err
		}
		list = append(list, set)
	}
	for _, a := range state.Aliases {
		set, err := s.aliasSet(a, state)
		if err != nil {
			return err
		}
		list = append(list, set)
	}
	list, err := s.merge(list)
	if err != nil {
		return err
	}
	over := newIndex(len(list) * 8)
	for _, o := range list {
		if err := s.addOver(over, views, o); err != nil {
			return err
		}
	}
	for _, o := range list {
		s.soas[o.zone].over = true
	}
	s.over, s.overs = over, list
	return nil
}

// fixed are the configuration's validation records as the server keeps them.
func fixed(list []Validation) ([]Validation, error) {
	var out []Validation
	for _, v := range list {
		n, err := parseName(v.Name)
		if err != nil {
			return nil, err
		}
		v.Name, v.Fixed = n.String(), true
		out = append(out, v)
	}
	return out, nil
}

func (v Validation) set() (overSet, error) {
	n, err := parseName(v.Name)
	if err != nil {
		return overSet{}, err
	}
	bad := func(reason string) (overSet, error) {
		return overSet{}, fmt.Errorf("validation %s %s: %s: %w", v.Type, v.Name, reason, proa.ErrInvalid)
	}
	if v.TTL < 0 || v.TTL > 24*time.Hour || v.TTL%time.Second != 0 {
		return bad("TTL: want whole seconds up to a day")
	}
	set := rrset{ttl: uint32(v.TTL / time.Second)}
	switch v.Type {
	case "TXT":
		set.kind = mdns.TypeTXT
		for _, value := range v.Values {
			if len(value) > 255 {
				return bad("a text of more than 255 bytes")
			}
			set.data = append(set.data, string([]byte{byte(len(value))})+value)
		}
	case "CNAME":
		set.kind = mdns.TypeCNAME
		if len(v.Values) != 1 {
			return bad("a CNAME has one target")
		}
		target, err := parseName(v.Values[0])
		if err != nil {
			return overSet{}, err
		}
		set.data = []string{string(target)}
	default:
		return bad("want TXT or CNAME")
	}
	if n.isWildcard() || len(set.data) == 0 || len(set.data) > maxTexts {
		return bad("want 1 to 64 values and no wildcard")
	}
	return overSet{name: n, sets: []rrset{set}, hides: []uint16{set.kind}}, nil
}

// aliasSet finds the addresses of an alias: by our own answers where the target is ours.
func (s *Snapshot) aliasSet(a Alias, state State) (overSet, error) {
	n, err := parseName(a.Name)
	if err != nil {
		return overSet{}, err
	}
	target, err := parseName(a.Target)
	if err != nil {
		return overSet{}, err
	}
	if a.TTL <= 0 || a.TTL > time.Hour || a.TTL%time.Second != 0 || n.isWildcard() || target == n {
		return overSet{}, fmt.Errorf("alias %s to %s, TTL %s: %w", a.Name, a.Target, a.TTL,
			proa.ErrInvalidConfig)
	}
	o := overSet{name: n, hides: []uint16{mdns.TypeA, mdns.TypeAAAA}}
	addresses, ttl := state.Found[target.String()], uint32(a.TTL/time.Second)
	if s.base.zoneOf(target) >= 0 {
		addresses = s.ownAddresses(target)
		if state.Plan.Drain { // they are about to change
			ttl = min(ttl, drainTTL)
		}
	}
	if o.sets = addressSets(addresses, ttl); len(o.sets) == 0 {
		o.waiting = true
	}
	return o, nil
}

// ownAddresses are those that we give for a name, at the end of its aliases.
func (s *Snapshot) ownAddresses(n name) []netip.Addr {
	var list []netip.Addr
	for _, kind := range []uint16{mdns.TypeA, mdns.TypeAAAA} {
		for _, rr := range s.ask(n, kind) {
			var addr netip.Addr
			switch rr := rr.(type) {
			case *mdns.A:
				addr, _ = netip.AddrFromSlice(rr.A)
			case *mdns.AAAA:
				addr, _ = netip.AddrFromSlice(rr.AAAA)
			}
			if addr.IsValid() {
				list = append(list, addr.Unmap())
			}
		}
	}
	return list
}

// ask returns the answer section of our own reply to a question.
func (s *Snapshot) ask(n name, kind uint16) []mdns.RR {
	msg := append(make([]byte, headerLen, headerLen+len(n)+4), n...)
	msg[5] = 1
	msg = append(msg, byte(kind>>8), byte(kind), 0, byte(mdns.ClassINET))
	out, _, _ := s.respond(nil, msg, reply{client: client{transport: overTCP, proven: true}})
	m := new(mdns.Msg)
	if m.Unpack(out) != nil {
		return nil
	}
	return m.Answer
}

// addressSets makes A and AAAA sets.
func addressSets(list []netip.Addr, ttl uint32) []rrset {
	v4, v6 := rrset{kind: mdns.TypeA, ttl: ttl}, rrset{kind: mdns.TypeAAAA, ttl: ttl}
	for _, a := range list {
		if a = a.Unmap(); a.Is4() {
			v4.data = append(v4.data, string(a.AsSlice()))
		} else {
			v6.data = append(v6.data, string(a.AsSlice()))
		}
	}
	return slices.DeleteFunc([]rrset{v4, v6}, func(s rrset) bool { return len(s.data) == 0 })
}

// merge joins what is at one name, with what the zone has there.
func (s *Snapshot) merge(list []overSet) ([]overSet, error) {
	slices.SortStableFunc(list, func(a, b overSet) int { return strings.Compare(string(a.name), string(b.name)) })
	var merged []overSet
	for _, o := range list {
		if last := len(merged) - 1; last >= 0 && merged[last].name == o.name {
			merged[last].join(o)
			continue
		}
		merged = append(merged, o)
	}
	for i := range merged {
		if err := s.adopt(&merged[i]); err != nil {
			return nil, err
		}
	}
	return merged, nil
}

// join adds sets, those of the same type as more records.
func (o *overSet) join(more overSet) {
	for _, set := range more.sets {
		if i := slices.IndexFunc(o.sets, func(x rrset) bool { return x.kind == set.kind }); i >= 0 {
			o.sets[i].ttl = min(o.sets[i].ttl, set.ttl)
			for _, d := range set.data {
				if !slices.Contains(o.sets[i].data, d) {
					o.sets[i].data = append(o.sets[i].data, d)
				}
			}
			continue
		}
		o.sets = append(o.sets, set)
	}
	o.hides = append(o.hides, more.hides...)
	o.waiting = o.waiting || more.waiting
}

// adopt adds the zone's own sets at the name.
func (s *Snapshot) adopt(o *overSet) error {
	if o.zone = s.base.zoneOf(o.name); o.zone < 0 {
		return fmt.Errorf("%s is in none of the zones: %w", o.name, proa.ErrInvalid)
	}
	if slices.ContainsFunc(o.sets, func(x rrset) bool { return x.kind == mdns.TypeTXT && len(x.data) > maxTexts }) {
		return fmt.Errorf("%s would have over %d texts: %w", o.name, maxTexts, proa.ErrTooLarge)
	}
	var q query
	q.parseQuestion(append([]byte(o.name), 0, 0, 0, 0))
	at, exact := s.closest(&q)
	if at >= 0 && s.node(at).flags&(nodeCut|nodeDNAME) != 0 {
		return fmt.Errorf("%s is at or below a delegation or a DNAME: %w", o.name, proa.ErrInvalid)
	}
	if exact {
		for _, kind := range s.kinds(at) {
			if slices.Contains(o.hides, kind) || kind == mdns.TypeCNAME && o.sets[0].kind == mdns.TypeCNAME {
				continue
			}
			set, err := setOf(s.ask(o.name, kind), kind)
			if err != nil {
				return err
			}
			o.sets = append(o.sets, set)
		}
	}
	alias := slices.ContainsFunc(o.sets, func(x rrset) bool { return x.kind == mdns.TypeCNAME })
	if alias && len(o.sets) > 1 || alias && len(o.sets[0].data) > 1 {
		return fmt.Errorf("%s would have a CNAME and other records: %w", o.name, proa.ErrConflict)
	}
	return nil
}

// setOf makes a set of records, those of the type alone.
func setOf(list []mdns.RR, kind uint16) (rrset, error) {
	set := rrset{kind: kind}
	for _, rr := range list {
		if rr.Header().Rrtype != kind {
			continue
		}
		d, err := rdataOf(rr)
		if err != nil {
			return set, err
		}
		set.ttl, set.data = rr.Header().Ttl, append(set.data, d)
	}
	return set, nil
}

// addOver packs a name and gives it, and the empty names above it, a place in the index.
func (s *Snapshot) addOver(over *index, views []view, o overSet) error {
	v := &views[o.zone]
	if err := s.packLive(v, o.name, &owner{sets: o.sets}); err != nil {
		return err
	}
	n := node{zone: uint16(o.zone), wildcard: -1, parent: -1, live: int32(len(s.live) - 1)}
	if at := s.base.find([]byte(o.name)); at >= 0 {
		n.wildcard, n.parent = s.base.nodes[at].wildcard, s.base.nodes[at].parent
	}
	if o.waiting {
		n.flags |= nodeWaiting
	}
	if at := over.find([]byte(o.name)); at >= 0 { // an empty name of one below
		n.nameAt = over.nodes[at].nameAt
		over.nodes[at] = n
	} else {
		over.add(o.name, n, true)
	}
	for p := o.name.parent(); s.base.find([]byte(p)) < 0 && over.find([]byte(p)) < 0; p = p.parent() {
		over.add(p, node{zone: uint16(o.zone), wildcard: -1, parent: -1, live: -1}, true)
	}
	return nil
}
