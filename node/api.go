package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/console"
	"github.com/proa-cloud/proa/internal/telemetry"
)

const (
	maxBody     = 64 << 10
	maxRequests = 256 // at once, of people and of machines each
)

// announcePath is where functions announce acknowledged writes.
const announcePath = "/v1/announce"

// api is the node's control API: HTTP, JSON, every route behind a bearer token. The announcement route has a token of its own, which
// functions hold and which opens nothing else.
type api struct {
	node   *node
	ln     net.Listener
	http   *http.Server
	inside http.Handler // for what has been let in: by its token, or as a node by its certificate
}

func (n *node) listen() (*api, error) {
	addr := n.cfg.Node.Control
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, &proa.Error{Op: "listen on " + addr, Err: err, Hint: "give another address in node.control"}
	}
	a := &api{node: n, ln: ln}
	control, announce := n.cfg.Node.ControlToken, n.cfg.Node.AnnounceToken
	mux := http.NewServeMux()
	for pattern, handle := range map[string]handler{
		"GET /v1/status":    a.status,
		"GET " + clocksPath: a.clocks,
		"GET /v1/explain":   a.explain,

		"GET /v1/explain/answer": a.explainAnswer,
		"POST /v1/plan/dry-run":  a.dryRun,

		"GET /v1/conflicts": a.conflicts,
		"GET /v1/diff":      a.diff,
		"POST /v1/verify":   a.verify,
		"POST /v1/traffic":  a.command,
		"GET /v1/metrics":   a.metrics,
		"GET /v1/config":    a.node.reload.get,

		"GET /v1/alive":          a.alive,
		"GET /v1/cluster":        a.cluster,
		"POST /v1/cluster/force": a.forceCluster,
	} {
		mux.Handle(pattern, requireToken(control, n.routed(pattern, serve(handle))))
	}
	for pattern, handle := range a.validationRoutes() {
		mux.Handle(pattern, requireToken(control, n.routed(pattern, serve(handle))))
	}
	for pattern, handle := range a.dataRoutes() {
		mux.Handle(pattern, requireToken(control, n.routed(pattern, serve(handle))))
	}
	n.picture.routes(mux, control, announce)
	n.auditRoutes(mux)
	mux.Handle("POST "+announcePath, requireToken(announce, serve(a.announce)))
	mux.Handle("POST "+leasePath, requireToken(announce, serve(a.lease)))
	a.inside = limitBodies(limitRequests(n.audited(mux)))
	a.http = &http.Server{
		Handler:           fromOutside(control, announce, bodyPatience, a.inside),
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
	n.api = a
	return a, nil
}

// limitBodies bounds a request's body: an order that carries an item may be as large as one.
func limitBodies(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		most := int64(maxBody)
		switch {
		case r.URL.Path == "/v1/conflicts/settle":
			most = maxDataBody
		case strings.HasPrefix(r.URL.Path, "/v1/drills/"):
			most = console.MaxDrill
		}
		r.Body = http.MaxBytesReader(w, r.Body, most)
		next.ServeHTTP(w, r)
	})
}

func (a *api) run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if a.http.Shutdown(ctx) != nil {
			a.http.Close()
		}
	})
	defer stop()
	if err := a.http.Serve(a.ln); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("control API: %w", err)
	}
	return nil
}

// handler answers one request with a body to encode, or an error.
type handler func(r *http.Request) (any, error)

func serve(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := h(r)
		w.Header().Set("Content-Type", "application/json")
		if err != nil {
			w.WriteHeader(statusOf(err))
			body = map[string]string{"error": err.Error()}
		}
		_ = json.NewEncoder(w).Encode(body) // the client has gone: nobody is left to tell
	})
}

func statusOf(err error) int {
	switch {
	case errors.Is(err, proa.ErrInvalid), errors.Is(err, proa.ErrNotFound):
		return http.StatusBadRequest
	case errors.Is(err, proa.ErrConflict):
		return http.StatusConflict
	case errors.Is(err, proa.ErrNotOwner):
		return http.StatusMisdirectedRequest
	case errors.Is(err, proa.ErrUnavailable):
		return http.StatusServiceUnavailable
	case errors.Is(err, proa.ErrThrottled):
		return http.StatusTooManyRequests
	}
	return http.StatusInternalServerError
}

// requireToken refuses whoever does not send the token. An empty token opens nothing.
func requireToken(token proa.Secret, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !bears(r, token) {
			unauthorized(w)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// limitRequests answers 503 past maxRequests at once. What functions and clouds send by the thousand, and
// what people ask, have places of their own: a flood of writes must not keep an operator out.
func limitRequests(next http.Handler) http.Handler {
	people, machines := make(chan struct{}, maxRequests), make(chan struct{}, maxRequests)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		slots := people
		switch r.URL.Path {
		case announcePath, leasePath, telemetry.CountersPath, telemetry.TracesPath:
			slots = machines
		}
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
			next.ServeHTTP(w, r)
		default:
			http.Error(w, `{"error":"too many requests at once"}`, http.StatusServiceUnavailable)
		}
	})
}

// decode reads a JSON body strictly.
func decode(r *http.Request, into any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("request body: %w: %w", proa.ErrInvalid, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("request body: more than one value: %w", proa.ErrInvalid)
	}
	return nil
}
