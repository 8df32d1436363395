package config

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/internal/strictyaml"
)

// DNS is what the name server does besides answering for the zone over UDP and TCP.
type DNS struct {
	// Zones are further zones to serve, as standard master files.
	Zones []string `yaml:"zones,omitempty"`
	// Keys is the folder with DNSSEC keys, as `proa dns key new` makes them; a zone of which it has
	// keys is signed. Every node needs the same.
	Keys string `yaml:"keys,omitempty"`
	// TLS and HTTPS are the addresses of DNS over TLS and DNS over HTTPS.
	TLS   []string `yaml:"tls,omitempty"`
	HTTPS []string `yaml:"https,omitempty"`
	// Certificate and PrivateKey are the files (PEM) for both.
	Certificate string `yaml:"certificate,omitempty"`
	PrivateKey  string `yaml:"private_key,omitempty"`
	// CookieSecrets make server cookies: 32 hexadecimal digits each, the same on every node. The
	// first makes cookies, all are accepted. Left out: a random one each start.
	CookieSecrets []proa.Secret `yaml:"cookie_secrets,omitempty"`
	// RateLimit bounds like replies to one network over UDP.
	RateLimit RateLimit `yaml:"rate_limit,omitempty"`
	// QueryLog is a file that gets a line a query, at most 64 MiB and once as much in a second file;
	// left out: none is kept.
	QueryLog string `yaml:"query_log,omitempty"`
	// ReportAgent is the domain to which resolvers report errors (RFC 9567).
	ReportAgent string `yaml:"report_agent,omitempty"`
	// Aliases give names the addresses of others, such as the zone's apex those of a distribution.
	Aliases []Alias `yaml:"aliases,omitempty"`
	// Validations are records that prove to others that a name is yours, for as long as they are listed: the CNAME of AWS
	// Certificate Manager, the TXT at asuid. of an Azure custom domain. Several may have one name.
	Validations []Validation `yaml:"validations,omitempty"`
	// Transfers let secondaries copy zones; left out: transfers are refused.
	Transfers []Transfer `yaml:"transfers,omitempty"`
	// Delegation has the node compare the zone with what its parent says of it.
	Delegation Delegation `yaml:"delegation,omitempty"`
}

// Delegation is a look at the parent zone's servers.
type Delegation struct {
	// Interval is the time between two looks; left out: nobody looks.
	Interval Duration `yaml:"interval,omitempty"`
	// Parents are the parent's name servers, address and port; left out: the resolver knows them.
	Parents []string `yaml:"parents,omitempty"`
	// Resolver is address and port of one; left out: the first of /etc/resolv.conf.
	Resolver string `yaml:"resolver,omitempty"`
	// Port is where the delegated servers are asked; left out: 53.
	Port uint16 `yaml:"port,omitempty"`
}

// RateLimit bounds like replies to a /24 or /56.
type RateLimit struct {
	// PerSecond is how many. 0 is 200; -1 sets no limit.
	PerSecond int `yaml:"per_second,omitempty"`
	// Slip is which of the replies over the limit is sent truncated. 0 is 2; -1 sends none.
	Slip int `yaml:"slip,omitempty"`
	// Exempt are networks without a limit. Left out: the loopback addresses.
	Exempt []string `yaml:"exempt,omitempty"`
}

// Alias gives a name the addresses of another.
type Alias struct {
	Name   string   `yaml:"name"`
	Target string   `yaml:"target"`
	TTL    Duration `yaml:"ttl"`
}

// Validation is a record that a certificate authority or a cloud asks for.
type Validation struct {
	// Name is in one of the node's zones.
	Name string `yaml:"name"`
	// Type is TXT or CNAME.
	Type string `yaml:"type"`
	// Value is a text of at most 255 bytes, or the CNAME's target.
	Value string `yaml:"value"`
	// TTL is how long it may be kept; left out: a minute.
	TTL Duration `yaml:"ttl,omitempty"`
}

// Transfer lets a secondary copy a zone.
type Transfer struct {
	// Zone is the zone to copy.
	Zone string `yaml:"zone"`
	// Key is the TSIG key's name, and Secret what is shared, in base64.
	Key    string      `yaml:"key"`
	Secret proa.Secret `yaml:"secret"`
	// Algorithm is hmac-sha256, the default, or hmac-sha512.
	Algorithm string `yaml:"algorithm,omitempty"`
	// Networks are where the secondary may be; left out: anywhere.
	Networks []string `yaml:"networks,omitempty"`
	// Notify are the secondaries, host:port, that are told of changes.
	Notify []string `yaml:"notify,omitempty"`
}

func (c Config) checkDNS(f *strictyaml.File) error {
	d := c.DNS
	if len(d.TLS)+len(d.HTTPS) > 0 && (d.Certificate == "" || d.PrivateKey == "") {
		return f.Errorf("dns", "give certificate and private_key",
			"tls and https need a certificate")
	}
	for path, list := range map[string][]string{"dns.tls": d.TLS, "dns.https": d.HTTPS} {
		for i, a := range list {
			if _, err := netip.ParseAddrPort(a); err != nil {
				return f.Errorf(fmt.Sprintf("%s[%d]", path, i), "such as 203.0.113.7:853",
					"%q is not an address and port", a)
			}
		}
	}
	for i, s := range d.CookieSecrets {
		if b, err := hex.DecodeString(s.Reveal()); err != nil || len(b) != 16 {
			return f.Errorf(fmt.Sprintf("dns.cookie_secrets[%d]", i),
				"openssl rand -hex 16 makes one", "it is not of 32 hexadecimal digits")
		}
	}
	if err := checkNetworks(f, "dns.rate_limit.exempt", d.RateLimit.Exempt); err != nil {
		return err
	}
	for i, a := range d.Aliases {
		path := fmt.Sprintf("dns.aliases[%d]", i)
		if a.Name == "" || a.Target == "" || strings.EqualFold(a.Name, a.Target) {
			return f.Errorf(path, "give name and target, which differ", "it leads nowhere")
		}
		if t := a.TTL.D(); t < time.Second || t > time.Hour || t%time.Second != 0 {
			return f.Errorf(path+".ttl", "whole seconds, from 1s to 1h", "%s is out of range", a.TTL)
		}
	}
	if err := d.checkValidations(f); err != nil {
		return err
	}
	if err := d.Delegation.check(f); err != nil {
		return err
	}
	return d.checkTransfers(f)
}

func (d DNS) checkValidations(f *strictyaml.File) error {
	for i, v := range d.Validations {
		path := fmt.Sprintf("dns.validations[%d]", i)
		switch t := v.TTL.D(); {
		case v.Type != "TXT" && v.Type != "CNAME":
			return f.Errorf(path+".type", "TXT or CNAME", "%q is neither", v.Type)
		case v.Name == "" || v.Value == "" || len(v.Value) > 255:
			return f.Errorf(path, "give name and value, of at most 255 bytes", "one is missing or too long")
		case t < 0 || t > 24*time.Hour || t%time.Second != 0:
			return f.Errorf(path+".ttl", "whole seconds up to 24h", "%s is out of range", v.TTL)
		}
	}
	return nil
}

func (d Delegation) check(f *strictyaml.File) error {
	if i := d.Interval.D(); i != 0 && (i < time.Second || i > 24*time.Hour) {
		return f.Errorf("dns.delegation.interval", "from 1s to 24h", "%s is out of range", d.Interval)
	}
	for i, parent := range d.Parents {
		if _, err := netip.ParseAddrPort(parent); err != nil {
			return f.Errorf(fmt.Sprintf("dns.delegation.parents[%d]", i), "such as 198.51.100.1:53",
				"%q is not an address and port", parent)
		}
	}
	if _, err := netip.ParseAddrPort(d.Resolver); d.Resolver != "" && err != nil {
		return f.Errorf("dns.delegation.resolver", "such as 127.0.0.53:53",
			"%q is not an address and port", d.Resolver)
	}
	return nil
}

func (d DNS) checkTransfers(f *strictyaml.File) error {
	for i, t := range d.Transfers {
		path := fmt.Sprintf("dns.transfers[%d]", i)
		if t.Zone == "" || t.Key == "" {
			return f.Errorf(path, "give zone, key and secret", "zone or key is missing")
		}
		if b, err := base64.StdEncoding.DecodeString(t.Secret.Reveal()); err != nil || len(b) < 16 {
			return f.Errorf(path+".secret", "openssl rand -base64 32 makes one",
				"it is not base64 of 16 bytes or more")
		}
		switch t.Algorithm {
		case "", "hmac-sha256", "hmac-sha512":
		default:
			return f.Errorf(path+".algorithm", "hmac-sha256 or hmac-sha512",
				"%q is not an algorithm", t.Algorithm)
		}
		if err := checkNetworks(f, path+".networks", t.Networks); err != nil {
			return err
		}
		for k, a := range t.Notify {
			if _, _, err := net.SplitHostPort(a); err != nil {
				return f.Errorf(fmt.Sprintf("%s.notify[%d]", path, k), "such as 203.0.113.9:53",
					"%q is not an address and port", a)
			}
		}
	}
	return nil
}

func checkNetworks(f *strictyaml.File, path string, list []string) error {
	for i, n := range list {
		if _, err := netip.ParsePrefix(n); err != nil {
			return f.Errorf(fmt.Sprintf("%s[%d]", path, i), "such as 203.0.113.0/24",
				"%q is not a network", n)
		}
	}
	return nil
}
