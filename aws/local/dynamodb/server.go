// Package dynamodb is Amazon DynamoDB and DynamoDB Streams on this machine: the vendor's wire
// protocol, expressions, limits and errors over a durable store.
//
// A write is acknowledged after it, its stream record and its counters are on stable storage, all
// in one batch; concurrent writes share an fsync. A reader sees only what is on stable storage.
// Writes of one key are ordered; stream records of one shard become visible in the order of their
// sequence numbers, so a reader that has seen one will never be shown an older one.
//
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/Welcome.html
package dynamodb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/proa-cloud/proa/internal/store"
)

// Config says where the service keeps its data and how it behaves. Dir and Clock are required.
type Config struct {
	Dir    string           // the database's folder; created when missing
	FS     vfs.FS           // the operating system's when nil
	Clock  func() time.Time // wall clock
	Logger *slog.Logger     // discards when nil

	AccountID string // twelve digits, for ARNs; "000000000000" when empty
	Region    string // for ARNs and stream records; "us-east-1" when empty

	StreamShards    int           // open shards of a stream; 4 when 0
	ShardAge        time.Duration // older shards close and children open; the vendor's 4 h when 0
	StreamRetention time.Duration // how long stream records can be read; the vendor's 24 h when 0
	SweepInterval   time.Duration // how often Run does a Sweep; 1 s when 0
}

func (c Config) withDefaults() (Config, error) {
	if c.Clock == nil {
		return c, errors.New("dynamodb: Config.Clock is nil")
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.AccountID = orDefault(c.AccountID, "000000000000")
	c.Region = orDefault(c.Region, "us-east-1")
	c.StreamShards = orDefault(c.StreamShards, 4)
	c.ShardAge = orDefault(c.ShardAge, 4*time.Hour)
	c.StreamRetention = orDefault(c.StreamRetention, 24*time.Hour)
	c.SweepInterval = orDefault(c.SweepInterval, time.Second)
	return c, nil
}

func orDefault[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// numStripes bounds the locks that order writes of one partition key; unlike keys rarely share one.
const numStripes = 1024

// Server is the service. It is an http.Handler; the caller in front verifies signatures.
type Server struct {
	cfg Config
	db  *pebble.DB

	mu      sync.RWMutex // guards the two maps; a table's own lock guards its content
	tables  map[string]*table
	streams map[uint64]*stream

	stripes [numStripes]stripe

	commitMu sync.Mutex    // orders batches: held while one takes its sequence numbers and is applied
	last     lastIDs       // guarded by commitMu
	ticket   atomic.Uint64 // of the batch applied last
	durable  watermark     // of the batch on stable storage last
}

// stripe orders the writes of the partition keys that hash to it.
type stripe struct {
	sync.Mutex
	ticket atomic.Uint64 // of the last batch that touched the stripe
}

// New opens the database, creating it when missing, and loads what tables and streams there are. It
// starts nothing.
func New(cfg Config) (*Server, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	db, err := store.Open(store.Options{Dir: cfg.Dir, FS: cfg.FS, Logger: cfg.Logger})
	if err != nil {
		return nil, fmt.Errorf("dynamodb: %w", err)
	}
	s := &Server{cfg: cfg, db: db, tables: map[string]*table{}, streams: map[uint64]*stream{}}
	s.durable.init()
	if err := s.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("dynamodb: load: %w", err), db.Close())
	}
	return s, nil
}

// Close closes the database. No request may be under way.
func (s *Server) Close() error { return s.db.Close() }

// Run expires items, rolls shards and trims streams until the context ends.
func (s *Server) Run(ctx context.Context) error {
	tick := time.NewTicker(s.cfg.SweepInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := s.Sweep(ctx); err != nil && ctx.Err() == nil {
				s.cfg.Logger.Error("sweep failed", "error", err)
			}
		}
	}
}

// Sweep expires items, rolls shards and trims streams once.
func (s *Server) Sweep(ctx context.Context) error {
	var errs []error
	for _, t := range s.allTables() {
		errs = append(errs, s.expire(ctx, t))
	}
	errs = append(errs, s.rollAged(), s.trimStreams(), s.dropTokens())
	return errors.Join(errs...)
}
