// Package drill makes real faults in a running system under load and measures what users would have seen: detection, RTO
// with its parts, RPO in time and records, and every lost, late and conflicting write. A drill is a scenario: a small YAML
// file of phases, each from a system in order to a system in order.
package drill

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/proa-cloud/proa"
)

// System is what a drill does to the system and asks of it.
type System interface {
	// Make puts the fault in force in the region, and returns once it is.
	Make(ctx context.Context, f Fault, r proa.Region) error
	// Node is the name of the node that leads or owns, or of the one so named.
	Node(ctx context.Context, role string) (string, error)
	// Heal ends every fault, and returns once both regions serve again.
	Heal(ctx context.Context) error
	// View says where traffic is and how regions are judged.
	View(ctx context.Context) (View, error)
	// Backlog counts changes that are captured and not applied yet, in both directions; nil while unknown.
	Backlog(ctx context.Context) *int64
	// Unreplicated lists the hash keys of the region's acknowledged writes that the other region does not have.
	Unreplicated(ctx context.Context, r proa.Region) ([]string, error)
	// Conflicts lists the conflict journal since a moment.
	Conflicts(ctx context.Context, since time.Time) ([]Conflict, error)
	// Verify compares both sides; inFlight keys are not yet settled.
	Verify(ctx context.Context) (keys, differences, inFlight int64, err error)
}

// ErrNotHealed says that a drill which ended early could not end its faults.
var ErrNotHealed = errors.New("what it had broken is not healed")

// View is the traffic manager's account.
type View struct {
	Plan      proa.Plan
	Unhealthy map[proa.Region]time.Time // judged unhealthy, and since when
}

// Config says what to drill and what was promised.
type Config struct {
	System System
	// DNS are the name servers, Zone is the application's name, Port the gateways' port.
	DNS        []string
	Zone, Port string
	// Nodes is how many nodes the system has; 0 where that is not known.
	Nodes int
	// Scheme is http, the default, or https.
	Scheme string
	// Gateways are the regions' addresses, as the zone answers them.
	Gateways map[proa.Region]string
	// Preferred is the region to which traffic returns.
	Preferred proa.Region
	// Objectives are judged.
	Objectives Objectives
	// Seed decides what chance decides: when in a probe's interval a fault strikes, and what is written.
	Seed uint64
	// Repeat is how often each scenario runs.
	Repeat int
	// Limit bounds each wait for the system.
	Limit time.Duration
	// Observe is told of every write, from several goroutines. It may be nil.
	Observe func(Write)
	// Progress is told what happens, for people. It may be nil.
	Progress func(string)
}

const (
	pollEvery   = 10 * time.Millisecond
	sampleEvery = 250 * time.Millisecond
	// strike is how much chance moves a fault: over a probe's usual interval, so that runs do not all hit the same moment.
	strike = time.Second
)

// Drill performs the scenarios. An error says that the drill could not be carried out, and comes with the report so far; a system
// that broke its promises is a Report that has not passed.
func Drill(ctx context.Context, cfg Config, scenarios []Scenario) (*Report, error) {
	if cfg.Progress == nil {
		cfg.Progress = func(string) {}
	}
	for i := range scenarios {
		if s := &scenarios[i]; s.Nodes > cfg.Nodes {
			return nil, fmt.Errorf("scenario %s needs %d nodes, and there are %d: %w", s.Name, s.Nodes, cfg.Nodes, proa.ErrInvalid)
		}
	}
	began := time.Now()
	report := &Report{Schema: Schema, Started: began.UTC(), Seed: cfg.Seed, Objectives: cfg.Objectives, Scenarios: []ScenarioReport{}}
	for i := range scenarios {
		s := &scenarios[i]
		sr := ScenarioReport{Name: s.Name, About: s.About, Rate: s.Rate, Runs: []Run{}}
		for k := range max(cfg.Repeat, 1) {
			cfg.Progress(fmt.Sprintf("%s: run %d of %d: %s", s.Name, k+1, max(cfg.Repeat, 1), s.About))
			r, err := perform(ctx, &cfg, s, cfg.Seed+uint64(k))
			sr.Runs = append(sr.Runs, *r)
			if err != nil {
				report.add(&sr, began)
				return report, fmt.Errorf("drill %s: %w", s.Name, err)
			}
		}
		report.add(&sr, began)
	}
	return report, nil
}

// run is a run under way.
type run struct {
	cfg      *Config
	scenario *Scenario
	id       string
	dice     *rand.Rand
	resolver *resolver // the drill's own
	client   *client
	load     *load
	line     *timeline
	began    time.Time
	suspects []Write // acknowledged by a region that was left, not on the other then
	out      *Run
}

// perform runs a scenario once. The run is there beside an error too, as far as it came.
func perform(ctx context.Context, cfg *Config, s *Scenario, seed uint64) (*Run, error) {
	d := &run{
		cfg: cfg, scenario: s, id: fmt.Sprintf("drill-%x", time.Now().UnixNano()),
		dice:     rand.New(rand.NewPCG(seed, 2)),
		resolver: newResolver(cfg.DNS, cfg.Zone, HonoursTTL),
		client:   newClient(cfg),
		began:    time.Now(),
		out: &Run{
			Seed: seed, Started: time.Now().UTC(), Phases: []PhaseRun{}, Lost: []string{}, Late: []string{}, Unsure: []string{},
			Conflicts: []Conflict{}, Missed: []string{}, Series: []Bucket{}, Marks: []Mark{},
		},
	}
	defer d.client.http.CloseIdleConnections()
	if err := d.settle(ctx); err != nil {
		return d.broken(err), err
	}
	d.load = newLoad(cfg, s, d.id, seed)
	d.line = newTimeline(d.began)
	sampling, stopSampling := context.WithCancel(ctx)
	defer stopSampling()
	sampled := make(chan struct{})
	go func() {
		defer close(sampled)
		d.line.sample(sampling, cfg.System)
	}()
	err := d.phases(ctx)
	stopSampling()
	<-sampled
	if err != nil {
		if herr := cfg.heal(context.WithoutCancel(ctx)); herr != nil {
			err = fmt.Errorf("%w; %w: %w", err, ErrNotHealed, herr)
		}
		return d.broken(err), err
	}
	d.finish()
	return d.out, nil
}

// broken is a run that could not be carried out to its end.
func (d *run) broken(err error) *Run {
	d.out.Error = err.Error()
	d.finish()
	return d.out
}

// settle waits until the system is in order: traffic where it belongs, both sides equal.
func (d *run) settle(ctx context.Context) error {
	if err := d.cfg.heal(ctx); err != nil {
		return fmt.Errorf("make everything well first: %w", err)
	}
	primary := d.cfg.Preferred
	if err := d.until(ctx, "DNS to answer "+string(primary), 100*time.Millisecond, func(ctx context.Context) bool { return d.answers(ctx, primary) }); err != nil {
		return &proa.Error{
			Op: "begin with everything in order", Region: primary, Err: err,
			Hint: "`proa explain` says what traffic waits for; `proa failback` gives it back after a switchover",
		}
	}
	d.out.Primary = primary
	if err := d.untilEqual(ctx); err != nil {
		return err
	}
	if n := d.out.unequal(); n != "" {
		return &proa.Error{
			Op: "begin with everything in order", Err: fmt.Errorf("waited %s for both sides to be equal: %s", d.cfg.Limit, n),
			Hint: "`proa verify` names the keys, `proa repair` mends them",
		}
	}
	return nil
}

func (d *run) phases(ctx context.Context) error {
	stop := d.load.start(ctx)
	defer stop()
	d.cfg.Progress(fmt.Sprintf("load: %d writes a second by clients %v", d.scenario.Rate, d.scenario.Clients))
	if err := sleep(ctx, d.scenario.Warm.D()); err != nil {
		return err
	}
	since := time.Now()
	for i := range d.scenario.Phases {
		if err := d.phase(ctx, &d.scenario.Phases[i]); err != nil {
			return fmt.Errorf("phase %s: %w", d.scenario.Phases[i].Name, err)
		}
		if p := d.out.Phases[i]; p.Moved && p.FailbackMS == nil {
			d.cfg.Progress("traffic is not back: the phases after " + p.Name + " are left out")
			break
		}
	}
	stop()
	if err := d.untilEqual(ctx); err != nil {
		return err
	}
	return d.account(ctx, since)
}

// account says what became of every write.
func (d *run) account(ctx context.Context, since time.Time) error {
	writes := d.load.snapshot()
	d.cfg.Progress(fmt.Sprintf("reading %d writes back", len(writes)))
	gone, err := d.absent(ctx, writes, d.cfg.Preferred.Other())
	if err != nil {
		return err
	}
	missing := map[string]bool{}
	for _, w := range gone {
		missing[w.ID] = true
		if w.Acked {
			d.out.Lost = append(d.out.Lost, w.ID)
		}
	}
	for _, w := range d.suspects {
		if !missing[w.ID] {
			d.out.Late = append(d.out.Late, w.ID)
		}
	}
	for _, w := range writes {
		if !w.Acked && !missing[w.ID] {
			d.out.Unsure = append(d.out.Unsure, w.ID)
		}
	}
	list, err := d.cfg.System.Conflicts(ctx, since)
	if err != nil {
		return err
	}
	d.out.Conflicts = append(d.out.Conflicts, list...)
	return nil
}

// finish adds up the run and judges it.
func (d *run) finish() {
	d.out.TookMS = ms(time.Since(d.began))
	if d.load != nil {
		d.count()
	}
	d.out.judge(d.cfg.Objectives)
}

// count adds up what was sent.
func (d *run) count() {
	writes := d.load.snapshot()
	d.out.Requests, d.out.Skipped = len(writes), d.load.skipped
	for _, w := range writes {
		if w.Acked {
			d.out.Acked++
		} else {
			d.out.Failed++
		}
	}
	d.out.Series, d.out.Marks = d.line.series(writes), d.line.marks
	d.out.Budget = budget(d.out, d.cfg.Objectives.SLO)
}

// until polls until done reports true, for at most the configured limit.
func (d *run) until(ctx context.Context, what string, every time.Duration, done func(context.Context) bool) error {
	limited, cancel := context.WithTimeout(ctx, d.cfg.Limit)
	defer cancel()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for !done(limited) {
		select {
		case <-limited.Done():
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("waited %s for %s", d.cfg.Limit, what)
		case <-tick.C:
		}
	}
	return nil
}

// heal makes everything well, within the configured limit.
func (c *Config) heal(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.Limit)
	defer cancel()
	return c.System.Heal(ctx)
}

// answers reports whether the name server's answer is the region now.
func (d *run) answers(ctx context.Context, r proa.Region) bool {
	addr, _, err := d.resolver.fresh(ctx)
	return err == nil && addr == d.cfg.Gateways[r]
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// absent returns the writes that the region answers 404 for.
func (d *run) absent(ctx context.Context, writes []Write, r proa.Region) ([]Write, error) {
	gone := make([]bool, len(writes))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(16)
	for i, w := range writes {
		g.Go(func() error {
			status, err := d.read(gctx, r, w.ID)
			gone[i] = status == http.StatusNotFound
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	i := -1
	return slices.DeleteFunc(slices.Clone(writes), func(Write) bool { i++; return !gone[i] }), nil
}

// read asks the region for one order; it tries again where the answer is neither 200 nor 404.
func (d *run) read(ctx context.Context, r proa.Region, id string) (status int, err error) {
	for range 5 {
		status, _, _, err = d.client.do(ctx, http.MethodGet, d.cfg.Gateways[r], "/orders/"+id, nil)
		if err == nil && (status == http.StatusOK || status == http.StatusNotFound) {
			return status, nil
		}
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return 0, err
		}
	}
	if err == nil {
		err = fmt.Errorf("status %d", status)
	}
	return status, fmt.Errorf("read order %s from %s: %w", id, r, err)
}

// untilEqual waits until both sides hold the same, nothing in flight. That they do not in time is noted in the run; the error says
// that they could not be compared.
func (d *run) untilEqual(ctx context.Context) error {
	compared, verr := false, error(nil)
	err := d.until(ctx, "both sides to be compared", 200*time.Millisecond, func(ctx context.Context) bool {
		keys, differences, inFlight, err := d.cfg.System.Verify(ctx)
		if verr = err; err != nil {
			return false
		}
		compared, d.out.Keys, d.out.Differences, d.out.InFlight = true, keys, differences, inFlight
		return d.out.unequal() == ""
	})
	switch {
	case err == nil || ctx.Err() != nil:
		return ctx.Err()
	case compared: // the last one may have been cut short by the limit
		return nil
	case verr != nil:
		return fmt.Errorf("%w: %w", err, verr)
	}
	return err
}
