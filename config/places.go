package config

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/traffic/policy"
)

// Geo says where networks are.
type Geo struct {
	// Database is a file in MaxMind's format with continents, countries or cities; it is read again
	// when it changes.
	Database string `yaml:"database,omitempty"`
}

// Branch is one of a Match.
type Branch struct {
	// Networks are those of the clients. They count for more than places.
	Networks []string `yaml:"networks,omitempty"`
	// Continents (EU), Countries (DE) and Subdivisions (US-CA) are where clients are, in a geographic
	// or latency policy. The narrowest that is listed counts.
	Continents   []string `yaml:"continents,omitempty"`
	Countries    []string `yaml:"countries,omitempty"`
	Subdivisions []string `yaml:"subdivisions,omitempty"`
	// To is where they are sent, in a subnet or geographic policy.
	To Route `yaml:"to,omitempty"`
	// RTT is how far each endpoint is from them, in a latency policy: the nearest that is up is taken.
	RTT map[string]Duration `yaml:"rtt,omitempty"`
	// Near is the node whose probes measure for them, in a latency policy, in the place of rtt.
	Near string `yaml:"near,omitempty"`
}

// Places knows where networks are.
type Places interface {
	// Entries gives each network the class of its place, 0 being none.
	Entries(class func(policy.Place) uint16) ([]policy.Entry, error)
}

// asking notes that a policy asks for places.
type asking struct{ places bool }

func (a *asking) Entries(func(policy.Place) uint16) ([]policy.Entry, error) {
	a.places = true
	return nil, nil
}

// Spreads reports whether the record's answers depend on more than where the plan sends traffic.
func (c Config) Spreads(r Record) bool {
	p, err := c.Compile(r, &asking{})
	return err == nil && p.Spreads()
}

// scope is what policies are compiled in.
type scope struct {
	places   Places
	vantages []string // nil: not known here
}

// vantages are the nodes' names, nil where `proa up` gives them.
func (c Config) vantages() []string {
	var list []string
	for _, n := range c.Cluster.Nodes {
		list = append(list, n.Name)
	}
	return list
}

func (m Match) match(kind string, in scope) (*policy.Match, error) {
	out := &policy.Match{Kind: kind}
	var atlas policy.Atlas
	for i, b := range m.Branches {
		child, err := b.node(kind, in)
		if err != nil {
			return nil, err
		}
		class := uint16(i + 1) //nolint:gosec // bounded by the tree
		out.Branches = append(out.Branches, policy.Branch{Name: b.name(), Node: child})
		for _, text := range b.Networks {
			p, err := netip.ParsePrefix(text)
			if err != nil {
				return nil, fmt.Errorf("network %q: %w: %w", text, proa.ErrInvalidConfig, err)
			}
			out.Entries = append(out.Entries, policy.Entry{Network: p, Class: class})
		}
		if err := atlas.Add(class, b.Continents, b.Countries, b.Subdivisions); err != nil {
			return nil, err
		}
	}
	if !atlas.Empty() {
		if in.places == nil {
			return nil, policy.ErrNoPlaces
		}
		entries, err := in.places.Entries(atlas.Class)
		if err != nil {
			return nil, err
		}
		out.Entries = policy.Under(out.Entries, entries)
	}
	if m.Default != nil {
		child, err := m.Default.node(in)
		if err != nil {
			return nil, err
		}
		out.Default = &child
	}
	return out, nil
}

// name is the branch for people.
func (b Branch) name() string {
	return strings.Join(slices.Concat(b.Subdivisions, b.Countries, b.Continents, b.Networks), ", ")
}

// node is where a branch's clients go: as it says, or to the nearest endpoint that is up.
func (b Branch) node(kind string, in scope) (policy.Node, error) {
	refuse := func(format string, args ...any) (policy.Node, error) {
		return policy.Node{}, fmt.Errorf(format+": %w", append(args, proa.ErrInvalidConfig)...)
	}
	places := len(b.Continents) + len(b.Countries) + len(b.Subdivisions)
	latency := kind == "latency"
	switch {
	case len(b.Networks)+places == 0:
		return refuse("a branch for nobody: no networks and no places")
	case kind == "subnet" && places > 0:
		return refuse("places are for geographic and latency policies")
	case !latency && (len(b.RTT) > 0 || b.Near != ""):
		return refuse("rtt and near are for latency policies")
	case !latency:
		return b.To.node(in)
	case !b.To.IsZero() || (len(b.RTT) > 0) == (b.Near != ""):
		return refuse("a latency branch has rtt or near, and no to")
	case b.Near != "" && in.vantages != nil && !slices.Contains(in.vantages, b.Near):
		return refuse("near %q: the nodes are %s", b.Near, strings.Join(in.vantages, ", "))
	}
	if b.Near != "" {
		n := &policy.Nearest{From: b.Near}
		for _, r := range proa.Regions() {
			n.Among = append(n.Among, string(r))
		}
		return policy.Node{Nearest: n}, nil
	}
	var n policy.Node
	for _, name := range slices.SortedFunc(maps.Keys(b.RTT), func(x, y string) int {
		return cmp.Or(cmp.Compare(b.RTT[x], b.RTT[y]), strings.Compare(x, y))
	}) {
		n.Failover = append(n.Failover, policy.Node{Endpoint: name})
	}
	return n, nil
}
