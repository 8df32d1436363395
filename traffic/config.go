package traffic

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/proa-cloud/proa"
)

// FailbackMode says who moves traffic back to the preferred region.
type FailbackMode string

// The failback modes.
const (
	FailbackAuto   FailbackMode = "auto"   // the controller, once the gate is open
	FailbackManual FailbackMode = "manual" // an operator, by the failback command
	// The controller, by the shares of Config.Stages, and only where both regions may write
	FailbackGradual FailbackMode = "gradual"
)

// Vantage is one point from which the regions are probed, and one voter.
type Vantage struct {
	// Name is the vantage point's name, as in proa.Verdict.By.
	Name string `json:"name"`
	// Beside is the region whose cloud the vantage sits in, "" for none. Its "healthy" about that
	// region cannot outvote the vantages outside: it does not cross the network that users cross.
	Beside proa.Region `json:"beside,omitempty"`
}

// Config is the controller's policy.
type Config struct {
	// Preferred is the region that serves when everything is well (the primary).
	Preferred proa.Region
	// Vantages are the configured voters. A region is judged by a majority of them and by nothing
	// less.
	Vantages []Vantage
	// StaleAfter is the age at which a verdict or a replication state that was not renewed counts
	// as unknown.
	StaleAfter time.Duration
	// Failback says who moves traffic back to the preferred region.
	Failback FailbackMode
	// HoldDown is how long the preferred region must have been healthy without a break before
	// failback.
	HoldDown time.Duration
	// LagObjective is the replication lag that both directions must be under for Dwell before
	// failback. It is an objective and not zero: under constant writes the lag is never zero.
	LagObjective time.Duration
	// Dwell is how long both directions must have been known and under LagObjective before
	// failback.
	Dwell time.Duration
	// FlapBudget is the number of switches of any cause within FlapWindow after which the
	// controller stays.
	FlapBudget int
	// FlapWindow is the sliding window of FlapBudget.
	FlapWindow time.Duration
	// StayPastBudget also forbids a failover away from an unhealthy region once the budget is
	// spent. The default is false: staying on a region that is known dead helps nobody, and without
	// failbacks a flap needs two regions that die in turn.
	StayPastBudget bool
	// SwitchoverTimeout is how long a planned switchover may wait for the backlog to reach zero.
	SwitchoverTimeout time.Duration
	// Stages are the percentages of clients that a gradual failback moves before it moves all, rising.
	Stages []int
	// StageTime is how long each stage lasts at least.
	StageTime time.Duration
	// OneWriter says that some table lets only the active region write: writes are fenced off before
	// they move, and there is no gradual failback.
	OneWriter bool
	// WriteLease is how long a function may write after it was last told that it may. Where OneWriter
	// is set, writes stop for so long at each switch.
	WriteLease time.Duration
	// FenceHook says that the shell also revokes the credentials of writers that take no lease, and
	// that a planned switch waits for its report.
	FenceHook bool
	// Drain is how long a planned switch waits after it has asked for short TTLs: the longest TTL of
	// the records. 0: it does not wait.
	Drain time.Duration
	// Spread says that some record uses several regions at once, or minds when all are down: the plan
	// then says which regions are down.
	Spread bool
	// Rules refuse moves.
	Rules []Rule
	// OwnerSilence is how long data sync's owner may be silent before another node is named: longer
	// than the owner's lease. 0 names no owner: this node runs data sync alone.
	OwnerSilence time.Duration
	// HistoryLimit is how many past plans are kept with their evidence.
	HistoryLimit int
}

// Default returns the policy of a single node that prefers AWS.
func Default() Config {
	return Config{
		Preferred:         proa.AWS,
		Vantages:          []Vantage{{Name: "node-1"}},
		StaleAfter:        5 * time.Second,
		Failback:          FailbackAuto,
		HoldDown:          30 * time.Second,
		LagObjective:      5 * time.Second,
		Dwell:             10 * time.Second,
		FlapBudget:        6,
		FlapWindow:        time.Hour,
		SwitchoverTimeout: 30 * time.Second,
		Stages:            []int{1, 10},
		StageTime:         time.Minute,
		WriteLease:        2 * time.Second,
		HistoryLimit:      32,
	}
}

// Validate reports every field that cannot work, as errors that wrap proa.ErrInvalidConfig.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("traffic: "+format+": %w", append(args, proa.ErrInvalidConfig)...))
	}
	if _, err := proa.ParseRegion(string(c.Preferred)); err != nil {
		bad("preferred: %v", err)
	}
	if len(c.Vantages) == 0 {
		bad("vantages: at least one is needed")
	}
	var names []string
	for _, v := range c.Vantages {
		if v.Name == "" || slices.Contains(names, v.Name) {
			bad("vantages: name %q is empty or not unique", v.Name)
		}
		names = append(names, v.Name)
		if v.Beside != "" && v.Beside.Other() == v.Beside {
			bad("vantages: %s: beside: unknown region %q", v.Name, v.Beside)
		}
	}
	c.validateFailback(bad)
	for name, d := range map[string]time.Duration{
		"stale_after": c.StaleAfter, "lag_objective": c.LagObjective,
		"flap_window": c.FlapWindow, "switchover_timeout": c.SwitchoverTimeout,
		"write_lease": c.WriteLease, "stage_time": c.StageTime,
	} {
		if d <= 0 {
			bad("%s: %s: must be positive", name, d)
		}
	}
	if c.HoldDown < 0 || c.Dwell < 0 || c.OwnerSilence < 0 || c.Drain < 0 {
		bad("hold_down, dwell, owner_silence, drain: must not be negative")
	}
	if c.FlapBudget < 1 {
		bad("flap_budget: %d: must be at least 1", c.FlapBudget)
	}
	if c.HistoryLimit < 1 || c.HistoryLimit > 1024 {
		bad("history_limit: %d: want 1 to 1024", c.HistoryLimit)
	}
	return errors.Join(errs...)
}

func (c Config) validateFailback(bad func(string, ...any)) {
	switch c.Failback {
	case FailbackAuto, FailbackManual:
	case FailbackGradual:
		if c.OneWriter {
			bad("failback: gradual needs tables that both regions may write")
		}
		if len(c.Stages) == 0 || len(c.Stages) > 10 {
			bad("stages: %d: want 1 to 10", len(c.Stages))
		}
		last := 0
		for _, s := range c.Stages {
			if s <= last || s > 99 {
				bad("stages: %d %%: want rising percentages from 1 to 99", s)
			}
			last = s
		}
	default:
		bad("failback: %q: want %q, %q or %q", c.Failback, FailbackAuto, FailbackManual,
			FailbackGradual)
	}
}

// majority is the smallest number of voters that is more than half of the configured ones.
func (c Config) majority() int { return len(c.Vantages)/2 + 1 }
