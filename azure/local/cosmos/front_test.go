package cosmos

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// testKey is the key that the public emulator is known for; the front below verifies nothing.
const testKey = "C2y6yDjf5/R+ob0N8A7Cgv30VRDJIWEHLM+4QDU5DE2nQ9nDuVTqobD4b8mGGyPMbIZnqyMsEcaGQy67XIw/Jw=="

// fakeClock is a clock that tests move.
type fakeClock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *fakeClock { return &fakeClock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// env is a server behind a real loopback listener, and an official client.
type env struct {
	t      *testing.T
	s      *Server
	web    *httptest.Server
	client *azcosmos.Client
	full   *azcosmos.Client // reads change feeds in all-versions-and-deletes mode
	clock  *fakeClock
}

func newEnv(t *testing.T, change func(*Config)) *env {
	t.Helper()
	clock := newClock()
	cfg := Config{Dir: "cosmos", FS: vfs.NewMem(), Clock: clock.Now}
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	e := serve(t, s)
	e.clock = clock
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return e
}

// serve puts a listener before s; s itself is the caller's to close.
func serve(t *testing.T, s *Server) *env {
	t.Helper()
	web := httptest.NewServer(s)
	t.Cleanup(web.Close)
	return &env{t: t, s: s, web: web, client: newClient(t, web.URL), full: newClient(t, web.URL,
		fullFidelity{})}
}

func newClient(t *testing.T, url string, policies ...policy.Policy) *azcosmos.Client {
	t.Helper()
	cred, err := azcosmos.NewKeyCredential(testKey)
	if err != nil {
		t.Fatal(err)
	}
	o := &azcosmos.ClientOptions{EnableContentResponseOnWrite: true}
	o.Retry = policy.RetryOptions{MaxRetries: -1}
	o.PerRetryPolicies = policies
	c, err := azcosmos.NewClientWithKey(url, cred, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// fullFidelity turns change feed reads into the all-versions-and-deletes mode, which the Go SDK has
// no option for.
type fullFidelity struct{}

func (fullFidelity) Do(req *policy.Request) (*http.Response, error) {
	h := req.Raw().Header
	if h.Get("A-IM") == "Incremental Feed" && req.Raw().Method == http.MethodGet && !isRanges(req) {
		h.Set("A-IM", "Full-Fidelity Feed")
		h.Set("x-ms-cosmos-changefeed-wire-format-version", "2021-09-15")
		if h.Get("If-None-Match") == "" {
			h.Set("If-None-Match", "*")
		}
	}
	return req.Next()
}

func isRanges(req *policy.Request) bool {
	p := req.Raw().URL.Path
	return len(p) > 9 && p[len(p)-9:] == "/pkranges"
}

// container provisions db/items with the partition key /pk and returns its client.
func (e *env) container(spec ContainerSpec) *azcosmos.ContainerClient {
	e.t.Helper()
	if err := e.s.EnsureDatabase("db"); err != nil {
		e.t.Fatal(err)
	}
	if spec.ID == "" {
		spec.ID = "items"
	}
	if spec.PartitionKeyPaths == nil {
		spec.PartitionKeyPaths = []string{"/pk"}
	}
	if err := e.s.EnsureContainer("db", spec); err != nil {
		e.t.Fatal(err)
	}
	return e.containerClient(e.client, spec.ID)
}

func (e *env) containerClient(c *azcosmos.Client, id string) *azcosmos.ContainerClient {
	e.t.Helper()
	col, err := c.NewContainer("db", id)
	if err != nil {
		e.t.Fatal(err)
	}
	return col
}

func key(s string) azcosmos.PartitionKey { return azcosmos.NewPartitionKeyString(s) }

// statusOf is the HTTP status of an SDK's error; 0 when there is none.
func statusOf(err error) int {
	var re *azcore.ResponseError
	if asResponse(err, &re) {
		return re.StatusCode
	}
	return 0
}

func (e *env) must(err error) {
	e.t.Helper()
	if err != nil {
		e.t.Fatal(err)
	}
}

func background() context.Context { return context.Background() }
