// Package console is the web console: the picture live, the failover's timeline, conflicts, data, faults and operators' switches,
// served by a node from its own binary.
//
// It knows nothing of traffic or data sync: the node tells it what is so (Live), lends it its control API for everything that a
// page asks for by name, and the telemetry that all processes report. Every route but the login needs a session; every change of
// state needs the session's CSRF token and the page's own origin, and leaves a line in the audit.
package console

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/internal/telemetry"
)

//go:generate go run ./internal/bundle/build

// Config is what a console is made of.
type Config struct {
	// Listen is the console's address. Keep it on loopback, or put TLS in front.
	Listen string
	// Hosts are further names under which browsers reach it (host or host:port), such as a proxy's. Loopback names and Listen
	// itself are always taken; all others are refused, so that no foreign page can rebind its name to us.
	Hosts []string
	// Token opens a session in place of a link, and is what API wants.
	Token proa.Secret
	// API is the node's control API.
	API http.Handler
	// Supervisor injects faults; the zero value where nobody does.
	Supervisor Supervisor
	// Live tells what is so now. It is asked ten times a second and must not block.
	Live func() Live
	// Peers asks the other nodes for their audits, and names those that do not answer; nil where there are none.
	Peers func(context.Context) ([]Entry, []string)
	// Scenarios are the drills that a page may begin, through Supervisor or Driller.
	Scenarios []Scenario
	// Driller performs drills where there is no Supervisor; nil where nobody does.
	Driller Driller
	// Collector is where every process's telemetry comes together.
	Collector *telemetry.Collector
	// Dir keeps history, incidents and audit; bounded to about 10 MB.
	Dir    string
	Clock  func() time.Time
	Logger *slog.Logger
}

// Server serves the console.
type Server struct {
	// Audit and Drills are kept here and also filled by the node's control API.
	Audit  *Audit
	Drills *Drills

	cfg      Config
	ln       net.Listener
	http     *http.Server
	sessions *sessions
	feed     *feed
	watch    *watcher
	history  *history
}

// The server's bounds.
const (
	maxConnections = 256
	maxHeader      = 16 << 10
	maxBody        = 4 << 20 // an item that settles a conflict
	tick           = 100 * time.Millisecond
	frameEvery     = 5 // ticks
	stopTimeout    = time.Second
)

// New opens the console's files and its listener. It starts nothing; Run must be called, or Close.
func New(cfg Config) (*Server, error) {
	if cfg.Token.IsZero() || cfg.Live == nil || cfg.API == nil || cfg.Collector == nil || cfg.Clock == nil || cfg.Logger == nil {
		return nil, fmt.Errorf("console: Token, Live, API, Collector, Clock and Logger are needed: %w", proa.ErrInvalidConfig)
	}
	s := &Server{cfg: cfg, sessions: newSessions(cfg.Token, cfg.Clock), feed: newFeed()}
	var err error
	if s.Audit, err = OpenAudit(filepath.Join(cfg.Dir, "audit.log"), cfg.Clock); err != nil {
		return nil, err
	}
	if s.history, err = openHistory(filepath.Join(cfg.Dir, "history")); err != nil {
		return nil, errors.Join(err, s.Audit.Close())
	}
	if s.Drills, err = openDrills(filepath.Join(cfg.Dir, "drills"), cfg.Clock); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.watch = openWatcher(filepath.Join(cfg.Dir, "incidents.json"), cfg.Logger)
	if s.ln, err = (&net.ListenConfig{}).Listen(context.Background(), "tcp", cfg.Listen); err != nil {
		err = &proa.Error{Op: "listen on " + cfg.Listen, Err: err, Hint: "give another address in node.console"}
		return nil, errors.Join(err, s.Close())
	}
	s.http = &http.Server{
		Handler: s.handler(), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelDebug),
	}
	return s, nil
}

// Close releases what New opened. Run does so itself.
func (s *Server) Close() error {
	err := errors.Join(s.Audit.Close(), s.history.Close())
	if s.ln != nil {
		s.ln.Close()
	}
	return err
}

// URL is where the console is.
func (s *Server) URL() string { return "http://" + s.ln.Addr().String() + "/" }

// Link makes a link that opens one session, once, within ten minutes.
func (s *Server) Link() (string, error) {
	code, err := s.sessions.newCode()
	if err != nil {
		return "", err
	}
	return s.URL() + "login?code=" + code, nil
}

// Run serves and watches until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.serve(gctx) })
	g.Go(func() error { return s.observe(gctx) })
	if s.cfg.Supervisor.Address != "" {
		g.Go(func() error { return s.watchFaults(gctx) })
	}
	return errors.Join(g.Wait(), s.Close())
}

func (s *Server) serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		s.feed.close()
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		if s.http.Shutdown(ctx) != nil {
			s.http.Close()
		}
	})
	defer stop()
	if err := s.http.Serve(limit(s.ln)); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("console: %w", err)
	}
	return nil
}

// observe looks at the system ten times a second and sends a frame at every fifth look.
func (s *Server) observe(ctx context.Context) error {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		live, now := s.cfg.Live(), s.cfg.Clock()
		s.watch.step(now, &live, s.feed.faults())
		if n%frameEvery != 0 {
			continue
		}
		f := s.frame(now, live)
		s.watch.traffic(now, f.Stats)
		f.Incident = s.watch.current()
		s.feed.send(f)
		if err := s.history.add(now, sampleOf(f)); err != nil {
			s.cfg.Logger.Warn("console history not written", "err", err)
		}
	}
}

func (s *Server) frame(now time.Time, live Live) *Frame {
	return &Frame{
		At: now.UTC(), Live: live, Stats: s.cfg.Collector.Read(), Traces: s.cfg.Collector.Settled(maxFrameTraces),
		Faults: s.feed.faults(), Drill: s.Drills.current(),
	}
}

// watchFaults asks the supervisor what it has broken.
func (s *Server) watchFaults(ctx context.Context) error {
	ticker := time.NewTicker(2 * tick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		faults, err := s.cfg.Supervisor.faults(ctx)
		if err != nil && ctx.Err() == nil {
			faults = Faults{Error: err.Error()}
		}
		s.feed.setFaults(faults)
	}
}
