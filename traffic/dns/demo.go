package dns

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/proa-cloud/proa"
)

// DemoZone makes a zone like orders.proa.test: SOA, one NS whose address is the name server's, and
// a record for the origin itself whose addresses and TXT follow the plan. ttl is the record's and
// that of denials.
func DemoZone(origin string, server netip.Addr, ttl time.Duration,
	regions map[proa.Region][]netip.Addr,
) (*Zone, Record, error) {
	n, err := parseName(origin)
	if err != nil {
		return nil, Record{}, err
	}
	origin = n.String()
	kind := "A"
	if server.Is6() && !server.Is4In6() {
		kind = "AAAA"
	}
	s := int(ttl / time.Second)
	z, err := NewZone(origin,
		// The serial is the plan's version: the zone itself stays at 0.
		fmt.Sprintf("%s %d IN SOA ns1.%s hostmaster.%s 0 3600 600 604800 %d", origin, max(s, 60),
			origin, origin, s),
		fmt.Sprintf("%s 3600 IN NS ns1.%s", origin, origin),
		fmt.Sprintf("ns1.%s 3600 IN %s %s", origin, kind, server.Unmap()),
	)
	if err != nil {
		return nil, Record{}, err
	}
	return z, Record{Name: origin, TTL: ttl, Addresses: regions}, nil
}
