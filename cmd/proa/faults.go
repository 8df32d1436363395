package main

import (
	"context"
	"fmt"
	"regexp"
	"time"

	"github.com/spf13/cobra"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/internal/supervisor"
)

var nodeName = regexp.MustCompile(`^node-[0-9]{1,3}$`)

// regionOrNode refuses what names neither.
func regionOrNode(cmd *cobra.Command, args []string) error {
	if len(args) == 1 && nodeName.MatchString(args[0]) {
		return nil
	}
	const want = "aws, azure or a node such as node-1"
	switch {
	case len(args) != 1:
		return usage(fmt.Errorf("%s takes one argument: %s", cmd.CommandPath(), want))
	case oneRegion(cmd, args) != nil:
		return usage(fmt.Errorf("%s: unknown %q: want %s", cmd.CommandPath(), args[0], want))
	}
	return nil
}

// regions are what most faults are made to.
var regions = []string{string(proa.AWS), string(proa.Azure)}

// system runs do against the running system.
func (a *app) system(do func(ctx context.Context, c *supervisor.Client, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c, err := a.dial()
		if err != nil {
			return err
		}
		return do(cmd.Context(), c, args)
	}
}

// fault makes or heals a fault; with -o json it prints what is in force then.
func (a *app) fault(do func(ctx context.Context, c *supervisor.Client, args []string) error) func(*cobra.Command, []string) error {
	return a.system(func(ctx context.Context, c *supervisor.Client, args []string) error {
		if err := do(ctx, c, args); err != nil || a.output != "json" {
			return err
		}
		list, err := c.Faults(ctx)
		if err != nil {
			return err
		}
		return a.print(supervisor.FaultsReply{Faults: list}, nil)
	})
}

func (a *app) killCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:       "kill aws|azure|node-N",
		Short:     "Lose a cloud or a node: SIGKILL of its whole process group",
		Example:   "  proa kill aws\n  proa kill node-1",
		Args:      regionOrNode,
		ValidArgs: regions,
		RunE: a.fault(func(ctx context.Context, c *supervisor.Client, args []string) error {
			if err := c.Kill(ctx, proa.Region(args[0])); err != nil {
				return err
			}
			a.hint("%s is dead. Watch with `proa status`, see why with `proa explain`, bring it back with `proa heal %s`.", args[0], args[0])
			return nil
		}),
	}
	return a.outputFlag(cmd)
}

func (a *app) freezeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "freeze aws|azure|node-N",
		Short: "Hang a cloud or a node: SIGSTOP of its whole process group",
		Long: "Hang a cloud or a node: SIGSTOP of its whole process group. Connections stay open and nothing answers, which is how most\n" +
			"outages begin. `proa heal` thaws it.",
		Example:   "  proa freeze aws\n  proa freeze node-3",
		Args:      regionOrNode,
		ValidArgs: regions,
		RunE: a.fault(func(ctx context.Context, c *supervisor.Client, args []string) error {
			if err := c.Freeze(ctx, proa.Region(args[0])); err != nil {
				return err
			}
			a.hint("%s hangs. Watch with `proa status`, thaw it with `proa heal %s`.", args[0], args[0])
			return nil
		}),
	}
	return a.outputFlag(cmd)
}

func (a *app) healCommand() *cobra.Command {
	targets := append(regions[:2:2], "partition", "all")
	cmd := &cobra.Command{
		Use:   "heal aws|azure|node-N|partition|all",
		Short: "Bring a cloud back and end its faults, or end all partitions",
		Long: "Bring a cloud back: end its faults, thaw it, start it from its disk where it is dead, and wait until it serves.\n" +
			"`proa heal partition` ends all partitions and nothing else, `proa heal all` makes everything well.",
		Example: "  proa heal aws\n  proa heal partition\n  proa heal all",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 && nodeName.MatchString(args[0]) {
				return nil
			}
			return oneOf(targets...)(cmd, args)
		},
		ValidArgs: targets,
		RunE: a.fault(func(ctx context.Context, c *supervisor.Client, args []string) error {
			switch args[0] {
			case "partition":
				if err := c.HealPartition(ctx); err != nil {
					return err
				}
				a.hint("No region is partitioned. `proa verify` compares both sides, `proa conflicts` lists the losers.")
				return nil
			case "all":
				err := a.progress("healing everything", func() error { return c.HealAll(ctx) })
				if err == nil {
					a.hint("No fault is in force. `proa verify` compares both sides.")
				}
				return err
			}
			started := time.Now()
			if err := a.progress("healing "+args[0], func() error { return c.Heal(ctx, proa.Region(args[0])) }); err != nil {
				return err
			}
			if nodeName.MatchString(args[0]) {
				a.hint("%s is well again after %.1f s. `proa status` shows the nodes.", args[0], time.Since(started).Seconds())
				return nil
			}
			a.hint("%s serves again after %.1f s. Traffic returns when the data has caught up: `proa explain`.", args[0], time.Since(started).Seconds())
			return nil
		}),
	}
	return a.outputFlag(cmd)
}

func (a *app) partitionCommand() *cobra.Command {
	var p supervisor.Partition
	var scope string
	cmd := &cobra.Command{
		Use:   "partition aws|azure|node-N",
		Short: "Cut a cloud off from data sync, users or both; or a node",
		Long: "Cut a cloud off, as a lost network does: silence, and what was under way arrives when it heals.\n" +
			"--direction to loses what is sent to the region; from loses its answers: requests arrive and take effect.\n" +
			"A node that is cut off goes on probing and answering, and decides nothing.",
		Example: "  proa partition azure\n  proa partition aws --direction from\n  proa partition aws --scope users\n  proa partition node-3",
		Args:    regionOrNode, ValidArgs: regions,
		RunE: a.fault(func(ctx context.Context, c *supervisor.Client, args []string) error {
			if err := c.Partition(ctx, proa.Region(args[0]), p, scope); err != nil {
				return err
			}
			who := map[string]string{supervisor.ScopeData: "Data sync is", supervisor.ScopeUsers: "Users and probes are", supervisor.ScopeAll: "Everybody is"}[scope]
			if nodeName.MatchString(args[0]) {
				who = "The other nodes are"
			}
			a.hint("%s cut from %s. `proa heal partition` ends it.", who, args[0])
			return nil
		}),
	}
	f := cmd.Flags()
	a.oneOfFlag(cmd, &p.Direction, "direction", supervisor.DirectionBoth, supervisor.DirectionTo, supervisor.DirectionFrom)
	a.oneOfFlag(cmd, &scope, "scope", supervisor.ScopeData, supervisor.ScopeUsers, supervisor.ScopeAll)
	f.Lookup("direction").Usage = "both, to (what is sent there is lost) or from (its answers are lost)"
	f.Lookup("scope").Usage = "data (data sync), users (users and probes) or all"
	return a.outputFlag(cmd)
}

func (a *app) brownoutCommand() *cobra.Command {
	var latency, jitter time.Duration
	var b supervisor.Brownout
	var scope string
	cmd := &cobra.Command{
		Use:   "brownout aws|azure",
		Short: "Make a cloud slow and faulty without killing it",
		Long: "Make a cloud slow and faulty without killing it. Each call replaces the last one's settings; without flags it ends.\n" +
			"--error-rate answers a share of requests 503 at the gateway, --reset-rate resets the connection of a share.",
		Example: "  proa brownout aws --latency 300ms --jitter 100ms\n  proa brownout aws --error-rate 0.2\n" +
			"  proa brownout azure --scope data --bandwidth 20000\n  proa brownout aws      ends it",
		Args: oneRegion, ValidArgs: regions,
		RunE: a.fault(func(ctx context.Context, c *supervisor.Client, args []string) error {
			b.LatencyMS, b.JitterMS = latency.Milliseconds(), jitter.Milliseconds()
			if err := c.Brownout(ctx, proa.Region(args[0]), b, scope); err != nil {
				return err
			}
			if (b == supervisor.Brownout{}) {
				a.hint("%s has no brownout. `proa status` shows how it is.", args[0])
				return nil
			}
			a.hint("%s is browned out for %s. Watch with `proa top`, end it with `proa heal %s`.", args[0], scope, args[0])
			return nil
		}),
	}
	f := cmd.Flags()
	f.DurationVar(&latency, "latency", 0, "added to each request, at most 1m")
	f.DurationVar(&jitter, "jitter", 0, "how much the latency varies up and down")
	f.Float64Var(&b.ErrorRate, "error-rate", 0, "share of requests that are answered 503, 0 to 1")
	f.Float64Var(&b.ResetRate, "reset-rate", 0, "share of requests whose connection is reset, 0 to 1")
	f.Int64Var(&b.BytesPerSecond, "bandwidth", 0, "bytes a second of each connection; 0: no bound")
	a.oneOfFlag(cmd, &scope, "scope", supervisor.ScopeUsers, supervisor.ScopeData, supervisor.ScopeAll)
	f.Lookup("scope").Usage = "users (users and probes), data (data sync) or all"
	return a.outputFlag(cmd)
}

func (a *app) skewCommand() *cobra.Command {
	var behind bool
	cmd := &cobra.Command{
		Use:   "skew aws|azure|node-N OFFSET",
		Short: "Put a clock wrong: a cloud's with its functions, or a node's",
		Long: "Put a clock ahead by an offset such as 30s, at most an hour, or behind with --behind: a cloud's, which stamps its\n" +
			"events, with those of its functions, which stamp versions; or a node's. 0s puts it right. Past five minutes AWS's\n" +
			"and past fifteen Azure's signatures no longer hold, as in life.",
		Example: "  proa skew aws 30s\n  proa skew azure 2m --behind\n  proa skew aws 0s",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usage(fmt.Errorf("%s takes two arguments: aws, azure or a node, and an offset such as 30s", cmd.CommandPath()))
			}
			if _, err := time.ParseDuration(args[1]); err != nil {
				return usage(fmt.Errorf("%s: %q is not an offset such as 30s", cmd.CommandPath(), args[1]))
			}
			return nil
		},
		ValidArgs: regions,
		RunE: a.fault(func(ctx context.Context, c *supervisor.Client, args []string) error {
			offset, err := time.ParseDuration(args[1])
			if err != nil {
				return usage(err)
			}
			if behind {
				offset = -offset
			}
			if err := c.Skew(ctx, args[0], supervisor.Skew{OffsetMS: offset.Milliseconds()}); err != nil {
				return err
			}
			if offset == 0 {
				a.hint("The clock of %s is right again.", args[0])
				return nil
			}
			a.hint("The clock of %s is off by %s. `proa skew %s 0s` puts it right.", args[0], offset, args[0])
			return nil
		}),
	}
	cmd.Flags().BoolVar(&behind, "behind", false, "behind true time instead of ahead")
	return a.outputFlag(cmd)
}

func (a *app) throttleCommand() *cobra.Command {
	var rate float64
	cmd := &cobra.Command{
		Use:   "throttle aws|azure",
		Short: "Refuse a share of a cloud's data requests as past their throughput",
		Long: "Refuse a share of a cloud's data requests in its own words: ProvisionedThroughputExceededException and SlowDown on\n" +
			"AWS, 429 and ServerBusy on Azure. --rate 0 ends it.",
		Example: "  proa throttle azure --rate 0.5\n  proa throttle azure --rate 0",
		Args:    oneRegion, ValidArgs: regions,
		RunE: a.fault(func(ctx context.Context, c *supervisor.Client, args []string) error {
			if err := c.Throttle(ctx, proa.Region(args[0]), supervisor.Throttle{Rate: rate}); err != nil {
				return err
			}
			if rate == 0 {
				a.hint("%s throttles no longer. `proa status` shows the backlog.", args[0])
				return nil
			}
			a.hint("%s refuses %.0f %% of data requests. Watch the backlog with `proa top`, end it with `proa heal %s`.", args[0], rate*100, args[0])
			return nil
		}),
	}
	cmd.Flags().Float64Var(&rate, "rate", 0.5, "share that is refused, 0 to 1")
	return a.outputFlag(cmd)
}

func (a *app) downCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "down",
		Short:   "Stop the system of the folder, as Ctrl-C at its `proa up` does",
		Example: "  proa down",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.dial()
			if err != nil {
				return err
			}
			return c.Stop(cmd.Context())
		},
	}
}
