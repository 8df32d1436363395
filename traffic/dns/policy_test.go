package dns

import (
	"net/netip"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/traffic/dns/dnssec"
	"github.com/proa-cloud/proa/traffic/policy"
)

// byNetwork sends 10/8 to azure, 2001:db8::/32 to aws, and three of four others to aws.
func byNetwork(t testing.TB) *policy.Policy {
	t.Helper()
	at := func(name string) policy.Node { return policy.Node{Endpoint: name} }
	p, err := policy.Compile(policy.Config{
		Root: policy.Node{Match: &policy.Match{
			Kind: "subnet", Branches: []policy.Branch{
				{Name: "ten", Node: at("azure")}, {Name: "six", Node: at("aws")},
			},
			Entries: []policy.Entry{
				{Network: netip.MustParsePrefix("10.0.0.0/8"), Class: 1},
				{Network: netip.MustParsePrefix("2001:db8::/32"), Class: 2},
			},
			Default: &policy.Node{Weighted: &policy.Weighted{
				Branches: []policy.Share{
					{Weight: 3, Node: at("aws")}, {Weight: 1, Node: at("azure")},
				},
			}},
		}},
		Endpoints: []policy.Endpoint{
			{Name: "aws", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, Region: proa.AWS},
			{Name: "azure", Addresses: []netip.Addr{netip.MustParseAddr("198.51.100.1")}, Region: proa.Azure},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func policyBase(t testing.TB, signing Signing) *Base {
	t.Helper()
	z, err := NewZone("proa.test.",
		"proa.test. 60 IN SOA ns1.proa.test. hostmaster.proa.test. 1 14400 3600 1209600 60",
		"proa.test. 60 IN NS ns1.proa.test.", "ns1.proa.test. 60 IN A 192.0.2.53",
		"www.proa.test. 60 IN CNAME api.proa.test.")
	if err != nil {
		t.Fatal(err)
	}
	b, err := Source{Zones: []*Zone{z}, Signing: signing, Now: signedAt, Records: []Record{{
		Name: "api.proa.test.", TTL: 20 * time.Second, Policy: byNetwork(t), Silent: true,
	}}}.Compile()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// askFrom asks for api's address on behalf of a network and returns address and scope.
func askFrom(t testing.TB, s *Snapshot, network string, do bool) (*mdns.Msg, string, uint8) {
	t.Helper()
	p := netip.MustParsePrefix(network)
	q := new(mdns.Msg).SetQuestion("api.proa.test.", mdns.TypeA)
	q.SetEdns0(1232, do)
	family := uint16(1)
	if p.Addr().Is6() {
		family = 2
	}
	q.IsEdns0().Option = append(q.IsEdns0().Option, &mdns.EDNS0_SUBNET{
		Code: mdns.EDNS0SUBNET, Family: family, SourceNetmask: uint8(p.Bits()),
		Address: p.Addr().AsSlice(),
	})
	m := ask(t, s, q, true)
	address, scope := "", uint8(255)
	for _, rr := range m.Answer {
		if a, ok := rr.(*mdns.A); ok {
			address = a.A.String()
		}
	}
	for _, o := range m.IsEdns0().Option {
		if e, ok := o.(*mdns.EDNS0_SUBNET); ok {
			scope = e.SourceScope
		}
	}
	return m, address, scope
}

func TestPolicyAnswersByTheClientsNetworkWithItsScope(t *testing.T) {
	b := policyBase(t, Signing{})
	s, err := b.Snapshot(proa.Plan{Version: 1, Active: proa.AWS})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		network, address string
		scope            uint8
	}{
		{"10.1.2.0/24", "198.51.100.1", 8}, {"2001:db8:7::/48", "192.0.2.1", 32}, {"10.0.0.0/8", "198.51.100.1", 8},
	} {
		if _, a, scope := askFrom(t, s, c.network, false); a != c.address || scope != c.scope {
			t.Errorf("%s: %s, scope %d, want %s, %d", c.network, a, scope, c.address, c.scope)
		}
	}
	seen := map[string]int{}
	for i := range 64 {
		_, a, scope := askFrom(t, s, netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 16, byte(i), 0}), 24).String(), false)
		seen[a]++
		if scope != 24 {
			t.Fatalf("scope %d of a choice by /24", scope)
		}
	}
	if seen["192.0.2.1"] < 36 || seen["198.51.100.1"] < 6 {
		t.Errorf("three of four: %v", seen)
	}
	if _, a, scope := askFrom(t, s, "0.0.0.0/0", false); a == "" || scope != 0 {
		t.Errorf("a resolver that does not tell: %q, scope %d", a, scope)
	}
	if s, err = b.Snapshot(proa.Plan{Version: 2, Active: proa.AWS, Down: "azure"}); err != nil {
		t.Fatal(err)
	}
	if _, a, _ := askFrom(t, s, "172.16.0.0/24", false); a != "192.0.2.1" {
		t.Errorf("with azure down: %s", a)
	}
}

func TestAnAliasOfAVaryingNameIsFollowedByTheResolver(t *testing.T) {
	s, err := policyBase(t, Signing{}).Snapshot(proa.Plan{Version: 1, Active: proa.AWS})
	if err != nil {
		t.Fatal(err)
	}
	m := ask(t, s, new(mdns.Msg).SetQuestion("www.proa.test.", mdns.TypeA), false)
	if len(m.Answer) != 1 || m.Answer[0].Header().Rrtype != mdns.TypeCNAME {
		t.Errorf("%v", m)
	}
}

func TestDrainShortensTTLs(t *testing.T) {
	s, err := policyBase(t, Signing{}).Snapshot(proa.Plan{Version: 1, Active: proa.AWS, Drain: true})
	if err != nil {
		t.Fatal(err)
	}
	if m, _, _ := askFrom(t, s, "10.0.0.0/8", false); m.Answer[0].Header().Ttl != drainTTL {
		t.Errorf("%v", m.Answer)
	}
}

func TestASilentRecordIsNotAnsweredInIsolation(t *testing.T) {
	b := policyBase(t, Signing{})
	s, err := b.With(State{Plan: proa.Plan{Version: 1, Active: proa.AWS}, Isolated: true})
	if err != nil {
		t.Fatal(err)
	}
	for name, silent := range map[string]bool{"api.proa.test.": true, "ns1.proa.test.": false} {
		msg, err := new(mdns.Msg).SetQuestion(name, mdns.TypeA).Pack()
		if err != nil {
			t.Fatal(err)
		}
		out, _, _ := s.respond(nil, msg, reply{limit: 1232})
		if (len(out) == 0) != silent {
			t.Errorf("%s: %d bytes", name, len(out))
		}
	}
}

func TestEachVariantHasItsOwnSignature(t *testing.T) {
	for _, ahead := range []int{0, 1} { // signed ahead; signed for each query
		key := testKey(t, "proa.test.", mdns.ED25519)
		b := policyBase(t, Signing{Keys: []dnssec.Key{key}, Ahead: ahead})
		s, err := b.Snapshot(proa.Plan{Version: 1, Active: proa.AWS})
		if err != nil {
			t.Fatal(err)
		}
		keys := keysOf(t, s, "proa.test.")
		for network, want := range map[string]string{
			"10.0.0.0/8": "198.51.100.1", "2001:db8::/32": "192.0.2.1",
		} {
			m, a, _ := askFrom(t, s, network, true)
			if a != want {
				t.Errorf("%s: %s, want %s", network, a, want)
			}
			checkSigned(t, network, keys, m.Answer, false)
		}
	}
}

func TestAVaryingAnswerAllocatesNothing(t *testing.T) {
	s, err := policyBase(t, Signing{}).Snapshot(proa.Plan{Version: 1, Active: proa.AWS})
	if err != nil {
		t.Fatal(err)
	}
	q := new(mdns.Msg).SetQuestion("api.proa.test.", mdns.TypeA)
	q.SetEdns0(1232, false)
	msg, err := q.Pack()
	if err != nil {
		t.Fatal(err)
	}
	dst := make([]byte, 0, 4096)
	from := client{addr: netip.MustParseAddr("172.16.1.1")}
	if n := testing.AllocsPerRun(100, func() {
		s.respond(dst, msg, reply{limit: 1232, client: from})
	}); n != 0 {
		t.Errorf("%v allocations a query", n)
	}
}

func BenchmarkPolicy(b *testing.B) {
	s, err := policyBase(b, Signing{}).Snapshot(proa.Plan{Version: 1, Active: proa.AWS})
	if err != nil {
		b.Fatal(err)
	}
	dst := make([]byte, 0, 4096)
	from := client{addr: netip.MustParseAddr("172.16.1.1")}
	for _, name := range []string{"ns1.proa.test.", "api.proa.test."} {
		msg, err := new(mdns.Msg).SetQuestion(name, mdns.TypeA).Pack()
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.respond(dst, msg, reply{limit: 1232, client: from})
			}
		})
	}
}

// TestWhenAllIsDown: closed is NODATA with a short time in caches and never SERVFAIL, which resolvers keep too (RFC 9520).
func TestWhenAllIsDown(t *testing.T) {
	z, err := NewZone("proa.test.",
		"proa.test. 60 IN SOA ns1.proa.test. hostmaster.proa.test. 1 14400 3600 1209600 2",
		"proa.test. 60 IN NS ns1.proa.test.", "ns1.proa.test. 60 IN A 192.0.2.53")
	if err != nil {
		t.Fatal(err)
	}
	sorry := netip.MustParseAddr("203.0.113.1")
	for how, want := range map[policy.WhenDown]string{
		policy.Open: "192.0.2.1", policy.Closed: "", policy.Fixed: sorry.String(),
	} {
		c := policy.Config{
			Root: policy.Node{Failover: []policy.Node{{Endpoint: "aws"}, {Endpoint: "azure"}}}, WhenDown: how,
			Endpoints: []policy.Endpoint{
				{Name: "aws", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, Region: proa.AWS},
				{Name: "azure", Addresses: []netip.Addr{netip.MustParseAddr("198.51.100.1")}, Region: proa.Azure},
			},
		}
		if how == policy.Fixed {
			c.Fixed = []netip.Addr{sorry}
		}
		p, err := policy.Compile(c)
		if err != nil {
			t.Fatal(err)
		}
		b, err := Source{Zones: []*Zone{z}, Records: []Record{{Name: "api.proa.test.", TTL: 20 * time.Second, Policy: p}}}.Compile()
		if err != nil {
			t.Fatal(err)
		}
		s, err := b.Snapshot(proa.Plan{Version: 2, Active: proa.AWS, Down: "aws,azure"})
		if err != nil {
			t.Fatal(err)
		}
		reply, a, _ := askFrom(t, s, "0.0.0.0/0", false)
		if reply.Rcode != mdns.RcodeSuccess || a != want {
			t.Errorf("%s: %s, %q, want %q", how, mdns.RcodeToString[reply.Rcode], a, want)
		}
		if how != policy.Closed {
			continue
		}
		if len(reply.Ns) != 1 || reply.Ns[0].Header().Rrtype != mdns.TypeSOA || reply.Ns[0].Header().Ttl > 2 {
			t.Errorf("closed: %v", reply.Ns)
		}
	}
}
