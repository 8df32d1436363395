package health

import (
	"fmt"
	"slices"
	"time"

	"github.com/proa-cloud/proa"
)

// CheckStatus is the state of one check at this vantage point.
type CheckStatus struct {
	Region      proa.Region `json:"region"` // "" for a reference
	Name        string      `json:"name"`
	Health      proa.Health `json:"health"`
	Since       time.Time   `json:"since"`
	Reason      string      `json:"reason"` // what the last probe saw
	Fails       int         `json:"fails"`  // consecutive failures
	CertExpires time.Time   `json:"cert_expires,omitzero"`
	// Counts says that the check decides by itself: it is neither advisory nor part of a calculated
	// one.
	Counts bool `json:"counts"`
	// Warning is what wants looking after though the check passes, such as a certificate that ends
	// soon.
	Warning string `json:"warning,omitempty"`
}

// status lists all checks as of now.
func (c *core) status(now time.Time) []CheckStatus {
	var list []CheckStatus
	for i, s := range c.sites {
		for j, m := range s.checks {
			check := s.cfg.Checks[j]
			list = append(list, CheckStatus{
				Region: s.cfg.Region, Name: check.label(), Health: m.health, Since: m.since,
				Reason: m.reason, Fails: m.fails, CertExpires: m.expires,
				Counts: !check.Advisory && !s.parts[check.Name], Warning: m.warning(now),
			})
		}
		for _, calculated := range s.cfg.Calculated {
			o := c.named(i, calculated.Name)
			list = append(list, CheckStatus{
				Region: s.cfg.Region, Name: calculated.Name, Health: o.health, Reason: o.said,
				Counts: !calculated.Advisory && !s.parts[calculated.Name],
			})
		}
	}
	return list
}

// warning tells of a certificate that ends soon.
func (m *machine) warning(now time.Time) string {
	left := m.expires.Sub(now)
	if m.expires.IsZero() || left > m.warnBefore {
		return ""
	}
	return fmt.Sprintf("its certificate expires in %s, on %s", left.Round(time.Hour),
		m.expires.UTC().Format(time.RFC3339))
}

// Endpoint is one region's way in and the checks that judge it.
type Endpoint struct {
	// Region is the region that the endpoint serves. An endpoint without one is a reference: its
	// passing proves that this vantage point sees the network, and there is no verdict on it.
	Region proa.Region
	// Checks are all needed for "healthy", except monitors without data and advisory ones.
	Checks []CheckConfig
	// Calculated are made of Checks and of each other. What one takes in decides through it alone.
	Calculated []Calculated
	// Tripwire is the host:port to keep an idle connection to, whose breaking asks for a probe at
	// once; "" for none.
	Tripwire string
	// Guard says which addresses the tripwire may reach.
	Guard Guard
}

// CheckConfig is one check of an endpoint.
type CheckConfig struct {
	// Name is how calculated checks refer to it, unique in its endpoint; "" for none.
	Name string
	// Probe does the work.
	Probe Probe
	// Timing says when and how often.
	Timing Timing
	// Monitor marks a cloud's own monitoring: unknown does not make the region unknown.
	Monitor bool
	// Advisory shows the check and lets it decide nothing.
	Advisory bool
}

// label is the check's name beside what it does.
func (c CheckConfig) label() string {
	if c.Name == "" {
		return c.Probe.Name()
	}
	return c.Name + " (" + c.Probe.Name() + ")"
}

// Config is one vantage point.
type Config struct {
	// Vantage is the point's name: proa.Verdict.By.
	Vantage string
	// Endpoints are the regions' endpoints and the references.
	Endpoints []Endpoint
	// Report takes each verdict, at each change and every Renew, on one goroutine. It must not
	// block.
	Report func(proa.Verdict)
	// Ask has the peers recheck a region whose first failure or silence was seen just now; nil for
	// nobody to ask. It must not block.
	Ask func(proa.Region)
	// Peers tells how many of the peers are reached; nil: there are none. It must not block.
	Peers func() (reached, of int)
	// Renew is the time after which an unchanged verdict is reported again. 0 is one second.
	Renew time.Duration
	// Late is how late this process may wake up before it takes time-outs as its own fault. 0 is
	// 250 ms.
	Late time.Duration
	// Seed is the jitter's.
	Seed uint64
	// Clock tells the time; it must agree with the timers of package time.
	Clock func() time.Time
}

// Validate reports every field that cannot work; errors wrap proa.ErrInvalidConfig.
func (c Config) Validate() error {
	if c.Vantage == "" || c.Report == nil || c.Clock == nil {
		return fmt.Errorf("health: vantage, report and clock are needed: %w", proa.ErrInvalidConfig)
	}
	if len(c.Endpoints) == 0 || len(c.Endpoints) > maxEndpoints {
		return fmt.Errorf("health: %d endpoints, want 1 to %d: %w", len(c.Endpoints), maxEndpoints,
			proa.ErrInvalidConfig)
	}
	for _, e := range c.Endpoints {
		if err := e.validate(); err != nil {
			return fmt.Errorf("health: region %q: %w", e.Region, err)
		}
	}
	return nil
}

func (e Endpoint) validate() error {
	if n := len(e.Checks) + len(e.Calculated); len(e.Checks) == 0 || n > maxChecks {
		return fmt.Errorf("%d checks, want 1 to %d: %w", n, maxChecks, proa.ErrInvalidConfig)
	}
	var names []string
	for _, check := range e.Checks {
		if check.Probe == nil {
			return fmt.Errorf("check without a probe: %w", proa.ErrInvalidConfig)
		}
		if check.Name != "" && slices.Contains(names, check.Name) {
			return fmt.Errorf("two checks are called %q: %w", check.Name, proa.ErrInvalidConfig)
		}
		names = append(names, check.Name)
		if err := check.Timing.Validate(); err != nil {
			return fmt.Errorf("%s: %w", check.Probe.Name(), err)
		}
	}
	return CheckFormulas(names, e.Calculated)
}

// The bounds of a vantage point's configuration.
const (
	maxEndpoints = 16
	maxChecks    = 32
)
