package geo

import (
	"errors"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/traffic/geo/geotest"
	"github.com/proa-cloud/proa/traffic/policy"
)

var networks = map[string]any{
	"192.0.2.0/25": geotest.MaxMind("EU", "DE", ""), "192.0.2.128/26": geotest.MaxMind("EU", "DE", "BY"),
	"192.0.2.192/26":     geotest.MaxMind("EU", "FR", ""),
	"198.51.100.0/24":    geotest.MaxMind("NA", "US", "CA"),
	"203.0.113.0/24":     map[string]any{"continent": map[string]any{"code": "AS"}, "registered_country": map[string]any{"iso_code": "JP"}},
	"2001:db8::/33":      geotest.MaxMind("EU", "DE", ""),
	"2001:db8:8000::/33": geotest.MaxMind("EU", "AT", ""),
}

func open(t *testing.T, path string) *Database {
	t.Helper()
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestLookup(t *testing.T) {
	d := open(t, geotest.Write(t, "GeoLite2-City", networks))
	for address, want := range map[string]string{
		"192.0.2.1": "DE, EU in 192.0.2.0/25", "192.0.2.130": "DE-BY, DE, EU in 192.0.2.128/26",
		"198.51.100.7": "US-CA, US, NA in 198.51.100.0/24", "::ffff:198.51.100.7": "US-CA, US, NA in 198.51.100.0/24",
		"203.0.113.1": "JP, AS in 203.0.113.0/24", "2001:db8:8000::1": "AT, EU in 2001:db8:8000::/33",
		"8.8.8.8": "", "2001:db9::1": "",
	} {
		p, network, ok := d.Lookup(netip.MustParseAddr(address))
		got := ""
		if ok {
			got = p.String() + " in " + network.String()
		}
		if got != want {
			t.Errorf("%s is in %q, want %q", address, got, want)
		}
	}
	if s := d.String(); s != "test.mmdb (GeoLite2-City of 2026-11-24)" {
		t.Error(s)
	}
}

func TestFlatRecordsAreReadToo(t *testing.T) {
	d := open(t, geotest.Write(t, "ipinfo country_asn", map[string]any{
		"192.0.2.0/24": map[string]any{"country": "DE", "continent": "EU"},
	}))
	if p, _, ok := d.Lookup(netip.MustParseAddr("192.0.2.1")); !ok || (p != policy.Place{Continent: "EU", Country: "DE"}) {
		t.Errorf("%+v %v", p, ok)
	}
}

func TestEntriesJoinNeighbours(t *testing.T) {
	d := open(t, geotest.Write(t, "GeoLite2-City", networks))
	var atlas policy.Atlas
	for class, places := range [][3][]string{
		1: {{"EU"}}, 2: {nil, {"US"}}, 3: {nil, nil, {"DE-BY"}},
	} {
		if err := atlas.Add(uint16(class), places[0], places[1], places[2]); err != nil {
			t.Fatal(err)
		}
	}
	got, err := d.Entries(atlas.Class)
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]uint16{}
	for _, e := range got {
		texts[e.Network.String()] = e.Class
	}
	if d := cmp.Diff(map[string]uint16{
		"192.0.2.0/25": 1, "192.0.2.128/26": 3, "192.0.2.192/26": 1, "198.51.100.0/24": 2,
		"2001:db8::/32": 1, // two countries, one branch
	}, texts); d != "" {
		t.Error(d)
	}
}

func TestWhatIsNoDatabaseIsRefused(t *testing.T) {
	good, err := os.ReadFile(geotest.Write(t, "GeoLite2-City", networks))
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"empty":     nil,
		"text":      []byte("192.0.2.0/24 DE\n"),
		"cut short": good[:len(good)/2],
		"beheaded":  good[200:],
	} {
		path := t.TempDir() + "/bad.mmdb"
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); !errors.Is(err, proa.ErrInvalidConfig) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
	}
	asn := geotest.Write(t, "GeoLite2-ASN", map[string]any{"192.0.2.0/24": map[string]any{"autonomous_system_number": 64496}})
	if _, err := Open(asn); err == nil || !strings.Contains(err.Error(), `"GeoLite2-ASN" and names no continent`) {
		t.Errorf("a database without places: %v", err)
	}
	if _, err := Open(t.TempDir() + "/none.mmdb"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// TestDamageIsAnErrorAndNeverAPanic flips bytes of a good file.
func TestDamageIsAnErrorAndNeverAPanic(t *testing.T) {
	path := geotest.Write(t, "GeoLite2-City", networks)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(good); i += 3 {
		bad := append([]byte(nil), good...)
		bad[i] ^= 0x5a
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		d, err := Open(path)
		if err != nil {
			continue
		}
		d.Lookup(netip.MustParseAddr("192.0.2.1"))
		_, _ = d.Entries(func(policy.Place) uint16 { return 1 }) // an error is fine
	}
}
