package delegation

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/traffic/dns"
	"github.com/proa-cloud/proa/traffic/dns/dnssec"
)

const (
	zoneName = "orders.proa.test."
	own1     = "127.0.81.1"
	own2     = "127.0.81.2"
	parentIP = "127.0.81.3"
)

// freePort is a port that is free on all addresses of the test.
func freePort(t *testing.T) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

func serve(t *testing.T, addr string, keys []dnssec.Key, origin string, records ...string) {
	t.Helper()
	soa := origin + " 3600 IN SOA ns1." + zoneName + " hostmaster." + zoneName + " 7 14400 3600 1209600 60"
	records = append([]string{soa}, records...)
	zone, err := dns.NewZone(origin, records...)
	if err != nil {
		t.Fatal(err)
	}
	s, err := dns.New(dns.Config{
		Listen: []string{addr}, Zones: []*dns.Zone{zone}, Plan: proa.Plan{Version: 7, Active: proa.AWS},
		Signing: dns.Signing{Keys: keys}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Bind(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// ownRecords are what the zone says of itself.
var ownRecords = []string{
	zoneName + " 60 IN NS ns1." + zoneName, zoneName + " 60 IN NS ns2." + zoneName,
	"ns1." + zoneName + " 60 IN A " + own1, "ns2." + zoneName + " 60 IN A " + own2,
}

func TestDelegationIsComparedWithTheZone(t *testing.T) {
	key, err := dnssec.Generate(zoneName, dnssec.Ed25519, true, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	other, err := dnssec.Generate(zoneName, dnssec.Ed25519, true, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	ds := func(k dnssec.Key) string {
		signer, err := dnssec.NewSigner(zoneName, []dnssec.Key{k}, time.Now(), dnssec.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return signer.DS()[0]
	}
	delegation := func(more ...string) []string { return append(more, ownRecords...) }
	for _, c := range []struct {
		name   string
		keys   []dnssec.Key
		parent []string
		dead   string // an own server that is not there
		want   []string
	}{
		{"in order", nil, delegation(), "", nil},
		{"in order, signed", []dnssec.Key{key}, delegation(ds(key)), "", nil},
		{"not delegated", nil, nil, "", []string{"error: orders.proa.test. is not delegated here"}},
		{"delegated further down", nil, []string{"test." + zoneName + " 60 IN NS ns.other.test."}, "", []string{
			"error: orders.proa.test. is not delegated here",
		}},
		{"a server of long ago", nil, delegation(zoneName + " 60 IN NS ns9.other.test."), "", []string{
			"error: delegates to ns9.other.test., which is no name server",
		}},
		{"one server forgotten", nil, []string{ownRecords[0], ownRecords[2]}, "", []string{
			"warning: does not delegate to ns2.", "warning: delegates to one name server only",
		}},
		{"old glue", nil, append(delegation()[:3:3], "ns2."+zoneName+" 60 IN A "+own1), "", []string{
			"error: has glue 127.0.81.1 for ns2.orders.proa.test., the zone says 127.0.81.2",
		}},
		{"a server is dead", nil, delegation(), own2, []string{"error: the parent sends resolvers here, and it does not answer"}},
		{"signed, no DS", []dnssec.Key{key}, delegation(), "", []string{"warning: has no DS, though"}},
		{"DS, not signed", nil, delegation(ds(key)), "", []string{
			"warning: has a DS", "error: has a DS, though the zone is not signed",
		}},
		{"wrong DS", []dnssec.Key{key}, delegation(ds(other)), "", []string{
			"warning: has a DS", "error: has no DS of a key of the zone",
		}},
		{"two DS in a roll-over", []dnssec.Key{key}, delegation(ds(key), ds(other)), "", []string{
			"warning: has a DS (key",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			port := freePort(t)
			at := func(ip string) string { return netip.AddrPortFrom(netip.MustParseAddr(ip), port).String() }
			for _, ip := range []string{own1, own2} {
				if ip != c.dead {
					serve(t, at(ip), c.keys, zoneName, ownRecords...)
				}
			}
			serve(t, at(parentIP), nil, "proa.test.", append([]string{"proa.test. 60 IN NS ns.other.test."}, c.parent...)...)
			report, err := Check(t.Context(), Config{
				Zone: "orders.proa.test", Server: at(own1), Parents: []string{at(parentIP)}, Port: port,
				Timeout: 500 * time.Millisecond, Clock: time.Now,
			})
			if err != nil {
				t.Fatal(err)
			}
			if len(report.Findings) != len(c.want) {
				t.Fatalf("%d findings: %v\nwant %q", len(report.Findings), report.Findings, c.want)
			}
			for i, f := range report.Findings {
				if got := fmt.Sprintf("%s: %s", f.Severity, f.Text); !strings.HasPrefix(got, c.want[i]) {
					t.Errorf("%q\nwant %q", got, c.want[i])
				}
			}
		})
	}
}

func TestMissingGlueIsFound(t *testing.T) {
	own := view{
		ns:        []string{"ns.other.test.", "ns1." + zoneName},
		addresses: map[string][]netip.Addr{"ns1." + zoneName: {netip.MustParseAddr(own1)}},
	}
	got := compare(zoneName, view{server: "parent", ns: own.ns}, own)
	if len(got) != 1 || got[0].String() != "error: parent: has no glue for ns1.orders.proa.test.: nobody can find it" {
		t.Errorf("%v", got)
	}
}

// The resolver of the test knows that test. is the closest zone above, and who serves it.
func TestParentsAreFoundThroughAResolver(t *testing.T) {
	port := freePort(t)
	at := func(ip string) string { return netip.AddrPortFrom(netip.MustParseAddr(ip), port).String() }
	serve(t, at(own1), nil, zoneName, ownRecords...)
	serve(t, at(own2), nil, zoneName, ownRecords...)
	serve(t, at(parentIP), nil, "test.", append([]string{
		"test. 60 IN NS ns.test.", "ns.test. 60 IN A " + parentIP,
	}, ownRecords...)...)
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	resolver := &mdns.Server{PacketConn: pc, Handler: mdns.HandlerFunc(func(w mdns.ResponseWriter, q *mdns.Msg) {
		reply := new(mdns.Msg).SetReply(q)
		var rr mdns.RR
		switch question := q.Question[0]; {
		case question.Name == "test." && question.Qtype == mdns.TypeNS:
			rr, _ = mdns.NewRR("test. 60 IN NS ns.test.")
		case question.Name == "ns.test." && question.Qtype == mdns.TypeA:
			rr, _ = mdns.NewRR("ns.test. 60 IN A " + parentIP)
		}
		if rr != nil && q.RecursionDesired {
			reply.Answer = []mdns.RR{rr}
		}
		_ = w.WriteMsg(reply)
	})}
	go func() { _ = resolver.ActivateAndServe() }()
	t.Cleanup(func() { _ = resolver.Shutdown() })
	c := Config{Zone: zoneName, Server: at(own1), Resolver: pc.LocalAddr().String(), Port: port, Clock: time.Now}
	report, err := Check(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Parents) != 1 || report.Parents[0] != at(parentIP) || report.Errors() != 0 {
		t.Errorf("%+v", report)
	}
	for _, bad := range []Config{
		{Zone: ".", Server: at(own1), Resolver: "x", Clock: time.Now},
		{Zone: zoneName, Server: "host", Resolver: "x", Clock: time.Now},
		{Zone: zoneName, Server: at(own1), Clock: time.Now},
	} {
		if _, err := Check(t.Context(), bad); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}
