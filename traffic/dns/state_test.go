package dns

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	mdns "github.com/miekg/dns"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/traffic/dns/dnssec"
)

const overNodata = "\nauthority example.test. 30 IN SOA ns.example.test. h.example.test. 1 1 1 1 30"

func overConfig(t *testing.T) Config {
	t.Helper()
	z, err := NewZone("example.test", "@ 60 SOA ns h 1 1 1 1 30", "@ 60 NS ns", "ns 60 A 192.0.2.1",
		"www 60 A 192.0.2.2", "www 60 TXT \"zone\"", "*.w 60 A 192.0.2.3", "deleg 60 NS ns.else.test.", "alias 60 CNAME www",
		"apex 60 CNAME @", "ren 60 DNAME www")
	if err != nil {
		t.Fatal(err)
	}
	cfg := demoConfig(t)
	cfg.Zones = append(cfg.Zones, z)
	return cfg
}

func expect(t *testing.T, s *Server, name, kind, want string) {
	t.Helper()
	q := new(mdns.Msg).SetQuestion(name, mdns.StringToType[kind])
	q.RecursionDesired = false
	if diff := cmp.Diff(want, text(ask(t, s.Current(), q, true))); diff != "" {
		t.Errorf("%s %s (-want +got)\n%s", name, kind, diff)
	}
}

func TestValidationRecordsComeAndGo(t *testing.T) {
	s, err := New(overConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	put := func(name, kind string, values ...string) {
		t.Helper()
		if err := s.PutValidation(Validation{Name: name, Type: kind, Values: values, TTL: time.Minute}); err != nil {
			t.Fatal(err)
		}
	}
	put("_acme-challenge.example.test", "TXT", "one", "two")
	put("_acme-challenge.new.example.test", "TXT", "deep")
	put("asuid.www.example.test", "TXT", strings.Repeat("A", 64))
	put("_x1.WWW.example.test", "CNAME", "_y2.acm-validations.aws.")
	put("www.example.test", "TXT", "over the zone's")
	put("_acme-challenge.a.w.example.test", "TXT", "below a wildcard")
	put("orders.proa.test", "TXT", "beside the plan's addresses")

	expect(t, s, "_acme-challenge.example.test.", "TXT", "NOERROR aa\nanswer _acme-challenge.example.test. 60 IN TXT \"one\"\nanswer _acme-challenge.example.test. 60 IN TXT \"two\"")
	expect(t, s, "_acme-challenge.example.test.", "A", "NOERROR aa"+overNodata)
	expect(t, s, "_acme-challenge.new.example.test.", "TXT", "NOERROR aa\nanswer _acme-challenge.new.example.test. 60 IN TXT \"deep\"")
	expect(t, s, "new.example.test.", "A", "NOERROR aa"+overNodata) // an empty non-terminal
	expect(t, s, "x.new.example.test.", "A", "NXDOMAIN aa"+overNodata)
	expect(t, s, "_x1.www.example.test.", "A", "NOERROR aa\nanswer _x1.www.example.test. 60 IN CNAME _y2.acm-validations.aws.")
	expect(t, s, "www.example.test.", "TXT", "NOERROR aa\nanswer www.example.test. 60 IN TXT \"over the zone's\"")
	expect(t, s, "www.example.test.", "A", "NOERROR aa\nanswer www.example.test. 60 IN A 192.0.2.2")
	expect(t, s, "b.w.example.test.", "A", "NOERROR aa\nanswer b.w.example.test. 60 IN A 192.0.2.3")
	expect(t, s, "a.w.example.test.", "A", "NOERROR aa"+overNodata) // it exists now, so that the wildcard does not cover it
	expect(t, s, "orders.proa.test.", "A", "NOERROR aa\nanswer orders.proa.test. 2 IN A 127.0.64.1")
	expect(t, s, "nope.example.test.", "A", "NXDOMAIN aa"+overNodata)

	if err := s.Apply(proa.Plan{Version: 2, Active: proa.Azure}); err != nil {
		t.Fatal(err)
	}
	expect(t, s, "orders.proa.test.", "A", "NOERROR aa\nanswer orders.proa.test. 2 IN A 127.0.64.2")
	expect(t, s, "orders.proa.test.", "TXT", "NOERROR aa\nanswer orders.proa.test. 60 IN TXT \"beside the plan's addresses\"")

	for _, v := range s.Validations() {
		if err := s.DeleteValidation(v.Name, v.Type, ""); err != nil {
			t.Fatal(err)
		}
	}
	expect(t, s, "www.example.test.", "TXT", "NOERROR aa\nanswer www.example.test. 60 IN TXT \"zone\"")
	expect(t, s, "new.example.test.", "A", "NXDOMAIN aa"+overNodata)
	if err := s.DeleteValidation("www.example.test", "TXT", ""); !errors.Is(err, proa.ErrNotFound) {
		t.Errorf("a second removal gives %v", err)
	}
}

func TestValidationsThatCannotStandAreRefused(t *testing.T) {
	s, err := New(overConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what string
		v    Validation
		want error
	}{
		{"outside our zones", Validation{Name: "x.other.test", Type: "TXT", Values: []string{"x"}}, proa.ErrInvalid},
		{"below a delegation", Validation{Name: "x.deleg.example.test", Type: "TXT", Values: []string{"x"}}, proa.ErrInvalid},
		{"below a DNAME", Validation{Name: "x.ren.example.test", Type: "TXT", Values: []string{"x"}}, proa.ErrInvalid},
		{"another type", Validation{Name: "x.example.test", Type: "A", Values: []string{"192.0.2.1"}}, proa.ErrInvalid},
		{"nothing", Validation{Name: "x.example.test", Type: "TXT"}, proa.ErrInvalid},
		{"too long", Validation{Name: "x.example.test", Type: "TXT", Values: []string{strings.Repeat("x", 256)}}, proa.ErrInvalid},
		{"two targets", Validation{Name: "x.example.test", Type: "CNAME", Values: []string{"a", "b"}}, proa.ErrInvalid},
		{"wildcard", Validation{Name: "*.example.test", Type: "TXT", Values: []string{"x"}}, proa.ErrInvalid},
		{"CNAME beside addresses", Validation{Name: "www.example.test", Type: "CNAME", Values: []string{"a."}}, proa.ErrConflict},
		{"text at a CNAME", Validation{Name: "alias.example.test", Type: "TXT", Values: []string{"x"}}, proa.ErrConflict},
		{"a name too long", Validation{Name: strings.Repeat("x", 64) + ".example.test", Type: "TXT", Values: []string{"x"}}, proa.ErrInvalid},
		{"a fraction of a second", Validation{Name: "x.example.test", Type: "TXT", Values: []string{"x"}, TTL: 1}, proa.ErrInvalid},
	} {
		if err := s.PutValidation(c.v); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.what, err, c.want)
		}
	}
	if n := len(s.Validations()); n != 0 {
		t.Errorf("%d records are kept of refused ones", n)
	}
}

// fakeResolver answers by a table.
type fakeResolver struct {
	mu    sync.Mutex
	table map[string][]netip.Addr
	asked chan string
}

func (f *fakeResolver) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case f.asked <- host:
	default:
	}
	if list := f.table[host]; len(list) > 0 {
		return append([]netip.Addr(nil), list...), nil
	}
	return nil, errors.New("no such host")
}

func (f *fakeResolver) set(host string, list ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.table[host] = nil
	for _, a := range list {
		f.table[host] = append(f.table[host], netip.MustParseAddr(a))
	}
}

func TestApexTakesTheAddressesOfAnother(t *testing.T) {
	cfg := overConfig(t)
	resolver := &fakeResolver{table: map[string][]netip.Addr{}, asked: make(chan string, 1)}
	cfg.Resolver = resolver
	cfg.Aliases = []Alias{
		{Name: "example.test", Target: "d111.cloudfront.test", TTL: time.Second},
		{Name: "flat.example.test", Target: "orders.proa.test", TTL: 5 * time.Second},
	}
	s, _ := serve(t, cfg)
	apex := func() *mdns.Msg {
		q := new(mdns.Msg).SetQuestion("example.test.", mdns.TypeA)
		q.SetEdns0(1232, false)
		return ask(t, s.Current(), q, true)
	}
	<-resolver.asked
	if res := apex(); res.Rcode != mdns.RcodeServerFailure {
		t.Errorf("before the target is known: %s", text(res))
	} else if code, _ := reasonOf(res); code != ReasonNotReady {
		t.Errorf("reason %d", code)
	}
	expect(t, s, "example.test.", "SOA", "NOERROR aa\nanswer example.test. 60 IN SOA ns.example.test. h.example.test. 1 1 1 1 30")
	until := func(want string) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			got := text(apex())
			if got == want {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("got %s\nwant %s", got, want)
			}
		}
	}
	resolver.set("d111.cloudfront.test.", "192.0.2.77", "2001:db8::77")
	until("NOERROR aa rd\nanswer example.test. 1 IN A 192.0.2.77")
	expect(t, s, "example.test.", "AAAA", "NOERROR aa\nanswer example.test. 1 IN AAAA 2001:db8::77")
	expect(t, s, "apex.example.test.", "A", "NOERROR aa\nanswer apex.example.test. 60 IN CNAME example.test.")
	resolver.set("d111.cloudfront.test.") // it fails: the last addresses stay
	<-resolver.asked
	<-resolver.asked
	until("NOERROR aa rd\nanswer example.test. 1 IN A 192.0.2.77")

	expect(t, s, "flat.example.test.", "A", "NOERROR aa\nanswer flat.example.test. 5 IN A 127.0.64.1")
	if err := s.Apply(proa.Plan{Version: 2, Active: proa.Azure}); err != nil {
		t.Fatal(err)
	}
	expect(t, s, "flat.example.test.", "A", "NOERROR aa\nanswer flat.example.test. 5 IN A 127.0.64.2")
	if err := s.Apply(proa.Plan{Version: 3, Active: proa.Azure, Drain: true}); err != nil {
		t.Fatal(err)
	}
	expect(t, s, "flat.example.test.", "A", "NOERROR aa\nanswer flat.example.test. 1 IN A 127.0.64.2")
}

func TestWhatIsPutOverASignedZoneIsSigned(t *testing.T) {
	cfg := overConfig(t)
	cfg.Clock = func() time.Time { return signedAt }
	cfg.Signing.Keys = []dnssec.Key{testKey(t, "example.test.", dnssec.ECDSAP256)}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.PutValidation(Validation{Name: "_acme-challenge.www.example.test", Type: "TXT", Values: []string{"x"}}); err != nil {
		t.Fatal(err)
	}
	keys := keysOf(t, s.Current(), "example.test.")
	for _, kind := range []uint16{mdns.TypeTXT, mdns.TypeA} {
		res := signedAsk(t, s.Current(), "_acme-challenge.www.example.test.", kind)
		checkSigned(t, "over", keys, append(res.Answer, res.Ns...), false)
		if want := map[uint16]string{mdns.TypeTXT: "", mdns.TypeA: "TXT RRSIG NSEC"}[kind]; bitmap(res) != want {
			t.Errorf("type %d: proof %q, want %q", kind, bitmap(res), want)
		}
	}
}

// Two certificates, or one for a domain and all below it, ask for two texts at one name at once.
func TestValidationsAtOneNameStandBesideEachOther(t *testing.T) {
	cfg := overConfig(t)
	cfg.Validations = []Validation{
		{Name: "_x1.example.test", Type: "CNAME", Values: []string{"_y1.acm-validations.aws."}, TTL: time.Minute},
		{Name: "asuid.example.test.", Type: "TXT", Values: []string{"fixed"}, TTL: time.Minute},
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	put := func(name, value string, ttl time.Duration) error {
		return s.PutValidation(Validation{Name: name, Type: "TXT", Values: []string{value}, TTL: ttl})
	}
	const name = "_acme-challenge.example.test"
	for _, value := range []string{"one", "two", "two"} {
		if err := put(name, value, time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	expect(t, s, name+".", "TXT", "NOERROR aa\nanswer "+name+". 60 IN TXT \"one\"\nanswer "+name+". 60 IN TXT \"two\"")
	expect(t, s, "_x1.example.test.", "CNAME", "NOERROR aa\nanswer _x1.example.test. 60 IN CNAME _y1.acm-validations.aws.")
	if err := s.DeleteValidation(name, "TXT", "one"); err != nil {
		t.Fatal(err)
	}
	expect(t, s, name+".", "TXT", "NOERROR aa\nanswer "+name+". 60 IN TXT \"two\"")
	if err := s.DeleteValidation(name, "TXT", "one"); !errors.Is(err, proa.ErrNotFound) {
		t.Errorf("a second removal gives %v", err)
	}
	if err := put("asuid.example.test", "fixed", time.Second); err != nil {
		t.Error(err)
	}
	if err := s.DeleteValidation("asuid.example.test", "TXT", "fixed"); !errors.Is(err, proa.ErrConflict) {
		t.Errorf("one of the configuration: %v", err)
	}
	for i := 0; err == nil && i < 1000; i++ {
		err = put(name, strings.Repeat("x", 200)+string(rune('a'+i%26))+string(rune('a'+i/26)), time.Minute)
	}
	if !errors.Is(err, proa.ErrTooLarge) {
		t.Errorf("texts without end: %v", err)
	}
}
