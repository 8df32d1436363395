package config

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/internal/strictyaml"
)

// Cluster names the nodes that decide together. Left out, this node decides alone.
type Cluster struct {
	// Nodes are all of them, this one included, in the same order in every node's file. Three are
	// usual: one beside each cloud and a witness elsewhere.
	Nodes []ClusterNode `yaml:"nodes,omitempty"`
	// Listen is where this node listens for the others, when that is not its address in Nodes.
	Listen string `yaml:"listen,omitempty"`
	// CA, Certificate and Key are PEM files: who signs the nodes' certificates, this node's own, whose
	// DNS names hold node.name, and its key. `proa node cert` makes them. They are read again when
	// they change.
	CA          string `yaml:"ca,omitempty"`
	Certificate string `yaml:"certificate,omitempty"`
	Key         string `yaml:"key,omitempty"`
}

// ClusterNode is one node.
type ClusterNode struct {
	// Name is the node's node.name.
	Name string `yaml:"name"`
	// Address is where the other nodes reach it: host:port.
	Address string `yaml:"address"`
	// Beside is the cloud that the node sits in, aws or azure; left out for a witness elsewhere. What a
	// node says of the cloud that it sits in cannot outvote the others.
	Beside proa.Region `yaml:"beside,omitempty"`
	// DNS is the public address of its name server, for the zone's NS records; left out: it has none.
	DNS string `yaml:"dns,omitempty"`
}

var clusterNodeName = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$`)

func (c Config) checkCluster(f *strictyaml.File) error {
	nodes := c.Cluster.Nodes
	if len(nodes) == 0 {
		return nil
	}
	if len(nodes) < 2 || len(nodes) > 7 {
		return f.Errorf("cluster.nodes", "name three, or five", "%d nodes cannot decide together", len(nodes))
	}
	seen := map[string]bool{}
	for i, n := range nodes {
		path := fmt.Sprintf("cluster.nodes[%d]", i)
		if err := checkClusterNode(f, path, n, seen); err != nil {
			return err
		}
		seen[n.Name], seen[n.Address] = true, true
	}
	if !seen[c.Node.Name] {
		return f.Errorf("cluster.nodes", "name this node, "+c.Node.Name+", too", "node.name %q is not among them", c.Node.Name)
	}
	for path, file := range map[string]string{
		"cluster.ca": c.Cluster.CA, "cluster.certificate": c.Cluster.Certificate, "cluster.key": c.Cluster.Key,
	} {
		if file == "" {
			return f.Errorf(path, "make the files with `proa node cert "+c.Node.Name+"`", "it is missing: nodes speak over mutual TLS only")
		}
	}
	return nil
}

func checkClusterNode(f *strictyaml.File, path string, n ClusterNode, seen map[string]bool) error {
	switch {
	case !clusterNodeName.MatchString(n.Name):
		return f.Errorf(path+".name", "letters a-z, digits, dots and dashes", "%q is not a node's name", n.Name)
	case seen[n.Name]:
		return f.Errorf(path+".name", "name each node once", "%q is listed twice", n.Name)
	case seen[n.Address]:
		return f.Errorf(path+".address", "each node has an address of its own", "%q is listed twice", n.Address)
	}
	if _, port, err := net.SplitHostPort(n.Address); err != nil || port == "" {
		return f.Errorf(path+".address", "such as 10.0.0.4:7801", "%q is not host:port", n.Address)
	}
	if n.Beside != "" {
		if _, err := proa.ParseRegion(string(n.Beside)); err != nil {
			return f.Errorf(path+".beside", "aws, azure or nothing", "%v", err)
		}
	}
	if n.DNS != "" {
		if _, err := netip.ParseAddr(n.DNS); err != nil {
			return f.Errorf(path+".dns", "write an IPv4 or IPv6 address", "%q is not an IP address", n.DNS)
		}
	}
	return nil
}
