package dns

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/traffic/dns/dnssec"
	"github.com/proa-cloud/proa/traffic/policy"
)

// Signing says how zones are signed. A zone of which there are keys is; another is not.
type Signing struct {
	// Keys are all zones' keys.
	Keys []dnssec.Key
	// Dir is a folder with more keys, "" for none. A server looks at it twice a minute, so that keys
	// are rolled over by changing files.
	Dir string
	// Ahead is how many sets are signed before they are asked for, at about 30 µs and 150 bytes
	// each. 0 is 50,000; negative signs everything when it is asked for.
	Ahead int
	// LivePerSecond bounds the signatures that queries cause. 0 is 4,000, a tenth of a processor.
	// Over it, answers are truncated over UDP and SERVFAIL over TCP.
	LivePerSecond int
	// Kept is how many answers signed for queries are kept. 0 is 8,192, about 5 MB.
	Kept int
	// Validity is how long signatures hold. 0 is 14 days; they are replaced at three quarters.
	Validity time.Duration
}

const (
	defaultAhead         = 50_000
	defaultLivePerSecond = 4_000
	defaultKept          = 8_192
)

func (s *Signing) complete() error {
	for field, value := range map[*int]int{
		&s.Ahead: defaultAhead, &s.LivePerSecond: defaultLivePerSecond, &s.Kept: defaultKept,
	} {
		if *field == 0 {
			*field = value
		}
	}
	if s.LivePerSecond < 0 || s.Kept < 0 || s.Kept > 1<<24 || s.Validity < 0 {
		return fmt.Errorf("dns: signing: limits must be positive: %w", proa.ErrInvalidConfig)
	}
	return nil
}

// stamp tells whether a folder of keys has changed.
func (s *Signing) stamp() string {
	entries, err := os.ReadDir(s.Dir)
	if s.Dir == "" || err != nil {
		return ""
	}
	var b strings.Builder
	for _, e := range entries {
		if info, err := e.Info(); err == nil && strings.HasSuffix(e.Name(), ".private") {
			fmt.Fprintf(&b, "%s %d %d\n", e.Name(), info.Size(), info.ModTime().UnixNano())
		}
	}
	return b.String()
}

// signing is what signs one zone.
type signing struct {
	signer *dnssec.Signer
	left   *int // sets that may still be signed ahead, of all zones together
}

// ahead reports whether n sets may be signed ahead, and counts them; never for an unsigned zone.
func (s *signing) ahead(n int) bool {
	if s == nil || *s.left < n {
		return false
	}
	*s.left -= n
	return true
}

// signatures returns the RRSIG set over a set.
func (s *signing) signatures(owner name, set *rrset) (*rrset, error) {
	data, err := s.signer.Sign(string(owner), set.kind, set.ttl, set.data)
	if err != nil {
		return nil, err
	}
	return &rrset{kind: mdns.TypeRRSIG, ttl: set.ttl, data: data}, nil
}

// prepareSigning makes the signers of the zones that have keys, and puts the keys into the zones.
func (b *Base) prepareSigning(c Signing, now time.Time) error {
	keys := map[string][]dnssec.Key{}
	for _, k := range c.Keys {
		keys[k.Zone] = append(keys[k.Zone], k)
	}
	for _, z := range b.zones {
		if c.Dir == "" {
			break
		}
		list, err := dnssec.LoadDir(c.Dir, z.Origin)
		if err != nil {
			return err
		}
		zone := mdns.CanonicalName(z.Origin)
		keys[zone] = append(keys[zone], list...)
	}
	left := max(c.Ahead, 0)
	b.signs = make([]*signing, len(b.zones))
	for i, z := range b.zones {
		list := keys[mdns.CanonicalName(z.Origin)]
		if len(list) == 0 {
			continue
		}
		delete(keys, mdns.CanonicalName(z.Origin))
		signer, err := dnssec.NewSigner(z.Origin, list, now, dnssec.Options{
			Validity: c.Validity, Memory: 16_384 + 8*len(b.records),
		})
		if err != nil {
			return err
		}
		if b.zones[i], err = z.withKeys(signer); err != nil {
			return err
		}
		b.signs[i] = &signing{signer: signer, left: &left}
		if b.renew.IsZero() || signer.Renew().Before(b.renew) {
			b.renew = signer.Renew()
		}
	}
	for zone := range keys {
		return fmt.Errorf("dns: key of %s, which is not served: %w", zone, proa.ErrInvalidConfig)
	}
	return nil
}

// withKeys returns a copy of the zone with its keys at the apex. A zone that is signed already is
// refused: its signatures could not be kept up.
func (z *Zone) withKeys(signer *dnssec.Signer) (*Zone, error) {
	for n, o := range z.owners {
		for _, s := range o.sets {
			switch s.kind {
			case mdns.TypeRRSIG, mdns.TypeNSEC, mdns.TypeNSEC3, mdns.TypeNSEC3PARAM:
				return nil, &ZoneError{
					File: z.file, Line: o.pos.line, Column: o.pos.column,
					Reason: fmt.Sprintf("%s has a %s: a zone with keys must come unsigned", n,
						typeText(s.kind)),
				}
			}
		}
	}
	next := *z
	next.owners = maps.Clone(z.owners)
	was := z.owners[z.apex]
	apex := &owner{pos: was.pos, sets: slices.Clone(was.sets)}
	ttl := min(was.set(mdns.TypeSOA).ttl, 3600)
	cds, cdnskey := signer.Sync()
	for _, s := range []rrset{
		{kind: mdns.TypeDNSKEY, ttl: ttl, data: signer.Keys()},
		{kind: mdns.TypeCDS, ttl: ttl, data: cds},
		{kind: mdns.TypeCDNSKEY, ttl: ttl, data: cdnskey},
	} {
		if len(s.data) == 0 {
			continue
		}
		if had := apex.set(s.kind); had != nil { // another signer's keys stay
			s.data = append(s.data, had.data...)
			*had = s
			continue
		}
		apex.sets = append(apex.sets, s)
	}
	next.owners[z.apex] = apex
	return &next, nil
}

// signRegions signs each region's addresses of every record ahead, so that a failover finds the
// signatures made.
func (b *Base) signRegions() error {
	for i, r := range b.records {
		sign := b.signs[b.homes[i]]
		if sign == nil {
			continue
		}
		for _, active := range proa.Regions() {
			for _, down := range []proa.Region{"", active.Other()} {
				if err := b.signPlan(i, r, sign, proa.Plan{Active: active, Down: string(down)}); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (b *Base) signPlan(i int, r Record, sign *signing, plan proa.Plan) error {
	answers, err := r.Policy.Under(policy.Situation{Plan: plan}, b.names[i].String())
	if err != nil {
		return fmt.Errorf("record %s: %w", r.Name, err)
	}
	for _, sets := range r.variants(plan, answers, nil) {
		for _, set := range sets {
			if set.late {
				continue
			}
			if _, err := sign.signatures(b.names[i], &set); err != nil {
				return err
			}
		}
	}
	return nil
}
