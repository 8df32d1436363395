package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/config"
	"github.com/proa-cloud/proa/datasync"
	"github.com/proa-cloud/proa/internal/supervisor"
)

func (a *app) statusCommand() *cobra.Command {
	var check bool
	cmd := &cobra.Command{
		Use:     "status",
		Short:   "Where traffic is, how both regions are, what is not replicated yet",
		Example: "  proa status\n  proa status -o json\n  proa status --check   exit code 4 when something is degraded",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.dial()
			if err != nil {
				return err
			}
			s, err := c.Status(cmd.Context())
			if err != nil {
				return err
			}
			d := &datasync.Status{}
			if c.Node(cmd.Context(), http.MethodGet, "/v1/data", nil, d) != nil {
				d = nil // a dead node has no plan either
			}
			if err := a.print(s, func(w io.Writer) {
				a.writeStatus(w, s)
				if d != nil {
					writeData(w, d)
				}
			}); err != nil || !check {
				return err
			}
			cfg, err := config.Load(supervisor.NodeConfigPath(a.dir))
			if err != nil {
				return err
			}
			why := degraded(s, d, cfg.Objectives.Lag.D())
			for _, text := range why {
				a.hint("%s", text)
			}
			if len(why) > 0 {
				return &exitCode{code: exitDegraded}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&check, "check", false, "exit with code 4 when something is not well, and say what")
	return a.outputFlag(cmd)
}

// degraded lists what is not well, in words. d is nil where the node does not say how data sync is.
func degraded(s supervisor.Status, d *datasync.Status, lag time.Duration) []string {
	var why []string
	note := func(bad bool, format string, args ...any) {
		if bad {
			why = append(why, fmt.Sprintf(format, args...))
		}
	}
	note(s.Plan == nil, "no node says where traffic is: %s", s.NodeError)
	for _, f := range s.Faults {
		note(true, "a fault is in force: %s", f.Text)
	}
	for _, r := range s.Partitioned {
		note(true, "data sync is cut from %s", r)
	}
	if c := s.Cluster; c != nil {
		note(c.Leader == "", "no node leads: %s", c.Quorum)
		for i := range c.Nodes {
			note(!c.Nodes[i].Alive, "%s is not heard", c.Nodes[i].Name)
		}
	}
	for _, name := range proa.Regions() {
		r := s.Regions[name]
		note(r.Health != proa.Healthy, "%s is %s: %s", name, r.Health, r.Reason)
		note(r.PID == nil, "%s is not running", name)
		note(r.LagMS == nil, "how far replication from %s is, is not known", name)
		note(r.LagMS != nil && time.Duration(*r.LagMS)*time.Millisecond > lag, "replication from %s is over the objective of %s behind", name, lag)
	}
	if v := s.Verified; v != nil {
		note(v.Differences > 0, "%d of %d keys differ: `proa verify` lists them", v.Differences, v.Keys)
	}
	if d != nil {
		for _, dir := range d.Directions {
			note(dir.Quarantined > 0, "%d changes of %s are in quarantine: `proa quarantine` lists them", dir.Quarantined, dir.From)
		}
		for _, text := range d.Warnings {
			note(true, "%s", text)
		}
	}
	return why
}

func (a *app) writeStatus(w io.Writer, s supervisor.Status) {
	if s.Plan != nil {
		fmt.Fprintf(w, "%s is served by %s since %s (plan %d: %s)\n\n", s.Zone, s.Plan.Active, clock(s.Plan.Since), s.Plan.Version, s.Plan.Reason)
	} else {
		fmt.Fprintf(w, "%s: the node does not say where traffic is: %s\n\n", s.Zone, s.NodeError)
	}
	fmt.Fprintln(w, "REGION\tHEALTH\tGATEWAY\tLAG\tBACKLOG\tUNREPLICATED\tPID")
	for _, name := range proa.Regions() {
		r := s.Regions[name]
		pid := "dead"
		if r.PID != nil {
			pid = fmt.Sprint(*r.PID)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", name, r.Health, strings.TrimPrefix(r.Gateway, "http://"), // what is left can be pasted all the same
			orDash(r.LagMS, " ms"), orDash(r.Backlog, ""), orDash(r.Unreplicated, ""), pid)
	}
	fmt.Fprintln(w)
	for _, name := range proa.Regions() {
		if r := s.Regions[name]; r.Health != proa.Healthy {
			fmt.Fprintln(w, a.style(yellow, fmt.Sprintf("%s: %s", name, r.Reason)))
		}
	}
	for _, f := range s.Faults {
		fmt.Fprintln(w, a.style(yellow, fmt.Sprintf("%s on %s: %s (`proa heal %s` ends it)", f.Kind, f.Target, f.Text, healOf(f))))
	}
	if v := s.Verified; v != nil {
		verdict := "equal"
		if v.Differences > 0 {
			verdict = "NOT equal"
		}
		fmt.Fprintf(w, "%s through %s: %d keys, %d differences, %d in flight\n", verdict, clock(v.Through), v.Keys, v.Differences, v.InFlight)
	} else {
		fmt.Fprintln(w, "not compared yet (`proa verify` does)")
	}
	fmt.Fprintf(w, "DNS: %s\n", strings.Join(s.DNS, ", "))
	a.writeNodes(w, s)
	fmt.Fprintln(w, "\nPROCESS\tPID\tMEMORY")
	for _, p := range s.Processes {
		fmt.Fprintf(w, "%s\t%d\t%.0f MiB\n", p.Name, p.PID, float64(p.RSSBytes)/(1<<20))
	}
}

// writeNodes says whether the nodes can decide, and how each is.
func (a *app) writeNodes(w io.Writer, s supervisor.Status) {
	c := s.Cluster
	if c == nil {
		if s.Plan != nil {
			fmt.Fprintln(w, "one node: no quorum, it decides alone")
		}
		return
	}
	line := c.Quorum
	if c.Owner != "" {
		line += fmt.Sprintf("; data sync: %s, epoch %d", c.Owner, c.Epoch)
	}
	if c.Leader == "" {
		line = a.style(yellow, line)
	}
	fmt.Fprintln(w, line)
	for i := range c.Nodes {
		if n := &c.Nodes[i]; !n.Alive {
			fmt.Fprintln(w, a.style(yellow, fmt.Sprintf("%s does not answer: %s (`proa heal %s`)", n.Name, n.Trouble, n.Name)))
		}
	}
}

// healOf is what ends a fault.
func healOf(f supervisor.Fault) string {
	if f.Kind == supervisor.KindPartition {
		return f.Kind
	}
	if _, err := proa.ParseRegion(f.Target); err != nil {
		return "all"
	}
	return f.Target
}

// writeData says what waits for an operator and what replication costs.
func writeData(w io.Writer, d *datasync.Status) {
	waiting := 0
	for i := range d.Directions {
		waiting += d.Directions[i].Quarantined
	}
	fmt.Fprintf(w, "\nreplication: %d changes applied, %d conflicts, %d in quarantine\n", d.Metrics.Applied,
		d.Metrics.ConflictsKept, waiting)
	fmt.Fprintln(w, costText(&d.Cost))
	for _, text := range d.Warnings {
		fmt.Fprintf(w, "warning: %s\n", text)
	}
}

func costText(c *datasync.Cost) string {
	units := "request units unknown"
	if c.RequestUnits != nil {
		units = fmt.Sprintf("%.0f request units", *c.RequestUnits)
	}
	return fmt.Sprintf("cost: %d writes to aws (%d write units), %d to azure (%s), %.1f MiB left aws and %.1f azure",
		c.Writes[proa.AWS], c.WriteUnits, c.Writes[proa.Azure], units, mib(c.Egress[proa.AWS]), mib(c.Egress[proa.Azure]))
}

func mib(n uint64) float64 { return float64(n) / (1 << 20) }

func (a *app) costCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "cost",
		Short:   "What replication has cost, and which budget is spent",
		Example: "  proa cost\n  proa cost -o json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var d datasync.Status
			if err := a.node(cmd, http.MethodGet, "/v1/data", nil, &d); err != nil {
				return err
			}
			return a.print(d.Cost, func(w io.Writer) {
				fmt.Fprintf(w, "%s\n%.2f writes for each change applied\n", costText(&d.Cost), d.Cost.PerChange)
				if d.Cost.Spent != "" {
					fmt.Fprintf(w, "the budget of %s is spent: %d writes have waited for it\n", d.Cost.Spent, d.Cost.Waits)
				}
			})
		},
	}
	return a.outputFlag(cmd)
}

// clock renders a moment of today in local time.
func clock(t time.Time) string { return t.Local().Format("15:04:05.000") }
