package traffic

import (
	"slices"
	"time"

	"github.com/proa-cloud/proa"
)

// Rehearsal plays what a controller would decide: under a policy, from what another one knows, with
// verdicts that differ. Nothing is decided by it.
type Rehearsal struct {
	Policy Config
	// Known is where it begins: the plan, votes, replication and holds of an Explanation.
	Known Explanation
	// Verdicts take the place of those of the same vantage and region; one without a vantage is all
	// vantages'.
	Verdicts []proa.Verdict
	// For is how long they last; everything else stays as it is known.
	For time.Duration
}

// rehearsalStep is how the time is cut.
const rehearsalStep = time.Second

// Play returns the plans that would be made, and the account at the end. It fails with
// proa.ErrInvalidConfig for a policy that cannot work.
func (r Rehearsal) Play(now time.Time) ([]PlanChanged, Explanation, error) {
	r.Policy.OwnerSilence = 0 // it is about traffic
	state := State{
		Plan: r.Known.Plan, Held: r.Known.Held, Pinned: r.Known.Pinned, Forced: r.Known.Forced,
		Switches: r.Known.Switches, StageSince: r.Known.StageSince, Writers: r.Known.Writers,
	}
	began := now.Add(-r.age(now))
	c, err := NewController(r.Policy, state, began)
	if err != nil {
		return nil, Explanation{}, err
	}
	c.Step(began, Assigned{Standby: "it rehearses"})
	r.tell(c, began, nil)
	for at := began.Add(rehearsalStep); at.Before(now); at = at.Add(rehearsalStep) {
		r.tell(c, at, nil)
	}
	plans := collect(c.Step(now, Assigned{}))
	for end := now.Add(max(r.For, rehearsalStep)); !now.After(end); now = now.Add(rehearsalStep) {
		plans = append(plans, r.tell(c, now, r.Verdicts)...)
	}
	return plans, c.Explain(), nil
}

// maxAge bounds how far back a rehearsal goes to count hold-downs and dwell times.
const maxAge = 5 * time.Minute

// age is for how long the present health has lasted, so that it counts.
func (r Rehearsal) age(now time.Time) time.Duration {
	oldest := time.Duration(0)
	for _, j := range r.Known.Regions {
		oldest = max(oldest, now.Sub(j.Since))
	}
	return min(oldest, maxAge)
}

// tell gives the controller what is known, with the differing verdicts, at a time.
func (r Rehearsal) tell(c *Controller, at time.Time, differ []proa.Verdict) []PlanChanged {
	var batch []proa.Verdict
	for _, v := range r.Known.Vantages {
		verdict := proa.Verdict{
			Region: v.Region, Health: v.Health, Reason: v.Reason, Since: v.Since, By: v.Vantage.Name,
		}
		if i := slices.IndexFunc(differ, func(d proa.Verdict) bool {
			return d.Region == v.Region && (d.By == "" || d.By == v.Vantage.Name)
		}); i >= 0 {
			verdict.Health, verdict.Reason = differ[i].Health, "as given: "+differ[i].Reason
		} else if !v.Since.IsZero() && v.Since.After(at) {
			verdict.Health = proa.Unknown // it was not so yet
		}
		batch = append(batch, verdict)
	}
	var plans []PlanChanged
	for _, l := range r.Known.Replication {
		plans = append(plans, collect(c.Step(at, Replicated{State: l}))...)
	}
	return append(plans, collect(c.Step(at, Observed{Verdicts: batch}))...)
}

func collect(outs []Output) []PlanChanged {
	var plans []PlanChanged
	for _, o := range outs {
		if p, ok := o.(PlanChanged); ok {
			plans = append(plans, p)
		}
	}
	return plans
}
