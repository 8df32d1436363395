package capacity

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/proa-cloud/proa"
)

// Region is one region's hooks.
type Region struct {
	Region proa.Region
	// Check is asked every Interval, and before a planned move.
	Check Hook
	// Scale is called once when traffic goes to the region.
	Scale    Hook
	Interval time.Duration
}

// Config is what a watch is made of.
type Config struct {
	Regions []Region
	// Active tells the region that serves, and whether this node is the one that calls Scale.
	Active func() (active proa.Region, decides bool)
	Clock  func() time.Time
	Logger *slog.Logger
}

// Watch asks the hooks and keeps their last answers.
type Watch struct {
	cfg Config

	mu      sync.Mutex
	answers map[string]Answer // "azure check"
}

// New prepares a watch. It starts nothing. An error wraps proa.ErrInvalidConfig.
func New(c Config) (*Watch, error) {
	if c.Active == nil || c.Clock == nil || c.Logger == nil {
		return nil, fmt.Errorf("capacity: active, clock and logger are needed: %w", proa.ErrInvalidConfig)
	}
	for _, r := range c.Regions {
		for _, h := range []Hook{r.Check, r.Scale} {
			if err := h.Validate(); err != nil {
				return nil, fmt.Errorf("%s: %w", r.Region, err)
			}
		}
		if !r.Check.IsZero() && r.Interval <= 0 {
			return nil, fmt.Errorf("capacity: %s: interval must be positive: %w", r.Region,
				proa.ErrInvalidConfig)
		}
	}
	return &Watch{cfg: c, answers: map[string]Answer{}}, nil
}

// Run asks the checks each interval, and Scale when the active region has changed, until ctx ends.
func (w *Watch) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	for _, r := range w.cfg.Regions {
		if !r.Check.IsZero() {
			wg.Go(func() { w.checks(ctx, r) })
		}
		if !r.Scale.IsZero() {
			wg.Go(func() { w.scales(ctx, r) })
		}
	}
	<-ctx.Done()
	return nil
}

func (w *Watch) checks(ctx context.Context, r Region) {
	for ctx.Err() == nil {
		if active, _ := w.cfg.Active(); active != r.Region { // what carries all traffic shows what it can
			w.ask(ctx, r, "check", r.Check)
		}
		pause(ctx, r.Interval)
	}
}

// scales calls the hook when traffic comes to the region, not when the node starts there.
func (w *Watch) scales(ctx context.Context, r Region) {
	last, _ := w.cfg.Active()
	for ctx.Err() == nil {
		active, decides := w.cfg.Active()
		if active == r.Region && last != active && decides {
			a := w.ask(ctx, r, "scale", r.Scale)
			w.cfg.Logger.Info("capacity hook", "region", r.Region, "event", "scale", "enough", a.Enough,
				"known", a.Known, "reason", a.Reason)
		}
		last = active
		pause(ctx, 200*time.Millisecond)
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func (w *Watch) ask(ctx context.Context, r Region, event string, h Hook) Answer {
	active, _ := w.cfg.Active()
	a := h.Ask(ctx, Question{Region: r.Region, Event: event, Active: active})
	a.At = w.cfg.Clock()
	if ctx.Err() == nil {
		w.mu.Lock()
		w.answers[string(r.Region)+" "+event] = a
		w.mu.Unlock()
	}
	return a
}

// Allow asks the region's check now, for a planned move. It refuses with proa.ErrConflict only what is
// known not to be enough; without a check, and without an answer, it allows.
func (w *Watch) Allow(ctx context.Context, to proa.Region) error {
	for _, r := range w.cfg.Regions {
		if r.Region != to || r.Check.IsZero() {
			continue
		}
		if a := w.ask(ctx, r, "check", r.Check); a.Known && !a.Enough {
			return fmt.Errorf("%s cannot carry all traffic, says its capacity hook: %s (force goes on anyway): %w",
				to, a.Reason, proa.ErrConflict)
		}
	}
	return nil
}

// Warnings tell of regions that could not carry all traffic, or of which it is not known.
func (w *Watch) Warnings() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []string
	for _, r := range proa.Regions() {
		for _, event := range []string{"check", "scale"} {
			switch a, asked := w.answers[string(r)+" "+event]; {
			case !asked || a.Enough:
			case a.Known && event == "check":
				list = append(list, fmt.Sprintf("%s could not carry all traffic: %s", r, a.Reason))
			case a.Known:
				list = append(list, fmt.Sprintf("%s was not scaled: %s", r, a.Reason))
			default:
				list = append(list, fmt.Sprintf("capacity %s of %s: %s", event, r, a.Reason))
			}
		}
	}
	return list
}
