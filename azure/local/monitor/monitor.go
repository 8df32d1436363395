// Package monitor is the local Azure Monitor: platform metrics in bounded memory, metric alerts and
// availability tests, and the REST reads of both.
//
// Metrics live in memory and are gone after a restart; alerts are durable: one that has fired is on
// stable storage before it is shown, and is still fired after a restart until its rule finds it
// over.
package monitor

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/proa-cloud/proa/internal/store"
)

// Config describes the subscription that is monitored.
type Config struct {
	Dir           string // data folder of the alerts, created if needed
	FS            vfs.FS // the operating system's when nil
	Clock         func() time.Time
	Logger        *slog.Logger // nil discards
	Subscription  string       // a UUID
	ResourceGroup string
	// Client makes the requests of availability tests; one without keep-alive and proxy when nil.
	Client *http.Client
}

// Server holds the metrics and alerts. It is safe for concurrent use.
type Server struct {
	scope   string // "/subscriptions/…/resourceGroups/…"
	sub     string // "/subscriptions/…"
	clock   func() time.Time
	logger  *slog.Logger
	client  *http.Client
	db      *pebble.DB
	metrics metrics

	mu      sync.Mutex
	rules   Rules
	changed chan struct{}
	alerts  map[string]*alert // the latest alert of each rule, by lower-case rule id
}

// New opens the alerts. It starts nothing: Run evaluates the rules.
func New(c Config) (*Server, error) {
	if c.Clock == nil || c.Subscription == "" || c.ResourceGroup == "" {
		return nil, errors.New("monitor: Clock, Subscription and ResourceGroup are required")
	}
	logger := c.Logger
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	client := c.Client
	if client == nil {
		client = &http.Client{
			Transport:     &http.Transport{DisableKeepAlives: true},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	db, err := store.Open(store.Options{Dir: c.Dir, FS: c.FS, Logger: logger})
	if err != nil {
		return nil, err
	}
	s := &Server{
		sub: "/subscriptions/" + c.Subscription, clock: c.Clock, logger: logger, client: client, db: db,
		changed: make(chan struct{}, 1), alerts: map[string]*alert{},
	}
	s.scope = s.sub + "/resourceGroups/" + c.ResourceGroup
	if err := s.loadAlerts(); err != nil {
		_ = db.Close()
		return nil, err
	}
	return s, nil
}

// Close releases the data folder; call it after Run and the last request have ended.
func (s *Server) Close() error { return s.db.Close() }

// ResourceID is the id of a resource of the group: kind is "Microsoft.Web/sites" and the like.
func (s *Server) ResourceID(kind, name string) string {
	return s.scope + "/providers/" + kind + "/" + name
}

// Record counts one measurement of a resource's metric. Dimensions are name and value in turn. Past
// the limit of series a measurement of a new one is dropped.
func (s *Server) Record(resource, metric string, value float64, dimensions ...string) {
	s.metrics.record(s.clock(), seriesKey{
		resource: strings.ToLower(resource), metric: metric, dimensions: strings.Join(dimensions, "\x00"),
	}, value)
}

// SetRules replaces all rules; Run goes on with the new ones. Alerts keep their state by rule name.
func (s *Server) SetRules(r Rules) {
	s.mu.Lock()
	s.rules = r
	s.mu.Unlock()
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// Run evaluates the rules until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		s.mu.Lock()
		rules := s.rules
		s.mu.Unlock()
		inner, cancel := context.WithCancel(ctx)
		var group sync.WaitGroup
		for _, rule := range rules.Metrics {
			group.Go(func() { s.watchMetric(inner, rule) })
		}
		for _, test := range rules.Tests {
			group.Go(func() { s.watchURL(inner, test) })
		}
		select {
		case <-ctx.Done():
		case <-s.changed:
		}
		cancel()
		group.Wait()
	}
	return nil
}
