package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/config"
	"github.com/proa-cloud/proa/datasync"
	"github.com/proa-cloud/proa/node"
)

func (a *app) backfillCommand() *cobra.Command {
	var wait bool
	cmd := &cobra.Command{
		Use:     "backfill",
		Short:   "How far scans of existing data are; pause, resume, repeat them",
		Example: "  proa backfill\n  proa backfill --wait\n  proa backfill pause orders",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			reply, err := a.scans(cmd, wait)
			if err != nil {
				return err
			}
			return a.print(reply, func(w io.Writer) { writeScans(w, &reply) })
		},
	}
	cmd.Flags().BoolVar(&wait, "wait", false, "until every scan that is not paused is done, with progress")
	for _, verb := range []struct{ name, short string }{
		{"pause", "Stop the scans of a table (its changes go on), or all of a bucket"},
		{"resume", "Let the scans of a table go on from where they were, or a bucket"},
		{"restart", "Scan both sides of a table from the beginning, while writes go on"},
		{"release", "Say that what is missing in a bucket was deleted"},
	} {
		cmd.AddCommand(a.scanCommand(verb.name, verb.short))
	}
	cmd.AddCommand(a.restoredCommand())
	return a.outputFlag(cmd)
}

func (a *app) scans(cmd *cobra.Command, wait bool) (node.ScansReply, error) {
	for {
		var reply node.ScansReply
		if err := a.node(cmd, http.MethodGet, "/v1/backfill", nil, &reply); err != nil || !wait {
			return reply, err
		}
		left := 0
		for _, s := range reply.Scans {
			if s.Done || s.Paused {
				continue
			}
			left++
			a.hint("%s at %s: %d rows, %.0f a second", s.Table+s.Bucket, s.Region, s.Rows, s.Rate)
		}
		if left == 0 {
			return reply, nil
		}
		select {
		case <-time.After(time.Second):
		case <-cmd.Context().Done():
			return reply, cmd.Context().Err()
		}
	}
}

func (a *app) scanCommand(action, short string) *cobra.Command {
	what, example := "TABLE|BUCKET", "orders"
	switch action {
	case "restart":
		what = "TABLE"
	case "release":
		what, example = "BUCKET", "attachments"
	}
	cmd := &cobra.Command{
		Use:     action + " " + what,
		Short:   short,
		Example: "  proa backfill " + action + " " + example,
		Args:    tableOrBucket,
		RunE: func(cmd *cobra.Command, args []string) error {
			var reply node.ScansReply
			req := node.ScanRequest{Table: args[0], Action: action}
			if err := a.node(cmd, http.MethodPost, "/v1/backfill", req, &reply); err != nil {
				return err
			}
			return a.print(reply, func(w io.Writer) { writeScans(w, &reply) })
		},
	}
	return a.outputFlag(cmd)
}

// restoredCommand tells data sync of a table or bucket that was put back to an earlier state.
func (a *app) restoredCommand() *cobra.Command {
	var side, finished string
	cmd := &cobra.Command{
		Use:   "restored TABLE|BUCKET --side aws|azure|both",
		Short: "Say that one side of a table or bucket was restored from a backup",
		Long: "Say that one side of a table or bucket was put back to an earlier state, such as from a backup. What the restore has\n" +
			"undone is written again from the other side; older contents lose, and are in the journal. Nothing is deleted for being\n" +
			"missing; what was deleted since then is deleted again. Pause a bucket before it is restored. --side both is for a\n" +
			"bucket whose sides are both to be taken as they are: each gets what only the other one has.",
		Example: "  proa backfill restored orders --side aws\n" +
			"  proa backfill pause attachments\n  proa backfill restored attachments --side azure",
		Args: tableOrBucket,
		RunE: func(cmd *cobra.Command, args []string) error {
			req := node.ScanRequest{Table: args[0], Action: "restored"}
			var err error
			if req.Region, err = proa.ParseRegion(side); err != nil && side != "both" {
				return usage(fmt.Errorf("--side: %w", err))
			}
			if finished != "" {
				if req.At, err = time.Parse(time.RFC3339, finished); err != nil {
					return usage(fmt.Errorf("--finished: want a time such as 2026-01-02T15:04:05Z: %w", err))
				}
			}
			var reply node.ScansReply
			if err := a.node(cmd, http.MethodPost, "/v1/backfill", req, &reply); err != nil {
				return err
			}
			return a.print(reply, func(w io.Writer) { writeScans(w, &reply) })
		},
	}
	cmd.Flags().StringVar(&side, "side", "", "the side that was restored")
	cmd.Flags().StringVar(&finished, "finished", "", "a bucket's objects written later are new (default: now)")
	return a.outputFlag(cmd)
}

// tableOrBucket checks that the only argument names a table or bucket.
func tableOrBucket(cmd *cobra.Command, args []string) error {
	if len(args) != 1 || args[0] == "" {
		return usage(fmt.Errorf("%s takes one argument: a table or a bucket", cmd.CommandPath()))
	}
	return nil
}

func writeScans(w io.Writer, r *node.ScansReply) {
	fmt.Fprintln(w, "TABLE OR BUCKET\tSIDE\tSTATE\tROWS\tKEYS KNOWN\tROWS/S")
	for _, s := range r.Scans {
		state := "running"
		switch {
		case s.Done:
			state = "done"
		case s.Paused:
			state = "paused"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%.0f\n", s.Table+s.Bucket, s.Region, state, s.Rows, s.Known, s.Rate)
	}
}

// Validity is what `proa validate` prints of a file; one that is not valid is an error.
type Validity struct {
	File  string `json:"file"`
	Valid bool   `json:"valid"`
}

func (a *app) validateCommand() *cobra.Command {
	var file string
	var data bool
	var limit int
	cmd := &cobra.Command{
		Use:   "validate",
		Short: "Check proa.yaml and, with --data, that all data can cross",
		Long: "Check proa.yaml. With --data read both sides of every table and list the keys that could not be stored on the other\n" +
			"side, and why; with --config before anything runs, without it through the running node. Exit code 4 when there are any.",
		Example: "  proa validate --config proa.yaml\n  proa validate --config proa.yaml --data\n  proa validate --data -o json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file == "" && !data {
				return usage(fmt.Errorf("%s needs --config FILE, --data or both", cmd.CommandPath()))
			}
			cfg, err := config.Load(file)
			if err != nil {
				return err
			}
			if file != "" {
				text, err := os.ReadFile(file)
				if err != nil {
					return fmt.Errorf("read configuration: %w: %w", proa.ErrInvalidConfig, err)
				}
				if err := config.CheckSchema(file, text); err != nil {
					return err
				}
				if err := node.Check(cmd.Context(), node.Config{Proa: withRegions(cfg), Clock: time.Now}); err != nil {
					return fmt.Errorf("%s: %w", file, err)
				}
			}
			if !data {
				return a.print(Validity{File: file, Valid: true}, func(w io.Writer) { fmt.Fprintf(w, "%s is valid\n", file) })
			}
			return a.validateData(cmd, cfg, file != "", limit)
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "a proa.yaml")
	cmd.Flags().BoolVar(&data, "data", false, "read both sides and list what cannot cross")
	cmd.Flags().IntVar(&limit, "limit", 1000, "the most that are listed, up to 100000")
	return a.outputFlag(cmd)
}

// withRegions fills in what `proa up` does where a file says nothing of where its regions are.
func withRegions(c config.Config) config.Config {
	aws, azure := &c.Regions.AWS, &c.Regions.Azure
	for _, g := range []config.Gateway{aws.Gateway, azure.Gateway} {
		if g.URL != "" || len(g.Addresses) > 0 {
			return c
		}
	}
	c.Node.DNS = []string{"127.0.0.1:5353"}
	aws.Endpoint, azure.CosmosEndpoint, azure.StorageEndpoint = "http://127.0.64.1", "http://127.0.64.2", "http://127.0.64.2"
	aws.Gateway.URL, aws.Gateway.Addresses = "http://127.0.64.1", []string{"127.0.64.1"}
	azure.Gateway.URL, azure.Gateway.Addresses = "http://127.0.64.2", []string{"127.0.64.2"}
	return c
}

func (a *app) validateData(cmd *cobra.Command, cfg config.Config, direct bool, limit int) error {
	if limit < 1 || limit > 100000 {
		return usage(fmt.Errorf("--limit %d: want 1 to 100000", limit))
	}
	var p datasync.Preflight
	var err error
	if direct {
		p, err = a.preflight(cmd.Context(), cfg, limit)
	} else {
		err = a.node(cmd, http.MethodGet, fmt.Sprintf("/v1/validate?limit=%d", limit), nil, &p)
	}
	if err != nil {
		return err
	}
	if err := a.print(p, func(w io.Writer) { writePreflight(w, &p) }); err != nil {
		return err
	}
	switch {
	case len(p.Unreadable) > 0:
		return &exitCode{code: exitError}
	case p.Total > 0, len(p.Heavy) > 0:
		return &exitCode{code: exitDegraded}
	}
	return nil
}

// preflight reads both sides directly and reports progress once a second.
func (a *app) preflight(ctx context.Context, cfg config.Config, limit int) (datasync.Preflight, error) {
	type line struct {
		table  string
		region proa.Region
		rows   int64
	}
	lines := make(chan line, 64)
	done := make(chan struct{})
	go func() {
		defer close(done)
		last := time.Now()
		for l := range lines {
			if now := time.Now(); now.Sub(last) > time.Second {
				last = now
				a.hint("%s at %s: %d rows", l.table, l.region, l.rows)
			}
		}
	}()
	p, err := node.Preflight(ctx, cfg, limit, func(table string, region proa.Region, rows int64) {
		lines <- line{table, region, rows}
	})
	close(lines)
	<-done
	return p, err
}

func writePreflight(w io.Writer, p *datasync.Preflight) {
	fmt.Fprintf(w, "%d keys cannot cross, of %d rows at aws and %d at azure (took %.1f s)\n", p.Total, p.Rows[proa.AWS],
		p.Rows[proa.Azure], p.Took)
	for _, u := range p.Unreadable {
		fmt.Fprintf(w, "not read: %s\n", u)
	}
	for _, t := range p.NotReplicated {
		fmt.Fprintf(w, "%s stays in its region: it is never copied\n", t)
	}
	for _, h := range p.Heavy {
		fmt.Fprintf(w, "%s at %s holds %.1f to %.1f GB under one partition key: Cosmos DB takes 20\n",
			keyText(h.Table, h.Key, "", ""), h.From, float64(h.Bytes-h.Over)/(1<<30), float64(h.Bytes)/(1<<30))
	}
	if len(p.Listed) == 0 {
		return
	}
	fmt.Fprintln(w, "\nKEY\tFROM\tTO\tREASON")
	for _, u := range p.Listed {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", keyText(u.Table, u.Key, "", ""), u.From, u.To, shorten(u.Reason, maxReason))
	}
}
