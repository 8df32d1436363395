package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/internal/strictyaml"
)

// Validate refuses what cannot work. Errors wrap proa.ErrInvalidConfig and name the path.
func (c Config) Validate() error { return c.validate(&strictyaml.File{}) }

func (c Config) validate(f *strictyaml.File) error {
	checks := []func(*strictyaml.File) error{c.checkZone, c.checkTables, c.checkBuckets, c.checkTraffic, c.checkGateways, c.checkDataSync, c.checkSubscribers, c.checkDNS, c.checkCluster, c.checkHealth, c.checkCapacity, c.checkRecords}
	for _, check := range checks {
		if err := check(f); err != nil {
			return err
		}
	}
	return nil
}

func (c Config) checkZone(f *strictyaml.File) error {
	badLabel := slices.ContainsFunc(strings.Split(c.Zone, "."), func(l string) bool { return l == "" || len(l) > 63 })
	if badLabel || len(c.Zone) > 253 || strings.ContainsAny(c.Zone, " /:") {
		return f.Errorf("zone", "write a domain name such as orders.example.com, without a final dot", "%q is not a zone", c.Zone)
	}
	if _, err := proa.ParseRegion(string(c.Primary)); err != nil {
		return f.Errorf("primary", "aws or azure", "%v", err)
	}
	return nil
}

func (c Config) checkTables(f *strictyaml.File) error {
	seen := map[string]bool{}
	for i, t := range c.Tables {
		path := fmt.Sprintf("tables[%d]", i)
		switch {
		case t.Name == "":
			return f.Errorf(path, "name the DynamoDB table", "name is missing")
		case seen[t.Name]:
			return f.Errorf(path+".name", "name each table once", "%q is listed twice", t.Name)
		case t.Database == "":
			return f.Errorf(path, "name the Cosmos database", "database is missing")
		}
		seen[t.Name] = true
		if err := checkKeyAttribute(f, path+".hash", t.Hash); err != nil {
			return err
		}
		if t.Range != (KeyAttribute{}) {
			if err := checkKeyAttribute(f, path+".range", t.Range); err != nil {
				return err
			}
		}
		if err := c.checkFencing(f, path, t); err != nil {
			return err
		}
		if err := c.checkTableData(f, path, t); err != nil {
			return err
		}
	}
	return nil
}

func checkKeyAttribute(f *strictyaml.File, path string, k KeyAttribute) error {
	if k.Name == "" {
		return f.Errorf(path, "give name and type", "name is missing")
	}
	switch proa.ParseKind(k.Type) {
	case proa.KindS, proa.KindN, proa.KindB:
		return nil
	}
	return f.Errorf(path+".type", "S, N or B", "%q is not a key type", k.Type)
}

func (c Config) checkBuckets(f *strictyaml.File) error {
	seen := map[string]bool{}
	for i, b := range c.Buckets {
		path := fmt.Sprintf("buckets[%d]", i)
		if b.Name == "" {
			return f.Errorf(path, "name the S3 bucket", "name is missing")
		}
		if seen[b.Name] {
			return f.Errorf(path+".name", "name each bucket once", "%q is listed twice", b.Name)
		}
		seen[b.Name] = true
	}
	return nil
}

func (c Config) checkTraffic(f *strictyaml.File) error {
	t := c.Traffic
	for _, d := range []struct {
		path     string
		value    Duration
		min, max time.Duration
	}{
		{"traffic.ttl", t.TTL, 0, 24 * time.Hour},
		{"traffic.interval", t.Interval, 50 * time.Millisecond, time.Hour},
		{"traffic.timeout", t.Timeout, 10 * time.Millisecond, time.Minute},
		{"traffic.recheck", t.Recheck, time.Millisecond, time.Minute},
		{"traffic.hold_down", t.HoldDown, 0, 24 * time.Hour},
		{"objectives.rto", c.Objectives.RTO, time.Millisecond, 24 * time.Hour},
		{"objectives.rpo", c.Objectives.RPO, 0, 24 * time.Hour},
		{"objectives.lag", c.Objectives.Lag, time.Millisecond, 24 * time.Hour},
		{"objectives.dwell", c.Objectives.Dwell, 0, 24 * time.Hour},
	} {
		if d.value.D() < d.min || d.value.D() > d.max {
			return f.Errorf(d.path, fmt.Sprintf("from %s to %s", d.min, d.max), "%s is out of range", d.value)
		}
	}
	if t.TTL.D()%time.Second != 0 {
		return f.Errorf("traffic.ttl", "whole seconds", "%s is not", t.TTL)
	}
	for _, n := range []struct {
		path       string
		value, max int
	}{{"traffic.fall", t.Fall, 16}, {"traffic.rise", t.Rise, 16}, {"traffic.max_switches_per_hour", t.MaxSwitchesPerHour, 1000}} {
		if n.value < 1 || n.value > n.max {
			return f.Errorf(n.path, fmt.Sprintf("from 1 to %d", n.max), "%d is out of range", n.value)
		}
	}
	if !slices.Contains([]string{"automatic", "manual", "gradual"}, t.Failback) {
		return f.Errorf("traffic.failback", "automatic, manual or gradual", "%q is not a failback policy", t.Failback)
	}
	return nil
}

func (c Config) checkGateways(f *strictyaml.File) error {
	for _, g := range []struct {
		path    string
		gateway Gateway
	}{{"regions.aws.gateway", c.Regions.AWS.Gateway}, {"regions.azure.gateway", c.Regions.Azure.Gateway}} {
		for i, a := range g.gateway.Addresses {
			if _, err := netip.ParseAddr(a); err != nil {
				return f.Errorf(fmt.Sprintf("%s.addresses[%d]", g.path, i), "write an IPv4 or IPv6 address", "%q is not an IP address", a)
			}
		}
		if g.gateway.URL != "" {
			u, err := url.Parse(g.gateway.URL)
			if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
				return f.Errorf(g.path+".url", "such as https://203.0.113.7", "%q is not an http or https URL", g.gateway.URL)
			}
		}
		if !strings.HasPrefix(g.gateway.Health, "/") {
			return f.Errorf(g.path+".health", "such as /healthz", "%q is not a path", g.gateway.Health)
		}
	}
	return nil
}
