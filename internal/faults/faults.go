// Package faults is what is wrong with a process on purpose: a small file beside its data, which the supervisor writes and
// the process reads while it runs. Without the file nothing is wrong, and asking costs a clock and an atomic load.
//
// A change is in force Settle after it was written. A damaged file is as none.
package faults

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/internal/netfault"
)

// FileName is the file's name in the process's folder.
const FileName = "faults.json"

// Env names the variable that tells a function where its region's file is.
const Env = "PROA_FAULTS"

const (
	fresh = 20 * time.Millisecond // how long what was read is believed
	// Settle is when a change is in force everywhere.
	Settle    = 2 * fresh
	maxBytes  = 4 << 10
	maxOffset = time.Hour
)

// Set is everything that is wrong.
type Set struct {
	// OffsetMS is how far the clock is ahead of true time, behind it when negative.
	OffsetMS int64 `json:"offset_ms,omitempty"`
	// Gateway is the network between users and the region's gateway.
	Gateway netfault.Conditions `json:"gateway"`
	// ErrorRate is the share, 0 to 1, of users' requests that the gateway answers with 503.
	ErrorRate float64 `json:"error_rate,omitempty"`
	// ThrottleRate is the share of data requests that are refused as past their throughput.
	ThrottleRate float64 `json:"throttle_rate,omitempty"`
}

// Validate refuses rates and offsets out of range.
func (s Set) Validate() error {
	if d := time.Duration(s.OffsetMS) * time.Millisecond; d > maxOffset || d < -maxOffset {
		return fmt.Errorf("clock offset %s: want -%s to %s: %w", d, maxOffset, maxOffset, proa.ErrInvalid)
	}
	for name, rate := range map[string]float64{"error": s.ErrorRate, "throttle": s.ThrottleRate} {
		if rate < 0 || rate > 1 {
			return fmt.Errorf("%s rate %v: want 0 to 1: %w", name, rate, proa.ErrInvalid)
		}
	}
	return s.Gateway.Validate()
}

// Path is the file of the process whose folder is dir.
func Path(dir string) string { return filepath.Join(dir, FileName) }

// Write puts the set in force for the process whose folder is dir; an empty set removes the file. It is in force after
// Settle.
func Write(dir string, s Set) error {
	if err := s.Validate(); err != nil {
		return err
	}
	if (s == Set{}) {
		if err := os.Remove(Path(dir)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("end faults: %w", err)
		}
		return nil
	}
	data, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("set faults: %w", err)
	}
	tmp := Path(dir) + ".tmp"
	if err = os.WriteFile(tmp, data, 0o600); err == nil {
		err = os.Rename(tmp, Path(dir))
	}
	if err != nil {
		return fmt.Errorf("set faults: %w", err)
	}
	return nil
}

// Source tells a process what is wrong with it. The nil Source says nothing is.
type Source struct {
	path string
	last atomic.Pointer[reading]
}

type reading struct {
	at  time.Time
	set Set
}

// Open reads path from now on; "" gives nil. The file need not exist.
func Open(path string) *Source {
	if path == "" {
		return nil
	}
	return &Source{path: path}
}

// Now is what is wrong now.
func (s *Source) Now() Set {
	if s == nil {
		return Set{}
	}
	now := time.Now() // of this process's own timers, which no skew moves
	if last := s.last.Load(); last != nil && now.Sub(last.at) < fresh {
		return last.set
	}
	r := &reading{at: now}
	if data, err := os.ReadFile(s.path); err == nil && len(data) <= maxBytes {
		if json.Unmarshal(data, &r.set) != nil || r.set.Validate() != nil {
			r.set = Set{}
		}
	}
	s.last.Store(r)
	return r.set
}

// Gateway is the network before the gateway.
func (s *Source) Gateway() netfault.Conditions { return s.Now().Gateway }

// Fails draws whether a user's request fails at the gateway.
func (s *Source) Fails() bool { return draw(s.Now().ErrorRate) }

// Throttles draws whether a data request is refused.
func (s *Source) Throttles() bool { return draw(s.Now().ThrottleRate) }

func draw(rate float64) bool { return rate > 0 && rand.Float64() < rate }

// Clock is base, off by the offset in force.
func (s *Source) Clock(base func() time.Time) func() time.Time {
	if s == nil {
		return base
	}
	return func() time.Time { return base().Add(time.Duration(s.Now().OffsetMS) * time.Millisecond) }
}
