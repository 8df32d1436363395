package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync"
	"github.com/proa-cloud/proa/node"
)

func (a *app) quarantineCommand() *cobra.Command {
	limit := 1000
	list := func(cmd *cobra.Command, _ []string) error {
		var reply node.QuarantineReply
		path := "/v1/quarantine?limit=" + strconv.Itoa(limit)
		if err := a.node(cmd, http.MethodGet, path, nil, &reply); err != nil {
			return err
		}
		return a.print(reply, func(w io.Writer) { writeQuarantine(w, &reply) })
	}
	cmd := &cobra.Command{
		Use:   "quarantine",
		Short: "List keys that cannot be replicated, and why",
		Long: "List keys that cannot be replicated: a stored state that cannot be judged (poison), a winner that a side refuses (unfit),\n" +
			"a conflict that waits for an operator (held), a change of a feed that cannot be read (feed). A newer write also ends it.",
		Example: "  proa quarantine\n  proa quarantine show orders o-1\n  proa quarantine retry orders",
		Args:    noArgs,
		RunE:    list,
	}
	cmd.Flags().IntVar(&limit, "limit", limit, "the most that are listed, up to 100000")
	listed := &cobra.Command{
		Use: "list", Short: "The same as `proa quarantine`", Example: "  proa quarantine list -o json", Args: noArgs, RunE: list,
	}
	cmd.AddCommand(a.outputFlag(listed), a.quarantineShowCommand(), a.quarantineRetryCommand(), a.quarantineDropCommand())
	return a.outputFlag(cmd)
}

func writeQuarantine(w io.Writer, r *node.QuarantineReply) {
	writeSilent(w, r.Silent)
	fmt.Fprintf(w, "%d in quarantine\n", r.Total)
	if len(r.Quarantined) == 0 {
		return
	}
	fmt.Fprintln(w, "\nKEY\tKIND\tREGION\tSINCE\tREASON")
	for i := range r.Quarantined {
		q := &r.Quarantined[i]
		name := keyText(q.Table, q.Key, "", "")
		if q.Kind == datasync.QuarantineFeed {
			name = fmt.Sprintf("%s change %d", q.Table, q.ID)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", name, q.Kind, q.Region, clock(q.At), shorten(q.Reason, maxReason))
	}
}

func (a *app) quarantineShowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "show TABLE KEY [RANGE]",
		Short:   "Show one quarantined key: why, and what each side holds",
		Example: "  proa quarantine show orders o-1",
		Args:    keyArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			var q datasync.Quarantined
			if err := a.node(cmd, http.MethodPost, "/v1/quarantine/show", keyRequest(args), &q); err != nil {
				return err
			}
			return a.print(q, func(w io.Writer) { writeQuarantined(w, &q) })
		},
	}
	return a.outputFlag(cmd)
}

func writeQuarantined(w io.Writer, q *datasync.Quarantined) {
	fmt.Fprintf(w, "%s: %s at %s since %s\n%s\n\n", keyText(q.Table, q.Key, "", ""), q.Kind, q.Region, clock(q.At), q.Reason)
	fmt.Fprintf(w, "winner\t%s\n", imageText(q.Winner))
	for _, r := range proa.Regions() {
		fmt.Fprintf(w, "%s\t%s\n", r, imageText(q.Sides[r]))
	}
}

func imageText(i datasync.QuarantinedImage) string {
	text := "nothing"
	switch {
	case i.Missing:
		text = "content no longer at hand"
	case i.Item != nil:
		text = string(i.Item.AppendJSON(nil))
	}
	if i.Malformed != "" {
		text += " (envelope: " + i.Malformed + ")"
	}
	if !i.Version.IsZero() {
		text = i.Version.String() + "  " + text
	}
	return text
}

func (a *app) quarantineRetryCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "retry TABLE [KEY [RANGE]]",
		Short:   "Judge one key, or every quarantined key of a table, anew",
		Example: "  proa quarantine retry orders\n  proa quarantine retry orders o-1",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 1 || len(args) > 3 {
				return usage(fmt.Errorf("%s takes a table and, for one key, a key", cmd.CommandPath()))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			var n node.Count
			if err := a.node(cmd, http.MethodPost, "/v1/quarantine/retry", keyRequest(args), &n); err != nil {
				return err
			}
			return a.print(n, func(w io.Writer) { fmt.Fprintf(w, "%d judged anew\n", n.Count) })
		},
	}
	return a.outputFlag(cmd)
}

func (a *app) quarantineDropCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "drop ID",
		Short:   "Forget a change of a feed that cannot be read",
		Example: "  proa quarantine drop 12",
		Args:    oneID,
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := strconv.ParseUint(args[0], 10, 64)
			if err != nil {
				return usage(err)
			}
			var n node.Count
			if err := a.node(cmd, http.MethodPost, "/v1/quarantine/drop", node.DropRequest{ID: id}, &n); err != nil {
				return err
			}
			return a.print(n, func(w io.Writer) { fmt.Fprintf(w, "change %d is forgotten\n", id) })
		},
	}
	return a.outputFlag(cmd)
}

func (a *app) eventsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "events",
		Short:   "Say how far each subscriber of changes has come",
		Example: "  proa events\n  proa events dead audit\n  proa events redeliver audit",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var reply node.SubscribersReply
			if err := a.node(cmd, http.MethodGet, "/v1/events", nil, &reply); err != nil {
				return err
			}
			return a.print(reply, func(w io.Writer) { writeSubscribers(w, &reply) })
		},
	}
	cmd.AddCommand(a.deadCommand(), a.redeliverCommand())
	return a.outputFlag(cmd)
}

func writeSubscribers(w io.Writer, r *node.SubscribersReply) {
	if len(r.Subscribers) == 0 {
		fmt.Fprintln(w, "no subscribers (events in proa.yaml)")
		return
	}
	fmt.Fprintln(w, "SUBSCRIBER\tWAITING\tDELIVERED\tFAILED TRIES\tDEAD\tMISSED\tERROR")
	for i := range r.Subscribers {
		s := &r.Subscribers[i]
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%s\n", s.Name, s.Waiting, s.Delivered, s.Failed, s.Dead, s.Missed,
			shorten(s.Error, maxReason))
	}
}

func oneName(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usage(fmt.Errorf("%s takes one argument: a subscriber's name", cmd.CommandPath()))
	}
	return nil
}

func (a *app) deadCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "dead NAME",
		Short:   "List the events that a subscriber refused",
		Example: "  proa events dead audit -o json",
		Args:    oneName,
		RunE: func(cmd *cobra.Command, args []string) error {
			var reply node.DeadReply
			path := "/v1/events/" + url.PathEscape(args[0]) + "/dead?limit=10000"
			if err := a.node(cmd, http.MethodGet, path, nil, &reply); err != nil {
				return err
			}
			return a.print(reply, func(w io.Writer) {
				writeSilent(w, reply.Silent)
				fmt.Fprintf(w, "%d dead letters\n", len(reply.Dead))
				for i := range reply.Dead {
					l := &reply.Dead[i]
					fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\n", l.Node, l.Offset, clock(l.At), shorten(l.Reason, maxReason), shorten(string(l.Event), maxSide))
				}
			})
		},
	}
	return a.outputFlag(cmd)
}

func (a *app) redeliverCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "redeliver NAME",
		Short:   "Send a subscriber's dead letters once more",
		Example: "  proa events redeliver audit",
		Args:    oneName,
		RunE: func(cmd *cobra.Command, args []string) error {
			var n node.Count
			path := "/v1/events/" + url.PathEscape(args[0]) + "/redeliver"
			if err := a.node(cmd, http.MethodPost, path, nil, &n); err != nil {
				return err
			}
			return a.print(n, func(w io.Writer) {
				for _, s := range n.Silent {
					fmt.Fprintf(w, "warning: %s has not delivered all that it has: %s\n", s.Node, s.Why)
				}
				fmt.Fprintf(w, "%d delivered\n", n.Count)
			})
		},
	}
	return a.outputFlag(cmd)
}
