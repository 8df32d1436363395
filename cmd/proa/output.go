package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/internal/supervisor"
)

// outputFlag gives a command -o table|json.
func (a *app) outputFlag(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().StringVarP(&a.output, "output", "o", "table", "table or json")
	check := cmd.PreRunE
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		if a.output != "table" && a.output != "json" {
			return usage(fmt.Errorf("unknown output %q: want table or json", a.output))
		}
		if check != nil {
			return check(cmd, args)
		}
		return nil
	}
	return cmd
}

// print writes data as JSON, or with the given function as a table.
func (a *app) print(data any, table func(io.Writer)) error {
	if a.output == "json" {
		enc := json.NewEncoder(a.stdout)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return enc.Encode(data)
	}
	t := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	table(t)
	return t.Flush()
}

// noArgs and oneRegion check positional arguments as the caller's use.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage(fmt.Errorf("%s takes no argument, got %q", cmd.CommandPath(), args[0]))
	}
	return nil
}

func oneOf(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usage(fmt.Errorf("%s takes one argument: one of %v", cmd.CommandPath(), names))
		}
		for _, n := range names {
			if args[0] == n {
				return nil
			}
		}
		return usage(fmt.Errorf("%s: unknown %q: want one of %v", cmd.CommandPath(), args[0], names))
	}
}

func oneRegion(cmd *cobra.Command, args []string) error {
	return oneOf(string(proa.AWS), string(proa.Azure))(cmd, args)
}

// dial finds the running system.
func (a *app) dial() (*supervisor.Client, error) { return supervisor.Dial(a.dir) }

// orDash renders what may be unknown.
func orDash[T any](v *T, suffix string) string {
	if v == nil {
		return "unknown"
	}
	return fmt.Sprintf("%v%s", *v, suffix)
}
