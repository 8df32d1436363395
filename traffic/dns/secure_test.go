package dns

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	mdns "github.com/miekg/dns"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/traffic/dns/dnssec"
)

var signedAt = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func testKey(t testing.TB, zone string, algorithm uint8) dnssec.Key {
	t.Helper()
	return testKeyAt(t, zone, algorithm, signedAt)
}

func testKeyAt(t testing.TB, zone string, algorithm uint8, now time.Time) dnssec.Key {
	t.Helper()
	k, err := dnssec.Generate(zone, algorithm, true, now)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func signedRich(t testing.TB, algorithm uint8, ahead int) *Snapshot {
	t.Helper()
	return signedRichAt(t, algorithm, ahead, signedAt)
}

func signedRichAt(t testing.TB, algorithm uint8, ahead int, now time.Time) *Snapshot {
	t.Helper()
	z, err := ParseZone(strings.NewReader(fmt.Sprintf(richZone, strings.Repeat("x", 250))), "example.test", "rich.zone")
	if err != nil {
		t.Fatal(err)
	}
	b, err := Source{
		Zones: []*Zone{z}, Now: now,
		Signing: Signing{Keys: []dnssec.Key{testKeyAt(t, "example.test.", algorithm, now)}, Ahead: ahead},
	}.Compile()
	if err != nil {
		t.Fatal(err)
	}
	s, err := b.Snapshot(proa.Plan{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// signedAsk asks with DO and the zone's keys at hand.
func signedAsk(t testing.TB, s *Snapshot, name string, kind uint16) *mdns.Msg {
	t.Helper()
	q := new(mdns.Msg).SetQuestion(name, kind)
	q.SetEdns0(4096, true)
	return ask(t, s, q, true)
}

func keysOf(t testing.TB, s *Snapshot, zone string) []*mdns.DNSKEY {
	t.Helper()
	var keys []*mdns.DNSKEY
	for _, rr := range signedAsk(t, s, zone, mdns.TypeDNSKEY).Answer {
		if k, ok := rr.(*mdns.DNSKEY); ok {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		t.Fatal("no keys")
	}
	return keys
}

// checkSigned verifies every authoritative set of a section.
func checkSigned(t *testing.T, what string, keys []*mdns.DNSKEY, section []mdns.RR, referral bool) {
	t.Helper()
	sets := map[string][]mdns.RR{}
	sigs := map[string]*mdns.RRSIG{}
	for i, rr := range section {
		if sig, ok := rr.(*mdns.RRSIG); ok {
			sigs[fmt.Sprint(sig.Hdr.Name, sig.TypeCovered)] = sig
			continue
		}
		if referral && rr.Header().Rrtype == mdns.TypeNS || madeOfDNAME(section[:i], rr) || madeAfterSigs(section[:i], rr) {
			continue
		}
		key := fmt.Sprint(rr.Header().Name, rr.Header().Rrtype)
		sets[key] = append(sets[key], rr)
	}
	for key, set := range sets {
		sig := sigs[key]
		if sig == nil {
			t.Errorf("%s: %s is not signed", what, key)
			continue
		}
		i := slices.IndexFunc(keys, func(k *mdns.DNSKEY) bool { return k.KeyTag() == sig.KeyTag })
		if i < 0 {
			t.Errorf("%s: signed by an unknown key", what)
			continue
		}
		if err := sig.Verify(keys[i], set); err != nil {
			t.Errorf("%s: %s: %v", what, key, err)
		}
		if !sig.ValidityPeriod(signedAt) || sig.Hdr.Ttl != set[0].Header().Ttl {
			t.Errorf("%s: signature's time or TTL is wrong: %v", what, sig)
		}
	}
}

// madeAfterSigs finds the CNAME of a DNAME that has its signature in between.
func madeAfterSigs(before []mdns.RR, rr mdns.RR) bool {
	return slices.ContainsFunc(before, func(d mdns.RR) bool {
		return rr.Header().Rrtype == mdns.TypeCNAME && d.Header().Rrtype == mdns.TypeDNAME &&
			rr.Header().Name != d.Header().Name && mdns.IsSubDomain(d.Header().Name, rr.Header().Name)
	})
}

func TestSignedAnswersVerifyAheadAndLive(t *testing.T) {
	const e = ".example.test."
	for _, algorithm := range []uint8{dnssec.ECDSAP256, dnssec.Ed25519} {
		for _, ahead := range []int{1000, -1} {
			s := signedRich(t, algorithm, ahead)
			keys := keysOf(t, s, "example.test.")
			for _, c := range []struct {
				name, kind string
				nsec       string // the types of the proof's bitmap, "" for no denial
				referral   bool
			}{
				{"web" + e, "A", "", false},
				{"example.test.", "SOA", "", false},
				{"example.test.", "DNSKEY", "", false},
				{"example.test.", "CDS", "", false},
				{"example.test.", "CDNSKEY", "", false},
				{"example.test.", "NS", "", false},
				{"www" + e, "A", "", false},
				{"chain" + e, "A", "", false},
				{"loop1" + e, "A", "", false},
				{"out" + e, "A", "", false},
				{"towild" + e, "A", "", false},
				{"foo.wild" + e, "A", "", false},
				{"q.cwild" + e, "A", "", false},
				{"host.old" + e, "A", "", false},
				{"old" + e, "DNAME", "", false},
				{"strange" + e, "TYPE65280", "", false},
				{"https" + e, "HTTPS", "", false},
				{"big" + e, "TXT", "", false},
				{"web" + e, "ANY", "", false},
				{"example.test.", "ANY", "", false},
				{"web" + e, "AAAA", "A RRSIG NSEC", false},
				{"nope" + e, "A", "RRSIG NSEC NXNAME", false},
				{"x.web" + e, "A", "RRSIG NSEC NXNAME", false},
				{"b.c" + e, "A", "RRSIG NSEC", false},
				{"foo.wild" + e, "MX", "A TXT RRSIG NSEC", false},
				{"www" + e, "AAAA", "A RRSIG NSEC", false},
				{"gone" + e, "A", "RRSIG NSEC NXNAME", false},
				{"q.cwild" + e, "AAAA", "A RRSIG NSEC", false},
				{"example.test.", "AAAA", "NS SOA MX TXT RRSIG NSEC DNSKEY CDS CDNSKEY", false},
				{"other" + e, "DS", "NS RRSIG NSEC", false},
				{"sub" + e, "DS", "", false},
				{"x.sub" + e, "A", "", true},
				{"x.other" + e, "A", "NS RRSIG NSEC", true},
				{"todeleg" + e, "A", "", true},
				{"web" + e, "NSEC", "A RRSIG NSEC", false},
				{"web" + e, "RRSIG", "", false},
				{"old" + e, "A", "DNAME RRSIG NSEC", false},
			} {
				what := fmt.Sprintf("%s %s, algorithm %d, ahead %d", c.name, c.kind, algorithm, ahead)
				kind, ok := mdns.StringToType[c.kind]
				if !ok {
					kind = 65280
				}
				res := signedAsk(t, s, c.name, kind)
				again := signedAsk(t, s, c.name, kind)
				again.Id = res.Id
				if diff := cmp.Diff(res.String(), again.String()); diff != "" {
					t.Errorf("%s: the second answer differs\n%s", what, diff)
				}
				if res.Rcode != mdns.RcodeSuccess {
					t.Errorf("%s: %s", what, mdns.RcodeToString[res.Rcode])
				}
				if len(res.Answer)+len(res.Ns) == 0 {
					t.Errorf("%s: empty", what)
				}
				if kind != mdns.TypeRRSIG {
					checkSigned(t, what, keys, res.Answer, c.referral)
				}
				checkSigned(t, what, keys, res.Ns, c.referral)
				if got := bitmap(res); got != c.nsec {
					t.Errorf("%s: proof %q, want %q", what, got, c.nsec)
				}
			}
		}
	}
}

func bitmap(m *mdns.Msg) string {
	for _, rr := range append(m.Answer, m.Ns...) {
		if n, ok := rr.(*mdns.NSEC); ok {
			var names []string
			for _, k := range n.TypeBitMap {
				if k == typeNXNAME {
					names = append(names, "NXNAME")
					continue
				}
				names = append(names, mdns.TypeToString[k])
			}
			return strings.Join(names, " ")
		}
	}
	return ""
}

func TestNoSuchNameIsSaidToThoseWhoKnowCompactDenials(t *testing.T) {
	s := signedRich(t, dnssec.ECDSAP256, 1000)
	for _, c := range []struct {
		do, co bool
		want   int
	}{
		{false, false, mdns.RcodeNameError},
		{true, false, mdns.RcodeSuccess},
		{true, true, mdns.RcodeNameError},
	} {
		for _, name := range []string{"nope.example.test.", "gone.example.test."} {
			for range 2 { // made, and kept
				q := new(mdns.Msg).SetQuestion(name, mdns.TypeA)
				q.SetEdns0(1232, c.do)
				if c.co {
					q.IsEdns0().Hdr.Ttl |= bitCO
				}
				if got := ask(t, s, q, false).Rcode; got != c.want {
					t.Errorf("%s DO %v CO %v: %s", name, c.do, c.co, mdns.RcodeToString[got])
				}
			}
		}
	}
}

func TestUnsignedClientsSeeNoSignatures(t *testing.T) {
	s := signedRich(t, dnssec.ECDSAP256, 1000)
	plain := richSnapshot(t)
	for _, name := range []string{"web.example.test.", "nope.example.test.", "x.sub.example.test.", "host.old.example.test."} {
		q := new(mdns.Msg).SetQuestion(name, mdns.TypeA)
		if diff := cmp.Diff(text(ask(t, plain, q, true)), text(ask(t, s, q, true))); diff != "" {
			t.Errorf("%s (-unsigned zone +signed zone)\n%s", name, diff)
		}
	}
}

func TestSignedAnswersAllocateNothingOnceMade(t *testing.T) {
	s := signedRich(t, dnssec.ECDSAP256, 1000)
	dst := make([]byte, 0, 65535)
	for _, name := range []string{"web.example.test.", "nope.example.test.", "x.sub.example.test.", "host.old.example.test.", "foo.wild.example.test."} {
		q := new(mdns.Msg).SetQuestion(name, mdns.TypeA)
		q.SetEdns0(1232, true)
		msg, err := q.Pack()
		if err != nil {
			t.Fatal(err)
		}
		c := testClient(false)
		if n := testing.AllocsPerRun(100, func() { s.respond(dst, msg, reply{limit: 1232, client: c}) }); n != 0 {
			t.Errorf("%s: %v allocations a query, want 0", name, n)
		}
	}
}

func TestSignaturesForQueriesAreBounded(t *testing.T) {
	z, err := NewZone("example.test", "@ 60 SOA ns h 1 1 1 1 1", "@ 60 NS ns", "ns 60 A 192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	b, err := Source{Zones: []*Zone{z}, Now: signedAt, Signing: Signing{
		Keys: []dnssec.Key{testKey(t, "example.test.", dnssec.ECDSAP256)}, LivePerSecond: 3, Kept: 16,
	}}.Compile()
	if err != nil {
		t.Fatal(err)
	}
	s, err := b.Snapshot(proa.Plan{})
	if err != nil {
		t.Fatal(err)
	}
	count := func(now uint32, over transport, same bool) (answered, truncated, failed int) {
		for i := range 10 {
			name := fmt.Sprintf("n%d-%d-%d.example.test.", i, now, over)
			if same {
				name = "same.example.test."
			}
			q := new(mdns.Msg).SetQuestion(name, mdns.TypeA)
			q.SetEdns0(1232, true)
			msg, err := q.Pack()
			if err != nil {
				t.Fatal(err)
			}
			c := testClient(false)
			c.now, c.transport = now, over
			out, rcode, _ := s.respond(nil, msg, reply{limit: 1232, client: c})
			switch {
			case rcode == rcodeServFail:
				failed++
			case out[2]&2 != 0:
				truncated++
			default:
				answered++
			}
		}
		return answered, truncated, failed
	}
	for _, c := range []struct {
		now  uint32
		over transport
		same bool
		want [3]int
	}{{1, overUDP, false, [3]int{3, 7, 0}}, {2, overTCP, false, [3]int{3, 0, 7}}, {3, overUDP, true, [3]int{10, 0, 0}}} {
		a, b, f := count(c.now, c.over, c.same)
		if got := [3]int{a, b, f}; got != c.want {
			t.Errorf("second %d: answered, truncated, failed %v, want %v", c.now, got, c.want)
		}
	}
}

func TestFailoverSwapsSignaturesWithAnswersAndSignsOnlyTheSOA(t *testing.T) {
	z, r, err := DemoZone("orders.proa.test", testRegions[proa.AWS], 2*time.Second, testRegions)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Source{Zones: []*Zone{z}, Records: []Record{r}, Now: signedAt, Signing: Signing{Keys: []dnssec.Key{testKey(t, z.Origin, dnssec.ECDSAP256)}}}.Compile()
	if err != nil {
		t.Fatal(err)
	}
	for i, region := range []proa.Region{proa.AWS, proa.Azure} {
		s, err := b.Snapshot(proa.Plan{Version: uint64(i + 1), Active: region})
		if err != nil {
			t.Fatal(err)
		}
		keys := keysOf(t, s, z.Origin)
		for _, kind := range []uint16{mdns.TypeA, mdns.TypeTXT, mdns.TypeSOA, mdns.TypeAAAA} {
			res := signedAsk(t, s, z.Origin, kind)
			checkSigned(t, fmt.Sprint(region, kind), keys, append(res.Answer, res.Ns...), false)
		}
		before := b.live.signed.Load()
		signedAsk(t, s, z.Origin, mdns.TypeA)
		if b.live.signed.Load() != before {
			t.Error("addresses were signed for a query")
		}
	}
	begin := time.Now()
	const plans = 50
	for i := range plans {
		if _, err := b.Snapshot(proa.Plan{Version: uint64(i + 3), Active: proa.AWS}); err != nil {
			t.Fatal(err)
		}
	}
	if each := time.Since(begin) / plans; each > 5*time.Millisecond {
		t.Errorf("a plan takes %s", each)
	}
}

func TestServerSignsAgainByItself(t *testing.T) {
	cfg := demoConfig(t)
	now := signedAt
	cfg.Clock = func() time.Time { return now }
	cfg.Signing.Keys = []dnssec.Key{testKey(t, "orders.proa.test.", dnssec.Ed25519)}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	expiry := func() uint32 {
		for _, rr := range signedAsk(t, s.Current(), "orders.proa.test.", mdns.TypeA).Answer {
			if sig, ok := rr.(*mdns.RRSIG); ok {
				return sig.Expiration
			}
		}
		t.Fatal("not signed")
		return 0
	}
	first := expiry()
	if err := s.Apply(proa.Plan{Version: 2, Active: proa.Azure}); err != nil {
		t.Fatal(err)
	}
	now = now.Add(11 * 24 * time.Hour)
	if due := s.base.renew; now.Before(due) {
		t.Errorf("due at %s, not yet after eleven days", due)
	}
	if err := s.Resign(); err != nil {
		t.Fatal(err)
	}
	if last := expiry(); last != first+11*24*3600 {
		t.Errorf("signatures end at %d, then at %d", first, last)
	}
	if s.Current().Plan.Version != 2 {
		t.Error("the plan was lost")
	}
}

func TestKeysAreRolledOverByTheirFiles(t *testing.T) {
	dir := t.TempDir()
	k := testKey(t, "orders.proa.test.", dnssec.ECDSAP256)
	if err := k.Save(dir); err != nil {
		t.Fatal(err)
	}
	cfg := demoConfig(t)
	now := signedAt
	cfg.Clock = func() time.Time { return now }
	cfg.Signing.Dir = dir
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(keysOf(t, s.Current(), "orders.proa.test.")); n != 1 || s.mustResign() {
		t.Fatalf("%d keys, due %v", n, s.mustResign())
	}
	old, fresh := dnssec.Succeed(k, testKey(t, "orders.proa.test.", dnssec.ECDSAP256), now, dnssec.Timing{KeyTTL: time.Hour})
	if err := errors.Join(old.Save(dir), fresh.Save(dir)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		after time.Duration
		tag   uint16
	}{{0, old.Tag}, {time.Hour, fresh.Tag}} {
		now = signedAt.Add(c.after)
		if !s.mustResign() {
			t.Errorf("after %s: not due", c.after)
		}
		if err := s.Resign(); err != nil {
			t.Fatal(err)
		}
		res := signedAsk(t, s.Current(), "orders.proa.test.", mdns.TypeA)
		i := slices.IndexFunc(res.Answer, func(rr mdns.RR) bool { return rr.Header().Rrtype == mdns.TypeRRSIG })
		if got := res.Answer[i].(*mdns.RRSIG).KeyTag; got != c.tag || len(keysOf(t, s.Current(), "orders.proa.test.")) != 2 {
			t.Errorf("after %s: signed by %d, want %d", c.after, got, c.tag)
		}
	}
	if s.mustResign() {
		t.Error("due again at once")
	}
}

func TestZonesThatCannotBeSignedAreRefused(t *testing.T) {
	z, err := NewZone("example.test", "@ 60 SOA ns h 1 1 1 1 1", "@ 60 NS ns", "ns 60 A 192.0.2.1",
		"ns 60 NSEC example.test. A NSEC")
	if err != nil {
		t.Fatal(err)
	}
	for _, zone := range []string{"example.test.", "other.test."} {
		_, err = Source{Zones: []*Zone{z}, Now: signedAt, Signing: Signing{Keys: []dnssec.Key{testKey(t, zone, dnssec.Ed25519)}}}.Compile()
		if err == nil {
			t.Errorf("key of %s: no error", zone)
		}
	}
}
