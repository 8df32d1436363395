package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/internal/faults"
	"github.com/proa-cloud/proa/internal/netfault"
)

// Kinds of faults that last until they are healed.
const (
	KindBrownout  = "brownout"
	KindPartition = "partition"
	KindSkew      = "skew"
	KindThrottle  = "throttle"
	KindFreeze    = "freeze"
)

// Scopes say which way into a region a fault is on: that of users and probes to the gateway, that of data sync to the
// stores, or both.
const (
	ScopeUsers = "users"
	ScopeData  = "data"
	ScopeAll   = "all"
)

// Directions of a partition: what is sent to the region is lost, or what it answers, or both.
const (
	DirectionBoth = "both"
	DirectionTo   = "to"
	DirectionFrom = "from"
)

// Fault is one fault in force. Fields that its kind does not use are left out.
type Fault struct {
	Target string    `json:"target"` // aws, azure or a node's name
	Kind   string    `json:"kind"`
	Text   string    `json:"text"` // for people
	Since  time.Time `json:"since"`

	Brownout
	Partition
	Skew
	Throttle
	// Scope is the brownout's or the partition's.
	Scope string `json:"scope,omitempty"`
}

// Brownout makes a region bad without killing it.
type Brownout struct {
	LatencyMS      int64   `json:"latency_ms,omitempty"`
	JitterMS       int64   `json:"jitter_ms,omitempty"`
	ErrorRate      float64 `json:"error_rate,omitempty"` // share of requests answered 503 by the gateway
	ResetRate      float64 `json:"reset_rate,omitempty"` // share of requests whose connection is reset
	BytesPerSecond int64   `json:"bytes_per_second,omitempty"`
}

// Partition cuts a region off.
type Partition struct {
	Direction string `json:"direction,omitempty"`
}

// Skew moves a clock.
type Skew struct {
	OffsetMS int64 `json:"offset_ms,omitempty"`
}

// Throttle refuses a share of data requests as past their throughput.
type Throttle struct {
	Rate float64 `json:"rate,omitempty"`
}

// faultBook is what is in force.
type faultBook struct {
	mu   sync.Mutex // held while faults are put in force
	list []Fault
}

// Faults lists what is in force, the oldest first.
func (s *Supervisor) Faults() []Fault {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	return append([]Fault{}, s.faults.list...)
}

// folder is the target's, where it finds its faults.
func (s *Supervisor) folder(target string) (string, error) {
	dir := filepath.Join(s.cfg.Dir, target)
	if _, err := proa.ParseRegion(target); err == nil {
		return dir, nil
	}
	if _, err := os.Stat(dir); err != nil || !nodeName.MatchString(target) {
		return "", fmt.Errorf("%q is neither a region nor a node of this system: %w", target, proa.ErrInvalid)
	}
	return dir, nil
}

// clearFaults ends what an earlier run left in force.
func (s *Supervisor) clearFaults() error {
	left, err := filepath.Glob(filepath.Join(s.cfg.Dir, "*", faults.FileName))
	for _, path := range left {
		err = errors.Join(err, os.Remove(path))
	}
	if err != nil {
		return fmt.Errorf("end faults of an earlier run: %w", err)
	}
	return nil
}

// setFault puts a fault in force, instead of one of its kind on its target; one without effect ends that.
func (s *Supervisor) setFault(f Fault, empty bool) error {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	before := slices.Clone(s.faults.list)
	s.faults.list = slices.DeleteFunc(s.faults.list, func(o Fault) bool {
		return o.Target == f.Target && o.Kind == f.Kind
	})
	if !empty {
		f.Since = time.Now().UTC()
		s.faults.list = append(s.faults.list, f)
	}
	if err := s.applyLocked(f.Target); err != nil {
		s.faults.list = before
		return err
	}
	return nil
}

// endFaults ends what matches.
func (s *Supervisor) endFaults(match func(Fault) bool) error {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	targets := map[string]bool{}
	s.faults.list = slices.DeleteFunc(s.faults.list, func(f Fault) bool {
		if !match(f) {
			return false
		}
		targets[f.Target] = true
		return true
	})
	var errs []error
	for t := range targets {
		errs = append(errs, s.applyLocked(t))
	}
	return errors.Join(errs...)
}

// applyLocked makes the target feel what the book says and returns once it does.
func (s *Supervisor) applyLocked(target string) error {
	dir, err := s.folder(target)
	if err != nil {
		return err
	}
	set, data := s.faults.of(target)
	if err := data.Validate(); err != nil {
		return err
	}
	if err := faults.Write(dir, set); err != nil {
		return err
	}
	if p := s.proxies[proa.Region(target)]; p != nil {
		p.Set(data)
	}
	s.applyLinksLocked()
	time.Sleep(faults.Settle)
	return nil
}

// of adds up what is wrong with a target: with its process, and with data sync's way to it.
func (b *faultBook) of(target string) (set faults.Set, data netfault.Conditions) {
	for _, f := range b.list {
		if f.Target != target {
			continue
		}
		users, sync := f.Scope != ScopeData, f.Scope == ScopeData || f.Scope == ScopeAll
		switch f.Kind {
		case KindBrownout:
			c := f.conditions()
			if users {
				c.CutTo, c.CutFrom = set.Gateway.CutTo, set.Gateway.CutFrom
				set.Gateway, set.ErrorRate = c, f.ErrorRate
			}
			if sync {
				c.CutTo, c.CutFrom = data.CutTo, data.CutFrom
				data = c
			}
		case KindPartition:
			to, from := f.Direction != DirectionFrom, f.Direction != DirectionTo
			if users {
				set.Gateway.CutTo, set.Gateway.CutFrom = to, from
			}
			if sync {
				data.CutTo, data.CutFrom = to, from
			}
		case KindSkew:
			set.OffsetMS = f.OffsetMS
		case KindThrottle:
			set.ThrottleRate = f.Rate
		}
	}
	return set, data
}

func (b Brownout) conditions() netfault.Conditions {
	return netfault.Conditions{
		Latency: time.Duration(b.LatencyMS) * time.Millisecond,
		Jitter:  time.Duration(b.JitterMS) * time.Millisecond, ResetRate: b.ResetRate,
		BytesPerSecond: b.BytesPerSecond,
	}
}

func (b Brownout) text() string {
	var parts []string
	if b.LatencyMS > 0 || b.JitterMS > 0 {
		parts = append(parts, fmt.Sprintf("latency %d ms ± %d ms", b.LatencyMS, b.JitterMS))
	}
	if b.ErrorRate > 0 {
		parts = append(parts, fmt.Sprintf("%.3g %% errors", b.ErrorRate*100))
	}
	if b.ResetRate > 0 {
		parts = append(parts, fmt.Sprintf("%.3g %% resets", b.ResetRate*100))
	}
	if b.BytesPerSecond > 0 {
		parts = append(parts, fmt.Sprintf("%d bytes/s", b.BytesPerSecond))
	}
	return strings.Join(parts, ", ")
}

func oneOf(what, value string, allowed ...string) error {
	if !slices.Contains(allowed, value) {
		return fmt.Errorf("%s %q: want %s: %w", what, value, strings.Join(allowed, ", "), proa.ErrInvalid)
	}
	return nil
}

// Brownout makes the region slow and faulty, for users (the default), for data sync or for both. The zero Brownout ends it.
func (s *Supervisor) Brownout(r proa.Region, b Brownout, scope string) error {
	if scope == "" {
		scope = ScopeUsers
	}
	if err := oneOf("scope", scope, ScopeUsers, ScopeData, ScopeAll); err != nil {
		return err
	}
	if scope == ScopeData && b.ErrorRate > 0 {
		return fmt.Errorf("an error rate needs the scope %s; `throttle` refuses data: %w", ScopeUsers, proa.ErrInvalid)
	}
	return s.setFault(Fault{Target: string(r), Kind: KindBrownout, Text: b.text() + " for " + scope, Brownout: b, Scope: scope}, b == Brownout{})
}

// Partition cuts the region off from data sync (the default), from users and probes, or from both.
func (s *Supervisor) Partition(r proa.Region, p Partition, scope string) error {
	if p.Direction == "" {
		p.Direction = DirectionBoth
	}
	if s.isNode(string(r)) {
		if err := oneOf("direction", p.Direction, DirectionBoth, DirectionTo, DirectionFrom); err != nil {
			return err
		}
		return s.partitionNode(string(r), p.Direction)
	}
	if scope == "" {
		scope = ScopeData
	}
	if err := errors.Join(oneOf("direction", p.Direction, DirectionBoth, DirectionTo, DirectionFrom),
		oneOf("scope", scope, ScopeUsers, ScopeData, ScopeAll)); err != nil {
		return err
	}
	text := map[string]string{DirectionBoth: "cut in both directions", DirectionTo: "requests are lost", DirectionFrom: "answers are lost"}[p.Direction]
	return s.setFault(Fault{Target: string(r), Kind: KindPartition, Text: text + " for " + scope, Partition: p, Scope: scope}, false)
}

// HealPartition ends all partitions.
func (s *Supervisor) HealPartition() error {
	return s.endFaults(func(f Fault) bool { return f.Kind == KindPartition })
}

// Skew moves the clock of a region and its functions, or of a node. 0 ends it.
func (s *Supervisor) Skew(target string, k Skew) error {
	text := fmt.Sprintf("clock %s ahead", time.Duration(k.OffsetMS)*time.Millisecond)
	if k.OffsetMS < 0 {
		text = fmt.Sprintf("clock %s behind", -time.Duration(k.OffsetMS)*time.Millisecond)
	}
	return s.setFault(Fault{Target: target, Kind: KindSkew, Text: text, Skew: k}, k == Skew{})
}

// Throttle refuses a share of the region's data requests. 0 ends it.
func (s *Supervisor) Throttle(r proa.Region, t Throttle) error {
	return s.setFault(Fault{Target: string(r), Kind: KindThrottle, Text: fmt.Sprintf("%.3g %% of data requests refused", t.Rate*100), Throttle: t}, t == Throttle{})
}

// Freeze stops a cloud's or a node's processes (SIGSTOP) without ending them.
func (s *Supervisor) Freeze(r proa.Region) error {
	c, err := s.target(string(r))
	if err != nil {
		return err
	}
	pid := c.pid()
	if pid == 0 {
		return &proa.Error{Op: "freeze " + string(r), Err: errors.New("it is not running")}
	}
	if err := syscall.Kill(-pid, syscall.SIGSTOP); err != nil {
		return fmt.Errorf("freeze %s: %w", r, err)
	}
	return s.setFault(Fault{Target: string(r), Kind: KindFreeze, Text: "frozen (SIGSTOP)"}, false)
}

// Kill ends a cloud or a node as its loss would: SIGKILL of its whole process group. It stays dead until Heal.
func (s *Supervisor) Kill(r proa.Region) error {
	c, err := s.target(string(r))
	if err != nil {
		return err
	}
	if err := c.kill(); err != nil {
		return err
	}
	return s.endFaults(func(f Fault) bool { return f.Target == string(r) && f.Kind == KindFreeze })
}

// Heal makes a region well: it ends its faults, thaws it, starts it from its disk where it is dead, and returns when it
// serves again.
func (s *Supervisor) Heal(ctx context.Context, r proa.Region) error {
	c, err := s.target(string(r))
	if err != nil {
		return err
	}
	if s.isNode(c.name) {
		return s.healNode(ctx, c)
	}
	if pid := c.pid(); pid != 0 {
		if err := syscall.Kill(-pid, syscall.SIGCONT); err != nil {
			return fmt.Errorf("thaw %s: %w", r, err)
		}
	}
	if err := s.endFaults(func(f Fault) bool { return f.Target == string(r) }); err != nil {
		return err
	}
	if err := s.clouds[r].start(ctx); err != nil {
		return err
	}
	return s.waitServing(ctx, r)
}

// HealAll makes everything well.
func (s *Supervisor) HealAll(ctx context.Context) error {
	var errs []error
	for _, r := range proa.Regions() {
		errs = append(errs, s.Heal(ctx, r))
	}
	for _, n := range s.nodes {
		errs = append(errs, s.healNode(ctx, n))
	}
	return errors.Join(append(errs, s.endFaults(func(Fault) bool { return true }))...)
}
