package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/config"
	"github.com/proa-cloud/proa/node"
	"github.com/proa-cloud/proa/traffic/delegation"
)

const lookTimeout = 3 * time.Second

// door is a region's gateway, as users reach it.
type door struct {
	region  proa.Region
	at      string // its address, where the zone answers several for the region
	https   bool
	status  int           // of the health path with the zone's Host; 0: no answer
	skew    time.Duration // the server's clock less ours, give or take a second
	expires time.Time     // of the certificate
	tlsErr  error         // why the certificate does not hold for the zone
	err     error
}

// knock asks both gateways at the addresses that the zone answers.
func knock(ctx context.Context, c config.Config) []door {
	var doors []door
	for r, g := range map[proa.Region]config.Gateway{proa.AWS: c.Regions.AWS.Gateway, proa.Azure: c.Regions.Azure.Gateway} {
		u, err := url.Parse(g.URL)
		if err != nil || len(g.Addresses) == 0 || u.Host == "" {
			doors = append(doors, door{region: r, err: errors.New("its gateway has no url or no addresses")})
			continue
		}
		for _, address := range g.Addresses {
			d := knockAt(ctx, c.Zone, r, u, g, address)
			if len(g.Addresses) > 1 {
				d.at = address
			}
			doors = append(doors, d)
		}
	}
	return doors
}

// of names what is found at a door.
func (d door) of(what string) string {
	name := what + " of " + string(d.region)
	if d.at != "" {
		name += " at " + d.at
	}
	return name
}

// aim is a region whose probes go elsewhere than its users.
type aim struct {
	region   proa.Region
	host     string
	resolved []netip.Addr
}

// astray returns the regions where the URL that probes ask leads to none of the addresses that users get.
func astray(ctx context.Context, c config.Config) []aim {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	var aims []aim
	for r, g := range map[proa.Region]config.Gateway{proa.AWS: c.Regions.AWS.Gateway, proa.Azure: c.Regions.Azure.Gateway} {
		u, err := url.Parse(g.URL)
		if err != nil || u.Hostname() == "" {
			continue // said by its door
		}
		led, err := net.DefaultResolver.LookupNetIP(ctx, "ip", u.Hostname())
		if err != nil {
			continue // the probes fail of it
		}
		users := func(a netip.Addr) bool { return slices.Contains(g.Addresses, a.Unmap().String()) }
		if !slices.ContainsFunc(led, users) {
			aims = append(aims, aim{region: r, host: u.Hostname(), resolved: led})
		}
	}
	return aims
}

func knockAt(ctx context.Context, zone string, r proa.Region, u *url.URL, g config.Gateway, at string) door {
	d := door{region: r, https: u.Scheme == "https"}
	port := u.Port()
	if port == "" {
		port = map[bool]string{true: "443", false: "80"}[d.https]
	}
	address := net.JoinHostPort(at, port)
	dialer := &net.Dialer{Timeout: lookTimeout}
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, address)
		},
		TLSClientConfig: &tls.Config{ServerName: zone, MinVersion: tls.VersionTLS12},
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{
		Transport: transport, Timeout: lookTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.Scheme+"://"+address+g.Health, http.NoBody)
	if err != nil {
		d.err = err
		return d
	}
	req.Host = zone
	if u.Port() != "" {
		req.Host = net.JoinHostPort(zone, u.Port())
	}
	resp, err := client.Do(req)
	if err != nil {
		var unverified *tls.CertificateVerificationError
		if errors.As(err, &unverified) {
			d.tlsErr = unverified.Err
			if len(unverified.UnverifiedCertificates) > 0 {
				d.expires = unverified.UnverifiedCertificates[0].NotAfter
			}
		}
		d.err = err
		return d
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<16)) // only the header counts
	d.status = resp.StatusCode
	if at, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		d.skew = at.Sub(time.Now().Truncate(time.Second))
	}
	if resp.TLS != nil && len(resp.TLS.PeerCertificates) > 0 {
		d.expires = resp.TLS.PeerCertificates[0].NotAfter
	}
	return d
}

// answer is what one name server says of the zone.
type answer struct {
	server    string
	addresses []string
	ttl       time.Duration
	served    []string // names of validation records of the zone's own that it serves
	missing   []string // the node's validation records that it does not serve
	err       error
}

// Where the validation of a name is looked for: by ACME, and by Azure for a custom domain.
const (
	acmeName  = "_acme-challenge."
	azureName = "asuid."
)

// interrogate asks every name server of the node.
func interrogate(ctx context.Context, c config.Config, records []node.Validation) []answer {
	var answers []answer
	client := &dns.Client{Timeout: lookTimeout}
	ask := func(server, name string, kind uint16) (*dns.Msg, error) {
		q := new(dns.Msg)
		q.SetQuestion(dns.Fqdn(name), kind)
		in, _, err := client.ExchangeContext(ctx, q, server)
		return in, err
	}
	for _, server := range c.Node.DNS {
		server = reachable(server)
		a := answer{server: server}
		in, err := ask(server, c.Zone, dns.TypeA)
		if err == nil && in.Rcode != dns.RcodeSuccess {
			err = fmt.Errorf("answers %s", dns.RcodeToString[in.Rcode])
		}
		if a.err = err; err == nil {
			for _, rr := range in.Answer {
				if record, ok := rr.(*dns.A); ok {
					a.addresses, a.ttl = append(a.addresses, record.A.String()), time.Duration(record.Hdr.Ttl)*time.Second
				}
			}
			for _, name := range []string{acmeName, azureName} {
				if in, err := ask(server, name+c.Zone, dns.TypeTXT); err == nil && len(in.Answer) > 0 {
					a.served = append(a.served, name)
				}
			}
			for _, v := range records {
				if in, err := ask(server, v.Name, dns.StringToType[v.Type]); err != nil || len(in.Answer) == 0 {
					a.missing = append(a.missing, v.Name+" "+v.Type)
				}
			}
		}
		answers = append(answers, a)
	}
	return answers
}

// askParent compares the zone with what its parent says of it, where dns.delegation is set.
func askParent(ctx context.Context, c config.Config) (*delegation.Report, error) {
	d := c.DNS.Delegation
	if d.Interval == 0 || len(c.Node.DNS) == 0 {
		return nil, nil //nolint:nilnil // not looked at, and no failure
	}
	ctx, cancel := context.WithTimeout(ctx, 5*lookTimeout)
	defer cancel()
	cfg := delegation.Config{Zone: c.Zone, Server: reachable(c.Node.DNS[0]), Parents: d.Parents, Resolver: d.Resolver, Port: d.Port, Timeout: lookTimeout, Clock: time.Now}
	if cfg.Resolver == "" && len(cfg.Parents) == 0 {
		conf, err := dns.ClientConfigFromFile("/etc/resolv.conf")
		if err != nil || len(conf.Servers) == 0 {
			return nil, errors.New("no resolver is known: set dns.delegation.resolver")
		}
		cfg.Resolver = net.JoinHostPort(conf.Servers[0], conf.Port)
	}
	r, err := delegation.Check(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return &r, nil
}

// reachable is where a server that listens on all addresses can be asked from here.
func reachable(server string) string {
	if host, port, err := net.SplitHostPort(server); err == nil && (host == "" || net.ParseIP(host).IsUnspecified()) {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return server
}

// disk is the file system of the system's folder.
type disk struct{ free, total uint64 }

func diskOf(dir string) *disk {
	var s unix.Statfs_t
	if unix.Statfs(dir, &s) != nil {
		return nil
	}
	return &disk{free: s.Bavail * uint64(s.Bsize), total: s.Blocks * uint64(s.Bsize)}
}

// looseFile is a file with credentials that others can read.
type looseFile struct {
	path string
	mode os.FileMode
}

func looseFiles(dir string) []looseFile {
	files, _ := filepath.Glob(filepath.Join(dir, "node-*", "proa.yaml")) // the pattern is valid
	var loose []looseFile
	for _, f := range append(files, filepath.Join(dir, "supervisor.json")) {
		if info, err := os.Stat(f); err == nil && info.Mode().Perm()&0o077 != 0 {
			loose = append(loose, looseFile{f, info.Mode().Perm()})
		}
	}
	return loose
}
