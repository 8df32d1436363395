package sim

import (
	"errors"
	"slices"
)

// Shrink leaves out of a failing history what the failure does not need: first runs of actions, then
// single ones, as long as the same promise is broken. It gives up after a number of tries.
func (p Plan) Shrink(bug Bug) Plan {
	var want *Failure
	if !errors.As(p.Play(bug, false).Err, &want) {
		return p
	}
	fails := func(actions []action) bool {
		q := p
		q.actions = actions
		var got *Failure
		return errors.As(q.Play(bug, false).Err, &got) && got.Check == want.Check
	}
	tries := 0
	for size := max(len(p.actions)/2, 1); size > 0; size /= 2 {
		for again := true; again; {
			again = false
			for at := 0; at < len(p.actions) && tries < 20000; {
				less := slices.Concat(p.actions[:at], p.actions[min(at+size, len(p.actions)):])
				tries++
				if fails(less) {
					p.actions, again = less, true
					continue
				}
				at += size
			}
		}
	}
	return p
}
