package cosmos

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/proa-cloud/proa/azure/local/cosmos/value"
	"github.com/proa-cloud/proa/internal/store"
)

// Config says how the local account behaves. Dir is required.
type Config struct {
	Dir    string           // data folder, created when missing
	FS     vfs.FS           // nil: the operating system's
	Clock  func() time.Time // nil: time.Now
	Logger *slog.Logger     // nil: discard

	// AccountName is the id that account discovery returns. Default "proa".
	AccountName string
	// Region is the name of the one region of the account. Default "Local".
	Region string
	// Retention is how long the all-versions-and-deletes feed keeps changes. Default 7 days, the least
	// continuous backup of Azure.
	Retention time.Duration
	// PreviousImages adds the replaced or deleted document as "previous" to the
	// all-versions-and-deletes feed. Azure's feed leaves it out unless support enabled it for the
	// account, and so does this one by default.
	PreviousImages bool
	// NoAllVersions makes the account one without continuous backups: the all-versions-and-deletes
	// feed is refused (400), as there.
	NoAllVersions bool
	// Ranges is how many physical partitions a new container (partition key version 2) has. Default 1,
	// at most 64.
	Ranges int
	// RateLimiting answers 429 when a container uses more RU/s than its offer or its database's; off,
	// offers are kept and shown, but not enforced.
	RateLimiting bool
	// Background is the interval of expiry and trimming in Run. Default 1 s.
	Background time.Duration
	// QueryBudget bounds the work on one page of a query. Default 5 s.
	QueryBudget time.Duration
}

func (c *Config) fill() error {
	if c.Dir == "" {
		return errors.New("cosmos: Config.Dir is empty")
	}
	if c.Ranges < 0 || c.Ranges > maxInitialRanges {
		return fmt.Errorf("cosmos: Config.Ranges is %d, want 1 to %d", c.Ranges, maxInitialRanges)
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	for _, d := range []struct {
		at  *time.Duration
		def time.Duration
	}{{&c.Retention, 7 * 24 * time.Hour}, {&c.Background, time.Second}, {
		&c.QueryBudget,
		5 * time.Second,
	}} {
		if *d.at <= 0 {
			*d.at = d.def
		}
	}
	if c.AccountName == "" {
		c.AccountName = "proa"
	}
	if c.Region == "" {
		c.Region = "Local"
	}
	if c.Ranges == 0 {
		c.Ranges = 1
	}
	return nil
}

const maxInitialRanges = 64

// Server is one Cosmos DB account. It serves HTTP and may be used from any number of goroutines.
type Server struct {
	cfg Config
	db  *pebble.DB

	maintain sync.Mutex // one Maintain at a time

	mu         sync.RWMutex // guards the maps and the counters below
	databases  map[string]*database
	counters   accountCounters
	containers map[uint32]*container
}

type accountCounters struct {
	Database  uint32 `json:"database"`
	Container uint32 `json:"container"`
}

// New opens the account's store, creating it when it is missing. It starts nothing: expiry and
// trimming happen in Run.
func New(cfg Config) (*Server, error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	db, err := store.Open(store.Options{Dir: cfg.Dir, FS: cfg.FS, Logger: cfg.Logger})
	if err != nil {
		return nil, err
	}
	s := &Server{
		cfg: cfg, db: db, databases: map[string]*database{},
		containers: map[uint32]*container{},
	}
	if err := s.load(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

// Close closes the store. No request may be under way.
func (s *Server) Close() error { return s.db.Close() }

func (s *Server) load() error {
	if err := s.each([]byte{prefixAccount}, func(_, v []byte) error {
		return json.Unmarshal(v,
			&s.counters)
	}); err != nil {
		return fmt.Errorf("read account: %w", err)
	}
	err := s.each([]byte{prefixDatabase}, func(_, v []byte) error {
		d := &database{containers: map[string]*container{}}
		if err := json.Unmarshal(v, &d.databaseMeta); err != nil {
			return err
		}
		if d.Offer != nil {
			d.rate.Store(int64(d.Offer.limit()))
		}
		s.databases[d.ID] = d
		return nil
	})
	if err != nil {
		return fmt.Errorf("read databases: %w", err)
	}
	err = s.each([]byte{prefixContainer}, func(_, v []byte) error {
		var m containerMeta
		if err := json.Unmarshal(v, &m); err != nil {
			return err
		}
		c, err := s.openContainer(m)
		if err != nil {
			return err
		}
		d, ok := s.databases[m.Database]
		if !ok {
			return fmt.Errorf("container %q has no database: %w", m.ID, errCorrupt)
		}
		c.db, d.containers[m.ID], s.containers[m.CID] = d, c, c
		return nil
	})
	if err != nil {
		return fmt.Errorf("read containers: %w", err)
	}
	return nil
}

// each calls f for every record under a prefix.
func (s *Server) each(prefix []byte, f func(k, v []byte) error) error {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: upperBound(prefix)})
	if err != nil {
		return err
	}
	for ok := it.First(); ok; ok = it.Next() {
		if err := f(it.Key(), it.Value()); err != nil {
			return errors.Join(err, it.Close())
		}
	}
	return it.Close()
}

// databaseMeta is what is stored of a database.
type databaseMeta struct {
	ID    string     `json:"id"`
	RID   string     `json:"rid"`
	TS    int64      `json:"ts"`
	ETag  string     `json:"etag"`
	Offer *offerMeta `json:"offer,omitempty"`
}

type database struct {
	databaseMeta
	containers map[string]*container
	bucket     bucket       // of a shared throughput
	rate       atomic.Int64 // its RU/s, 0: none
}

func (d *database) value() value.Value {
	return value.OfObject([]value.Member{
		{Name: "id", Value: value.OfString(d.ID)},
		{Name: "_rid", Value: value.OfString(d.RID)},
		{Name: "_self", Value: value.OfString("dbs/" + d.RID + "/")},
		{Name: "_etag", Value: value.OfString(`"` + d.ETag + `"`)},
		{Name: "_colls", Value: value.OfString("colls/")},
		{Name: "_users", Value: value.OfString("users/")},
		{Name: "_ts", Value: value.OfNumber(float64(d.TS))},
	})
}

// ridText is the service's base64: '/' would break links and is written '-'.
func ridText(b []byte) string {
	return strings.ReplaceAll(base64.StdEncoding.EncodeToString(b), "/", "-")
}

func ridDatabase(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

// ridContainer appends a container's number; its top bit tells it from a user.
func ridContainer(db uint32, n uint32) []byte {
	return binary.BigEndian.AppendUint32(ridDatabase(db), n|1<<31)
}

// ridChild is the _rid of a document (kind 0) or a partition key range (kind 5).
func ridChild(parent []byte, number uint64, kind byte) string {
	b := binary.LittleEndian.AppendUint64(append([]byte{}, parent...), number)
	b[len(b)-1] |= kind << 4
	return ridText(b)
}

const maxIDBytes = 255

// checkID refuses the ids that the service refuses for databases and containers.
func checkID(id value.Value) *apiError {
	switch {
	case id.Kind != value.String || id.Str == "":
		return badRequest("The input content is invalid because the required properties - 'id; ' - " +
			"are missing")
	case strings.ContainsAny(id.Str, `/\?#`):
		return badRequest("Id contains illegal chars.")
	case strings.HasSuffix(id.Str, " "):
		return badRequest("Id ends with a space.")
	case len(id.Str) > maxIDBytes:
		return badRequest("The input name '%s' is invalid. Ensure to provide a name of at most %d "+
			"characters.", id.Str, maxIDBytes)
	}
	return nil
}
