package console

import (
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/internal/telemetry"
)

// Live is what the node knows. What is not known is null, never zero.
type Live struct {
	Node       string                 `json:"node"`
	Zone       string                 `json:"zone"`
	Primary    proa.Region            `json:"primary"`
	TTLSeconds float64                `json:"ttl_seconds"`
	Plan       proa.Plan              `json:"plan"`
	Published  Published              `json:"published"`
	Quorum     string                 `json:"quorum"`
	Standby    string                 `json:"standby,omitempty"`
	Summary    string                 `json:"summary"`
	Regions    map[proa.Region]Region `json:"regions"`
	Votes      []Vote                 `json:"votes"`
	Checks     []Check                `json:"checks"`
	Waiting    []string               `json:"waiting"`
	Held       string                 `json:"held,omitempty"`
	Directions []Direction            `json:"directions"`
	Parts      []Part                 `json:"parts"` // the same for each table and bucket; MaxParts at most
	Verified   *Verified              `json:"verified"`
	Conflicts  uint64                 `json:"conflicts"`   // made since the node began
	Kept       uint64                 `json:"kept"`        // in the journal
	Quarantine int                    `json:"quarantined"` // keys that cannot cross
	Warnings   []string               `json:"warnings,omitempty"`
}

// Published is the plan that the name server answers by.
type Published struct {
	Version uint64    `json:"version"`
	At      time.Time `json:"at,omitzero"`
}

// Region is one region as the vantages judge it.
type Region struct {
	Health  proa.Health `json:"health"`
	Reason  string      `json:"reason"`
	Since   time.Time   `json:"since,omitzero"`
	Gateway string      `json:"gateway"`
	// Unreplicated counts acknowledged writes that the other region lacks; null while some may be unknown.
	Unreplicated *int `json:"unreplicated"`
}

// Vote is one vantage's word on one region.
type Vote struct {
	Vantage string      `json:"vantage"`
	Beside  proa.Region `json:"beside,omitempty"`
	Region  proa.Region `json:"region"`
	Health  proa.Health `json:"health"`
	Reason  string      `json:"reason"`
	Since   time.Time   `json:"since,omitzero"`
}

// Check is one of this node's own probes.
type Check struct {
	Region proa.Region `json:"region"`
	Name   string      `json:"name"`
	Health proa.Health `json:"health"`
	Reason string      `json:"reason"`
	Since  time.Time   `json:"since,omitzero"`
	Fails  int         `json:"fails"` // in a row
	Fall   int         `json:"fall"`  // that make it unhealthy
	// FirstFailed is when the present failures began; nil while it passes, or where that was not seen.
	FirstFailed *time.Time `json:"first_failed,omitempty"`
}

// Direction is replication from a region to the other.
type Direction struct {
	From      proa.Region `json:"from"`
	Known     bool        `json:"known"`
	LagMS     *float64    `json:"lag_ms"`
	Backlog   int         `json:"backlog"`
	P50       *float64    `json:"p50_ms"`
	P99       *float64    `json:"p99_ms"`
	PerSecond float64     `json:"per_second"`
	Scanning  bool        `json:"scanning,omitempty"`
	Error     string      `json:"error,omitempty"`
}

// MaxParts bounds the tables' and buckets' directions of a frame, and of the history.
const MaxParts = 64

// Part is one direction of a table or a bucket.
type Part struct {
	Direction
	Table       string    `json:"table,omitempty"`
	Bucket      string    `json:"bucket,omitempty"`
	Quarantined int       `json:"quarantined"`
	Through     time.Time `json:"through,omitzero"`
}

// Verified is the running comparison of both sides.
type Verified struct {
	Through     time.Time  `json:"through"`
	Keys        int64      `json:"keys"`
	Differences int64      `json:"differences"`
	InFlight    int64      `json:"in_flight"`
	LastScan    *time.Time `json:"last_scan"`
}

// Frame is one event of the stream: the whole state, so that a page that missed some has lost nothing but dots.
type Frame struct {
	ID       uint64                     `json:"id"`
	At       time.Time                  `json:"at"`
	Live     Live                       `json:"live"`
	Stats    map[string]telemetry.Stats `json:"stats"`
	Traces   []telemetry.Trace          `json:"traces,omitempty"`
	Faults   Faults                     `json:"faults"`
	Incident *Incident                  `json:"incident"`
	Drill    *Drill                     `json:"drill"` // the one under way, or that has just ended
}

const maxFrameTraces = 12
