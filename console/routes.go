package console

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"
)

//go:embed web/dist web/*.html web/vendor/*/LICENSE
var web embed.FS

var pages = template.Must(template.ParseFS(web, "web/*.html"))

// handler routes everything.
func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.home)
	mux.HandleFunc("GET /assets/{name}", asset)
	mux.HandleFunc("GET /login", s.login)
	mux.HandleFunc("POST /login", s.loginByToken)
	mux.HandleFunc("GET /licences", licences)
	mux.Handle("POST /logout", s.signedIn(func(w http.ResponseWriter, _ *http.Request, who session) {
		s.sessions.end(w, who)
		answer(w, struct{}{}, nil)
	}))
	mux.Handle("GET /v1/events", s.signedIn(func(w http.ResponseWriter, r *http.Request, _ session) { s.feed.ServeHTTP(w, r) }))
	mux.Handle("GET /v1/session", s.signedIn(s.about))
	mux.Handle("GET /v1/history", s.signedIn(s.plots))
	mux.Handle("GET /v1/incidents", s.signedIn(func(w http.ResponseWriter, _ *http.Request, _ session) {
		answer(w, map[string]any{"incidents": s.watch.all()}, nil)
	}))
	mux.Handle("GET /v1/audit", s.signedIn(s.orders))
	mux.Handle("GET /v1/traces", s.signedIn(func(w http.ResponseWriter, r *http.Request, _ session) {
		answer(w, map[string]any{"traces": s.cfg.Collector.Recent(r.FormValue("arrow"), 20)}, nil)
	}))
	mux.Handle("POST /v1/faults/{verb}/{target}", s.signedIn(s.fault))
	mux.Handle("GET /v1/drills", s.signedIn(s.drills))
	mux.Handle("GET /v1/drills/{id}", s.signedIn(s.drill))
	mux.Handle("GET /v1/drills/{id}/report.html", s.signedIn(s.drillPage(".html", "text/html; charset=utf-8")))
	mux.Handle("GET /v1/drills/{id}/report.json", s.signedIn(s.drillPage(".report.json", "application/json")))
	mux.Handle("POST /v1/drills", s.signedIn(s.beginDrill))
	mux.Handle("POST /v1/drills/stop", s.signedIn(s.stopDrill))
	mux.Handle("/v1/node/{path...}", s.signedIn(s.node))
	return s.guard(mux)
}

// Session is GET /v1/session.
type Session struct {
	CSRF    string    `json:"csrf"`
	Until   time.Time `json:"until"`
	Node    string    `json:"node"`
	Faults  bool      `json:"faults"` // whether a supervisor injects faults
	Who     string    `json:"who"`
	Version string    `json:"version"`
}

func (s *Server) about(w http.ResponseWriter, _ *http.Request, who session) {
	answer(w, Session{
		CSRF: s.sessions.csrf(who), Until: who.until, Node: s.cfg.Live().Node, Faults: s.cfg.Supervisor.Address != "", Who: who.name(),
	}, nil)
}

// Orders is GET /v1/audit: what operators have ordered, of every place that could be asked, the newest first.
type Orders struct {
	Entries []Entry  `json:"entries"`
	Missing []string `json:"missing"` // places that did not answer
}

func (s *Server) orders(w http.ResponseWriter, r *http.Request, _ session) {
	own, err := s.Audit.Last(maxAuditPage)
	reply := Orders{Entries: own, Missing: []string{}}
	node := s.cfg.Live().Node
	for i := range own {
		own[i].Place = node
	}
	if s.cfg.Peers != nil {
		others, missing := s.cfg.Peers(r.Context())
		reply.Entries, reply.Missing = append(reply.Entries, others...), append(reply.Missing, missing...)
	}
	if s.cfg.Supervisor.Address != "" {
		ctx, cancel := context.WithTimeout(r.Context(), faultsTimeout)
		defer cancel()
		var made Orders
		if _, err := s.cfg.Supervisor.call(ctx, http.MethodGet, "/v1/audit", nil, &made); err != nil {
			reply.Missing = append(reply.Missing, "the supervisor")
		}
		reply.Entries = append(reply.Entries, made.Entries...)
	}
	slices.SortStableFunc(reply.Entries, func(a, b Entry) int { return b.At.Compare(a.At) })
	reply.Entries = reply.Entries[:min(len(reply.Entries), maxAuditPage)]
	answer(w, reply, err)
}

// home is the page, or the way in.
func (s *Server) home(w http.ResponseWriter, r *http.Request) {
	if _, ok := s.sessions.of(r); ok {
		page(w, http.StatusOK, "app.html", nil)
		return
	}
	page(w, http.StatusOK, "login.html", map[string]string{})
}

func page(w http.ResponseWriter, status int, name string, data any) {
	var text bytes.Buffer
	if err := pages.ExecuteTemplate(&text, name, data); err != nil {
		refuse(w, http.StatusInternalServerError, err.Error())
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(text.Bytes()) // the client has gone: nobody is left to tell
}

// login redeems a one-time link. The answer is a page that goes on by itself, not a redirect: the cookie is SameSite=Strict, and
// would be missing on a redirect of a navigation that another site began.
func (s *Server) login(w http.ResponseWriter, r *http.Request) {
	code := r.FormValue("code")
	if code == "" {
		page(w, http.StatusOK, "login.html", map[string]string{})
		return
	}
	s.enter(w, r, s.sessions.redeem(code), "link")
}

func (s *Server) loginByToken(w http.ResponseWriter, r *http.Request) {
	if !s.sameOrigin(r) {
		refuse(w, http.StatusForbidden, "log in on the console's own page")
		return
	}
	s.enter(w, r, s.sessions.check(strings.TrimSpace(r.FormValue("token"))), "token")
}

func (s *Server) enter(w http.ResponseWriter, r *http.Request, err error, how string) {
	s.Audit.Note(Entry{Who: "login by " + how, From: r.RemoteAddr, What: "login", Result: resultOf(err)})
	if err != nil {
		page(w, http.StatusUnauthorized, "login.html", map[string]string{"Error": err.Error()})
		return
	}
	s.sessions.begin(w)
	page(w, http.StatusOK, "enter.html", nil)
}

func resultOf(err error) string {
	if err != nil {
		return "refused: " + err.Error()
	}
	return "ok"
}

// asset serves the bundle.
func asset(w http.ResponseWriter, r *http.Request) {
	name := path.Base(r.PathValue("name"))
	data, err := fs.ReadFile(web, "web/dist/"+name)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	kind := map[string]string{".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}[path.Ext(name)]
	w.Header().Set("Content-Type", kind+"; charset=utf-8")
	_, _ = w.Write(data) // the client has gone: nobody is left to tell
}

// licences are those of the libraries in the bundle.
func licences(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	for _, name := range []string{"preact", "uplot"} {
		text, err := fs.ReadFile(web, "web/vendor/"+name+"/LICENSE")
		if err == nil {
			fmt.Fprintf(w, "%s\n\n%s\n\n", name, text)
		}
	}
}

// readable and writable are the control API's routes that the page may use: path prefixes below /v1/.
var (
	readable = []string{"status", "explain", "diff", "conflicts", "quarantine", "backfill", "metrics", "data", "events", "config"}
	writable = []string{"verify", "traffic", "conflicts/", "quarantine/", "backfill", "events/"}
)

// node passes a request on to the node's control API in the console's own name, and notes what changes something.
func (s *Server) node(w http.ResponseWriter, r *http.Request, who session) {
	name := r.PathValue("path")
	allowed := readable
	if r.Method != http.MethodGet {
		allowed = writable
	}
	ok := false
	for _, prefix := range allowed {
		ok = ok || name == prefix || strings.HasPrefix(name, strings.TrimSuffix(prefix, "/")+"/")
	}
	if !ok || r.Method != http.MethodGet && r.Method != http.MethodPost {
		refuse(w, http.StatusNotFound, "the console has no such route")
		return
	}
	var body []byte
	if r.Method == http.MethodPost {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			refuse(w, http.StatusRequestEntityTooLarge, "the request is too large")
			return
		}
	}
	ctx := context.WithValue(r.Context(), noted{}, true)
	out, err := http.NewRequestWithContext(ctx, r.Method, "/v1/"+name+"?"+r.URL.RawQuery, bytes.NewReader(body))
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	out.RemoteAddr, out.Host = r.RemoteAddr, r.Host
	out.Header.Set("Authorization", "Bearer "+s.cfg.Token.Reveal())
	out.Header.Set("Content-Type", "application/json")
	reply := &recorder{ResponseWriter: w}
	s.cfg.API.ServeHTTP(reply, out)
	query := r.URL.RawQuery
	looks := name == "verify" && r.URL.Query().Get("repair") == "" || strings.HasSuffix(name, "/replay") || strings.HasSuffix(name, "/show")
	if r.Method == http.MethodPost && !looks {
		what := strings.TrimSpace(strings.TrimSuffix(name+"?"+query, "?") + " " + brief(body))
		s.Audit.Note(Entry{Who: who.name(), From: r.RemoteAddr, What: what, Result: reply.result()})
	}
}
