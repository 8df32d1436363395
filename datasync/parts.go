package datasync

import (
	"errors"
	"fmt"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/objects"
)

// parts are what replicates: in memory, the state of one tenure.
type parts struct {
	tables  []*table
	buckets []*objects.Replicator
	keepers [2]*keeper
	born    time.Time // when the shadow index was begun anew after another node's; zero: never
}

func (s *Service) tables() []*table               { return s.parts.Load().tables }
func (s *Service) buckets() []*objects.Replicator { return s.parts.Load().buckets }

// renew makes new parts from what is on disk. What was in flight will not be answered.
// born is when its shadow index was begun anew after another node's; zero: never.
func (s *Service) renew(born time.Time) error {
	p := &parts{born: born}
	instance := fmt.Sprintf("%s-%d", s.cfg.Node, s.clock.now().UnixNano())
	for i, region := range proa.Regions() {
		p.keepers[i] = s.newKeeper(region, instance)
	}
	for _, t := range s.cfg.Tables {
		tb := newTable(&s.cfg, t, s.store, s.clock, &s.m, s.cost, s.log)
		tb.may, tb.keepers = s.owner.may, p.keepers
		tb.rules.Born, tb.rules.KeepDeletes = born, len(s.cfg.Sidecars) > 0
		if err := errors.Join(tb.recallHeard(), tb.restart()); err != nil {
			return err
		}
		p.tables = append(p.tables, tb)
	}
	for _, b := range s.cfg.Buckets {
		r, err := objects.New(b, s.store, s.clock.now, s.log)
		if err != nil {
			return fmt.Errorf("bucket: %w", err)
		}
		p.buckets = append(p.buckets, r)
	}
	s.parts.Store(p)
	return nil
}
