package traffic

import (
	"errors"
	"testing"
	"time"

	"github.com/proa-cloud/proa"
)

// owners is a deciding controller among three nodes, with the nodes' signs of life.
type owners struct {
	t   *testing.T
	ctl *Controller
	now time.Time
}

func newOwners(t *testing.T) *owners {
	t.Helper()
	cfg := Default()
	cfg.OwnerSilence = time.Second
	cfg.Vantages = []Vantage{{"node-1", proa.AWS}, {"node-2", proa.Azure}, {Name: "node-3"}}
	ctl, err := NewController(cfg, State{}, epoch)
	if err != nil {
		t.Fatal(err)
	}
	return &owners{t, ctl, epoch}
}

// pass lets time pass while the named nodes are heard, and returns the plans made.
func (o *owners) pass(d time.Duration, nodes ...NodeHeard) []PlanChanged {
	var plans []PlanChanged
	for end := o.now.Add(d); o.now.Before(end); {
		o.now = o.now.Add(100 * time.Millisecond)
		for _, n := range nodes {
			plans = append(plans, o.step(n)...)
		}
		plans = append(plans, o.step(Tick{})...)
	}
	return plans
}

func (o *owners) step(in Input) []PlanChanged {
	var plans []PlanChanged
	for _, out := range o.ctl.Step(o.now, in) {
		if p, ok := out.(PlanChanged); ok {
			plans = append(plans, p)
		}
	}
	return plans
}

func (o *owners) owns(owner string, epochs uint64) {
	o.t.Helper()
	if p := o.ctl.State().Plan; p.Owner != owner || p.Epoch != epochs {
		o.t.Fatalf("owner %q epoch %d, want %q %d", p.Owner, p.Epoch, owner, epochs)
	}
}

var (
	one, two, three = NodeHeard{Node: "node-1"}, NodeHeard{Node: "node-2"}, NodeHeard{Node: "node-3"}
	unfit           = NodeHeard{Node: "node-3", Unfit: "its disk is full"}
)

func TestTheFirstOwnerIsTheWitness(t *testing.T) {
	o := newOwners(t)
	o.step(Observed{}) // nobody is heard yet
	o.owns("", 0)
	o.step(three)
	o.owns("node-3", 1)
	if s := o.ctl.State(); s.Plan.Version != 2 || len(s.Switches) != 0 || !s.Plan.Since.Equal(epoch) {
		t.Errorf("an owner's plan counts as a switch, or has no version of its own: %+v", s)
	}
}

func TestASilentOwnerIsReplacedWithinItsTime(t *testing.T) {
	o := newOwners(t)
	o.pass(time.Second, three, one, two)
	before := o.now
	plans := o.pass(3*time.Second, one, two)
	if len(plans) != 1 {
		t.Fatalf("%d plans", len(plans))
	}
	at := o.ctl.State().History[len(o.ctl.State().History)-1]
	o.owns("node-2", 2) // beside the region that does not serve
	if at.Evidence.Cause != CauseOwner || plans[0].Plan.Reason == at.Evidence.What {
		t.Errorf("evidence %+v", at.Evidence)
	}
	if d := o.ctl.ownerNamed.Sub(before); d <= time.Second || d > 1200*time.Millisecond {
		t.Errorf("handed over after %s", d)
	}
}

func TestTheOwnerStaysWhenItsPredecessorComesBack(t *testing.T) {
	o := newOwners(t)
	o.pass(time.Second, three, one, two)
	o.pass(3*time.Second, one, two)
	if plans := o.pass(time.Minute, one, two, three); len(plans) != 0 {
		t.Errorf("moved for a preference: %v", plans)
	}
}

func TestAnUnfitOwnerHasTimeToGetWell(t *testing.T) {
	o := newOwners(t)
	o.pass(time.Second, three, one, two)
	o.pass(900*time.Millisecond, unfit, one, two)
	o.pass(time.Second, three, one, two)
	o.owns("node-3", 1)
	o.pass(1500*time.Millisecond, unfit, one, two)
	o.owns("node-2", 2)
}

func TestTheOwnerStaysWhileNobodyElseIsFit(t *testing.T) {
	o := newOwners(t)
	o.pass(time.Second, three)
	o.pass(time.Minute)
	o.owns("node-3", 1)
	o.step(one) // cut off for a minute, and back
	o.owns("node-1", 2)
}

func TestWhoeverBeginsToDecideGivesTheOwnerItsTime(t *testing.T) {
	o := newOwners(t)
	o.pass(time.Second, three, one, two)
	o.step(Assigned{Standby: "node-2 decides"})
	o.pass(time.Minute, one, two)
	o.owns("node-3", 1) // it is not for this node to say
	o.step(Assigned{})
	o.pass(900*time.Millisecond, one, two)
	o.owns("node-3", 1) // its lease may still run
	o.pass(300*time.Millisecond, one, two)
	o.owns("node-2", 2)
}

func TestHandOver(t *testing.T) {
	o := newOwners(t)
	o.pass(time.Second, three, one)
	for node, want := range map[string]error{
		"node-3": proa.ErrConflict, "node-2": proa.ErrConflict, "nobody": proa.ErrConflict,
	} {
		var refused Refused
		for _, out := range o.ctl.Step(o.now, Command{Action: HandOver, Node: node, By: "ann"}) {
			if r, ok := out.(Refused); ok {
				refused = r
			}
		}
		if !errors.Is(refused.Err, want) {
			t.Errorf("%s: %v", node, refused.Err)
		}
	}
	o.step(Command{Action: HandOver, Node: "node-1", By: "ann", Reason: "node-3 gets a disk"})
	o.owns("node-1", 2)
}

func TestACommittedOwnersPlanLeavesASwitchoverAlone(t *testing.T) {
	o := newOwners(t)
	s := o.ctl.State()
	s.Plan.Version, s.Plan.Owner, s.Plan.Epoch = 2, "node-1", 1
	o.ctl.pending = &Pending{}
	if plans := o.step(Committed{State: s}); len(plans) != 1 || o.ctl.pending == nil {
		t.Errorf("plans %v, pending %v", plans, o.ctl.pending)
	}
	o.owns("node-1", 1)
}
