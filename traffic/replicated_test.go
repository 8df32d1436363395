package traffic

import (
	"errors"
	"testing"
	"time"

	"github.com/proa-cloud/proa"
)

func TestStandbyDecidesNothingUntilItsTurn(t *testing.T) {
	r := newRig(t, Default(), State{})
	r.step(Assigned{Standby: "node-2 decides"})
	r.health[proa.AWS] = proa.Unhealthy
	r.pass(3 * time.Second)
	r.wantActive(proa.AWS, 1)
	if err := r.command(Command{Action: Force, To: proa.Azure, Reason: "x"}); !errors.Is(err, proa.ErrUnavailable) {
		t.Fatalf("a standby took a command: %v", err)
	}
	r.step(Assigned{})
	r.wantActive(proa.Azure, 2) // it has counted all along
}

func TestCommittedStateReplacesADecisionThatTheLogDidNotTake(t *testing.T) {
	r := newRig(t, Default(), State{})
	r.pass(time.Second)
	committed := r.ctl.State()
	if err := r.command(Command{Action: Force, To: proa.Azure, Reason: "x"}); err != nil {
		t.Fatal(err)
	}
	r.wantActive(proa.Azure, 2)
	r.step(Assigned{Standby: "no quorum"})
	r.step(Committed{State: committed})
	r.wantActive(proa.AWS, 1)
}

func TestStandbyGivesUpASwitchoverThatWaits(t *testing.T) {
	r := newRig(t, Default(), State{})
	r.pass(time.Second)
	r.repl[proa.AWS] = Replication{From: proa.AWS, Known: true, CaughtUp: true, Backlog: 5}
	r.pass(time.Second)
	if err := r.command(Command{Action: Switchover, To: proa.Azure}); err != nil {
		t.Fatal(err)
	}
	r.step(Assigned{Standby: "node-2 decides"})
	if r.ctl.Explain().Pending != nil {
		t.Error("a standby still waits to switch")
	}
}
