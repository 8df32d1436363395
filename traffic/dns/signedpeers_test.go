package dns

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/proa-cloud/proa/traffic/dns/dnssec"
)

// signedServer serves the rich zone and the demo zone, both signed, and returns the address and a
// file of trust anchors for delv.
func signedServer(t *testing.T, algorithm uint8) (addr, anchors string) {
	t.Helper()
	cfg := demoConfig(t)
	rich, err := ParseZone(strings.NewReader(fmt.Sprintf(richZone, strings.Repeat("x", 250))), "example.test", "rich.zone")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Zones = append(cfg.Zones, rich)
	var text strings.Builder
	text.WriteString("trust-anchors {\n")
	for _, zone := range []string{"orders.proa.test.", "example.test."} {
		k, err := dnssec.Generate(zone, algorithm, true, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		cfg.Signing.Keys = append(cfg.Signing.Keys, k)
		signer, err := dnssec.NewSigner(zone, []dnssec.Key{k}, time.Now(), dnssec.Options{})
		if err != nil {
			t.Fatal(err)
		}
		fields := strings.Fields(signer.DS()[0]) // name ttl IN DS tag algorithm digest hash
		fmt.Fprintf(&text, "  %s static-ds %s %s %s %q;\n", zone, fields[4], fields[5], fields[6], fields[7])
	}
	text.WriteString("};\n")
	anchors = filepath.Join(t.TempDir(), "anchors")
	if err := os.WriteFile(anchors, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	_, addr = serve(t, cfg)
	return addr, anchors
}

func TestDelvValidatesEveryAnswer(t *testing.T) {
	delv := peer(t, "delv")
	for _, algorithm := range []uint8{dnssec.ECDSAP256, dnssec.Ed25519} {
		addr, anchors := signedServer(t, algorithm)
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct{ question, root, want string }{
			{"orders.proa.test A", "orders.proa.test", "; fully validated"},
			{"orders.proa.test TXT", "orders.proa.test", "; fully validated"},
			{"orders.proa.test AAAA", "orders.proa.test", "; negative response, fully validated"},
			{"nope.orders.proa.test A", "orders.proa.test", "; negative response, fully validated"},
			{"example.test SOA", "example.test", "; fully validated"},
			{"example.test DNSKEY", "example.test", "; fully validated"},
			{"example.test CDS", "example.test", "; fully validated"},
			{"web.example.test A", "example.test", "; fully validated"},
			{"www.example.test A", "example.test", "; fully validated"},
			{"foo.wild.example.test A", "example.test", "; fully validated"},
			{"a.b.wild.example.test TXT", "example.test", "; fully validated"},
			{"q.cwild.example.test A", "example.test", "; fully validated"},
			{"host.old.example.test A", "example.test", "; fully validated"},
			{"https.example.test HTTPS", "example.test", "; fully validated"},
			{"strange.example.test TYPE65280", "example.test", "; fully validated"},
			{"sub.example.test DS", "example.test", "; fully validated"},
			{"other.example.test DS", "example.test", "; negative response, fully validated"},
			{"b.c.example.test A", "example.test", "; negative response, fully validated"},
			{"foo.wild.example.test MX", "example.test", "; negative response, fully validated"},
			{"x.y.z.example.test A", "example.test", "; negative response, fully validated"},
		} {
			args := append([]string{"@" + host, "-p", port, "-a", anchors, "+root=" + c.root}, strings.Fields(c.question)...)
			out, err := exec.CommandContext(t.Context(), delv, args...).CombinedOutput()
			if err != nil || !strings.Contains(string(out), c.want) {
				t.Errorf("algorithm %d, %s: %v\n%s", algorithm, c.question, err, out)
			}
		}
	}
}
