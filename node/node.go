// Package node wires one node: probes → controller → name server, and data sync beside them, with a control API for all of it.
package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"golang.org/x/sync/errgroup"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/config"
	"github.com/proa-cloud/proa/console"
	"github.com/proa-cloud/proa/datasync"
	"github.com/proa-cloud/proa/internal/store"
	"github.com/proa-cloud/proa/traffic"
	"github.com/proa-cloud/proa/traffic/cluster"
	"github.com/proa-cloud/proa/traffic/dns"
	"github.com/proa-cloud/proa/traffic/health"
)

// Config is what one node is made of.
type Config struct {
	Proa config.Config
	// File is where Proa was read, which is read again when it changes; "" for nowhere.
	File   string
	Clock  func() time.Time
	Logger *slog.Logger
	// Ready is called once the name server answers and the control API listens; nil for nobody to tell.
	Ready func()
	// Driller performs drills that the console begins where no supervisor does; nil for nobody.
	Driller console.Driller

	picture *picture
	open    func(store.Options) (*pebble.DB, error) // store.Open when nil; a test's disk fails
}

// node holds the parts that the control API shows.
type node struct {
	cfg     config.Config
	clock   func() time.Time
	logger  *slog.Logger
	traffic *traffic.Service
	prober  *health.Prober
	dns     *dns.Server
	sync    *datasync.Service
	cluster *cluster.Cluster // nil on a node that is alone
	api     *api
	audit   *console.Audit // of operators' orders; nil when it cannot be kept
	picture *picture
	served  *served
	watches *watches
	fence   *fence
	reload  *reloader
	driller console.Driller
	// validations is held while an order changes validation records and their file.
	validations sync.Mutex
}

// Run starts the node and returns when the context has ended and everything has stopped, in the reverse order of its start.
// The name server answers first, by the saved plan: it needs no disk that can be written.
func Run(ctx context.Context, c Config) error {
	if err := os.MkdirAll(c.Proa.Node.Dir, 0o700); err != nil {
		return fmt.Errorf("node folder: %w", err)
	}
	c.picture = newPicture(c)
	n := &node{cfg: c.Proa, clock: c.Clock, logger: c.Logger, picture: c.picture, driller: c.Driller}
	n.reload = newReloader(n, c.File)
	if err := n.newDNS(); err != nil {
		return err
	}
	n.recallValidations()
	if err := n.dns.Bind(); err != nil {
		return err
	}
	return answerLast(ctx, n.dns.Run, func(ctx context.Context) error { return n.begin(ctx, c) })
}

// begin is all of the node but its name server.
func (n *node) begin(ctx context.Context, c Config) (err error) {
	if n.together() { // it has heard of no plan but the saved one
		if err := n.dns.Isolate(true); err != nil {
			return err
		}
		n.dns.Degrade(dns.Reason{Code: dns.ReasonStale, Text: "the node starts, the last plan stands"})
	}
	db, err := openStore(ctx, c)
	if err != nil || db == nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if n.sync, err = newDataSync(ctx, c, db); err != nil {
		return err
	}
	if err := n.newTraffic(ctx); err != nil {
		return err
	}
	if n.cluster != nil {
		defer func() { err = errors.Join(err, n.cluster.Close()) }()
	}
	api, err := n.listen()
	if err != nil {
		return err
	}
	if err := n.openConsole(api.http.Handler); err != nil {
		return errors.Join(err, api.ln.Close())
	}
	closeAudit := n.openAudit()
	defer func() { err = errors.Join(err, closeAudit()) }()
	if c.Ready != nil {
		c.Ready()
	}
	return n.run(ctx, api)
}

// run owns every goroutine of the node but the name server's.
func (n *node) run(ctx context.Context, api *api) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, run := range []func(context.Context) error{
		n.traffic.Run, n.runCluster, n.prober.Run, n.sync.Run, api.run, n.runPicture,
		n.served.run, n.watches.run, n.fence.run, n.reload.run,
	} {
		g.Go(func() error { return run(ctx) })
	}
	return g.Wait()
}

// answerLast runs the name server until all else has ended. Without a name server there is no node: where it ends, so
// does all else.
func answerLast(ctx context.Context, answer, rest func(context.Context) error) error {
	answering, stopAnswering := context.WithCancel(context.WithoutCancel(ctx))
	defer stopAnswering()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var last errgroup.Group
	last.Go(func() error {
		defer stop()
		return answer(answering)
	})
	err := rest(ctx)
	stopAnswering()
	return errors.Join(err, last.Wait())
}

// newTraffic builds prober and controller, in the direction in which verdicts flow.
func (n *node) newTraffic(ctx context.Context) error {
	policy := n.policy(n.cfg)
	if err := n.newCluster(policy); err != nil {
		return err
	}
	var err error
	n.traffic, err = traffic.NewService(traffic.ServiceConfig{
		Policy:      policy,
		Store:       n.planFile(),
		Log:         n.log(),
		Replication: n.replication,
		Publish:     []func(traffic.PlanChanged){n.publish},
		Clock:       n.clock,
		Logger:      n.logger,
	})
	if err != nil {
		return err
	}
	n.fence = newFence(n, policy)
	if n.watches, err = n.newWatches(); err != nil {
		return err
	}
	endpoints, err := n.endpoints(ctx)
	if err != nil {
		return err
	}
	n.prober, err = health.New(health.Config{
		Vantage: n.cfg.Node.Name, Endpoints: endpoints, Report: n.report,
		Ask: n.askRecheck, Peers: n.reached,
		Seed: uint64(n.clock().UnixNano()), Clock: n.clock,
	})
	return err
}

func (n *node) newDNS() error {
	addresses := map[proa.Region][]netip.Addr{}
	for r, g := range n.gateways() {
		for _, a := range g.Addresses {
			addr, err := netip.ParseAddr(a)
			if err != nil {
				return fmt.Errorf("gateway address of %s: %w", r, err)
			}
			addresses[r] = append(addresses[r], addr)
		}
	}
	servers, err := n.nameServers()
	if err != nil {
		return err
	}
	zone, record, err := dns.DemoZone(n.cfg.Zone, servers, n.cfg.Traffic.TTL.D(), addresses)
	if err != nil {
		return err
	}
	plan, err := n.planFile().Load()
	if err != nil {
		return err
	}
	if plan.Plan.Version == 0 {
		plan.Plan.Active = n.cfg.Primary
	}
	var zones []*dns.Zone
	var list []dns.Record
	if n.served, zones, list, err = newServed(n, zone, record); err != nil {
		return err
	}
	c := dns.Config{
		Listen: n.cfg.Node.DNS, Zones: zones, Records: list,
		Plan: plan.Plan, NSID: n.cfg.Node.Name, Clock: n.clock, Logger: n.logger,
	}
	if err := extendDNS(&c, n.cfg.DNS); err != nil {
		return err
	}
	n.dns, err = dns.New(c)
	return err
}

func (n *node) gateways() map[proa.Region]config.Gateway {
	return map[proa.Region]config.Gateway{proa.AWS: n.cfg.Regions.AWS.Gateway, proa.Azure: n.cfg.Regions.Azure.Gateway}
}

// publish gives a plan to the name server. A plan that it refuses is behind the one that it serves already.
func (n *node) publish(p traffic.PlanChanged) {
	if err := n.dns.Apply(p.Plan); err != nil {
		n.logger.Warn("plan not published", "version", p.Plan.Version, "err", err)
		return
	}
	n.notePublished(p)
}
