package traffic

import (
	"time"

	"github.com/proa-cloud/proa"
)

// Input is what the controller takes one of at each step: Tick, Observed, Replicated, Command,
// Reconfigured, Adopted, Committed, Assigned, NodeHeard or Fenced.
type Input interface{ isInput() }

// Tick says that time has passed. The shell sends one several times a second.
type Tick struct{}

// Observed is one or several vantage points' verdicts, counted together: the order of verdicts that
// arrive at once must not decide. Each is sent at each change and renewed at least every
// StaleAfter/2.
type Observed struct{ Verdicts []proa.Verdict }

// Replicated is the state of one direction of replication, renewed at least every StaleAfter/2.
type Replicated struct{ State Replication }

// Reconfigured replaces the policy. An invalid one is refused, and the old one stays.
type Reconfigured struct{ Config Config }

// Adopted brings in a state decided elsewhere (the nodes' replicated log). One that is not newer is
// refused.
type Adopted struct{ State State }

// Committed is what the nodes' replicated log holds. It is always taken: what this controller had
// decided and the log did not take is dropped.
type Committed struct{ State State }

// Assigned says whether this node decides. One that does not keeps counting votes, so that it can
// decide at once when its turn comes, but makes no plan and takes no command.
type Assigned struct {
	Standby string // why it does not decide; "" when it does
}

// Replication is what data sync says of one direction: changes captured from From and applied to
// the other region.
type Replication struct {
	From  proa.Region `json:"from"`
	Known bool        `json:"known"` // false: the other fields say nothing
	// Age of the oldest captured change that the other region has not; 0 when none waits
	Lag time.Duration `json:"lag"`
	// Backlog is the number of captured changes that the other region does not have yet.
	Backlog int64 `json:"backlog"`
	// Through is the moment up to which heartbeat writes to From have arrived on the other side: all
	// that was written before has, too. Zero: heartbeats are not written.
	Through time.Time `json:"through,omitzero"`
	// CaughtUp says that the feed is being read live: no backfill, catch-up or repair is under way
	// whose size is not in Backlog.
	CaughtUp bool   `json:"caught_up"`
	Reason   string `json:"reason,omitempty"` // why it is not known or not caught up
}

// Action is what an operator asks for.
type Action string

// The operators' actions.
const (
	// Planned: move to a healthy region once everything has been replicated to it
	Switchover Action = "switchover"
	Failback   Action = "failback" // switchover to the preferred region; ends an operator's pin
	// Move now, whatever health and data say; needs a reason, is on the record
	Force   Action = "force"
	Hold    Action = "hold"    // make no automatic switch
	Release Action = "release" // end a hold, or a switchover that still waits
	// Move data sync to another node
	HandOver Action = "handover"
)

// Command is an operator's order. Refusals wrap proa.ErrConflict (not now) or proa.ErrInvalid
// (never).
type Command struct {
	Action Action        `json:"action"`
	To     proa.Region   `json:"to,omitempty"`     // Switchover and Force
	Node   string        `json:"node,omitempty"`   // HandOver
	By     string        `json:"by"`               // who asks
	Reason string        `json:"reason,omitempty"` // why; Force needs one
	For    time.Duration `json:"for,omitempty"`    // Hold: how long; 0 until Release
	// Override sets the safety rules aside; it needs a reason and is on the record.
	Override bool `json:"override,omitempty"`
}

func (Tick) isInput()         {}
func (Observed) isInput()     {}
func (Replicated) isInput()   {}
func (Reconfigured) isInput() {}
func (Adopted) isInput()      {}
func (Committed) isInput()    {}
func (Assigned) isInput()     {}
func (Command) isInput()      {}

// Output is what the shell must do or tell, in the order given: StateChanged, PlanChanged, Event or
// Refused.
type Output interface{ isOutput() }

// StateChanged carries the whole durable state. The shell makes it durable before it acts on the
// outputs that follow.
type StateChanged struct{ State State }

// PlanChanged carries the new plan and why it was made. Versions rise strictly.
type PlanChanged struct {
	Plan     proa.Plan `json:"plan"`
	Evidence Evidence  `json:"evidence"`
}

// Event is worth a line in the log and in the timeline.
type Event struct {
	At     time.Time   `json:"at"`
	Kind   EventKind   `json:"kind"`
	Region proa.Region `json:"region,omitempty"`
	Text   string      `json:"text"`
}

// EventKind names what an event is about.
type EventKind string

// The kinds of events.
const (
	EventHealth  EventKind = "health"  // the judgement of a region changed
	EventPlan    EventKind = "plan"    // a new plan is in force
	EventWaiting EventKind = "waiting" // a switch is due but something holds it back
	EventCommand EventKind = "command" // an operator's command was taken
	EventConfig  EventKind = "config"  // the policy changed or a change was refused
)

// Refused answers a Command, a Reconfigured or an Adopted that was not taken.
type Refused struct{ Err error }

func (StateChanged) isOutput() {}
func (PlanChanged) isOutput()  {}
func (Event) isOutput()        {}
func (Refused) isOutput()      {}

// Cause says what made a plan.
type Cause string

// The causes of plans.
const (
	CauseStart      Cause = "start"
	CauseFailover   Cause = "failover"
	CauseFailback   Cause = "failback"
	CauseSwitchover Cause = "switchover"
	CauseForce      Cause = "force"
	CauseWithdraw   Cause = "withdraw" // a gradual failback is taken back
	CauseHealth     Cause = "health"   // a region goes down or comes up for policies that use several
	CauseDrain      Cause = "drain"    // TTLs change before or after a planned move
	CauseOwner      Cause = "owner"    // data sync moves to another node
)

// Evidence is what was known when a plan was made.
type Evidence struct {
	Cause Cause  `json:"cause"`
	By    string `json:"by,omitempty"`   // the operator, "" for the controller
	What  string `json:"what,omitempty"` // what changed and why, for people
	// Overridden are the safety rules that the operator set aside, with what they said.
	Overridden []string `json:"overridden,omitempty"`
	// Judged is when a failover's decider took the region that was left for unhealthy. Others may have come to it later.
	Judged      time.Time      `json:"judged,omitzero"`
	Verdicts    []proa.Verdict `json:"verdicts"`
	Replication []Replication  `json:"replication"`
}

// State is what must survive a restart.
type State struct {
	Plan proa.Plan `json:"plan"`
	// Pinned says that an operator chose Plan.Active; there is no automatic failback until an
	// operator fails back or the region itself fails.
	Pinned bool `json:"pinned,omitempty"`
	// Forced says that an operator forced Plan.Active while it was not healthy: no automatic
	// failover leaves it until it has been healthy once, or until a release.
	Forced bool `json:"forced,omitempty"`
	// Held is an operator's hold, nil when there is none.
	Held *HoldState `json:"held,omitempty"`
	// StageSince is when the plan's Share was reached.
	StageSince time.Time `json:"stage_since,omitzero"`
	// Writers says which region may write the tables that have one writer; nil where there are none.
	Writers *Writers `json:"writers,omitempty"`
	// Switches are the times of the switches within the flap window, oldest first.
	Switches []time.Time `json:"switches,omitempty"`
	// History is the past plans with the present one last.
	History []PlanChanged `json:"history,omitempty"`
}

// HoldState is a hold in force.
type HoldState struct {
	By     string    `json:"by"`
	Reason string    `json:"reason,omitempty"`
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until,omitzero"` // zero: until released
}
