package dns

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/proa-cloud/proa"
)

// DemoZone makes a zone like orders.proa.test: SOA, an NS with its address for each name server, and a
// record for the origin itself whose addresses and TXT follow the plan. ttl is the record's and that
// of denials.
func DemoZone(origin string, servers []netip.Addr, ttl time.Duration,
	regions map[proa.Region][]netip.Addr,
) (*Zone, Record, error) {
	n, err := parseName(origin)
	if err != nil {
		return nil, Record{}, err
	}
	origin = n.String()
	s := int(ttl / time.Second)
	// The serial is the plan's version: the zone itself stays at 0. A secondary asks every four hours,
	// should it miss the notification.
	records := []string{fmt.Sprintf("%s %d IN SOA ns1.%s hostmaster.%s 0 14400 3600 1209600 %d",
		origin, max(s, 60), origin, origin, s)}
	for i, server := range servers {
		kind := "A"
		if server.Is6() && !server.Is4In6() {
			kind = "AAAA"
		}
		records = append(records,
			fmt.Sprintf("%s 3600 IN NS ns%d.%s", origin, i+1, origin),
			fmt.Sprintf("ns%d.%s 3600 IN %s %s", i+1, origin, kind, server.Unmap()))
	}
	z, err := NewZone(origin, records...)
	if err != nil {
		return nil, Record{}, err
	}
	return z, Record{Name: origin, TTL: ttl, Addresses: regions}, nil
}
