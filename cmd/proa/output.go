package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

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
	a.answered()
	if a.output == "json" {
		enc := json.NewEncoder(a.stdout)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return enc.Encode(data)
	}
	var text strings.Builder
	t := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	table(t)
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(a.stdout, fit(text.String(), columns(a.stdout)))
	return err
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

// oneOfFlag is a flag that takes one of a few words, the first of which is its default.
func (a *app) oneOfFlag(cmd *cobra.Command, into *string, name string, allowed ...string) {
	cmd.Flags().StringVar(into, name, allowed[0], strings.Join(allowed, ", "))
	_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(allowed, cobra.ShellCompDirectiveNoFileComp))
	check := cmd.PreRunE
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		if !slices.Contains(allowed, *into) {
			return usage(fmt.Errorf("--%s %q: want %s", name, *into, strings.Join(allowed, ", ")))
		}
		if check != nil {
			return check(cmd, args)
		}
		return nil
	}
}

// hint says on stderr what has happened and which command comes next.
func (a *app) hint(format string, args ...any) {
	a.answered()
	say(a.stderr, fmt.Sprintf(format, args...))
}

// say writes a message for people, which fits their terminal.
func say(w io.Writer, text string) { _, _ = io.WriteString(w, fit(text+"\n", columns(w))) }

// quiet is how long something may take before the user is told that it goes on.
const quiet = time.Second

// progress runs do and says on stderr, once it takes over a second, what is being done and for how long: in place on a
// terminal, in a line every ten seconds elsewhere.
func (a *app) progress(what string, do func() error) error {
	a.begin(what)
	defer a.answered()
	return do()
}

// begin says the same until answered is called, which whatever prints does first.
func (a *app) begin(what string) {
	a.answered()
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		a.tellTime(what, stop)
	}()
	a.ended = func() { close(stop); <-done }
}

// answered ends what begin began.
func (a *app) answered() {
	if a.ended != nil {
		a.ended()
	}
	a.ended = nil
}

func (a *app) tellTime(what string, stop <-chan struct{}) {
	started, every := time.Now(), 10*time.Second
	live := isTerminal(a.stderr)
	if live {
		every = 100 * time.Millisecond
	}
	tick := time.NewTimer(quiet)
	defer tick.Stop()
	for said := false; ; said = true {
		select {
		case <-stop:
			if said && live {
				fmt.Fprint(a.stderr, "\r\x1b[K")
			}
			return
		case <-tick.C:
			text := fmt.Sprintf("%s … %.0f s", what, time.Since(started).Seconds())
			if live {
				fmt.Fprint(a.stderr, "\r\x1b[K"+clip(text, columns(a.stderr)))
			} else {
				say(a.stderr, text)
			}
			tick.Reset(every)
		}
	}
}

// dial finds the running system.
func (a *app) dial() (*supervisor.Client, error) {
	c, err := supervisor.Dial(a.dir)
	if err == nil {
		c.Operator = operator()
		a.begin("waiting for the system's answer")
	}
	return c, err
}

// orDash renders what may be unknown.
func orDash[T any](v *T, suffix string) string {
	if v == nil {
		return "unknown"
	}
	return fmt.Sprintf("%v%s", *v, suffix)
}
