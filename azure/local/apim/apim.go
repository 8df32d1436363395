// Package apim is the local API Management gateway: it matches requests to APIs and operations,
// checks subscription keys, and forwards to function apps.
//
// It has the size limit and the error bodies of the vendor's gateway. Policies (CORS, JWT
// validation, rewriting) are out of scope: what the gateway forwards is what came.
package apim

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Limits of the gateway. The Consumption tier takes 2 GiB bodies but forwards for 240 s at most
// (https://learn.microsoft.com/azure/api-management/service-limits);
// https://learn.microsoft.com/azure/api-management/forward-request-policy.
const (
	MaxBody        = 2 << 30
	MaxURL         = 4096
	DefaultTimeout = 230 * time.Second
)

// API is one published API.
type API struct {
	Name                 string
	Path                 string   // URL suffix without slashes around it; "" takes every path
	Hosts                []string // every host when empty
	Backend              string   // function app
	SubscriptionRequired bool
	SubscriptionKeys     []string
	Operations           []Operation   // everything when empty
	Timeout              time.Duration // DefaultTimeout when 0
}

// Operation is a method ("*" for any) and a URL template such as /orders/{id} or /*.
type Operation struct{ Method, URLTemplate string }

// Config describes the gateway.
type Config struct {
	// Backend finds the handler of a function app.
	Backend func(name string) http.Handler
	Clock   func() time.Time
	Logger  *slog.Logger // nil discards
	// Record counts a measurement of one of the gateway's metrics; dimensions are name and value in
	// turn. Nil for nobody.
	Record func(metric string, value float64, dimensions ...string)
}

// Gateway answers the requests to all APIs.
type Gateway struct {
	backend func(string) http.Handler
	clock   func() time.Time
	logger  *slog.Logger
	record  func(string, float64, ...string)
	apis    atomic.Pointer[[]API]
}

// New makes a gateway without APIs.
func New(c Config) (*Gateway, error) {
	if c.Backend == nil || c.Clock == nil {
		return nil, errors.New("apim: Backend and Clock are required")
	}
	g := &Gateway{backend: c.Backend, clock: c.Clock, logger: c.Logger, record: c.Record}
	if g.logger == nil {
		g.logger = slog.New(slog.DiscardHandler)
	}
	if g.record == nil {
		g.record = func(string, float64, ...string) {}
	}
	g.apis.Store(&[]API{})
	return g, nil
}

// SetAPIs replaces all APIs at once; requests under way keep theirs.
func (g *Gateway) SetAPIs(apis []API) {
	sorted := slices.Clone(apis)
	// The longest suffix is tried first.
	slices.SortStableFunc(sorted, func(a, b API) int { return len(b.Path) - len(a.Path) })
	g.apis.Store(&sorted)
}

// ServeHTTP answers one request.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := g.clock()
	out := &observer{ResponseWriter: w}
	api, operation := "", ""
	defer func() {
		failed := recover()
		if failed != nil && out.status == 0 {
			out.status = http.StatusInternalServerError
		}
		g.measure(out, api, operation, g.clock().Sub(began))
		if failed != nil {
			panic(failed) // the server breaks the connection off
		}
	}()
	api, operation = g.serve(out, r)
}

func (g *Gateway) serve(w *observer, r *http.Request) (apiName, operation string) {
	if len(r.URL.RequestURI()) > MaxURL {
		refuse(w, http.StatusRequestURITooLong, "Request URL is too long.")
		return "", ""
	}
	api, rest, op := g.match(r)
	if api == nil {
		refuse(w, http.StatusNotFound, "Resource not found")
		return "", ""
	}
	if api.SubscriptionRequired && !g.subscribed(w, r, api) {
		return api.Name, op
	}
	if r.ContentLength > MaxBody {
		w.Header().Set("Connection", "close")
		refuse(w, http.StatusRequestEntityTooLarge, "Request entity too large")
		return api.Name, op
	}
	r.Body = http.MaxBytesReader(w, r.Body, MaxBody)
	g.forward(w, r, api, rest)
	return api.Name, op
}

// match finds the API and operation of a request, and the path below the API's suffix.
func (g *Gateway) match(r *http.Request) (api *API, rest, operation string) {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	path := r.URL.EscapedPath()
	apis := *g.apis.Load()
	for i := range apis {
		a := &apis[i]
		if len(a.Hosts) > 0 && !slices.ContainsFunc(a.Hosts, func(h string) bool {
			return strings.EqualFold(h, host)
		}) {
			continue
		}
		rest, ok := below(path, a.Path)
		if !ok {
			continue
		}
		if len(a.Operations) == 0 {
			return a, rest, "*"
		}
		for _, op := range a.Operations {
			if (op.Method == "*" || op.Method == r.Method) && fits(op.URLTemplate, rest) {
				return a, rest, op.Method + " " + op.URLTemplate
			}
		}
	}
	return nil, "", ""
}

// below returns the part of a path after a suffix that ends at a segment's end.
func below(path, suffix string) (string, bool) {
	if suffix == "" {
		return path, true
	}
	rest, ok := cutPrefixFold(path, "/"+suffix)
	if !ok || rest != "" && rest[0] != '/' {
		return "", false
	}
	if rest == "" {
		rest = "/"
	}
	return rest, true
}

func cutPrefixFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return "", false
	}
	return s[len(prefix):], true
}

// fits reports whether a path fits a URL template: {name} takes one segment, a last * takes the
// rest.
func fits(template, path string) bool {
	want := strings.Split(strings.Trim(template, "/"), "/")
	got := strings.Split(strings.Trim(path, "/"), "/")
	for i, w := range want {
		if w == "*" && i == len(want)-1 {
			return len(got) >= i
		}
		if i >= len(got) {
			return false
		}
		parameter := strings.HasPrefix(w, "{") && strings.HasSuffix(w, "}")
		if parameter && got[i] == "" || !parameter && !strings.EqualFold(w, got[i]) {
			return false
		}
	}
	return len(want) == len(got)
}

const keyHeader, keyQuery = "Ocp-Apim-Subscription-Key", "subscription-key"

// subscribed checks the key of a request and answers a refusal itself.
func (g *Gateway) subscribed(w http.ResponseWriter, r *http.Request, api *API) bool {
	key := r.Header.Get(keyHeader)
	if key == "" {
		key = r.URL.Query().Get(keyQuery)
	}
	challenge := fmt.Sprintf(
		`AzureApiManagementKey realm="%s",name="%s",type="header"`,
		"https://"+r.Host+"/"+api.Path, keyHeader)
	if key == "" {
		w.Header().Set("WWW-Authenticate", challenge)
		refuse(w, http.StatusUnauthorized, "Access denied due to missing subscription key. Make sure "+
			"to include subscription key when making requests to an API.")
		return false
	}
	valid := 0
	for _, want := range api.SubscriptionKeys {
		valid |= subtle.ConstantTimeCompare([]byte(key), []byte(want))
	}
	if valid != 1 {
		w.Header().Set("WWW-Authenticate", challenge)
		refuse(w, http.StatusUnauthorized, "Access denied due to invalid subscription key. Make sure "+
			"to provide a valid key for an active subscription.")
		return false
	}
	return true
}

// forward passes a request on to the backend, without the gateway's own key.
func (g *Gateway) forward(w *observer, r *http.Request, api *API, rest string) {
	timeout := api.Timeout
	if timeout == 0 {
		timeout = DefaultTimeout
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	timer := time.AfterFunc(timeout, func() {
		if w.begin() { // the answer has not begun: it never will
			cancel()
		}
	})
	defer timer.Stop()
	out := r.Clone(ctx)
	out.URL.RawPath = rest
	if path, err := unescape(rest); err == nil {
		out.URL.Path = path
	}
	out.URL.RawQuery = withoutKey(r.URL.RawQuery)
	out.RequestURI = out.URL.RequestURI()
	out.Header.Del(keyHeader)
	began := g.clock()
	answer := &backendWriter{observer: w}
	g.backend(api.Backend).ServeHTTP(answer, out)
	if w.status == 0 {
		answer.WriteHeader(http.StatusOK) // an empty answer still has its headers
	}
	w.backend = g.clock().Sub(began)
	if w.late.Load() {
		refuseWith(w, http.StatusInternalServerError, "Internal server error", newID())
	}
}

// refuse answers with the gateway's error body.
func refuse(w http.ResponseWriter, status int, message string) {
	refuseWith(w, status, message, "")
}

func refuseWith(w http.ResponseWriter, status int, message, activity string) {
	body, _ := json.Marshal(struct { // always marshals
		Status   int    `json:"statusCode"`
		Message  string `json:"message"`
		Activity string `json:"activityId,omitempty"`
	}{status, message, activity})
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand crashes the program instead
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
