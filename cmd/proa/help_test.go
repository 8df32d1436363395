package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

// everyCommand calls do for each command that proa has itself.
func everyCommand(do func(*cobra.Command)) {
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Name() == "help" {
			return
		}
		do(c)
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(newRoot(new(bytes.Buffer), new(bytes.Buffer)))
}

func TestEveryCommandsHelpHasAnExampleAndFits80Columns(t *testing.T) {
	everyCommand(func(c *cobra.Command) {
		if c.Example == "" || c.Short == "" {
			t.Errorf("%s has no example or no description", c.CommandPath())
		}
		var out, errs bytes.Buffer
		args := append(strings.Fields(c.CommandPath())[1:], "--help")
		if code := run(t.Context(), args, &out, &errs); code != exitOK {
			t.Errorf("%v: exit %d: %s", args, code, errs.String())
		}
		for line := range strings.Lines(out.String()) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > narrowest {
				t.Errorf("%s: %d columns: %s", c.CommandPath(), n, line)
			}
		}
	})
}

// speechless run until they are stopped, or print what a shell reads.
var speechless = map[string]bool{
	"proa": true, "proa up": true, "proa down": true, "proa cloud": true, "proa node": true, "proa dns": true,
	"proa dns key": true, "proa config": true, "proa completion": true, "proa completion bash": true, "proa completion zsh": true, "proa completion fish": true,
	"proa completion powershell": true,
}

func TestEveryCommandThatAnswersDoesSoInJSON(t *testing.T) {
	everyCommand(func(c *cobra.Command) {
		if speechless[c.CommandPath()] || c.HasSubCommands() && !c.Runnable() {
			return
		}
		if c.Flags().Lookup("output") == nil {
			t.Errorf("%s has no -o table|json", c.CommandPath())
		}
	})
}

func TestWhatTheIssueAsksForIsThere(t *testing.T) {
	root := newRoot(new(bytes.Buffer), new(bytes.Buffer))
	for _, name := range strings.Fields(`up status top kill heal brownout partition skew drill switchover failback explain diff
		verify conflicts restore quarantine validate doctor deploy node cloud config completion version`) {
		if c, _, err := root.Find([]string{name}); err != nil || c == root {
			t.Errorf("proa %s is missing", name)
		}
	}
}

func TestLongLinesBreakBelowTheirLastColumn(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"short\n", "short\n"},
		{"", ""},
		{
			"aws   unhealthy  it does not answer any more since the connection was refused by the gateway itself\n",
			"aws   unhealthy  it does not answer any more since the connection was refused by\n                 the gateway itself\n",
		},
		{
			"plain text that is quite a bit longer than the eighty columns which a terminal usually has\n",
			"plain text that is quite a bit longer than the eighty columns which a terminal\n  usually has\n",
		},
		{strings.Repeat("x", 100) + "\n", strings.Repeat("x", 100) + "\n"},
		{"see " + strings.Repeat("x", 100) + " there\n", "see\n  " + strings.Repeat("x", 100) + "\n  there\n"},
		{"\x1b[33m" + strings.Repeat("ab ", 26) + "\x1b[0m\n", "\x1b[33m" + strings.Repeat("ab ", 26) + "\x1b[0m\n"},
	} {
		if got := fit(c.in, narrowest); got != c.want {
			t.Errorf("got\n%swant\n%s", got, c.want)
		}
	}
}

func TestMessagesFitTheTerminalAndSayThatTheyWait(t *testing.T) {
	t.Setenv("COLUMNS", "80")
	var errs bytes.Buffer
	a := &app{stdout: new(bytes.Buffer), stderr: &errs}
	a.hint("%s is dead. Watch with `proa status`, see why with `proa explain`, bring it back with `proa heal %s`.", "aws", "aws")
	err := a.progress("comparing", func() error {
		time.Sleep(quiet + 500*time.Millisecond)
		return nil
	})
	if err != nil || !strings.Contains(errs.String(), "comparing … 1 s\n") {
		t.Errorf("%v; it does not say what it waits for:\n%s", err, errs.String())
	}
	for line := range strings.Lines(errs.String()) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > narrowest {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	if code := run(t.Context(), []string{"conflicts", "replay", "--policy", strings.Repeat("newest ", 20)}, new(bytes.Buffer), &errs); code != exitUsage {
		t.Errorf("exit %d", code)
	}
	for line := range strings.Lines(errs.String()) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > narrowest {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}
