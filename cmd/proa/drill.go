package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/config"
	"github.com/proa-cloud/proa/drill"
	"github.com/proa-cloud/proa/internal/supervisor"
	"github.com/proa-cloud/proa/node"
)

func (a *app) drillCommand() *cobra.Command {
	objectives := config.Default().Objectives
	rto, rpo := objectives.RTO.D(), objectives.RPO.D()
	rate := 200
	warm, hold := 5*time.Second, 3*time.Second
	cmd := &cobra.Command{
		Use:   "drill",
		Short: "Make faults under load and measure RTO, RPO and what was lost",
		Long: "Make faults under load and measure RTO, RPO and what was lost.\n" +
			"Where --dir names no running system, the drill starts one of its own on free ports and removes it afterwards.\n" +
			"Exit code 5 when an objective was missed.",
		Example: "  proa drill\n  proa drill --rate 500 --rto 5s -o json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if rate < 1 || rate > 20000 {
				return usage(fmt.Errorf("--rate %d: want 1 to 20000", rate))
			}
			report, err := a.withSystem(cmd.Context(), func(ctx context.Context, c *supervisor.Client) (*drill.Report, error) {
				cfg, err := drillConfig(ctx, c)
				if err != nil {
					return nil, err
				}
				cfg.Rate, cfg.Warm, cfg.Hold, cfg.RTO, cfg.RPO = rate, warm, hold, rto, rpo
				cfg.Progress = func(s string) { fmt.Fprintln(a.stderr, s) }
				return drill.Run(ctx, cfg)
			})
			if err != nil {
				return err
			}
			if a.output == "json" {
				err = a.print(report, nil)
			} else {
				err = report.WriteTable(a.stdout)
			}
			if err == nil && !report.Passed() {
				return &exitCode{code: exitMissed}
			}
			return err
		},
	}
	f := cmd.Flags()
	f.IntVar(&rate, "rate", rate, "orders sent a second")
	f.DurationVar(&warm, "warm", warm, "load before the kill")
	f.DurationVar(&hold, "hold", hold, "load after the failover")
	f.DurationVar(&rto, "rto", rto, "objective: longest time without service")
	f.DurationVar(&rpo, "rpo", rpo, "objective: longest stretch of acknowledged writes not replicated")
	return a.outputFlag(cmd)
}

// withSystem runs the drill against the running system of --dir, or against one of its own.
func (a *app) withSystem(ctx context.Context, run func(context.Context, *supervisor.Client) (*drill.Report, error)) (*drill.Report, error) {
	if c, err := a.dial(); err == nil {
		if _, err := c.Status(ctx); err == nil {
			return run(ctx, c)
		}
	}
	dir, err := os.MkdirTemp("", "proa-drill-")
	if err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	defer os.RemoveAll(dir)
	fmt.Fprintln(a.stderr, "no system runs in "+a.dir+": starting one of the drill's own in "+dir)
	s, err := a.newSupervisor(config.Default(), supervisor.Ports{Auto: true}, dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = s.Close() }() // what ran in it has reported
	ctx, cancel := context.WithCancel(ctx)
	up, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- s.Run(ctx, func() { close(up) }) }()
	select {
	case err := <-ended:
		cancel()
		return nil, err
	case <-up:
	}
	c, err := supervisor.Dial(dir)
	var report *drill.Report
	if err == nil {
		report, err = run(ctx, c)
	}
	cancel()
	return report, errors.Join(err, <-ended)
}

func drillConfig(ctx context.Context, c *supervisor.Client) (drill.Config, error) {
	status, err := c.Status(ctx)
	if err != nil {
		return drill.Config{}, err
	}
	if status.Plan == nil {
		return drill.Config{}, &proa.Error{Op: "drill", Err: errors.New("the node does not say where traffic is: " + status.NodeError)}
	}
	addr := c.State.Addresses
	if supervisor.SharedGatewayAddress(addr) {
		return drill.Config{}, &proa.Error{
			Op: "drill", Err: errors.New("both gateways share one address, so a DNS answer cannot move a client"),
			Hint: "add the addresses: " + supervisor.AliasCommand,
		}
	}
	awsHost, port, err := net.SplitHostPort(addr.AWSGateway)
	if err != nil {
		return drill.Config{}, fmt.Errorf("gateway address: %w", err)
	}
	azureHost, _, err := net.SplitHostPort(addr.AzureGateway)
	if err != nil {
		return drill.Config{}, fmt.Errorf("gateway address: %w", err)
	}
	return drill.Config{
		System:   drilled{c},
		DNS:      addr.DNS,
		Zone:     status.Zone,
		Port:     port,
		Gateways: map[proa.Region]string{proa.AWS: awsHost, proa.Azure: azureHost},
		Primary:  proa.AWS,
		Limit:    90 * time.Second,
	}, nil
}

// drilled is a running system, as a drill sees it.
type drilled struct{ *supervisor.Client }

// Partition cuts data sync from the region.
func (d drilled) Partition(ctx context.Context, r proa.Region) error {
	return d.Client.Partition(ctx, r, supervisor.Partition{}, supervisor.ScopeData)
}

// Unreplicated asks the node for the region's acknowledged writes that the other lacks.
func (d drilled) Unreplicated(ctx context.Context, r proa.Region) ([]string, error) {
	var list node.DiffReply
	if err := d.Node(ctx, http.MethodGet, "/v1/diff?region="+string(r), nil, &list); err != nil {
		return nil, err
	}
	var ids []string
	for _, u := range list.Unreplicated {
		ids = append(ids, u.Key["id"].Str)
	}
	return ids, nil
}

// Conflicts asks the node for the journal since a moment.
func (d drilled) Conflicts(ctx context.Context, since time.Time) ([]string, error) {
	q := url.Values{"since": {since.Format(time.RFC3339Nano)}, "limit": {"1000"}}
	var list node.ConflictsReply
	if err := d.Node(ctx, http.MethodGet, "/v1/conflicts?"+q.Encode(), nil, &list); err != nil {
		return nil, err
	}
	var ids []string
	for _, c := range list.Conflicts {
		ids = append(ids, c.Key["id"].Str)
	}
	return ids, nil
}

// Verify asks the node to compare both sides, whole: digests tell of a moment ago.
func (d drilled) Verify(ctx context.Context) (keys, differences, inFlight int64, err error) {
	var v node.VerifyReply
	err = d.Node(ctx, http.MethodPost, "/v1/verify?deep=1", nil, &v)
	return v.Keys, v.Differences, v.InFlight, err
}
