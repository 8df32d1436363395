package node

import (
	"context"
	"net"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/traffic/health"
)

// endpoints are the checks of both regions: its gateway's port, its function through the gateway, its own monitor.
func (n *node) endpoints(ctx context.Context) ([]health.Endpoint, error) {
	timing := health.DefaultTiming()
	timing.Interval, timing.Timeout = n.cfg.Traffic.Interval.D(), n.cfg.Traffic.Timeout.D()
	timing.Recheck, timing.Fall, timing.Rise = n.cfg.Traffic.Recheck.D(), n.cfg.Traffic.Fall, n.cfg.Traffic.Rise
	timing.Suspect = min(timing.Suspect, timing.Timeout/2)
	var endpoints []health.Endpoint
	for _, r := range proa.Regions() {
		g := n.gateways()[r]
		address, err := hostPort(g.URL)
		if err != nil {
			return nil, err
		}
		probe, err := health.NewHTTP(health.HTTPConfig{URL: g.URL + g.Health, Host: n.cfg.Zone})
		if err != nil {
			return nil, err
		}
		e := health.Endpoint{Region: r, Tripwire: address, Checks: []health.CheckConfig{
			{Probe: health.TCP{Address: address}, Timing: timing},
			{Probe: probe, Timing: timing},
		}}
		monitor, name, err := newMonitor(ctx, n.cfg, r)
		if err != nil {
			return nil, err
		}
		if monitor != nil {
			check := health.CheckConfig{Probe: health.Monitor{Of: name, From: monitor}, Timing: health.DefaultMonitorTiming(), Monitor: true}
			e.Checks = append(e.Checks, check)
		}
		endpoints = append(endpoints, e)
	}
	return endpoints, nil
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
