package delegation

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// compare lists what is wrong with a parent's view of a zone.
func compare(zone string, parent, own view) []Finding {
	if len(parent.ns) == 0 {
		return []Finding{{Error, parent.server, zone + " is not delegated here: it has no NS records"}}
	}
	var list []Finding
	add := func(s Severity, format string, args ...any) {
		list = append(list, Finding{s, parent.server, fmt.Sprintf(format, args...)})
	}
	for _, ns := range parent.ns {
		if !slices.Contains(own.ns, ns) {
			add(Error, "delegates to %s, which is no name server of the zone", ns)
		}
	}
	for _, ns := range own.ns {
		if !slices.Contains(parent.ns, ns) {
			add(Warning, "does not delegate to %s, a name server of the zone", ns)
		}
	}
	if len(parent.ns) < 2 {
		add(Warning, "delegates to one name server only: losing it loses the zone")
	}
	for _, ns := range parent.ns {
		if !dns.IsSubDomain(zone, ns) {
			continue // found by its own zone
		}
		glue, wanted := parent.addresses[ns], own.addresses[ns]
		switch {
		case len(glue) == 0:
			add(Error, "has no glue for %s: nobody can find it", ns)
		case !sameAddresses(glue, wanted) && len(wanted) > 0:
			add(Error, "has glue %s for %s, the zone says %s", addresses(glue), ns, addresses(wanted))
		}
	}
	return append(list, compareKeys(parent, own)...)
}

// compareKeys compares the parent's DS records with the zone's keys (RFC 4035 section 5.2).
func compareKeys(parent, own view) []Finding {
	var list []Finding
	add := func(s Severity, format string, args ...any) {
		list = append(list, Finding{s, parent.server, fmt.Sprintf(format, args...)})
	}
	matches := 0
	for _, ds := range parent.ds {
		if slices.ContainsFunc(own.keys, func(k *dns.DNSKEY) bool { return signs(k, ds) }) {
			matches++
			continue
		}
		add(Warning, "has a DS (key %d, algorithm %d) of no key of the zone: take it out once no cache needs it",
			ds.KeyTag, ds.Algorithm)
	}
	switch {
	case len(parent.ds) == 0 && len(own.keys) > 0:
		add(Warning, "has no DS, though the zone is signed: nobody validates it")
	case len(parent.ds) > 0 && len(own.keys) == 0:
		add(Error, "has a DS, though the zone is not signed: resolvers that validate refuse it")
	case len(parent.ds) > 0 && matches == 0:
		add(Error, "has no DS of a key of the zone: resolvers that validate refuse it")
	}
	return list
}

// signs reports whether the key is the one that the DS names.
func signs(k *dns.DNSKEY, ds *dns.DS) bool {
	its := k.ToDS(ds.DigestType)
	return its != nil && its.KeyTag == ds.KeyTag && its.Algorithm == ds.Algorithm &&
		strings.EqualFold(its.Digest, ds.Digest)
}

func sameAddresses(a, b []netip.Addr) bool { return addresses(a) == addresses(b) }

// addresses renders a set, sorted.
func addresses(list []netip.Addr) string {
	list = slices.Clone(list)
	slices.SortFunc(list, netip.Addr.Compare)
	var parts []string
	for _, a := range slices.Compact(list) {
		parts = append(parts, a.String())
	}
	return strings.Join(parts, ", ")
}
