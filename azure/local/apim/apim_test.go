package apim_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/proa-cloud/proa/azure/local/apim"
)

// gateway serves the APIs in front of a backend that tells what it got.
func gateway(t *testing.T, apis ...apim.API) (string, *metrics) {
	t.Helper()
	m := &metrics{}
	g, err := apim.New(apim.Config{
		Clock: time.Now, Record: m.record,
		Backend: func(name string) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("X-Backend", name)
				switch {
				case strings.HasSuffix(r.URL.Path, "/slow"):
					<-r.Context().Done()
					w.WriteHeader(http.StatusBadGateway)
				case strings.HasSuffix(r.URL.Path, "/empty"):
				case strings.HasSuffix(r.URL.Path, "/broken"):
					w.WriteHeader(http.StatusServiceUnavailable)
				default:
					_ = json.NewEncoder(w).Encode(map[string]any{
						"url": r.URL.RequestURI(), "key": r.Header.Get("Ocp-Apim-Subscription-Key"),
					})
				}
			})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	g.SetAPIs(apis)
	server := httptest.NewServer(g)
	t.Cleanup(server.Close)
	return server.URL, m
}

type metrics struct {
	mu   sync.Mutex
	seen map[string]float64
}

func (m *metrics) record(metric string, value float64, dimensions ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.seen == nil {
		m.seen = map[string]float64{}
	}
	if metric == "Duration" || metric == "BackendDuration" {
		value = 1
	}
	for i := 0; i+1 < len(dimensions); i += 2 {
		m.seen[metric+" "+dimensions[i]+"="+dimensions[i+1]] += value
	}
}

func get(t *testing.T, method, url string, h ...string) (int, string, http.Header) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(h); i += 2 {
		if h[i] == "Host" {
			r.Host = h[i+1]
		}
		r.Header.Set(h[i], h[i+1])
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, strings.TrimSpace(string(body)), response.Header
}

func TestRequestsReachTheirOperation(t *testing.T) {
	url, _ := gateway(t,
		apim.API{Name: "shop", Path: "shop/v1", Backend: "a", Operations: []apim.Operation{
			{"GET", "/orders"}, {"GET", "/orders/{id}"}, {"*", "/files/*"},
		}},
		apim.API{Name: "by host", Backend: "b", Hosts: []string{"b.example"}},
	)
	const notFound = `{"statusCode":404,"message":"Resource not found"}`
	for _, tc := range []struct{ method, path, host, status, body string }{
		{"GET", "/shop/v1/orders", "", "200", `"url":"/orders"`},
		{"GET", "/SHOP/v1/orders/", "", "200", `"url":"/orders/"`},
		{"GET", "/shop/v1/orders/a%2Fb?x=1&y", "", "200", `"url":"/orders/a%2Fb?x=1\u0026y"`},
		{"POST", "/shop/v1/orders", "", "404", notFound},
		{"GET", "/shop/v1/orders/1/2", "", "404", notFound},
		{"GET", "/shop/v10/orders", "", "404", notFound},
		{"PUT", "/shop/v1/files/a/b/c", "", "200", `"url":"/files/a/b/c"`},
		{"GET", "/", "", "404", notFound},
		{"DELETE", "/anything", "B.example:8080", "200", `"url":"/anything"`},
	} {
		h := []string{}
		if tc.host != "" {
			h = []string{"Host", tc.host}
		}
		status, body, _ := get(t, tc.method, url+tc.path, h...)
		if got := http.StatusText(status); !strings.Contains(body, tc.body) ||
			tc.status != "200" && got != "Not Found" {
			t.Errorf("%s %s is answered %d %s, want %s %s", tc.method, tc.path, status, body, tc.status, tc.body)
		}
	}
}

func TestASubscriptionKeyIsNeededAndKeptFromTheBackend(t *testing.T) {
	url, _ := gateway(t, apim.API{
		Name: "api", Backend: "a", SubscriptionRequired: true, SubscriptionKeys: []string{"k1", "k2"},
	})
	const keyed = "Ocp-Apim-Subscription-Key"
	status, body, h := get(t, "GET", url+"/x")
	want := `{"statusCode":401,"message":"Access denied due to missing subscription key. Make sure to ` +
		`include subscription key when making requests to an API."}`
	if status != 401 || body != want || h.Get("WWW-Authenticate") == "" {
		t.Errorf("without a key: %d %s", status, body)
	}
	status, body, _ = get(t, "GET", url+"/x", keyed, "k3")
	want = `{"statusCode":401,"message":"Access denied due to invalid subscription key. Make sure to ` +
		`provide a valid key for an active subscription."}`
	if status != 401 || body != want {
		t.Errorf("with a wrong key: %d %s", status, body)
	}
	for _, request := range [][]string{{"/x?a=b", keyed, "k2"}, {"/x?subscription-key=k1&a=b"}} {
		status, body, _ = get(t, "GET", url+request[0], request[1:]...)
		if diff := cmp.Diff(`{"key":"","url":"/x?a=b"}`, body); status != 200 || diff != "" {
			t.Errorf("with a key: %d %s", status, diff)
		}
	}
}

func TestABackendThatDoesNotAnswerIsGivenUp(t *testing.T) {
	url, _ := gateway(t, apim.API{Name: "api", Backend: "a", Timeout: 20 * time.Millisecond})
	status, body, h := get(t, "GET", url+"/slow")
	if status != 500 || !strings.Contains(body, `"message":"Internal server error"`) ||
		h.Get("X-Backend") != "" {
		t.Errorf("answered %d %s %v", status, body, h)
	}
	status, _, h = get(t, "GET", url+"/empty")
	if status != 200 || h.Get("X-Backend") != "a" {
		t.Errorf("an empty answer came as %d %v", status, h)
	}
}

func TestLimitsAreRefused(t *testing.T) {
	url, _ := gateway(t, apim.API{Name: "api", Backend: "a"})
	if status, _, _ := get(t, "GET", url+"/"+strings.Repeat("a", apim.MaxURL)); status != 414 {
		t.Errorf("too long a URL is answered %d", status)
	}
}

func TestEachRequestIsMeasured(t *testing.T) {
	url, m := gateway(t, apim.API{Name: "api", Path: "p", Backend: "a"})
	for _, path := range []string{"/p/x", "/p/x", "/p/broken", "/none"} {
		get(t, "GET", url+path)
	}
	// A request is measured after its answer was sent: ask until the last has been.
	deadline := time.Now().Add(5 * time.Second)
	for {
		m.mu.Lock()
		total := m.seen["Requests GatewayResponseCodeCategory=2xx"] +
			m.seen["Requests GatewayResponseCodeCategory=4xx"] + m.seen["Requests GatewayResponseCodeCategory=5xx"]
		seen := m.seen
		m.mu.Unlock()
		if total == 4 {
			for name, want := range map[string]float64{
				"Requests GatewayResponseCodeCategory=2xx": 2, "Requests GatewayResponseCode=503": 1,
				"FailedRequests ApiId=api": 1, "SuccessfulRequests ApiId=api": 2, "Duration ApiId=api": 3,
			} {
				if seen[name] != want {
					t.Errorf("%s is %v, want %v", name, seen[name], want)
				}
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("measured %v", seen)
		}
		time.Sleep(time.Millisecond)
	}
}
