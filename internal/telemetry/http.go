package telemetry

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// ProbeAgent is the User-Agent of health probes, which are no users' requests and are not counted as such.
const ProbeAgent = "proa-health"

type probeKey struct{}

// IsProbe reports whether a request within its gateway is a health probe.
func IsProbe(ctx context.Context) bool { return ctx.Value(probeKey{}) != nil }

// Handler counts the requests that cross an arrow into next, begins or follows their traces, and hands the trace on in the
// request's traceparent header (https://www.w3.org/TR/trace-context/). An answer of 5xx or 429 counts as a failure.
func (r *Recorder) Handler(arrow Arrow, next http.Handler) http.Handler {
	if r == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.UserAgent() == ProbeAgent {
			next.ServeHTTP(w, req.WithContext(context.WithValue(req.Context(), probeKey{}, true)))
			return
		}
		began := time.Now()
		out := &statusWriter{ResponseWriter: w}
		req, span := r.follow(arrow, req)
		defer func() {
			err := out.failure()
			failed := recover()
			if failed != nil && err == nil {
				err = fmt.Errorf("%s %s: broken off", req.Method, req.URL.Path)
			}
			r.Observe(arrow, time.Since(began), err)
			finish(span, err)
			if failed != nil {
				panic(failed)
			}
		}()
		next.ServeHTTP(out, req)
	})
}

// follow continues the trace of the request's context, then of its header, or begins one where a token is left.
func (r *Recorder) follow(arrow Arrow, req *http.Request) (*http.Request, trace.Span) {
	ctx := req.Context()
	if !trace.SpanContextFromContext(ctx).IsValid() {
		ctx = propagation.TraceContext{}.Extract(ctx, propagation.HeaderCarrier(req.Header))
		remote := trace.SpanContextFromContext(ctx)
		now := r.clock()
		if !(remote.IsSampled() && r.remote.take(now)) && !(!remote.IsValid() && r.roots.take(now)) {
			return req, nil // not to be followed, or past the bound: a caller's trace goes on without us
		}
	}
	if parent := trace.SpanContextFromContext(ctx); parent.IsValid() && !parent.IsSampled() {
		return req, nil
	}
	ctx, span := r.start(ctx, arrow)
	req = req.Clone(ctx)
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(req.Header))
	return req, span
}

// Box counts the requests that a box answers, without following them.
func (r *Recorder) Box(box Box, next http.Handler) http.Handler {
	if r == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		began := time.Now()
		out := &statusWriter{ResponseWriter: w}
		defer func() { r.Observe(box, time.Since(began), out.failure()) }()
		next.ServeHTTP(out, req)
	})
}

// Continue puts the trace of a request's header into its context: what a function does first.
func Continue(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("Traceparent") != "" {
			carrier := propagation.HeaderCarrier(req.Header)
			req = req.WithContext(propagation.TraceContext{}.Extract(req.Context(), carrier))
		}
		next.ServeHTTP(w, req)
	})
}

// statusWriter remembers the answer's status.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *statusWriter) failure() error {
	if w.status >= 500 || w.status == http.StatusTooManyRequests {
		return fmt.Errorf("answered %d %s", w.status, http.StatusText(w.status))
	}
	return nil
}
