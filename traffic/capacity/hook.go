// Package capacity asks, through hooks of the operator's own, whether a region could carry all traffic,
// and has it scaled when traffic goes there. No failover waits for a hook: what is known is shown, and
// planned moves can be refused by it.
package capacity

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/proa-cloud/proa"
)

// Question is what a hook is asked: in the environment of a program (PROA_REGION, PROA_EVENT,
// PROA_ACTIVE), as a JSON body over HTTP.
type Question struct {
	// Region is the region that is asked about.
	Region proa.Region `json:"region"`
	// Event is "check" or "scale".
	Event string `json:"event"`
	// Active is the region that serves now.
	Active proa.Region `json:"active"`
}

// Answer is what a hook says.
type Answer struct {
	// Known is false when the hook could not be asked or did not answer in time.
	Known bool `json:"known"`
	// Enough says that the region can carry all traffic, or that it is being scaled.
	Enough bool      `json:"enough"`
	Reason string    `json:"reason,omitempty"` // the first line that it said, or why it is not known
	At     time.Time `json:"at,omitzero"`
}

// maxReason bounds what is kept of a hook's words.
const maxReason = 512

// Hook is a program or a URL.
type Hook struct {
	// Exec is a program and its arguments. Status 0: enough; any other: not enough.
	Exec []string
	// URL takes a POST. 2xx: enough; 409 and 507: not enough; anything else: not known.
	URL string
	// Header is added to the request.
	Header http.Header
	// Timeout ends the hook.
	Timeout time.Duration
}

// IsZero reports that there is no hook.
func (h Hook) IsZero() bool { return len(h.Exec) == 0 && h.URL == "" }

// Validate refuses what cannot work; errors wrap proa.ErrInvalidConfig.
func (h Hook) Validate() error {
	switch {
	case h.IsZero():
		return nil
	case (len(h.Exec) == 0) == (h.URL == ""):
		return fmt.Errorf("capacity hook: want exec or url: %w", proa.ErrInvalidConfig)
	case h.Timeout <= 0:
		return fmt.Errorf("capacity hook: timeout must be positive: %w", proa.ErrInvalidConfig)
	}
	return nil
}

// Ask runs the hook. It returns in Timeout at the latest, give or take the killing of a program.
func (h Hook) Ask(ctx context.Context, q Question) Answer {
	ctx, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	var a Answer
	if h.URL != "" {
		a = h.post(ctx, q)
	} else {
		a = h.run(ctx, q)
	}
	if ctx.Err() != nil && !a.Known {
		a.Reason = fmt.Sprintf("no answer in %s", h.Timeout)
	}
	return a
}

func (h Hook) run(ctx context.Context, q Question) Answer {
	cmd := exec.CommandContext(ctx, h.Exec[0], h.Exec[1:]...)
	cmd.Env = append(os.Environ(), "PROA_REGION="+string(q.Region), "PROA_EVENT="+q.Event,
		"PROA_ACTIVE="+string(q.Active))
	cmd.WaitDelay = time.Second // a child that keeps the pipe open
	out := &head{}
	cmd.Stdout, cmd.Stderr = out, out
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return Answer{Known: true, Enough: true, Reason: out.line()}
	case errors.As(err, &exit) && exit.Exited() && ctx.Err() == nil:
		return Answer{Known: true, Reason: said(out.line(), exit.String())}
	}
	return Answer{Reason: err.Error()}
}

func (h Hook) post(ctx context.Context, q Question) Answer {
	body, err := json.Marshal(q)
	if err != nil {
		return Answer{Reason: err.Error()}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL, bytes.NewReader(body))
	if err != nil {
		return Answer{Reason: err.Error()}
	}
	for name, values := range h.Header {
		req.Header[name] = values
	}
	req.Header.Set("Content-Type", "application/json")
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	res, err := client.Do(req)
	if err != nil {
		return Answer{Reason: err.Error()}
	}
	defer func() { _ = res.Body.Close() }()
	out := &head{}
	_, _ = io.Copy(out, io.LimitReader(res.Body, maxReason))
	switch {
	case res.StatusCode/100 == 2:
		return Answer{Known: true, Enough: true, Reason: out.line()}
	case res.StatusCode == http.StatusConflict || res.StatusCode == http.StatusInsufficientStorage:
		return Answer{Known: true, Reason: said(out.line(), res.Status)}
	}
	return Answer{Reason: said(out.line(), res.Status)}
}

func said(line, otherwise string) string {
	if line == "" {
		return otherwise
	}
	return line
}

// head keeps the beginning of what is written to it.
type head struct{ b []byte }

// Write never fails and never keeps more than maxReason bytes.
func (h *head) Write(p []byte) (int, error) {
	h.b = append(h.b, p[:min(len(p), maxReason-len(h.b))]...)
	return len(p), nil
}

func (h *head) line() string {
	s := bufio.NewScanner(bytes.NewReader(h.b))
	s.Scan()
	return strings.ToValidUTF8(strings.TrimSpace(s.Text()), "?")
}
