// Package drill makes real faults in a running system under load and measures what users would have seen: detection, RTO, RPO,
// lost and conflicting writes. The scenario is kill → failover → heal → failback → partition → heal, on the primary region.
package drill

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/proa-cloud/proa"
)

// System is what a drill does to the system and asks of it.
type System interface {
	Kill(ctx context.Context, r proa.Region) error
	Heal(ctx context.Context, r proa.Region) error
	Partition(ctx context.Context, r proa.Region) error
	HealPartition(ctx context.Context) error
	// Unreplicated lists the hash keys of the region's acknowledged writes that the other region does not have.
	Unreplicated(ctx context.Context, r proa.Region) ([]string, error)
	// Conflicts lists the hash keys in the conflict journal since a moment.
	Conflicts(ctx context.Context, since time.Time) ([]string, error)
	// Verify compares both sides; inFlight keys are not yet settled.
	Verify(ctx context.Context) (keys, differences, inFlight int64, err error)
}

// Config says what to drill and what was promised.
type Config struct {
	System System
	// DNS is the name server, Zone the application's name, Port the gateways' port.
	DNS, Zone, Port string
	// Gateways are the regions' addresses, as the zone answers them.
	Gateways map[proa.Region]string
	// Primary is the region that is killed.
	Primary proa.Region
	// Rate is the orders sent a second; Warm and Hold are how long before and after the kill.
	Rate       int
	Warm, Hold time.Duration
	// RTO and RPO are the objectives.
	RTO, RPO time.Duration
	// Limit bounds each wait for the system.
	Limit time.Duration
	// Progress is told what happens, for people. It may be nil.
	Progress func(string)
}

const (
	pollEvery     = 10 * time.Millisecond
	conflictCount = 10
)

// Run performs the drill. An error says that the drill could not be carried out; a system that broke its promises is a Report that has not
// passed.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	if cfg.Progress == nil {
		cfg.Progress = func(string) {}
	}
	d := &run{
		cfg:      cfg,
		id:       fmt.Sprintf("drill-%x", time.Now().UnixNano()),
		resolver: newResolver(cfg.DNS, cfg.Zone),
		client:   newClient(cfg.Zone, cfg.Port),
		report: &Report{
			Started: time.Now().UTC(), Rate: cfg.Rate, ObjectiveRTOMS: ms(cfg.RTO), ObjectiveRPOMS: ms(cfg.RPO),
			Unreplicated: []string{}, Listed: []string{}, Lost: []string{}, ConflictsMade: []string{}, Conflicts: []string{},
		},
	}
	for _, phase := range []func(context.Context) error{d.loseRegion, d.recoverRegion, d.splitBrain, d.compare} {
		if err := phase(ctx); err != nil {
			return d.report, fmt.Errorf("drill: %w", err)
		}
	}
	d.report.judge()
	return d.report, nil
}

type run struct {
	cfg      Config
	id       string
	resolver *resolver
	client   *client
	report   *Report
	suspects []Write // acknowledged by the lost region, not on the other at failover
}

// until polls until done reports true, for at most the configured limit.
func (d *run) until(ctx context.Context, what string, every time.Duration, done func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, d.cfg.Limit)
	defer cancel()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited %s for %s", d.cfg.Limit, what)
		case <-tick.C:
		}
	}
	return nil
}

// answers reports whether the name server's answer is the region now.
func (d *run) answers(ctx context.Context, r proa.Region) bool {
	addr, _, err := d.resolver.fresh(ctx)
	return err == nil && addr == d.cfg.Gateways[r]
}

// loseRegion kills the primary under load and waits until users are served by the other.
func (d *run) loseRegion(ctx context.Context) error {
	primary, other := d.cfg.Primary, d.cfg.Primary.Other()
	d.cfg.Progress(fmt.Sprintf("load: %d orders a second for %s", d.cfg.Rate, d.cfg.Warm))
	if err := d.until(ctx, "DNS to answer "+string(primary), 100*time.Millisecond, func() bool { return d.answers(ctx, primary) }); err != nil {
		return err
	}
	l := &load{client: d.client, resolver: d.resolver, rate: d.cfg.Rate, run: d.id}
	stop := l.start(ctx)
	defer stop()
	if err := sleep(ctx, d.cfg.Warm); err != nil {
		return err
	}
	d.cfg.Progress("kill: " + string(primary))
	killed := time.Now()
	if err := d.cfg.System.Kill(ctx, primary); err != nil {
		return err
	}
	err := d.until(ctx, "DNS to answer "+string(other), pollEvery, func() bool { return d.answers(ctx, other) })
	if err != nil {
		return err
	}
	d.report.DetectMS = ms(time.Since(killed))
	d.cfg.Progress(fmt.Sprintf("failover: DNS answers %s after %.0f ms", other, d.report.DetectMS))
	var first time.Time
	err = d.until(ctx, "an order acknowledged by "+string(other), pollEvery, func() bool {
		first = firstAck(l.snapshot(), other, killed)
		return !first.IsZero()
	})
	if err != nil {
		return err
	}
	d.report.RTOMS = ms(first.Sub(killed))
	if err := sleep(ctx, d.cfg.Hold); err != nil {
		return err
	}
	stop()
	d.count(l)
	return d.findUnreplicated(ctx, l.snapshot(), killed)
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// firstAck is when the region acknowledged its first order that was sent after t.
func firstAck(writes []Write, r proa.Region, t time.Time) time.Time {
	var first time.Time
	for _, w := range writes {
		if w.Acked && w.Region == r && w.Done.After(t) && (first.IsZero() || w.Done.Before(first)) {
			first = w.Done
		}
	}
	return first
}

func (d *run) count(l *load) {
	l.mu.Lock()
	defer l.mu.Unlock()
	d.report.Requests, d.report.Skipped = len(l.writes), l.skipped
	for _, w := range l.writes {
		if w.Acked {
			d.report.Acked++
		} else {
			d.report.Failed++
		}
	}
}

// findUnreplicated reads every order that the lost region acknowledged from the other, and asks proa what it lists itself.
func (d *run) findUnreplicated(ctx context.Context, writes []Write, killed time.Time) error {
	primary := d.cfg.Primary
	writes = slices.DeleteFunc(writes, func(w Write) bool { return !w.Acked || w.Region != primary })
	missing, err := d.absent(ctx, writes, primary.Other())
	if err != nil {
		return err
	}
	listed, err := d.cfg.System.Unreplicated(ctx, primary)
	if err != nil {
		return err
	}
	d.suspects = missing
	for _, w := range missing {
		d.report.Unreplicated = append(d.report.Unreplicated, w.ID)
		if slices.Contains(listed, w.ID) {
			d.report.Listed = append(d.report.Listed, w.ID)
		}
		d.report.RPOMS = max(d.report.RPOMS, ms(killed.Sub(w.Done)))
	}
	d.cfg.Progress(fmt.Sprintf("RPO: %d of %d acknowledged orders are not on %s yet, proa lists %d of them", len(missing), len(writes), primary.Other(), len(d.report.Listed)))
	return nil
}

// absent returns the writes that the region answers 404 for.
func (d *run) absent(ctx context.Context, writes []Write, r proa.Region) ([]Write, error) {
	gone := make([]bool, len(writes))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(16)
	for i, w := range writes {
		g.Go(func() error {
			status, err := d.read(gctx, r, w.ID)
			gone[i] = status == http.StatusNotFound
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var missing []Write
	for i, w := range writes {
		if gone[i] {
			missing = append(missing, w)
		}
	}
	return missing, nil
}

// read asks the region for one order; it tries again where the answer is neither 200 nor 404.
func (d *run) read(ctx context.Context, r proa.Region, id string) (status int, err error) {
	for range 5 {
		status, _, _, err = d.client.do(ctx, http.MethodGet, d.cfg.Gateways[r], "/orders/"+id, nil)
		if err == nil && (status == http.StatusOK || status == http.StatusNotFound) {
			return status, nil
		}
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return 0, err
		}
	}
	if err == nil {
		err = fmt.Errorf("status %d", status)
	}
	return status, fmt.Errorf("read order %s from %s: %w", id, r, err)
}

// recoverRegion heals the lost region and waits for equality and failback.
func (d *run) recoverRegion(ctx context.Context) error {
	primary := d.cfg.Primary
	d.cfg.Progress("heal: " + string(primary))
	healed := time.Now()
	if err := d.cfg.System.Heal(ctx, primary); err != nil {
		return err
	}
	if err := d.untilEqual(ctx); err != nil {
		return err
	}
	d.report.RecoverMS = ms(time.Since(healed))
	d.cfg.Progress(fmt.Sprintf("equal: %.0f ms after the heal", d.report.RecoverMS))
	err := d.until(ctx, "failback to "+string(primary), pollEvery, func() bool { return d.answers(ctx, primary) })
	if err != nil {
		return err
	}
	d.report.FailbackMS = ms(time.Since(healed))
	d.cfg.Progress(fmt.Sprintf("failback: DNS answers %s again after %.0f ms", primary, d.report.FailbackMS))
	lost, err := d.absent(ctx, d.suspects, primary.Other())
	if err != nil {
		return err
	}
	for _, w := range lost {
		d.report.Lost = append(d.report.Lost, w.ID)
	}
	return nil
}

// untilEqual waits until both sides hold the same, nothing in flight.
func (d *run) untilEqual(ctx context.Context) error {
	var verr error
	err := d.until(ctx, "both sides to be equal", 200*time.Millisecond, func() bool {
		keys, differences, inFlight, err := d.cfg.System.Verify(ctx)
		d.report.Keys, d.report.Differences, verr = keys, differences, err
		return err == nil && differences == 0 && inFlight == 0
	})
	if err != nil && verr != nil {
		return fmt.Errorf("%w: %w", err, verr)
	}
	return err
}

// splitBrain writes the same orders on both sides of a partition, heals it and looks for the losers.
func (d *run) splitBrain(ctx context.Context) error {
	primary := d.cfg.Primary
	ids := make([]string, conflictCount)
	for i := range ids {
		ids[i] = fmt.Sprintf("%s-split-%02d", d.id, i)
		if err := d.write(ctx, http.MethodPost, primary, "/orders", map[string]any{"id": ids[i], "item": "sail"}); err != nil {
			return err
		}
	}
	if err := d.untilEqual(ctx); err != nil {
		return err
	}
	d.cfg.Progress("partition: data sync is cut from " + string(primary))
	since := time.Now()
	if err := d.cfg.System.Partition(ctx, primary); err != nil {
		return err
	}
	for _, id := range ids {
		for _, r := range proa.Regions() {
			if err := d.write(ctx, http.MethodPatch, r, "/orders/"+id, map[string]any{"note": "written on " + string(r)}); err != nil {
				return err
			}
		}
	}
	d.report.ConflictsMade = ids
	d.cfg.Progress("heal: the partition")
	if err := d.cfg.System.HealPartition(ctx); err != nil {
		return err
	}
	if err := d.untilEqual(ctx); err != nil {
		return err
	}
	journal, err := d.cfg.System.Conflicts(ctx, since)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if slices.Contains(journal, id) {
			d.report.Conflicts = append(d.report.Conflicts, id)
		}
	}
	return nil
}

func (d *run) write(ctx context.Context, method string, r proa.Region, path string, body any) error {
	status, _, answer, err := d.client.do(ctx, method, d.cfg.Gateways[r], path, body)
	if err != nil {
		return fmt.Errorf("%s %s on %s: %w", method, path, r, err)
	}
	if status/100 != 2 {
		var compact any
		_ = json.Unmarshal(answer, &compact)
		return fmt.Errorf("%s %s on %s: status %d: %v", method, path, r, status, compact)
	}
	return nil
}

// compare is the last word: both sides, key by key.
func (d *run) compare(ctx context.Context) error { return d.untilEqual(ctx) }
