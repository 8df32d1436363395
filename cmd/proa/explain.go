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
	cmd := &cobra.Command{
		Use:     "explain",
		Short:   "Say why traffic is where it is, and what a switch waits for",
		Example: "  proa explain\n  proa explain -o json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.dial()
			if err != nil {
				return err
			}
			var e traffic.Explanation
			if err := c.Node(cmd.Context(), http.MethodGet, "/v1/explain", nil, &e); err != nil {
				return err
			}
			return a.print(e, func(w io.Writer) { writeExplanation(w, e) })
		},
	}
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
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\n", p.Plan.Version, p.Plan.Active, clock(p.Plan.Since), p.Plan.Reason)
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
