package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync"
	"github.com/proa-cloud/proa/datasync/policy"
	"github.com/proa-cloud/proa/datasync/resolve/journal"
	"github.com/proa-cloud/proa/node"
)

func (a *app) conflictsCommand() *cobra.Command {
	var table, since, until, key, keyRange, decided string
	var limit int
	cmd := &cobra.Command{
		Use:   "conflicts",
		Short: "Search the conflict journal: both versions, the winner and why",
		Example: "  proa conflicts\n  proa conflicts --table orders --key o-1 -o json\n" +
			"  proa conflicts show 7\n  proa conflicts replay --policy merge",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if key != "" && table == "" {
				return usage(errors.New("--key needs --table"))
			}
			q := url.Values{
				"table": {table}, "since": {since}, "until": {until}, "hash": {key}, "range": {keyRange},
				"policy": {decided}, "limit": {strconv.Itoa(limit)},
			}
			var list node.ConflictsReply
			if err := a.node(cmd, http.MethodGet, "/v1/conflicts?"+q.Encode(), nil, &list); err != nil {
				return err
			}
			return a.print(list, func(w io.Writer) { writeConflicts(w, list) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&table, "table", "", "of one table only")
	f.StringVar(&key, "key", "", "of one key only (with --table)")
	f.StringVar(&keyRange, "range", "", "the key's range part")
	f.StringVar(&since, "since", "", "decided since a time, such as 2026-01-02T15:04:05Z")
	f.StringVar(&until, "until", "", "decided until a time")
	f.StringVar(&decided, "policy", "", "decided by a policy that begins so, such as merge")
	f.IntVar(&limit, "limit", 100, "the most that are listed, up to 100000")
	cmd.AddCommand(a.conflictCommand(), a.replayCommand(), a.settleCommand())
	return a.outputFlag(cmd)
}

// node asks the running node.
func (a *app) node(cmd *cobra.Command, method, path string, body, into any) error {
	c, err := a.dial()
	if err != nil {
		return err
	}
	return c.Node(cmd.Context(), method, path, body, into)
}

// oneID checks that the only argument is a number.
func oneID(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usage(fmt.Errorf("%s takes one argument: the number of a conflict", cmd.CommandPath()))
	}
	if _, err := strconv.ParseUint(strings.TrimPrefix(args[0], "#"), 10, 64); err != nil {
		return usage(fmt.Errorf("%s: %q is not the number of a conflict", cmd.CommandPath(), args[0]))
	}
	return nil
}

func (a *app) conflictCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "show ID",
		Short:   "Show one conflict whole",
		Example: "  proa conflicts show 7",
		Args:    oneID,
		RunE: func(cmd *cobra.Command, args []string) error {
			var c node.Conflict
			path := "/v1/conflicts/" + strings.TrimPrefix(args[0], "#")
			if err := a.node(cmd, http.MethodGet, path, nil, &c); err != nil {
				return err
			}
			return a.print(c, func(w io.Writer) { writeConflict(w, &c) })
		},
	}
	return a.outputFlag(cmd)
}

func writeConflict(w io.Writer, c *node.Conflict) {
	fmt.Fprintf(w, "#%d  %s  %s\n", c.ID, c.Time.Local().Format("2006-01-02 15:04:05.000"),
		keyText(c.Table, c.Key, c.Bucket, c.Object))
	fmt.Fprintf(w, "%s, decided by %s", c.Reason, c.Policy)
	if c.Outcome != "" {
		fmt.Fprintf(w, ": %s", c.Outcome)
	}
	fmt.Fprintln(w)
	if c.Note != "" {
		fmt.Fprintf(w, "note: %s\n", c.Note)
	}
	if c.Node != "" {
		fmt.Fprintf(w, "in the journal of %s\n", c.Node)
	}
	if len(c.Redacted) > 0 {
		fmt.Fprintf(w, "never logged: %s\n", strings.Join(c.Redacted, ", "))
	}
	side := func(name string, s *journal.Side) {
		text := sideText(*s)
		if s.Item != nil {
			text = string(s.Item.AppendJSON(nil))
		}
		fmt.Fprintf(w, "\n%s\twritten in %s at %s\n\tversion %s\n\t%s\n", name, s.Region, clock(s.Time), s.Version, text)
	}
	side("won", &c.Winner)
	side("lost", &c.Loser)
	if c.Base != nil {
		side("base", c.Base)
	}
	if c.Merged != nil {
		fmt.Fprintf(w, "\nmerged\t%s\n", c.Merged.AppendJSON(nil))
	}
}

func (a *app) restoreCommand() *cobra.Command {
	var from string
	cmd := &cobra.Command{
		Use:   "restore ID",
		Short: "Write the loser of a conflict back, as a new version on both sides",
		Long: "Write the loser of a conflict back as a new version, after everything known of the key and through the same\n" +
			"compare-and-set as any write. Of a merge, --from chooses the state by the region where it was written.",
		Example: "  proa restore 7\n  proa restore 7 --from azure",
		Args:    oneID,
		RunE: func(cmd *cobra.Command, args []string) error {
			if from != "" {
				if _, err := proa.ParseRegion(from); err != nil {
					return usage(err)
				}
			}
			var r datasync.Restored
			path := "/v1/conflicts/" + strings.TrimPrefix(args[0], "#") + "/restore"
			if err := a.node(cmd, http.MethodPost, path, node.RestoreRequest{From: proa.Region(from)}, &r); err != nil {
				return err
			}
			return a.print(r, func(w io.Writer) { writeRestored(w, &r) })
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "aws or azure; the loser when left out")
	return a.outputFlag(cmd)
}

func writeRestored(w io.Writer, r *datasync.Restored) {
	what := "written"
	if r.Deleted {
		what = "deleted"
	}
	fmt.Fprintf(w, "%s is %s as version %s; both sides follow\n", keyText(r.Table, r.Key, r.Bucket, r.Object), what, r.Version)
}

func (a *app) replayCommand() *cobra.Command {
	var req node.ReplayRequest
	var attributes []string
	var since, until string
	cmd := &cobra.Command{
		Use:   "replay --policy POLICY",
		Short: "Say what another policy would have decided; nothing is written",
		Example: "  proa conflicts replay --policy merge\n  proa conflicts replay --policy 'prefer: aws' --table orders\n" +
			"  proa conflicts replay --policy lww --attribute stock=counter",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := replayRequest(&req, attributes, since, until); err != nil {
				return usage(err)
			}
			var reply node.ReplayReply
			if err := a.node(cmd, http.MethodPost, "/v1/conflicts/replay", req, &reply); err != nil {
				return err
			}
			return a.print(reply, func(w io.Writer) { writeReplay(w, &reply) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&req.Policy, "policy", "", `lww, merge, counter, set, manual, "prefer: REGION" or "cel: EXPRESSION"`)
	f.StringArrayVar(&attributes, "attribute", nil, "NAME=POLICY, of one attribute; may be repeated")
	f.StringVar(&req.Table, "table", "", "of one table only")
	f.StringVar(&since, "since", "", "decided since a time, such as 2026-01-02T15:04:05Z")
	f.StringVar(&until, "until", "", "decided until a time")
	f.StringVar(&req.Decided, "decided", "", "of entries whose policy begins so")
	f.IntVar(&req.Limit, "limit", 0, "the newest so many; all, up to 100,000, when left out")
	return a.outputFlag(cmd)
}

func replayRequest(req *node.ReplayRequest, attributes []string, since, until string) error {
	if req.Policy == "" {
		return errors.New("--policy is missing")
	}
	if _, err := policy.Parse(req.Policy); err != nil {
		return err
	}
	req.Attributes = map[string]string{}
	for _, text := range attributes {
		name, rule, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return fmt.Errorf("--attribute %q: want NAME=POLICY", text)
		}
		if _, err := policy.Parse(rule); err != nil {
			return fmt.Errorf("--attribute %s: %w", name, err)
		}
		req.Attributes[name] = rule
	}
	for _, bound := range []struct {
		flag, text string
		into       *time.Time
	}{{"--since", since, &req.Since}, {"--until", until, &req.Until}} {
		if bound.text == "" {
			continue
		}
		at, err := time.Parse(time.RFC3339Nano, bound.text)
		if err != nil {
			return fmt.Errorf("%s %q: want a time such as 2026-01-02T15:04:05Z", bound.flag, bound.text)
		}
		*bound.into = at
	}
	return nil
}

func writeReplay(w io.Writer, r *node.ReplayReply) {
	writeSilent(w, r.Silent)
	fmt.Fprintf(w, "%s would have decided %d of %d conflicts differently\n", r.Policy, r.Different, r.Conflicts)
	if r.More {
		fmt.Fprintln(w, "there are older ones: see --limit and --until")
	}
	if r.Different == 0 {
		return
	}
	fmt.Fprintln(w, "\nID\tKEY\tWAS\tWOULD BE\tCONTENT")
	for i := range r.Replayed {
		one := &r.Replayed[i]
		if one.Same {
			continue
		}
		content := "deleted"
		if !one.Delete {
			content = shorten(string(one.Item.AppendJSON(nil)), maxSide)
		}
		if one.Item == nil && !one.Delete {
			content = ""
		}
		if one.Left {
			content = "(left out: narrow the search)"
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\n", one.ID, keyText(one.Table, one.Key, "", ""), one.Was, one.Would, content)
	}
}

func (a *app) settleCommand() *cobra.Command {
	var take, item string
	var drop bool
	cmd := &cobra.Command{
		Use:   "settle TABLE KEY [RANGE]",
		Short: "End a conflict that the policy manual holds",
		Example: "  proa conflicts settle orders o-1 --take aws\n  proa conflicts settle orders o-1 --drop\n" +
			`  proa conflicts settle orders o-1 --item '{"id":{"S":"o-1"}}'`,
		Args: keyArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			req := node.SettleRequest{KeyRequest: keyRequest(args), Take: proa.Region(take), Drop: drop}
			if item != "" {
				if err := json.Unmarshal([]byte(item), &req.Item); err != nil {
					return usage(fmt.Errorf("--item: want DynamoDB JSON: %w", err))
				}
			}
			if n := len(take) > 0; (n && drop) || (n && item != "") || (drop && item != "") || (!n && !drop && item == "") {
				return usage(errors.New("give one of --take, --item and --drop"))
			}
			if take != "" {
				if _, err := proa.ParseRegion(take); err != nil {
					return usage(err)
				}
			}
			var r datasync.Restored
			if err := a.node(cmd, http.MethodPost, "/v1/conflicts/settle", req, &r); err != nil {
				return err
			}
			return a.print(r, func(w io.Writer) { writeRestored(w, &r) })
		},
	}
	cmd.Flags().StringVar(&take, "take", "", "aws or azure: the state that was written there")
	cmd.Flags().StringVar(&item, "item", "", "another content, in DynamoDB JSON")
	cmd.Flags().BoolVar(&drop, "drop", false, "delete the key")
	return a.outputFlag(cmd)
}

// keyArgs checks TABLE KEY [RANGE].
func keyArgs(cmd *cobra.Command, args []string) error {
	if len(args) < 2 || len(args) > 3 {
		return usage(fmt.Errorf("%s takes a table, a key and, where the table has one, a range key", cmd.CommandPath()))
	}
	return nil
}

func keyRequest(args []string) node.KeyRequest {
	r := node.KeyRequest{Table: args[0]}
	if len(args) > 1 {
		r.Hash = args[1]
	}
	if len(args) > 2 {
		r.Range = args[2]
	}
	return r
}

// writeSilent says which nodes could not be asked, so that nobody takes a list for the whole.
func writeSilent(w io.Writer, silent []node.Silence) {
	for _, s := range silent {
		fmt.Fprintf(w, "warning: %s did not answer, so what it alone has is missing here: %s\n", s.Node, s.Why)
	}
}

func writeConflicts(w io.Writer, list node.ConflictsReply) {
	writeSilent(w, list.Silent)
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
