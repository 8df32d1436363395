package supervisor

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/proa-cloud/proa"
)

// controlServer is the control socket: HTTP on loopback, every route behind the token.
type controlServer struct {
	ln   net.Listener
	http *http.Server
}

func (s *Supervisor) listenControl() (*controlServer, error) {
	ln, err := net.Listen("tcp", s.state.Addresses.Control)
	if err != nil {
		return nil, &proa.Error{Op: "listen on " + s.state.Addresses.Control, Err: err, Hint: "give another with --control-port, or use --ports auto"}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, r *http.Request) {
		reply(w, s.Status(r.Context()), nil)
	})
	s.faultRoutes(mux)
	s.drillRoutes(mux)
	mux.HandleFunc("POST /v1/stop", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, struct{}{}, nil)
		s.stopOnce.Do(func() { close(s.stop) })
	})
	return &controlServer{ln: ln, http: &http.Server{
		Handler:           requireToken(s.state.Token, s.audit.Watch(mux, ordered)),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		MaxHeaderBytes:    16 << 10,
	}}, nil
}

func (c *controlServer) close() { c.ln.Close() }

func (c *controlServer) run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = c.http.Shutdown(ctx)
	})
	defer stop()
	if err := c.http.Serve(c.ln); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("control socket: %w", err)
	}
	return nil
}

// requireToken refuses whoever does not send the bearer token.
func requireToken(token string, next http.Handler) http.Handler {
	want := []byte("Bearer " + token)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), want) != 1 {
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, `{"error":"missing or wrong token"}`, http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func reply(w http.ResponseWriter, body any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		w.WriteHeader(http.StatusConflict)
		body = map[string]string{"error": err.Error()}
	}
	_ = json.NewEncoder(w).Encode(body) // the client has gone: nobody is left to tell
}
