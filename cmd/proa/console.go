package main

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/proa-cloud/proa/node"
)

func (a *app) consoleCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "console",
		Short:   "Print a link that opens the web console, once, within ten minutes",
		Example: "  proa console\n  xdg-open \"$(proa console)\"",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			link, err := a.consoleLink(cmd.Context())
			if err != nil {
				return err
			}
			return a.print(link, func(w io.Writer) { fmt.Fprintln(w, link.Link) })
		},
	}
	return a.outputFlag(cmd)
}

func (a *app) consoleLink(ctx context.Context) (node.ConsoleLink, error) {
	var link node.ConsoleLink
	c, err := a.dial()
	if err != nil {
		return link, err
	}
	return link, c.Node(ctx, http.MethodPost, "/v1/console", nil, &link)
}

// writeConsole ends what `proa up` prints. Without a console there is nothing to say.
func (a *app) writeConsole(ctx context.Context) {
	if link, err := a.consoleLink(ctx); err == nil {
		fmt.Fprintf(a.stdout, "\nThe console, for one visit (`%s` makes another link):\n  %s\n", invocation(a.dir)("console"), link.Link)
	}
}
