package dns

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"

	"golang.org/x/sync/errgroup"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/internal/filestamp"
	"github.com/proa-cloud/proa/traffic/dns/dnssec"
)

// ZoneFile is a zone to serve from its file.
type ZoneFile struct {
	// Path is the master file. It is loaded again when it changes; a bad one is logged and refused.
	Path string
	// Keys is the folder with the zone's keys, "" for an unsigned zone.
	Keys string
	// Reload has the file loaded again at once; nil for nobody to ask.
	Reload <-chan os.Signal
	// Serving is called once the zone is loaded and all addresses are bound; nil for nobody to tell.
	Serving func(serial uint32)
}

// ServeZone serves one zone file until ctx ends. cfg is the server's configuration without zones. A
// folder of keys without any fails with proa.ErrInvalidConfig.
func ServeZone(ctx context.Context, f ZoneFile, cfg Config) error {
	if cfg.Workers == 0 {
		cfg.Workers = runtime.GOMAXPROCS(0)
	}
	loaded := filestamp.Of(f.Path) // before it is read: what changes meanwhile is read again
	s, err := newZoneServer(f.Path, f.Keys, cfg)
	if err != nil {
		return err
	}
	if err := s.Bind(); err != nil {
		return err
	}
	if f.Serving != nil {
		f.Serving(s.Current().base.zones[0].Serial)
	}
	spareProcessor()
	trim()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.Run(ctx) })
	group.Go(func() error { return s.keepFile(ctx, f, loaded) })
	return group.Wait()
}

// newZoneServer loads the zone. It is a function of its own so that what parsing took is garbage
// when it returns: the server keeps the packed answers only.
func newZoneServer(file, keys string, cfg Config) (*Server, error) {
	defer debug.FreeOSMemory()
	// A large zone is loaded once: rather slower than with twice the memory.
	defer debug.SetGCPercent(debug.SetGCPercent(40))
	zone, err := LoadZone(file)
	if err != nil {
		return nil, err
	}
	cfg.Zones = []*Zone{zone}
	if keys != "" {
		cfg.Signing.Dir = keys
		list, err := dnssec.LoadDir(keys, zone.Origin)
		if err != nil {
			return nil, err
		}
		if len(list) == 0 {
			return nil, fmt.Errorf("no keys of %s in %s: make one with `proa dns key new`: %w",
				zone.Origin, keys, proa.ErrInvalidConfig)
		}
	}
	return New(cfg)
}

// spareProcessor lets Go run one thread more than there are workers. Without an idle processor the
// runtime takes a worker's away after 20 µs of waiting for queries, and the worker must get it back
// each time: that measured 13 % of a query's cost.
func spareProcessor() { runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1) }
