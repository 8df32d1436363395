package dns

import (
	"context"
	"fmt"
	"time"

	"github.com/proa-cloud/proa"
)

// Apply publishes the snapshot of a plan. It fails with proa.ErrStalePlan when a newer plan is in
// force.
func (s *Server) Apply(plan proa.Plan) error {
	s.publish.Lock()
	defer s.publish.Unlock()
	next, err := s.base.Snapshot(plan)
	if err != nil {
		return err
	}
	return s.swap(next)
}

// Publish swaps the snapshot; the next query is answered from it. One whose plan, or whose serial
// of any zone (RFC 1982), is behind the present one is refused with proa.ErrStalePlan.
func (s *Server) Publish(next *Snapshot) error {
	s.publish.Lock()
	defer s.publish.Unlock()
	return s.swap(next)
}

// swap is Publish with the lock held.
func (s *Server) swap(next *Snapshot) error {
	was := s.current.Load()
	if next.Plan.Version < was.Plan.Version {
		return fmt.Errorf("publish plan %d: plan %d is served: %w", next.Plan.Version,
			was.Plan.Version, proa.ErrStalePlan)
	}
	for i, z := range next.base.zones {
		for j, o := range was.base.zones {
			if z.apex == o.apex && behind(next.soas[i].serial, was.soas[j].serial) {
				return fmt.Errorf("publish zone %s: serial %d is behind %d: %w",
					z.Origin, next.soas[i].serial, was.soas[j].serial, proa.ErrStalePlan)
			}
		}
	}
	s.current.Store(next)
	return nil
}

// Resign signs everything again, by the keys that are active now, and publishes it under the plan
// in force. Without keys it does nothing.
func (s *Server) Resign() error {
	s.publish.Lock()
	defer s.publish.Unlock()
	if s.base.renew.IsZero() {
		return nil
	}
	base, err := s.source().Compile()
	if err != nil {
		return err
	}
	next, err := base.Snapshot(s.current.Load().Plan)
	if err != nil {
		return err
	}
	if err := s.swap(next); err != nil {
		return err
	}
	s.base = base
	return nil
}

// resignCheck is how often the clock is compared with the signatures' age.
const resignCheck = 30 * time.Second

// keepSigned signs again before signatures end and when keys change their part, until ctx ends. Each
// server does so by itself.
func (s *Server) keepSigned(ctx context.Context) error {
	tick := time.NewTicker(resignCheck)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		s.publish.Lock()
		due := s.base.renew
		s.publish.Unlock()
		if due.IsZero() || s.cfg.Clock().Before(due) {
			continue
		}
		if err := s.Resign(); err != nil { // the old signatures serve on, and it is tried again
			s.cfg.Logger.Error("zones cannot be signed again", "error", err, "due", due)
			continue
		}
		s.cfg.Logger.Info("zones signed again")
	}
}
