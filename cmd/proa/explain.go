package main

import (
	"fmt"
	"io"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/traffic"
)

func (a *app) explainCommand() *cobra.Command {
	var client string
	cmd := &cobra.Command{
		Use:   "explain [NAME]",
		Short: "Say why traffic is where it is, or how one answer comes about",
		Long: "Say why traffic is where it is, and what a switch waits for. With a name, say how the answer to a client comes about: " +
			"the policy step by step, each endpoint's health by vantage, the TTL, and how much of the client's address decided.",
		Example: "  proa explain\n  proa explain orders.proa.test --client 203.0.113.7\n  proa explain -o json",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 || len(args) == 0 && client != "" {
				return usage(fmt.Errorf("%s takes one name, and --client goes with it", cmd.CommandPath()))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.dial()
			if err != nil {
				return err
			}
			if len(args) == 1 {
				return a.explainAnswer(cmd.Context(), c, args[0], client)
			}
			var e traffic.Explanation
			if err := c.Node(cmd.Context(), http.MethodGet, "/v1/explain", nil, &e); err != nil {
				return err
			}
			return a.print(e, func(w io.Writer) { writeExplanation(w, e) })
		},
	}
	cmd.Flags().StringVar(&client, "client", "", "the client's address, or one in its network")
	return a.outputFlag(cmd)
}

func writeExplanation(w io.Writer, e traffic.Explanation) {
	fmt.Fprintf(w, "%s\n", e.Summary)
	for _, reason := range e.Waiting {
		fmt.Fprintf(w, "waiting: %s\n", reason)
	}
	fmt.Fprintln(w, "\nREGION\tHEALTH\tSINCE\tREASON")
	for _, r := range proa.Regions() {
		j := e.Regions[r]
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", r, j.Health, clock(j.Since), j.Reason)
	}
	fmt.Fprintln(w, "\nREPLICATION\tLAG\tBACKLOG")
	for _, r := range e.Replication {
		lag := fmt.Sprintf("%d ms", r.Lag.Milliseconds())
		if !r.Known {
			lag = "unknown"
		}
		fmt.Fprintf(w, "from %s\t%s\t%d captured\n", r.From, lag, r.Backlog)
		if r.Reason != "" {
			fmt.Fprintf(w, "  %s\n", shorten(r.Reason, maxReason))
		}
	}
	fmt.Fprintln(w, "\nPLAN\tACTIVE\tSINCE\tWHY")
	for _, p := range e.History {
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\n", p.Plan.Version, p.Plan.Active, clock(p.Plan.Since), what(p))
	}
}

// maxReason bounds a reason in a table; JSON has the whole.
const maxReason = 160

func shorten(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
