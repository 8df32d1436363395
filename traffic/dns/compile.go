package dns

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/proa-cloud/proa"
)

// Base is everything about a set of zones that does not depend on the plan, packed. It makes
// snapshots and does not change.
type Base struct {
	index
	static pool
	zones  []*Zone // parents before children
	views  []view
	// moves are the names whose answers depend on the plan, by the live field of their nodes.
	moves   []move
	records []Record
	names   []name // of records
	homes   []int  // the zone of each record
	perZone []int  // records of each zone
	last    atomic.Pointer[Snapshot]

	signs []*signing // of each zone, nil for an unsigned one
	renew time.Time  // when to sign again, zero for never
	live  *liveCache // answers signed for queries, nil without a signed zone
	ids   atomic.Uint64
}

// Source is what a Base is compiled from.
type Source struct {
	// Zones are what is served.
	Zones []*Zone
	// Records are the names whose addresses depend on the plan. A record's name must lie in one of
	// the zones, outside delegations and not at an alias.
	Records []Record
	// Signing has the keys of the zones that are signed.
	Signing Signing
	// Now is when signatures are made.
	Now time.Time
}

// move is a name to pack again for each plan.
type move struct {
	zone int
	name name
}

// Compile packs zones and records, unsigned.
func Compile(zones []*Zone, records []Record) (*Base, error) {
	return Source{Zones: zones, Records: records}.Compile()
}

// Compile packs and signs. Errors wrap proa.ErrInvalidConfig.
func (c Source) Compile() (*Base, error) {
	if err := c.Signing.complete(); err != nil {
		return nil, err
	}
	b := &Base{zones: slices.Clone(c.Zones), records: c.Records}
	slices.SortStableFunc(b.zones, func(x, y *Zone) int {
		return cmp.Compare(x.apex.labels(), y.apex.labels())
	})
	for i, z := range b.zones {
		if i > 0 && slices.ContainsFunc(b.zones[:i], func(o *Zone) bool { return o.apex == z.apex }) {
			return nil, fmt.Errorf("zone %s is there twice: %w", z.Origin, proa.ErrInvalidConfig)
		}
	}
	if len(b.zones) == 0 || len(b.zones) > maxZones {
		return nil, fmt.Errorf("%d zones, want 1 to %d: %w", len(b.zones), maxZones,
			proa.ErrInvalidConfig)
	}
	if err := b.placeRecords(); err != nil {
		return nil, err
	}
	if err := b.prepareSigning(c.Signing, c.Now); err != nil {
		return nil, err
	}
	if !b.renew.IsZero() {
		b.live = newLiveCache(c.Signing)
	}
	return b, b.compileZones()
}

func (b *Base) compileZones() error {
	b.perZone = make([]int, len(b.zones))
	for _, home := range b.homes {
		b.perZone[home]++
	}
	count := 0
	for i, z := range b.zones {
		b.views = append(b.views, view{zone: z, sign: b.signs[i]})
		count += len(z.owners)
	}
	b.index = *newIndex(count)
	b.nodes = make([]node, 0, count)
	b.static.answers = make([]answer, 0, count)
	for i := range b.zones {
		if err := b.compileZone(i); err != nil {
			return err
		}
	}
	b.linkWildcards()
	return b.signRegions()
}

// maxZones bounds the zones of one server.
const maxZones = 10_000

// placeRecords finds the zone of each plan-dependent record and adds its names to a copy of the
// zone.
func (b *Base) placeRecords() error {
	copied := map[int]bool{}
	b.records = slices.Clone(b.records)
	for i := range b.records {
		r := &b.records[i]
		if err := r.validate(); err != nil {
			return err
		}
		if err := r.follow(); err != nil {
			return fmt.Errorf("record %s: %w", r.Name, err)
		}
		n, err := parseName(r.Name)
		if err != nil {
			return err
		}
		home := b.zoneOf(n)
		if home < 0 {
			return fmt.Errorf("record %s is in none of the zones: %w", r.Name, proa.ErrInvalidConfig)
		}
		if !copied[home] {
			z := *b.zones[home]
			z.owners = maps.Clone(z.owners)
			b.zones[home], copied[home] = &z, true
		}
		z := b.zones[home]
		if z.cutAbove(n) != "" || z.owners[n] != nil && z.owners[n].set(mdns.TypeCNAME) != nil {
			return fmt.Errorf("record %s is below a delegation or has a CNAME: %w", r.Name,
				proa.ErrInvalidConfig)
		}
		if slices.Contains(b.names, n) {
			return fmt.Errorf("record %s is there twice: %w", r.Name, proa.ErrInvalidConfig)
		}
		b.names, b.homes = append(b.names, n), append(b.homes, home)
		for _, add := range []name{n, textName(n)} {
			for p := add; z.owners[p] == nil; p = p.parent() {
				z.owners[p] = &owner{}
			}
		}
	}
	return nil
}

// zoneOf returns the deepest zone that n is in, -1 for none.
func (b *Base) zoneOf(n name) int {
	for i := len(b.zones) - 1; i >= 0; i-- {
		if n.under(b.zones[i].apex) {
			return i
		}
	}
	return -1
}

// compileZone adds a zone's nodes, delegations before what is below them.
func (b *Base) compileZone(zone int) error {
	z := b.zones[zone]
	names := slices.SortedFunc(maps.Keys(z.owners), func(x, y name) int {
		return cmp.Or(cmp.Compare(x.labels(), y.labels()), cmp.Compare(x, y))
	})
	referrals := map[name]uint32{}
	for _, n := range names {
		v := node{zone: uint16(zone), wildcard: -1, live: -1, parent: -1}
		home := b.zoneOf(n)
		if home != zone && n != b.zones[home].apex {
			continue // a child zone that is served too answers here
		}
		if err := b.compileNode(zone, n, &v, referrals); err != nil {
			return err
		}
		if at := b.find([]byte(n)); at >= 0 {
			b.replace(at, n, v, n == z.apex)
			continue
		}
		b.add(n, v, true)
	}
	return nil
}

// replace puts a deeper zone's node in the place of a shallower one's. Under an apex the delegation
// stays, out of sight: it goes on answering for DS, whose home is the parent zone.
func (b *Base) replace(at int32, n name, v node, apex bool) {
	was := b.nodes[at]
	if apex {
		v.parent = b.add(n, was, false)
	}
	v.nameAt = was.nameAt
	b.nodes[at] = v
}

// compileNode packs one name's answers into the static pool, or marks it as one that moves.
func (b *Base) compileNode(zone int, n name, v *node, referrals map[name]uint32) error {
	view := &b.views[zone]
	z := view.zone
	o := z.owners[n]
	v.first = uint32(len(b.static.answers))
	if cut := z.cutAbove(n); cut != "" && cut != n {
		v.flags, v.first, v.count = nodeCut|nodeBelow, referrals[cut], 1
		return nil
	} else if cut == n {
		v.flags = nodeCut
		if ds := o.set(mdns.TypeDS); ds != nil {
			r := resolution{links: []link{{set: ds}}}
			if err := view.pack(&b.static, n, mdns.TypeDS, r); err != nil {
				return err
			}
		}
		referrals[n] = uint32(len(b.static.answers))
		if err := view.packReferral(&b.static, n); err != nil {
			return err
		}
	} else if b.movesAt(view, n, o, zone) {
		v.live = int32(len(b.moves))
		b.moves = append(b.moves, move{zone: zone, name: n})
		return nil
	} else if err := view.packOwner(&b.static, n, o); err != nil {
		return err
	}
	if o.set(mdns.TypeDNAME) != nil {
		v.flags |= nodeDNAME
	}
	v.count = uint16(len(b.static.answers) - int(v.first))
	return nil
}

// movesAt reports whether a name's answers depend on the plan: its own record, the text beside it,
// or an alias that leads to one of them or to the apex, whose SOA moves.
func (b *Base) movesAt(v *view, n name, o *owner, zone int) bool {
	moving := func(x name) bool {
		for i, r := range b.names {
			if b.homes[i] == zone && (x == r || x == textName(r)) {
				return true
			}
		}
		return false
	}
	if !slices.Contains(b.homes, zone) {
		return false
	}
	if moving(n) {
		return true
	}
	if o.set(mdns.TypeCNAME) == nil {
		return false
	}
	r := v.resolve("", o, anyKind)
	return slices.ContainsFunc(r.visited, func(x name) bool { return x == v.zone.apex || moving(x) })
}

// linkWildcards notes at each name its wildcard child.
func (b *Base) linkWildcards() {
	for at := range b.nodes {
		n := name(b.nameOf(int32(at)))
		if !n.isWildcard() || b.find([]byte(n)) != int32(at) {
			continue
		}
		if p := b.find([]byte(n.parent())); p >= 0 && b.nodes[p].zone == b.nodes[at].zone {
			b.nodes[p].wildcard = int32(at)
		}
	}
}

// slim lets go of the records of zones that depend on no plan, once they are packed, and returns
// the zones. The caller's own copies are whole still.
func (b *Base) slim() []*Zone {
	for i, z := range b.zones {
		if slices.Contains(b.homes, i) {
			continue
		}
		lean := *z
		lean.lean, lean.owners = true, map[name]*owner{z.apex: z.owners[z.apex]}
		b.zones[i], b.views[i].zone = &lean, &lean
	}
	return slices.Clone(b.zones)
}
