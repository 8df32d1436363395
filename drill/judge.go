package drill

import (
	"fmt"
	"time"
)

// Check is one thing that a run is judged by.
type Check struct {
	Name   string // such as "loss: RTO"
	Missed string // why it does not hold; "" when it does
}

// checks judges a run: every objective and promise, met or missed.
func (r *Run) checks(o Objectives) []Check {
	var list []Check
	check := func(name string, bad bool, format string, args ...any) {
		c := Check{Name: name}
		if bad {
			c.Missed = name + ": " + fmt.Sprintf(format, args...)
		}
		list = append(list, c)
	}
	for i := range r.Phases {
		p := &r.Phases[i]
		check(p.Name+": traffic", p.Traffic == Moves && !p.Moved || p.Traffic == Stays && p.Moved, "expected: %s; moved: %v", p.Traffic, p.Moved)
		if p.RTOMS == nil {
			check(p.Name+": RTO", true, "clients that honour the TTL were not served again")
		} else {
			check(p.Name+": RTO", *p.RTOMS > o.RTOMS, "%.0f ms is over the objective of %.0f ms", *p.RTOMS, o.RTOMS)
		}
		if p.RPOMS != nil {
			check(p.Name+": RPO", *p.RPOMS > o.RPOMS, "%.0f ms is over the objective of %.0f ms", *p.RPOMS, o.RPOMS)
			check(p.Name+": unreplicated writes are listed", len(p.Listed) < len(p.Unreplicated), "%d of %d are not",
				len(p.Unreplicated)-len(p.Listed), len(p.Unreplicated))
		}
		if len(p.ConflictsMade) > 0 {
			check(p.Name+": losers are in the journal", len(p.Journaled) < len(p.ConflictsMade), "%d of %d are not",
				len(p.ConflictsMade)-len(p.Journaled), len(p.ConflictsMade))
		}
		if p.ConvergeMS == nil {
			check(p.Name+": convergence", true, "both sides were not equal in time")
		} else {
			check(p.Name+": convergence", *p.ConvergeMS > o.ConvergeMS, "%.0f ms is over the objective of %.0f ms", *p.ConvergeMS, o.ConvergeMS)
		}
		if p.Moved {
			check(p.Name+": failback", p.FailbackMS == nil, "traffic did not go back to %s in time", r.Primary)
		}
	}
	check("the drill is carried out", r.Error != "", "%s", r.Error)
	if r.Error != "" {
		return list // what became of the writes was not looked at
	}
	check("no write is lost", len(r.Lost) > 0, "%d acknowledged writes are nowhere", len(r.Lost))
	check("both sides are equal", r.unequal() != "", "%s", r.unequal())
	check("writes are acknowledged", r.Acked == 0, "none of %d was", r.Requests)
	return list
}

// unequal says how the sides differed when they were last compared; "" if they did not.
func (r *Run) unequal() string {
	switch {
	case r.Differences > 0:
		return fmt.Sprintf("%d of %d keys differ", r.Differences, r.Keys)
	case r.InFlight > 0:
		return fmt.Sprintf("%d of %d keys are still in flight", r.InFlight, r.Keys)
	}
	return ""
}

// judge says what a run missed.
func (r *Run) judge(o Objectives) {
	r.Missed = []string{}
	for _, c := range r.checks(o) {
		if c.Missed != "" {
			r.Missed = append(r.Missed, c.Missed)
		}
	}
}

// judge adds up the runs.
func (s *ScenarioReport) judge() {
	s.Parts, s.Missed = parts(s.Runs), []string{}
	for i := range s.Runs {
		for _, m := range s.Runs[i].Missed {
			if len(s.Runs) > 1 {
				m = fmt.Sprintf("run %d: %s", i+1, m)
			}
			s.Missed = append(s.Missed, m)
		}
	}
}

// add takes a scenario's runs in, and judges.
func (r *Report) add(s *ScenarioReport, began time.Time) {
	s.judge()
	r.Scenarios = append(r.Scenarios, *s)
	r.TookMS = ms(time.Since(began))
	r.Passed = true
	for i := range r.Scenarios {
		r.Passed = r.Passed && len(r.Scenarios[i].Missed) == 0
	}
}
