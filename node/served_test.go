package node

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/proa-cloud/proa/config"
	"github.com/proa-cloud/proa/traffic"
	"github.com/proa-cloud/proa/traffic/geo/geotest"
)

const servedZone = "$ORIGIN files.test.\n@ 60 IN SOA ns.files.test. root.files.test. SERIAL 60 60 60 60\n" +
	"@ 60 IN NS ns.files.test.\nns 60 IN A 192.0.2.53\n"

// serving is a node with a name server that answers from a zone file and a database of places.
type serving struct {
	*node
	t            *testing.T
	zone, places string
	text         string // proa.yaml
	file         string
}

func newServing(t *testing.T) *serving {
	t.Helper()
	dir := t.TempDir()
	s := &serving{
		t: t, zone: filepath.Join(dir, "files.zone"), places: filepath.Join(dir, "places.mmdb"),
		file: filepath.Join(dir, "proa.yaml"),
	}
	s.write(s.zone, strings.Replace(servedZone, "SERIAL", "1", 1))
	s.country("DE")
	s.text = `
node: {dns: ["127.0.0.1:0"], dir: ` + dir + `, name: node-1}
zone: orders.proa.test
dns: {zones: [` + s.zone + `]}
regions:
  aws: {gateway: {addresses: [192.0.2.1], url: "https://aws.example"}}
  azure: {gateway: {addresses: [198.51.100.1], url: "https://azure.example"}}
traffic:
  geo: {database: ` + s.places + `}
  records:
    - name: api.orders.proa.test
      policy:
        geographic:
          branches: [{countries: [FR], to: azure}]
          default: aws
`
	s.write(s.file, s.text)
	cfg, err := config.Load(s.file)
	if err != nil {
		t.Fatal(err)
	}
	s.node = &node{cfg: cfg, clock: time.Now, logger: slog.New(slog.DiscardHandler)}
	if err := s.newDNS(); err != nil {
		t.Fatal(err)
	}
	if err := s.dns.Bind(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.dns.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	s.reload = newReloader(s.node, s.file)
	s.served.look(false)
	return s
}

func (s *serving) write(path, text string) {
	s.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	soon := time.Now().Add(time.Duration(len(text)) * time.Second) // another time, whatever the clock's grain
	if err := os.Chtimes(path, soon, soon); err != nil {
		s.t.Fatal(err)
	}
}

// country places a client's network.
func (s *serving) country(code string) {
	s.write(s.places, string(geotest.File("GeoLite2-Country", map[string]any{
		"203.0.113.0/24": geotest.MaxMind("EU", code, ""),
	})))
	soon := time.Now().Add(time.Duration(code[0]) * time.Hour)
	if err := os.Chtimes(s.places, soon, soon); err != nil {
		s.t.Fatal(err)
	}
}

// look is two looks: a file must have been left alone between them.
func (s *serving) look() {
	s.served.look(false)
	s.served.look(false)
}

// answer is where a client in 203.0.113.0/24 is sent.
func (s *serving) answer() string {
	s.t.Helper()
	e, ok, err := s.dns.Explain("api.orders.proa.test", netip.MustParseAddr("203.0.113.7"))
	if err != nil || !ok || len(e.Trace.Addresses) != 1 {
		s.t.Fatalf("%+v %v %v", e, ok, err)
	}
	return e.Trace.Addresses[0].String()
}

func (s *serving) wrong() string {
	for _, f := range s.served.status() {
		if f.Error != "" {
			return f.Error
		}
	}
	return ""
}

func TestZoneFilesAreReadAgain(t *testing.T) {
	s := newServing(t)
	serial := func() uint32 {
		m := new(mdns.Msg).SetQuestion("files.test.", mdns.TypeSOA)
		c := mdns.Client{Timeout: 20 * time.Second}
		reply, _, err := c.Exchange(m, s.dns.Addrs()[0].String())
		if err != nil || len(reply.Answer) != 1 {
			t.Fatal(reply, err)
		}
		return reply.Answer[0].(*mdns.SOA).Serial
	}
	s.write(s.zone, strings.Replace(servedZone, "SERIAL", "12", 1))
	s.served.look(false)
	if serial() != 1 {
		t.Error("a file that may still be being written was read")
	}
	if s.served.look(false); serial() != 12 || s.wrong() != "" {
		t.Errorf("serial %d, %q", serial(), s.wrong())
	}
	s.write(s.zone, strings.Replace(servedZone, "SERIAL", "7", 1))
	if s.look(); serial() != 12 || !strings.Contains(s.wrong(), "serial 7 is behind 12") {
		t.Errorf("a serial that goes back: %d, %q", serial(), s.wrong())
	}
	s.write(s.zone, strings.Replace(servedZone, "SERIAL", "133", 1)+"www 60 IN A 300.0.0.1\n")
	if s.look(); serial() != 12 || !strings.Contains(s.wrong(), "files.zone:5:") {
		t.Errorf("a mistake: %d, %q", serial(), s.wrong())
	}
	if err := os.Remove(s.zone); err != nil {
		t.Fatal(err)
	}
	if s.look(); serial() != 12 {
		t.Error("a file that is gone took its zone with it")
	}
	s.write(s.zone, strings.Replace(servedZone, "SERIAL", "1444", 1))
	if s.look(); serial() != 1444 || s.wrong() != "" {
		t.Errorf("put right: %d, %q", serial(), s.wrong())
	}
}

func TestPlacesAreReadAgain(t *testing.T) {
	s := newServing(t)
	if a := s.answer(); a != "192.0.2.1" {
		t.Fatalf("in DE: %s", a)
	}
	s.country("FR")
	if s.look(); s.answer() != "198.51.100.1" {
		t.Errorf("in FR: %s, %q", s.answer(), s.wrong())
	}
	if where := s.served.where(netip.MustParseAddr("203.0.113.7")); !strings.Contains(where, "is in 203.0.113.0/24: FR, EU, by places.mmdb") {
		t.Error(where)
	}
	s.write(s.places, "no database")
	if s.look(); s.answer() != "198.51.100.1" || !strings.Contains(s.wrong(), "places.mmdb") {
		t.Errorf("a bad file: %s, %q", s.answer(), s.wrong())
	}
	s.country("AT")
	if s.look(); s.answer() != "192.0.2.1" || s.wrong() != "" {
		t.Errorf("in AT: %s, %q", s.answer(), s.wrong())
	}
}

func TestRecordsOfAChangedConfigurationAreServedAtOnce(t *testing.T) {
	s := newServing(t)
	fresh, err := config.Parse("p.yaml", []byte(strings.Replace(s.text, "default: aws", "default: azure", 1)))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range config.Diff(s.cfg, fresh) {
		if !c.Live {
			t.Errorf("%+v waits for a restart", c)
		}
	}
	if sameRecords(s.cfg, fresh) {
		t.Fatal("no change")
	}
	if err := s.served.take(s.reload.applied(fresh)); err != nil || s.answer() != "198.51.100.1" {
		t.Errorf("%v: %s", err, s.answer())
	}
	outside, err := config.Parse("p.yaml", []byte(strings.Replace(s.text, "api.orders.proa.test", "api.example.org", 1)))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.served.take(s.reload.applied(outside)); err == nil || s.answer() != "198.51.100.1" {
		t.Errorf("a record outside all zones: %v", err)
	}
	s.look()
	if s.answer() != "198.51.100.1" {
		t.Error("looking at the files forgot the records")
	}
}

// TestAConfigurationIsInForceWhollyOrNot: its records are served before its policy is taken, which may fail.
func TestAConfigurationIsInForceWhollyOrNot(t *testing.T) {
	s := newServing(t)
	var err error
	s.traffic, err = traffic.NewService(traffic.ServiceConfig{ // it does not run, and takes nothing
		Policy: s.policy(s.cfg), Store: traffic.FileStore{Path: filepath.Join(t.TempDir(), "plan.json")},
		Replication: func() []traffic.Replication { return nil }, Clock: time.Now, Logger: s.logger,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	end()
	s.write(s.file, "primary: azure\n"+strings.Replace(s.text, "default: aws", "default: azure", 1))
	s.reload.look(ctx, false)
	if s.reload.status.Error == "" || s.answer() != "192.0.2.1" || s.inForce().Primary != "aws" {
		t.Errorf("%q: %s is served, %s in force", s.reload.status.Error, s.answer(), s.inForce().Primary)
	}
}
