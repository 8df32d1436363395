package config

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/traffic/policy"
)

const recordsText = `
regions:
  aws: {gateway: {addresses: [192.0.2.1]}}
  azure: {gateway: {addresses: [198.51.100.1]}}
traffic:
  failback: gradual
  min_between: 10m
  rules:
    - {name: office hours, allow: "move.hour >= 8 && move.hour < 18"}
  endpoints:
    - {name: sorry, addresses: [203.0.113.1]}
  records:
    - name: api.orders.proa.test
      ttl: 5s
      when_all_down: fixed
      fixed: [203.0.113.9]
      on_isolation: silent
      policy:
        subnet:
          branches:
            - networks: [10.0.0.0/8]
              to: {failover: [azure, aws, sorry]}
          default:
            latency:
              branches:
                - networks: [172.16.0.0/12]
                  rtt: {aws: 80ms, azure: 12ms}
              default:
                weighted:
                  branches:
                    - {weight: 100, to: aws}
                    - {weight: 0, to: azure}
`

func TestRecordsCompileToPolicies(t *testing.T) {
	c, err := Parse("p.yaml", []byte(recordsText))
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.Compile(c.Traffic.Records[0], nil)
	if err != nil {
		t.Fatal(err)
	}
	for client, want := range map[string]map[string]string{
		"10.1.1.1":   {"": "198.51.100.1", "azure": "192.0.2.1", "aws,azure": "203.0.113.1"},
		"172.16.0.1": {"": "198.51.100.1", "azure": "192.0.2.1", "aws,azure": "203.0.113.9"},
		"9.9.9.9":    {"": "192.0.2.1", "aws,azure": "203.0.113.9"},
	} {
		for down, address := range want {
			plan := proa.Plan{Version: 1, Active: proa.AWS, Down: down}
			tr, err := p.Trace(policy.Situation{Plan: plan}, "api", netip.MustParseAddr(client))
			if err != nil || len(tr.Addresses) != 1 || tr.Addresses[0].String() != address {
				t.Errorf("%s with %q down gets %v (%v), want %s", client, down, tr.Addresses, err, address)
			}
		}
	}
	if list, err := c.Traffic.SafetyRules(); err != nil || len(list) != 1 {
		t.Errorf("%v %v", list, err)
	}
}

func TestRecordsSurviveSaving(t *testing.T) {
	c, err := Parse("p.yaml", []byte(recordsText))
	if err != nil {
		t.Fatal(err)
	}
	path := t.TempDir() + "/proa.yaml"
	if err := c.Save(path); err != nil {
		t.Fatal(err)
	}
	again, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := Diff(c, again); len(d) != 0 {
		t.Errorf("%+v", d)
	}
}

func TestBadRecordsAreRefusedWithTheirPlace(t *testing.T) {
	for old, fresh := range map[string]string{
		"[azure, aws, sorry]":     "[azure, mars]",
		"10.0.0.0/8":              "10.0.0.0/99",
		"when_all_down: fixed":    "when_all_down: closed",
		"on_isolation: silent":    "on_isolation: loud",
		"ttl: 5s":                 "ttl: 5ms",
		"move.hour >= 8":          "move.hour >=",
		"weight: 100":             "weight: -1",
		"failback: gradual":       "failback: soon",
		"to: {failover":           "to: {failovr",
		"min_between: 10m":        "min_between: -1s",
		"rtt: {aws: 80ms, azu":    "to: aws, rtt: {aws: 80ms, azu",
		"[203.0.113.9]":           "[nowhere]",
		"failback: gradual\n":     "failback: gradual\n  stages: [10, 5]\n",
		"api.orders.proa.test":    "\"\"",
		"addresses: [203.0.113.1": "addresses: [300.0.113.1",
	} {
		text := strings.Replace(recordsText, old, fresh, 1)
		if text == recordsText {
			t.Fatalf("nothing changed by %q", old)
		}
		if _, err := Parse("p.yaml", []byte(text)); !errors.Is(err, proa.ErrInvalidConfig) {
			t.Errorf("%s → %s: %v", old, fresh, err)
		}
	}
}

// earth knows three networks.
type earth struct{}

func (earth) Entries(class func(policy.Place) uint16) ([]policy.Entry, error) {
	var list []policy.Entry
	for network, place := range map[string]policy.Place{
		"192.0.2.0/24":    {Continent: "EU", Country: "DE"},
		"198.51.100.0/24": {Continent: "NA", Country: "US", Subdivision: "US-CA"},
		"203.0.113.0/24":  {Continent: "AS", Country: "JP"},
	} {
		list = append(list, policy.Entry{Network: netip.MustParsePrefix(network), Class: class(place)})
	}
	return list, nil
}

const placesText = `
node: {name: west}
cluster:
  ca: ca.crt
  certificate: west.crt
  key: west.key
  nodes:
    - {name: west, address: "10.0.0.1:7000", dns: 10.0.0.1}
    - {name: east, address: "10.0.0.2:7000", dns: 10.0.0.2}
    - {name: off, address: "10.0.0.3:7000", dns: 10.0.0.3}
regions:
  aws: {gateway: {addresses: [192.0.2.1]}}
  azure: {gateway: {addresses: [198.51.100.1]}}
traffic:
  geo: {database: places.mmdb}
  endpoints:
    - {name: sorry, addresses: [203.0.113.1]}
  records:
    - name: api.orders.proa.test
      policy:
        geographic:
          branches:
            - {continents: [EU], to: azure}
            - {countries: [US], networks: [192.0.2.128/25], to: aws}
          default:
            latency:
              branches:
                - {continents: [AS], near: east}
              default: sorry
`

func TestPlacesAndMeasurementsCompileToPolicies(t *testing.T) {
	c, err := Parse("p.yaml", []byte(placesText))
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.Compile(c.Traffic.Records[0], earth{})
	if err != nil {
		t.Fatal(err)
	}
	near := map[string]policy.Near{"east": {Order: []string{"azure", "aws"}}}
	for client, want := range map[string]string{
		"192.0.2.1": "198.51.100.1", "192.0.2.200": "192.0.2.1", "198.51.100.7": "192.0.2.1",
		"203.0.113.7": "198.51.100.1", "8.8.8.8": "203.0.113.1",
	} {
		now := policy.Situation{Plan: proa.Plan{Version: 1, Active: proa.AWS}, Near: near}
		tr, err := p.Trace(now, "api", netip.MustParseAddr(client))
		if err != nil || len(tr.Addresses) != 1 || tr.Addresses[0].String() != want {
			t.Errorf("%s gets %v (%v), want %s", client, tr.Addresses, err, want)
		}
	}
	if _, err := c.Compile(c.Traffic.Records[0], nil); !errors.Is(err, policy.ErrNoPlaces) {
		t.Errorf("without a database: %v", err)
	}
	if !c.Spreads(c.Traffic.Records[0]) {
		t.Error("regions that are not active do not count")
	}
}

func TestBadPlacesAreRefusedWithTheirPlace(t *testing.T) {
	for old, fresh := range map[string]string{
		"geo: {database: places.mmdb}":           "ttl: 5s",
		"[EU]":                                   "[EUROPE]",
		"[US]":                                   "[us]",
		"near: east":                             "near: north",
		"continents: [AS], near: east":           "continents: [AS], near: east, rtt: {aws: 1ms}",
		"{continents: [AS], near: east}":         "{continents: [AS], to: aws}",
		"{continents: [EU], to: azure}":          "{to: azure}",
		"{countries: [US], networks":             "{near: east, networks",
		"geographic:":                            "subnet:",
		"{countries: [US], networks: [192.0.2.1": "{continents: [EU], networks: [192.0.2.1",
	} {
		changed := strings.Replace(placesText, old, fresh, 1)
		if changed == placesText {
			t.Fatalf("nothing changed by %q", old)
		}
		_, err := Parse("p.yaml", []byte(changed))
		if !errors.Is(err, proa.ErrInvalidConfig) || !strings.Contains(err.Error(), "traffic.records[0].policy") {
			t.Errorf("%s → %s: %v", old, fresh, err)
		}
	}
}
