package dns

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	mdns "github.com/miekg/dns"

	"github.com/proa-cloud/proa"
)

// richZone has one of everything.
const richZone = `
$ORIGIN example.test.
$TTL 300
@	SOA	ns1 hostmaster 7 3600 600 604800 30
	NS	ns1
	NS	ns2.example.net.
	MX	10 mail
	TXT	"hello" "world"
ns1	A	192.0.2.1
	AAAA	2001:db8::1
mail	A	192.0.2.2
www	CNAME	web
web	A	192.0.2.3
	A	192.0.2.4
chain	CNAME	www
gone	CNAME	nothing.here
out	CNAME	www.example.net.
loop1	CNAME	loop2
loop2	CNAME	loop1
todeleg	CNAME	host.sub
towild	CNAME	any.wild
a.b.c	A	192.0.2.5
*.wild	A	192.0.2.6
	TXT	"wild"
x.wild	TXT	"not wild"
*.cwild	CNAME	web
sub	NS	ns.sub
	NS	ns.other
	DS	12345 13 2 49FD46E6C4B45C55D4AC69CBD3CD34AC1AFE51DE3EB1A0B1C3D0B7E5F3C4D5E6
ns.sub	A	192.0.2.7
other	NS	ns.other
ns.other A	192.0.2.8
old	DNAME	new
host.new A	192.0.2.9
strange	TYPE65280 \# 4 0A000001
srv	SRV	1 2 3 web
https	HTTPS	1 . alpn=h2
big	TXT	"%[1]s" "%[1]s" "%[1]s"
	TXT	"1%[1]s" "%[1]s" "%[1]s"
UPPER	A	192.0.2.10
`

func richSnapshot(t testing.TB) *Snapshot {
	t.Helper()
	text := fmt.Sprintf(richZone, strings.Repeat("x", 250))
	z, err := ParseZone(strings.NewReader(text), "example.test", "rich.zone")
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewSnapshot(z)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// testClient is one whose address is proven: over UDP, it has a cookie.
func testClient(tcp bool) client {
	c := newClient(netip.MustParseAddr("192.0.2.1"), 1_800_000_000, overUDP)
	if tcp {
		c.transport = overTCP
	}
	c.proven = true
	return c
}

// ask packs a query, answers it and unpacks the reply.
func ask(t testing.TB, s *Snapshot, q *mdns.Msg, tcp bool) *mdns.Msg {
	t.Helper()
	msg, err := q.Pack()
	if err != nil {
		t.Fatal(err)
	}
	out, _, _ := s.respond(nil, msg, reply{limit: 1232, client: testClient(tcp), nsid: []byte("n1")})
	res := new(mdns.Msg)
	if err := res.Unpack(out); err != nil {
		t.Fatalf("reply does not unpack: %v\n%x", err, out)
	}
	return res
}

// text renders a reply in one line a record.
func text(m *mdns.Msg) string {
	var b strings.Builder
	b.WriteString(mdns.RcodeToString[m.Rcode])
	for _, f := range []struct {
		name string
		on   bool
	}{{"aa", m.Authoritative}, {"tc", m.Truncated}, {"rd", m.RecursionDesired}, {"ra", m.RecursionAvailable}} {
		if f.on {
			b.WriteString(" " + f.name)
		}
	}
	for _, sec := range []struct {
		name string
		rrs  []mdns.RR
	}{{"answer", m.Answer}, {"authority", m.Ns}, {"additional", m.Extra}} {
		for _, rr := range sec.rrs {
			if rr.Header().Rrtype == mdns.TypeOPT {
				continue
			}
			b.WriteString("\n" + sec.name + " " + strings.ReplaceAll(rr.String(), "\t", " "))
		}
	}
	return b.String()
}

const (
	nodata   = "\nauthority example.test. 30 IN SOA ns1.example.test. hostmaster.example.test. 7 3600 600 604800 30"
	referral = "\nauthority sub.example.test. 300 IN NS ns.sub.example.test." +
		"\nauthority sub.example.test. 300 IN NS ns.other.example.test." +
		"\nadditional ns.sub.example.test. 300 IN A 192.0.2.7" +
		"\nadditional ns.other.example.test. 300 IN A 192.0.2.8"
	aWeb = "\nanswer web.example.test. 300 IN A 192.0.2.3\nanswer web.example.test. 300 IN A 192.0.2.4"
)

func TestAnswersFollowRFC1034(t *testing.T) {
	s := richSnapshot(t)
	const e = ".example.test."
	for _, c := range []struct {
		name, qname, qtype, want string
	}{
		{"positive", "web" + e, "A", "NOERROR aa" + aWeb},
		{"apex MX compresses into the question", "example.test.", "MX", "NOERROR aa\nanswer example.test. 300 IN MX 10 mail" + e},
		{"SOA", "example.test.", "SOA", "NOERROR aa\nanswer example.test. 300 IN SOA ns1.example.test. hostmaster.example.test. 7 3600 600 604800 30"},
		{"no data", "web" + e, "AAAA", "NOERROR aa" + nodata},
		{"no such name", "nope" + e, "A", "NXDOMAIN aa" + nodata},
		{"no such name far below", "a.b.c.d.e.f" + e, "A", "NXDOMAIN aa" + nodata},
		{"empty non-terminal is no data", "b.c" + e, "A", "NOERROR aa" + nodata},
		{"below a leaf is no such name", "x.web" + e, "A", "NXDOMAIN aa" + nodata},
		{"alias", "www" + e, "A", "NOERROR aa\nanswer www.example.test. 300 IN CNAME web.example.test." + aWeb},
		{"alias asked for itself", "www" + e, "CNAME", "NOERROR aa\nanswer www.example.test. 300 IN CNAME web.example.test."},
		{"alias without the type", "www" + e, "AAAA", "NOERROR aa\nanswer www.example.test. 300 IN CNAME web.example.test." + nodata},
		{"chain", "chain" + e, "A", "NOERROR aa\nanswer chain.example.test. 300 IN CNAME www.example.test.\nanswer www.example.test. 300 IN CNAME web.example.test." + aWeb},
		{"alias to nothing", "gone" + e, "A", "NXDOMAIN aa\nanswer gone.example.test. 300 IN CNAME nothing.here.example.test." + nodata},
		{"alias out of the zone", "out" + e, "A", "NOERROR aa\nanswer out.example.test. 300 IN CNAME www.example.net."},
		{"alias into a delegation", "todeleg" + e, "A", "NOERROR aa\nanswer todeleg.example.test. 300 IN CNAME host.sub.example.test." + referral},
		{"alias to a wildcard", "towild" + e, "A", "NOERROR aa\nanswer towild.example.test. 300 IN CNAME any.wild.example.test.\nanswer any.wild.example.test. 300 IN A 192.0.2.6"},
		{"wildcard", "foo.wild" + e, "A", "NOERROR aa\nanswer foo.wild.example.test. 300 IN A 192.0.2.6"},
		{"wildcard covers several labels", "a.b.wild" + e, "TXT", "NOERROR aa\nanswer a.b.wild.example.test. 300 IN TXT \"wild\""},
		{"wildcard without the type", "foo.wild" + e, "MX", "NOERROR aa" + nodata},
		{"wildcard does not cover what exists", "x.wild" + e, "A", "NOERROR aa" + nodata},
		{"wildcard does not cover below what exists", "y.x.wild" + e, "A", "NXDOMAIN aa" + nodata},
		{"wildcard by its own name", "*.wild" + e, "A", "NOERROR aa\nanswer *.wild.example.test. 300 IN A 192.0.2.6"},
		{"wildcard alias", "q.cwild" + e, "A", "NOERROR aa\nanswer q.cwild.example.test. 300 IN CNAME web.example.test." + aWeb},
		{"referral", "host.sub" + e, "A", "NOERROR" + referral},
		{"referral at the delegation", "sub" + e, "NS", "NOERROR" + referral},
		{"referral for glue", "ns.sub" + e, "A", "NOERROR" + referral},
		{"DS at a delegation without one", "other" + e, "DS", "NOERROR aa" + nodata},
		{"DNAME", "host.old" + e, "A", "NOERROR aa\nanswer old.example.test. 300 IN DNAME new.example.test.\nanswer host.old.example.test. 300 IN CNAME host.new.example.test."},
		{"DNAME does not rename its own name", "old" + e, "A", "NOERROR aa" + nodata},
		{"DNAME asked for itself", "old" + e, "DNAME", "NOERROR aa\nanswer old.example.test. 300 IN DNAME new.example.test."},
		{"unknown type", "strange" + e, "TYPE65280", "NOERROR aa\nanswer strange.example.test. 300 CLASS1 TYPE65280 \\# 4 0a000001"},
		{"SRV", "srv" + e, "SRV", "NOERROR aa\nanswer srv.example.test. 300 IN SRV 1 2 3 web.example.test."},
		{"HTTPS", "https" + e, "HTTPS", "NOERROR aa\nanswer https.example.test. 300 IN HTTPS 1 . alpn=\"h2\""},
		{"ANY is minimal", "web" + e, "ANY", "NOERROR aa\nanswer web.example.test. 3600 IN HINFO \"RFC8482\" \"\""},
		{"ANY at an alias gives the alias", "out" + e, "ANY", "NOERROR aa\nanswer out.example.test. 300 IN CNAME www.example.net."},
		{"ANY of nothing", "nope" + e, "ANY", "NXDOMAIN aa" + nodata},
		{"outside", "example.net.", "A", "REFUSED"},
		{"parent of the zone", "test.", "A", "REFUSED"},
		{"root", ".", "NS", "REFUSED"},
		{"AXFR", "example.test.", "AXFR", "REFUSED"},
		{"IXFR", "example.test.", "IXFR", "REFUSED"},
		{"owner in upper case", "upper" + e, "A", "NOERROR aa\nanswer upper.example.test. 300 IN A 192.0.2.10"},
	} {
		t.Run(c.name, func(t *testing.T) {
			kind, ok := mdns.StringToType[c.qtype]
			if !ok {
				kind = 65280
			}
			q := new(mdns.Msg).SetQuestion(c.qname, kind)
			q.RecursionDesired = false
			got := ask(t, s, q, true)
			if diff := cmp.Diff(c.want, text(got)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestQuestionsCaseIsKept(t *testing.T) {
	got := ask(t, richSnapshot(t), new(mdns.Msg).SetQuestion("wWw.ExAmPlE.tEsT.", mdns.TypeA), false)
	if got.Question[0].Name != "wWw.ExAmPlE.tEsT." || got.Answer[0].Header().Name != "wWw.ExAmPlE.tEsT." {
		t.Errorf("question %q, owner %q", got.Question[0].Name, got.Answer[0].Header().Name)
	}
}

func TestLoopOfAliasesEnds(t *testing.T) {
	got := ask(t, richSnapshot(t), new(mdns.Msg).SetQuestion("loop1.example.test.", mdns.TypeA), true)
	if got.Rcode != mdns.RcodeSuccess || len(got.Answer) == 0 || len(got.Answer) > maxChain {
		t.Errorf("rcode %d, %d records", got.Rcode, len(got.Answer))
	}
}

func TestDelegationsDSIsAnsweredByTheParent(t *testing.T) {
	got := ask(t, richSnapshot(t), new(mdns.Msg).SetQuestion("sub.example.test.", mdns.TypeDS), true)
	if len(got.Answer) != 1 || !got.Authoritative {
		t.Errorf("got %s", text(got))
	}
}

func TestChildZoneAnswersForItselfAndTheParentForDS(t *testing.T) {
	parent, err := NewZone("example.test", "example.test. 60 IN SOA a. b. 1 1 1 1 1", "example.test. 60 IN NS a.",
		"kid.example.test. 60 IN NS a.", "kid.example.test. 60 IN DS 1 13 2 00", "stale.kid.example.test. 60 IN A 192.0.2.66")
	if err != nil {
		t.Fatal(err)
	}
	kid, err := NewZone("kid.example.test", "kid.example.test. 60 IN SOA a. b. 1 1 1 1 1", "kid.example.test. 60 IN NS a.",
		"www.kid.example.test. 60 IN A 192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewSnapshot(kid, parent)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, kind, want string }{
		{"www.kid.example.test.", "A", "NOERROR aa\nanswer www.kid.example.test. 60 IN A 192.0.2.1"},
		{"kid.example.test.", "DS", "NOERROR aa\nanswer kid.example.test. 60 IN DS 1 13 2 00"},
		{"kid.example.test.", "NS", "NOERROR aa\nanswer kid.example.test. 60 IN NS a."},
		{"stale.kid.example.test.", "A", "NXDOMAIN aa\nauthority kid.example.test. 1 IN SOA a. b. 1 1 1 1 1"},
		{"www.example.test.", "A", "NXDOMAIN aa\nauthority example.test. 1 IN SOA a. b. 1 1 1 1 1"},
	} {
		q := new(mdns.Msg).SetQuestion(c.name, mdns.StringToType[c.kind])
		q.RecursionDesired = false
		if diff := cmp.Diff(c.want, text(ask(t, s, q, true))); diff != "" {
			t.Errorf("%s %s (-want +got)\n%s", c.name, c.kind, diff)
		}
	}
}

func TestTooLongForUDPIsTruncatedAndWholeOverTCP(t *testing.T) {
	s := richSnapshot(t)
	q := new(mdns.Msg).SetQuestion("big.example.test.", mdns.TypeTXT)
	if got := ask(t, s, q, false); !got.Truncated || len(got.Answer) != 0 {
		t.Errorf("over UDP: %s", text(got))
	}
	if got := ask(t, s, q, true); got.Truncated || len(got.Answer) != 2 {
		t.Errorf("over TCP: %s", text(got))
	}
	q.SetEdns0(4096, false)
	if got := ask(t, s, q, false); !got.Truncated || got.Len() > 1232 {
		t.Errorf("EDNS size is not clamped to 1232: %d bytes, truncated %v", got.Len(), got.Truncated)
	}
}

func TestEDNS(t *testing.T) {
	s := richSnapshot(t)
	query := func(version uint8, do bool, options ...mdns.EDNS0) *mdns.OPT {
		q := new(mdns.Msg).SetQuestion("web.example.test.", mdns.TypeA)
		o := &mdns.OPT{Hdr: mdns.RR_Header{Name: ".", Rrtype: mdns.TypeOPT}, Option: options}
		o.SetUDPSize(100)
		o.SetVersion(version)
		if do {
			o.SetDo()
		}
		q.Extra = append(q.Extra, o)
		res := ask(t, s, q, false)
		if (version == 0) != (len(res.Answer) == 2) {
			t.Errorf("version %d: %d answers", version, len(res.Answer))
		}
		return res.IsEdns0()
	}
	if o := query(0, true); o == nil || o.UDPSize() != 1232 || !o.Do() || o.Version() != 0 || len(o.Option) != 0 {
		t.Errorf("plain: %v", o)
	}
	if o := query(1, false); o == nil || o.ExtendedRcode() != mdns.RcodeBadVers || o.Version() != 0 {
		t.Errorf("version 1: %v, want BADVERS", o)
	}
	if o := query(0, false, &mdns.EDNS0_NSID{Code: mdns.EDNS0NSID}); o == nil || len(o.Option) != 1 ||
		o.Option[0].(*mdns.EDNS0_NSID).Nsid != "6e31" {
		t.Errorf("NSID: %v", o)
	}
	if o := query(0, false, &mdns.EDNS0_LOCAL{Code: 65001, Data: []byte("x")}); o == nil || len(o.Option) != 0 {
		t.Errorf("unknown option: %v, want it ignored", o)
	}
}

func TestMalformedMessagesGetTheFieldsOwnError(t *testing.T) {
	s := richSnapshot(t)
	q := new(mdns.Msg).SetQuestion("web.example.test.", mdns.TypeA)
	q.SetEdns0(1232, false)
	good, err := q.Pack()
	if err != nil {
		t.Fatal(err)
	}
	change := func(f func(b []byte) []byte) []byte { return f(slices.Clone(good)) }
	for _, c := range []struct {
		name string
		msg  []byte
		want int
	}{
		{"good", good, rcodeOK},
		{"empty", nil, rcodeDrop},
		{"short header", good[:11], rcodeDrop},
		{"a response", change(func(b []byte) []byte { b[2] |= 0x80; return b }), rcodeDrop},
		{"no question", change(func(b []byte) []byte { b[5] = 0; return b[:12] }), rcodeFormErr},
		{"two questions", change(func(b []byte) []byte { b[5] = 2; return b }), rcodeFormErr},
		{"cut question", good[:20], rcodeFormErr},
		{"cut OPT", good[:len(good)-1], rcodeFormErr},
		{"compressed question", change(func(b []byte) []byte { b[12] = 0xc0; return b }), rcodeFormErr},
		{"label type 0x40", change(func(b []byte) []byte { b[12] = 0x43; return b }), rcodeFormErr},
		{"an answer in a query", change(func(b []byte) []byte { b[7] = 1; return b }), rcodeFormErr},
		{"two OPT", change(func(b []byte) []byte { b[11] = 2; return append(b, b[len(b)-11:]...) }), rcodeFormErr},
		{"cut option", change(func(b []byte) []byte { b[len(b)-1] = 3; return append(b, 0, 3, 0) }), rcodeFormErr},
		{"status", change(func(b []byte) []byte { b[2] |= 2 << 3; return b }), rcodeNotImp},
		{"opcode 15", change(func(b []byte) []byte { b[2] |= 15 << 3; return b }), rcodeNotImp},
		{"notify", change(func(b []byte) []byte { b[2] |= 4 << 3; return b }), rcodeRefused},
		{"update", change(func(b []byte) []byte { b[2] |= 5 << 3; return b }), rcodeRefused},
		{"class CH", change(func(b []byte) []byte { b[12+18+3] = 3; return b }), rcodeRefused},
		{"class 0", change(func(b []byte) []byte { b[12+18+3] = 0; return b }), rcodeRefused},
	} {
		out, rcode, _ := s.respond(nil, c.msg, reply{limit: 1232})
		if rcode != c.want {
			t.Errorf("%s: rcode %d, want %d", c.name, rcode, c.want)
		}
		if (len(out) == 0) != (c.want == rcodeDrop) {
			t.Errorf("%s: reply of %d bytes", c.name, len(out))
		}
		if len(out) > 0 && new(mdns.Msg).Unpack(out) != nil {
			t.Errorf("%s: the reply does not unpack", c.name)
		}
	}
}

func TestAnyIsSmall(t *testing.T) {
	q := new(mdns.Msg).SetQuestion("web.example.test.", mdns.TypeANY)
	q.SetEdns0(1232, false)
	if got := ask(t, richSnapshot(t), q, false); got.Len() > 90 {
		t.Errorf("%d bytes, want at most 90", got.Len())
	}
}

func TestRespondAllocatesNothing(t *testing.T) {
	z, r, err := DemoZone("orders.proa.test", testRegions[proa.AWS], 2e9, testRegions)
	if err != nil {
		t.Fatal(err)
	}
	base, err := Compile([]*Zone{z}, []Record{r})
	if err != nil {
		t.Fatal(err)
	}
	live, err := base.Snapshot(proa.Plan{Version: 1, Active: proa.AWS})
	if err != nil {
		t.Fatal(err)
	}
	rich := richSnapshot(t)
	dst := make([]byte, 0, 65535)
	for _, c := range []struct {
		s    *Snapshot
		name string
		kind uint16
	}{
		{live, "orders.proa.test.", mdns.TypeA},
		{live, "orders.proa.test.", mdns.TypeAAAA},
		{rich, "www.example.test.", mdns.TypeA},
		{rich, "nope.example.test.", mdns.TypeA},
		{rich, "a.b.wild.example.test.", mdns.TypeA},
		{rich, "x.sub.example.test.", mdns.TypeA},
		{rich, "host.old.example.test.", mdns.TypeA},
		{rich, "example.net.", mdns.TypeA},
	} {
		q := new(mdns.Msg).SetQuestion(c.name, c.kind)
		q.SetEdns0(1232, true)
		msg, err := q.Pack()
		if err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(100, func() { c.s.respond(dst, msg, reply{limit: 1232}) }); n != 0 {
			t.Errorf("%s: %v allocations a query, want 0", c.name, n)
		}
	}
}

func BenchmarkRespond(b *testing.B) {
	s := richSnapshot(b)
	dst := make([]byte, 0, 1232)
	for _, c := range []struct {
		name, qname string
	}{{"positive", "web.example.test."}, {"denied", "nope.example.test."}, {"referral", "x.sub.example.test."}} {
		q := new(mdns.Msg).SetQuestion(c.qname, mdns.TypeA)
		q.SetEdns0(1232, false)
		msg, err := q.Pack()
		if err != nil {
			b.Fatal(err)
		}
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.respond(dst, msg, reply{limit: 1232})
			}
		})
	}
}
