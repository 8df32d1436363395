// Package local is an Azure on this machine: Cosmos DB, Blob Storage, a Functions host, API
// Management and Monitor in one process with one data folder, over the vendor's wire protocols.
//
// One listener serves the data plane, every request verified by package auth before it is routed by
// its path; another serves API Management, which alone reaches the function apps. What Azure
// Resource Manager would have created stands in a strict file, read again when it changes.
package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/internal/faults"
	"github.com/proa-cloud/proa/internal/netfault"
	"github.com/proa-cloud/proa/internal/stall"
	"github.com/proa-cloud/proa/internal/telemetry"
)

// Addresses are where the cloud listens, once it does.
type Addresses struct {
	Data    string // host:port of Cosmos DB, Blob Storage and Monitor
	Gateway string // host:port of API Management
}

// Config describes the cloud. What a deployment creates stands in Dir/azure.yaml; see File.
type Config struct {
	Dir           string // data folder
	Listen        string // host:port of the data plane, such as 127.0.0.1:8081
	GatewayListen string // host:port of API Management, such as 127.0.64.2:8080
	Account       string // storage account name, such as proalocal
	CosmosKey     proa.Secret
	CosmosReadKey proa.Secret // optional
	StorageKey    proa.Secret
	MonitorToken  proa.Secret
	Clock         func() time.Time
	Logger        *slog.Logger // nil discards
	// Ready is called once, when requests are answered; nil for nobody to tell.
	Ready func(Addresses)
	// Faults is what is wrong on purpose; nil for nothing.
	Faults *faults.Source
	// Telemetry counts what crosses the picture's arrows; nil for nobody.
	Telemetry *telemetry.Recorder
}

// Names of the one subscription and of what stands in it.
const (
	Subscription  = "00000000-0000-0000-0000-000000000000"
	ResourceGroup = "proa"
	GatewayName   = "proa-local"
	gatewayKind   = "Microsoft.ApiManagement/service"
	appKind       = "Microsoft.Web/sites"
	testKind      = "Microsoft.Insights/components"
)

// Limits of the two listeners.
const (
	maxHeader       = 64 << 10
	maxConnections  = 4096 // of each listener
	maxConcurrent   = 1024 // requests of the data plane in flight
	headerTimeout   = 10 * time.Second
	idleTimeout     = 2 * time.Minute
	stopTimeout     = 2 * time.Second
	fileCheckEvery  = time.Second
	gatewayInFlight = 2048
)

// Run runs the cloud until ctx ends, then stops what it started in reverse order. It fails at once
// when the folder, an address or the strict file cannot be used; a function app that does not run
// is logged and tried again, and takes nothing else down.
func Run(ctx context.Context, c Config) error {
	if c.Clock == nil || c.Dir == "" {
		return errors.New("azure/local: Clock and Dir are required")
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	data, err := listen(ctx, c.Listen)
	if err != nil {
		return err
	}
	defer data.Close()
	gateway, err := listen(ctx, c.GatewayListen)
	if err != nil {
		return err
	}
	defer gateway.Close()
	if c.Faults != nil {
		gateway = netfault.WrapListener(gateway, c.Faults.Gateway)
	}
	s, err := open(c)
	if err != nil {
		return err
	}
	if err := s.apply(); err != nil {
		return errors.Join(err, s.close())
	}
	err = s.run(ctx, data, gateway)
	return errors.Join(err, s.close())
}

func listen(ctx context.Context, address string) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("azure/local: listen: %w", err)
	}
	return newLimitListener(l, maxConnections), nil
}

// run serves until ctx ends or a listener fails. The order of stopping is that of the stages: first
// no more requests come in, then the function apps end, then the stores' housekeeping.
func (s *services) run(ctx context.Context, data, gateway net.Listener) error {
	back, stopBack := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBack()
	apps, stopApps := context.WithCancel(context.WithoutCancel(ctx))
	defer stopApps()
	var stores, hosts errgroup.Group
	stores.Go(func() error { return s.cosmos.Run(back) })
	stores.Go(func() error { return s.blob.Run(back) })
	stores.Go(func() error { return s.deliver(back) })
	hosts.Go(func() error { return s.functions.Run(apps) })

	front, inner := errgroup.WithContext(ctx)
	front.Go(func() error {
		return serve(inner, data, limitRequests(maxConcurrent, s.front()), s.logger)
	})
	front.Go(func() error {
		return serve(inner, gateway, limitRequests(gatewayInFlight, s.counted()), s.logger)
	})
	front.Go(func() error { return s.monitor.Run(inner) })
	front.Go(func() error { return s.watchFile(inner) })
	if s.ready != nil {
		s.ready(Addresses{Data: data.Addr().String(), Gateway: gateway.Addr().String()})
	}
	err := front.Wait()
	stopApps()
	err = errors.Join(err, hosts.Wait())
	stopBack()
	return errors.Join(err, stores.Wait())
}

// serve answers requests until ctx ends, then lets those under way finish for a while.
func serve(ctx context.Context, l net.Listener, h http.Handler, logger *slog.Logger) error {
	server := &http.Server{
		Handler: stall.Default().Wrap(h), MaxHeaderBytes: maxHeader, ReadHeaderTimeout: headerTimeout,
		IdleTimeout: idleTimeout, ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		if server.Shutdown(grace) != nil {
			_ = server.Close() // what still runs is cut off
		}
	}()
	err := server.Serve(l)
	if ctx.Err() == nil {
		return fmt.Errorf("azure/local: serve: %w", err)
	}
	<-stopped
	return nil
}
