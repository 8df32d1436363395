package apim

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// observer remembers how a request was answered.
type observer struct {
	http.ResponseWriter
	status  int
	backend time.Duration
	begun   atomic.Bool // either the backend's answer has begun, or the gateway gave up on it
	late    atomic.Bool // the gateway gave up
}

// begin claims the answer for the gateway after a time-out; false when the backend was faster.
func (o *observer) begin() bool {
	if o.begun.Swap(true) {
		return false
	}
	o.late.Store(true)
	return true
}

// WriteHeader notes the final status.
func (o *observer) WriteHeader(status int) {
	if status >= 200 || status == http.StatusSwitchingProtocols {
		o.status = status
	}
	o.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach the connection.
func (o *observer) Unwrap() http.ResponseWriter { return o.ResponseWriter }

// backendWriter is what the backend answers into: nothing gets through once the gateway gave up.
// Its headers are its own until then, so that a late backend leaves no trace in the gateway's
// answer.
type backendWriter struct {
	*observer
	header http.Header
	dead   bool
}

// Header returns the backend's headers.
func (b *backendWriter) Header() http.Header {
	if b.header == nil {
		b.header = http.Header{}
	}
	return b.header
}

// WriteHeader begins the answer unless the gateway gave up before.
func (b *backendWriter) WriteHeader(status int) {
	if status < 200 && status != http.StatusSwitchingProtocols {
		return // informational answers stay behind
	}
	if b.dead || b.begun.Swap(true) && b.late.Load() {
		b.dead = true
		return
	}
	h := b.observer.Header()
	for name, values := range b.header {
		h[name] = values
	}
	b.header = h
	b.observer.WriteHeader(status)
}

// Write sends a part of the body.
func (b *backendWriter) Write(p []byte) (int, error) {
	if b.status == 0 {
		b.WriteHeader(http.StatusOK)
	}
	if b.dead {
		return 0, http.ErrHandlerTimeout
	}
	return b.observer.Write(p)
}

// Unwrap lets http.ResponseController flush.
func (b *backendWriter) Unwrap() http.ResponseWriter { return b.observer }

// measure publishes the gateway's metrics of one request.
func (g *Gateway) measure(o *observer, api, operation string, took time.Duration) {
	status := o.status
	if status == 0 {
		status = http.StatusOK
	}
	dimensions := []string{
		"GatewayResponseCode", strconv.Itoa(status),
		"GatewayResponseCodeCategory", strconv.Itoa(status/100) + "xx",
		"ApiId", api,
	}
	g.record("Requests", 1, dimensions...)
	g.record("Duration", float64(took)/float64(time.Millisecond), "ApiId", api)
	if o.backend > 0 {
		g.record("BackendDuration", float64(o.backend)/float64(time.Millisecond), "ApiId", api)
	}
	if status >= 400 {
		g.record("FailedRequests", 1, "ApiId", api)
	} else {
		g.record("SuccessfulRequests", 1, "ApiId", api)
	}
	g.logger.Debug("gateway request",
		"api", api, "operation", operation, "status", status, "took", took)
}

func unescape(path string) (string, error) { return url.PathUnescape(path) }

// withoutKey removes the subscription key from a query and leaves the rest as it was sent.
func withoutKey(query string) string {
	if !strings.Contains(query, keyQuery) {
		return query
	}
	var kept []string
	for part := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(part, "=")
		if name != keyQuery {
			kept = append(kept, part)
		}
	}
	return strings.Join(kept, "&")
}
