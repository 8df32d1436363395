package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/proa-cloud/proa"
	awslocal "github.com/proa-cloud/proa/aws/local"
	azurelocal "github.com/proa-cloud/proa/azure/local"
	"github.com/proa-cloud/proa/config"
	"github.com/proa-cloud/proa/internal/faults"
	"github.com/proa-cloud/proa/internal/supervisor"
	"github.com/proa-cloud/proa/internal/telemetry"
	"github.com/proa-cloud/proa/node"
)

// logger writes one line an event to stderr, which a supervisor keeps in logs/.
func (a *app) logger() *slog.Logger { return slog.New(slog.NewTextHandler(a.stderr, nil)) }

// untilOrphaned ends the context when a supervising parent has gone: its end of our standard input closes.
func untilOrphaned(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	if os.Getenv(supervisor.EnvReady) != "" {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			cancel()
		}()
	}
	return ctx, cancel
}

// sayReady tells a supervising parent that requests are served.
func sayReady() {
	fd, err := strconv.Atoi(os.Getenv(supervisor.EnvReady))
	if err != nil {
		return
	}
	f := os.NewFile(uintptr(fd), "ready")
	if f == nil {
		return
	}
	_, _ = f.WriteString("\n") // the parent has gone: untilOrphaned ends us
	f.Close()
}

func (a *app) cloudCommand() *cobra.Command {
	return &cobra.Command{
		Use:       "cloud aws|azure",
		Short:     "Run one local cloud in the foreground, as `proa up` does for both",
		Long:      "Run one local cloud in the foreground, with the addresses and credentials of DIR/supervisor.json.",
		Example:   "  proa cloud aws --dir .proa",
		Args:      oneRegion,
		ValidArgs: []string{"aws", "azure"},
		RunE: func(cmd *cobra.Command, args []string) error {
			state, err := supervisor.ReadState(a.dir)
			if err != nil {
				return err
			}
			ctx, cancel := untilOrphaned(cmd.Context())
			defer cancel()
			if args[0] == string(proa.AWS) {
				return a.runAWS(ctx, state)
			}
			return a.runAzure(ctx, state)
		},
	}
}

func (a *app) runAWS(ctx context.Context, s supervisor.State) error {
	wrong := faults.Open(faults.Path(filepath.Join(a.dir, "aws")))
	recorder, stop := report(ctx, "cloud-aws", s)
	defer stop()
	return awslocal.Run(ctx, awslocal.Config{
		Telemetry:       recorder,
		Dir:             filepath.Join(a.dir, "aws"),
		APIListen:       s.Addresses.AWS,
		GatewayListen:   s.Addresses.AWSGateway,
		AccessKeyID:     s.Credentials.AWSAccessKeyID,
		SecretAccessKey: proa.NewSecret(s.Credentials.AWSSecretAccessKey),
		AccountID:       supervisor.AccountID,
		Region:          "us-east-1",
		Clock:           wrong.Clock(time.Now),
		Logger:          a.logger(),
		Faults:          wrong,
		Ready:           func(awslocal.Addresses) { sayReady() },
	})
}

func (a *app) runAzure(ctx context.Context, s supervisor.State) error {
	wrong := faults.Open(faults.Path(filepath.Join(a.dir, "azure")))
	recorder, stop := report(ctx, "cloud-azure", s)
	defer stop()
	return azurelocal.Run(ctx, azurelocal.Config{
		Telemetry:     recorder,
		Dir:           filepath.Join(a.dir, "azure"),
		Listen:        s.Addresses.Azure,
		GatewayListen: s.Addresses.AzureGateway,
		Account:       s.Credentials.StorageAccount,
		CosmosKey:     proa.NewSecret(s.Credentials.CosmosKey),
		StorageKey:    proa.NewSecret(s.Credentials.StorageKey),
		MonitorToken:  proa.NewSecret(s.Credentials.MonitorToken),
		Clock:         wrong.Clock(time.Now),
		Logger:        a.logger(),
		Faults:        wrong,
		Ready:         func(azurelocal.Addresses) { sayReady() },
	})
}

// report makes a cloud's recorder and tells the nodes what it counts, until stop returns.
func report(ctx context.Context, process string, s supervisor.State) (r *telemetry.Recorder, stop func()) {
	r = telemetry.New(process, time.Now)
	e := &telemetry.Exporter{
		Recorder: r, URLs: s.Addresses.NodeURLs(), Token: proa.NewSecret(s.Credentials.AnnounceToken),
		OTLP: os.Getenv(telemetry.EnvOTLP),
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = e.Run(ctx) // always nil
	}()
	return r, func() { cancel(); <-done }
}

// nodeClock is the node's clock, which a supervisor can put wrong on purpose.
func nodeClock(file string) func() time.Time {
	if os.Getenv(supervisor.EnvReady) == "" {
		return time.Now
	}
	return faults.Open(faults.Path(filepath.Dir(file))).Clock(time.Now)
}

func (a *app) runNode(ctx context.Context, cfg config.Config, file string) error {
	c := node.Config{Proa: cfg, File: file, Clock: nodeClock(file), Logger: a.logger(), Ready: sayReady}
	if cfg.Node.Supervisor == "" {
		exe, err := os.Executable()
		if err != nil {
			return fmt.Errorf("find the running binary: %w", err)
		}
		drills := supervisor.Attach(exe, file, a.stderr, c.Logger)
		defer drills.Close()
		c.Driller = drills
	}
	return node.Run(ctx, c)
}

func (a *app) nodeCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:     "node",
		Short:   "Run one node: traffic manager, name server and data sync",
		Example: "  proa node --config /etc/proa/proa.yaml",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file == "" {
				return usage(fmt.Errorf("%s needs --config FILE", cmd.CommandPath()))
			}
			cfg, err := config.Load(file)
			if err != nil {
				return err
			}
			ctx, cancel := untilOrphaned(cmd.Context())
			defer cancel()
			return a.runNode(ctx, cfg, file)
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "the node's proa.yaml")
	cmd.AddCommand(a.nodeCertCommand())
	return cmd
}
