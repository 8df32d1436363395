package traffic

import (
	"context"
	"errors"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/internal/remark"
)

// Log is the nodes' replicated log.
type Log interface {
	// Propose returns nil once a majority has the state, which was decided on the agreed state with
	// the number base. It fails with proa.ErrStalePlan when another state came first and with
	// proa.ErrUnavailable when nothing can be agreed now; whether the state came about in the end is
	// then told by Commit only.
	Propose(ctx context.Context, base uint64, s State) error
}

// Agreed is a state of the log. A later one has a higher number, or a higher generation.
type Agreed struct {
	Generation, Seq uint64
	State           State
}

func (a Agreed) after(b Agreed) bool {
	return a.Generation > b.Generation || a.Generation == b.Generation && a.Seq > b.Seq
}

// told is what the cluster said and Run has not taken yet.
type told struct {
	agreed  *Agreed
	standby *string
	lives   map[string]string // by node: why it is unfit, "" when it is fit
}

// proposeWithin bounds how long the service waits for the other nodes. The name server answers
// meanwhile.
const proposeWithin = 4 * time.Second

// Commit takes an agreed state, whoever decided it. It never blocks.
func (s *Service) Commit(a Agreed) {
	s.tell(func(t *told) {
		if t.agreed == nil || a.after(*t.agreed) {
			t.agreed = &a
		}
	})
}

// Stand says whether this node decides: standby is why not, "" when it does. It never blocks.
func (s *Service) Stand(standby string) { s.tell(func(t *told) { t.standby = &standby }) }

// HearNode takes a node's sign of life: unfit says why it cannot run data sync. It never blocks.
func (s *Service) HearNode(node, unfit string) {
	unfit = remark.Clean(unfit)
	s.tell(func(t *told) {
		if t.lives == nil {
			t.lives = map[string]string{}
		}
		if _, ok := t.lives[node]; ok || len(t.lives) < maxVerdicts {
			t.lives[node] = unfit
		}
	})
}

func (s *Service) tell(change func(*told)) {
	s.mu.Lock()
	change(&s.told)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// takeTold gives the controller what the cluster said: first what is agreed, then whose turn it is.
func (s *Service) takeTold() {
	s.mu.Lock()
	t := s.told
	s.told = told{}
	s.mu.Unlock()
	if t.agreed != nil && t.agreed.after(s.agreed) {
		s.agreed = *t.agreed
		_ = s.step(Committed{State: t.agreed.State}) // never refused
	}
	for node, unfit := range t.lives {
		_ = s.step(NodeHeard{Node: node, Unfit: unfit}) // only orders are refused
	}
	if t.standby != nil {
		_ = s.step(Assigned{Standby: *t.standby}) // never refused
	}
}

// agree has the other nodes agree on a state that this one decided. Where they do not, the
// controller goes back to what is agreed.
func (s *Service) agree(in Input, state State) error {
	if _, ok := in.(Committed); ok || s.cfg.Log == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), proposeWithin)
	defer cancel()
	err := s.cfg.Log.Propose(ctx, s.agreed.Seq, state)
	if err == nil {
		s.agreed.Seq, s.agreed.State = s.agreed.Seq+1, state
		return nil
	}
	s.ctl.Step(s.cfg.Clock(), Committed{State: s.agreed.State})
	level := s.cfg.Logger.Warn
	if errors.Is(err, proa.ErrStalePlan) {
		level = s.cfg.Logger.Info // another node was first: its state comes
	}
	level("decision not agreed, the last plan stands", "plan", state.Plan.Version, "err", err)
	return err
}
