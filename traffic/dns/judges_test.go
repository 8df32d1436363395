package dns

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/proa-cloud/proa/traffic/dns/dnssec"
)

// The judges' internet: one server for the root and everything down to proa.test, two for the zone.
const (
	parentAddr = "127.0.71.1"
	zoneAddr1  = "127.0.72.1"
	zoneAddr2  = "127.0.73.1"
)

// parents are the zones above the one that is judged.
var parents = []string{".", "test.", "proa.test."}

// judged serves the demo zone on two addresses, and its parents, all on port 53, where judges look, which
// takes root's rights. It returns the root hints.
func judged(t *testing.T, signed bool) (hints string) {
	t.Helper()
	servers := []netip.Addr{netip.MustParseAddr(zoneAddr1), netip.MustParseAddr(zoneAddr2)}
	zone, record, err := DemoZone("orders.proa.test", servers, 2*time.Second, testRegions)
	if err != nil {
		t.Fatal(err)
	}
	var keys []dnssec.Key
	delegation := []string{
		"orders.proa.test. 3600 IN NS ns1.orders.proa.test.", "orders.proa.test. 3600 IN NS ns2.orders.proa.test.",
		"ns1.orders.proa.test. 3600 IN A " + zoneAddr1, "ns2.orders.proa.test. 3600 IN A " + zoneAddr2,
	}
	if signed {
		key := testKeyAt(t, "orders.proa.test.", dnssec.ECDSAP256, time.Now())
		keys = append(keys, key)
		delegation = append(delegation, dsOf(t, key))
	}
	for i, addr := range servers {
		cfg := demoConfig(t)
		cfg.Zones, cfg.Records, cfg.Signing.Keys = []*Zone{zone}, []Record{record}, keys
		cfg.NSID, cfg.Listen = fmt.Sprintf("node-%d", i+1), []string{addr.String() + ":53"}
		serve(t, cfg)
	}
	serveParents(t, delegation, signed)
	hints = filepath.Join(t.TempDir(), "hints")
	text := ". 3600000 NS ns.root.test.\nns.root.test. 3600000 A " + parentAddr + "\n"
	if err := os.WriteFile(hints, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return hints
}

func dsOf(t *testing.T, key dnssec.Key) string {
	t.Helper()
	signer, err := dnssec.NewSigner(key.Zone, []dnssec.Key{key}, time.Now(), dnssec.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return signer.DS()[0]
}

// serveParents serves everything above the zone from one server, the lowest with the delegation.
func serveParents(t *testing.T, delegation []string, signed bool) {
	t.Helper()
	cfg := demoConfig(t)
	cfg.Zones, cfg.Records, cfg.Listen = nil, nil, []string{parentAddr + ":53"}
	for i := len(parents) - 1; i >= 0; i-- {
		origin := parents[i]
		records := append([]string{
			origin + " 3600 IN SOA ns.root.test. hostmaster.root.test. 1 14400 3600 1209600 3600",
			origin + " 3600 IN NS ns.root.test.",
		}, delegation...)
		if origin != "proa.test." {
			records = append(records, "ns.root.test. 3600 IN A "+parentAddr)
		}
		zone, err := NewZone(origin, records...)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Zones = append(cfg.Zones, zone)
		delegation = []string{origin + " 3600 IN NS ns.root.test."}
		if signed {
			key := testKeyAt(t, origin, dnssec.ECDSAP256, time.Now())
			cfg.Signing.Keys = append(cfg.Signing.Keys, key)
			delegation = append(delegation, dsOf(t, key))
		}
	}
	serve(t, cfg)
}

// accepted are the complaints of zonemaster that are about where the test runs, or about what is meant.
var accepted = map[string]string{
	"NAMESERVER_IP_PRIVATE_NETWORK":       "the judges' internet is loopback",
	"NAMESERVER_IP_WITHOUT_REVERSE":       "the judges' internet has no in-addr.arpa",
	"NO_IPV6_NS_CHILD":                    "the judges' internet is IPv4",
	"NO_IPV6_NS_DEL":                      "the judges' internet is IPv4",
	"SOA_DEFAULT_TTL_MAXIMUM_VALUE_LOWER": "denials live as short as answers, or they would outlive a failover",
	"Z09_MISSING_MAIL_TARGET":             "a zone of a service takes no mail",
}

func TestZonemasterFindsNothing(t *testing.T) {
	zonemaster := peer(t, "zonemaster-cli")
	for _, signed := range []bool{false, true} {
		t.Run(fmt.Sprintf("signed=%t", signed), func(t *testing.T) {
			hints := judged(t, signed)
			out, err := exec.CommandContext(t.Context(), zonemaster, "--hints", hints, "--level", "INFO",
				"--no-ipv6", "--raw", "--no-time", "--no-progress", "orders.proa.test").CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			notes := 0
			for line := range strings.Lines(string(out)) {
				level, tag := strings.Fields(line)[1], strings.Fields(line)[2] // after the seconds
				if level == "INFO" {
					notes++
					continue
				}
				unsigned := tag == "NOT_SIGNED" || tag == "NEITHER_DNSKEY_NOR_DS"
				if accepted[tag] == "" && (signed || !unsigned) {
					t.Error(strings.TrimSpace(line))
				}
			}
			if notes < 40 {
				t.Errorf("it looked at too little:\n%s", out)
			}
		})
	}
}

func TestDNSVizFindsNothing(t *testing.T) {
	dnsviz := peer(t, "dnsviz")
	for _, signed := range []bool{false, true} {
		t.Run(fmt.Sprintf("signed=%t", signed), func(t *testing.T) {
			judged(t, signed)
			probed := filepath.Join(t.TempDir(), "probe.json")
			run := func(args ...string) string {
				out, err := exec.CommandContext(t.Context(), dnsviz, args...).CombinedOutput()
				if err != nil {
					t.Fatalf("dnsviz %v: %v\n%s", args, err, out)
				}
				return string(out)
			}
			run("probe", "-4", "-A", "-a", ".", "-x", ".+:ns.root.test="+parentAddr, "-o", probed,
				"orders.proa.test")
			grok := run("grok", "-l", "warning", "-r", probed)
			for _, code := range regexp.MustCompile(`"code": "(\w+)"`).FindAllStringSubmatch(grok, -1) {
				if !strings.HasSuffix(code[1], "_PRIVATE_IP") { // the judges' internet is loopback
					t.Errorf("%s in\n%s", code[1], grok)
				}
			}
			valid := 0
			for line := range strings.Lines(run("print", "-r", probed)) {
				if !strings.Contains(line, "RRSIG:") && !strings.Contains(line, "PROOF:") {
					continue
				}
				if valid++; !strings.HasSuffix(strings.TrimSpace(line), "[.]") {
					t.Errorf("not valid: %s", line)
				}
			}
			if signed != (valid >= 20) || !strings.Contains(grok, "orders.proa.test.") {
				t.Errorf("%d signatures and proofs", valid)
			}
		})
	}
}
