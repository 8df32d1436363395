// Package supervisor is what `proa up` runs: both local clouds and the node as child processes of the same binary, each cloud a process
// group of its own, the proxies between data sync and the clouds, and a control socket that works while children are dead.
//
// It restarts a dead node with back-off. It never restarts a cloud, however it died: only Heal does.
package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/config"
	"github.com/proa-cloud/proa/console"
	"github.com/proa-cloud/proa/internal/netfault"
)

// Config is what `proa up` decides.
type Config struct {
	// Dir is the system's folder.
	Dir string
	// Executable is the binary that children run.
	Executable string
	// Ports says where to listen.
	Ports Ports
	// Proa is the user's configuration; addresses and credentials are filled in.
	Proa config.Config
	// Package writes the demo function's zip, made around the given executable.
	Package func(w io.Writer, executable string) error
	// Nodes is how many nodes decide together: 1, 3 or 5; 0 is 3.
	Nodes int
	// Logger may not be nil.
	Logger *slog.Logger
}

// Supervisor owns the running system.
type Supervisor struct {
	cfg      Config
	state    State
	lock     *os.File
	clouds   map[proa.Region]*child
	node     *child   // the first one
	nodes    []*child // all of them
	links    []link   // between them
	drill    *child   // the last one that was begun here
	audit    *console.Audit
	logs     []*logFile
	proxies  map[proa.Region]*netfault.Proxy
	faults   faultBook
	stop     chan struct{} // closed by the control socket's stop
	stopOnce sync.Once
}

// Layout of the folder.
func cloudDir(dir string, r proa.Region) string { return filepath.Join(dir, string(r)) }

// NodeConfigPath is where the first node's proa.yaml is written.
func NodeConfigPath(dir string) string { return NodeConfigPathOf(dir, "node-1") }

// New prepares the folder, takes its lock and decides the addresses. It starts nothing. The caller must Close.
func New(cfg Config) (*Supervisor, error) {
	if cfg.Nodes == 0 {
		cfg.Nodes = defaultNodes
	}
	if cfg.Nodes%2 == 0 || cfg.Nodes < 1 || cfg.Nodes > maxNodes {
		return nil, fmt.Errorf("%d nodes: want 1, 3 or 5, so that a majority is clear: %w", cfg.Nodes, proa.ErrInvalid)
	}
	folders := []string{cfg.Dir, cloudDir(cfg.Dir, proa.AWS), cloudDir(cfg.Dir, proa.Azure), filepath.Join(cfg.Dir, "logs")}
	for _, name := range nodeNames(cfg.Nodes) {
		folders = append(folders, filepath.Join(cfg.Dir, name))
	}
	for _, d := range folders {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, fmt.Errorf("prepare folder: %w", err)
		}
	}
	f, err := lock(cfg.Dir)
	if err != nil {
		return nil, err
	}
	s := &Supervisor{cfg: cfg, lock: f, stop: make(chan struct{}), clouds: map[proa.Region]*child{}, proxies: map[proa.Region]*netfault.Proxy{}}
	if s.audit, err = console.OpenAudit(filepath.Join(cfg.Dir, "audit.log"), time.Now); err == nil {
		err = s.prepare()
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Supervisor) prepare() error {
	state, err := ReadState(s.cfg.Dir)
	if err != nil && !errors.Is(err, proa.ErrNotFound) {
		return err
	}
	if err := s.clearFaults(); err != nil {
		return err
	}
	state.fill()
	last := state.Addresses
	for range 10 { // until no port was picked twice
		if state.Addresses, err = s.cfg.Ports.plan(last); err != nil {
			return err
		}
		if err := planNodes(&state.Addresses, last, s.cfg.Nodes); err != nil {
			return err
		}
		if state.Addresses.distinct() {
			break
		}
	}
	state.PID, state.Started = os.Getpid(), time.Now().UTC()
	s.state = state
	for _, r := range proa.Regions() {
		if s.clouds[r], err = s.child("cloud-"+string(r), false, "cloud", string(r), "--dir", s.cfg.Dir); err != nil {
			return err
		}
		addr, target := state.Addresses.AWSProxy, state.Addresses.AWS
		if r == proa.Azure {
			addr, target = state.Addresses.AzureProxy, state.Addresses.Azure
		}
		if s.proxies[r], err = netfault.Listen(addr, target, s.cfg.Logger); err != nil {
			return err
		}
	}
	if s.drill, err = s.child("drill", false); err != nil {
		return err
	}
	return s.prepareNodes()
}

func (s *Supervisor) child(name string, restart bool, argv ...string) (*child, error) {
	out, err := openLog(filepath.Join(s.cfg.Dir, "logs", name+".log"))
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	s.logs = append(s.logs, out)
	return &child{name: name, argv: argv, exe: s.cfg.Executable, restart: restart, out: out, logger: s.cfg.Logger}, nil
}

// Close releases the folder. Children have been stopped by Run.
func (s *Supervisor) Close() error {
	var err error
	for _, l := range s.logs {
		err = errors.Join(err, l.Close())
	}
	if s.audit != nil {
		err = errors.Join(err, s.audit.Close())
	}
	return errors.Join(err, s.lock.Close())
}

// State returns addresses and credentials.
func (s *Supervisor) State() State { return s.state }

// Run starts everything, calls ready once requests are served, and supervises until the context ends or the control socket says
// stop. Then it stops all in order: the node, the clouds, the proxies.
func (s *Supervisor) Run(ctx context.Context, ready func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	server, err := s.listenControl()
	if err != nil {
		return err
	}
	if err := s.writeConfigs(); err != nil {
		server.close()
		return err
	}
	if err := s.state.save(s.cfg.Dir); err != nil {
		server.close()
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return server.run(gctx) })
	for _, p := range s.proxies {
		g.Go(func() error { return p.Run(gctx) })
	}
	for _, l := range s.links {
		g.Go(func() error { return l.proxy.Run(gctx) })
	}
	g.Go(func() error {
		defer cancel()
		defer s.stopChildren()
		if err := s.startAll(gctx); err != nil {
			return err
		}
		ready()
		select {
		case <-gctx.Done():
		case <-s.stop:
		}
		return nil
	})
	err = g.Wait()
	s.state.PID = 0
	return errors.Join(err, s.state.save(s.cfg.Dir))
}

// startAll brings up both clouds side by side, gives them the demo application, and then starts the node.
func (s *Supervisor) startAll(ctx context.Context) error {
	zip, err := s.packageFunction()
	if err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := s.clouds[proa.AWS].start(gctx); err != nil {
			return err
		}
		return s.provisionAWS(gctx, zip)
	})
	g.Go(func() error {
		if err := s.clouds[proa.Azure].start(gctx); err != nil {
			return err
		}
		return s.waitServing(gctx, proa.Azure)
	})
	if err := g.Wait(); err != nil {
		return err
	}
	// The nodes come last: what they would see of clouds that are still starting is no reason to fail over.
	if err := s.startNodes(ctx); err != nil {
		return err
	}
	s.state.Provisioned = zip.identity
	return s.state.save(s.cfg.Dir)
}

func (s *Supervisor) stopChildren() {
	s.drill.stop()
	s.stopNodes()
	var g errgroup.Group
	for _, c := range s.clouds {
		g.Go(func() error { c.stop(); return nil })
	}
	_ = g.Wait() // stop reports its own trouble
}
