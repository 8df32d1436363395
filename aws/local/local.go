// Package local is an AWS region on this machine: one process, one data folder, one endpoint for
// every service, and the gateway that the region's HTTP APIs answer on.
//
// Every request to the endpoint is verified by its signature before anything else looks at it, and
// routed by the service in the signature's credential scope. The gateway is public, as an HTTP API
// without authorizers is. What has been acknowledged survives SIGKILL.
package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/net/netutil"
	"golang.org/x/sync/errgroup"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/aws/local/wire"
	"github.com/proa-cloud/proa/internal/faults"
	"github.com/proa-cloud/proa/internal/netfault"
	"github.com/proa-cloud/proa/internal/stall"
	"github.com/proa-cloud/proa/internal/telemetry"
)

// Config describes the region. All fields but Ready are required.
type Config struct {
	Dir             string // data folder; created
	APIListen       string // host:port of the endpoint; port 0 takes a free one
	GatewayListen   string // host:port of the HTTP APIs; port 0 takes a free one
	AccessKeyID     string
	SecretAccessKey proa.Secret
	AccountID       string // twelve digits
	Region          string
	Clock           func() time.Time
	Logger          *slog.Logger
	Ready           func(Addresses) // called once both listeners answer
	Faults          *faults.Source  // what is wrong on purpose; nil for nothing
	// Telemetry counts what crosses the picture's arrows; nil for nobody.
	Telemetry *telemetry.Recorder
}

// Addresses are where the region listens, as host:port.
type Addresses struct {
	API, Gateway string
}

const (
	maxConnections = 4096
	maxRequests    = 1024     // at once, per listener
	maxHeaderBytes = 64 << 10 // of the endpoint
	drainTime      = time.Second
)

func (c Config) check() error {
	var missing []error
	for name, empty := range map[string]bool{
		"Dir": c.Dir == "", "APIListen": c.APIListen == "", "GatewayListen": c.GatewayListen == "",
		"AccessKeyID": c.AccessKeyID == "", "SecretAccessKey": c.SecretAccessKey.IsZero(),
		"AccountID": c.AccountID == "", "Region": c.Region == "",
		"Clock": c.Clock == nil, "Logger": c.Logger == nil,
	} {
		if empty {
			missing = append(missing, fmt.Errorf("the field %s of the configuration is not set", name))
		}
	}
	return errors.Join(missing...)
}

// Run serves the region until ctx ends, then drains for at most two seconds and returns nil. A
// folder that another process serves, and an address that is taken, are errors that say so.
func Run(ctx context.Context, cfg Config) (err error) {
	if err := cfg.check(); err != nil {
		return fmt.Errorf("local AWS: %w", err)
	}
	lock, err := lockFolder(cfg.Dir)
	if err != nil {
		return fmt.Errorf("local AWS: %w", err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	var listenConfig net.ListenConfig
	api, err := listenConfig.Listen(ctx, "tcp", cfg.APIListen)
	if err != nil {
		return fmt.Errorf("local AWS: endpoint: %w", err)
	}
	defer api.Close()
	gateway, err := listenConfig.Listen(ctx, "tcp", cfg.GatewayListen)
	if err != nil {
		return fmt.Errorf("local AWS: gateway: %w", err)
	}
	defer gateway.Close()
	if cfg.Faults != nil {
		gateway = netfault.WrapListener(gateway, cfg.Faults.Gateway)
	}
	services, err := open(cfg, Addresses{API: api.Addr().String(), Gateway: gateway.Addr().String()})
	if err != nil {
		return fmt.Errorf("local AWS: %w", err)
	}
	return services.serve(ctx, api, gateway)
}

// lockFolder makes the folder and holds it for this process alone.
func lockFolder(dir string) (io.Closer, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := vfs.Default.Lock(filepath.Join(dir, "LOCK"))
	if err != nil {
		return nil, fmt.Errorf("%s is in use by another process: %w", dir, err)
	}
	return lock, nil
}

// serve answers until ctx ends and closes everything in the reverse order of its opening.
func (s *services) serve(ctx context.Context, api, gateway net.Listener) error {
	front := newGate(&front{
		services: s, verifiers: newVerifiers(s.cfg), bodies: &wire.Budget{Limit: maxUnverified},
	}, tooBusyAPI)
	public := newGate(s.counted(), tooBusyGateway)
	apiServer := s.server(front, maxHeaderBytes)
	gatewayServer := s.server(public, maxHeaderBytes)

	background, stop := context.WithCancel(context.Background())
	defer stop()
	g, running := errgroup.WithContext(background)
	for _, run := range []func(context.Context) error{
		s.dynamodb.Run, s.lambda.Run, s.cloudwatch.Run, s.deliver,
	} {
		g.Go(func() error { return run(running) })
	}
	g.Go(func() error { return serveOn(apiServer, api) })
	g.Go(func() error { return serveOn(gatewayServer, gateway) })
	if s.cfg.Ready != nil {
		s.cfg.Ready(s.addresses)
	}
	select {
	case <-ctx.Done():
	case <-running.Done(): // something failed; Wait says what
	}
	shutdown(gatewayServer)
	stop()
	s.lambda.Stop() // functions end before what they call
	shutdown(apiServer)
	err := g.Wait()
	if !front.idle(drainTime) || !public.idle(drainTime) {
		s.cfg.Logger.Warn("requests were cut off")
		return err // the stores are left as a crash would leave them, which loses nothing
	}
	return errors.Join(err, s.close())
}

func (s *services) server(handler http.Handler, maxHeader int) *http.Server {
	return &http.Server{
		Handler: stall.Default().Wrap(handler), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(s.cfg.Logger.Handler(), slog.LevelDebug),
	}
}

func serveOn(server *http.Server, listener net.Listener) error {
	err := server.Serve(netutil.LimitListener(listener, maxConnections))
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// shutdown lets requests finish for a while, then cuts them off.
func shutdown(server *http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	if server.Shutdown(ctx) != nil {
		_ = server.Close()
	}
}
