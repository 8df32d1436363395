package main

import (
	"context"
	"fmt"
	"io"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/spf13/cobra"

	"github.com/proa-cloud/proa/internal/supervisor"
)

// sample is the system at one moment, as top shows it.
type sample struct {
	at     time.Time
	status supervisor.Status
	err    error
}

func (a *app) topCommand() *cobra.Command {
	every := time.Second
	cmd := &cobra.Command{
		Use:   "top",
		Short: "Watch the picture live in the terminal",
		Long: "Watch the picture live in the terminal: where traffic goes, both regions, replication in both directions, faults in force. q\n" +
			"ends it. Where standard output is no terminal, it prints the picture once, as text, or with -o json as `proa status` does.",
		Example: "  proa top\n  proa top --interval 250ms\n  proa top | cat",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if every < 50*time.Millisecond || every > time.Hour {
				return usage(fmt.Errorf("--interval %s: want 50ms to 1h", every))
			}
			c, err := a.dial()
			if err != nil {
				return err
			}
			if a.output == "json" || !isTerminal(a.stdout) {
				s := look(cmd.Context(), c)
				if s.err != nil {
					return s.err
				}
				return a.print(s.status, func(w io.Writer) {
					_, _ = io.WriteString(w, picture(view{samples: []sample{s}, width: narrowest, paint: a.style})) // a reader that has gone
				})
			}
			return a.top(cmd.Context(), c, every)
		},
	}
	cmd.Flags().DurationVar(&every, "interval", every, "time between two looks")
	return a.outputFlag(cmd)
}

func look(ctx context.Context, c *supervisor.Client) sample {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	s, err := c.Status(ctx)
	return sample{at: time.Now(), status: s, err: err}
}

func (a *app) top(ctx context.Context, c *supervisor.Client, every time.Duration) error {
	a.answered()
	m := topModel{every: every, look: func() sample { return look(ctx, c) }, view: view{width: narrowest, height: 24, paint: a.style, live: true}}
	_, err := tea.NewProgram(m, tea.WithContext(ctx), tea.WithOutput(a.stdout)).Run()
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("draw on the terminal: %w", err)
	}
	return nil
}

// topModel is bubbletea's: what is shown, and when to look again.
type topModel struct {
	every time.Duration
	look  func() sample
	view  view
}

// maxSamples bounds what the small plots remember.
const maxSamples = 120

// again says that it is time for the next look.
type again struct{}

// Init looks at once.
func (m topModel) Init() tea.Cmd { return m.observe }

func (m topModel) observe() tea.Msg { return m.look() }

// Update takes a key, a size, a sample or the time for the next one.
func (m topModel) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.KeyPressMsg:
		switch msg.String() {
		case "q", "esc", "ctrl+c":
			return m, tea.Quit
		}
	case tea.WindowSizeMsg:
		m.view.width, m.view.height = msg.Width, msg.Height
	case sample:
		samples := append(m.view.samples[:len(m.view.samples):len(m.view.samples)], msg)
		m.view.samples = samples[max(0, len(samples)-maxSamples):]
		return m, tea.Tick(m.every, func(time.Time) tea.Msg { return again{} })
	case again:
		return m, m.observe
	}
	return m, nil
}

// View draws.
func (m topModel) View() tea.View {
	v := tea.NewView(picture(m.view))
	v.AltScreen = true
	return v
}
