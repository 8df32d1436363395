// Package functions is the local Azure Functions host for custom handlers: it unpacks an app's
// package, runs its executable as child processes and passes HTTP triggers on to them, as the
// vendor's host does.
//
// Only the gateway reaches an app, through Handler; its own host name is not public. An app that
// does not load or keeps crashing answers 503 and is tried again with back-off; others are not
// touched.
package functions

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/proa-cloud/proa/internal/guest"
)

// Config describes the host.
type Config struct {
	Dir    string // unpacked code and scratch folders
	Clock  func() time.Time
	Logger *slog.Logger // nil discards; what handlers print goes here too
	// Record counts a measurement of an app's platform metric; nil for nobody.
	Record func(app, metric string, value float64)
}

// App is one function app.
type App struct {
	Name        string
	Package     string            // zip file or folder
	Settings    map[string]string // application settings
	HostKeys    map[string]string // "master" opens everything
	Workers     int               // 1 when 0
	Concurrency int               // requests in flight, past which 429; 0: host.json's or 200
}

// Host runs function apps.
type Host struct {
	dir    string
	clock  func() time.Time
	logger *slog.Logger
	record func(app, metric string, value float64)

	mu      sync.Mutex
	wanted  []App
	changed chan struct{}
	apps    map[string]*app

	unpacking sync.Mutex // held while the folder of unpacked code is changed
}

// New makes a host without apps. It starts nothing.
func New(c Config) (*Host, error) {
	if c.Clock == nil || c.Dir == "" {
		return nil, errors.New("functions: Clock and Dir are required")
	}
	h := &Host{
		dir: c.Dir, clock: c.Clock, logger: c.Logger, record: c.Record,
		changed: make(chan struct{}, 1), apps: map[string]*app{},
	}
	if h.logger == nil {
		h.logger = slog.New(slog.DiscardHandler)
	}
	if h.record == nil {
		h.record = func(string, string, float64) {}
	}
	return h, nil
}

// SetApps replaces all apps. Run restarts those that changed and leaves the others alone.
func (h *Host) SetApps(apps []App) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.wanted = apps
	for _, a := range apps {
		// Requests that come before Run has got there wait for the app instead of failing.
		if h.apps[a.Name] == nil {
			h.apps[a.Name] = newApp(h, a)
		}
	}
	select {
	case h.changed <- struct{}{}:
	default:
	}
}

// Handler answers the requests to an app, whichever is known by that name when they come.
func (h *Host) Handler(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		a := h.apps[name]
		h.mu.Unlock()
		if a == nil {
			http.Error(w, "404 Web Site not found.", http.StatusNotFound)
			return
		}
		a.ServeHTTP(w, r)
	})
}

// Run runs the apps until ctx ends, and returns when their processes are gone.
func (h *Host) Run(ctx context.Context) error {
	if err := os.RemoveAll(filepath.Join(h.dir, "scratch")); err != nil {
		h.logger.Warn("cannot clear the scratch folders", "error", err)
	}
	running := map[string]context.CancelFunc{}
	var group sync.WaitGroup
	defer group.Wait()
	for {
		for identity, a := range h.plan() {
			if running[identity] != nil {
				continue
			}
			inner, cancel := context.WithCancel(ctx)
			running[identity] = cancel
			group.Go(func() { a.run(inner) })
		}
		h.retire(running)
		select {
		case <-ctx.Done():
			for _, cancel := range running {
				cancel()
			}
			return nil
		case <-h.changed:
		}
	}
}

// plan gives each wanted app that is new or changed a fresh state, and returns all by their
// identity.
func (h *Host) plan() map[string]*app {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := map[string]*app{}
	names := map[string]*app{}
	for _, w := range h.wanted {
		identity := w.identity()
		a := h.apps[w.Name]
		if a == nil || a.identity != identity {
			a = newApp(h, w)
		}
		names[w.Name], out[identity] = a, a
	}
	h.apps = names
	return out
}

// retire stops the apps that are not wanted any more.
func (h *Host) retire(running map[string]context.CancelFunc) {
	wanted := h.plan()
	maps.DeleteFunc(running, func(identity string, cancel context.CancelFunc) bool {
		if wanted[identity] == nil {
			cancel()
			return true
		}
		return false
	})
}

// identity changes when an app must be started anew: with its definition or its package.
func (a App) identity() string {
	b, _ := json.Marshal(a) // always marshals
	if info, err := os.Stat(a.Package); err == nil {
		b = append(b, info.ModTime().Format(time.RFC3339Nano)...)
		b = append(b, byte(info.Size()), byte(info.Size()>>8), byte(info.Size()>>16))
	}
	return string(b)
}

// unpack returns the folder with the app's code, and its hash where it came from a zip.
func (h *Host) unpack(a App) (guest.Code, error) {
	info, err := os.Stat(a.Package)
	if err != nil {
		return guest.Code{}, err
	}
	if info.IsDir() {
		dir, err := filepath.Abs(a.Package)
		return guest.Code{Dir: dir}, err
	}
	file, err := os.Open(a.Package)
	if err != nil {
		return guest.Code{}, err
	}
	defer file.Close()
	root, err := filepath.Abs(filepath.Join(h.dir, "code"))
	if err != nil {
		return guest.Code{}, err
	}
	h.unpacking.Lock()
	defer h.unpacking.Unlock()
	return guest.Unpack(file, info.Size(), root)
}

// tidy removes code that no app uses, once every app has loaded its own.
func (h *Host) tidy() {
	h.unpacking.Lock()
	defer h.unpacking.Unlock()
	h.mu.Lock()
	keep := map[string]bool{}
	loaded := true
	for _, a := range h.apps {
		a.mu.Lock()
		loaded = loaded && a.code != nil
		keep[a.hash] = true
		a.mu.Unlock()
	}
	h.mu.Unlock()
	if !loaded {
		return
	}
	if err := guest.Clean(filepath.Join(h.dir, "code"), keep); err != nil {
		h.logger.Warn("cannot remove unused code", "error", err)
	}
}
