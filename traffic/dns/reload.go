package dns

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/internal/filestamp"
)

// Reload replaces the zones by newer versions of themselves, of the same origins. Zones that cannot be
// compiled, or whose serial is behind, are refused, and the last good ones go on serving; no query is
// lost.
func (s *Server) Reload(zones []*Zone) error {
	s.publish.Lock()
	records := s.cfg.Records
	s.publish.Unlock()
	return s.Replace(zones, records)
}

// Replace is Reload with other records.
func (s *Server) Replace(zones []*Zone, records []Record) error {
	s.compile.Lock()
	defer s.compile.Unlock()
	if was, now := origins(s.cfg.Zones), origins(zones); !slices.Equal(was, now) {
		return fmt.Errorf("reload: the zones are %v, not %v: %w", was, now, proa.ErrInvalidConfig)
	}
	source := s.source()
	source.Zones, source.Records = zones, records
	base, err := source.Compile()
	if err != nil {
		return err
	}
	kept := s.lean(base, zones)
	s.publish.Lock()
	defer s.publish.Unlock()
	if err := s.rebuild(base, s.state); err != nil {
		return err
	}
	s.cfg.Zones, s.cfg.Records = kept, records
	return nil
}

func origins(zones []*Zone) []string {
	var list []string
	for _, z := range zones {
		list = append(list, z.Origin)
	}
	slices.Sort(list)
	return list
}

// lean is the zones as far as something is compiled or read from them again. It comes before the
// base's first snapshot, which would hold on to all of them.
func (s *Server) lean(base *Base, zones []*Zone) []*Zone {
	if base.renew.IsZero() && len(s.cfg.Transfers) == 0 && s.cfg.Signing.Dir == "" {
		return base.slim()
	}
	return zones
}

// fileCheck is how often a zone's file is looked at.
const fileCheck = time.Second

// keepFile loads a zone's file again when it has changed and then been left alone for a second, or when
// asked, until ctx ends. What is wrong with it is logged with file, line and column, once a version.
func (s *Server) keepFile(ctx context.Context, f ZoneFile, loaded filestamp.Stamp) error {
	tick := time.NewTicker(fileCheck)
	defer tick.Stop()
	seen := loaded
	for first := true; ; first = false {
		asked := false
		select {
		case <-ctx.Done():
			return nil
		case <-f.Reload:
			asked = true
		case <-tick.C:
		}
		if first {
			trim() // once more, now that everything has begun
		}
		stamp := filestamp.Of(f.Path)
		settled := stamp == seen && stamp.Exists()
		seen = stamp
		if !asked && (!settled || stamp == loaded) {
			continue
		}
		loaded = stamp
		serial, err := s.reloadFile(f.Path)
		if err != nil {
			s.cfg.Logger.Error("zone not loaded again, the last good one serves on", "error", err)
			continue
		}
		s.cfg.Logger.Info("zone loaded again", "file", f.Path, "serial", serial)
	}
}

// reloadFile gives the serial that is served then.
func (s *Server) reloadFile(file string) (uint32, error) {
	defer debug.FreeOSMemory()
	zone, err := LoadZone(file)
	if err != nil {
		return 0, err
	}
	if err := s.Reload([]*Zone{zone}); err != nil {
		return 0, err
	}
	serial, _ := s.serialOf(zone.Origin)
	return serial, nil
}
