package console

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
)

// Scenario is one that a page may begin.
type Scenario struct {
	Name  string `json:"name"`
	About string `json:"about"`
}

// DrillOrder begins a drill.
type DrillOrder struct {
	Scenarios []string `json:"scenarios"`
	Repeat    int      `json:"repeat,omitempty"`
	Rate      int      `json:"rate,omitempty"`
	Seed      uint64   `json:"seed,omitempty"`
	By        string   `json:"by,omitempty"`
}

// Driller performs drills of regions that are not on this machine.
type Driller interface {
	// Begin returns once the drill has begun; one at a time.
	Begin(ctx context.Context, o DrillOrder) error
	// Stop asks the drill to put everything back and end.
	Stop() error
}

// reportPolicy is for a report's page, which comes from whoever performed the drill: it is shown alone, without scripts.
const reportPolicy = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'"

func (s *Server) drills(w http.ResponseWriter, _ *http.Request, _ session) {
	scenarios := s.cfg.Scenarios
	local := s.cfg.Supervisor.Address != ""
	if scenarios == nil || !local && s.cfg.Driller == nil {
		scenarios = []Scenario{}
	}
	answer(w, map[string]any{"drills": s.Drills.All(), "scenarios": scenarios, "attached": !local}, nil)
}

func (s *Server) drill(w http.ResponseWriter, r *http.Request, _ session) {
	rec, ok := s.Drills.Get(r.PathValue("id"))
	if !ok {
		refuse(w, http.StatusNotFound, "there is no such drill")
		return
	}
	answer(w, rec, nil)
}

func (s *Server) drillPage(suffix, kind string) func(http.ResponseWriter, *http.Request, session) {
	return func(w http.ResponseWriter, r *http.Request, _ session) {
		data, err := s.Drills.page(r.PathValue("id"), suffix)
		if err != nil {
			refuse(w, http.StatusNotFound, "this drill has no report")
			return
		}
		w.Header().Set("Content-Security-Policy", reportPolicy)
		w.Header().Set("Content-Type", kind)
		_, _ = w.Write(data) // the client has gone: nobody is left to tell
	}
}

// beginDrill is POST /v1/drills. The supervisor performs it, whatever becomes of this node.
func (s *Server) beginDrill(w http.ResponseWriter, r *http.Request, who session) {
	var order DrillOrder
	body, err := io.ReadAll(r.Body)
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err != nil || d.Decode(&order) != nil {
		refuse(w, http.StatusBadRequest, "the order is not understood")
		return
	}
	order.By = who.name()
	s.orderDrill(w, r, who, "drill "+strings.Join(order.Scenarios, " "), func(ctx context.Context) error {
		if s.cfg.Supervisor.Address == "" {
			return s.cfg.Driller.Begin(ctx, order)
		}
		text, err := json.Marshal(order)
		if err == nil {
			_, err = s.cfg.Supervisor.call(ctx, http.MethodPost, "/v1/drill", text, nil)
		}
		return err
	})
}

func (s *Server) stopDrill(w http.ResponseWriter, r *http.Request, who session) {
	s.orderDrill(w, r, who, "drill/stop", func(ctx context.Context) error {
		if s.cfg.Supervisor.Address == "" {
			return s.cfg.Driller.Stop()
		}
		_, err := s.cfg.Supervisor.call(ctx, http.MethodPost, "/v1/drill/stop", []byte("{}"), nil)
		return err
	})
}

func (s *Server) orderDrill(w http.ResponseWriter, r *http.Request, who session, what string, do func(context.Context) error) {
	if s.cfg.Supervisor.Address == "" && s.cfg.Driller == nil {
		refuse(w, http.StatusConflict, "this node was started without a proa.yaml: run `proa drill switchover --config proa.yaml --yes`, and watch it here")
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), orderTimeout)
	defer cancel()
	err := do(ctx)
	s.Audit.Note(Entry{Who: who.name(), From: r.RemoteAddr, What: strings.TrimSpace(what), Result: resultOf(err)})
	if err != nil {
		refuse(w, http.StatusConflict, err.Error())
		return
	}
	answer(w, struct{}{}, nil)
}
