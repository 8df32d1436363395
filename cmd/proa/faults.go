package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/proa-cloud/proa"
)

func (a *app) killCommand() *cobra.Command {
	return &cobra.Command{
		Use:       "kill aws|azure",
		Short:     "Lose a cloud: SIGKILL of its whole process group",
		Example:   "  proa kill aws",
		Args:      oneRegion,
		ValidArgs: []string{"aws", "azure"},
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.dial()
			if err != nil {
				return err
			}
			if err := c.Kill(cmd.Context(), proa.Region(args[0])); err != nil {
				return err
			}
			fmt.Fprintf(a.stderr, "%s is dead. Watch with `proa status`, see why with `proa explain`, bring it back with `proa heal %s`.\n", args[0], args[0])
			return nil
		},
	}
}

func (a *app) healCommand() *cobra.Command {
	return &cobra.Command{
		Use:       "heal aws|azure|partition",
		Short:     "Bring a dead cloud back from its disk, or end all partitions",
		Example:   "  proa heal aws\n  proa heal partition",
		Args:      oneOf("aws", "azure", "partition"),
		ValidArgs: []string{"aws", "azure", "partition"},
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.dial()
			if err != nil {
				return err
			}
			if args[0] == "partition" {
				if err := c.HealPartition(cmd.Context()); err != nil {
					return err
				}
				fmt.Fprintln(a.stderr, "No region is partitioned. `proa verify` compares both sides, `proa conflicts` lists the losers.")
				return nil
			}
			started := time.Now()
			if err := c.Heal(cmd.Context(), proa.Region(args[0])); err != nil {
				return err
			}
			fmt.Fprintf(a.stderr, "%s serves again after %.1f s. Traffic returns when the data has caught up: `proa explain`.\n", args[0], time.Since(started).Seconds())
			return nil
		},
	}
}

func (a *app) partitionCommand() *cobra.Command {
	return &cobra.Command{
		Use:       "partition aws|azure",
		Short:     "Cut data sync from a cloud, in both directions; users still reach it",
		Example:   "  proa partition azure",
		Args:      oneRegion,
		ValidArgs: []string{"aws", "azure"},
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.dial()
			if err != nil {
				return err
			}
			if err := c.Partition(cmd.Context(), proa.Region(args[0])); err != nil {
				return err
			}
			fmt.Fprintf(a.stderr, "Data sync is cut from %s. `proa heal partition` ends it.\n", args[0])
			return nil
		},
	}
}

func (a *app) downCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "down",
		Short:   "Stop the system that `proa up` runs in the folder, as Ctrl-C there does",
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
