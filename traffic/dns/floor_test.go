package dns

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/proa-cloud/proa/traffic/dns/dnssec"
)

// The protocol floor of the facts file, one test or row for each document that no other test names.

// rawQuery packs a query and lets change its bytes.
func rawQuery(t *testing.T, name string, kind uint16, edns bool, change func([]byte) []byte) []byte {
	t.Helper()
	q := new(mdns.Msg).SetQuestion(name, kind)
	q.RecursionDesired = false
	if edns {
		q.SetEdns0(1232, false)
	}
	msg, err := q.Pack()
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		msg = change(msg)
	}
	return msg
}

func TestServerCommunicatesAsRFC8906Asks(t *testing.T) {
	s := richSnapshot(t)
	const apex = "example.test."
	bit := func(at int, b byte) func([]byte) []byte {
		return func(m []byte) []byte { m[at] |= b; return m }
	}
	option := func(code uint16) func([]byte) []byte { // the OPT record is at the end
		return func(m []byte) []byte {
			binary.BigEndian.PutUint16(m[len(m)-2:], 4)
			return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(m, code), 0)
		}
	}
	for _, c := range []struct {
		name   string
		kind   uint16
		edns   bool
		change func([]byte) []byte
		rcode  int
		answer int
	}{
		{"8.1.1 is the server configured for the zone", mdns.TypeSOA, false, nil, 0, 1},
		{"8.1.2 unknown types", 1000, false, nil, 0, 0},
		{"8.1.3.1 CD is ignored", mdns.TypeSOA, false, bit(3, 0x10), 0, 1},
		{"8.1.3.1 AD is ignored", mdns.TypeSOA, false, bit(3, 0x20), 0, 1},
		{"8.1.3.2 the reserved bit is ignored", mdns.TypeSOA, false, bit(3, 0x40), 0, 1},
		{"8.1.3.3 recursive query", mdns.TypeSOA, false, bit(2, 0x01), 0, 1},
		{"8.1.4 unknown opcode", mdns.TypeSOA, false, bit(2, 15<<3), rcodeNotImp, 0},
		{"8.2.1 minimal EDNS", mdns.TypeSOA, true, nil, 0, 1},
		{"8.2.2 EDNS version", mdns.TypeSOA, true, func(m []byte) []byte { m[len(m)-5] = 1; return m }, rcodeBadVers, 0},
		{"8.2.3 unknown EDNS option", mdns.TypeSOA, true, option(100), 0, 1},
		{"8.2.4 unknown EDNS flags", mdns.TypeSOA, true, func(m []byte) []byte { m[len(m)-3] |= 0x40; return m }, 0, 1},
		{"8.2.5 EDNS version and unknown flags", mdns.TypeSOA, true, func(m []byte) []byte { m[len(m)-5], m[len(m)-3] = 1, 0x40; return m }, rcodeBadVers, 0},
		{"8.2.6 EDNS version and unknown option", mdns.TypeSOA, true, func(m []byte) []byte { m[len(m)-5] = 1; return option(100)(m) }, rcodeBadVers, 0},
		{"8.2.9 DO", mdns.TypeSOA, true, func(m []byte) []byte { m[len(m)-4] |= 0x80; return m }, 0, 1},
	} {
		for _, tcp := range []bool{false, true} {
			msg := rawQuery(t, apex, c.kind, c.edns, c.change)
			out, rcode, _ := s.respond(nil, msg, reply{limit: 1232, client: testClient(tcp)})
			res := new(mdns.Msg)
			if err := res.Unpack(out); err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			if rcode != c.rcode || len(res.Answer) != c.answer {
				t.Errorf("%s, TCP %v: rcode %d with %d answers, want %d with %d", c.name, tcp, rcode, len(res.Answer), c.rcode, c.answer)
			}
			if res.Zero || res.AuthenticatedData || res.CheckingDisabled || res.RecursionAvailable || !res.Response {
				t.Errorf("%s: flags that an authoritative answer does not have: %v", c.name, res.MsgHdr)
			}
			if o := res.IsEdns0(); c.edns != (o != nil) && c.rcode != rcodeNotImp {
				t.Errorf("%s: OPT in the reply %v, in the query %v", c.name, o != nil, c.edns)
			} else if o != nil && (o.Version() != 0 || o.Hdr.Ttl&0x7fff != 0 || len(o.Option) != 0) {
				t.Errorf("%s: OPT %v", c.name, o)
			}
		}
	}
}

func TestEDNSSizesAreTakenAsRFC6891AndRFC9715Say(t *testing.T) {
	s := richSnapshot(t)
	for _, c := range []struct {
		asked uint16
		proof bool
		limit int
	}{{0, true, 512}, {511, true, 512}, {600, true, 600}, {1232, true, 1232}, {4096, true, 1232}, {65535, true, 1232}, {4096, false, 512}} {
		q := new(mdns.Msg).SetQuestion("big.example.test.", mdns.TypeTXT)
		q.SetEdns0(c.asked, false)
		msg, err := q.Pack()
		if err != nil {
			t.Fatal(err)
		}
		from := testClient(false)
		from.proven = c.proof
		r := reply{limit: 1232, client: from}
		var parsed query
		parsed.parse(msg)
		if got := r.messageLimit(&parsed); got != c.limit {
			t.Errorf("size %d, proven %v: limit %d, want %d", c.asked, c.proof, got, c.limit)
		}
		out, _, _ := s.respond(nil, msg, r)
		if len(out) > c.limit || out[2]&2 == 0 {
			t.Errorf("size %d: %d bytes, truncated %v", c.asked, len(out), out[2]&2 != 0)
		}
	}
}

func TestNegativeAnswersCarryTheSOAWithTheLowerTTL(t *testing.T) { // RFC 2308 sections 3 and 5
	for _, c := range []struct{ ttl, minimum, want uint32 }{{300, 30, 30}, {20, 300, 20}} {
		z, err := NewZone("example.test", fmt.Sprintf("@ %d SOA ns h 1 1 1 1 %d", c.ttl, c.minimum), "@ 60 NS ns", "ns 60 A 192.0.2.1")
		if err != nil {
			t.Fatal(err)
		}
		s, err := NewSnapshot(z)
		if err != nil {
			t.Fatal(err)
		}
		for name, rcode := range map[string]int{"nope.example.test.": mdns.RcodeNameError, "ns.example.test.": mdns.RcodeSuccess} {
			res := ask(t, s, new(mdns.Msg).SetQuestion(name, mdns.TypeMX), true)
			if len(res.Ns) != 1 || res.Ns[0].Header().Ttl != c.want || res.Rcode != rcode {
				t.Errorf("%s: %v", name, res)
			}
		}
		res := ask(t, s, new(mdns.Msg).SetQuestion("example.test.", mdns.TypeSOA), true)
		if res.Answer[0].Header().Ttl != c.ttl {
			t.Errorf("the SOA itself: %v", res)
		}
	}
}

func TestNothingIsBelowANameThatDoesNotExist(t *testing.T) { // RFC 8020
	s := richSnapshot(t)
	for _, name := range []string{"nope.example.test.", "x.nope.example.test.", "x.y.nope.example.test."} {
		if res := ask(t, s, new(mdns.Msg).SetQuestion(name, mdns.TypeA), true); res.Rcode != mdns.RcodeNameError {
			t.Errorf("%s: %s", name, mdns.RcodeToString[res.Rcode])
		}
	}
	for _, name := range []string{"c.example.test.", "b.c.example.test."} { // above a name that does
		if res := ask(t, s, new(mdns.Msg).SetQuestion(name, mdns.TypeA), true); res.Rcode != mdns.RcodeSuccess {
			t.Errorf("%s: %s", name, mdns.RcodeToString[res.Rcode])
		}
	}
}

func TestReferralsHaveTheirGlueOrAreTruncated(t *testing.T) { // RFC 9471
	records := []string{"@ 60 SOA ns h 1 1 1 1 1", "@ 60 NS ns", "ns 60 A 192.0.2.1"}
	for i := range 13 {
		records = append(records, fmt.Sprintf("sub 60 NS a-rather-long-name-of-a-server-%d.sub", i),
			fmt.Sprintf("a-rather-long-name-of-a-server-%d.sub 60 A 192.0.2.%d", i, i),
			fmt.Sprintf("a-rather-long-name-of-a-server-%d.sub 60 AAAA 2001:db8::%d", i, i))
	}
	z, err := NewZone("example.test", records...)
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewSnapshot(z)
	if err != nil {
		t.Fatal(err)
	}
	q := new(mdns.Msg).SetQuestion("x.sub.example.test.", mdns.TypeA)
	if res := ask(t, s, q, false); !res.Truncated {
		t.Errorf("over UDP, in 512 bytes: %d servers, %d addresses, not truncated", len(res.Ns), len(res.Extra))
	}
	if res := ask(t, s, q, true); res.Truncated || len(res.Ns) != 13 || len(res.Extra) != 26 {
		t.Errorf("over TCP: %d servers, %d addresses", len(res.Ns), len(res.Extra))
	}
}

func TestSetsAreWholeOrAbsent(t *testing.T) { // RFC 2181 section 9
	s := richSnapshot(t)
	res := ask(t, s, new(mdns.Msg).SetQuestion("big.example.test.", mdns.TypeTXT), false)
	if !res.Truncated || len(res.Answer) != 0 {
		t.Errorf("%d records of a set in a truncated message", len(res.Answer))
	}
}

func TestServiceBindingsAreServedAsTheyAre(t *testing.T) { // RFC 9460
	z, err := NewZone("example.test", "@ 60 SOA ns h 1 1 1 1 1", "@ 60 NS ns", "ns 60 A 192.0.2.1",
		"@ 60 HTTPS 1 aws.example.net. alpn=h2,h3 ipv4hint=192.0.2.1", "@ 60 HTTPS 2 azure.example.net. alpn=h2",
		"alias 60 HTTPS 0 www.example.net.", "_8443._foo 60 SVCB 1 . port=8443 key65333=x", "_dns 60 SVCB 1 ns alpn=dot dohpath=/dns-query{?dns}")
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewSnapshot(z)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]string{
		"example.test.":            {`1 aws.example.net. alpn="h2,h3" ipv4hint="192.0.2.1"`, `2 azure.example.net. alpn="h2"`},
		"alias.example.test.":      {"0 www.example.net."},
		"_8443._foo.example.test.": {`1 . port="8443" key65333="x"`},
		"_dns.example.test.":       {`1 ns.example.test. alpn="dot" dohpath="/dns-query{?dns}"`},
	} {
		kind := mdns.TypeHTTPS
		if strings.HasPrefix(name, "_") {
			kind = mdns.TypeSVCB
		}
		var got []string
		for _, rr := range ask(t, s, new(mdns.Msg).SetQuestion(name, kind), true).Answer {
			fields := strings.SplitN(rr.String(), "\t", 5)
			got = append(got, fields[4])
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestUnknownTypesAreCarriedAsRFC3597Says(t *testing.T) {
	z, err := NewZone("example.test", "@ 60 SOA ns h 1 1 1 1 1", "@ 60 NS ns", "ns 60 A 192.0.2.1",
		"x 60 TYPE65534 \\# 8 03777777 00FF0102", "y 60 TYPE1 \\# 4 C0000209", "e 60 TYPE65533 \\# 0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewSnapshot(z)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		kind uint16
		want string
	}{{"x", 65534, "0377777700FF0102"}, {"y", mdns.TypeA, "C0000209"}, {"e", 65533, ""}} {
		msg := rawQuery(t, c.name+".example.test.", c.kind, false, nil)
		out, _, _ := s.respond(nil, msg, reply{client: testClient(true)})
		data := fmt.Sprintf("%X", out[len(out)-len(c.want)/2:])
		if out[7] != 1 || data != c.want {
			t.Errorf("%s: %d answers, RDATA %s, want %s", c.name, out[7], data, c.want)
		}
	}
}

func TestTransfersAndNotificationsAreRefusedUnlessConfigured(t *testing.T) { // RFC 5936, 1995, 1996, 8945
	_, addr := serve(t, demoConfig(t))
	for _, network := range []string{"udp", "tcp"} {
		for _, change := range []func(*mdns.Msg){
			func(m *mdns.Msg) { m.SetAxfr("orders.proa.test.") },
			func(m *mdns.Msg) { m.SetIxfr("orders.proa.test.", 1, ".", ".") },
			func(m *mdns.Msg) { m.SetNotify("orders.proa.test.") },
			func(m *mdns.Msg) { m.SetUpdate("orders.proa.test.") },
			func(m *mdns.Msg) {
				m.SetAxfr("orders.proa.test.")
				m.SetTsig("copy.key.", mdns.HmacSHA256, 300, time.Now().Unix())
			},
		} {
			m := new(mdns.Msg)
			change(m)
			c := mdns.Client{Net: network, TsigSecret: map[string]string{"copy.key.": transferSecret}}
			res, _, err := c.Exchange(m, addr)
			if res == nil {
				t.Fatal(err)
			}
			if res.Rcode != mdns.RcodeRefused || len(res.Answer) != 0 {
				t.Errorf("%s %s: %v", network, m.Question[0].String(), res)
			}
		}
	}
}

func TestTCPKeepsToRFC7766(t *testing.T) {
	_, addr := serve(t, demoConfig(t))
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	q := new(mdns.Msg).SetQuestion("orders.proa.test.", mdns.TypeA)
	msg, err := q.Pack()
	if err != nil {
		t.Fatal(err)
	}
	framed := append(binary.BigEndian.AppendUint16(nil, uint16(len(msg))), msg...)
	for _, b := range framed { // a byte a segment
		if _, err := conn.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	dc := &mdns.Conn{Conn: conn}
	if res, err := dc.ReadMsg(); err != nil || len(res.Answer) != 1 {
		t.Fatalf("%v, %v", res, err)
	}
	if err := dc.WriteMsg(q); err != nil { // and the connection stays
		t.Fatal(err)
	}
	if res, err := dc.ReadMsg(); err != nil || len(res.Answer) != 1 {
		t.Fatalf("%v, %v", res, err)
	}
}

func TestIterationsAreNone(t *testing.T) { // RFC 9276: no NSEC3, whose iterations cost others
	s := signedRich(t, dnssec.ECDSAP256, 100)
	for _, kind := range []uint16{mdns.TypeNSEC3PARAM, mdns.TypeA} {
		for _, rr := range signedAsk(t, s, "nope.example.test.", kind).Ns {
			if rr.Header().Rrtype == mdns.TypeNSEC3 {
				t.Errorf("%v", rr)
			}
		}
	}
}

func TestSignedDenialsFitUnprovenClients(t *testing.T) {
	s := signedRich(t, dnssec.ECDSAP256, 100)
	for _, name := range []string{"example.test.", "web.example.test.", "nope.example.test.", "www.example.test.", "x.sub.example.test."} {
		q := new(mdns.Msg).SetQuestion(name, mdns.TypeA)
		q.SetEdns0(1232, true)
		msg, err := q.Pack()
		if err != nil {
			t.Fatal(err)
		}
		out, _, _ := s.respond(nil, msg, reply{limit: 1232, client: newClient(netip.MustParseAddr("192.0.2.1"), 1, overUDP)})
		if len(out) > 512 || out[2]&2 != 0 {
			t.Errorf("%s: %d bytes, truncated %v", name, len(out), out[2]&2 != 0)
		}
	}
}
