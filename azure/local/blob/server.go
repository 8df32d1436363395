// Package blob is the local Azure Blob Storage: block and append blobs over the vendor's REST
// protocol, durable on disk.
//
// An acknowledged write is on stable storage. Writes to one blob are applied one after the other,
// each checked against its conditions and lease and committed as one step; a reader sees one state
// of a blob whole, whatever is written meanwhile. Bodies are streamed: memory does not grow with
// their size. Requests must have passed auth.Verifier; a request without a Grant is refused.
package blob

import (
	"errors"
	"hash/maphash"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/proa-cloud/proa/azure/local/auth"
	"github.com/proa-cloud/proa/internal/store"
)

// Config describes the account.
type Config struct {
	Dir     string // data folder, created if needed
	FS      vfs.FS // the operating system's when nil
	Account string // first segment of every path
	Clock   func() time.Time
	Logger  *slog.Logger // nil discards

	// Versioning keeps each replaced or deleted state of a blob as a version, as the account setting
	// does.
	Versioning bool
	// AuthorizeSource decides whether the blob that a copy reads may be read, from a synthetic GET of
	// its URL (auth.Verifier.AuthorizeSource). Nil refuses every copy.
	AuthorizeSource func(source *http.Request, asker auth.Grant) *auth.StorageError
	// OnChange, when set, is called after each committed write or delete of a blob, in order per blob,
	// while it is locked: it must hand the event over and return at once.
	OnChange func(Event)
}

// Event is one committed change of a blob's content: what Event Grid tells of. Changes of metadata
// or properties alone are none.
type Event struct {
	Container, Name string
	API             string // PutBlob, PutBlockList, CopyBlob, DeleteBlob
	ETag            string // "" when deleted
	ContentType     string
	Size            int64
	Tick            uint64 // of one blob, later events have higher ones
	Deleted         bool
	At              time.Time
}

// maxDrain is the longest body of a refused request that is read to its end, in bytes.
const maxDrain = 64 << 20

// Server answers the Blob REST protocol.
type Server struct {
	account    string
	versioning bool
	clock      func() time.Time
	logger     *slog.Logger
	authorize  func(*http.Request, auth.Grant) *auth.StorageError
	onChange   func(Event)
	db         *pebble.DB
	contents   *contents
	crc        *crcs
	deleted    chan struct{} // wakes Run when a container was deleted

	tick       atomic.Uint64 // the last ETag given out
	spaces     sync.RWMutex  // read: a blob is being changed; write: a container is
	stripes    [256]sync.Mutex
	stripeSeed maphash.Seed
}

// New opens the account's data. It starts nothing: Run does the housekeeping.
func New(c Config) (*Server, error) {
	if c.Clock == nil || c.Account == "" {
		return nil, errors.New("blob: Clock and Account are required")
	}
	fs := c.FS
	if fs == nil {
		fs = vfs.Default
	}
	logger := c.Logger
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	db, err := store.Open(store.Options{Dir: fs.PathJoin(c.Dir, "meta"), FS: c.FS, Logger: logger})
	if err != nil {
		return nil, err
	}
	s := &Server{
		account: c.Account, versioning: c.Versioning, clock: c.Clock, logger: logger,
		authorize: c.AuthorizeSource, onChange: c.OnChange, db: db, crc: newCRCs(), deleted: make(chan struct{}, 1),
		stripeSeed: maphash.MakeSeed(),
	}
	s.contents, err = openContents(fs, fs.PathJoin(c.Dir, "contents"), db, s.crc)
	if err == nil {
		var tick uint64
		tick, err = counter(db, "tick")
		s.tick.Store(tick)
	}
	if err != nil {
		_ = db.Close()
		return nil, err
	}
	return s, nil
}

// Close releases the data folder; call it after the last request and Run have ended.
func (s *Server) Close() error {
	err := s.db.Set([]byte("mtick"), strconv.AppendUint(nil, s.tick.Load(), 10), store.Sync)
	if e := s.db.Close(); err == nil {
		err = e
	}
	return err
}

// nextTick returns an ETag later than every other and close to now.
func (s *Server) nextTick(now time.Time) uint64 {
	tick := uint64(now.UnixNano()/100) + ticksAtEpoch
	for {
		last := s.tick.Load()
		next := max(tick, last+1)
		if s.tick.CompareAndSwap(last, next) {
			return next
		}
	}
}

// lock serialises changes of one blob.
func (s *Server) lock(uid uint64, name string) (unlock func()) {
	var h maphash.Hash
	h.SetSeed(s.stripeSeed)
	_, _ = h.WriteString(strconv.FormatUint(uid, 16))
	_, _ = h.WriteString(name)
	stripe := &s.stripes[h.Sum64()%uint64(len(s.stripes))]
	stripe.Lock()
	return stripe.Unlock
}

// call is one request on its way through.
type call struct {
	s         *Server
	w         http.ResponseWriter
	r         *http.Request
	query     map[string][]string
	comp      string
	container string
	blob      string
	grant     auth.Grant
	now       time.Time
}

func (c *call) get(name string) string {
	if v := c.query[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

func (c *call) header(name string) string { return c.r.Header.Get(name) }

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	auth.SetStorageHeaders(w, r)
	now := s.clock()
	err := s.serve(w, r, now)
	if err == nil {
		return
	}
	var known *auth.StorageError
	if !errors.As(err, &known) {
		if r.Context().Err() != nil {
			return // the client went away
		}
		s.logger.Error("blob request failed", "method", r.Method, "path", r.URL.Path, "error", err)
		known = fail(http.StatusInternalServerError, "InternalError",
			"The server encountered an internal error. Please retry the request.")
	}
	if r.ContentLength > maxDrain || known.Status == http.StatusRequestEntityTooLarge {
		w.Header().Set("Connection", "close") // do not read the rest of the body
	} else {
		// Many clients send all before they listen: they would see a reset, not the refusal.
		_, _ = io.Copy(io.Discard, r.Body)
	}
	known.Write(w, r, now)
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request, now time.Time) error {
	grant, ok := auth.GrantOf(r.Context())
	if !ok || grant.Service != auth.Blob {
		return fail(http.StatusForbidden, "AuthenticationFailed", "The request was not verified.")
	}
	rest, ok := strings.CutPrefix(r.URL.Path, "/"+s.account)
	if !ok || rest != "" && rest[0] != '/' {
		return badRequest("InvalidUri",
			"The requested URI does not represent any resource on the server.")
	}
	if err := checkVersion(r); err != nil {
		return err
	}
	c := &call{s: s, w: w, r: r, query: r.URL.Query(), grant: grant, now: now}
	c.comp = strings.ToLower(c.get("comp"))
	c.container, c.blob, _ = strings.Cut(strings.TrimPrefix(rest, "/"), "/")
	if c.container == "" {
		return c.service()
	}
	if err := checkContainerName(c.container); err != nil {
		return err
	}
	if c.blob == "" {
		return c.onContainer()
	}
	if err := checkBlobName(c.blob); err != nil {
		return err
	}
	if c.header("x-ms-if-tags") != "" || c.header("x-ms-encryption-key") != "" ||
		c.header("x-ms-encryption-scope") != "" {
		return notImplemented()
	}
	return c.onBlob()
}

// checkVersion accepts every well-formed API version from 2009-09-19 on, and none at all.
func checkVersion(r *http.Request) error {
	version := r.Header.Get("x-ms-version")
	if version == "" {
		return nil
	}
	if _, err := time.Parse(time.DateOnly, version); err != nil || version < "2009-09-19" {
		return invalidHeader("x-ms-version", version)
	}
	return nil
}

// onBlob routes an operation on a blob.
func (c *call) onBlob() error {
	switch c.r.Method {
	case http.MethodGet, http.MethodHead:
		switch c.comp {
		case "", "metadata":
			return c.getBlob()
		case "blocklist":
			return c.getBlockList()
		}
	case http.MethodDelete:
		if c.comp == "" {
			return c.deleteBlob()
		}
	case http.MethodPut:
		return c.onPut()
	case http.MethodPost:
	default:
		return unsupportedVerb()
	}
	return notImplemented()
}

// onPut routes PUT on a blob by the comp parameter.
func (c *call) onPut() error {
	switch c.comp {
	case "":
		return c.putBlob()
	case "block":
		return c.putBlock()
	case "blocklist":
		return c.putBlockList()
	case "appendblock":
		return c.appendBlock()
	case "metadata":
		return c.setMetadata()
	case "properties":
		return c.setProperties()
	case "snapshot":
		return c.snapshot()
	case "lease":
		return c.leaseBlob()
	case "tier":
		return c.setTier()
	}
	return notImplemented()
}
