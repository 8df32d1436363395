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
	// Subnet chooses by the client's network, Latency by round-trip times from there.
	Subnet  *Match `yaml:"subnet,omitempty"`
	Latency *Match `yaml:"latency,omitempty"`
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

// Branch is one of a Match.
type Branch struct {
	// Networks are those of the clients.
	Networks []string `yaml:"networks"`
	// To is where they are sent, in a subnet policy.
	To Route `yaml:"to,omitempty"`
	// RTT is how far each endpoint is from them, in a latency policy: the nearest that is up is taken.
	RTT map[string]Duration `yaml:"rtt,omitempty"`
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
		r.Subnet == nil && r.Latency == nil
}

// Compile compiles the record's policy. Errors wrap proa.ErrInvalidConfig.
func (c Config) Compile(r Record) (*policy.Policy, error) {
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
	if p.Root, err = r.Policy.node(); err != nil {
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

func (r Route) node() (policy.Node, error) {
	n := policy.Node{Endpoint: r.Endpoint}
	for _, part := range []struct {
		from []Route
		to   *[]policy.Node
	}{{r.Failover, &n.Failover}, {r.Multivalue, &n.Multivalue}} {
		for _, inner := range part.from {
			child, err := inner.node()
			if err != nil {
				return n, err
			}
			*part.to = append(*part.to, child)
		}
	}
	if r.Weighted != nil {
		n.Weighted = &policy.Weighted{PerQuery: r.Weighted.PerQuery}
		for _, b := range r.Weighted.Branches {
			child, err := b.To.node()
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
	if r.Subnet != nil && r.Latency != nil {
		return n, fmt.Errorf("subnet and latency side by side: %w", proa.ErrInvalidConfig)
	}
	for kind, m := range map[string]*Match{"subnet": r.Subnet, "latency": r.Latency} {
		if m == nil {
			continue
		}
		var err error
		if n.Match, err = m.match(kind); err != nil {
			return n, fmt.Errorf("%s: %w", kind, err)
		}
	}
	return n, nil
}

func (m Match) match(kind string) (*policy.Match, error) {
	out := &policy.Match{Kind: kind}
	for i, b := range m.Branches {
		child, err := b.node(kind)
		if err != nil {
			return nil, err
		}
		out.Branches = append(out.Branches, policy.Branch{Name: strings.Join(b.Networks, ", "), Node: child})
		for _, text := range b.Networks {
			p, err := netip.ParsePrefix(text)
			if err != nil {
				return nil, fmt.Errorf("network %q: %w: %w", text, proa.ErrInvalidConfig, err)
			}
			out.Entries = append(out.Entries, policy.Entry{Network: p, Class: uint16(i + 1)}) //nolint:gosec // bounded by the tree
		}
	}
	if m.Default != nil {
		child, err := m.Default.node()
		if err != nil {
			return nil, err
		}
		out.Default = &child
	}
	return out, nil
}

// node is where a branch's clients go: as it says, or to the nearest endpoint that is up.
func (b Branch) node(kind string) (policy.Node, error) {
	if kind == "subnet" {
		if len(b.RTT) > 0 {
			return policy.Node{}, fmt.Errorf("rtt is for latency policies: %w", proa.ErrInvalidConfig)
		}
		return b.To.node()
	}
	if len(b.RTT) == 0 || !b.To.IsZero() {
		return policy.Node{}, fmt.Errorf("a latency branch has rtt, and no to: %w", proa.ErrInvalidConfig)
	}
	var names []string
	for name := range b.RTT {
		names = append(names, name)
	}
	slices.SortFunc(names, func(x, y string) int {
		if d := b.RTT[x] - b.RTT[y]; d != 0 {
			return int(d)
		}
		return strings.Compare(x, y)
	})
	var n policy.Node
	for _, name := range names {
		n.Failover = append(n.Failover, policy.Node{Endpoint: name})
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
		if _, err := c.Compile(r); err != nil {
			return f.Errorf(path+".policy", "see docs/DECISIONS.md", "%v", err)
		}
	}
	return nil
}
