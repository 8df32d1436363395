package node

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"os/signal"
	"reflect"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/proa-cloud/proa/config"
	"github.com/proa-cloud/proa/traffic"
)

// reloadEvery is how often the file is looked at.
const reloadEvery = time.Second

// ReloadStatus is GET /v1/config: which proa.yaml is in force.
type ReloadStatus struct {
	File   string    `json:"file"`
	Loaded time.Time `json:"loaded"` // when what is in force was read
	// Error says why the file, as it was at Refused, is not in force; "" when it is.
	Error   string    `json:"error"`
	Refused time.Time `json:"refused,omitzero"`
	// Changed is what the last reading changed.
	Changed []config.Change `json:"changed"`
	// Waiting are changes that take effect at the next start.
	Waiting []config.Change `json:"waiting"`
	// Files are what the name server answers from besides: zones, and the database of places.
	Files []FileStatus `json:"files"`
}

// reloader reads proa.yaml again when it changes and on SIGHUP. What the running node can take is in force at once; a file
// that is not valid changes nothing.
type reloader struct {
	node *node
	file string // "" reloads nothing

	mu     sync.Mutex
	seen   []byte // the file as it was read last
	first  config.Config
	now    config.Config
	status ReloadStatus
	force  atomic.Pointer[config.Config] // what is in force; without mu, which a look holds while traffic takes a policy
}

func newReloader(n *node, file string) *reloader {
	r := &reloader{node: n, file: file, first: n.cfg, now: n.cfg}
	r.force.Store(&r.first)
	r.status = ReloadStatus{File: file, Loaded: n.clock(), Changed: []config.Change{}, Waiting: []config.Change{}}
	if file != "" {
		r.seen, _ = os.ReadFile(file) // what cannot be read now is read at the next look
	}
	return r
}

func (r *reloader) run(ctx context.Context) error {
	if r.file == "" {
		return nil
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	tick := time.NewTicker(reloadEvery)
	defer tick.Stop()
	for {
		forced := false
		select {
		case <-ctx.Done():
			return nil
		case <-hup:
			forced = true
			r.node.served.ask()
		case <-tick.C:
		}
		r.look(ctx, forced)
	}
}

// look reads the file, and takes it when it has changed.
func (r *reloader) look(ctx context.Context, forced bool) {
	data, err := os.ReadFile(r.file)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil && !forced && bytes.Equal(data, r.seen) {
		return
	}
	var fresh config.Config
	if err == nil {
		r.seen = data
		fresh, err = config.Parse(r.file, data)
	} else if !forced && r.status.Error != "" {
		return // it was said when the file went away
	}
	if err == nil && !sameRecords(r.now, fresh) {
		err = r.node.served.take(r.applied(fresh))
	}
	if err == nil && r.live(r.now, fresh) {
		err = r.node.traffic.Reconfigure(ctx, r.node.policy(r.applied(fresh)))
		if err != nil && !sameRecords(r.now, fresh) {
			err = errors.Join(err, r.node.served.take(r.applied(r.now))) // both or none
		}
	}
	if err != nil {
		r.status.Error, r.status.Refused = err.Error(), r.node.clock()
		r.node.logger.Error("configuration refused, the last good one stays", "file", r.file, "err", err)
		return
	}
	changed := config.Diff(r.now, fresh)
	for _, c := range changed {
		r.node.logger.Info("configuration changed", "path", c.Path, "old", c.Old, "new", c.New, "in_force", c.Live)
	}
	r.now = fresh
	applied := r.applied(fresh)
	r.force.Store(&applied)
	if len(changed) > 0 {
		r.status.Changed = changed
	}
	r.status.Error, r.status.Refused, r.status.Loaded = "", time.Time{}, r.node.clock()
	r.status.Waiting = []config.Change{}
	for _, c := range config.Diff(r.first, fresh) {
		if !c.Live {
			r.status.Waiting = append(r.status.Waiting, c)
		}
	}
}

// live reports whether something changed that the running node takes.
func (r *reloader) live(old, fresh config.Config) bool {
	for _, c := range config.Diff(old, fresh) {
		if c.Live {
			return true
		}
	}
	return false
}

// inForce is the configuration by which the node acts now.
func (n *node) inForce() config.Config { return *n.reload.force.Load() }

// applied is the configuration that the node started with, with what is live from the fresh one.
func (r *reloader) applied(fresh config.Config) config.Config {
	c := r.first
	c.Primary, c.Objectives = fresh.Primary, fresh.Objectives
	c.Traffic.Failback, c.Traffic.HoldDown = fresh.Traffic.Failback, fresh.Traffic.HoldDown
	c.Traffic.MaxSwitchesPerHour = fresh.Traffic.MaxSwitchesPerHour
	c.Traffic.Records, c.Traffic.Endpoints = fresh.Traffic.Records, fresh.Traffic.Endpoints
	return c
}

func sameRecords(a, b config.Config) bool {
	return reflect.DeepEqual(a.Traffic.Records, b.Traffic.Records) &&
		reflect.DeepEqual(a.Traffic.Endpoints, b.Traffic.Endpoints)
}

func (r *reloader) get(*http.Request) (any, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	status := r.status
	status.Files = append([]FileStatus{}, r.node.served.status()...)
	return status, nil
}

// policy is the traffic controller's, of a configuration.
func (n *node) policy(c config.Config) traffic.Config {
	policy := traffic.Default()
	policy.Preferred = c.Primary
	policy.Vantages = n.vantages()
	policy.HoldDown = c.Traffic.HoldDown.D()
	policy.LagObjective, policy.Dwell = c.Objectives.Lag.D(), c.Objectives.Dwell.D()
	policy.FlapBudget = c.Traffic.MaxSwitchesPerHour
	decisions(&policy, c)
	if n.together() {
		policy.OwnerSilence = ownerSilence
	}
	return policy
}
