package sim

import "strings"

// Result is what a history came to.
type Result struct {
	Err   error // a *Failure; nil: all promises held
	Reach Reach
	Trace string // where it was asked for
}

// Run plays the history of a seed.
func Run(seed uint64, bug Bug) Result { return Generate(seed).Play(bug, false) }

// Play plays a history, with a readable account of it where trace is set.
func (p Plan) Play(bug Bug, trace bool) Result {
	w := newWorld(p.cfg, bug)
	if trace {
		w.trace = &strings.Builder{}
	}
	r := Result{Err: w.play(p.actions), Reach: w.reached}
	if trace {
		r.Trace = w.trace.String()
	}
	return r
}
