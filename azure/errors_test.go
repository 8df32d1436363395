package azure

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/azure/local/cosmos"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/cloud/cloudtest"
)

var orders = proa.Schema{Table: "orders", HashName: "id", HashKind: proa.KindS}

func orderKey(id string) proa.Key { return proa.Key{Table: "orders", Hash: proa.String(id)} }

// intercepted is a local Cosmos DB behind answer, which may answer a request itself.
func intercepted(t *testing.T, answer func(w http.ResponseWriter, r *http.Request) bool) Config {
	t.Helper()
	server, err := cosmos.New(cosmos.Config{Dir: t.TempDir(), Clock: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	listener := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !answer(w, r) {
			server.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(func() {
		listener.Close()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	c := Config{Timeout: 20 * time.Second, CosmosEndpoint: listener.URL, CosmosKey: proa.NewSecret(testKey)}
	createDatabase(t, c)
	createTable(t, c, orders)
	return c
}

func refuseWith(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"code":%q,"message":"no"}`, code)
}

func TestAnAccountWithoutAllVersionsFallsBackAndSaysSo(t *testing.T) {
	c := intercepted(t, func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("A-IM") != "Full-Fidelity Feed" {
			return false
		}
		refuseWith(w, http.StatusBadRequest, "BadRequest")
		return true
	})
	feed := openFeed(t, c, orders)
	cursor, err := feed.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if warning := feed.Warning(cursor); !strings.Contains(warning, "deletes") {
		t.Errorf("warning %q", warning)
	}
	cloudtest.RunFeed(t, openTable(t, c, orders), func(t *testing.T) cloud.Feed { return openFeed(t, c, orders) },
		cloudtest.FeedShows{})
}

func TestAPlaceThatIsNoLongerRetainedIsAGap(t *testing.T) {
	gone := false
	c := intercepted(t, func(w http.ResponseWriter, r *http.Request) bool {
		if !gone || r.Header.Get("A-IM") != "Full-Fidelity Feed" {
			return false
		}
		refuseWith(w, http.StatusBadRequest, "BadRequest")
		return true
	})
	feed := openFeed(t, c, orders)
	cursor, err := feed.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if warning := feed.Warning(cursor); warning != "" {
		t.Errorf("warning %q", warning)
	}
	gone = true
	if _, err := feed.Read(t.Context(), cursor); !errors.Is(err, proa.ErrFeedGap) {
		t.Errorf("got %v", err)
	}
	other := strings.Replace(cursor, `"resourceId":"`, `"resourceId":"x`, 1)
	if _, err := feed.Read(t.Context(), other); !errors.Is(err, proa.ErrFeedGap) {
		t.Errorf("a cursor of another container: %v", err)
	}
}

func TestForeignDocumentsAtNoKeyAreLeftOutAndCounted(t *testing.T) {
	c := intercepted(t, func(http.ResponseWriter, *http.Request) bool { return false })
	feed := openFeed(t, c, orders)
	cursor, err := feed.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	container, err := cosmosClient(t, c).NewContainer("proa", "orders")
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"a~x41", "fine"} { // nobody escapes an A
		doc := fmt.Appendf(nil, `{"id":%q}`, id)
		if _, err := container.CreateItem(t.Context(), partition(id), doc, nil); err != nil {
			t.Fatal(err)
		}
	}
	batch, err := feed.Read(t.Context(), cursor)
	if err != nil || len(batch.Changes) != 1 || batch.Changes[0].Key.Hash.Str != "fine" || feed.Skipped() != 1 {
		t.Errorf("feed: %+v, %v, skipped %d", batch, err, feed.Skipped())
	}
	rows, _, err := openTable(t, c, orders).Scan(t.Context(), "", 10)
	if err != nil || len(rows) != 1 {
		t.Errorf("scan: %+v, %v", rows, err)
	}
}

func TestVendorStatusesBecomeSentinels(t *testing.T) {
	status := 0
	c := intercepted(t, func(w http.ResponseWriter, r *http.Request) bool {
		if status == 0 || !strings.Contains(r.URL.Path, "/docs/") {
			return false
		}
		w.Header().Set("X-Ms-Substatus", "1003")
		refuseWith(w, status, "Code")
		return true
	})
	c.Attempts = 1
	table := openTable(t, c, orders)
	for code, want := range map[int]error{
		400: proa.ErrInvalid, 401: proa.ErrUnauthorized, 404: proa.ErrNotFound, 413: proa.ErrTooLarge, 429: proa.ErrThrottled,
		449: proa.ErrConflict, 500: proa.ErrUnavailable, 503: proa.ErrUnavailable,
	} {
		status = code
		_, err := table.Get(t.Context(), orderKey("1"))
		var typed *proa.Error
		if !errors.Is(err, want) || !errors.As(err, &typed) || typed.Key != "orders/1" || typed.Region != proa.Azure {
			t.Errorf("%d: got %v, want %v", code, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("%d: more than a line: %v", code, err)
		}
	}
}

func TestADeadCloudIsUnavailableWithinTheTimeout(t *testing.T) {
	server := httptest.NewServer(nil)
	server.Close()
	c := Config{Timeout: time.Second, CosmosEndpoint: server.URL, CosmosKey: proa.NewSecret(testKey)}
	began := time.Now()
	_, err := openTable(t, c, orders).Get(t.Context(), orderKey("1"))
	if !errors.Is(err, proa.ErrUnavailable) || time.Since(began) > 3*time.Second {
		t.Errorf("table after %v: %v", time.Since(began), err)
	}
	release := make(chan struct{})
	hanging := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer hanging.Close()
	defer close(release)
	c.Timeout = 200 * time.Millisecond
	c.CosmosEndpoint = hanging.URL
	began = time.Now()
	_, err = openTable(t, c, orders).Get(t.Context(), orderKey("1"))
	if !errors.Is(err, proa.ErrUnavailable) || time.Since(began) > 2*time.Second {
		t.Errorf("hanging, after %v: %v", time.Since(began), err)
	}
}

func TestATableComesBackAfterAnOutage(t *testing.T) {
	var down atomic.Bool
	c := intercepted(t, func(w http.ResponseWriter, r *http.Request) bool {
		if down.Load() {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				_ = conn.Close()
			}
		}
		return down.Load()
	})
	c.Timeout = time.Second
	table := openTable(t, c, orders)
	if _, err := table.Get(t.Context(), orderKey("1")); err != nil {
		t.Fatal(err)
	}
	down.Store(true)
	if _, err := table.Get(t.Context(), orderKey("1")); !errors.Is(err, proa.ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
	down.Store(false)
	began := time.Now()
	if _, err := table.Get(t.Context(), orderKey("1")); err != nil || time.Since(began) > 2*time.Second {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
}

func TestACloudThatWasDownAtOurStartIsReachedOnceItIsUp(t *testing.T) {
	var down atomic.Bool
	c := intercepted(t, func(w http.ResponseWriter, r *http.Request) bool {
		if down.Load() {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				_ = conn.Close()
			}
		}
		return down.Load()
	})
	c.Timeout = time.Second
	table, feed := openTable(t, c, orders), openFeed(t, c, orders)
	down.Store(true)
	if _, err := table.Get(t.Context(), orderKey("1")); !errors.Is(err, proa.ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
	if _, err := feed.Now(t.Context()); !errors.Is(err, proa.ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
	down.Store(false)
	if _, err := table.Get(t.Context(), orderKey("1")); err != nil {
		t.Errorf("table: %v", err)
	}
	if _, err := feed.Now(t.Context()); err != nil {
		t.Errorf("feed: %v", err)
	}
}

func TestConfigErrorsDoNotQuoteSecrets(t *testing.T) {
	c := Config{StorageConnection: proa.NewSecret("AccountKey=hunter2"), CosmosKey: proa.NewSecret("hunter2 is no base64")}
	_, err1 := NewBucket(c, "b")
	_, err2 := NewTable(c, orders)
	for _, err := range []error{err1, err2} {
		if !errors.Is(err, proa.ErrInvalidConfig) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("got %v", err)
		}
	}
	if text := fmt.Sprintf("%v %+v %#v", c, c, c); strings.Contains(text, "hunter2") {
		t.Errorf("leaks: %s", text)
	}
}
