package node

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/config"
	"github.com/proa-cloud/proa/internal/filestamp"
	"github.com/proa-cloud/proa/traffic/dns"
	"github.com/proa-cloud/proa/traffic/geo"
	"github.com/proa-cloud/proa/traffic/policy"
)

// servedEvery is how often files are looked at and measurements are counted.
const servedEvery = time.Second

// FileStatus is a file that the name server answers from.
type FileStatus struct {
	File   string    `json:"file"`
	Loaded time.Time `json:"loaded"` // when what is in force was read
	// Error says why the file, as it was at Refused, is not in force; "" when it is.
	Error   string    `json:"error"`
	Refused time.Time `json:"refused,omitzero"`
}

// served is what the name server answers from besides plans: zone files, where networks are, and the
// nodes' measurements. A changed file is read again; one with a mistake changes nothing.
type served struct {
	node   *node
	zone   *dns.Zone // the node's own
	record dns.Record
	asked  chan struct{} // files are to be read again

	mu      sync.Mutex
	cfg     config.Config
	places  *geo.Database // nil: no policy asks
	files   []FileStatus
	stamps  map[string]filestamp.Stamp
	settled map[string]filestamp.Stamp // as the files were when they were read
	ranking policy.Ranking
}

// newServed reads all files. zone and record are the node's own.
func newServed(n *node, zone *dns.Zone, record dns.Record) (*served, []*dns.Zone, []dns.Record, error) {
	s := &served{
		node: n, zone: zone, record: record, cfg: n.cfg, asked: make(chan struct{}, 1),
		stamps: map[string]filestamp.Stamp{}, settled: map[string]filestamp.Stamp{},
	}
	files := slices.Clone(n.cfg.DNS.Zones)
	if n.cfg.Traffic.Geo.Database != "" {
		files = append(files, n.cfg.Traffic.Geo.Database)
	}
	for _, file := range files {
		s.settled[file] = filestamp.Of(file)
		s.files = append(s.files, FileStatus{File: file, Loaded: n.clock()})
	}
	zones, records, places, err := s.load(s.cfg)
	s.places = places
	return s, zones, records, err
}

// load reads everything that a configuration names.
func (s *served) load(c config.Config) ([]*dns.Zone, []dns.Record, *geo.Database, error) {
	zones := []*dns.Zone{s.zone}
	for _, file := range s.cfg.DNS.Zones {
		z, err := dns.LoadZone(file)
		if err != nil {
			return nil, nil, nil, &fileError{file, err}
		}
		zones = append(zones, z)
	}
	var places config.Places
	var database *geo.Database
	if file := s.cfg.Traffic.Geo.Database; file != "" {
		var err error
		if database, err = geo.Open(file); err != nil {
			return nil, nil, nil, &fileError{file, err}
		}
		places = database
	}
	list, err := records(c, s.record, places)
	return zones, list, database, err
}

// fileError says which file is wrong.
type fileError struct {
	file string
	err  error
}

func (e *fileError) Error() string { return e.err.Error() }
func (e *fileError) Unwrap() error { return e.err }

// run looks at files and measurements until ctx ends.
func (s *served) run(ctx context.Context) error {
	tick := time.NewTicker(servedEvery)
	defer tick.Stop()
	for {
		asked := false
		select {
		case <-ctx.Done():
			return nil
		case <-s.asked:
			asked = true
		case <-tick.C:
		}
		s.look(asked)
		s.measure()
	}
}

// ask has the files read again.
func (s *served) ask() {
	select {
	case s.asked <- struct{}{}:
	default: // it is asked already
	}
}

// look reads the files again once one of them has changed and then been left alone for a second.
func (s *served) look(asked bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var changed []string
	for _, f := range s.files {
		stamp := filestamp.Of(f.File)
		if stamp == s.stamps[f.File] && stamp.Exists() && stamp != s.settled[f.File] || asked {
			changed = append(changed, f.File)
		}
		s.stamps[f.File] = stamp
	}
	if len(changed) == 0 {
		return
	}
	for _, file := range changed {
		s.settled[file] = s.stamps[file]
	}
	err := s.reload(s.cfg)
	s.note(changed, err)
}

// reload reads everything again and serves it, with the lock held.
func (s *served) reload(c config.Config) error {
	defer debug.FreeOSMemory()
	zones, list, places, err := s.load(c)
	if err == nil {
		err = s.node.dns.Replace(zones, list)
	}
	if err == nil {
		s.places, s.cfg = places, c
	}
	return err
}

// note keeps what came of changed files, with the lock held.
func (s *served) note(changed []string, err error) {
	now, logger := s.node.clock(), s.node.logger
	var wrong *fileError
	one := errors.As(err, &wrong)
	for i := range s.files {
		f := &s.files[i]
		switch {
		case err == nil:
			if slices.Contains(changed, f.File) {
				logger.Info("file loaded again", "file", f.File)
			}
			f.Loaded, f.Error, f.Refused = now, "", time.Time{}
		case one && f.File == wrong.file, !one && slices.Contains(changed, f.File):
			f.Error, f.Refused = err.Error(), now
			logger.Error("file refused, the last good one serves on", "file", f.File, "err", err)
		}
	}
}

// take serves the records of a changed configuration.
func (s *served) take(c config.Config) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reload(c)
}

// status lists the files.
func (s *served) status() []FileStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.files)
}

// where tells what the database of places says of an address, "" without one.
func (s *served) where(a netip.Addr) string {
	s.mu.Lock()
	places := s.places
	s.mu.Unlock()
	if places == nil {
		return ""
	}
	p, network, ok := places.Lookup(a)
	if !ok {
		return fmt.Sprintf("%s is nowhere by %s", a, places)
	}
	return fmt.Sprintf("%s is in %s: %s, by %s", a, network, p, places)
}

// measure counts what this node's probes and the others' have measured.
func (s *served) measure() {
	n := s.node
	s.mu.Lock()
	defer s.mu.Unlock()
	now := n.clock()
	s.ranking.Measure(now, n.cfg.Node.Name, named(n.prober.RoundTrips()))
	if n.cluster != nil {
		for _, c := range n.cfg.Cluster.Nodes {
			if b, ago, ok := n.cluster.Heard(c.Name); ok && ago < ownerSilence {
				s.ranking.Measure(now, c.Name, named(b.RoundTrips))
			}
		}
	}
	if err := n.dns.Measure(s.ranking.Near()); err != nil {
		n.logger.Error("measurements do not reach the name server", "err", err)
	}
}

func named(trips map[proa.Region]time.Duration) map[string]time.Duration {
	out := map[string]time.Duration{}
	for r, d := range trips {
		out[string(r)] = d
	}
	return out
}
