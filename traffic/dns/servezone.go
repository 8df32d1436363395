package dns

import (
	"context"
	"fmt"
	"runtime/debug"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/traffic/dns/dnssec"
)

// ServeZone serves one zone file until ctx ends. cfg is the server's configuration without zones.
// keys is the folder with the zone's keys, "" for an unsigned zone; a folder without any fails with
// proa.ErrInvalidConfig.
func ServeZone(ctx context.Context, file, keys string, cfg Config) error {
	zone, err := LoadZone(file)
	if err != nil {
		return err
	}
	cfg.Zones = []*Zone{zone}
	if keys != "" {
		if cfg.Signing.Keys, err = dnssec.LoadDir(keys, zone.Origin); err != nil {
			return err
		}
		if len(cfg.Signing.Keys) == 0 {
			return fmt.Errorf("no keys of %s in %s: make one with `proa dns key new`: %w", zone.Origin,
				keys, proa.ErrInvalidConfig)
		}
	}
	s, err := New(cfg)
	if err != nil {
		return err
	}
	debug.FreeOSMemory() // what parsing took: the server keeps the packed answers only
	return s.Run(ctx)
}
