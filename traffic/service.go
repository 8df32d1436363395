package traffic

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/internal/remark"
)

// ServiceConfig is what the shell is made of.
type ServiceConfig struct {
	// Policy is the controller's configuration.
	Policy Config
	// Store keeps the plan across restarts.
	Store PlanStore
	// Log is where several nodes agree; nil on a node that is alone. With it the service stands by
	// until Stand says that it decides, and a decision is in force only once it is agreed.
	Log Log
	// Replication returns the state of both directions at once, without blocking. It is asked at
	// each tick. nil: unknown.
	Replication func() []Replication
	// Publish takes each plan, the one found at the start included, in order and on one goroutine:
	// the name server first. It must not block.
	Publish []func(PlanChanged)
	// OnEvent takes each event, in order and on one goroutine; nil for none. It must not block.
	OnEvent func(Event)
	// Tick is the time between two looks at clock and replication. 0 is 100 ms.
	Tick time.Duration
	// Clock tells the time.
	Clock func() time.Time
	// Logger takes the events.
	Logger *slog.Logger
}

// The shell's bounds.
const (
	defaultTick   = 100 * time.Millisecond
	maxEvents     = 256 // events kept for the timeline
	maxVerdicts   = 64  // verdicts that may wait; each vantage and region has one place
	eventsLogName = "traffic"
)

// Service feeds the controller and carries its plans out: first to the store, then to the
// subscribers.
//
// A plan whose saving fails is published all the same, with an error in the log, and saving is
// tried again at each tick: a full disk must not keep traffic on a dead region. Should the node
// then restart before a save succeeds, it resumes the older plan and uses the version again.
type Service struct {
	cfg     ServiceConfig
	ctl     *Controller
	wake    chan struct{}
	orders  chan order
	unsaved bool
	why     string // it could not be saved, as was logged
	current atomic.Pointer[proa.Plan]
	explain atomic.Pointer[Explanation]
	agreed  Agreed // of the log, as last given to the controller

	mu       sync.Mutex
	verdicts map[ballot]proa.Verdict // not yet given to the controller
	events   []Event
	told     told
}

type order struct {
	in    Input
	reply chan error
}

// NewService loads the saved state and prepares the controller. It starts nothing.
func NewService(cfg ServiceConfig) (*Service, error) {
	if cfg.Clock == nil || cfg.Logger == nil || cfg.Store == nil {
		return nil, fmt.Errorf("traffic service: clock, logger and store are needed: %w",
			proa.ErrInvalidConfig)
	}
	if cfg.Tick <= 0 {
		cfg.Tick = defaultTick
	}
	saved, err := cfg.Store.Load()
	if err != nil {
		return nil, err
	}
	ctl, err := NewController(cfg.Policy, saved, cfg.Clock())
	if err != nil {
		return nil, err
	}
	s := &Service{
		cfg: cfg, ctl: ctl,
		wake:     make(chan struct{}, 1),
		orders:   make(chan order),
		verdicts: map[ballot]proa.Verdict{},
		unsaved:  saved.Plan.Version == 0,
	}
	if cfg.Log != nil {
		s.agreed.State = ctl.State()
		ctl.Step(cfg.Clock(), Assigned{Standby: "the nodes have not met yet"})
	}
	s.show()
	return s, nil
}

// Plan returns the plan in force. It never blocks.
func (s *Service) Plan() proa.Plan { return *s.current.Load() }

// Explain accounts for the plan as of the last tick. It never blocks.
func (s *Service) Explain() Explanation { return *s.explain.Load() }

// Events returns the last events, oldest first, at most 256.
func (s *Service) Events() []Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Event(nil), s.events...)
}

// Observe takes a vantage's verdict. It never blocks; of several that wait, the newest of each
// vantage and region counts.
func (s *Service) Observe(v proa.Verdict) {
	v.Reason = remark.Clean(v.Reason)
	s.mu.Lock()
	key := ballot{v.By, v.Region}
	if _, ok := s.verdicts[key]; ok || len(s.verdicts) < maxVerdicts {
		s.verdicts[key] = v
	}
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Command gives an operator's order and returns the controller's refusal, nil when it was taken. A
// switchover that was taken may still wait or be given up: Explain tells. It fails with ctx's error
// when Run does not run.
func (s *Service) Command(ctx context.Context, cmd Command) error { return s.ask(ctx, cmd) }

// Fenced takes the report of the hook that revokes credentials.
func (s *Service) Fenced(ctx context.Context, f Fenced) error { return s.ask(ctx, f) }

// Reconfigure replaces the policy; an invalid one is refused and the old one stays.
func (s *Service) Reconfigure(ctx context.Context, cfg Config) error {
	return s.ask(ctx, Reconfigured{Config: cfg})
}

func (s *Service) ask(ctx context.Context, in Input) error {
	o := order{in: in, reply: make(chan error, 1)}
	select {
	case s.orders <- o:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-o.reply:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Run publishes the plan in force and then steps the controller until ctx ends. It returns nil.
func (s *Service) Run(ctx context.Context) error {
	s.save()
	state := s.ctl.State()
	first := PlanChanged{Plan: state.Plan}
	if n := len(state.History); n > 0 {
		first = state.History[n-1]
	}
	s.publish(first)
	ticker := time.NewTicker(s.cfg.Tick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			s.tick()
		case <-s.wake:
			s.takeTold()
			s.takeVerdicts()
		case o := <-s.orders:
			err := s.step(o.in)
			s.show() // who has the answer sees its effect
			o.reply <- err
		}
		s.show()
	}
}

func (s *Service) tick() {
	if s.cfg.Replication != nil {
		for _, r := range s.cfg.Replication() {
			r.Reason = remark.Clean(r.Reason)
			_ = s.step(Replicated{State: r}) // only orders are refused
		}
	}
	_ = s.step(Tick{})
	if s.unsaved {
		s.save()
	}
}

func (s *Service) takeVerdicts() {
	s.mu.Lock()
	batch := s.verdicts
	s.verdicts = make(map[ballot]proa.Verdict, len(batch))
	s.mu.Unlock()
	_ = s.step(Observed{Verdicts: slices.Collect(maps.Values(batch))}) // only orders are refused
}

// step carries out what the controller asks for and returns its refusal.
func (s *Service) step(in Input) error {
	var refused error
	for _, out := range s.ctl.Step(s.cfg.Clock(), in) {
		switch out := out.(type) {
		case StateChanged:
			if err := s.agree(in, out.State); err != nil {
				return errors.Join(refused, err) // what follows did not come about
			}
			s.unsaved = true
			s.save()
		case PlanChanged:
			s.publish(out)
		case Event:
			s.note(out)
		case Refused:
			refused = errors.Join(refused, out.Err)
		}
	}
	return refused
}

func (s *Service) save() {
	if !s.unsaved {
		return
	}
	state := s.ctl.State()
	if err := s.cfg.Store.Save(state); err != nil {
		if err.Error() != s.why {
			s.cfg.Logger.Error("plan not saved, published all the same, and tried again at each tick",
				"plan", state.Plan.Version, "error", err, "hint", "free the node's disk")
		}
		s.why = err.Error()
		return
	}
	if s.why != "" {
		s.cfg.Logger.Info("plan saved again", "plan", state.Plan.Version)
	}
	s.unsaved, s.why = false, ""
}

func (s *Service) publish(p PlanChanged) {
	s.current.Store(&p.Plan)
	for _, f := range s.cfg.Publish {
		f(p)
	}
}

func (s *Service) note(e Event) {
	s.cfg.Logger.Info(eventsLogName, "kind", string(e.Kind), "region", string(e.Region), "text",
		e.Text)
	s.mu.Lock()
	if len(s.events) == maxEvents {
		copy(s.events, s.events[1:])
		s.events = s.events[:maxEvents-1]
	}
	s.events = append(s.events, e)
	s.mu.Unlock()
	if s.cfg.OnEvent != nil {
		s.cfg.OnEvent(e)
	}
}

// show makes plan and account visible to other goroutines.
func (s *Service) show() {
	e := s.ctl.Explain()
	s.current.Store(&e.Plan)
	s.explain.Store(&e)
}
