package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/spf13/cobra"

	"github.com/proa-cloud/proa/config"
	"github.com/proa-cloud/proa/node"
)

func (a *app) configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Begin, describe and compare proa.yaml; see what a node runs with",
		Example: "  proa config init > proa.yaml\n  proa config schema > proa.schema.json\n" +
			"  proa config diff proa.yaml proa.yaml.new\n  proa config status",
	}
	cmd.AddCommand(a.configInitCommand(), a.configSchemaCommand(), a.configDiffCommand(), a.configStatusCommand())
	return cmd
}

func (a *app) configInitCommand() *cobra.Command {
	return a.outputFlag(&cobra.Command{
		Use:     "init [FILE]",
		Short:   "Write a commented proa.yaml that is valid",
		Long:    "Write a commented proa.yaml that is valid, to standard output or to a FILE that does not exist yet.",
		Example: "  proa config init\n  proa config init proa.yaml && proa validate --config proa.yaml",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) > 1:
				return usage(fmt.Errorf("%s takes one file at most", cmd.CommandPath()))
			case a.output == "json":
				return a.print(struct {
					YAML string `json:"yaml"`
				}{config.Example()}, nil)
			case len(args) == 0:
				_, err := io.WriteString(a.stdout, config.Example())
				return err
			}
			f, err := os.OpenFile(args[0], os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
			if err != nil {
				return fmt.Errorf("write %s: %w", args[0], err)
			}
			if _, err := io.WriteString(f, config.Example()); err != nil {
				return errors.Join(fmt.Errorf("write %s: %w", args[0], err), f.Close())
			}
			a.hint("wrote %s; edit it, then: proa validate --config %s", args[0], args[0])
			return f.Close()
		},
	})
}

func (a *app) configSchemaCommand() *cobra.Command {
	return a.outputFlag(&cobra.Command{
		Use:     "schema",
		Short:   "Print the JSON Schema of proa.yaml, for editors",
		Example: "  proa config schema > proa.schema.json",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := a.stdout.Write(config.Schema())
			return err
		},
	})
}

// ConfigDiff is what `proa config diff` prints.
type ConfigDiff struct {
	Changes []config.Change `json:"changes"`
}

func (a *app) configDiffCommand() *cobra.Command {
	return a.outputFlag(&cobra.Command{
		Use:     "diff OLD NEW",
		Short:   "Say what a new proa.yaml changes, and what needs a restart",
		Example: "  proa config diff proa.yaml proa.yaml.new",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usage(fmt.Errorf("%s takes two files, the old one first", cmd.CommandPath()))
			}
			old, err := config.Load(args[0])
			if err != nil {
				return err
			}
			fresh, err := config.Load(args[1])
			if err != nil {
				return err
			}
			d := ConfigDiff{Changes: config.Diff(old, fresh)}
			return a.print(d, func(w io.Writer) { writeChanges(w, d.Changes) })
		},
	})
}

func writeChanges(w io.Writer, list []config.Change) {
	if len(list) == 0 {
		fmt.Fprintln(w, "nothing changes")
		return
	}
	fmt.Fprintln(w, "FIELD\tTAKES EFFECT\tCHANGE")
	for _, c := range list {
		when := "at the next start"
		if c.Live {
			when = "at once"
		}
		fmt.Fprintf(w, "%s\t%s\t%s → %s\n", c.Path, when, c.Old, c.New)
	}
}

func (a *app) configStatusCommand() *cobra.Command {
	return a.outputFlag(&cobra.Command{
		Use:   "status",
		Short: "Say when the node read its file, and what waits for a restart",
		Long: "Say when the running node read its proa.yaml last, why it refused a newer one, and which changes wait for a restart. A node reads\n" +
			"its file again when it changes, and on SIGHUP; while the file is not valid, the last good one stays in force.",
		Example: "  proa config status\n  proa config status -o json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var r node.ReloadStatus
			if err := a.node(cmd, http.MethodGet, "/v1/config", nil, &r); err != nil {
				return err
			}
			return a.print(r, func(w io.Writer) {
				fmt.Fprintf(w, "%s, read %s\n", r.File, clock(r.Loaded))
				if r.Error != "" {
					fmt.Fprintf(w, "the file of %s is refused, the last good one is in force: %s\n", clock(r.Refused), r.Error)
				}
				for _, f := range r.Files {
					fmt.Fprintf(w, "%s, read %s\n", f.File, clock(f.Loaded))
					if f.Error != "" {
						fmt.Fprintf(w, "the file of %s is refused, the last good one serves on: %s\n", clock(f.Refused), f.Error)
					}
				}
				if len(r.Changed) > 0 {
					fmt.Fprintln(w, "\nchanged last:")
					writeChanges(w, r.Changed)
				}
				if len(r.Waiting) > 0 {
					fmt.Fprintln(w, "\nwaiting for a restart:")
					writeChanges(w, r.Waiting)
				}
			})
		},
	})
}
