// Package lambda is AWS Lambda on this machine: functions from zip packages, run as child processes
// on the vendor's Runtime API.
//
// A function that has been acknowledged is on stable storage: its package file is fsynced before its
// record is committed. An environment handles one request at a time and dies with this process; a
// request that finds none idle waits for a new one or for the first that becomes free.
//
// https://docs.aws.amazon.com/lambda/latest/api/welcome.html and
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
package lambda

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"golang.org/x/sync/errgroup"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/internal/store"
)

// Config says where functions live and how they run. Dir, Clock and Logger are required.
type Config struct {
	Dir    string // data folder; created
	LogDir string // the functions' logs; Dir/logs when ""
	Clock  func() time.Time
	Logger *slog.Logger

	AccountID string // twelve digits
	Region    string
	// Endpoint, AccessKeyID and SecretAccessKey are what a function's SDK finds in its environment:
	// the local stand-in for the credentials of its execution role.
	Endpoint        string
	AccessKeyID     string
	SecretAccessKey proa.Secret

	// Fetch reads a code package from S3. Nil refuses packages in S3. Its error may be a *wire.Error.
	Fetch func(ctx context.Context, bucket, key, version string) (io.ReadCloser, error)
	// Emit takes one sample of a metric; it must not block. Nil drops them.
	Emit func(namespace, metric, unit string, value float64, dimensions ...[2]string)

	AccountConcurrency int           // the account's concurrent requests; the vendor's 1000 when 0
	MaxEnvironments    int           // processes of one function; 16 when 0
	Warm               int           // environments kept per function even when idle; 1 when 0, none below
	IdleTimeout        time.Duration // after which an idle environment above Warm ends; 2 min when 0
	InitTimeout        time.Duration // the vendor's 10 s when 0
}

func (c Config) withDefaults() (Config, error) {
	if c.Clock == nil || c.Logger == nil || c.Dir == "" {
		return c, errors.New("lambda: Dir, Clock and Logger must be set")
	}
	if c.LogDir == "" {
		c.LogDir = filepath.Join(c.Dir, "logs")
	}
	if c.Emit == nil {
		c.Emit = func(string, string, string, float64, ...[2]string) {}
	}
	c.AccountConcurrency = orDefault(c.AccountConcurrency, 1000)
	c.MaxEnvironments = orDefault(c.MaxEnvironments, 16)
	c.Warm = orDefault(c.Warm, 1)
	c.IdleTimeout = orDefault(c.IdleTimeout, 2*time.Minute)
	c.InitTimeout = orDefault(c.InitTimeout, 10*time.Second)
	return c, nil
}

func orDefault[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

const sweepInterval = time.Second

// Server is the service. It is an http.Handler; the caller in front verifies signatures.
type Server struct {
	cfg Config
	db  *pebble.DB

	mu        sync.Mutex
	functions map[string]*function
	inflight  int // requests of functions without reserved concurrency
	closed    bool

	writeMu sync.Mutex // serialises changes of functions, so that mu is never held over disk I/O

	async *asyncQueue
	work  sync.WaitGroup // invocations and environments
}

// function is one function as it runs: its durable record, its pool and its counter.
type function struct {
	record   record
	pool     *pool
	inflight int
}

// New opens the store and loads the functions. It starts nothing: environments come with Run, or
// with the first request.
func New(cfg Config) (*Server, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	for _, dir := range []string{cfg.Dir, cfg.LogDir} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("lambda: %w", err)
		}
	}
	db, err := store.Open(store.Options{Dir: filepath.Join(cfg.Dir, "meta"), Logger: cfg.Logger})
	if err != nil {
		return nil, fmt.Errorf("lambda: %w", err)
	}
	s := &Server{cfg: cfg, db: db, functions: map[string]*function{}, async: newAsyncQueue()}
	if err := s.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("lambda: load: %w", err), db.Close())
	}
	return s, nil
}

// Run warms the functions up, delivers asynchronous invocations and ends idle environments, until
// ctx ends.
func (s *Server) Run(ctx context.Context) error {
	for _, p := range s.pools() {
		p.warm()
	}
	g, ctx := errgroup.WithContext(ctx)
	for range asyncWorkers {
		g.Go(func() error { return s.deliver(ctx) })
	}
	g.Go(func() error {
		tick := time.NewTicker(sweepInterval)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
				s.sweep()
			}
		}
	})
	return g.Wait()
}

func (s *Server) sweep() {
	now := s.cfg.Clock()
	s.async.wake(now)
	for _, p := range s.pools() {
		p.reap(now)
	}
}

// Stop ends all environments and waits for what was under way. Invocations are refused afterwards;
// the rest of the API answers until Close. It may be called more than once.
func (s *Server) Stop() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	for _, p := range s.pools() {
		p.close(true)
	}
	s.work.Wait()
}

// Close stops the functions and closes the store. No request may be under way.
func (s *Server) Close() error {
	s.Stop()
	return s.db.Close()
}

// pools returns the pools in force.
func (s *Server) pools() []*pool {
	s.mu.Lock()
	defer s.mu.Unlock()
	pools := make([]*pool, 0, len(s.functions))
	for _, f := range s.functions {
		pools = append(pools, f.pool)
	}
	return pools
}

// names returns the names of all functions, in order.
func (s *Server) names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.functions))
}
