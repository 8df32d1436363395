package console

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/proa-cloud/proa"
)

// Supervisor is how the console reaches the supervisor of `proa up`, which makes and heals faults.
type Supervisor struct {
	Address string // host:port of its control socket; "" for none
	Token   proa.Secret
}

// Faults is what is broken on purpose.
type Faults struct {
	List []Fault `json:"faults"`
	// Died tells when a cloud's process ended that should run.
	Died map[proa.Region]time.Time `json:"died"`
	// Error says why the supervisor did not answer.
	Error string `json:"error,omitempty"`
}

// Fault is one fault in force.
type Fault struct {
	Target string    `json:"target"`
	Kind   string    `json:"kind"`
	Text   string    `json:"text"`
	Since  time.Time `json:"since"`
	Scope  string    `json:"scope,omitempty"`
}

const (
	faultsTimeout = 500 * time.Millisecond
	orderTimeout  = 40 * time.Second // a heal waits until the cloud serves
	maxReply      = 1 << 20
)

func (v Supervisor) faults(ctx context.Context) (Faults, error) {
	ctx, cancel := context.WithTimeout(ctx, faultsTimeout)
	defer cancel()
	var f Faults
	_, err := v.call(ctx, http.MethodGet, "/v1/faults", nil, &f)
	return f, err
}

// call returns the answer's status, and the refusal as an error.
func (v Supervisor) call(ctx context.Context, method, path string, body []byte, into any) (int, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+v.Address+path, bytes.NewReader(body))
	if err != nil {
		return 0, fmt.Errorf("supervisor: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+v.Token.Reveal())
	req.Header.Set(NotedHeader, "console")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, fmt.Errorf("the supervisor does not answer: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxReply))
	if err != nil {
		return 0, fmt.Errorf("the supervisor does not answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		var refusal struct {
			Error string `json:"error"`
		}
		if json.Unmarshal(text, &refusal) == nil && refusal.Error != "" {
			return resp.StatusCode, errors.New(refusal.Error)
		}
		return resp.StatusCode, errors.New("supervisor: " + resp.Status)
	}
	if into == nil {
		return resp.StatusCode, nil
	}
	return resp.StatusCode, json.Unmarshal(text, into)
}

var verbs = map[string]bool{
	"kill": true, "freeze": true, "brownout": true, "partition": true, "skew": true, "throttle": true, "heal": true,
}

// fault is POST /v1/faults/{verb}/{target}.
func (s *Server) fault(w http.ResponseWriter, r *http.Request, who session) {
	verb, target := r.PathValue("verb"), r.PathValue("target")
	if s.cfg.Supervisor.Address == "" {
		refuse(w, http.StatusConflict, "faults are made by the supervisor of `proa up`; this node runs without one")
		return
	}
	if !verbs[verb] || strings.ContainsAny(target, "/?#%") {
		refuse(w, http.StatusNotFound, "there is no such fault")
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		refuse(w, http.StatusRequestEntityTooLarge, "the request is too large")
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), orderTimeout)
	defer cancel()
	if verb == "kill" {
		s.watch.expect(s.cfg.Clock(), target) // the moment of the order, not of the next look
	}
	_, err = s.cfg.Supervisor.call(ctx, http.MethodPost, "/v1/"+verb+"/"+target, body, nil)
	s.Audit.Note(Entry{Who: who.name(), From: r.RemoteAddr, What: strings.TrimSpace(verb + " " + target + " " + brief(body)), Result: resultOf(err)})
	if err != nil {
		refuse(w, http.StatusConflict, err.Error())
		return
	}
	answer(w, struct{}{}, nil)
}
