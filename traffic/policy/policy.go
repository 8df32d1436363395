// Package policy is the name server's routing policies: which endpoints' addresses a client gets.
//
// A policy is a tree. It is compiled once into a table that gives each client's address a class, and
// for each state of health into the answers that there can be and each class's choice among them; so
// a query costs one look into the table and a hash. Everything here is pure.
package policy

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/proa-cloud/proa"
)

// Active is the endpoint that follows the plan: the active region, and in a gradual failback a share
// of clients to the other one.
const Active = "active"

// Endpoint is where clients can be sent.
type Endpoint struct {
	Name      string
	Addresses []netip.Addr
	// Region is whose health counts; "": it is always up.
	Region proa.Region
}

// Node is one node of the tree: exactly one field is set.
type Node struct {
	Endpoint   string
	Failover   []Node    // the first that has an endpoint up
	Multivalue []Node    // all that are up together, at most MaxValues addresses of a family
	Weighted   *Weighted // one of several, by chance
	Match      *Match    // by the client's network or place
	Nearest    *Nearest  // the one that is up and nearest, by what was measured
}

// Weighted chooses among nodes.
type Weighted struct {
	// Branches in the order in which they take clients: when a share grows, it takes only clients
	// that were behind it.
	Branches []Share
	// PerQuery chooses anew at each query. Otherwise a client's network keeps its choice while the
	// shares stay.
	PerQuery bool
}

// Share is a branch and its weight.
type Share struct {
	Weight uint32
	Node   Node
}

// Match chooses by where the client is: subnet, geographic and latency policies.
type Match struct {
	// Kind names the policy for Trace: subnet, geo or latency.
	Kind string
	// Entries give networks a branch, counted from 1.
	Entries  []Entry
	Branches []Branch
	// Default is for all other clients, and for those whose branch has nothing up; nil: nothing.
	Default *Node
}

// Branch is one of a Match.
type Branch struct {
	Name string // for people
	Node Node
}

// WhenDown says what is answered when nothing of the policy is up.
type WhenDown string

// What can be answered when nothing is up.
const (
	Open   WhenDown = "open"   // as if all were up: the checks may be wrong, and nothing is lost by trying
	Closed WhenDown = "closed" // no address
	Fixed  WhenDown = "fixed"  // fixed addresses, such as those of a page that says sorry
)

// The bounds of one policy.
const (
	MaxValues  = 8 // addresses of a family in a multivalue answer
	maxDepth   = 8
	maxNodes   = 256
	maxClasses = 4096
	maxAnswers = 1024
)

// Policy is a compiled tree.
type Policy struct {
	root      Node
	endpoints map[string]Endpoint
	table     *Table
	classes   [][]uint16 // what each class says of each match
	perQuery  bool
	down      WhenDown
	fixed     []netip.Addr
}

// Config is what a policy is compiled from.
type Config struct {
	Root      Node
	Endpoints []Endpoint // regions by their names among them
	WhenDown  WhenDown   // "" is Open
	Fixed     []netip.Addr
}

// Compile checks and compiles. Errors wrap proa.ErrInvalidConfig.
func Compile(c Config) (*Policy, error) {
	p := &Policy{root: c.Root, endpoints: map[string]Endpoint{}, down: c.WhenDown, fixed: c.Fixed}
	if p.down == "" {
		p.down = Open
	}
	for _, e := range c.Endpoints {
		if _, twice := p.endpoints[e.Name]; twice || e.Name == "" || e.Name == Active {
			return nil, bad("endpoint %q: its name is taken, or missing", e.Name)
		}
		if len(e.Addresses) == 0 || len(e.Addresses) > 64 {
			return nil, bad("endpoint %s: %d addresses, want 1 to 64", e.Name, len(e.Addresses))
		}
		p.endpoints[e.Name] = e
	}
	if p.down != Open && p.down != Closed && p.down != Fixed || (p.down == Fixed) != (len(c.Fixed) > 0) {
		return nil, bad("when all are down: %q with %d fixed addresses", p.down, len(c.Fixed))
	}
	k := compiler{policy: p}
	if err := k.node(&p.root, 0); err != nil {
		return nil, err
	}
	p.table, p.classes = join(k.tables)
	if len(p.classes) > maxClasses {
		return nil, bad("%d kinds of clients, at most %d", len(p.classes), maxClasses)
	}
	return p, nil
}

func bad(format string, args ...any) error {
	return fmt.Errorf("policy: "+format+": %w", append(args, proa.ErrInvalidConfig)...)
}

// compiler walks the tree in the order in which evaluation does: matches are known by their place.
type compiler struct {
	policy *Policy
	tables []*Table
	nodes  int
}

func (k *compiler) node(n *Node, depth int) error {
	if k.nodes++; depth > maxDepth || k.nodes > maxNodes {
		return bad("the tree has over %d levels or %d nodes", maxDepth, maxNodes)
	}
	set := 0
	for _, is := range []bool{
		n.Endpoint != "", n.Failover != nil, n.Multivalue != nil, n.Weighted != nil, n.Match != nil,
		n.Nearest != nil,
	} {
		if is {
			set++
		}
	}
	if set != 1 {
		return bad("a node has %d policies, want 1", set)
	}
	if n.Endpoint != "" {
		return k.endpoint(n.Endpoint)
	}
	if n.Nearest != nil {
		return k.nearest(n.Nearest)
	}
	if n.Match != nil {
		if err := k.match(n.Match); err != nil {
			return err
		}
	}
	if n.Weighted != nil {
		if err := k.weighted(n.Weighted); err != nil {
			return err
		}
	}
	list := n.children()
	if len(list) == 0 {
		return bad("a node has no branch")
	}
	for _, child := range list {
		if err := k.node(child, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (k *compiler) endpoint(name string) error {
	if _, ok := k.policy.endpoints[name]; ok || name == Active && k.policy.hasRegions() {
		return nil
	}
	return bad("endpoint %q is not there", name)
}

func (k *compiler) nearest(n *Nearest) error {
	if n.From == "" || len(n.Among) == 0 {
		return bad("nearest: from %q among %d endpoints", n.From, len(n.Among))
	}
	for _, name := range n.Among {
		if name == Active {
			return bad("nearest: %s moves, and has no distance", name)
		}
		if err := k.endpoint(name); err != nil {
			return err
		}
	}
	return nil
}

func (k *compiler) match(m *Match) error {
	for _, e := range m.Entries {
		if int(e.Class) > len(m.Branches) {
			return bad("%s %s: branch %d is not there", m.Kind, e.Network, e.Class)
		}
	}
	k.tables = append(k.tables, NewTable(m.Entries))
	return nil
}

func (k *compiler) weighted(w *Weighted) error {
	sum := uint64(0)
	for _, b := range w.Branches {
		sum += uint64(b.Weight)
	}
	if sum == 0 || sum > 1<<32 {
		return bad("weights sum up to %d", sum)
	}
	k.policy.perQuery = k.policy.perQuery || w.PerQuery
	return nil
}

// children are a node's branches, in a fixed order.
func (n *Node) children() []*Node {
	var list []*Node
	for i := range n.Failover {
		list = append(list, &n.Failover[i])
	}
	for i := range n.Multivalue {
		list = append(list, &n.Multivalue[i])
	}
	if n.Weighted != nil {
		for i := range n.Weighted.Branches {
			list = append(list, &n.Weighted.Branches[i].Node)
		}
	}
	if n.Match != nil {
		for i := range n.Match.Branches {
			list = append(list, &n.Match.Branches[i].Node)
		}
		if n.Match.Default != nil {
			list = append(list, n.Match.Default)
		}
	}
	return list
}

func (p *Policy) hasRegions() bool {
	for _, r := range proa.Regions() {
		if _, ok := p.endpoints[string(r)]; !ok {
			return false
		}
	}
	return true
}

// Spreads reports whether the answer depends on more than where the plan sends traffic, so that the
// health of regions that are not active matters.
func (p *Policy) Spreads() bool { return p.root.Endpoint != Active || p.down != Open }

// Addresses lists all that the policy can answer with.
func (p *Policy) Addresses() []netip.Addr {
	list := slices.Clone(p.fixed)
	for _, e := range p.endpoints {
		list = append(list, e.Addresses...)
	}
	slices.SortFunc(list, netip.Addr.Compare)
	return slices.Compact(list)
}
