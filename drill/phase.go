package drill

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/proa-cloud/proa"
)

// phase makes the faults, waits for what they lead to, heals them and measures all of it.
func (d *run) phase(ctx context.Context, p *Phase) error {
	out := PhaseRun{
		Name: p.Name, Faults: []string{}, Traffic: p.Traffic, Unreplicated: []string{}, Listed: []string{},
		Clients: []ClientRun{}, ConflictsMade: []string{}, Journaled: []string{},
	}
	keys, err := d.prepareContention(ctx, p)
	if err != nil {
		return err
	}
	if err := sleep(ctx, time.Duration(d.dice.Int64N(int64(strike)))); err != nil {
		return err
	}
	if err := d.ready(ctx, &out); err != nil {
		return err
	}
	since := time.Now()
	if err := d.strike(ctx, p, &out); err != nil {
		return err
	}
	if err := d.watch(ctx, p, &out); err != nil {
		return err
	}
	if out.ConflictsMade, err = d.contend(ctx, p, keys); err != nil {
		return err
	}
	if err := sleep(ctx, p.Hold.D()); err != nil {
		return err
	}
	healing := time.Now()
	if !out.Moved && d.answers(ctx, d.cfg.Preferred.Other()) {
		d.moved(ctx, &out, healing) // where it should have stayed, might have moved, or moved late
	}
	if out.Moved {
		if err := d.findUnreplicated(ctx, &out); err != nil {
			return err
		}
	}
	d.clients(&out, healing)
	if err := d.recover(ctx, &out); err != nil {
		return err
	}
	if err := d.journaled(ctx, &out, since); err != nil {
		return err
	}
	d.out.Phases = append(d.out.Phases, out)
	return nil
}

// ready waits while traffic is not where the phase begins: a failover that nothing of the drill caused must not be measured as its
// fault's. It says so, and gives up at the limit.
func (d *run) ready(ctx context.Context, out *PhaseRun) error {
	home := d.cfg.Preferred
	inPlace := func(ctx context.Context) bool {
		view, err := d.cfg.System.View(ctx)
		return err == nil && view.Plan.Active == home && d.answers(ctx, home)
	}
	if inPlace(ctx) {
		return ctx.Err()
	}
	since := time.Now()
	d.line.mark(since, "away", "traffic is not on "+string(home)+", before any fault of this phase")
	d.cfg.Progress(fmt.Sprintf("traffic is not on %s, though nothing has been broken yet: the fault waits until it is", home))
	if err := d.until(ctx, "traffic to be on "+string(home)+" before the fault", 100*time.Millisecond, inPlace); err != nil {
		return &proa.Error{
			Op: "strike with everything in order", Region: home, Err: err,
			Hint: "`proa explain` says why traffic moved; a machine that is too busy to answer its probes in time looks like a lost cloud",
		}
	}
	out.WaitedMS = msPtr(time.Since(since))
	return nil
}

// strike makes the faults of a phase.
func (d *run) strike(ctx context.Context, p *Phase, out *PhaseRun) error {
	for i := range p.Faults {
		f := &p.Faults[i]
		if err := sleep(ctx, f.After.D()); err != nil {
			return err
		}
		r, text, err := d.target(ctx, f)
		if err != nil {
			return err
		}
		d.cfg.Progress("fault: " + text)
		// A killed process is dead before kill returns: the moment before is when users begin to feel it.
		out.FaultAt = time.Now()
		d.line.mark(out.FaultAt, "fault", text)
		if err := d.cfg.System.Make(ctx, *f, r); err != nil {
			return err
		}
		out.Faults = append(out.Faults, text)
	}
	return nil
}

// target is the region or the node that a fault strikes, and the fault in words.
func (d *run) target(ctx context.Context, f *Fault) (proa.Region, string, error) {
	text := f.Text(d.cfg.Preferred)
	role := f.Node()
	if role == "" {
		r, err := f.Region(d.cfg.Preferred)
		return r, text, err
	}
	name, err := d.cfg.System.Node(ctx, role)
	if err != nil {
		return "", "", fmt.Errorf("find the node to strike: %w", err)
	}
	if name != role {
		text += " (" + name + ")"
	}
	return proa.Region(name), text, nil
}

// watch waits until traffic has moved where it should, and takes the RTO's first parts.
func (d *run) watch(ctx context.Context, p *Phase, out *PhaseRun) error {
	if p.Traffic != Moves {
		return nil
	}
	other := d.cfg.Preferred.Other()
	seen := d.until(ctx, "DNS to answer "+string(other), pollEvery, func(ctx context.Context) bool { return d.answers(ctx, other) }) == nil
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if !seen { // Moved stays false, which the judgement finds
		d.cfg.Progress(fmt.Sprintf("traffic did not move within %s", d.cfg.Limit))
		return nil
	}
	flipped := time.Now()
	d.cfg.Progress(fmt.Sprintf("failover: DNS answers %s after %.0f ms", other, ms(flipped.Sub(out.FaultAt))))
	d.moved(ctx, out, flipped)
	// The clients' part ends with their service; how long is measured later, from what they sent.
	_ = d.until(ctx, "clients to be served", pollEvery*5, func(context.Context) bool {
		_, back, _ := outage(d.load.snapshot(), d.judged(), out.FaultAt, time.Now())
		return back
	})
	return ctx.Err()
}

// moved notes that traffic moved and which part of the way took how long.
func (d *run) moved(ctx context.Context, out *PhaseRun, flipped time.Time) {
	out.Moved = true
	d.line.mark(flipped, "publish", "DNS answers "+string(d.cfg.Preferred.Other()))
	view, err := d.cfg.System.View(ctx)
	if err != nil {
		out.PublishMS = msPtr(flipped.Sub(out.FaultAt)) // of the parts before, nobody tells
		return
	}
	planned := view.Plan.Since
	if planned.Before(out.FaultAt) || planned.After(flipped) {
		planned = flipped
	}
	at := out.FaultAt
	if seen, ok := view.Unhealthy[d.cfg.Preferred]; ok && seen.After(out.FaultAt) && !seen.After(planned) {
		at = seen
		out.DetectMS = msPtr(seen.Sub(out.FaultAt))
		d.line.mark(seen, "detect", string(d.cfg.Preferred)+" is judged unhealthy")
	}
	out.DecideMS, out.PublishMS = msPtr(planned.Sub(at)), msPtr(flipped.Sub(planned))
	d.line.mark(planned, "decide", fmt.Sprintf("plan %d", view.Plan.Version))
}

// judged is the model of clients that the RTO is about.
func (d *run) judged() Model {
	if slices.Contains(d.scenario.Clients, HonoursTTL) {
		return HonoursTTL
	}
	return d.scenario.Clients[0]
}

// clients measures what clients of each model saw between the fault and the heal.
func (d *run) clients(out *PhaseRun, healing time.Time) {
	writes := d.load.snapshot()
	for _, m := range slices.Compact(slices.Sorted(slices.Values(d.scenario.Clients))) {
		c := ClientRun{Model: m}
		var took []float64
		for _, w := range writes {
			if w.Model != m || w.Done.Before(out.FaultAt) || !w.Sent.Before(healing) {
				continue
			}
			c.Requests++
			if w.Acked {
				took = append(took, ms(w.Done.Sub(w.Sent)))
			}
		}
		slices.Sort(took)
		c.P50MS, c.P99MS = quantile(took, 0.5), quantile(took, 0.99)
		back, restored, failed := outage(writes, m, out.FaultAt, healing)
		c.Failed = failed
		switch {
		case failed == 0:
			c.RTOMS = msPtr(0)
		case restored:
			c.RTOMS = msPtr(back.Sub(out.FaultAt))
		}
		if m == d.judged() {
			d.judgedClient(out, c, back)
		}
		out.Clients = append(out.Clients, c)
	}
}

func (d *run) judgedClient(out *PhaseRun, c ClientRun, back time.Time) {
	out.RTOMS = c.RTOMS
	if c.RTOMS == nil || *c.RTOMS == 0 {
		return
	}
	d.line.mark(back, "client", "clients are served again")
	rest := *c.RTOMS
	for _, part := range []*float64{out.DetectMS, out.DecideMS, out.PublishMS} {
		if part != nil {
			rest -= *part
		}
	}
	rest = max(rest, 0)
	out.ClientMS = &rest
}

func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[int(q*float64(len(sorted)-1)+0.5)]
}

// findUnreplicated reads every write that the region which was left acknowledged before the fault from the other, and
// asks proa what it lists itself.
func (d *run) findUnreplicated(ctx context.Context, out *PhaseRun) error {
	left := d.cfg.Preferred
	writes := slices.DeleteFunc(d.load.snapshot(), func(w Write) bool { return !w.Acked || w.Region != left || w.Done.After(out.FaultAt) })
	missing, err := d.absent(ctx, writes, left.Other())
	if err != nil {
		return err
	}
	listed, err := d.cfg.System.Unreplicated(ctx, left)
	if err != nil {
		return err
	}
	d.suspects = append(d.suspects, missing...)
	oldest := time.Duration(0)
	for _, w := range missing {
		out.Unreplicated = append(out.Unreplicated, w.ID)
		if slices.Contains(listed, w.ID) {
			out.Listed = append(out.Listed, w.ID)
		}
		oldest = max(oldest, out.FaultAt.Sub(w.Done))
	}
	out.RPOMS = msPtr(oldest)
	d.cfg.Progress(fmt.Sprintf("RPO: %d of %d acknowledged writes are not on %s, proa lists %d of them", len(missing), len(writes), left.Other(), len(out.Listed)))
	return nil
}

// recover heals everything and waits for equality and, where traffic moved, for failback.
func (d *run) recover(ctx context.Context, out *PhaseRun) error {
	healed := time.Now()
	d.line.mark(healed, "heal", "everything is healed")
	if err := d.cfg.heal(ctx); err != nil {
		return err
	}
	if err := d.untilEqual(ctx); err != nil {
		return err
	}
	if n := d.out.unequal(); n == "" {
		out.ConvergeMS = msPtr(time.Since(healed))
		d.line.mark(time.Now(), "equal", "both sides are equal")
		d.cfg.Progress(fmt.Sprintf("equal: %.0f ms after the heal", *out.ConvergeMS))
	} else {
		d.cfg.Progress(fmt.Sprintf("not equal after %s: %s", d.cfg.Limit, n))
	}
	if !out.Moved {
		return nil
	}
	back := d.until(ctx, "failback", pollEvery, func(ctx context.Context) bool { return d.answers(ctx, d.cfg.Preferred) }) == nil
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if !back { // FailbackMS stays nil, which the judgement finds
		d.cfg.Progress(fmt.Sprintf("traffic did not go back to %s within %s", d.cfg.Preferred, d.cfg.Limit))
		return nil
	}
	out.FailbackMS = msPtr(time.Since(healed))
	d.line.mark(time.Now(), "failback", "DNS answers "+string(d.cfg.Preferred)+" again")
	d.cfg.Progress(fmt.Sprintf("failback: DNS answers %s again after %.0f ms", d.cfg.Preferred, *out.FailbackMS))
	return nil
}

// prepareContention writes the keys that both regions will fight for, and waits until both have them.
func (d *run) prepareContention(ctx context.Context, p *Phase) ([]string, error) {
	keys := make([]string, p.Contend)
	for i := range keys {
		keys[i] = fmt.Sprintf("%s-%d-split-%03d", d.id, len(d.out.Phases), i)
		if err := d.create(ctx, keys[i]); err != nil {
			return nil, err
		}
	}
	if len(keys) == 0 {
		return keys, nil
	}
	other := d.cfg.Preferred.Other()
	return keys, d.until(ctx, "contended keys to be in "+string(other), 100*time.Millisecond, func(ctx context.Context) bool {
		status, err := d.read(ctx, other, keys[len(keys)-1])
		return err == nil && status == http.StatusOK && d.quiet(ctx)
	})
}

// create writes an order in the preferred region; one that has been taken without an answer is there when it is sent again.
func (d *run) create(ctx context.Context, id string) error {
	var err error
	for range 5 {
		if err = d.write(ctx, http.MethodPost, d.cfg.Preferred, "/orders", map[string]any{"id": id, "item": "sail"}); err == nil {
			return nil
		}
		if status, rerr := d.read(ctx, d.cfg.Preferred, id); rerr == nil && status == http.StatusOK {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return err
}

// quiet reports that nothing that is captured waits to be applied.
func (d *run) quiet(ctx context.Context) bool {
	n := d.cfg.System.Backlog(ctx)
	return n != nil && *n < int64(max(d.scenario.Rate, 10))
}

// contend writes each key in both regions and returns those of which neither region can have seen the other's write.
func (d *run) contend(ctx context.Context, p *Phase, keys []string) ([]string, error) {
	made := []string{}
	for i, id := range keys {
		regions := proa.Regions()
		order := regions[:]
		if d.dice.IntN(2) == 0 {
			slices.Reverse(order)
		}
		both := true
		for _, r := range order {
			note := map[string]any{"note": fmt.Sprintf("%s wrote %d", r, i)}
			if err := d.write(ctx, http.MethodPatch, r, "/orders/"+id, note); err != nil {
				if ctx.Err() != nil {
					return nil, ctx.Err()
				}
				both = false // refused there: no conflict to look for
			}
		}
		if both && p.splits() {
			made = append(made, id)
		}
	}
	return made, nil
}

// journaled finds the contended keys in the conflict journal.
func (d *run) journaled(ctx context.Context, out *PhaseRun, since time.Time) error {
	if len(out.ConflictsMade) == 0 {
		return nil
	}
	list, err := d.cfg.System.Conflicts(ctx, since)
	if err != nil {
		return err
	}
	in := map[string]bool{}
	for _, c := range list {
		in[c.Key] = true
	}
	for _, id := range out.ConflictsMade {
		if in[id] {
			out.Journaled = append(out.Journaled, id)
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
