// Command proa keeps one serverless application alive on AWS and Azure. `proa up` runs all of it, both clouds included, on one machine.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/examples/orders"
)

// Exit codes, the same for every command.
const (
	exitOK       = 0
	exitError    = 1
	exitUsage    = 2
	exitConfig   = 3
	exitDegraded = 4
	exitMissed   = 5
)

func main() {
	// The clouds run this same binary as the demo's function, under the name that both vendors give a custom runtime.
	if filepath.Base(os.Args[0]) == "bootstrap" {
		if err := orders.Main(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(exitError)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the whole command line: data goes to stdout, messages to stderr, and the exit code is returned.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	a := &app{stdout: stdout, stderr: stderr}
	root := a.root()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	a.answered()
	if err == nil {
		return exitOK
	}
	var coded *exitCode
	if errors.As(err, &coded) {
		if coded.err != nil {
			say(stderr, "proa: "+coded.err.Error())
		}
		return coded.code
	}
	say(stderr, "proa: "+err.Error())
	if errors.Is(err, proa.ErrInvalidConfig) {
		return exitConfig
	}
	return exitError
}

// exitCode is an error that decides the exit code; err may be nil where everything has been said.
type exitCode struct {
	code int
	err  error
}

// Error renders the cause.
func (e *exitCode) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

// Unwrap returns the cause.
func (e *exitCode) Unwrap() error { return e.err }

// usage marks an error as the caller's wrong use of the command line.
func usage(err error) error { return &exitCode{code: exitUsage, err: err} }

// app is what all commands share.
type app struct {
	stdout, stderr io.Writer
	dir            string
	output         string
	ended          func() // what is being waited for, nil when nothing is
}

func newRoot(stdout, stderr io.Writer) *cobra.Command {
	return (&app{stdout: stdout, stderr: stderr}).root()
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "proa",
		Short:         "Keep one serverless application alive on two clouds",
		Long:          "proa keeps one serverless application alive on AWS and Azure: a DNS traffic manager that fails over,\nand a replicator that keeps DynamoDB and Cosmos DB, S3 and Blob Storage equal in both directions.",
		Example:       "  proa up                 run everything, both clouds included, on this machine\n  proa kill aws           lose a cloud, for real\n  proa status             see where traffic is and what is not replicated yet",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage(fmt.Errorf("unknown command %q: see `proa --help`", args[0]))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage(fmt.Errorf("%w: see `%s --help`", err, cmd.CommandPath()))
	})
	root.PersistentFlags().StringVar(&a.dir, "dir", "./.proa", "the system's folder")
	a.addCommands(root)
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		if c.Name() == "completion" {
			completes(c)
		}
		refuseUnknown(c)
	}
	return root
}

// completes gives cobra's own command examples, as all others have them.
func completes(c *cobra.Command) {
	c.Example = "  source <(proa completion bash)"
	for _, shell := range c.Commands() {
		shell.Example = "  proa completion " + shell.Name()
	}
}

// refuseUnknown makes commands that only hold others refuse what they do not know, where cobra would show their help.
func refuseUnknown(c *cobra.Command) {
	for _, sub := range c.Commands() {
		refuseUnknown(sub)
	}
	if c.Runnable() || !c.HasSubCommands() {
		return
	}
	c.Args = cobra.ArbitraryArgs
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usage(fmt.Errorf("unknown command %q: see `%s --help`", args[0], cmd.CommandPath()))
		}
		return cmd.Help()
	}
}
