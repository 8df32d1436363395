package console

import (
	"crypto/subtle"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"slices"

	"golang.org/x/net/netutil"
)

// policy is the page's Content-Security-Policy: everything comes from us, nothing is inline.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

func limit(l net.Listener) net.Listener { return netutil.LimitListener(l, maxConnections) }

// guard refuses requests for another host than ours and sets the headers that every answer has.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		h.Set("Cache-Control", "no-store")
		if !s.ours(r.Host) {
			refuse(w, http.StatusMisdirectedRequest, "this console is not served under that name; add it to node.console_hosts")
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		next.ServeHTTP(w, r)
	})
}

// ours reports whether a Host header names this console.
func (s *Server) ours(host string) bool {
	if slices.Contains(s.cfg.Hosts, host) || host == s.ln.Addr().String() {
		return true
	}
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		return false
	}
	_, mine, _ := net.SplitHostPort(s.ln.Addr().String())
	loopback := name == "localhost" || name == "127.0.0.1" || name == "::1"
	return slices.Contains(s.cfg.Hosts, name) || loopback && port == mine
}

// signedIn lets only sessions through; a change of state also needs the session's CSRF token and our own origin.
func (s *Server) signedIn(next func(http.ResponseWriter, *http.Request, session)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, ok := s.sessions.of(r)
		if !ok {
			refuse(w, http.StatusUnauthorized, "log in first: `proa console` makes a link")
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			token := []byte(r.Header.Get("X-Csrf-Token"))
			if subtle.ConstantTimeCompare(token, []byte(s.sessions.csrf(who))) != 1 || !s.sameOrigin(r) {
				refuse(w, http.StatusForbidden, "this request did not come from the console's own page; reload it")
				return
			}
		}
		next(w, r, who)
	})
}

// sameOrigin reports whether a request comes from a page of ours: browsers send Origin with every change of state.
func (s *Server) sameOrigin(r *http.Request) bool {
	u, err := url.Parse(r.Header.Get("Origin"))
	site := r.Header.Get("Sec-Fetch-Site")
	return err == nil && u.Host != "" && u.Host == r.Host && (site == "" || site == "same-origin")
}

func refuse(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": text}) // the client has gone: nobody is left to tell
}

func answer(w http.ResponseWriter, body any, err error) {
	if err != nil {
		refuse(w, http.StatusInternalServerError, err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body) // the client has gone: nobody is left to tell
}
