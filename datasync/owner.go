package datasync

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/resolve"
)

// Tenure says which node owns data sync: the only one that reads feeds and writes to the regions.
type Tenure struct {
	// Owner is the plan's; "" names nobody.
	Owner string
	// Epoch is the plan's. 0 is for a node that is alone: it takes the epoch after the last that a
	// region's sidecar knows.
	Epoch uint64
	// Until is when the owner must stop unless its lease is renewed; zero: never. It is compared with
	// Config.Clock, so that with the monotonic reading that time.Now gives, a node that was frozen
	// finds that its lease is over whatever was done to its clock meanwhile.
	Until time.Time
}

// The states of a node's ownership.
const (
	Standby  = "standby"  // another node is the owner, or nobody
	Claiming = "claiming" // this node is the owner and has claimed no region yet
	Owning   = "owner"    // this node replicates
	Lapsed   = "lapsed"   // this node is named, but its lease was not renewed: nothing is sent
	Fenced   = "fenced"   // this node is named, but a region knows of a later owner
)

// Ownership is what a node knows of who owns data sync.
type Ownership struct {
	Node  string    `json:"node"` // this one
	Owner string    `json:"owner"`
	Epoch uint64    `json:"epoch"`
	State string    `json:"state"` // of this node
	Since time.Time `json:"since"` // of the state
	// Reason says, for people, why this node does not replicate, or what it waits for.
	Reason string `json:"reason,omitempty"`
	// Claimed says which regions have taken this node's epoch: a region that cannot be reached delays
	// its own side only.
	Claimed map[proa.Region]bool `json:"claimed,omitempty"`
	// LaterEpoch is the epoch of the later owner that a region knows of, while State is Fenced.
	LaterEpoch uint64 `json:"later_epoch,omitempty"`
}

// owner is what is known of the ownership. It is safe for concurrent use.
type owner struct {
	cfg     *Config
	changed chan struct{} // the tenure has; buffered

	mu      sync.Mutex
	tenure  Tenure
	epoch   uint64 // that is claimed: the tenure's, or the one that a node alone has taken
	serving bool   // the parts run
	since   time.Time
	state   string
	claimed [2]bool
	trouble [2]error // why a region has not been claimed
	later   uint64   // the epoch that fences the tenure off; 0: none
	laterBy string
}

func (o *owner) init(cfg *Config) {
	o.cfg, o.changed = cfg, make(chan struct{}, 1)
	if !cfg.Shared {
		o.tenure.Owner = cfg.Node
	}
	o.note()
}

// mine reports whether the tenure names this node. The caller holds the lock.
func (o *owner) mine() bool {
	return o.tenure.Owner == o.cfg.Node && (o.cfg.Node != "" || !o.cfg.Shared)
}

// lapsed reports whether the lease is over. The caller holds the lock.
func (o *owner) lapsed() bool {
	return !o.tenure.Until.IsZero() && !o.cfg.Clock().Before(o.tenure.Until)
}

// note keeps when the state last changed. The caller holds the lock.
func (o *owner) note() string {
	state := Owning
	switch {
	case !o.mine():
		state = Standby
	case o.later > 0:
		state = Fenced
	case o.lapsed():
		state = Lapsed
	case !o.claimed[0] && !o.claimed[1]:
		state = Claiming
	}
	if state != o.state {
		o.state, o.since = state, o.cfg.Clock().UTC().Round(0)
	}
	return state
}

// may reports whether this node may send a write now. A node that was frozen asks again after it
// thaws, before each write.
func (o *owner) may() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.serving && o.mine() && o.later == 0 && !o.lapsed()
}

// Assign names the owner, or renews its lease. It takes effect at once and does not block: a node
// that is no longer named stops reading and writing, what it has sent may still land; one that is
// named claims the regions. A tenure with a lower epoch than the last one is ignored.
func (s *Service) Assign(t Tenure) {
	o := &s.owner
	o.mu.Lock()
	defer o.mu.Unlock()
	if t.Epoch < o.tenure.Epoch {
		return
	}
	if t.Owner != o.tenure.Owner || t.Epoch != o.tenure.Epoch {
		o.later, o.laterBy, o.epoch = 0, "", t.Epoch
		o.claimed = [2]bool{}
	}
	o.tenure = t
	o.note()
	poke(o.changed)
}

// Ownership returns what this node knows of who owns data sync.
func (s *Service) Ownership() Ownership {
	o := &s.owner
	o.mu.Lock()
	defer o.mu.Unlock()
	state := o.note()
	out := Ownership{
		Node: o.cfg.Node, Owner: o.tenure.Owner, Epoch: max(o.tenure.Epoch, o.epoch), State: state,
		Since: o.since, LaterEpoch: o.later,
	}
	switch state {
	case Standby:
		out.Reason = "no owner is named"
		if o.tenure.Owner != "" {
			out.Reason = "the owner is " + o.tenure.Owner
		}
	case Fenced:
		out.Reason = fmt.Sprintf("a region has had a later owner: %s with epoch %d", o.laterBy, o.later)
	case Lapsed:
		out.Reason = "the lease was not renewed: nothing is sent until it is"
	default:
		out.Claimed = map[proa.Region]bool{}
		for i, r := range proa.Regions() {
			out.Claimed[r] = o.claimed[i]
			if !o.claimed[i] {
				out.Reason = "waits for " + string(r) + " to take its epoch"
				if err := o.trouble[i]; err != nil {
					out.Reason += ": " + err.Error()
				}
			}
		}
	}
	return out
}

// mustOwn fails on a node that is not the owner, and says which one to ask.
func (s *Service) mustOwn(op string) error {
	own := s.Ownership()
	if own.State == Owning || own.State == Claiming {
		return nil
	}
	e := &proa.Error{Op: op, Err: fmt.Errorf("%w: %s", proa.ErrNotOwner, own.Reason)}
	if own.Owner != "" && own.State == Standby {
		e.Hint = "ask " + own.Owner
	}
	return e
}

// serves begins or ends the tenure's work.
func (o *owner) serves(yes bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.serving, o.claimed, o.trouble = yes, [2]bool{}, [2]error{}
	o.note()
}

// claims records that a region has taken the epoch.
func (o *owner) claims(r proa.Region, epoch uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.claimed[resolve.Index(r)], o.trouble[resolve.Index(r)] = true, nil
	o.epoch = max(o.epoch, epoch)
	o.note()
}

// troubled records why a region has not taken the epoch yet.
func (o *owner) troubled(r proa.Region, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.trouble[resolve.Index(r)] = err
}

// fence ends the tenure: a region has had a later owner.
func (o *owner) fence(later uint64, by string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.later, o.laterBy = later, by
	o.note()
	poke(o.changed)
}

// valid returns the tenure, whether this node serves under it now, and when that ends by itself.
func (o *owner) valid() (t Tenure, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.note()
	return o.tenure, o.mine() && o.later == 0 && !o.lapsed()
}

// tenures replicates whenever this node is the owner, until the context ends. It fails when the
// store is lost.
func (s *Service) tenures(ctx context.Context) error {
	for ctx.Err() == nil {
		t, ok := s.owner.valid()
		if !ok {
			_ = sleep(ctx, time.Hour, s.owner.changed)
			continue
		}
		if err := s.serve(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// leaseLook is how often an owner looks at its lease. What is sent asks for itself (owner.may).
const leaseLook = 20 * time.Millisecond

// watch cancels a tenure's context once this node no longer serves under it.
func (s *Service) watch(ctx context.Context, t Tenure, stop func()) {
	defer stop()
	for ctx.Err() == nil {
		now, ok := s.owner.valid()
		if !ok || now.Owner != t.Owner || now.Epoch != t.Epoch {
			return
		}
		pause := time.Hour
		if !now.Until.IsZero() {
			pause = leaseLook
		}
		_ = sleep(ctx, pause, s.owner.changed)
	}
}
