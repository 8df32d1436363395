package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/user"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/internal/supervisor"
	"github.com/proa-cloud/proa/node"
	"github.com/proa-cloud/proa/traffic"
)

// Moved is the outcome of a switchover or failback.
type Moved struct {
	Plan    proa.Plan `json:"plan"`     // in force now
	Moved   bool      `json:"moved"`    // false: traffic was there already, or the command did not wait
	Waiting []string  `json:"waiting"`  // what a switch that has not come yet waits for
	TookMS  float64   `json:"took_ms"`  // from the order to the new plan
	OldPlan uint64    `json:"old_plan"` // version when the order was given
}

// Order is the outcome of hold and release.
type Order struct {
	Plan proa.Plan          `json:"plan"`
	Held *traffic.HoldState `json:"held"` // null: automatic switches are made
}

// operator names who gives an order, for the record.
func operator() string {
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		return name
	}
	return name + "@" + host
}

func (a *app) switchoverCommand() *cobra.Command {
	var reason string
	var force, now, override bool
	cmd := &cobra.Command{
		Use:   "switchover aws|azure",
		Short: "Move traffic to a region as planned, without a loss",
		Long: "Move traffic as planned: wait until the target serves, both directions of replication are in order and nothing is\n" +
			"left to replicate, then switch. Refused, with the reason, where that would leave nothing serving.\n" +
			"--force switches whatever health and data say, needs a --reason and goes on the record.",
		Example: "  proa switchover azure --reason 'maintenance of aws'\n  proa switchover azure --no-wait\n" +
			"  proa switchover azure --force --reason 'aws answers nonsense'",
		Args: oneRegion, ValidArgs: regions,
		RunE: a.system(func(ctx context.Context, c *supervisor.Client, args []string) error {
			order := traffic.Command{
				Action: traffic.Switchover, To: proa.Region(args[0]), By: operator(), Reason: reason, Override: override,
			}
			if force {
				if reason == "" {
					return usage(errors.New("--force needs a --reason, for the record"))
				}
				order.Action = traffic.Force
			}
			return a.move(ctx, c, order, !now)
		}),
	}
	f := cmd.Flags()
	f.StringVar(&reason, "reason", "", "why, for the record")
	f.BoolVar(&force, "force", false, "whatever health and data say")
	f.BoolVar(&override, "override", false, "set safety rules aside; needs a --reason")
	f.BoolVar(&now, "no-wait", false, "return once the order is taken; `proa explain` says how far it is")
	return a.outputFlag(cmd)
}

func (a *app) failbackCommand() *cobra.Command {
	var reason string
	var now bool
	cmd := &cobra.Command{
		Use:     "failback",
		Short:   "Move traffic back to the preferred region without a loss",
		Long:    "Move traffic back to the preferred region once every write has crossed; refused, with the reason, where that is not possible.",
		Example: "  proa failback\n  proa failback --reason 'aws is repaired' --no-wait",
		Args:    noArgs,
		RunE: a.system(func(ctx context.Context, c *supervisor.Client, _ []string) error {
			return a.move(ctx, c, traffic.Command{Action: traffic.Failback, By: operator(), Reason: reason}, !now)
		}),
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
	cmd.Flags().BoolVar(&now, "no-wait", false, "return once the order is taken; `proa explain` says how far it is")
	return a.outputFlag(cmd)
}

// move gives the order and waits until traffic has moved, or until the controller gives it up.
func (a *app) move(ctx context.Context, c *supervisor.Client, order traffic.Command, wait bool) error {
	before, err := explain(ctx, c)
	if err != nil {
		return err
	}
	started := time.Now()
	if err := c.Node(ctx, http.MethodPost, "/v1/traffic", order, nil); err != nil {
		return err
	}
	target := order.To
	if order.Action == traffic.Failback {
		target = before.Preferred
	}
	var after traffic.Explanation
	var idle time.Time // since when nobody says that a move is under way
	ask := func() error {
		for {
			after, err = explain(ctx, c)
			switch {
			case err != nil || !wait || arrived(before.Plan, after.Plan, target):
				return err
			case after.Pending != nil:
				idle = time.Time{}
			case idle.IsZero():
				idle = time.Now()
			case time.Since(idle) > givenUpAfter || abandoned(ctx, c, started) != "":
				return nil
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("%s: the order stands, `proa release` ends it: %w", order.Action, ctx.Err())
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	if err := a.progress(fmt.Sprintf("%s: waiting until nothing is left to replicate", order.Action), ask); err != nil {
		return err
	}
	m := Moved{
		Plan: after.Plan, Moved: moved(before.Plan, after.Plan), OldPlan: before.Plan.Version,
		Waiting: append([]string{}, after.Waiting...), TookMS: float64(time.Since(started).Microseconds()) / 1000,
	}
	if wait && !arrived(before.Plan, after.Plan, target) {
		why := abandoned(ctx, c, started)
		if why == "" {
			why = "it was given up"
		}
		return &proa.Error{Op: string(order.Action), Err: errors.New(why), Hint: "`proa explain` says how both regions are"}
	}
	return a.print(m, func(w io.Writer) { writeMoved(w, m) })
}

// givenUpAfter is how long no node may say that a move is under way before it counts as given up: one that does not decide may be
// asked for a moment, and does not know.
const givenUpAfter = 2 * time.Second

// arrived reports whether traffic is where the order wants it, or has begun to go there by stages.
func arrived(before, after proa.Plan, target proa.Region) bool {
	return after.Active == target || after.Active == before.Active && after.Share > before.Share
}

// moved reports whether clients are sent elsewhere: a plan can also be about TTLs or data sync's owner.
func moved(before, after proa.Plan) bool {
	return after.Active != before.Active || after.Share != before.Share
}

func writeMoved(w io.Writer, m Moved) {
	switch {
	case m.Moved:
		fmt.Fprintf(w, "traffic goes to %s by plan %d after %.0f ms: %s\n", m.Plan.Active, m.Plan.Version, m.TookMS, m.Plan.Reason)
	case len(m.Waiting) > 0:
		fmt.Fprintf(w, "the order is taken; traffic still goes to %s (plan %d)\n  %s\n", m.Plan.Active, m.Plan.Version, strings.Join(m.Waiting, "\n  "))
	default:
		fmt.Fprintf(w, "traffic goes to %s (plan %d)\n", m.Plan.Active, m.Plan.Version)
	}
}

func explain(ctx context.Context, c *supervisor.Client) (traffic.Explanation, error) {
	var e traffic.Explanation
	return e, c.Node(ctx, http.MethodGet, "/v1/explain", nil, &e)
}

// abandoned is the controller's word on why it gave an order up; "" where it has not said so.
func abandoned(ctx context.Context, c *supervisor.Client, since time.Time) string {
	var m node.Metrics
	if c.Node(ctx, http.MethodGet, "/v1/metrics", nil, &m) == nil {
		for i := len(m.Events) - 1; i >= 0; i-- {
			e := m.Events[i]
			if e.Kind == traffic.EventCommand && e.At.After(since.Add(-time.Second)) && strings.Contains(e.Text, "abandoned") {
				return e.Text
			}
		}
	}
	return ""
}

func (a *app) holdCommand() *cobra.Command {
	var reason string
	var lasts time.Duration
	cmd := &cobra.Command{
		Use:     "hold",
		Short:   "Make no automatic switch, for a time or until released",
		Example: "  proa hold --for 30m --reason 'load test'\n  proa release",
		Args:    noArgs,
		RunE: a.system(func(ctx context.Context, c *supervisor.Client, _ []string) error {
			return a.order(ctx, c, traffic.Command{Action: traffic.Hold, By: operator(), Reason: reason, For: lasts})
		}),
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
	cmd.Flags().DurationVar(&lasts, "for", 0, "how long; until `proa release` when left out")
	return a.outputFlag(cmd)
}

func (a *app) releaseCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "release",
		Short:   "End a hold, or a switchover that still waits",
		Example: "  proa release",
		Args:    noArgs,
		RunE: a.system(func(ctx context.Context, c *supervisor.Client, _ []string) error {
			return a.order(ctx, c, traffic.Command{Action: traffic.Release, By: operator()})
		}),
	}
	return a.outputFlag(cmd)
}

// order gives an order that takes effect at once.
func (a *app) order(ctx context.Context, c *supervisor.Client, order traffic.Command) error {
	if err := c.Node(ctx, http.MethodPost, "/v1/traffic", order, nil); err != nil {
		return err
	}
	e, err := explain(ctx, c)
	if err != nil {
		return err
	}
	return a.print(Order{Plan: e.Plan, Held: e.Held}, func(w io.Writer) {
		if e.Held == nil {
			fmt.Fprintf(w, "traffic goes to %s; switches are made automatically\n", e.Plan.Active)
			return
		}
		until := "until `proa release`"
		if !e.Held.Until.IsZero() {
			until = "until " + clock(e.Held.Until)
		}
		fmt.Fprintf(w, "traffic stays on %s %s\n", e.Plan.Active, until)
	})
}
