package node

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/console"
	"github.com/proa-cloud/proa/drill"
	"github.com/proa-cloud/proa/internal/telemetry"
	"github.com/proa-cloud/proa/traffic/cluster"
)

// auditPage is how many of an audit's entries are told.
const auditPage = 200

// openAudit opens the log of operators' orders where no console has. Without room for one the node goes on.
func (n *node) openAudit() (closeIt func() error) {
	if n.picture.console != nil {
		n.audit = n.picture.console.Audit
		return func() error { return nil } // the console does
	}
	audit, err := console.OpenAudit(filepath.Join(n.cfg.Node.Dir, "console", "audit.log"), n.clock)
	if err != nil {
		n.logger.Error("operators' orders are not noted", "err", err)
		return func() error { return nil }
	}
	n.audit = audit
	return audit.Close
}

// audited notes operators' orders, whoever sends them.
func (n *node) audited(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n.audit == nil {
			next.ServeHTTP(w, r)
			return
		}
		n.audit.Watch(next, isOrder).ServeHTTP(w, r)
	})
}

// isOrder reports whether a request changes something on an operator's behalf. What a peer passes on has been noted there.
func isOrder(r *http.Request) bool {
	path := r.URL.Path
	switch {
	case r.Header.Get(cluster.FromHeader) != "", r.Method != http.MethodPost,
		path == announcePath, path == leasePath, path == telemetry.CountersPath, path == telemetry.TracesPath,
		path == "/v1/plan/dry-run", path == "/v1/verify" && r.FormValue("repair") == "",
		strings.HasSuffix(path, "/replay"), strings.HasSuffix(path, "/show"):
		return false
	}
	return true
}

// auditRoutes add the audit and the drills to the control API.
func (n *node) auditRoutes(mux *http.ServeMux) {
	control := n.cfg.Node.ControlToken
	for pattern, handle := range map[string]handler{
		"GET /v1/audit": n.ownAudit, "GET /v1/drills": n.drills, "GET /v1/drills/{id}": n.drill, "PUT /v1/drills/{id}": n.noteDrill,
	} {
		mux.Handle(pattern, requireToken(control, serve(handle)))
	}
}

func (n *node) ownAudit(r *http.Request) (any, error) {
	reply := console.Orders{Entries: []console.Entry{}, Missing: []string{}}
	if n.audit == nil {
		return reply, nil
	}
	entries, err := n.audit.Last(auditPage)
	for i := range entries {
		entries[i].Place = n.cfg.Node.Name
	}
	reply.Entries = entries
	if err == nil && r.Header.Get(cluster.FromHeader) == "" && n.cluster != nil {
		others, missing := n.peerAudits(r.Context())
		reply.Entries, reply.Missing = append(reply.Entries, others...), missing
		slices.SortStableFunc(reply.Entries, func(a, b console.Entry) int { return b.At.Compare(a.At) })
	}
	return reply, err
}

// peerAudits asks the other nodes what operators ordered there.
func (n *node) peerAudits(ctx context.Context) (entries []console.Entry, missing []string) {
	missing = []string{}
	if n.cluster == nil {
		return nil, missing
	}
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	here := func() (console.Orders, error) { return console.Orders{}, nil }
	answers, silent, _ := everyNode(ctx, n, http.MethodGet, "/v1/audit", "", here) // this node's part cannot fail
	for _, a := range answers {
		entries = append(entries, a.answer.Entries...)
	}
	for _, s := range silent {
		missing = append(missing, s.Node)
	}
	slices.Sort(missing)
	return entries, missing
}

func (n *node) keptDrills() (*console.Drills, error) {
	if n.picture.console == nil {
		return nil, &proa.Error{Op: "drills", Err: proa.ErrNotFound, Hint: "set node.console to an address: the console keeps them"}
	}
	return n.picture.console.Drills, nil
}

// DrillsReply is GET /v1/drills.
type DrillsReply struct {
	Drills []console.Drill `json:"drills"`
}

func (n *node) drills(*http.Request) (any, error) {
	d, err := n.keptDrills()
	if err != nil {
		return nil, err
	}
	return DrillsReply{d.All()}, nil
}

func (n *node) drill(r *http.Request) (any, error) {
	d, err := n.keptDrills()
	if err != nil {
		return nil, err
	}
	rec, ok := d.Get(r.PathValue("id"))
	if !ok {
		return nil, fmt.Errorf("drill %q: %w", r.PathValue("id"), proa.ErrNotFound)
	}
	return rec, nil
}

// noteDrill takes a drill's record from whoever performs it.
func (n *node) noteDrill(r *http.Request) (any, error) {
	d, err := n.keptDrills()
	if err != nil {
		return nil, err
	}
	var rec console.Drill
	if err := decode(r, &rec); err != nil {
		return nil, err
	}
	if rec.ID != r.PathValue("id") {
		return nil, fmt.Errorf("drill %q in the path, %q in the body: %w", r.PathValue("id"), rec.ID, proa.ErrInvalid)
	}
	return struct{}{}, d.Put(rec)
}

// scenarios are the drills that the console may begin: where faults cannot be made, those that only move traffic.
func scenarios(local bool) []console.Scenario {
	list, err := drill.Builtin()
	if err != nil {
		return nil // a test holds the embedded files to their rules
	}
	var out []console.Scenario
	for i := range list {
		if local || list[i].OnlyMoves() {
			out = append(out, console.Scenario{Name: list[i].Name, About: list[i].About})
		}
	}
	return out
}
