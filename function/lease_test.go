package function

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/proa-cloud/proa"
)

// leases is a node that gives leases while it may.
func leases(t *testing.T, may *atomic.Bool, asked *atomic.Int64) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.FormValue("region") != "aws" || r.Header.Get("Authorization") != "Bearer secret" {
			t.Errorf("asked %s with %q", r.URL, r.Header.Get("Authorization"))
		}
		if !may.Load() {
			w.WriteHeader(http.StatusConflict)
			_, _ = w.Write([]byte(`{"error":"azure is the writer"}`))
			return
		}
		_, _ = w.Write([]byte(`{"lease_ms":300}`))
	}))
	t.Cleanup(s.Close)
	return s
}

func TestATableIsWrittenOnlyUnderALease(t *testing.T) {
	t.Parallel()
	var may atomic.Bool
	var asked atomic.Int64
	node := leases(t, &may, &asked)
	env := map[string]string{
		"PROA_FENCED_TABLES": "stock,orders", "PROA_ANNOUNCE_TOKEN": "secret",
		"PROA_LEASE_URL": "http://127.0.0.1:1/v1/lease," + node.URL, // a dead node and a living one
	}
	getenv := func(name string) string { return env[name] }
	if newLease(getenv, proa.AWS, "other") != nil {
		t.Error("a table that is not fenced asks for leases")
	}
	l := newLease(getenv, proa.AWS, "orders")
	if _, _, err := l.hold(t.Context()); !errors.Is(err, proa.ErrFenced) {
		t.Fatalf("without a lease: %v", err)
	}
	may.Store(true)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		ctx, cancel, err := l.hold(t.Context())
		if err == nil {
			if end, ok := ctx.Deadline(); !ok || time.Until(end) > 300*time.Millisecond {
				t.Errorf("the write may take until %s", end)
			}
			cancel()
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	may.Store(false)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		_, cancel, err := l.hold(t.Context())
		if err != nil {
			break
		}
		cancel()
		if time.Now().After(deadline) {
			t.Fatal("it writes on after its lease")
		}
	}
	before := asked.Load()
	for range 50 {
		if _, _, err := l.hold(t.Context()); err == nil {
			t.Fatal("it writes after its lease")
		}
	}
	if n := asked.Load() - before; n > 10 {
		t.Errorf("50 refused writes asked the node %d times", n)
	}
}
