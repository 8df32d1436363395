package aws

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/proa-cloud/proa"
)

func orderKey(id string) proa.Key { return proa.Key{Table: "orders", Hash: proa.String(id)} }

func TestVendorCodesBecomeSentinels(t *testing.T) {
	var code string
	status := 400
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"__type":"com.amazonaws.dynamodb.v20120810#%s","message":"Item size has exceeded or not"}`, code)
	}))
	defer server.Close()
	c := testConfig(server.URL)
	c.Attempts = 1
	table := openTable(t, c, orders)
	for _, e := range []struct {
		code   string
		status int
		want   error
	}{
		{"ResourceNotFoundException", 400, proa.ErrNotFound},
		{"ProvisionedThroughputExceededException", 400, proa.ErrThrottled},
		{"ThrottlingException", 400, proa.ErrThrottled},
		{"ValidationException", 400, proa.ErrTooLarge},
		{"SerializationException", 400, proa.ErrInvalid},
		{"UnrecognizedClientException", 400, proa.ErrUnauthorized},
		{"AccessDeniedException", 400, proa.ErrUnauthorized},
		{"UnknownOperationException", 400, proa.ErrUnsupported},
		{"InternalServerError", 500, proa.ErrUnavailable},
		{"SomethingNew", 503, proa.ErrUnavailable},
		{"SomethingNew", 413, proa.ErrTooLarge},
	} {
		code, status = e.code, e.status
		_, err := table.Get(t.Context(), orderKey("1"))
		var typed *proa.Error
		if !errors.Is(err, e.want) || !errors.As(err, &typed) || typed.Key != "orders/1" || typed.Region != proa.AWS {
			t.Errorf("%s: got %v, want %v", e.code, err, e.want)
		}
	}
}

func TestADeadCloudIsUnavailableAtOnce(t *testing.T) {
	server := httptest.NewServer(nil)
	server.Close()
	table := openTable(t, testConfig(server.URL), orders)
	began := time.Now()
	_, err := table.Get(t.Context(), orderKey("1"))
	if !errors.Is(err, proa.ErrUnavailable) || time.Since(began) > 3*time.Second {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
}

func TestAHangingCloudIsUnavailableAfterTheTimeout(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer server.Close()
	defer close(release)
	c := testConfig(server.URL)
	c.Timeout = 100 * time.Millisecond
	began := time.Now()
	_, err := openTable(t, c, orders).Get(t.Context(), orderKey("1"))
	if !errors.Is(err, proa.ErrUnavailable) || time.Since(began) > 2*time.Second {
		t.Errorf("table after %v: %v", time.Since(began), err)
	}
	bucket, err := NewBucket(t.Context(), c, "b")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err = bucket.Get(t.Context(), "o"); !errors.Is(err, proa.ErrUnavailable) {
		t.Errorf("bucket: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = openTable(t, c, orders).Get(ctx, orderKey("1")); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestABodyThatStandsStillFails(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "10")
		fmt.Fprint(w, "half")
		w.(http.Flusher).Flush()
		<-release
	}))
	defer server.Close()
	defer close(release)
	c := testConfig(server.URL)
	c.Timeout = 200 * time.Millisecond
	bucket, err := NewBucket(t.Context(), c, "b")
	if err != nil {
		t.Fatal(err)
	}
	_, content, err := bucket.Get(t.Context(), "o")
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	time.Sleep(2 * c.Timeout) // the caller's own slowness must not count
	if _, err := content.Read(make([]byte, 4)); err != nil {
		t.Fatalf("first bytes: %v", err)
	}
	if _, err := content.Read(make([]byte, 4)); !errors.Is(err, proa.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

func TestConfigDoesNotPrintItsSecret(t *testing.T) {
	c := testConfig("http://127.0.0.1:1")
	c.SecretAccessKey = proa.NewSecret("hunter2")
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("config", "config", c)
	for _, text := range []string{fmt.Sprintf("%v %+v %#v", c, c, c), log.String()} {
		if strings.Contains(text, "hunter2") {
			t.Errorf("leaks: %s", text)
		}
	}
}

func TestMalformedCursorsAreInvalid(t *testing.T) {
	for _, cursor := range []string{"x", "{}", "[]", `{"s":"arn"}`, "null"} {
		if _, err := parseCursor(cursor); !errors.Is(err, proa.ErrInvalid) {
			t.Errorf("%s: %v", cursor, err)
		}
	}
}
