package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/proa-cloud/proa/config"
	"github.com/proa-cloud/proa/examples/orders"
	"github.com/proa-cloud/proa/internal/supervisor"
)

func (a *app) upCommand() *cobra.Command {
	ports := supervisor.DefaultPorts()
	nodes := 3
	var file, portMode string
	cmd := &cobra.Command{
		Use:     "up",
		Short:   "Run everything, both clouds included, on this machine until Ctrl-C",
		Example: "  proa up\n  proa up --dir /tmp/demo --ports auto",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if portMode != "" && portMode != "auto" {
				return usage(fmt.Errorf("unknown --ports %q: want auto, or give ports one by one", portMode))
			}
			ports.Auto = portMode == "auto"
			cfg, err := config.Load(file)
			if err != nil {
				return err
			}
			return a.up(cmd.Context(), cfg, ports, nodes)
		},
	}
	f := cmd.Flags()
	f.StringVar(&file, "config", "", "a proa.yaml; addresses and credentials of the local clouds are filled in")
	f.IntVar(&nodes, "nodes", nodes, "3 or 5 that decide together, one beside each cloud and the others elsewhere; or 1 alone")
	f.StringVar(&portMode, "ports", "", "auto: any free ports, kept for the next start")
	f.IntVar(&ports.Gateway, "gateway-port", ports.Gateway, "port of both gateways, on their two addresses")
	f.IntVar(&ports.AWS, "aws-port", ports.AWS, "port of every AWS API")
	f.IntVar(&ports.Azure, "azure-port", ports.Azure, "port of Cosmos DB, Blob Storage and Monitor")
	f.IntVar(&ports.DNS, "dns-port", ports.DNS, "port of the name server, UDP and TCP")
	f.IntVar(&ports.Console, "console-port", ports.Console, "port of the web console")
	f.IntVar(&ports.Control, "control-port", ports.Control, "port of the supervisor's control socket")
	return cmd
}

func (a *app) up(ctx context.Context, cfg config.Config, ports supervisor.Ports, nodes int) (err error) {
	started := time.Now()
	s, err := a.newSupervisor(cfg, ports, a.dir, nodes)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	fmt.Fprintln(a.stderr, "starting both clouds and the nodes …")
	err = s.Run(ctx, func() {
		writeAddresses(a.stdout, s.State(), cfg, a.dir, time.Since(started))
		a.writeConsole(ctx)
	})
	if err == nil {
		fmt.Fprintln(a.stderr, "stopped; the data is kept in "+a.dir)
	}
	return err
}

func (a *app) newSupervisor(cfg config.Config, ports supervisor.Ports, dir string, nodes int) (*supervisor.Supervisor, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the running binary: %w", err)
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, fmt.Errorf("find the folder: %w", err)
	}
	return supervisor.New(supervisor.Config{
		Dir: dir, Executable: exe, Ports: ports, Nodes: nodes, Proa: cfg, Package: orders.Zip,
		Logger: slog.New(slog.NewTextHandler(a.stderr, nil)),
	})
}

// invocation is how the user can run another command: proa on the PATH, or through go run.
func invocation(dir string) func(string) string {
	name := "proa"
	if strings.Contains(os.Args[0], "go-build") {
		name = "go run ./cmd/proa"
	} else if strings.ContainsRune(os.Args[0], filepath.Separator) {
		name = os.Args[0]
	}
	return func(command string) string {
		if dir != "./.proa" {
			command += " --dir " + dir
		}
		return name + " " + command
	}
}

func writeAddresses(out io.Writer, s supervisor.State, cfg config.Config, dir string, took time.Duration) {
	addr, proa := s.Addresses, invocation(dir)
	dnsHost, dnsPort, _ := net.SplitHostPort(addr.DNS)
	_, port, _ := net.SplitHostPort(addr.AWSGateway)
	fmt.Fprintf(out, "proa is up after %.1f s; everything is in %s\n\n", took.Seconds(), dir)
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "  name server\t%s\tzone %s, UDP and TCP\n", addr.DNS, cfg.Zone)
	fmt.Fprintf(t, "  AWS gateway\thttp://%s\tAPI Gateway → Lambda → DynamoDB, S3\n", addr.AWSGateway)
	fmt.Fprintf(t, "  Azure gateway\thttp://%s\tAPI Management → Functions → Cosmos DB, Blob\n", addr.AzureGateway)
	fmt.Fprintf(t, "  AWS APIs\thttp://%s\t%s\n", addr.AWS, proa("env aws"))
	fmt.Fprintf(t, "  Azure APIs\thttp://%s\t%s\n", addr.Azure, proa("env azure"))
	_ = t.Flush()
	fmt.Fprintf(out, `
Try, in another terminal:
  dig @%s -p %s +short %s
  curl -s -X POST http://%s/orders -d '{"id":"o-1","item":"anchor"}'
  curl -s http://%s/orders/o-1
  %s
  %s
  %s
`, dnsHost, dnsPort, cfg.Zone, addr.AWSGateway, addr.AzureGateway, proa("kill aws"), proa("status"), proa("heal aws"))
	if supervisor.SharedGatewayAddress(addr) {
		fmt.Fprintf(out, `
This system lacks the gateways' addresses 127.0.64.1 and 127.0.64.2, so both are on 127.0.0.1 with two ports (%s is AWS),
and a DNS answer alone does not lead to the right cloud. Add them with:
  %s
`, port, supervisor.AliasCommand)
	}
	fmt.Fprintln(out, "\nCtrl-C stops everything.")
}
