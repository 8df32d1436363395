package dns

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	mdns "github.com/miekg/dns"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/traffic/policy"
)

// Record is a name whose addresses follow the plan. TXT records at the name and at "_proa." below
// it say which region is active, by which plan, since when and why.
type Record struct {
	// Name is the owner, inside a zone of the server.
	Name string
	// TTL is how long resolvers may keep the addresses: whole seconds, at most a week.
	TTL time.Duration
	// Addresses are each region's, IPv4 and IPv6. Every region needs at least one: the answer is
	// never empty.
	Addresses map[proa.Region][]netip.Addr
	// Policy chooses the addresses; nil: the active region's.
	Policy *policy.Policy
	// Silent has the server not answer for the name while it is isolated.
	Silent bool
}

// follow gives a record without a policy the one that follows the plan.
func (r *Record) follow() error {
	if r.Policy != nil {
		return nil
	}
	var err error
	r.Policy, err = policy.Compile(policy.Config{
		Root: policy.Node{Endpoint: policy.Active},
		Endpoints: []policy.Endpoint{
			{Name: string(proa.AWS), Addresses: r.Addresses[proa.AWS], Region: proa.AWS},
			{Name: string(proa.Azure), Addresses: r.Addresses[proa.Azure], Region: proa.Azure},
		},
	})
	return err
}

func (r Record) validate() error {
	if r.TTL < 0 || r.TTL > 7*24*time.Hour || r.TTL%time.Second != 0 {
		return fmt.Errorf("record %s: TTL %s: want whole seconds up to a week: %w", r.Name, r.TTL,
			proa.ErrInvalidConfig)
	}
	if r.Policy != nil {
		return validAddresses(r.Name, r.Policy.Addresses())
	}
	for _, region := range proa.Regions() {
		list := r.Addresses[region]
		if len(list) == 0 || len(list) > 64 {
			return fmt.Errorf("record %s: region %s: %d addresses, want 1 to 64: %w",
				r.Name, region, len(list), proa.ErrInvalidConfig)
		}
		if err := validAddresses(r.Name+": region "+string(region), list); err != nil {
			return err
		}
	}
	return nil
}

func validAddresses(of string, list []netip.Addr) error {
	for _, a := range list {
		if !a.IsValid() || a.Zone() != "" {
			return fmt.Errorf("record %s: address %s: %w", of, a, proa.ErrInvalidConfig)
		}
	}
	return nil
}

// textName is where the plan's account is found besides the record's own name.
func textName(n name) name {
	if len(n)+len(textLabel) > maxName {
		return n
	}
	return textLabel + n
}

const textLabel name = "\x05_proa"

// drainTTL is what addresses may be kept for while a planned switch is near, in seconds.
const drainTTL = 1

// variants returns the record's sets for each of its answers under a plan, text being the plan's
// account.
func (r Record) variants(plan proa.Plan, a *policy.Answers, text []string) [][]rrset {
	ttl := uint32(r.TTL / time.Second)
	if plan.Drain {
		ttl = min(ttl, drainTTL)
	}
	out := make([][]rrset, 0, len(a.Sets))
	for _, list := range a.Sets {
		sets := append(make([]rrset, 0, 3), addressSets(list, ttl)...)
		out = append(out, append(sets, rrset{kind: mdns.TypeTXT, ttl: ttl, data: text, late: true}))
	}
	return out
}

// planText is one TXT record's RDATA with the plan's account, each string at most 255 bytes.
func planText(plan proa.Plan) []string {
	parts := []string{
		"active=" + string(plan.Active),
		fmt.Sprintf("version=%d", plan.Version),
		"since=" + plan.Since.UTC().Format(time.RFC3339),
		"reason=" + plan.Reason,
	}
	var d strings.Builder
	for _, s := range parts {
		s = clip(s, 255)
		d.WriteByte(byte(len(s)))
		d.WriteString(s)
	}
	return []string{d.String()}
}

// clip shortens s to limit bytes without cutting a character, and replaces control characters.
func clip(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	if len(s) <= limit {
		return s
	}
	s = s[:limit-3]
	for len(s) > 0 && !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s + "..."
}

// Snapshot is everything that the server answers from, under one plan. It does not change once
// made.
type Snapshot struct {
	// Plan is what the snapshot was made for.
	Plan proa.Plan

	base   *Base
	id     uint64 // among the base's snapshots
	moving pool
	live   []liveNode
	// Names whose answer varies by client
	choices []choice
	silent  bool // the server is isolated
	soas    []soaState
	over    *index // names put over those of the zones, nil for none
	// What it was packed from, for transfers
	views []view
	overs []overSet
}

// liveNode is a moving name's answers in the moving pool.
type liveNode struct {
	first uint32
	count uint16
	// Where it varies by client: one past its place among the choices. The variants are live nodes
	// side by side
	choice uint16
	silent bool // while the server is isolated
}

// choice is a name's answers and who gets which.
type choice struct {
	answers *policy.Answers
	first   uint32 // the live node of its first variant
}

// soaState is a zone's SOA as an answer and as the proof of a denial.
type soaState struct {
	serial  uint32
	apexLen int
	answer  answer
	denial  answer
	secure  *secureZone // nil for an unsigned zone
	over    bool        // names are put over the zone's
}

// NewSnapshot compiles zones that depend on no plan.
func NewSnapshot(zones ...*Zone) (*Snapshot, error) {
	b, err := Compile(zones, nil)
	if err != nil {
		return nil, err
	}
	return b.Snapshot(proa.Plan{})
}

// Snapshot packs what depends on the plan; its cost grows with the number of plan-dependent names
// only. The SOA serial of a zone with such names is the file's plus the plan's version, so it rises
// with each plan (RFC 1982).
func (b *Base) Snapshot(plan proa.Plan) (*Snapshot, error) {
	return b.With(State{Plan: plan})
}

// With packs what depends on the state.
func (b *Base) With(state State) (*Snapshot, error) {
	plan := state.Plan
	s := &Snapshot{Plan: plan, base: b, id: b.ids.Add(1), silent: state.Isolated}
	views := b.freshViews()
	s.views = views
	b.reserve(s)
	moving, err := b.overlayRecords(policy.Situation{Plan: plan, Near: state.Near}, views)
	if err != nil {
		return nil, err
	}
	for i := range views {
		soa, err := s.packSOA(&views[i], state)
		if err != nil {
			return nil, err
		}
		s.soas = append(s.soas, soa)
	}
	for _, m := range b.moves {
		v := &views[m.zone]
		if err := s.packLive(v, m.name, v.owner(m.name)); err != nil {
			return nil, err
		}
	}
	for i, m := range b.moves {
		if err := s.packChoice(&views[m.zone], m.name, &s.live[i], moving[m.name]); err != nil {
			return nil, err
		}
	}
	if err := s.putOver(views, state); err != nil {
		return nil, err
	}
	b.last.Store(s)
	return s, nil
}

// variants are a record's answers under one plan.
type variants struct {
	answers *policy.Answers
	sets    [][]rrset
	silent  bool
}

// overlayRecords puts the first answer of each record over its zone, and returns all.
func (b *Base) overlayRecords(now policy.Situation, views []view) (map[name]variants, error) {
	moving := make(map[name]variants, len(b.records))
	account := planText(now.Plan)
	for i, r := range b.records {
		answers, err := r.Policy.Under(now, b.names[i].String())
		if err != nil {
			return nil, fmt.Errorf("record %s: %w", r.Name, err)
		}
		v := &views[b.homes[i]]
		all := r.variants(now.Plan, answers, account)
		sets := all[0]
		overlay(v, b.names[i], sets)
		v.live[b.names[i]].varies = answers.Varies()
		if text := textName(b.names[i]); text != b.names[i] {
			overlay(v, text, sets[len(sets)-1:])
		}
		if r.Silent || answers.Varies() {
			moving[b.names[i]] = variants{answers, all, r.Silent}
		}
	}
	return moving, nil
}

// packChoice packs the further answers of a name that varies by client.
func (s *Snapshot) packChoice(v *view, n name, at *liveNode, m variants) error {
	at.silent = m.silent
	if m.answers == nil || !m.answers.Varies() {
		return nil
	}
	if len(s.choices) == maxChoices {
		return fmt.Errorf("record %s: over %d records vary by client: %w", n, maxChoices,
			proa.ErrInvalidConfig)
	}
	s.choices = append(s.choices, choice{m.answers, uint32(len(s.live))})
	at.choice = uint16(len(s.choices))
	for _, sets := range m.sets {
		overlay(v, n, sets)
		if err := s.packLive(v, n, v.owner(n)); err != nil {
			return err
		}
	}
	overlay(v, n, m.sets[0])
	v.live[n].varies = true
	return nil
}

// maxChoices bounds the records that vary by client.
const maxChoices = 65_000

// reserve makes room for what is packed at each plan, as much as the last one took and some more.
func (b *Base) reserve(s *Snapshot) {
	last := b.last.Load()
	if last == nil {
		return
	}
	s.live = make([]liveNode, 0, len(last.live)+8)
	s.moving = pool{
		bytes:   make([]byte, 0, len(last.moving.bytes)*9/8+1024),
		answers: make([]answer, 0, len(last.moving.answers)+64),
		signed:  make([]answer, 0, len(last.moving.signed)+8),
		fixups:  make([]uint16, 0, len(last.moving.fixups)+64),
	}
}

// freshViews are the zones' views with room for what is live, and signatures ahead for that alone.
func (b *Base) freshViews() []view {
	views := make([]view, len(b.views))
	late := map[uint32]answer{}
	for i, v := range b.views {
		v.late = late
		v.live = make(map[name]*owner, 2*b.perZone[i])
		if v.sign != nil {
			left := maxLiveAhead
			v.sign = &signing{signer: v.sign.signer, left: &left}
		}
		views[i] = v
	}
	return views
}

// maxLiveAhead bounds the sets that one snapshot signs of each zone.
const maxLiveAhead = 20_000

// packLive packs one name's answers into the moving pool.
func (s *Snapshot) packLive(v *view, n name, o *owner) error {
	first := len(s.moving.answers)
	if err := v.packOwner(&s.moving, n, o); err != nil {
		return err
	}
	s.live = append(s.live, liveNode{
		first: uint32(first), count: uint16(len(s.moving.answers) - first),
	})
	return nil
}

// overlay puts sets in the place of the zone's addresses and texts at a name.
func overlay(v *view, n name, sets []rrset) {
	o := &owner{sets: sets}
	if was := v.owner(n); was != nil {
		for _, s := range was.sets {
			if s.kind != mdns.TypeA && s.kind != mdns.TypeAAAA && s.kind != mdns.TypeTXT {
				o.sets = append(o.sets[:len(o.sets):len(o.sets)], s)
			}
		}
	}
	v.live[n] = o
}

// packSOA packs a zone's SOA, with the plan's serial where the zone has live names, and with its
// stamp where it is copied.
func (s *Snapshot) packSOA(v *view, given State) (soaState, error) {
	apex := v.zone.apex
	soa := *v.owner(apex).set(mdns.TypeSOA)
	serial := v.zone.Serial
	stamp := given.Stamps[mdns.CanonicalName(v.zone.Origin)]
	if len(v.live) > 0 || stamp > 0 {
		if len(v.live) > 0 {
			serial += uint32(given.Plan.Version % (math.MaxUint32 + 1))
		}
		serial += stamp
		d := []byte(soa.data[0])
		binary.BigEndian.PutUint32(d[len(d)-20:], serial)
		soa.data = []string{string(d)}
		o := &owner{sets: []rrset{soa}}
		for _, set := range v.owner(apex).sets {
			if set.kind != mdns.TypeSOA {
				o.sets = append(o.sets, set)
			}
		}
		v.live[apex] = o // for aliases that lead to the apex
	}
	state := soaState{serial: serial, apexLen: len(apex)}
	k := newPacker(&s.moving, apex, false)
	k.set("", &soa, soa.ttl)
	state.answer = k.done(answer{kind: mdns.TypeSOA, an: 1, flags: flagAA})
	k = newPacker(&s.moving, apex, true)
	k.frozen = true
	k.set(apex, &soa, negativeTTL(&soa))
	state.denial = k.done(answer{ns: 1, flags: flagAA})
	if v.sign == nil {
		return state, nil
	}
	sigs, err := v.sign.signatures(apex, &soa)
	if err != nil {
		return state, err
	}
	k = newPacker(&s.moving, apex, false)
	k.set("", &soa, soa.ttl)
	state.secure = &secureZone{
		apex: apex, sign: v.sign, soaSigs: sigs.data, negative: negativeTTL(&soa),
		soa: k.done(answer{kind: mdns.TypeSOA, an: 1 + k.set("", sigs, sigs.ttl), flags: flagAA}),
	}
	return state, nil
}

// behind reports whether serial a is before b (RFC 1982).
func behind(a, b uint32) bool { return a != b && int32(b-a) > 0 }
