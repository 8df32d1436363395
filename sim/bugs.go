package sim

import (
	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/datasync/resolve"
)

// Bug is a mistake that is planted around the core, to see that the simulator finds it.
type Bug int

// NoBug and the planted bugs.
const (
	NoBug Bug = iota
	BugNoSweep
	BugNoScanAfterGap
	BugCheckpointFirst
	BugIntentNotDurable
	BugScanDoesNotDrain
	BugNoRestarted
	BugNotFenced
	BugWriteBeforeFeed
)

func (b Bug) is(o Bug) bool { return b == o }

func (b Bug) rules(*resolve.Rules) {}

func (b Bug) restarted(*node) {}

func (b Bug) outcome(in resolve.Applied) resolve.Applied { return in }

func (b Bug) condition(_ *site, _ int, seen cloud.Row) cloud.Row { return seen }

func (b Bug) input(_ *node, _ int, in resolve.Input) (resolve.Input, bool) { return in, true }

func (b Bug) outputs(outs []resolve.Output) []resolve.Output { return outs }

func (b Bug) state(*resolve.State, resolve.Input) {}

func (w *world) misread(_ *site, list []shown, _ *dice) []shown { return list }

var _ proa.Image

// BugNamed finds a planted bug.
func BugNamed(string) (Bug, error) { return NoBug, nil }
