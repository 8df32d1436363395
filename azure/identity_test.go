package azure_test

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/proa-cloud/proa/azure"
)

// tenant is a sign-in service and a storage account that want its tokens. A managed identity of App
// Service is asked for at IDENTITY_ENDPOINT.
type tenant struct {
	mu        sync.Mutex
	resources []string
	tokens    []string
}

func (s *tenant) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.URL.Path == "/msi/token" {
		s.resources = append(s.resources, r.URL.Query().Get("resource"))
		if r.Header.Get("X-Identity-Header") != "header" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{
			"access_token": "token-of-the-machine", "expires_on": "4102444800", "token_type": "Bearer",
			"resource": r.URL.Query().Get("resource"),
		})
		return
	}
	s.tokens = append(s.tokens, r.Header.Get("Authorization"))
	w.Header().Set("X-Ms-Error-Code", "BlobNotFound")
	w.WriteHeader(http.StatusNotFound)
}

// serve is the tenant's host, and makes it the one that machines ask for their identity.
func (s *tenant) serve(t *testing.T) *httptest.Server {
	t.Helper()
	server := httptest.NewTLSServer(s)
	t.Cleanup(server.Close)
	for name, value := range map[string]string{
		"IDENTITY_ENDPOINT": server.URL + "/msi/token", "IDENTITY_HEADER": "header",
		"AZURE_TOKEN_CREDENTIALS": "ManagedIdentityCredential",
	} {
		t.Setenv(name, value)
	}
	return server
}

func TestWithoutAKeyTheMachinesIdentitySignsIn(t *testing.T) {
	s := &tenant{}
	server := s.serve(t)
	bucket, err := azure.NewBucket(azure.Config{
		StorageEndpoint: server.URL, HTTPClient: server.Client(),
	}, "receipts")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bucket.Head(t.Context(), "a"); err == nil || !strings.Contains(err.Error(), "not found") {
		t.Fatalf("got %v", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.tokens) != 1 || s.tokens[0] != "Bearer token-of-the-machine" {
		t.Errorf("called with %q", s.tokens)
	}
	if len(s.resources) != 1 || !strings.Contains(s.resources[0], "storage.azure.com") {
		t.Errorf("tokens for %q", s.resources)
	}
}

// TestNoticesAreFoundByTheirQueuesName has the machine's identity ask the queues' host of the account.
func TestNoticesAreFoundByTheirQueuesName(t *testing.T) {
	s := &tenant{}
	server := s.serve(t)
	hosts := make(chan string, 10)
	transport := server.Client().Transport.(*http.Transport).Clone()
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		hosts <- address
		return (&net.Dialer{}).DialContext(ctx, network, server.Listener.Addr().String())
	}
	transport.TLSClientConfig.ServerName = "example.com"
	notices, err := azure.NewNotices(azure.Config{
		StorageEndpoint: "https://orders.blob.core.windows.net/", HTTPClient: &http.Client{Transport: transport},
	}, "receipts", "changed")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := notices.Receive(t.Context(), 0); err == nil || !strings.Contains(err.Error(), "not found") {
		t.Errorf("got %v", err)
	}
	close(hosts)
	asked := ""
	for host := range hosts {
		asked += host + " "
	}
	if !strings.Contains(asked, "orders.queue.core.windows.net:443") {
		t.Errorf("asked %q", asked)
	}
}

func TestABucketNeedsAnAddress(t *testing.T) {
	if _, err := azure.NewNotices(azure.Config{}, "receipts", "q"); err == nil ||
		!strings.Contains(err.Error(), "storage endpoint") {
		t.Errorf("got %v", err)
	}
	if _, err := azure.NewBucket(azure.Config{}, "receipts"); err == nil || !strings.Contains(err.Error(), "storage endpoint") {
		t.Errorf("got %v", err)
	}
}
