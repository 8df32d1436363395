package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/internal/supervisor"
	"github.com/proa-cloud/proa/node"
	"github.com/proa-cloud/proa/traffic"
)

func (a *app) planCommand() *cobra.Command {
	var dry bool
	var file, verdicts string
	var lasts time.Duration
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Show the plan in force, or rehearse what would change it",
		Long: "Show where traffic goes and what could come next.\n" +
			"--dry-run rehearses: what the controller would decide with the configuration in a file, or if the vantages said " +
			"what a file of verdicts says (a JSON list of {region, health, by, reason}; left out, by is all of them). " +
			"Nothing is decided by it.",
		Example: "  proa plan\n  proa plan --dry-run --config new.yaml\n" +
			"  proa plan --dry-run --verdicts aws-down.json --for 10m",
		Args: noArgs,
		RunE: a.system(func(ctx context.Context, c *supervisor.Client, _ []string) error {
			if dry {
				return a.rehearse(ctx, c, file, verdicts, lasts)
			}
			if file != "" || verdicts != "" || lasts != 0 {
				return usage(errors.New("--config, --verdicts and --for are for --dry-run"))
			}
			e, err := explain(ctx, c)
			if err != nil {
				return err
			}
			return a.print(e, func(w io.Writer) { writePlan(w, e) })
		}),
	}
	f := cmd.Flags()
	f.BoolVar(&dry, "dry-run", false, "rehearse, and decide nothing")
	f.StringVar(&file, "config", "", "a proa.yaml to rehearse with")
	f.StringVar(&verdicts, "verdicts", "", "a file of verdicts to rehearse with")
	f.DurationVar(&lasts, "for", 0, "how long the rehearsed verdicts last, at most 2h")
	cmd.AddCommand(a.planHistoryCommand(), a.handOverCommand())
	return a.outputFlag(cmd)
}

func (a *app) rehearse(ctx context.Context, c *supervisor.Client, file, verdicts string, lasts time.Duration) error {
	d := node.DryRun{For: lasts}
	if file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("read configuration: %w: %w", proa.ErrInvalidConfig, err)
		}
		d.Config = string(text)
	}
	if verdicts != "" {
		text, err := os.ReadFile(verdicts)
		if err != nil {
			return fmt.Errorf("read verdicts: %w", err)
		}
		if err := json.Unmarshal(text, &d.Verdicts); err != nil {
			return fmt.Errorf("%s: want a JSON list of {region, health, by, reason}: %w: %w", verdicts,
				proa.ErrInvalid, err)
		}
	}
	var reply node.DryRunReply
	if err := c.Node(ctx, http.MethodPost, "/v1/plan/dry-run", d, &reply); err != nil {
		return err
	}
	return a.print(reply, func(w io.Writer) { writeRehearsal(w, reply) })
}

func writePlan(w io.Writer, e traffic.Explanation) {
	p := e.Plan
	fmt.Fprintf(w, "plan\t%d\nactive\t%s since %s\npreferred\t%s\n", p.Version, p.Active,
		clock(p.Since), e.Preferred)
	for _, line := range []struct {
		name, value string
		show        bool
	}{
		{"share", fmt.Sprintf("%d %% of clients go to %s", p.Share, p.Active.Other()), p.Share > 0},
		{"drain", "short TTLs: a planned switch is near", p.Drain},
		{"down", p.Down, p.Down != ""},
		{"data sync", fmt.Sprintf("%s, epoch %d", p.Owner, p.Epoch), p.Owner != ""},
		{"rules", strings.Join(e.Rules, ", "), len(e.Rules) > 0},
		{"budget", fmt.Sprintf("%d of %d switches in %s", e.Budget.Used, e.Budget.Limit, e.Budget.Window), true},
		{"quorum", e.Quorum, true},
		{"stands by", e.Standby, e.Standby != ""},
		{"why", p.Reason, true},
	} {
		if line.show {
			fmt.Fprintf(w, "%s\t%s\n", line.name, line.value)
		}
	}
	fmt.Fprintln(w, "\nNEXT\tTO\tWAITS FOR")
	for _, t := range e.Next {
		waits := strings.Join(t.Blocked, "; ")
		if waits == "" {
			waits = "nothing"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", t.Cause, t.To, shorten(waits, maxReason))
	}
}

func writeRehearsal(w io.Writer, r node.DryRunReply) {
	if len(r.Config) > 0 {
		fmt.Fprintln(w, "SETTING\tNOW\tTHEN")
		for _, c := range r.Config {
			fmt.Fprintf(w, "%s\t%v\t%v\n", c.Path, c.Old, c.New)
		}
		fmt.Fprintln(w)
	}
	if len(r.Plans) == 0 {
		fmt.Fprintf(w, "no new plan: traffic stays on %s by plan %d\n", r.Now.Active, r.Now.Version)
	} else {
		fmt.Fprintln(w, "WOULD BE\tCAUSE\tTO\tWHY")
		for _, p := range r.Plans {
			fmt.Fprintf(w, "plan %d\t%s\t%s\t%s\n", p.Plan.Version, p.Evidence.Cause, p.Plan.Active,
				shorten(what(p), maxReason))
		}
	}
	for _, reason := range r.Then.Waiting {
		fmt.Fprintf(w, "then waiting: %s\n", shorten(reason, maxReason))
	}
}

// what says what a plan changed and why.
func what(p traffic.PlanChanged) string {
	if p.Evidence.What != "" {
		return p.Evidence.What
	}
	return p.Plan.Reason
}

func (a *app) planHistoryCommand() *cobra.Command {
	var version uint64
	cmd := &cobra.Command{
		Use:   "history",
		Short: "Show past plans, each with what was known when it was made",
		Long: "Show the past plans, the present one last. With --plan, show one with its evidence: what every vantage said, how far " +
			"replication was, who ordered it and which rules were set aside.",
		Example: "  proa plan history\n  proa plan history --plan 7\n  proa plan history -o json",
		Args:    noArgs,
		RunE: a.system(func(ctx context.Context, c *supervisor.Client, _ []string) error {
			e, err := explain(ctx, c)
			if err != nil {
				return err
			}
			list := e.History
			if version != 0 {
				list = nil
				for _, p := range e.History {
					if p.Plan.Version == version {
						list = append(list, p)
					}
				}
				if list == nil {
					return fmt.Errorf("plan %d is not among the last %d: %w", version, len(e.History), proa.ErrNotFound)
				}
			}
			return a.print(list, func(w io.Writer) { writeHistory(w, list, version != 0) })
		}),
	}
	cmd.Flags().Uint64Var(&version, "plan", 0, "one plan's version, with its evidence")
	return a.outputFlag(cmd)
}

func writeHistory(w io.Writer, list []traffic.PlanChanged, evidence bool) {
	fmt.Fprintln(w, "PLAN\tCAUSE\tACTIVE\tBY\tWHAT")
	for _, p := range list {
		by := p.Evidence.By
		if by == "" {
			by = "proa"
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\n", p.Plan.Version, p.Evidence.Cause, p.Plan.Active, by,
			shorten(what(p), maxReason))
	}
	if !evidence {
		return
	}
	for _, p := range list {
		for _, rule := range p.Evidence.Overridden {
			fmt.Fprintf(w, "\nset aside: %s\n", rule)
		}
		fmt.Fprintln(w, "\nVANTAGE\tREGION\tSAID\tREASON")
		for _, v := range p.Evidence.Verdicts {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", v.By, v.Region, v.Health, shorten(v.Reason, maxReason))
		}
		fmt.Fprintln(w, "\nREPLICATION\tLAG\tBACKLOG")
		for _, r := range p.Evidence.Replication {
			lag := fmt.Sprintf("%d ms", r.Lag.Milliseconds())
			if !r.Known {
				lag = "unknown"
			}
			fmt.Fprintf(w, "from %s\t%s\t%d\n", r.From, lag, r.Backlog)
		}
	}
}

func (a *app) handOverCommand() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:     "handover NODE",
		Short:   "Move data sync to another node",
		Example: "  proa plan handover node-2 --reason 'node-3 gets a new disk'",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage(fmt.Errorf("%s takes a node's name", cmd.CommandPath()))
			}
			return nil
		},
		RunE: a.system(func(ctx context.Context, c *supervisor.Client, args []string) error {
			order := traffic.Command{Action: traffic.HandOver, Node: args[0], By: operator(), Reason: reason}
			if err := c.Node(ctx, http.MethodPost, "/v1/traffic", order, nil); err != nil {
				return err
			}
			e, err := explain(ctx, c)
			if err != nil {
				return err
			}
			return a.print(e.Plan, func(w io.Writer) {
				fmt.Fprintf(w, "data sync runs on %s, epoch %d (plan %d)\n", e.Plan.Owner, e.Plan.Epoch, e.Plan.Version)
			})
		}),
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
	return a.outputFlag(cmd)
}

// explainAnswer says how one client's answer comes about.
func (a *app) explainAnswer(ctx context.Context, c *supervisor.Client, name, client string) error {
	q := url.Values{"name": {name}, "client": {client}}
	var e node.Answer
	if err := c.Node(ctx, http.MethodGet, "/v1/explain/answer?"+q.Encode(), nil, &e); err != nil {
		return err
	}
	return a.print(e, func(w io.Writer) { writeAnswer(w, e) })
}

func writeAnswer(w io.Writer, e node.Answer) {
	if e.Silent {
		fmt.Fprintf(w, "%s does not answer for %s: it is isolated\n", e.Node, e.Name)
		return
	}
	list := make([]string, 0, len(e.Trace.Addresses))
	for _, a := range e.Trace.Addresses {
		list = append(list, a.String())
	}
	answer := strings.Join(list, ", ")
	if answer == "" {
		answer = "no address"
	}
	fmt.Fprintf(w, "name\t%s (zone %s)\nclient\t%s\nanswer\t%s\nttl\t%s\nplan\t%d: %s\n", e.Name, e.Zone,
		e.Client, answer, e.TTL, e.Plan.Version, e.Plan.Reason)
	scope := "the same for all clients"
	if e.Trace.Scope > 0 {
		scope = fmt.Sprintf("decided by the first %d bits of the client's address", e.Trace.Scope)
	}
	if e.Place != "" {
		fmt.Fprintf(w, "place\t%s\n", e.Place)
	}
	fmt.Fprintf(w, "scope\t%s\n\nHOW\n", scope)
	for _, s := range e.Trace.Steps {
		fmt.Fprintf(w, "  %s\n", s)
	}
	for _, s := range e.Trace.Shares {
		fmt.Fprintf(w, "  by chance: %s\n", s)
	}
	fmt.Fprintln(w, "\nVANTAGE\tREGION\tSAYS\tREASON")
	for _, v := range e.Vantages {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", v.Vantage.Name, v.Region, v.Health, shorten(v.Reason, maxReason))
	}
}
