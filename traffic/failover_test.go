package traffic_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/traffic"
	"github.com/proa-cloud/proa/traffic/dns"
	"github.com/proa-cloud/proa/traffic/health"
)

// gateway is a region's way in that can be killed as a process is: listener and connections close at once.
type gateway struct {
	srv  *http.Server
	addr string
}

func openGateway(t *testing.T, addr string) *gateway {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{addr: l.Addr().String(), srv: &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") }),
	}}
	go func() { _ = g.srv.Serve(l) }()
	t.Cleanup(func() { _ = g.srv.Close() })
	return g
}

func (g *gateway) endpoint(t *testing.T, r proa.Region) health.Endpoint {
	t.Helper()
	here := health.Guard{Loopback: true}
	probe, err := health.NewHTTP(health.HTTPConfig{
		URL: "http://" + g.addr + "/healthz", Expect: health.Expect{Contains: "ok"}, Guard: here,
	})
	if err != nil {
		t.Fatal(err)
	}
	return health.Endpoint{Region: r, Tripwire: g.addr, Guard: here, Checks: []health.CheckConfig{
		{Probe: health.TCP{Address: g.addr, Guard: here}, Timing: health.DefaultTiming()},
		{Probe: probe, Timing: health.DefaultTiming()},
	}}
}

// TestKilledRegionIsLeftAndReturnedTo wires prober, controller, store and name server as a node does, over real sockets.
func TestKilledRegionIsLeftAndReturnedTo(t *testing.T) {
	aws, azure := openGateway(t, "127.0.0.1:0"), openGateway(t, "127.0.0.1:0")
	zone, record, err := dns.DemoZone("orders.proa.test", []netip.Addr{netip.MustParseAddr("127.0.0.1")}, 2*time.Second,
		map[proa.Region][]netip.Addr{
			proa.AWS:   {netip.MustParseAddr("127.0.64.1")},
			proa.Azure: {netip.MustParseAddr("127.0.64.2")},
		})
	if err != nil {
		t.Fatal(err)
	}
	policy := traffic.Default()
	policy.HoldDown, policy.Dwell = 200*time.Millisecond, 200*time.Millisecond
	logger := slog.New(slog.DiscardHandler)
	var names *dns.Server
	svc, err := traffic.NewService(traffic.ServiceConfig{
		Policy: policy, Store: traffic.FileStore{Path: filepath.Join(t.TempDir(), "plan.json")},
		Clock: time.Now, Logger: logger, Tick: 20 * time.Millisecond,
		Replication: func() []traffic.Replication {
			return []traffic.Replication{
				{From: proa.AWS, Known: true, CaughtUp: true}, {From: proa.Azure, Known: true, CaughtUp: true},
			}
		},
		Publish: []func(traffic.PlanChanged){func(p traffic.PlanChanged) {
			if err := names.Apply(p.Plan); err != nil {
				t.Errorf("publish plan %d: %v", p.Plan.Version, err)
			}
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	names, err = dns.New(dns.Config{
		Listen: []string{"127.0.0.1:0"}, Zones: []*dns.Zone{zone}, Records: []dns.Record{record},
		Plan: svc.Plan(), Logger: logger,
	})
	if err != nil {
		t.Fatal(err)
	}
	prober, err := health.New(health.Config{
		Vantage: "node-1", Report: svc.Observe, Clock: time.Now,
		Endpoints: []health.Endpoint{aws.endpoint(t, proa.AWS), azure.endpoint(t, proa.Azure)},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := names.Bind(); err != nil {
		t.Fatal(err)
	}
	server := names.Addrs()[0].String()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return names.Run(ctx) })
	group.Go(func() error { return svc.Run(ctx) })
	group.Go(func() error { return prober.Run(ctx) })

	await := func(want string) time.Duration {
		t.Helper()
		for began := time.Now(); ; {
			addrs, _, err := dns.Lookup(ctx, server, "orders.proa.test")
			if err != nil {
				t.Fatal(err)
			}
			if len(addrs) == 1 && addrs[0].String() == want {
				return time.Since(began)
			}
			select {
			case <-ctx.Done():
				t.Fatalf("the answer never became %s; %+v", want, svc.Explain())
			case <-time.After(2 * time.Millisecond):
			}
		}
	}
	for svc.Explain().Regions[proa.Azure].Health != proa.Healthy || svc.Explain().Regions[proa.AWS].Health != proa.Healthy {
		await("127.0.64.1")
	}
	if err := aws.srv.Close(); err != nil {
		t.Fatal(err)
	}
	t.Logf("crash to changed answer: %s", await("127.0.64.2"))
	openGateway(t, aws.addr)
	t.Logf("restart to changed answer: %s", await("127.0.64.1"))
	if p := svc.Plan(); p.Version != 3 {
		t.Errorf("plan %d, want 3", p.Version)
	}
	cancel()
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}
