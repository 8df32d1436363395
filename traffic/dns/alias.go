package dns

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"time"
)

// Resolver finds a name's addresses; *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// aliasTimeout ends one look-up of an alias's target.
const aliasTimeout = 5 * time.Second

// maxFound bounds the addresses of one target.
const maxFound = 64

// keepAliases looks up the aliases' targets outside our zones until ctx ends, each as often as its
// TTL says. A target that cannot be found keeps its last addresses.
func (s *Server) keepAliases(ctx context.Context) error {
	wait := map[string]time.Duration{}
	for _, a := range s.cfg.Aliases {
		n, err := parseName(a.Target)
		if err != nil {
			return err
		}
		s.publish.Lock()
		ours := s.base.zoneOf(n) >= 0
		s.publish.Unlock()
		if known, ok := wait[n.String()]; !ours && (!ok || a.TTL < known) {
			wait[n.String()] = a.TTL
		}
	}
	due := map[string]time.Time{}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for len(wait) > 0 {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		now := time.Now()
		found := map[string][]netip.Addr{}
		for target, every := range wait {
			if now.Before(due[target]) {
				continue
			}
			due[target] = now.Add(every)
			if list := s.findTarget(ctx, target); len(list) > 0 {
				found[target] = list
			} else if every > time.Second {
				due[target] = now.Add(time.Second) // again soon: somebody may be waiting
			}
		}
		s.publishFound(found)
		next := slices.MinFunc(slices.Collect(maps.Values(due)), time.Time.Compare)
		timer.Reset(max(time.Until(next), 10*time.Millisecond))
	}
	return nil
}

// findTarget returns a target's addresses in a fixed order, none when they cannot be had.
func (s *Server) findTarget(ctx context.Context, target string) []netip.Addr {
	ctx, cancel := context.WithTimeout(ctx, aliasTimeout)
	defer cancel()
	list, err := s.cfg.Resolver.LookupNetIP(ctx, "ip", target)
	if err != nil {
		s.cfg.Logger.Warn("alias's target cannot be looked up", "target", target, "error", err)
		return nil
	}
	for i := range list {
		list[i] = list[i].Unmap().WithZone("")
	}
	slices.SortFunc(list, netip.Addr.Compare)
	list = slices.Compact(list)
	return list[:min(len(list), maxFound)]
}

// publishFound puts new addresses into the answers.
func (s *Server) publishFound(found map[string][]netip.Addr) {
	s.publish.Lock()
	defer s.publish.Unlock()
	next, changed := maps.Clone(s.state.Found), false
	if next == nil {
		next = map[string][]netip.Addr{}
	}
	for target, list := range found {
		if !slices.Equal(next[target], list) {
			next[target], changed = list, true
		}
	}
	if !changed {
		return
	}
	state := s.state
	state.Found = next
	if err := s.rebuild(s.base, state); err != nil {
		s.cfg.Logger.Error("alias's addresses cannot be served", "error", err)
	}
}
