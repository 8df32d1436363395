package s3

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/proa-cloud/proa/internal/store"
)

// Config says where the objects live and who serves them.
type Config struct {
	Dir       string           // data folder; created
	FS        vfs.FS           // the operating system's when nil; tests pass a crashable one
	Clock     func() time.Time // must not be nil
	Logger    *slog.Logger     // must not be nil
	Region    string           // "us-east-1"
	AccountID string           // twelve digits

	// Throttle, when set, is asked before each request; true answers 503 SlowDown.
	Throttle func(*http.Request) bool
	// OnChange, when set, is called after each committed change of an object's current state, in order
	// per key, while the key is locked: it must hand the event over and return at once.
	OnChange func(Event)
	// Notify, when set, takes one message for a queue, by its ARN; it must hand it over and return at
	// once. QueueExists, when set, says whether there is such a queue.
	Notify      func(queueARN string, body []byte)
	QueueExists func(queueARN string) bool
}

// Event is one committed change of an object.
type Event struct {
	Bucket, Key string
	ETag        string // without quotes; "" when deleted
	Size        int64
	VersionID   string // "" in a bucket that never was versioned
	Sequencer   string // hexadecimal; of one key, later events compare higher as strings
	Deleted     bool   // the key has no current object any more
	Marker      bool   // by a delete marker
	// the API operation: PutObject, CopyObject, CompleteMultipartUpload, DeleteObject
	Reason string
	At     time.Time
}

// Server is the object store and its HTTP front.
type Server struct {
	cfg   Config
	db    *pebble.DB
	fs    vfs.FS
	owner string // canonical user id
	bufs  buffers
	pins  pins
	seed  maphash.Seed

	keys [256]sync.Mutex // stripes by bucket and key: conditions and commits of one key are serial

	// held shared by every commit into a bucket, whole by those that change buckets
	mu      sync.RWMutex
	buckets map[string]bucketRow

	seqMu       sync.Mutex
	seq         uint64 // last sequence number given out
	seqReserved uint64 // numbers up to here are reserved on disk

	genMu sync.Mutex
	gen   string // this run's folder of body files
	made  bool   // the folder exists
}

// New opens or creates the store and removes what a crash left behind. It starts no goroutine;
// Close the Server.
func New(cfg Config) (*Server, error) {
	if cfg.Clock == nil || cfg.Logger == nil {
		return nil, errors.New("s3: Clock and Logger must be set")
	}
	s := &Server{cfg: cfg, fs: cfg.FS, seed: maphash.MakeSeed(), buckets: map[string]bucketRow{}}
	if s.fs == nil {
		s.fs = vfs.Default
	}
	sum := sha256.Sum256([]byte("canonical user " + cfg.AccountID))
	s.owner = hex.EncodeToString(sum[:])
	db, err := store.Open(store.Options{
		Dir: s.fs.PathJoin(cfg.Dir, "meta"), FS: cfg.FS,
		Logger: cfg.Logger,
	})
	if err != nil {
		return nil, fmt.Errorf("s3: %w", err)
	}
	s.db = db
	if err := errors.Join(s.syncDir(cfg.Dir), s.syncDir(s.fs.PathDir(cfg.Dir)), s.load()); err != nil {
		return nil, errors.Join(fmt.Errorf("s3: %w", err), db.Close())
	}
	return s, nil
}

// Close closes the store. No request may be under way.
func (s *Server) Close() error { return s.db.Close() }

func (s *Server) load() error {
	err := s.scan(row(rowBucket), nil, func(k, v []byte) (bool, error) {
		var b bucketRow
		if err := unmarshal(v, &b); err != nil {
			return false, err
		}
		s.buckets[strings.TrimPrefix(string(k), rowBucket)] = b
		return true, nil
	})
	if err != nil {
		return err
	}
	if v, closer, err := s.db.Get(row(rowSeq)); err == nil {
		s.seq = binary.BigEndian.Uint64(v)
		s.seqReserved = s.seq
		if err := closer.Close(); err != nil {
			return err
		}
	} else if !errors.Is(err, pebble.ErrNotFound) {
		return err
	}
	return s.collectOrphans()
}

// seqBlock is how far ahead sequence numbers are reserved: ten seconds, so that restarts, not
// writes, pay for it.
const seqBlock = uint64(10 * time.Second)

// nextSeq returns a number above all before it, also across restarts: nanoseconds where the clock
// allows.
func (s *Server) nextSeq(now time.Time) (uint64, error) {
	s.seqMu.Lock()
	defer s.seqMu.Unlock()
	next := max(s.seq+1, uint64(max(now.UnixNano(), 0)))
	if next > s.seqReserved {
		limit := next + seqBlock
		if err := s.db.Set(row(rowSeq), binary.BigEndian.AppendUint64(nil, limit),
			store.Sync); err != nil {
			return 0, fmt.Errorf("reserve sequence numbers: %w", err)
		}
		s.seqReserved = limit
	}
	s.seq = next
	return next, nil
}

// lockKey locks what belongs to one key and returns how to unlock it.
func (s *Server) lockKey(bucket, key string) func() {
	m := &s.keys[maphash.String(s.seed, bucket+"\x00"+key)%uint64(len(s.keys))]
	m.Lock()
	return m.Unlock
}

// bucket returns a bucket's row.
func (s *Server) bucket(name string) (bucketRow, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.bucketLocked(name)
}

func (s *Server) bucketLocked(name string) (bucketRow, error) {
	b, ok := s.buckets[name]
	if !ok {
		return bucketRow{}, noSuchBucket(name)
	}
	return b, nil
}

// versionID names a version after its sequence number, so that it can be looked up directly.
func versionID(seq uint64) string {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, seq))
	return hex.EncodeToString(binary.BigEndian.AppendUint64(nil, seq)) + hex.EncodeToString(sum[:8])
}

const nullVersion = "null"

// seqOfVersion is versionID's inverse; false for an id that was never given out.
func seqOfVersion(id string) (uint64, bool) {
	raw, err := hex.DecodeString(id)
	if err != nil || len(raw) != 16 {
		return 0, false
	}
	seq := binary.BigEndian.Uint64(raw)
	return seq, versionID(seq) == id
}
