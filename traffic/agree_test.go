package traffic

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/proa-cloud/proa"
)

// fakeLog agrees to what fits, or to nothing.
type fakeLog struct {
	seq  uint64
	fail error
}

func (l *fakeLog) Propose(_ context.Context, base uint64, s State) error {
	if l.fail != nil {
		return l.fail
	}
	if base != l.seq {
		return fmt.Errorf("plan %d on %d: %w", s.Plan.Version, base, proa.ErrStalePlan)
	}
	l.seq++
	return nil
}

func TestADecisionIsPublishedOnlyOnceItIsAgreed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &fakeLog{seq: 1}
		store := &memoryStore{}
		s, plans := runService(t, ServiceConfig{Store: store, Log: log})
		s.Commit(Agreed{Generation: 1, Seq: 1, State: State{Plan: proa.Plan{Version: 1, Active: proa.AWS}}})
		observe(s, proa.Unhealthy, proa.Healthy)
		synctest.Wait()
		if len(*plans) != 1 {
			t.Fatalf("a node that stands by published %+v", *plans)
		}
		log.fail = proa.ErrUnavailable
		s.Stand("")
		synctest.Wait()
		force := Command{Action: Force, To: proa.Azure, By: "ops", Reason: "x"}
		if err := s.Command(t.Context(), force); !errors.Is(err, proa.ErrUnavailable) {
			t.Errorf("without a majority a command was taken: %v", err)
		}
		if len(*plans) != 1 || s.Plan().Version != 1 || store.saved().Version != 1 {
			t.Fatalf("what was not agreed was published: %+v, %+v", *plans, store.saved())
		}
		log.fail = nil
		observe(s, proa.Unhealthy, proa.Healthy)
		synctest.Wait()
		if len(*plans) != 2 || s.Plan().Active != proa.Azure || log.seq != 2 {
			t.Fatalf("with a majority: %+v", *plans)
		}
	})
}

func TestAnotherNodesDecisionIsPublishedHere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, plans := runService(t, ServiceConfig{Store: &memoryStore{}, Log: &fakeLog{}})
		state := State{Plan: proa.Plan{Version: 2, Active: proa.Azure}}
		s.Commit(Agreed{Generation: 1, Seq: 2, State: state})
		synctest.Wait()
		s.Commit(Agreed{Generation: 1, Seq: 1, State: State{Plan: proa.Plan{Version: 1, Active: proa.AWS}}})
		synctest.Wait()
		if len(*plans) != 2 || s.Plan() != state.Plan {
			t.Fatalf("plans %+v, want the later one last", *plans)
		}
		state.Plan.Version = 1 << 20
		s.Commit(Agreed{Generation: 2, Seq: 1, State: state})
		synctest.Wait()
		if len(*plans) != 3 {
			t.Fatalf("a new generation was not taken: %+v", *plans)
		}
	})
}
