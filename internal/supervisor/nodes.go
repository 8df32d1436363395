package supervisor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/config"
	"github.com/proa-cloud/proa/internal/netfault"
	"github.com/proa-cloud/proa/traffic/cluster"
)

// NodeAddresses are one node's.
type NodeAddresses struct {
	Name    string `json:"name"`
	Control string `json:"control"` // its control API
	DNS     string `json:"dns"`
	Console string `json:"console"` // its web console
	Cluster string `json:"cluster"` // where the other nodes reach it, through a link of their own each
}

// Counts of nodes that `proa up` can run: one alone, or three or five that decide together.
const (
	defaultNodes = 3
	maxNodes     = 5
)

// link is one node's way to another, which a partition of either cuts.
type link struct {
	from, to string
	proxy    *netfault.Proxy
}

// place is where a node sits: one beside each cloud, the others elsewhere.
func place(i int) proa.Region {
	if regions := proa.Regions(); i < len(regions) {
		return regions[i]
	}
	return ""
}

func nodeNames(n int) []string {
	var list []string
	for i := range n {
		list = append(list, "node-"+strconv.Itoa(i+1))
	}
	return list
}

// planNodes decides the nodes' addresses, as the last ones where they are still free. The first node
// has the addresses that have flags; each other one's name server has an IP address of its own and
// the same port, where the system lets it.
func planNodes(a *Addresses, last Addresses, count int) error {
	previous := map[string]NodeAddresses{}
	for _, n := range last.Nodes {
		previous[n.Name] = n
	}
	a.Nodes = nil
	for i, name := range nodeNames(count) {
		n, was := NodeAddresses{Name: name, Control: a.Node, DNS: a.DNS, Console: a.Console}, previous[name]
		var err error
		if i > 0 {
			if n.DNS, err = pickNodeDNS(i, a.DNS, was.DNS); err != nil {
				return err
			}
			if n.Control, err = pick("127.0.0.1", was.Control); err != nil {
				return err
			}
			if n.Console, err = pick("127.0.0.1", was.Console); err != nil {
				return err
			}
		}
		// An address of their own: elsewhere an outgoing connection could take a dead node's port.
		ip := "127.0.64.21"
		if !haveAddress(ip) {
			ip = "127.0.0.1"
		}
		if n.Cluster, err = pick(ip, was.Cluster); err != nil {
			return err
		}
		a.Nodes = append(a.Nodes, n)
	}
	return nil
}

func pickNodeDNS(i int, first, last string) (string, error) {
	if last != "" && checkFree(last) == nil && checkFreeUDP(last) == nil {
		return last, nil
	}
	_, port, err := net.SplitHostPort(first)
	if err != nil {
		return "", fmt.Errorf("name server's address: %w", err)
	}
	addr := net.JoinHostPort("127.0.64."+strconv.Itoa(11+i), port)
	if checkFree(addr) == nil && checkFreeUDP(addr) == nil {
		return addr, nil
	}
	return pickDNS("")
}

func haveAddress(ip string) bool {
	ln, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
	if err != nil {
		return false
	}
	ln.Close()
	return true
}

// NodeConfigPathOf is where a node's proa.yaml is written.
func NodeConfigPathOf(dir, name string) string { return filepath.Join(dir, name, "proa.yaml") }

// prepareNodes makes the nodes' processes, the links between them and their credentials.
func (s *Supervisor) prepareNodes() error {
	nodes := s.state.Addresses.Nodes
	for i, n := range nodes {
		c, err := s.child(n.Name, true, "node", "--config", NodeConfigPathOf(s.cfg.Dir, n.Name))
		if err != nil {
			return err
		}
		s.nodes = append(s.nodes, c)
		if i == 0 {
			s.node = c
		}
		if len(nodes) == 1 {
			return nil
		}
		dir := filepath.Join(s.cfg.Dir, n.Name, "tls")
		if err := cluster.Issue(filepath.Join(s.cfg.Dir, "authority"), dir, n.Name, time.Now(), false); err != nil {
			return err
		}
		for _, to := range nodes {
			if to.Name == n.Name {
				continue
			}
			p, err := netfault.Listen("127.0.0.1:0", to.Cluster, s.cfg.Logger)
			if err != nil {
				return err
			}
			s.links = append(s.links, link{from: n.Name, to: to.Name, proxy: p})
		}
	}
	return nil
}

// writeNodeConfigs writes each node's proa.yaml.
func (s *Supervisor) writeNodeConfigs() error {
	for _, n := range s.state.Addresses.Nodes {
		c := s.nodeConfig()
		c.Node.Name, c.Node.Dir = n.Name, filepath.Join(s.cfg.Dir, n.Name)
		c.Node.DNS, c.Node.Control, c.Node.Console = []string{n.DNS}, n.Control, n.Console
		for _, o := range s.state.Addresses.Nodes {
			if o.Name != n.Name {
				c.Node.Telemetry = append(c.Node.Telemetry, "http://"+o.Control)
			}
		}
		s.joinConfig(&c, n)
		if err := c.Save(NodeConfigPathOf(s.cfg.Dir, n.Name)); err != nil {
			return err
		}
	}
	return nil
}

// joinConfig names the others to a node, each by the link that leads there.
func (s *Supervisor) joinConfig(c *config.Config, n NodeAddresses) {
	c.Cluster = config.Cluster{}
	if len(s.state.Addresses.Nodes) == 1 {
		return
	}
	files := cluster.FilesIn(filepath.Join(s.cfg.Dir, n.Name, "tls"))
	c.Cluster.CA, c.Cluster.Certificate, c.Cluster.Key = files.CA, files.Certificate, files.Key
	for i, o := range s.state.Addresses.Nodes {
		address := o.Cluster
		for _, l := range s.links {
			if l.from == n.Name && l.to == o.Name {
				address = l.proxy.Addr()
			}
		}
		c.Cluster.Nodes = append(c.Cluster.Nodes, config.ClusterNode{
			Name: o.Name, Address: address, Beside: place(i), DNS: host(o.DNS),
		})
	}
}

// startNodes starts all nodes side by side.
func (s *Supervisor) startNodes(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, n := range s.nodes {
		g.Go(func() error { return n.start(ctx) })
	}
	return g.Wait()
}

func (s *Supervisor) stopNodes() {
	var g errgroup.Group
	for _, n := range s.nodes {
		g.Go(func() error { n.stop(); return nil })
	}
	_ = g.Wait() // stop reports its own trouble
}

var nodeName = regexp.MustCompile(`^node-[0-9]{1,3}$`)

// target is the process behind a name: a cloud or a node.
func (s *Supervisor) target(name string) (*child, error) {
	for _, n := range s.nodes {
		if n.name == name {
			return n, nil
		}
	}
	r, err := proa.ParseRegion(name)
	if err != nil {
		return nil, fmt.Errorf("%q is neither a region nor a node of this system: %w", name, proa.ErrInvalid)
	}
	return s.clouds[r], nil
}

func (s *Supervisor) isNode(name string) bool {
	t, err := s.target(name)
	return err == nil && nodeName.MatchString(t.name)
}

// partitionNode cuts a node off from the other nodes, in one direction or in both. It goes on probing
// and answering.
func (s *Supervisor) partitionNode(name, direction string) error {
	text := map[string]string{
		DirectionBoth: "cut from the other nodes", DirectionTo: "the other nodes' words to it are lost",
		DirectionFrom: "its words to the other nodes are lost",
	}[direction]
	if len(s.nodes) == 1 {
		return fmt.Errorf("%s has no other nodes to be cut from: %w", name, proa.ErrInvalid)
	}
	return s.setFault(Fault{Target: name, Kind: KindPartition, Text: text, Partition: Partition{Direction: direction}}, false)
}

// applyLinksLocked makes the links feel what the book says: one carries a node's words to another, and
// nothing of weight comes back on it.
func (s *Supervisor) applyLinksLocked() {
	cutTo, cutFrom := map[string]bool{}, map[string]bool{}
	for _, f := range s.faults.list {
		if f.Kind == KindPartition && nodeName.MatchString(f.Target) {
			cutTo[f.Target] = f.Direction != DirectionFrom
			cutFrom[f.Target] = f.Direction != DirectionTo
		}
	}
	for _, l := range s.links {
		cut := cutFrom[l.from] || cutTo[l.to]
		l.proxy.Set(netfault.Conditions{CutTo: cut, CutFrom: cut})
	}
}

// healNode makes a node well: thawed, without faults, running.
func (s *Supervisor) healNode(ctx context.Context, c *child) error {
	if pid := c.pid(); pid != 0 {
		if err := syscall.Kill(-pid, syscall.SIGCONT); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("thaw %s: %w", c.name, err)
		}
	}
	if err := s.endFaults(func(f Fault) bool { return f.Target == c.name }); err != nil {
		return err
	}
	return c.start(ctx)
}

// distinct reports whether no address is planned twice.
func (a Addresses) distinct() bool {
	list := []string{a.Control, a.AWS, a.Azure, a.AWSGateway, a.AzureGateway, a.AWSProxy, a.AzureProxy}
	for _, n := range a.Nodes {
		list = append(list, n.Control, n.Console, n.DNS, n.Cluster)
	}
	list = slices.DeleteFunc(list, func(s string) bool { return s == "" })
	slices.Sort(list)
	return len(slices.Compact(slices.Clone(list))) == len(list)
}
