package functions

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"time"
)

// hostVersion is what the host says of itself.
const hostVersion = "4.1000.0"

// ServeHTTP routes one request to a function of the app.
func (a *app) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := a.host.clock()
	recorder := &statusRecorder{ResponseWriter: w}
	a.serve(recorder, r)
	a.host.record(a.Name, "Requests", 1)
	a.host.record(a.Name, "HttpResponseTime", a.host.clock().Sub(began).Seconds())
	if recorder.status >= 500 {
		a.host.record(a.Name, "Http5xx", 1)
	}
}

// statusRecorder remembers the status of an answer.
type statusRecorder struct {
	http.ResponseWriter
	status int
}

func (s *statusRecorder) WriteHeader(status int) {
	if status >= 200 || status == http.StatusSwitchingProtocols {
		s.status = status
	}
	s.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach the connection.
func (s *statusRecorder) Unwrap() http.ResponseWriter { return s.ResponseWriter }

func (a *app) serve(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	limit := int64(a.Concurrency)
	if limit == 0 {
		limit = defaultOutstanding
	}
	a.mu.Lock()
	if c := a.code; c != nil && a.Concurrency == 0 {
		limit = int64(c.outstanding)
	}
	a.mu.Unlock()
	defer a.busy.Add(-1)
	if a.busy.Add(1) > limit {
		w.Header().Set("Retry-After", "1")
		http.Error(w, "429 Too Many Requests", http.StatusTooManyRequests)
		return
	}
	c, address, err := a.worker(ctx)
	if err != nil {
		if r.Context().Err() == nil {
			http.Error(w, "Function host is not running.", http.StatusServiceUnavailable)
		}
		return
	}
	f, params := c.find(r)
	if f == nil {
		w.Header().Set("Content-Length", "0")
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if !a.admits(f, r) {
		w.Header().Set("Content-Length", "0")
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if r.ContentLength > maxRequestBody {
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxRequestBody)
	a.host.record(a.Name, "FunctionExecutionCount", 1)
	if c.proxy {
		a.proxy(w, r.WithContext(ctx), address, c.timeout, cancel)
		return
	}
	a.invoke(w, r.WithContext(ctx), address, f, params, c.timeout)
}

// worker waits until the app has a worker that answers, and takes the next in turn. It fails as
// soon as the app has failed.
func (a *app) worker(ctx context.Context) (*code, string, error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		a.mu.Lock()
		c, failure, news := a.code, a.failure, a.news
		ready := make([]int, 0, len(a.workers))
		for n := range a.workers {
			ready = append(ready, n)
		}
		slices.Sort(ready)
		address := ""
		if len(ready) > 0 {
			address = a.workers[ready[a.turn.Add(1)%uint64(len(ready))]]
		}
		a.mu.Unlock()
		switch {
		case address != "":
			return c, address, nil
		case failure != nil:
			return nil, "", failure
		}
		select {
		case <-news:
		case <-ctx.Done():
			return nil, "", ctx.Err()
		}
	}
}

func (c *code) find(r *http.Request) (*function, map[string]string) {
	for _, f := range c.functions {
		if len(f.methods) > 0 && !slices.Contains(f.methods, r.Method) {
			continue
		}
		if params, ok := f.route.match(r.URL.Path); ok {
			return f, params
		}
	}
	return nil, nil
}

// admits checks the key of a function that is not anonymous.
func (a *app) admits(f *function, r *http.Request) bool {
	if f.level == "anonymous" {
		return true
	}
	key := r.Header.Get("x-functions-key")
	if key == "" {
		key = r.URL.Query().Get("code")
	}
	admitted := 0
	for name, want := range a.HostKeys {
		if f.level == "function" || name == "master" {
			admitted |= subtle.ConstantTimeCompare([]byte(key), []byte(want))
		}
	}
	return key != "" && admitted == 1
}

// proxy passes the request on as it is and streams the answer back.
func (a *app) proxy(
	w http.ResponseWriter, r *http.Request, address string, timeout time.Duration,
	cancel context.CancelFunc,
) {
	timer := time.AfterFunc(timeout, cancel)
	defer timer.Stop()
	proxy := &httputil.ReverseProxy{
		Transport:     a.transport,
		FlushInterval: -1,
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.Scheme, p.Out.URL.Host = "http", address
			p.Out.Host = a.hostName()
			p.Out.URL.RawQuery = p.In.URL.RawQuery // as it was sent, even where Go would not parse it
			p.Out.Header["X-Forwarded-For"] = p.In.Header["X-Forwarded-For"]
			p.SetXForwarded()
			setHostHeaders(p.Out.Header, p.In)
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			a.proxyFailed(w, r, err, !timer.Stop())
		},
		ErrorLog: slog.NewLogLogger(a.host.logger.Handler(), slog.LevelDebug),
	}
	proxy.ServeHTTP(w, r)
}

// setHostHeaders adds what the platform tells a function, and takes away what only the platform may tell: callers cannot say who they
// are (https://learn.microsoft.com/azure/app-service/configure-authentication-user-identities).
func setHostHeaders(h http.Header, in *http.Request) {
	for name := range h {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "x-ms-client-principal") ||
			strings.HasPrefix(lower, "x-ms-token-") || strings.HasPrefix(lower, "x-azure-functions-") {
			delete(h, name)
		}
	}
	h.Set("X-Azure-Functions-InvocationId", newID())
	h.Set("X-Azure-Functions-HostVersion", hostVersion)
	h.Set("X-ARR-LOG-ID", newID())
	h.Set("X-Original-URL", in.URL.RequestURI())
	h.Set("DISGUISED-HOST", in.Host)
	if host, _, err := net.SplitHostPort(in.RemoteAddr); err == nil {
		h.Set("CLIENT-IP", host)
	}
}

func (a *app) proxyFailed(w http.ResponseWriter, r *http.Request, err error, late bool) {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusRequestEntityTooLarge)
	case late:
		a.host.logger.Error("function timed out", "app", a.Name, "path", r.URL.Path)
		w.WriteHeader(http.StatusGatewayTimeout)
	case errors.Is(err, context.Canceled): // the client went away
		w.WriteHeader(http.StatusBadGateway)
	default:
		a.host.logger.Error("custom handler failed", "app", a.Name, "path", r.URL.Path, "error", err)
		w.WriteHeader(http.StatusBadGateway)
	}
}

func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand crashes the program instead
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// scheme is how the request came.
func scheme(r *http.Request) string {
	if r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https") {
		return "https"
	}
	return "http"
}

func fullURL(r *http.Request) string {
	u := url.URL{
		Scheme: scheme(r), Host: r.Host, Path: r.URL.Path, RawPath: r.URL.RawPath,
		RawQuery: r.URL.RawQuery,
	}
	return u.String()
}
