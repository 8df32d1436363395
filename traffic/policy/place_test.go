package policy

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/proa-cloud/proa"
)

func TestTheNarrowestPlaceCounts(t *testing.T) {
	var a Atlas
	if !a.Empty() {
		t.Error("not empty")
	}
	for class, add := range [][3][]string{
		1: {{"EU", "NA"}, nil, nil}, 2: {nil, {"DE", "US"}, nil}, 3: {nil, nil, {"US-CA"}},
	} {
		if err := a.Add(uint16(class), add[0], add[1], add[2]); err != nil {
			t.Fatal(err)
		}
	}
	for p, want := range map[Place]uint16{
		{"EU", "FR", ""}: 1, {"EU", "DE", "DE-BY"}: 2, {"NA", "US", "US-CA"}: 3, {"NA", "US", "US-NY"}: 2,
		{"AS", "JP", ""}: 0, {}: 0, {Country: "US"}: 2,
	} {
		if got := a.Class(p); got != want {
			t.Errorf("%s is of class %d, want %d", p, got, want)
		}
	}
}

func TestPlacesAreChecked(t *testing.T) {
	for _, add := range [][3][]string{
		{{"EUROPE"}},
		{{"DE"}},
		{nil, {"de"}},
		{nil, {"Germany"}},
		{nil, nil, {"CA"}},
		{nil, nil, {"US-"}},
		{nil, nil, {"US-CALI"}},
		{{"EU", "EU"}},
		{nil, {""}},
		{{" "}},
		{{"A "}},
	} {
		var a Atlas
		if err := a.Add(1, add[0], add[1], add[2]); !errors.Is(err, proa.ErrInvalidConfig) {
			t.Errorf("%v: %v", add, err)
		}
	}
}

func TestGivenNetworksCountForMoreThanPlaces(t *testing.T) {
	entry := func(p string, class uint16) Entry { return Entry{netip.MustParsePrefix(p), class} }
	table := NewTable(Under(
		[]Entry{entry("10.0.0.0/8", 1), entry("10.5.0.0/16", 2), entry("2001:db8::/32", 1)},
		[]Entry{
			entry("10.4.0.0/15", 9), entry("10.5.6.0/24", 9), entry("8.0.0.0/5", 9), entry("2001:db8:1::/48", 9),
			entry("2001:db9::/32", 9),
		},
	))
	for a, want := range map[string]uint16{
		"10.4.1.1": 1, "10.5.6.7": 2, "10.9.9.9": 1, "9.1.1.1": 9, "11.1.1.1": 9, "2001:db8:1::1": 1, "2001:db9::1": 9,
		"16.0.0.1": 0,
	} {
		if got, _ := table.Find(netip.MustParseAddr(a)); got != want {
			t.Errorf("%s is of class %d, want %d", a, got, want)
		}
	}
}
