package policy

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/proa-cloud/proa"
)

// Place is where a network is, by the codes of ISO 3166; "" where it is not known.
type Place struct {
	Continent   string `json:"continent,omitempty"`   // AF, AN, AS, EU, NA, OC or SA
	Country     string `json:"country,omitempty"`     // DE
	Subdivision string `json:"subdivision,omitempty"` // US-CA
}

// String is the place for people.
func (p Place) String() string {
	var list []string
	for _, s := range []string{p.Subdivision, p.Country, p.Continent} {
		if s != "" {
			list = append(list, s)
		}
	}
	return strings.Join(list, ", ")
}

// Atlas says which branch of a policy a place belongs to, counted from 1.
type Atlas struct {
	continents, countries, subdivisions map[string]uint16
}

const continents = " AF AN AS EU NA OC SA "

// Add gives the places of one branch their class. A place that is listed twice, or is no code, is
// refused with proa.ErrInvalidConfig.
func (a *Atlas) Add(class uint16, continentCodes, countries, subdivisions []string) error {
	if a.continents == nil {
		a.continents, a.countries, a.subdivisions =
			map[string]uint16{}, map[string]uint16{}, map[string]uint16{}
	}
	for _, kind := range []struct {
		name  string
		codes []string
		in    map[string]uint16
		valid func(string) bool
	}{
		{"continent", continentCodes, a.continents, func(s string) bool {
			return len(s) == 2 && strings.Contains(continents, " "+s+" ")
		}},
		{"country", countries, a.countries, func(s string) bool { return len(s) == 2 && upper(s) }},
		{"subdivision", subdivisions, a.subdivisions, func(s string) bool {
			country, part, ok := strings.Cut(s, "-")
			return ok && len(country) == 2 && upper(country) && part != "" && len(part) <= 3
		}},
	} {
		for _, code := range kind.codes {
			if !kind.valid(code) {
				return bad("%s %q: want codes such as EU, DE and US-CA", kind.name, code)
			}
			if _, twice := kind.in[code]; twice {
				return bad("%s %s is listed twice", kind.name, code)
			}
			kind.in[code] = class
		}
	}
	return nil
}

func upper(s string) bool {
	for _, r := range s {
		if r < 'A' || r > 'Z' {
			return false
		}
	}
	return true
}

// Class is the branch of a place, 0 for none. The narrowest that is listed counts.
func (a *Atlas) Class(p Place) uint16 {
	if c, ok := a.subdivisions[p.Subdivision]; ok {
		return c
	}
	if c, ok := a.countries[p.Country]; ok {
		return c
	}
	return a.continents[p.Continent]
}

// Empty reports whether no place was added.
func (a *Atlas) Empty() bool {
	return len(a.continents)+len(a.countries)+len(a.subdivisions) == 0
}

// Under puts the networks of places below those that are given by themselves, which count for more
// even where they are wider.
func Under(given, places []Entry) []Entry {
	is, lengths := map[netip.Prefix]bool{}, map[int]bool{}
	for _, e := range given {
		is[e.Network.Masked()], lengths[e.Network.Bits()] = true, true
	}
	inside := func(n netip.Prefix) bool {
		for bits := range lengths {
			if bits <= n.Bits() && is[netip.PrefixFrom(n.Addr(), bits).Masked()] {
				return true
			}
		}
		return false
	}
	var list []Entry
	for _, e := range places {
		if !inside(e.Network) {
			list = append(list, e)
		}
	}
	return append(list, given...)
}

// ErrNoPlaces says that a policy asks for places, and nobody knows them.
var ErrNoPlaces = fmt.Errorf("no traffic.geo.database: %w", proa.ErrInvalidConfig)
