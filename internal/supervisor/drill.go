package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
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
	argv, err := drillArgs(o)
	if err != nil {
		return err
	}
	return s.drill.begin(ctx, append(argv, "--dir", s.cfg.Dir))
}

// StopDrill asks the drill to end: it heals everything first.
func (s *Supervisor) StopDrill() error { return s.drill.leave() }

// drillArgs checks an order, which comes from a page, and makes the command line of it.
func drillArgs(o console.DrillOrder) ([]string, error) {
	if o.Repeat < 0 || o.Repeat > 100 || o.Rate < 0 || o.Rate > 2000 || len(o.Scenarios) == 0 || len(o.Scenarios) > 64 {
		return nil, fmt.Errorf("want scenarios, 1 to 100 runs of each and up to 2000 writes a second: %w", proa.ErrInvalid)
	}
	known, err := drill.Builtin()
	if err != nil {
		return nil, err
	}
	for _, name := range o.Scenarios {
		if !slices.ContainsFunc(known, func(k drill.Scenario) bool { return k.Name == name }) {
			return nil, fmt.Errorf("scenario %q: see `proa drill list`: %w", name, proa.ErrNotFound)
		}
	}
	argv := append([]string{"drill"}, o.Scenarios...)
	argv = append(argv, "--by", strings.TrimSpace(o.By), "--repeat", strconv.Itoa(max(o.Repeat, 1)))
	if o.Rate > 0 {
		argv = append(argv, "--rate", strconv.Itoa(o.Rate))
	}
	if o.Seed > 0 {
		argv = append(argv, "--seed", strconv.FormatUint(o.Seed, 10))
	}
	return argv, nil
}

const drillBegin = 15 * time.Second

// begin starts the process with these arguments, where none runs.
func (c *child) begin(ctx context.Context, argv []string) error {
	c.mu.Lock()
	if c.runningLocked() {
		c.mu.Unlock()
		return fmt.Errorf("a drill is under way: %w", proa.ErrConflict)
	}
	c.argv = argv
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drillBegin)
	defer cancel()
	err := c.start(ctx)
	c.mu.Lock()
	c.wanted = false // that it ends is no accident
	c.mu.Unlock()
	return err
}

// leave asks the process to end, and does not wait for it.
func (c *child) leave() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.runningLocked() {
		return errors.New("no drill that was begun here is under way")
	}
	_ = c.stdin.Close() // twice, where two ask
	return nil
}

// Attached performs drills for a node without a supervisor, whose regions are not on this machine: only planned switchovers.
type Attached struct {
	child *child
	file  string
}

// Attach makes one for the regions of a proa.yaml. Exe is the binary of proa; what drills say goes to out.
func Attach(exe, file string, out io.Writer, logger *slog.Logger) *Attached {
	return &Attached{child: &child{name: "drill", exe: exe, out: out, logger: logger}, file: file}
}

// Begin implements console.Driller.
func (a *Attached) Begin(ctx context.Context, o console.DrillOrder) error {
	argv, err := drillArgs(o)
	if err != nil {
		return err
	}
	for _, name := range o.Scenarios {
		if s, err := drill.Load(name); err != nil || !s.OnlyMoves() {
			return fmt.Errorf("scenario %q breaks regions that are not on this machine: only planned switchovers can be made there: %w", name, proa.ErrInvalid)
		}
	}
	return a.child.begin(ctx, append(argv, "--config", a.file, "--yes"))
}

// Stop implements console.Driller: the drill gives traffic back and ends.
func (a *Attached) Stop() error { return a.child.leave() }

// Close ends a drill that is under way, and waits a little for it to give traffic back.
func (a *Attached) Close() { a.child.stop() }

// ordered reports whether the control socket's request is an operator's order.
func ordered(r *http.Request) bool { return r.Method == http.MethodPost }
