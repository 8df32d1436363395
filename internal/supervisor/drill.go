package supervisor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/console"
	"github.com/proa-cloud/proa/drill"
)

// drillRoutes begin and stop a drill for those who cannot run `proa drill` themselves, and tell what operators ordered here.
func (s *Supervisor) drillRoutes(mux *http.ServeMux) {
	mux.HandleFunc("POST /v1/drill", func(w http.ResponseWriter, r *http.Request) {
		var o console.DrillOrder
		err := readOrder(r, &o)
		if err == nil {
			err = s.Drill(r.Context(), o)
		}
		reply(w, struct{}{}, err)
	})
	mux.HandleFunc("POST /v1/drill/stop", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, struct{}{}, s.StopDrill())
	})
	mux.HandleFunc("GET /v1/audit", func(w http.ResponseWriter, _ *http.Request) {
		entries, err := s.audit.Last(auditPage)
		for i := range entries {
			entries[i].Place = "supervisor"
		}
		reply(w, console.Orders{Entries: entries, Missing: []string{}}, err)
	})
}

const auditPage = 200

// Drill runs `proa drill` against this system in a process of its own, so that it outlives any node. It returns once the drill has
// begun; one at a time.
func (s *Supervisor) Drill(ctx context.Context, o console.DrillOrder) error {
	if o.Repeat < 0 || o.Repeat > 100 || o.Rate < 0 || o.Rate > 2000 || len(o.Scenarios) == 0 || len(o.Scenarios) > 64 {
		return fmt.Errorf("want scenarios, 1 to 100 runs of each and up to 2000 writes a second: %w", proa.ErrInvalid)
	}
	known, err := drill.Builtin()
	if err != nil {
		return err
	}
	for _, name := range o.Scenarios {
		if !slices.ContainsFunc(known, func(k drill.Scenario) bool { return k.Name == name }) {
			return fmt.Errorf("scenario %q: see `proa drill list`: %w", name, proa.ErrNotFound)
		}
	}
	argv := append([]string{"drill"}, o.Scenarios...)
	argv = append(argv, "--dir", s.cfg.Dir, "--by", strings.TrimSpace(o.By), "--repeat", strconv.Itoa(max(o.Repeat, 1)))
	if o.Rate > 0 {
		argv = append(argv, "--rate", strconv.Itoa(o.Rate))
	}
	if o.Seed > 0 {
		argv = append(argv, "--seed", strconv.FormatUint(o.Seed, 10))
	}
	c := s.drill
	c.mu.Lock()
	if c.runningLocked() {
		c.mu.Unlock()
		return fmt.Errorf("a drill is under way: %w", proa.ErrConflict)
	}
	c.argv = argv
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drillBegin)
	defer cancel()
	err = c.start(ctx)
	c.mu.Lock()
	c.wanted = false // that it ends is no accident
	c.mu.Unlock()
	return err
}

const drillBegin = 15 * time.Second

// StopDrill asks the drill to end: it heals everything first.
func (s *Supervisor) StopDrill() error {
	c := s.drill
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.runningLocked() {
		return errors.New("no drill that was begun here is under way")
	}
	_ = c.stdin.Close() // twice, where two ask
	return nil
}

// ordered reports whether the control socket's request is an operator's order.
func ordered(r *http.Request) bool { return r.Method == http.MethodPost }
