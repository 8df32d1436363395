package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/config"
	"github.com/proa-cloud/proa/drill"
	"github.com/proa-cloud/proa/internal/supervisor"
)

// drillFlags are what the user decides about a drill.
type drillFlags struct {
	rate                int
	warm, hold          time.Duration
	rto, rpo, converge  time.Duration
	slo                 float64
	seed                uint64
	repeat              int
	clients             []string
	junit, html, config string
	yes                 bool
	by                  string
	all                 bool // every scenario that can be carried out
}

func (a *app) drillCommand() *cobra.Command {
	objectives := config.Default().Objectives
	var o drillFlags
	cmd := &cobra.Command{
		Use:   "drill [SCENARIO…]",
		Short: "Make faults under load and measure RTO, RPO and what was lost",
		Long: "Make faults under load, heal them, and measure what users would have seen. SCENARIO is a name of `proa drill list`, a file of\n" +
			"your own, or all; game-day when left out.\n\n" +
			"Where --dir names no running system, the drill starts one of its own on free ports and removes it afterwards. The same --seed\n" +
			"strikes at the same moments again. Exit code 5 when an objective was missed.\n\n" +
			"With --config the drill runs against the regions of that file, which may be real ones: only planned switchovers can be made\n" +
			"there, and --yes must confirm them.",
		Example: "  proa drill\n  proa drill freeze-primary --repeat 5 --html drill.html\n  proa drill all --junit drill.xml\n" +
			"  proa drill ./our-outage.yaml --seed 7 --rto 5s -o json\n  proa drill switchover --config proa.yaml --yes",
		Args: cobra.ArbitraryArgs,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return scenarioNames(), cobra.ShellCompDirectiveDefault
		},
		RunE: func(cmd *cobra.Command, args []string) error { return a.drill(cmd, args, o) },
	}
	f := cmd.Flags()
	f.IntVar(&o.rate, "rate", 0, "writes sent a second; the scenario's (200) when left out")
	f.DurationVar(&o.warm, "warm", 0, "load before the first fault; the scenario's (3s) when left out")
	f.DurationVar(&o.hold, "hold", 0, "load under the faults; the scenario's (3s) when left out")
	f.DurationVar(&o.rto, "rto", objectives.RTO.D(), "objective: longest time without service")
	f.DurationVar(&o.rpo, "rpo", objectives.RPO.D(), "objective: age of the oldest write that was not replicated")
	f.DurationVar(&o.converge, "converge", time.Minute, "objective: from the heal until both sides are equal")
	f.Float64Var(&o.slo, "slo", 0.999, "share of requests that must succeed in 30 days")
	f.Uint64Var(&o.seed, "seed", 0, "replay the drill of that seed; a new one when left out")
	f.IntVar(&o.repeat, "repeat", 1, "runs of each scenario, for a distribution")
	f.StringSliceVar(&o.clients, "clients", nil, "models of clients: ttl, floor-60s, pinned (the scenario's: ttl, pinned)")
	f.StringVar(&o.junit, "junit", "", "write a JUnit report to the file")
	f.StringVar(&o.html, "html", "", "write an HTML report to the file")
	f.StringVar(&o.config, "config", "", "drill the regions of a proa.yaml through its node")
	f.BoolVar(&o.yes, "yes", false, "really drill the regions of --config")
	f.StringVar(&o.by, "by", operator(), "who drills, for the record")
	_ = f.MarkHidden("by") // there is such a flag
	cmd.AddCommand(a.drillListCommand(), a.drillShowCommand())
	return a.outputFlag(cmd)
}

func scenarioNames() []string {
	list, err := drill.Builtin()
	if err != nil {
		return nil
	}
	names := []string{"all"}
	for i := range list {
		names = append(names, list[i].Name)
	}
	return names
}

// scenarios are those that the arguments name, with what the flags change.
func (o drillFlags) scenarios(args []string) ([]drill.Scenario, error) {
	var list []drill.Scenario
	if len(args) == 0 {
		args = []string{"game-day"}
	}
	if slices.Equal(args, []string{"all"}) {
		args = scenarioNames()[1:]
	}
	for _, name := range args {
		s, err := drill.Load(name)
		if errors.Is(err, proa.ErrNotFound) {
			err = usage(err)
		}
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	for i := range list {
		s := &list[i]
		if o.rate != 0 {
			s.Rate = o.rate
		}
		if o.warm != 0 {
			s.Warm = config.Duration(o.warm)
		}
		for k := range s.Phases {
			if o.hold != 0 {
				s.Phases[k].Hold = config.Duration(o.hold)
			}
		}
		if len(o.clients) > 0 {
			s.Clients = nil
		}
		for _, m := range o.clients {
			s.Clients = append(s.Clients, drill.Model(m))
		}
	}
	return list, nil
}

func (o drillFlags) check(cmd *cobra.Command) error {
	if cmd.Flags().Changed("rate") && (o.rate < 1 || o.rate > 20000) {
		return fmt.Errorf("--rate %d: want 1 to 20000", o.rate)
	}
	if o.repeat < 1 || o.repeat > 1000 {
		return fmt.Errorf("--repeat %d: want 1 to 1000", o.repeat)
	}
	if o.slo <= 0 || o.slo >= 1 {
		return fmt.Errorf("--slo %v: want a share such as 0.999", o.slo)
	}
	if o.config != "" && !o.yes {
		return errors.New("--config drills the regions of that file, which may be real ones: confirm with --yes")
	}
	for _, m := range o.clients {
		if !slices.Contains(drill.Models(), drill.Model(m)) {
			return fmt.Errorf("--clients %q: want some of %v", m, drill.Models())
		}
	}
	return nil
}

func (a *app) drill(cmd *cobra.Command, args []string, o drillFlags) error {
	if err := o.check(cmd); err != nil {
		return usage(err)
	}
	o.all = slices.Equal(args, []string{"all"})
	list, err := o.scenarios(args)
	if err != nil {
		return err
	}
	if !cmd.Flags().Changed("seed") {
		o.seed = uint64(rand.Uint32())
	}
	ctx, cancel := untilOrphaned(cmd.Context())
	defer cancel()
	var report *drill.Report
	if o.config != "" {
		cfg, cerr := remoteDrill(o.config)
		report, err = a.perform(ctx, cfg, cerr, list, &o)
	} else {
		report, err = a.withSystem(ctx, func(ctx context.Context, c *supervisor.Client) (*drill.Report, error) {
			cfg, err := drillConfig(ctx, c)
			return a.perform(ctx, cfg, err, list, &o)
		})
	}
	if errors.Is(err, context.Canceled) && !errors.Is(err, drill.ErrNotHealed) {
		return errors.New("the drill was stopped; everything it had broken is healed")
	}
	return a.drillVerdict(report, err, o)
}

// drillVerdict writes the report, also of a drill that ended early, and says how the command ends.
func (a *app) drillVerdict(report *drill.Report, err error, o drillFlags) error {
	if report == nil || len(report.Scenarios) == 0 {
		return err
	}
	if werr := a.writeReport(report, o); err != nil || werr != nil {
		return errors.Join(err, werr)
	}
	if !report.Passed {
		return &exitCode{code: exitMissed}
	}
	return nil
}

// possible leaves out, of all scenarios, those that this system is too small for or that nothing here may carry out.
func (a *app) possible(list []drill.Scenario, cfg *drill.Config, local bool) []drill.Scenario {
	return slices.DeleteFunc(list, func(s drill.Scenario) bool {
		why := ""
		switch {
		case !local && !s.OnlyMoves():
			why = "faults cannot be made in regions that are not on this machine"
		case s.Nodes > cfg.Nodes && cfg.Nodes > 0:
			why = fmt.Sprintf("it needs %d nodes, and there are %d", s.Nodes, cfg.Nodes)
		}
		if why != "" {
			a.hint("%s is left out: %s", s.Name, why)
		}
		return why != ""
	})
}

// perform drills, and tells the nodes how it goes.
func (a *app) perform(ctx context.Context, cfg drill.Config, err error, list []drill.Scenario, o *drillFlags) (*drill.Report, error) {
	if err != nil {
		return nil, err
	}
	system := cfg.System.(*drilled)
	system.Operator = "drill by " + o.by
	t := newDrillTeller(system.Client, o.by, list, o)
	cfg.Objectives = drill.Objectives{RTOMS: millis(o.rto), RPOMS: millis(o.rpo), ConvergeMS: millis(o.converge), SLO: o.slo}
	cfg.Seed, cfg.Repeat = o.seed, o.repeat
	cfg.Progress = func(s string) {
		a.hint("%s", s)
		if isTerminal(a.stderr) {
			a.begin("  ")
		}
		t.say(s)
	}
	if o.all {
		list = a.possible(list, &cfg, system.local)
	}
	var unreported func()
	cfg.Observe, unreported = reportFailures(ctx, system.State, cfg.Gateways)
	telling, stop := context.WithCancel(ctx)
	defer stop()
	go t.run(telling)
	sayReady()
	report, err := drill.Drill(ctx, cfg, list)
	stop()
	<-t.done
	unreported()
	t.end(ctx, report, err)
	return report, err
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// writeReport writes the report in every form that was asked for.
func (a *app) writeReport(r *drill.Report, o drillFlags) error {
	for _, out := range []struct {
		file  string
		write func(io.Writer) error
	}{{o.junit, r.WriteJUnit}, {o.html, r.WriteHTML}} {
		if out.file == "" {
			continue
		}
		f, err := os.Create(out.file)
		if err == nil {
			err = errors.Join(out.write(f), f.Close())
		}
		if err != nil {
			return fmt.Errorf("write report: %w", err)
		}
		a.hint("wrote %s", out.file)
	}
	if a.output == "json" {
		return a.print(r, nil)
	}
	return a.print(r, func(w io.Writer) { _ = r.WriteTable(w) }) // print finds what cannot be written
}

// scenarioRow is one row of `proa drill list`.
type scenarioRow struct {
	Name  string `json:"name"`
	About string `json:"about"`
}

func (a *app) drillListCommand() *cobra.Command {
	return a.outputFlag(&cobra.Command{
		Use:     "list",
		Short:   "List the scenarios that proa brings",
		Example: "  proa drill list",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			list, err := drill.Builtin()
			if err != nil {
				return err
			}
			rows := []scenarioRow{}
			for i := range list {
				rows = append(rows, scenarioRow{list[i].Name, list[i].About})
			}
			return a.print(rows, func(w io.Writer) {
				for _, r := range rows {
					fmt.Fprintf(w, "%s\t%s\n", r.Name, r.About)
				}
			})
		},
	})
}

func (a *app) drillShowCommand() *cobra.Command {
	return a.outputFlag(&cobra.Command{
		Use:     "show SCENARIO",
		Short:   "Print a scenario's file, to begin one of your own with",
		Example: "  proa drill show kill-primary > our-outage.yaml",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage(fmt.Errorf("%s takes one argument: a scenario of `proa drill list`", cmd.CommandPath()))
			}
			text, err := drill.Source(args[0])
			if err != nil {
				return usage(err)
			}
			if a.output == "json" {
				return a.print(struct {
					YAML string `json:"yaml"`
				}{text}, nil)
			}
			_, err = io.WriteString(a.stdout, text)
			return err
		},
	})
}

// withSystem runs the drill against the running system of --dir, or against one of its own.
func (a *app) withSystem(ctx context.Context, run func(context.Context, *supervisor.Client) (*drill.Report, error)) (*drill.Report, error) {
	if c, err := a.dial(); err == nil {
		if _, err := c.Status(ctx); err == nil {
			return run(ctx, c)
		}
	}
	dir, err := os.MkdirTemp("", "proa-drill-")
	if err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	defer os.RemoveAll(dir)
	a.hint("no system runs in %s: starting one of the drill's own in %s", a.dir, dir)
	s, err := a.newSupervisor(config.Default(), supervisor.Ports{Auto: true}, dir, 3)
	if err != nil {
		return nil, err
	}
	defer func() { _ = s.Close() }() // what ran in it has reported
	// A drill that is stopped heals before its system ends.
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	up, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- s.Run(running, func() { close(up) }) }()
	select {
	case err := <-ended:
		cancel()
		return nil, err
	case <-ctx.Done():
		cancel()
		return nil, errors.Join(ctx.Err(), <-ended)
	case <-up:
	}
	c, err := supervisor.Dial(dir)
	var report *drill.Report
	if err == nil {
		report, err = run(ctx, c)
	}
	cancel()
	return report, errors.Join(err, <-ended)
}
