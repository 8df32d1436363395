package main

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/proa-cloud/proa/node"
	"github.com/proa-cloud/proa/traffic/cluster"
)

func (a *app) nodesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "nodes",
		Short:   "Say who decides, which nodes are here, and their record",
		Example: "  proa nodes\n  proa nodes -o json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var v cluster.View
			if err := a.node(cmd, http.MethodGet, "/v1/cluster", nil, &v); err != nil {
				return err
			}
			return a.print(v, func(w io.Writer) { a.writeCluster(w, &v) })
		},
	}
	cmd.AddCommand(a.forceNodesCommand())
	return a.outputFlag(cmd)
}

func (a *app) writeCluster(w io.Writer, v *cluster.View) {
	fmt.Fprintf(w, "%s (as %s sees it)\n\n", v.Quorum, v.Self)
	fmt.Fprintln(w, "NODE\tBESIDE\tMEMBER\tALIVE\tSTATE\tTROUBLE")
	for i := range v.Nodes {
		n := &v.Nodes[i]
		beside, id := string(n.Beside), n.ID
		if beside == "" {
			beside = "-"
		}
		if id == "" {
			id = "no member yet"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%t\t%d\t%s\n", n.Name, beside, id, n.Alive, n.Seq, n.Trouble)
	}
	if v.Leaving != "" {
		fmt.Fprintf(w, "\n%s\n", v.Leaving)
	}
	fmt.Fprintln(w)
	for _, e := range v.Record.Audit {
		by := e.Node
		if e.By != "" {
			by = e.By + " on " + e.Node
		}
		fmt.Fprintf(w, "%s  %s: %s\n", e.At.UTC().Format(time.RFC3339), by, e.What)
	}
}

func (a *app) forceNodesCommand() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "force NODE",
		Short: "Go on with one node when a majority is lost for good",
		Long: "Go on with one node alone when a majority of the nodes is lost for good. NODE becomes the only member of a new generation and\n" +
			"decides. The others, should they come back, join as new members: what they agreed on without NODE is given up, so make sure\n" +
			"that they are really dead and not only out of sight. It is refused while a majority is here, and goes into the record.",
		Example: "  proa nodes force node-3 --reason 'both machines burnt'",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 || !nodeName.MatchString(args[0]) {
				return usage(fmt.Errorf("%s takes one argument: a node such as node-3", cmd.CommandPath()))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if reason == "" {
				return usage(fmt.Errorf("%s needs --reason, for the record", cmd.CommandPath()))
			}
			c, err := a.dial()
			if err != nil {
				return err
			}
			order := node.ForceOrder{By: operator(), Reason: reason}
			if err := c.NodeOf(cmd.Context(), args[0], http.MethodPost, "/v1/cluster/force", order, nil); err != nil {
				return err
			}
			a.hint("%s decides alone. Bring other nodes back or start new ones: they join as new members (`proa nodes`).", args[0])
			return a.print(order, func(io.Writer) {})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
	return a.outputFlag(cmd)
}

func (a *app) nodeCertCommand() *cobra.Command {
	var authority, out string
	var renew bool
	cmd := &cobra.Command{
		Use:   "cert NAME",
		Short: "Make a node's credentials, and the authority that signs them",
		Long: "Make a node's certificate and key, signed by the authority in --authority, which is made where there is none. Copy OUT to the\n" +
			"node; ca.key stays where it is. A node reads its files again when they change, so renewing needs no restart.",
		Example: "  proa node cert node-1 --authority ./authority --out ./node-1\n  proa node cert node-1 --authority ./authority --out ./node-1 --renew",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage(fmt.Errorf("%s takes one argument: the node's name", cmd.CommandPath()))
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if out == "" {
				out = "./" + args[0]
			}
			if err := cluster.Issue(authority, out, args[0], time.Now(), renew); err != nil {
				return err
			}
			files := cluster.FilesIn(out)
			return a.print(files, func(w io.Writer) {
				fmt.Fprintf(w, "cluster:\n  ca: %s\n  certificate: %s\n  key: %s\n", files.CA, files.Certificate, files.Key)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&authority, "authority", "./authority", "the folder of the signing certificate and key")
	f.StringVar(&out, "out", "", "the folder to write to; ./NAME when left out")
	f.BoolVar(&renew, "renew", false, "make new ones, however long the present ones last")
	return a.outputFlag(cmd)
}
