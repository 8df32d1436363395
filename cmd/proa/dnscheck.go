package main

import (
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/proa-cloud/proa/traffic/delegation"
)

// dnsCheckCommand compares a zone with what its parent says of it.
func (a *app) dnsCheckCommand() *cobra.Command {
	c := delegation.Config{Clock: time.Now}
	cmd := a.outputFlag(&cobra.Command{
		Use:   "check ZONE",
		Short: "Compare a zone with its parent: servers, glue, DS",
		Example: "  proa dns check orders.example.com --server 203.0.113.7\n" +
			"  proa dns check orders.example.com --server 203.0.113.7 --parent 198.51.100.1",
		Args: oneZone,
		RunE: func(cmd *cobra.Command, args []string) error {
			if c.Server == "" {
				return usage(fmt.Errorf("%s needs --server, a name server of the zone", cmd.CommandPath()))
			}
			c.Zone, c.Server, c.Resolver = args[0], withPort(c.Server), withPort(c.Resolver)
			for i, parent := range c.Parents {
				c.Parents[i] = withPort(parent)
			}
			report, err := delegation.Check(cmd.Context(), c)
			if err != nil {
				return err
			}
			if err := a.printDelegation(report); err != nil {
				return err
			}
			if report.Errors() > 0 {
				return &exitCode{code: exitDegraded}
			}
			return nil
		},
	})
	flags := cmd.Flags()
	flags.StringVar(&c.Server, "server", "", "a name server of the zone: what should be")
	flags.StringSliceVar(&c.Parents, "parent", nil, "the parent's name servers; else the resolver's")
	flags.StringVar(&c.Resolver, "resolver", "1.1.1.1:53", "a resolver that knows the parent")
	flags.Uint16Var(&c.Port, "port", 53, "where the delegated servers are asked")
	return cmd
}

func (a *app) printDelegation(r delegation.Report) error {
	return a.print(r, func(w io.Writer) {
		for _, f := range r.Findings {
			fmt.Fprintf(w, "%s\t%s\t%s\n", f.Severity, f.Server, f.Text)
		}
		if len(r.Findings) == 0 {
			fmt.Fprintf(w, "%s and its parent agree, says %s\n", r.Zone, strings.Join(r.Parents, ", "))
		}
	})
}

// withPort adds DNS's port to an address that has none.
func withPort(address string) string {
	if _, _, err := net.SplitHostPort(address); err == nil || address == "" {
		return address
	}
	return net.JoinHostPort(strings.Trim(address, "[]"), "53")
}
