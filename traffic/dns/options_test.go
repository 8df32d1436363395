package dns

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/proa-cloud/proa"
)

func TestSipHashAgreesWithItsAuthorsVectors(t *testing.T) {
	var key [16]byte
	var msg []byte
	for i := range key {
		key[i] = byte(i)
	}
	for i, want := range []uint64{0x726fdb47dd0e0e31, 0x74f839c593dc67fd, 0x0d6c8009d9a94f5a} {
		if got := sipHash(&key, msg); got != want {
			t.Errorf("%d bytes: %x, want %x", i, got, want)
		}
		msg = append(msg, byte(i))
	}
	if got := sipHash(&key, key[:15]); got != 0xa129ca6149be45e5 {
		t.Errorf("15 bytes: %x", got)
	}
}

func TestServerCookiesAgreeWithRFC9018(t *testing.T) {
	const old, young = "dd3bdf9344b678b185a6f5cb60fca715", "445536bcd2513298075a5d379663c962"
	for _, c := range []struct {
		name, secret, client, addr, cookie string
		now                                uint32
	}{
		{"A.1", "e5e973e5a6b2a43f48e7dc849e37bfcf", "2464c4abcf10c957", "198.51.100.100", "010000005cf79f111f8130c3eee29480", 1559731985},
		{"A.2", "e5e973e5a6b2a43f48e7dc849e37bfcf", "2464c4abcf10c957", "198.51.100.100", "010000005cf7a871d4a564a1442aca77", 1559734385},
		{"A.4 IPv6, former secret", old, "22681ab97d52c298", "2001:db8:220:1:59de:d0f4:8769:82b8", "010000005cf7c57926556bd0934c72f8", 1559741817},
		{"A.4 IPv6, present secret", young, "22681ab97d52c298", "2001:db8:220:1:59de:d0f4:8769:82b8", "010000005cf7c609a6bb79d16625507a", 1559741961},
	} {
		t.Run(c.name, func(t *testing.T) {
			made, err := newCookies([]proa.Secret{proa.NewSecret(c.secret)})
			if err != nil {
				t.Fatal(err)
			}
			client, err := hex.DecodeString(c.client)
			if err != nil {
				t.Fatal(err)
			}
			got := made.make((*[8]byte)(client), netip.MustParseAddr(c.addr), c.now)
			if text := hex.EncodeToString(got[:]); text != c.cookie {
				t.Errorf("got %s, want %s", text, c.cookie)
			}
		})
	}
}

// optionAsk answers a query for web.example.test with options, as the client, and returns the reply.
func optionAsk(t *testing.T, r reply, options ...mdns.EDNS0) *mdns.Msg {
	t.Helper()
	q := new(mdns.Msg).SetQuestion("web.example.test.", mdns.TypeA)
	q.SetEdns0(4096, false)
	q.IsEdns0().Option = options
	msg, err := q.Pack()
	if err != nil {
		t.Fatal(err)
	}
	r.limit = 1232
	out, _, _ := richSnapshot(t).respond(nil, msg, r)
	res := new(mdns.Msg)
	if err := res.Unpack(out); err != nil {
		t.Fatalf("%v: %x", err, out)
	}
	return res
}

func cookieOf(m *mdns.Msg) string {
	if o := m.IsEdns0(); o != nil {
		for _, e := range o.Option {
			if c, ok := e.(*mdns.EDNS0_COOKIE); ok {
				return c.Cookie
			}
		}
	}
	return ""
}

func TestCookies(t *testing.T) {
	made, err := newCookies([]proa.Secret{
		proa.NewSecret("000102030405060708090a0b0c0d0e0f"), proa.NewSecret("ff0102030405060708090a0b0c0d0e0f"),
	})
	if err != nil {
		t.Fatal(err)
	}
	former := &cookies{secrets: made.secrets[1:]}
	addr, other := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	const clientHex, now = "0102030405060708", uint32(1_800_000_000)
	client := [8]byte{1, 2, 3, 4, 5, 6, 7, 8}
	cookieFor := func(c *cookies, a netip.Addr, at uint32) string {
		b := c.make(&client, a, at)
		return clientHex + hex.EncodeToString(b[:])
	}
	fresh := cookieFor(made, addr, now)
	for _, c := range []struct {
		name, sent, want string
		proven           bool
	}{
		{"none is asked for, none is given", "", "", false},
		{"client cookie alone gets one", clientHex, fresh, false},
		{"young cookie is given back as it is", cookieFor(made, addr, now-1000), cookieFor(made, addr, now-1000), true},
		{"old cookie is renewed", cookieFor(made, addr, now-2000), fresh, true},
		{"expired cookie proves nothing", cookieFor(made, addr, now-3601), fresh, false},
		{"cookie from too far ahead proves nothing", cookieFor(made, addr, now+301), fresh, false},
		{"cookie of another address proves nothing", cookieFor(made, other, now), fresh, false},
		{"cookie by the former secret is accepted", cookieFor(former, addr, now-10), cookieFor(former, addr, now-10), true},
		{"cookie of another length is ignored", clientHex + "0102030405060708", fresh, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var options []mdns.EDNS0
			if c.sent != "" {
				options = append(options, &mdns.EDNS0_COOKIE{Code: mdns.EDNS0COOKIE, Cookie: c.sent})
			}
			r := reply{cookies: made, client: newClient(addr, now, overUDP)}
			if got := cookieOf(optionAsk(t, r, options...)); got != c.want {
				t.Errorf("cookie %q, want %q", got, c.want)
			}
			o := options2(t, c.sent)
			if _, proven := made.check(&o, addr, now); proven != c.proven {
				t.Errorf("proven %v, want %v", proven, c.proven)
			}
		})
	}
	for _, bad := range []string{"010203", clientHex + "01", clientHex + strings.Repeat("00", 33)} {
		if res := optionAsk(t, reply{cookies: made}, &mdns.EDNS0_COOKIE{Code: mdns.EDNS0COOKIE, Cookie: bad}); res.Rcode != mdns.RcodeFormatError {
			t.Errorf("cookie of %d bytes: %s, want FORMERR", len(bad)/2, mdns.RcodeToString[res.Rcode])
		}
	}
}

func options2(t *testing.T, cookie string) options {
	t.Helper()
	var o options
	b, err := hex.DecodeString(cookie)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) > 0 && !o.takeCookie(b) {
		t.Fatal("refused")
	}
	return o
}

func TestCookieCanBeLearntWithoutAQuestion(t *testing.T) {
	made, err := newCookies(nil)
	if err != nil {
		t.Fatal(err)
	}
	q := new(mdns.Msg)
	q.SetEdns0(1232, false)
	for _, withCookie := range []bool{true, false} {
		q.IsEdns0().Option = nil
		want := mdns.RcodeFormatError
		if withCookie {
			q.IsEdns0().Option = []mdns.EDNS0{&mdns.EDNS0_COOKIE{Code: mdns.EDNS0COOKIE, Cookie: "0102030405060708"}}
			want = mdns.RcodeSuccess
		}
		msg, err := q.Pack()
		if err != nil {
			t.Fatal(err)
		}
		out, rcode, _ := richSnapshot(t).respond(nil, msg, reply{limit: 1232, cookies: made, client: newClient(netip.MustParseAddr("::1"), 1, overUDP)})
		res := new(mdns.Msg)
		if err := res.Unpack(out); err != nil || rcode != want || (len(cookieOf(res)) == 48) != withCookie {
			t.Errorf("with cookie %v: rcode %d, %v, %v", withCookie, rcode, res, err)
		}
	}
}

func TestUnprovenClientsGetNoMoreThan512Bytes(t *testing.T) {
	z, err := NewZone("example.test", "@ 60 SOA ns h 1 1 1 1 1", "@ 60 NS ns", "ns 60 A 192.0.2.1",
		"big 60 TXT "+strings.Repeat("\"0123456789012345678901234567890123456789012345678\" ", 12))
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewSnapshot(z)
	if err != nil {
		t.Fatal(err)
	}
	q := new(mdns.Msg).SetQuestion("big.example.test.", mdns.TypeTXT)
	q.SetEdns0(1232, false)
	msg, err := q.Pack()
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(netip.MustParseAddr("192.0.2.1"), 1, overUDP)
	for _, proven := range []bool{false, true} {
		c.proven = proven
		out, _, _ := s.respond(nil, msg, reply{limit: 1232, client: c})
		if truncated := out[2]&2 != 0; truncated == proven || !proven && len(out) > 512 {
			t.Errorf("proven %v: truncated %v, %d bytes", proven, truncated, len(out))
		}
	}
}

func TestClientSubnetIsEchoedWithScopeZero(t *testing.T) {
	for _, c := range []struct {
		name   string
		family uint16
		data   []byte // source, scope, address
		good   bool
	}{
		{"IPv4 /24", 1, []byte{24, 0, 192, 0, 2}, true},
		{"IPv4 /0: do not tell", 1, []byte{0, 0}, true},
		{"IPv6 /56", 2, []byte{56, 0, 0x20, 1, 0xd, 0xb8, 0, 0, 0}, true},
		{"IPv4 /25", 1, []byte{25, 0, 192, 0, 2, 128}, true},
		{"bits behind the prefix", 1, []byte{25, 0, 192, 0, 2, 129}, false},
		{"a byte too many", 1, []byte{24, 0, 192, 0, 2, 0}, false},
		{"a byte too few", 1, []byte{24, 0, 192, 0}, false},
		{"IPv4 /33", 1, []byte{33, 0, 192, 0, 2, 1, 0}, false},
		{"scope in a query", 1, []byte{24, 8, 192, 0, 2}, false},
		{"unknown family", 3, []byte{8, 0, 1}, false},
		{"cut", 1, []byte{24}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			data := append([]byte{byte(c.family >> 8), byte(c.family)}, c.data...)
			res := optionAsk(t, reply{}, &mdns.EDNS0_LOCAL{Code: mdns.EDNS0SUBNET, Data: data})
			if (res.Rcode == mdns.RcodeSuccess) != c.good {
				t.Fatalf("%s, want success %v", mdns.RcodeToString[res.Rcode], c.good)
			}
			if !c.good {
				return
			}
			o := res.IsEdns0().Option
			if len(o) != 1 || o[0].(*mdns.EDNS0_SUBNET).SourceScope != 0 || o[0].(*mdns.EDNS0_SUBNET).SourceNetmask != c.data[0] {
				t.Errorf("options %v", o)
			}
		})
	}
}

func TestKeepaliveIsForStreamsOnly(t *testing.T) {
	ask := &mdns.EDNS0_TCP_KEEPALIVE{Code: mdns.EDNS0TCPKEEPALIVE}
	addr := netip.MustParseAddr("192.0.2.1")
	over := func(tr transport) []mdns.EDNS0 {
		return optionAsk(t, reply{keepalive: 100, client: newClient(addr, 1, tr)}, ask).IsEdns0().Option
	}
	if o := over(overUDP); len(o) != 0 {
		t.Errorf("over UDP: %v", o)
	}
	if o := over(overTCP); len(o) != 1 || o[0].(*mdns.EDNS0_TCP_KEEPALIVE).Timeout != 100 {
		t.Errorf("over TCP: %v", o)
	}
	if res := optionAsk(t, reply{}, &mdns.EDNS0_LOCAL{Code: mdns.EDNS0TCPKEEPALIVE, Data: []byte{0, 1}}); res.Rcode != mdns.RcodeFormatError {
		t.Errorf("a client that says a time-out gets %s, want FORMERR", mdns.RcodeToString[res.Rcode])
	}
}

func TestPaddedQueriesGetPaddedRepliesWhereTheyAreEncrypted(t *testing.T) {
	for _, c := range []struct {
		over transport
		want bool
	}{{overUDP, false}, {overTCP, false}, {overTLS, true}, {overHTTPS, true}} {
		q := new(mdns.Msg).SetQuestion("web.example.test.", mdns.TypeA)
		q.SetEdns0(4096, false)
		q.IsEdns0().Option = []mdns.EDNS0{&mdns.EDNS0_PADDING{Padding: make([]byte, 10)}}
		msg, err := q.Pack()
		if err != nil {
			t.Fatal(err)
		}
		out, _, _ := richSnapshot(t).respond(nil, msg, reply{limit: 1232, client: newClient(netip.MustParseAddr("::1"), 1, c.over)})
		if padded := len(out)%padBlock == 0; padded != c.want {
			t.Errorf("transport %d: %d bytes, padded %v, want %v", c.over, len(out), padded, c.want)
		}
	}
}

func reasonOf(m *mdns.Msg) (uint16, string) {
	if o := m.IsEdns0(); o != nil {
		for _, e := range o.Option {
			if c, ok := e.(*mdns.EDNS0_EDE); ok {
				return c.InfoCode, c.ExtraText
			}
		}
	}
	return noReason, ""
}

func TestErrorsAreReportedToTheAgent(t *testing.T) { // RFC 9567
	o := optionAsk(t, reply{agent: "\x06report\x07example\x03net\x00"}).IsEdns0().Option
	if len(o) != 1 || o[0].(*mdns.EDNS0_REPORTING).AgentDomain != "report.example.net." {
		t.Errorf("options %v", o)
	}
}

func TestFailuresSayWhy(t *testing.T) {
	s := richSnapshot(t)
	for _, c := range []struct {
		name        string
		kind, class uint16
		rcode       int
		want        uint16
	}{
		{"example.net.", mdns.TypeA, mdns.ClassINET, mdns.RcodeRefused, ReasonNotAuthoritative},
		{"web.example.test.", mdns.TypeA, mdns.ClassCHAOS, mdns.RcodeRefused, ReasonNotSupported},
		{"example.test.", mdns.TypeAXFR, mdns.ClassINET, mdns.RcodeRefused, ReasonProhibited},
		{"web.example.test.", typeNXNAME, mdns.ClassINET, mdns.RcodeFormatError, ReasonInvalidType},
		{"web.example.test.", mdns.TypeMAILB, mdns.ClassINET, mdns.RcodeNotImplemented, ReasonNotSupported},
		{"nope.example.test.", mdns.TypeA, mdns.ClassINET, mdns.RcodeNameError, noReason},
	} {
		q := new(mdns.Msg).SetQuestion(c.name, c.kind)
		q.Question[0].Qclass = c.class
		q.SetEdns0(1232, false)
		res := ask(t, s, q, false)
		if code, _ := reasonOf(res); code != c.want || res.Rcode != c.rcode {
			t.Errorf("%s %d: %s with reason %d, want %d", c.name, c.kind, mdns.RcodeToString[res.Rcode], code, c.want)
		}
	}
}

func TestDegradedAnswersSayWhy(t *testing.T) {
	s, addr := serve(t, demoConfig(t))
	s.Degrade(Reason{Code: ReasonStale, Text: "no majority: plan 1 stands"})
	res, err := Exchange(t.Context(), addr, "orders.proa.test", mdns.TypeA)
	if err != nil {
		t.Fatal(err)
	}
	if code, text := reasonOf(res); code != ReasonStale || text != "no majority: plan 1 stands" {
		t.Errorf("reason %d %q", code, text)
	}
	res, err = Exchange(t.Context(), addr, "ns1.orders.proa.test", mdns.TypeA)
	if err != nil {
		t.Fatal(err)
	}
	if code, _ := reasonOf(res); code != noReason {
		t.Errorf("a name that does not follow the plan is degraded too: %d", code)
	}
	s.Degrade(Reason{})
	if res, err = Exchange(t.Context(), addr, "orders.proa.test", mdns.TypeA); err != nil {
		t.Fatal(err)
	}
	if code, _ := reasonOf(res); code != noReason {
		t.Errorf("the reason stays: %d", code)
	}
}

func TestRateLimitSlipsAndDrops(t *testing.T) {
	l, err := newLimiter(RateLimit{PerSecond: 10, Slip: 2, Exempt: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}, 7)
	if err != nil {
		t.Fatal(err)
	}
	s := richSnapshot(t)
	send := func(n int, from string, name string, now uint32, proven bool) (passed, slipped, dropped int) {
		c := newClient(netip.MustParseAddr(from), now, overUDP)
		c.proven = proven
		msg, err := new(mdns.Msg).SetQuestion(name, mdns.TypeA).Pack()
		if err != nil {
			t.Fatal(err)
		}
		for range n {
			out, _, _ := s.respond(nil, msg, reply{limit: 1232, client: c, limiter: l})
			switch {
			case len(out) == 0:
				dropped++
			case out[2]&2 != 0:
				slipped++
			default:
				passed++
			}
		}
		return passed, slipped, dropped
	}
	check := func(what string, n int, from, name string, now uint32, proven bool, want [3]int) {
		t.Helper()
		a, b, c := send(n, from, name, now, proven)
		if got := [3]int{a, b, c}; got != want {
			t.Errorf("%s: passed, slipped, dropped %v, want %v", what, got, want)
		}
	}
	const web = "web.example.test."
	check("within the limit", 10, "192.0.2.1", web, 100, false, [3]int{10, 0, 0})
	check("over it, from the same /24", 10, "192.0.2.99", web, 100, false, [3]int{0, 5, 5})
	check("another network", 10, "192.0.3.1", web, 100, false, [3]int{10, 0, 0})
	check("another name", 10, "192.0.2.1", "mail.example.test.", 100, false, [3]int{10, 0, 0})
	check("with a cookie", 50, "192.0.2.1", web, 100, true, [3]int{50, 0, 0})
	check("an exempt network", 50, "10.1.1.1", web, 100, false, [3]int{50, 0, 0})
	check("after quiet", 10, "192.0.2.1", web, 110, false, [3]int{10, 0, 0})
	check("denials of one zone are alike", 5, "198.51.100.1", "a.example.test.", 100, false, [3]int{5, 0, 0})
	check("denials of one zone are alike", 6, "198.51.100.1", "b.example.test.", 100, false, [3]int{5, 0, 1})
	check("IPv6 by /56", 10, "2001:db8::1", web, 100, false, [3]int{10, 0, 0})
	check("IPv6 by /56", 2, "2001:db8:0:ff::1", web, 100, false, [3]int{0, 1, 1})
	check("IPv6 by /56", 2, "2001:db8:0:100::1", web, 100, false, [3]int{2, 0, 0})
}

func TestRateLimitedServerCountsWhatItDrops(t *testing.T) {
	cfg := demoConfig(t)
	cfg.RateLimit = RateLimit{PerSecond: 1, Slip: -1, Exempt: []netip.Prefix{}}
	s, addr := serve(t, cfg)
	q := new(mdns.Msg).SetQuestion("orders.proa.test.", mdns.TypeA)
	for range 4 {
		_, _, _ = (&mdns.Client{Timeout: 30 * time.Millisecond}).Exchange(q, addr)
	}
	if st := s.Stats(); st.Limited == 0 {
		t.Errorf("stats %+v", st)
	}
}
