package node

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/proa-cloud/proa/traffic/delegation"
)

// delegationWatch looks at the zone's delegation now and then.
type delegationWatch struct {
	cfg      delegation.Config
	interval time.Duration
	report   atomic.Pointer[delegation.Report]
	failed   atomic.Pointer[string] // why the last look told nothing
}

// newDelegationWatch is nil where dns.delegation is not set.
func (n *node) newDelegationWatch() *delegationWatch {
	d := n.cfg.DNS.Delegation
	if d.Interval == 0 || len(n.cfg.Node.DNS) == 0 {
		return nil
	}
	resolver := d.Resolver
	if resolver == "" {
		resolver = systemResolver()
	}
	return &delegationWatch{interval: d.Interval.D(), cfg: delegation.Config{
		Zone: n.cfg.Zone, Server: n.cfg.Node.DNS[0], Parents: d.Parents, Resolver: resolver, Port: d.Port,
		Clock: n.clock,
	}}
}

// run looks once each interval until the context ends.
func (w *delegationWatch) run(ctx context.Context) error {
	if w == nil {
		return nil
	}
	for ctx.Err() == nil {
		report, err := delegation.Check(ctx, w.cfg)
		reason := ""
		if err != nil {
			reason = err.Error()
		} else {
			w.report.Store(&report)
		}
		w.failed.Store(&reason)
		select {
		case <-ctx.Done():
		case <-time.After(w.interval):
		}
	}
	return nil
}

// warnings are what the last look found.
func (w *delegationWatch) warnings() []string {
	if w == nil {
		return nil
	}
	var list []string
	if reason := w.failed.Load(); reason != nil && *reason != "" {
		list = append(list, "delegation could not be looked at: "+*reason)
	}
	if r := w.report.Load(); r != nil {
		for _, f := range r.Findings {
			list = append(list, fmt.Sprintf("delegation of %s: %s", r.Zone, f))
		}
	}
	return list
}

// systemResolver is the first of /etc/resolv.conf, "" for none.
func systemResolver() string {
	text, err := os.ReadFile("/etc/resolv.conf")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) >= 2 && fields[0] == "nameserver" {
			return net.JoinHostPort(fields[1], "53")
		}
	}
	return ""
}
