package datasync

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/datasync/objects"
	"github.com/proa-cloud/proa/datasync/residency"
	"github.com/proa-cloud/proa/datasync/resolve"
	"github.com/proa-cloud/proa/datasync/shadow"
)

// TableSide is one side of a replicated table.
type TableSide struct {
	Table cloud.Table
	Feed  cloud.Feed
}

// Table is one replicated table.
type Table struct {
	Schema proa.Schema
	Sides  map[proa.Region]TableSide // both regions
	Rules  resolve.Rules             // resolve.DefaultRules(Schema) when zero
	// Residency says what may leave a region; nil: everything.
	Residency *residency.Rules
}

// Config is what a service is made of. Times are of the clock that is given, which need not be
// right, only forward.
type Config struct {
	// opened by package internal/store; stays the caller's to close, after Run has returned
	DB *pebble.DB
	// Node is this node's name, as a plan's Owner gives it.
	Node string
	// Shared says that several nodes take turns: nothing is read from a feed or written before Assign
	// names this node. Otherwise this node is the owner from the start.
	Shared bool
	// Sidecars are each region's table for what must outlive the owner's disk (sidecar.Schema); none: a
	// node that takes over knows of no deletes, and reads the feeds from now.
	Sidecars map[proa.Region]cloud.Table
	// Deployment is the sidecars' namespace; "" is "proa".
	Deployment string
	Tables     []Table
	Buckets    []objects.Bucket
	Clock      func() time.Time
	Logger     *slog.Logger // nil discards
	Limits     shadow.Limits

	// PollMin and PollMax bound the pause between two reads of a feed: shortest while changes come,
	// longest when idle.
	PollMin, PollMax time.Duration
	// IdleMax takes PollMax's place once a feed has given nothing for IdleAfter; 0: never.
	IdleMax, IdleAfter time.Duration
	// Subscribers get every change as a CloudEvent.
	Subscribers []Subscriber
	// Budget bounds what replication may cost.
	Budget Budget
	// RequestUnits tells what Cosmos DB has charged so far; nil: not known.
	RequestUnits func() float64
	// ReadTimeout ends a read of a feed or a scan, WriteTimeout one write.
	ReadTimeout, WriteTimeout time.Duration
	// Workers is the most writes in flight at one side of one table.
	Workers int
	// Ahead is the most writes at one side of one table that are recorded as intents and wait to be
	// sent, while others are in flight.
	Ahead int
	// PageSize is the number of rows of one scan read.
	PageSize int
	// RetryMax bounds the back-off from a side that cannot be reached.
	RetryMax time.Duration
	// Stale is the age of the last complete read of a feed after which its lag is unknown.
	Stale time.Duration
	// FullScan lies between two complete comparisons in the background; 0: none are made.
	FullScan time.Duration
	// Upkeep is the pause between two rounds of collecting what is no more needed.
	Upkeep time.Duration
}

// Default returns a configuration that lacks only DB, Tables, Buckets and Clock.
func Default() Config {
	return Config{
		Limits:       shadow.DefaultLimits(),
		PollMin:      20 * time.Millisecond,
		PollMax:      200 * time.Millisecond,
		IdleMax:      time.Second,
		IdleAfter:    time.Minute,
		ReadTimeout:  5 * time.Second,
		WriteTimeout: 3 * time.Second,
		Workers:      64,
		Ahead:        512,
		PageSize:     500,
		RetryMax:     time.Second,
		Stale:        5 * time.Second,
		FullScan:     6 * time.Hour,
		Upkeep:       10 * time.Second,
	}
}

// Validate reports what is missing or out of range.
func (c *Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.DB == nil {
		bad("DB is missing")
	}
	if c.Clock == nil {
		bad("Clock is missing")
	}
	if c.Shared && c.Node == "" {
		bad("Node is missing: nodes that take turns need names")
	}
	if n := len(c.Sidecars); n != 0 && (c.Sidecars[proa.AWS] == nil || c.Sidecars[proa.Azure] == nil) {
		bad("Sidecars needs both regions' or none")
	}
	seen := map[string]bool{}
	for _, t := range c.Tables {
		if t.Schema.Table == "" || seen[t.Schema.Table] {
			bad("table %q: the name is empty or stands twice", t.Schema.Table)
		}
		seen[t.Schema.Table] = true
		for _, r := range proa.Regions() {
			if s := t.Sides[r]; s.Table == nil || s.Feed == nil {
				bad("table %s: side %s has no table or no feed", t.Schema.Table, r)
			}
		}
	}
	if c.PollMin <= 0 || c.PollMax < c.PollMin || c.Workers <= 0 || c.Ahead <= 0 || c.PageSize <= 0 {
		bad("PollMin, PollMax, Workers, Ahead and PageSize must be positive")
	}
	if c.ReadTimeout <= 0 || c.WriteTimeout <= 0 || c.RetryMax <= 0 || c.Stale <= 0 || c.Upkeep <= 0 {
		bad("ReadTimeout, WriteTimeout, RetryMax, Stale and Upkeep must be positive")
	}
	names := map[string]bool{}
	for _, sub := range c.Subscribers {
		if sub.Name == "" || names[sub.Name] || sub.Sink == nil {
			bad("subscriber %q: it has no name or sink, or the name stands twice", sub.Name)
		}
		names[sub.Name] = true
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("datasync: %w: %w", proa.ErrInvalidConfig, err)
	}
	return nil
}
