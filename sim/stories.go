package sim

import (
	"slices"
	"time"

	"github.com/proa-cloud/proa/sim/internal/dice"
)

// beat is one thing that happens in a story, on the first key.
type beat struct {
	kind kind
	side int
	wait time.Duration // before it, at least
}

// story is what happens in an order. agree says that it is of owners that keep what must outlive them, at sides
// whose clocks agree: of others less can be promised.
type story struct {
	beats []beat
	agree bool
}

// stories are what chance alone tells too rarely. They are told among other things, so that each is told in
// many ways, most of which come to nothing.
var stories = []story{
	{beats: []beat{ // a former owner's write lands where a delete may have been forgotten
		{kind: appPut},
		{kind: capture},
		{kind: dispatch, side: 1},
		{kind: freeze},
		{kind: capture},
		{kind: capture, side: 1},
		{kind: appDelete},
		{kind: capture},
		{kind: dispatch, side: 1},
		{kind: fly},
		{kind: fly},
		{kind: capture, side: 1},
		{kind: dispatch, side: 1},
		{kind: fly},
		{kind: fly},
		{kind: capture, side: 1},
		{kind: tick},
		{kind: thaw},
	}},
	{agree: true, beats: []beat{ // an heir reads its predecessor's echo, and the other side has moved on
		{kind: keep},
		{kind: keep, side: 1},
		{kind: appPut},
		{kind: capture},
		{kind: dispatch, side: 1},
		{kind: fly},
		{kind: fly},
		{kind: appPut},
		{kind: capture},
		{kind: dispatch, side: 1},
		{kind: appPut},
		{kind: fly, wait: 1500 * time.Millisecond},
		{kind: loseDisk},
		{kind: capture},
		{kind: capture, side: 1},
	}},
	{agree: true, beats: []beat{ // an heir knows a replica before its original, whose writer's clock is ahead
		{kind: tablePut},
		{kind: appUpdate},
		{kind: capture},
		{kind: dispatch, side: 1},
		{kind: fly},
		{kind: loseDisk},
		{kind: capture, side: 1},
		{kind: appDelete, side: 1},
		{kind: capture},
		{kind: scan},
		{kind: capture},
		{kind: scan},
	}},
	{agree: true, beats: []beat{ // a delete that waits to be kept is beaten, and the disk is lost
		{kind: appPut},
		{kind: appDelete},
		{kind: capture},
		{kind: crash},
		{kind: appPut, side: 1, wait: time.Second},
		{kind: capture, side: 1},
		{kind: capture},
		{kind: keep},
		{kind: loseDisk},
	}},
}

// tell weaves a story into a plan, on the sides as they are or the other way round. ops is how many writes of
// the first key the plan has.
func (p *Plan) tell(s story, ops int, d *dice.Dice) {
	if p.cfg.noOld {
		return // what an owner's end hides can then not be told
	}
	if s.agree {
		p.cfg.shared, p.cfg.skew, p.cfg.nodeSkew = true, [2]time.Duration{}, 0
	}
	flip, at := d.N(2), d.N(4)
	for _, b := range s.beats {
		a := action{
			kind: b.kind, side: b.side ^ flip, arg: d.Next(), op: -1, pause: b.wait + time.Duration(d.N(80))*time.Millisecond,
		}
		if a.kind.writes() {
			if ops == maxOps {
				return
			}
			a.op = ops
			ops++
		}
		p.actions = slices.Insert(p.actions, min(at, len(p.actions)), a)
		for at++; d.One(3); at++ { // other things happen
		}
	}
}
