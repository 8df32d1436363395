package node

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/aws"
	"github.com/proa-cloud/proa/azure"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/config"
	"github.com/proa-cloud/proa/traffic/health"
)

// endpoints are the checks of both regions, and the references.
func (n *node) endpoints(ctx context.Context) ([]health.Endpoint, error) {
	var endpoints []health.Endpoint
	for _, r := range proa.Regions() {
		e, err := n.endpoint(ctx, r)
		if err != nil {
			return nil, err
		}
		endpoints = append(endpoints, e)
	}
	for _, check := range n.cfg.Health.References {
		c, err := n.check(ctx, "", check)
		if err != nil {
			return nil, err
		}
		endpoints = append(endpoints, health.Endpoint{Checks: []health.CheckConfig{c}, Guard: n.guard()})
	}
	return endpoints, nil
}

// endpoint is a region's gateway with the checks that every region has and those that are configured.
func (n *node) endpoint(ctx context.Context, r proa.Region) (health.Endpoint, error) {
	address, err := hostPort(n.gateways()[r].URL)
	if err != nil {
		return health.Endpoint{}, err
	}
	e := health.Endpoint{Region: r, Tripwire: address, Guard: n.guard()}
	checks := []config.Check{
		{Name: config.CheckPort, TCP: address},
		{Name: config.CheckService, HTTP: &config.HTTPCheck{Path: n.gateways()[r].Health}},
	}
	if alarm := n.alarm(r); alarm != "" {
		checks = append(checks, config.Check{Name: config.CheckAlarm, Alarm: alarm})
	}
	for _, check := range n.cfg.Health.Checks {
		if !check.For(r) {
			continue
		}
		same := func(c config.Check) bool { return c.Name == check.Name }
		if i := slices.IndexFunc(checks, same); i >= 0 {
			checks[i] = check
		} else {
			checks = append(checks, check)
		}
	}
	for _, check := range checks {
		if check.Calculated != nil {
			e.Calculated = append(e.Calculated, health.Calculated{
				Name: check.Name, Of: check.Calculated.Health(), Advisory: check.Advisory,
			})
			continue
		}
		c, err := n.check(ctx, r, check)
		if err != nil {
			return e, err
		}
		e.Checks = append(e.Checks, c)
	}
	return e, nil
}

// check opens one check of a region.
func (n *node) check(ctx context.Context, r proa.Region, check config.Check) (health.CheckConfig, error) {
	c := health.CheckConfig{Name: check.Name, Advisory: check.Advisory, Timing: n.timing(check)}
	var err error
	switch {
	case check.TCP != "":
		c.Probe = health.TCP{Address: check.TCP, Guard: n.guard()}
	case check.HTTP != nil:
		c.Probe, err = n.httpProbe(r, *check.HTTP)
	case check.Lag != 0:
		c.Monitor = true
		c.Probe = health.Lag{From: r.Other(), Max: check.Lag.D(), Of: func() (time.Duration, string) {
			return n.lag(r.Other())
		}}
	default:
		var monitor cloud.Monitor
		c.Monitor = true
		monitor, err = n.newMonitor(ctx, r, check.Alarm)
		c.Probe = health.Monitor{Of: monitorNames[r], From: n.picture.countMonitor(monitor, r)}
	}
	if err != nil {
		return c, fmt.Errorf("health check %s of %s: %w", check.Name, r, err)
	}
	c.Probe = n.picture.witness(r, c.Probe)
	return c, nil
}

// timing is the traffic section's, or the monitors', with what the check says itself.
func (n *node) timing(check config.Check) health.Timing {
	t := health.DefaultTiming()
	t.Interval, t.Timeout = n.cfg.Traffic.Interval.D(), n.cfg.Traffic.Timeout.D()
	t.Recheck, t.Fall, t.Rise = n.cfg.Traffic.Recheck.D(), n.cfg.Traffic.Fall, n.cfg.Traffic.Rise
	if check.Alarm != "" {
		t = health.DefaultMonitorTiming()
	}
	for _, field := range []struct {
		mine *time.Duration
		its  config.Duration
	}{{&t.Interval, check.Interval}, {&t.Timeout, check.Timeout}} {
		if field.its != 0 {
			*field.mine = field.its.D()
		}
	}
	if check.Fall != 0 {
		t.Fall = check.Fall
	}
	if check.Rise != 0 {
		t.Rise = check.Rise
	}
	t.Suspect = min(t.Suspect, t.Timeout/2)
	return t
}

func (n *node) guard() health.Guard { return health.Guard{Loopback: n.cfg.Health.AllowLoopback} }

func (n *node) httpProbe(r proa.Region, h config.HTTPCheck) (*health.HTTP, error) {
	cfg := health.HTTPConfig{
		URL: h.URL, Method: h.Method, Host: h.Host, Body: h.Body, Header: http.Header{},
		Redirects: h.Redirects, ServerName: h.ServerName, InsecureSkipVerify: h.InsecureSkipVerify,
		WarnBefore: n.cfg.Health.WarnCertificate.D(), Guard: n.guard(),
		Expect: health.Expect{Status: h.Status, Contains: h.Contains},
	}
	if h.Path != "" {
		cfg.URL = n.gateways()[r].URL + h.Path
		if cfg.Host == "" {
			cfg.Host = n.cfg.Zone
		}
	}
	for name, value := range h.Headers {
		cfg.Header.Set(name, value.Reveal())
	}
	var err error
	if h.Matches != "" {
		if cfg.Expect.Matches, err = regexp.Compile(h.Matches); err != nil {
			return nil, fmt.Errorf("matches: %w: %w", proa.ErrInvalidConfig, err)
		}
	}
	if h.JSON != nil {
		cfg.Expect.JSON = &health.JSONField{Path: h.JSON.Field, Equals: h.JSON.Equals}
	}
	ca := h.CA
	if ca == "" {
		ca = n.cfg.Health.CA
	}
	if ca != "" {
		if cfg.RootCAs, err = authorities(ca); err != nil {
			return nil, err
		}
	}
	return health.NewHTTP(cfg)
}

func authorities(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("ca: %w: %w", proa.ErrInvalidConfig, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("ca %s: no certificate in it: %w", file, proa.ErrInvalidConfig)
	}
	return pool, nil
}

// lag is how old a change from a region may be that the other one lacks, as the controller knows it.
func (n *node) lag(from proa.Region) (time.Duration, string) {
	for _, state := range n.traffic.Explain().Replication {
		switch {
		case state.From != from:
		case !state.Known:
			return 0, "not known here: " + state.Reason
		case !state.CaughtUp:
			return 0, "still catches up: " + state.Reason
		default:
			return state.Lag, ""
		}
	}
	return 0, "data sync reports nothing"
}

// monitorNames are the picture's.
var monitorNames = map[proa.Region]string{proa.AWS: "cloudwatch", proa.Azure: "monitor"}

// alarm is the name of the region's own alarm, "" where none is configured.
func (n *node) alarm(r proa.Region) string {
	if r == proa.AWS {
		return n.cfg.Regions.AWS.Alarm
	}
	return n.cfg.Regions.Azure.Alert
}

// newMonitor opens an alarm of the region's own monitoring.
func (n *node) newMonitor(ctx context.Context, r proa.Region, alarm string) (cloud.Monitor, error) {
	if r == proa.AWS {
		cfg := awsConfig(n.cfg)
		if n.cfg.Regions.AWS.MonitorEndpoint != "" {
			cfg.Endpoint = n.cfg.Regions.AWS.MonitorEndpoint
		}
		return aws.NewMonitor(ctx, cfg, alarm)
	}
	return azure.NewMonitor(azureConfig(n.cfg), n.cfg.Regions.Azure.Subscription, alarm)
}

// checkWarnings are what wants looking after though the checks pass.
func (n *node) checkWarnings() []string {
	var list []string
	for _, c := range n.prober.Status() {
		if c.Warning != "" {
			list = append(list, fmt.Sprintf("check %s of %s: %s", c.Name, c.Region, c.Warning))
		}
	}
	list = append(list, n.watches.warnings()...)
	if self := n.prober.Self(); self.Score > 0 {
		list = append(list, fmt.Sprintf("this node's local health score is %d: %s", self.Score, self.Reason))
	}
	return list
}

func hostPort(url string) (string, error) {
	u, err := netURL(url)
	if err != nil {
		return "", err
	}
	if u.Port() != "" {
		return u.Host, nil
	}
	port := "80"
	if u.Scheme == "https" {
		port = "443"
	}
	return net.JoinHostPort(u.Hostname(), port), nil
}
