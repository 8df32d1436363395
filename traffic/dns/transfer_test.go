package dns

import (
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/traffic/dns/dnssec"
)

const transferSecret = "c2VjcmV0LW9mLXRoZS10ZXN0LTEyMzQ1Njc4OTA="

func transferConfig(t *testing.T) Config {
	t.Helper()
	cfg := overConfig(t)
	cfg.Transfers = []Transfer{
		{Zone: "orders.proa.test", Key: "copy.key", Secret: proa.NewSecret(transferSecret)},
		{Zone: "example.test", Key: "other.key", Secret: proa.NewSecret(transferSecret), Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}},
	}
	return cfg
}

// pull transfers a zone and returns its records.
func pull(t *testing.T, addr, zone, key, secret string, kind uint16, serial uint32) ([]mdns.RR, error) {
	t.Helper()
	m := new(mdns.Msg)
	if kind == mdns.TypeAXFR {
		m.SetAxfr(zone)
	} else {
		m.SetIxfr(zone, serial, ".", ".")
	}
	tr := &mdns.Transfer{}
	if key != "" {
		tr.TsigSecret = map[string]string{key: secret}
		m.SetTsig(key, mdns.HmacSHA256, 300, time.Now().Unix())
	}
	in, err := tr.In(m, addr)
	if err != nil {
		t.Fatal(err)
	}
	var list []mdns.RR
	for e := range in {
		if e.Error != nil {
			err = e.Error
			continue
		}
		list = append(list, e.RR...)
	}
	return list, err
}

func lines(list []mdns.RR) string {
	var b strings.Builder
	for _, rr := range list {
		b.WriteString(strings.ReplaceAll(rr.String(), "\t", " ") + "\n")
	}
	return b.String()
}

func TestZonesAreTransferredToThoseWithTheKey(t *testing.T) {
	s, addr := serve(t, transferConfig(t))
	list, err := pull(t, addr, "orders.proa.test.", "copy.key.", transferSecret, mdns.TypeAXFR, 0)
	if err != nil {
		t.Fatal(err)
	}
	text := lines(list)
	for _, want := range []string{"orders.proa.test. 2 IN A 127.0.64.1\n", "ns1.orders.proa.test. 3600 IN A 127.0.0.1\n", "active=aws"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if first, last := list[0], list[len(list)-1]; first.String() != last.String() || first.Header().Rrtype != mdns.TypeSOA {
		t.Errorf("not between two SOAs: %s ... %s", first, last)
	}
	if err := s.Apply(proa.Plan{Version: 2, Active: proa.Azure}); err != nil {
		t.Fatal(err)
	}
	had := list[0].(*mdns.SOA).Serial
	list, err = pull(t, addr, "orders.proa.test.", "copy.key.", transferSecret, mdns.TypeIXFR, had)
	if err != nil {
		t.Fatal(err)
	}
	serials := serialsOf(list)
	text = lines(list)
	now := serials[0]
	if !slices.Equal(serials, []uint32{now, had, now, now}) || !behind(had, now) || strings.Contains(text, "ns1.orders.proa.test. 3600 IN A") ||
		strings.Index(text, "127.0.64.1\n") > strings.Index(text, "127.0.64.2\n") || !strings.Contains(text, "127.0.64.1\n") {
		t.Errorf("serials %v\n%s", serials, text)
	}
	for serial, want := range map[uint32]int{now: 1, 77: 9} {
		if list, err = pull(t, addr, "orders.proa.test.", "copy.key.", transferSecret, mdns.TypeIXFR, serial); err != nil || len(list) > want || len(list) < want-3 {
			t.Errorf("from serial %d: %d records, %v, want about %d", serial, len(list), err, want)
		}
	}
}

func serialsOf(list []mdns.RR) []uint32 {
	var serials []uint32
	for _, rr := range list {
		if soa, ok := rr.(*mdns.SOA); ok {
			serials = append(serials, soa.Serial)
		}
	}
	return serials
}

// TestEachChangeRaisesTheSerialOfCopiedZones: what is put over a zone, too, and after a restart.
func TestEachChangeRaisesTheSerialOfCopiedZones(t *testing.T) {
	cfg := transferConfig(t)
	plain, err := NewZone("plain.test", "@ 60 SOA ns h 7 1 1 1 30", "@ 60 NS ns", "ns 60 A 192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Zones = append(cfg.Zones, plain)
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	cfg.Clock = func() time.Time { return now }
	var last uint32
	serial := func(s *Server, what string, rises bool) {
		t.Helper()
		got, _ := s.serialOf("orders.proa.test.")
		if last != 0 && behind(last, got) != rises {
			t.Errorf("%s: serial %d after %d", what, got, last)
		}
		last = got
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	serial(s, "start", true)
	v := Validation{Name: "_acme-challenge.orders.proa.test", Type: "TXT", Values: []string{"x"}}
	if err := s.PutValidation(v); err != nil {
		t.Fatal(err)
	}
	serial(s, "a validation record", true)
	if err := s.DeleteValidation(v.Name, v.Type, ""); err != nil {
		t.Fatal(err)
	}
	serial(s, "none any more", true)
	if err := s.Apply(proa.Plan{Version: 2, Active: proa.Azure}); err != nil {
		t.Fatal(err)
	}
	serial(s, "a plan", true)
	s.publishFound(map[string][]netip.Addr{"lb.example.net.": {netip.MustParseAddr("192.0.2.9")}})
	serial(s, "an alias's address", true)
	s.publishFound(map[string][]netip.Addr{"lb.example.net.": {netip.MustParseAddr("192.0.2.9")}})
	if got, _ := s.serialOf("orders.proa.test."); got != last {
		t.Errorf("nothing changed: serial %d after %d", got, last)
	}
	now = now.Add(10 * time.Second)
	cfg.Plan = proa.Plan{Version: 2, Active: proa.Azure}
	if s, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	serial(s, "a restart", true)
	if got, _ := s.serialOf("plain.test."); got != 7 {
		t.Errorf("a zone that nobody copies: serial %d", got)
	}
}

// TestIncrementalTransferOverUDP says what changed where it fits, and otherwise "come over TCP".
func TestIncrementalTransferOverUDP(t *testing.T) {
	s, addr := serve(t, transferConfig(t))
	had, _ := s.serialOf("orders.proa.test.")
	if err := s.Apply(proa.Plan{Version: 2, Active: proa.Azure}); err != nil {
		t.Fatal(err)
	}
	now, _ := s.serialOf("orders.proa.test.")
	ask := func(serial uint32, size uint16, secret string) *mdns.Msg {
		t.Helper()
		m := new(mdns.Msg).SetIxfr("orders.proa.test.", serial, ".", ".")
		if size > 0 {
			m.SetEdns0(size, false)
		}
		c := mdns.Client{Net: "udp", Timeout: 10 * time.Second, UDPSize: max(size, 512)}
		if secret != "" {
			c.TsigSecret = map[string]string{"copy.key.": secret}
			m.SetTsig("copy.key.", mdns.HmacSHA256, 300, time.Now().Unix())
		}
		res, _, err := c.Exchange(m, addr)
		if err != nil && secret == transferSecret {
			t.Fatal(err)
		}
		if res == nil {
			t.Fatal(err)
		}
		return res
	}
	if res := ask(had, 1232, transferSecret); !slices.Equal(serialsOf(res.Answer), []uint32{now, had, now, now}) || res.IsTsig() == nil || !res.Authoritative {
		t.Errorf("%s", res)
	}
	if res := ask(now, 0, transferSecret); !slices.Equal(serialsOf(res.Answer), []uint32{now}) || len(res.Answer) != 1 {
		t.Errorf("%s", res)
	}
	if res := ask(had, 0, transferSecret); len(res.Answer) != 1 || res.Len() > 512 { // 512 bytes are too few
		t.Errorf("%s", res)
	}
	if res := ask(had, 1232, ""); res.Rcode != mdns.RcodeRefused || len(res.Answer) != 0 {
		t.Errorf("%s", res)
	}
	if res := ask(had, 1232, "YW5vdGhlciBzZWNyZXQgYWx0b2dldGhlcg=="); res.Rcode != mdns.RcodeNotAuth || len(res.Answer) != 0 {
		t.Errorf("%s", res)
	}
	m := new(mdns.Msg).SetAxfr("orders.proa.test.")
	m.SetTsig("copy.key.", mdns.HmacSHA256, 300, time.Now().Unix())
	c := mdns.Client{Net: "udp", Timeout: 10 * time.Second, TsigSecret: map[string]string{"copy.key.": transferSecret}}
	if res, _, _ := c.Exchange(m, addr); res == nil || res.Rcode != mdns.RcodeRefused || len(res.Answer) != 0 { // whole zones come over TCP
		t.Errorf("%s", res)
	}
}

func TestAPanicInATransferCostsItsConnection(t *testing.T) {
	s, addr := serve(t, transferConfig(t))
	s.publish.Lock()
	history := s.transfers.history
	s.transfers.history = nil // never so: there is no record to begin with
	s.publish.Unlock()
	if list, err := pull(t, addr, "orders.proa.test.", "copy.key.", transferSecret, mdns.TypeAXFR, 0); err == nil {
		t.Errorf("%d records of no history", len(list))
	}
	s.publish.Lock()
	s.transfers.history = history
	s.publish.Unlock()
	if list, err := pull(t, addr, "orders.proa.test.", "copy.key.", transferSecret, mdns.TypeAXFR, 0); err != nil || len(list) == 0 {
		t.Errorf("after it: %d records, %v", len(list), err)
	}
}

func TestTransfersAreRefusedWithoutTheRightKey(t *testing.T) {
	_, addr := serve(t, transferConfig(t))
	for _, c := range []struct{ what, zone, key, secret, want string }{
		{"no key", "orders.proa.test.", "", "", "REFUSED"},
		{"unknown key", "orders.proa.test.", "nobody.", transferSecret, "NOTAUTH"},
		{"wrong secret", "orders.proa.test.", "copy.key.", "YW5vdGhlciBzZWNyZXQgYWx0b2dldGhlcg==", "NOTAUTH"},
		{"another zone's key", "example.test.", "copy.key.", transferSecret, "REFUSED"},
		{"from another network", "example.test.", "other.key.", transferSecret, "REFUSED"},
		{"a zone that is not ours", "nowhere.test.", "copy.key.", transferSecret, "REFUSED"},
	} {
		t.Run(c.what, func(t *testing.T) {
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			m := new(mdns.Msg).SetAxfr(c.zone)
			dc := &mdns.Conn{Conn: conn}
			if c.key != "" {
				m.SetTsig(c.key, mdns.HmacSHA256, 300, time.Now().Unix())
				dc.TsigSecret = map[string]string{c.key: c.secret}
			}
			if err := dc.WriteMsg(m); err != nil {
				t.Fatal(err)
			}
			res, err := dc.ReadMsg()
			if res == nil {
				t.Fatal(err)
			}
			if got := mdns.RcodeToString[res.Rcode]; got != c.want || len(res.Answer) != 0 {
				t.Errorf("%s with %d records, want %s", got, len(res.Answer), c.want)
			}
		})
	}
}

func TestSecondariesAreToldOfEachPlan(t *testing.T) {
	told := make(chan uint16, 8)
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	secondary := &mdns.Server{
		PacketConn: pc, TsigSecret: map[string]string{"copy.key.": transferSecret},
		MsgAcceptFunc: func(mdns.Header) mdns.MsgAcceptAction { return mdns.MsgAccept },
		Handler: mdns.HandlerFunc(func(w mdns.ResponseWriter, m *mdns.Msg) {
			if m.Opcode == mdns.OpcodeNotify && m.Question[0].Name == "orders.proa.test." && w.TsigStatus() == nil && m.IsTsig() != nil {
				told <- m.Id
			}
			res := new(mdns.Msg).SetReply(m)
			res.SetTsig("copy.key.", mdns.HmacSHA256, 300, time.Now().Unix())
			_ = w.WriteMsg(res)
		}),
	}
	go func() { _ = secondary.ActivateAndServe() }()
	t.Cleanup(func() { _ = secondary.Shutdown() })
	cfg := transferConfig(t)
	cfg.Transfers[0].Notify = []string{pc.LocalAddr().String()}
	s, _ := serve(t, cfg)
	for version := uint64(2); version < 5; version++ {
		select {
		case <-told:
		case <-time.After(10 * time.Second):
			t.Fatalf("not told before plan %d", version)
		}
		if err := s.Apply(proa.Plan{Version: version, Active: proa.Azure}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBadTransferKeysAreRefused(t *testing.T) {
	for _, change := range []func(*Transfer){
		func(x *Transfer) { x.Secret = proa.NewSecret("short") },
		func(x *Transfer) { x.Secret = proa.NewSecret("AAAA") },
		func(x *Transfer) { x.Algorithm = "hmac-md5" },
		func(x *Transfer) { x.Key = strings.Repeat("x", 64) },
	} {
		cfg := transferConfig(t)
		change(&cfg.Transfers[0])
		if _, err := New(cfg); err == nil {
			t.Errorf("%+v is accepted", cfg.Transfers[0])
		}
	}
}

func TestCanonicalOrderIsThatOfRFC4034(t *testing.T) {
	var want []name
	for _, s := range []string{"example.", "a.example.", "yljkjljk.a.example.", "Z.a.example.", "zABC.a.EXAMPLE.", "z.example.", "\\001.z.example.", "*.z.example.", "\\200.z.example."} {
		n, err := parseName(s)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, n)
	}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, canonicalOrder)
	if !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}

func TestLdnsVerifiesTheSignedZone(t *testing.T) {
	program := peer(t, "ldns-verify-zone")
	for _, algorithm := range []uint8{dnssec.ECDSAP256, dnssec.Ed25519} {
		s := signedRich(t, algorithm, 1000)
		list, err := s.Records("example.test")
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "signed.zone")
		if err := os.WriteFile(path, []byte(lines(list)), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), program, "-t", signedAt.Format("20060102150405"), path).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "Zone is verified and complete") {
			t.Errorf("%v\n%s\n%s", err, out, lines(list))
		}
	}
}
