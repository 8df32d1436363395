package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/internal/strictyaml"
	"github.com/proa-cloud/proa/traffic/policy"
	"github.com/proa-cloud/proa/traffic/rules"
)

// Endpoint is a place besides the two regions to which clients can be sent. It is always up.
type Endpoint struct {
	// Name is how policies call it.
	Name string `yaml:"name"`
	// Addresses are IPv4 or IPv6.
	Addresses []string `yaml:"addresses"`
}

// Record is a name with a routing policy of its own.
type Record struct {
	// Name is in one of the node's zones; the zone's own name takes the place of what the zone has.
	Name string `yaml:"name"`
	// TTL is how long clients may keep the answer; left out: traffic.ttl.
	TTL Duration `yaml:"ttl,omitempty"`
	// Policy chooses the addresses; left out: the active region's.
	Policy Route `yaml:"policy,omitempty"`
	// WhenAllDown is open (as if all were up, the default), closed (no address) or fixed.
	WhenAllDown string `yaml:"when_all_down,omitempty"`
	// Fixed are the addresses for fixed.
	Fixed []string `yaml:"fixed,omitempty"`
	// OnIsolation is answer (the default) or silent: what a node does that is cut off from the others.
	OnIsolation string `yaml:"on_isolation,omitempty"`
}

// Route is a routing policy: an endpoint's name (active, aws, azure or one of endpoints), or one of
// the policies below, which nest.
type Route struct {
	Endpoint string `yaml:"endpoint,omitempty"`
	// Failover takes the first that is up.
	Failover []Route `yaml:"failover,omitempty"`
	// Multivalue gives all that are up.
	Multivalue []Route `yaml:"multivalue,omitempty"`
	// Weighted takes one by chance; a client's network keeps its own.
	Weighted *Weighted `yaml:"weighted,omitempty"`
	// Subnet chooses by the client's network, Geographic by its place, Latency by round-trip times.
	Subnet     *Match `yaml:"subnet,omitempty"`
	Geographic *Match `yaml:"geographic,omitempty"`
	Latency    *Match `yaml:"latency,omitempty"`
}

// Weighted is a choice by chance.
type Weighted struct {
	// PerQuery chooses anew at each query.
	PerQuery bool `yaml:"per_query,omitempty"`
	// Branches are what is chosen from.
	Branches []Share `yaml:"branches"`
}

// Share is a route and its weight.
type Share struct {
	Weight int   `yaml:"weight"`
	To     Route `yaml:"to"`
}

// Match is a choice by where the client is.
type Match struct {
	Branches []Branch `yaml:"branches"`
	// Default is for all other clients, and for those whose branch has nothing up.
	Default *Route `yaml:"default,omitempty"`
}

// SafetyRule refuses planned moves and failbacks, and failovers where it says so.
type SafetyRule struct {
	Name string `yaml:"name"`
	// Allow is a CEL expression that is true where the move may be made; see docs/DECISIONS.md.
	Allow string `yaml:"allow"`
	// Failovers has the rule refuse failovers too.
	Failovers bool `yaml:"failovers,omitempty"`
}

var _ yaml.NodeUnmarshaler = (*Route)(nil)

// UnmarshalYAML reads an endpoint's name or a mapping.
func (r *Route) UnmarshalYAML(node ast.Node) error {
	if s, ok := node.(*ast.StringNode); ok {
		r.Endpoint = s.Value
		return nil
	}
	type plain Route
	return yaml.NodeToValue(node, (*plain)(r), yaml.Strict())
}

// IsZero reports whether no policy was given.
func (r Route) IsZero() bool {
	return r.Endpoint == "" && r.Failover == nil && r.Multivalue == nil && r.Weighted == nil &&
		r.Subnet == nil && r.Geographic == nil && r.Latency == nil
}

// Compile compiles the record's policy; places may be nil where it asks for none. Errors wrap
// proa.ErrInvalidConfig.
func (c Config) Compile(r Record, places Places) (*policy.Policy, error) {
	p := policy.Config{WhenDown: policy.WhenDown(r.WhenAllDown)}
	for region, g := range map[proa.Region]Gateway{
		proa.AWS: c.Regions.AWS.Gateway, proa.Azure: c.Regions.Azure.Gateway,
	} {
		list, err := parseAddresses(g.Addresses)
		if err != nil {
			return nil, err
		}
		p.Endpoints = append(p.Endpoints, policy.Endpoint{
			Name: string(region), Addresses: list, Region: region,
		})
	}
	for _, e := range c.Traffic.Endpoints {
		list, err := parseAddresses(e.Addresses)
		if err != nil {
			return nil, fmt.Errorf("endpoint %s: %w", e.Name, err)
		}
		p.Endpoints = append(p.Endpoints, policy.Endpoint{Name: e.Name, Addresses: list})
	}
	var err error
	if p.Fixed, err = parseAddresses(r.Fixed); err != nil {
		return nil, err
	}
	if r.Policy.IsZero() {
		r.Policy.Endpoint = policy.Active
	}
	if p.Root, err = r.Policy.node(scope{places, c.vantages()}); err != nil {
		return nil, err
	}
	return policy.Compile(p)
}

func parseAddresses(texts []string) ([]netip.Addr, error) {
	var list []netip.Addr
	for _, text := range texts {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return nil, fmt.Errorf("address %q: %w: %w", text, proa.ErrInvalidConfig, err)
		}
		list = append(list, a)
	}
	return list, nil
}

func (r Route) node(in scope) (policy.Node, error) {
	n := policy.Node{Endpoint: r.Endpoint}
	for _, part := range []struct {
		from []Route
		to   *[]policy.Node
	}{{r.Failover, &n.Failover}, {r.Multivalue, &n.Multivalue}} {
		for _, inner := range part.from {
			child, err := inner.node(in)
			if err != nil {
				return n, err
			}
			*part.to = append(*part.to, child)
		}
	}
	if r.Weighted != nil {
		n.Weighted = &policy.Weighted{PerQuery: r.Weighted.PerQuery}
		for _, b := range r.Weighted.Branches {
			child, err := b.To.node(in)
			if err != nil {
				return n, err
			}
			if b.Weight < 0 || b.Weight > 1_000_000 {
				return n, fmt.Errorf("weight %d: want 0 to 1,000,000: %w", b.Weight, proa.ErrInvalidConfig)
			}
			n.Weighted.Branches = append(n.Weighted.Branches, policy.Share{
				Weight: uint32(b.Weight), Node: child,
			})
		}
	}
	matches := map[string]*Match{"subnet": r.Subnet, "geographic": r.Geographic, "latency": r.Latency}
	for kind, m := range matches {
		if m == nil {
			continue
		}
		if n.Match != nil {
			return n, fmt.Errorf("%s beside %s: one of them: %w", kind, n.Match.Kind, proa.ErrInvalidConfig)
		}
		var err error
		if n.Match, err = m.match(kind, in); err != nil {
			return n, fmt.Errorf("%s: %w", kind, err)
		}
	}
	return n, nil
}

// SafetyRules compiles the rules. Errors wrap proa.ErrInvalid.
func (t Traffic) SafetyRules() ([]*rules.Expression, error) {
	var list []*rules.Expression
	for _, r := range t.Rules {
		e, err := rules.Compile(r.Name, r.Allow, r.Failovers)
		if err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	return list, nil
}

func (c Config) checkRecords(f *strictyaml.File) error {
	t := c.Traffic
	if t.MinBetween < 0 || t.MinBetween.D() > 24*time.Hour {
		return f.Errorf("traffic.min_between", "from 0s to 24h", "%s is out of range", t.MinBetween)
	}
	if _, err := t.SafetyRules(); err != nil {
		return f.Errorf("traffic.rules", "see docs/DECISIONS.md", "%v", err)
	}
	last := 0
	for i, s := range t.Stages {
		if s <= last || s > 99 || len(t.Stages) > 10 {
			return f.Errorf(fmt.Sprintf("traffic.stages[%d]", i), "at most ten, rising, from 1 to 99",
				"%d does not follow %d", s, last)
		}
		last = s
	}
	if t.StageTime < 0 || t.StageTime.D() > 24*time.Hour {
		return f.Errorf("traffic.stage_time", "from 0s to 24h", "%s is out of range", t.StageTime)
	}
	if len(t.Records) > 10_000 {
		return f.Errorf("traffic.records", "at most 10,000", "%d records", len(t.Records))
	}
	var names []string
	for i, r := range t.Records {
		path := fmt.Sprintf("traffic.records[%d]", i)
		name := strings.ToLower(strings.TrimSuffix(r.Name, "."))
		switch {
		case name == "" || slices.Contains(names, name):
			return f.Errorf(path+".name", "name each record once", "%q is missing or listed twice", r.Name)
		case r.OnIsolation != "" && r.OnIsolation != "answer" && r.OnIsolation != "silent":
			return f.Errorf(path+".on_isolation", "answer or silent", "%q is neither", r.OnIsolation)
		case r.TTL < 0 || r.TTL.D() > 7*24*time.Hour || r.TTL.D()%time.Second != 0:
			return f.Errorf(path+".ttl", "whole seconds up to a week", "%s is out of range", r.TTL)
		}
		names = append(names, name)
		if len(c.Regions.AWS.Gateway.Addresses) == 0 || len(c.Regions.Azure.Gateway.Addresses) == 0 {
			continue // `proa up` gives them
		}
		var asked asking
		if _, err := c.Compile(r, &asked); err != nil {
			return f.Errorf(path+".policy", "see docs/DECISIONS.md", "%v", err)
		}
		if asked.places && t.Geo.Database == "" {
			return f.Errorf(path+".policy", "name a file in MaxMind's format", "it asks for places: %v",
				policy.ErrNoPlaces)
		}
	}
	return nil
}
