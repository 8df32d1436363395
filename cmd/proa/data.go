package main

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/resolve/journal"
	"github.com/proa-cloud/proa/node"
)

func (a *app) verifyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "verify",
		Short:   "Compare both sides, key by key, and say how many differ; exit code 4 when any does",
		Example: "  proa verify",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.dial()
			if err != nil {
				return err
			}
			var v node.VerifyReply
			if err := c.Node(cmd.Context(), http.MethodPost, "/v1/verify", nil, &v); err != nil {
				return err
			}
			if err := a.print(v, func(w io.Writer) { writeVerify(w, v) }); err != nil {
				return err
			}
			if v.Differences > 0 {
				return &exitCode{code: exitDegraded}
			}
			return nil
		},
	}
	return a.outputFlag(cmd)
}

func writeVerify(w io.Writer, v node.VerifyReply) {
	fmt.Fprintf(w, "%d differences of %d keys, through %s (%d in flight, took %.1f s)\n",
		v.Differences, v.Keys, clock(v.Through), v.InFlight, v.Took)
	if len(v.First) == 0 {
		return
	}
	fmt.Fprintln(w, "\nKEY\tHOW\tDETAIL")
	for _, d := range v.First {
		fmt.Fprintf(w, "%s\t%s\t%s\n", keyText(d.Table, d.Key, d.Bucket, d.Object), d.Kind, d.Detail)
	}
}

// keyText names an item or an object for people.
func keyText(table string, key proa.Item, bucket, object string) string {
	if bucket != "" {
		return bucket + "/" + object
	}
	parts := []string{table}
	for _, name := range slices.Sorted(maps.Keys(key)) {
		parts = append(parts, key[name].Str)
	}
	return strings.Join(parts, "/")
}

func (a *app) diffCommand() *cobra.Command {
	var region string
	var limit int
	cmd := &cobra.Command{
		Use:     "diff",
		Short:   "List acknowledged writes of a region that the other region does not have",
		Example: "  proa diff\n  proa diff --region aws -o json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			regions := []string{region}
			if region == "" {
				regions = []string{string(proa.AWS), string(proa.Azure)}
			} else if _, err := proa.ParseRegion(region); err != nil {
				return usage(err)
			}
			c, err := a.dial()
			if err != nil {
				return err
			}
			all := node.DiffReply{Region: proa.Region(region)}
			for _, r := range regions {
				q := url.Values{"region": {r}, "limit": {strconv.Itoa(limit)}}
				var one node.DiffReply
				if err := c.Node(cmd.Context(), http.MethodGet, "/v1/diff?"+q.Encode(), nil, &one); err != nil {
					return err
				}
				all.Total += one.Total
				all.Unreplicated = append(all.Unreplicated, one.Unreplicated...)
				all.Incomplete = append(all.Incomplete, one.Incomplete...)
			}
			return a.print(all, func(w io.Writer) { writeDiff(w, all) })
		},
	}
	cmd.Flags().StringVar(&region, "region", "", "aws or azure; both when left out")
	cmd.Flags().IntVar(&limit, "limit", 10000, "the most that are listed for each region")
	return a.outputFlag(cmd)
}

func writeDiff(w io.Writer, d node.DiffReply) {
	fmt.Fprintf(w, "%d acknowledged writes are not on the other side\n", d.Total)
	for _, u := range d.Incomplete {
		fmt.Fprintf(w, "the node was away from %s to %s: writes of that time that were not captured are not listed\n",
			clock(u.From), clock(u.To))
	}
	if len(d.Unreplicated) == 0 {
		return
	}
	fmt.Fprintln(w, "\nKEY\tWRITTEN IN\tAT\tKNOWN\tREASON")
	for _, u := range d.Unreplicated {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", keyText(u.Table, u.Key, u.Bucket, u.Object), u.Region, clock(u.At), u.Known, u.Reason)
	}
}

func (a *app) conflictsCommand() *cobra.Command {
	var table, since string
	var limit int
	cmd := &cobra.Command{
		Use:     "conflicts",
		Short:   "List the conflict journal: both versions, the winner and why, the newest first",
		Example: "  proa conflicts\n  proa conflicts --table orders --limit 10 -o json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.dial()
			if err != nil {
				return err
			}
			q := url.Values{"table": {table}, "since": {since}, "limit": {strconv.Itoa(limit)}}
			var list node.ConflictsReply
			if err := c.Node(cmd.Context(), http.MethodGet, "/v1/conflicts?"+q.Encode(), nil, &list); err != nil {
				return err
			}
			return a.print(list, func(w io.Writer) { writeConflicts(w, list) })
		},
	}
	cmd.Flags().StringVar(&table, "table", "", "of one table only")
	cmd.Flags().StringVar(&since, "since", "", "decided since a time, such as 2026-01-02T15:04:05Z")
	cmd.Flags().IntVar(&limit, "limit", 100, "the most that are listed, up to 100000")
	return a.outputFlag(cmd)
}

func writeConflicts(w io.Writer, list node.ConflictsReply) {
	if len(list.Conflicts) == 0 {
		fmt.Fprintln(w, "no conflicts")
		return
	}
	for _, c := range list.Conflicts {
		fmt.Fprintf(w, "#%d  %s  %s: %s (%s)\n", c.ID, clock(c.Time), keyText(c.Table, c.Key, c.Bucket, c.Object), c.Reason, c.Policy)
		fmt.Fprintf(w, "  won\t%s\t%s\t%s\n", c.Winner.Region, clock(c.Winner.Time), sideText(c.Winner))
		fmt.Fprintf(w, "  lost\t%s\t%s\t%s\n", c.Loser.Region, clock(c.Loser.Time), sideText(c.Loser))
	}
}

// maxSide bounds the text of one version in a table; JSON has the whole.
const maxSide = 200

func sideText(s journal.Side) string {
	switch {
	case s.Object != nil:
		return fmt.Sprintf("object of %d bytes, ETag %s", s.Object.Size, s.Object.ETag)
	case s.Tombstone:
		return "deleted"
	case s.Missing:
		return "content no longer at hand"
	}
	text := string(s.Item.AppendJSON(nil))
	if len(text) > maxSide {
		text = text[:maxSide] + "…"
	}
	return text
}
