package dns

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/traffic/dns/dnssec"
)

// BenchmarkApply is how long a plan takes to become a snapshot, by how many names follow it.
func BenchmarkApply(b *testing.B) {
	for _, n := range []int{1, 1000} {
		for _, signed := range []bool{false, true} {
			b.Run(fmt.Sprintf("names=%d,signed=%v", n, signed), func(b *testing.B) {
				base := liveBase(b, n, signed)
				for i := uint64(0); b.Loop(); i++ {
					if _, err := base.Snapshot(proa.Plan{Version: i, Active: proa.Regions()[i%2]}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func TestEveryNameThatFollowsThePlanTellsIt(t *testing.T) {
	for _, signed := range []bool{false, true} {
		s, err := liveBase(t, 20, signed).Snapshot(proa.Plan{Version: 7, Active: proa.Azure, Reason: "drill"})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 20 {
			for _, prefix := range []string{"", "_proa."} {
				name := fmt.Sprintf("%sw%d.gslb.test.", prefix, i)
				res := signedAsk(t, s, name, mdns.TypeTXT)
				if txt, ok := res.Answer[0].(*mdns.TXT); !ok || txt.Hdr.Name != name || txt.Txt[0] != "active=azure" || txt.Txt[1] != "version=7" {
					t.Fatalf("%s: %v", name, res)
				}
				if signed {
					checkSigned(t, name, keysOf(t, s, "gslb.test."), res.Answer, false)
				}
			}
			if res := signedAsk(t, s, fmt.Sprintf("w%d.gslb.test.", i), mdns.TypeA); res.Answer[0].(*mdns.A).A.String() != "192.0.2.1" {
				t.Fatalf("%v", res)
			}
		}
		if res := signedAsk(t, s, "chain.gslb.test.", mdns.TypeA); len(res.Answer) < 2 {
			t.Errorf("%v", res)
		}
	}
}

// liveBase has names of two regions' addresses that follow the plan.
func liveBase(t testing.TB, count int, signed bool) *Base {
	t.Helper()
	z, err := NewZone("gslb.test", "@ 60 SOA ns h 1 1 1 1 30", "@ 60 NS ns", "ns 60 A 192.0.2.1", "chain 60 CNAME w0")
	if err != nil {
		t.Fatal(err)
	}
	c := Source{Zones: []*Zone{z}, Now: signedAt}
	for i := range count {
		r := Record{Name: fmt.Sprintf("w%d.gslb.test", i), TTL: 30 * time.Second, Addresses: map[proa.Region][]netip.Addr{}}
		for k, region := range proa.Regions() {
			r.Addresses[region] = []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, byte(k)})}
		}
		c.Records = append(c.Records, r)
	}
	if signed {
		c.Signing.Keys = []dnssec.Key{testKey(t, "gslb.test.", dnssec.ECDSAP256)}
	}
	base, err := c.Compile()
	if err != nil {
		t.Fatal(err)
	}
	return base
}
