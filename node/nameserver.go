package node

import (
	"cmp"
	"fmt"
	"net/netip"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/config"
	"github.com/proa-cloud/proa/traffic/dns"
)

// extendDNS adds to the name server's configuration what the dns section asks for.
func extendDNS(c *dns.Config, d config.DNS) error {
	c.ListenTLS, c.ListenHTTPS = d.TLS, d.HTTPS
	c.CookieSecrets, c.ReportAgent = d.CookieSecrets, d.ReportAgent
	c.QueryLog.Path = d.QueryLog
	exempt, err := networks(d.RateLimit.Exempt)
	if err != nil {
		return err
	}
	c.RateLimit = dns.RateLimit{
		PerSecond: d.RateLimit.PerSecond, Slip: d.RateLimit.Slip, Exempt: exempt,
	}
	if d.Certificate != "" {
		pair := &dns.KeyPair{Certificate: d.Certificate, Key: d.PrivateKey, Clock: c.Clock, Logger: c.Logger}
		if c.TLS, err = pair.TLS(); err != nil {
			return fmt.Errorf("dns: %w", err)
		}
	}
	c.Signing.Dir = d.Keys
	for _, a := range d.Aliases {
		c.Aliases = append(c.Aliases, dns.Alias{Name: a.Name, Target: a.Target, TTL: a.TTL.D()})
	}
	for _, v := range d.Validations {
		c.Validations = append(c.Validations, dns.Validation{
			Name: v.Name, Type: v.Type, Values: []string{v.Value}, TTL: cmp.Or(v.TTL.D(), validationTTL),
		})
	}
	for _, t := range d.Transfers {
		from, err := networks(t.Networks)
		if err != nil {
			return err
		}
		c.Transfers = append(c.Transfers, dns.Transfer{
			Zone: t.Zone, Key: t.Key, Secret: t.Secret, Algorithm: t.Algorithm, Networks: from,
			Notify: t.Notify,
		})
	}
	return nil
}

// networks is nil for an empty list.
func networks(list []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, text := range list {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("network %q: %w: %w", text, proa.ErrInvalidConfig, err)
		}
		out = append(out, p)
	}
	return out, nil
}
