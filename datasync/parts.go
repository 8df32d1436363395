package datasync

import (
	"fmt"

	"github.com/proa-cloud/proa/datasync/objects"
)

// parts are what replicates: in memory, the state of one tenure.
type parts struct {
	tables  []*table
	buckets []*objects.Replicator
}

func (s *Service) tables() []*table               { return s.parts.Load().tables }
func (s *Service) buckets() []*objects.Replicator { return s.parts.Load().buckets }

// renew makes new parts from what is on disk. What was in flight will not be answered.
func (s *Service) renew() error {
	p := &parts{}
	for _, t := range s.cfg.Tables {
		tb := newTable(&s.cfg, t, s.store, s.clock, &s.m, s.cost, s.log)
		tb.may = s.owner.may
		if err := tb.restart(); err != nil {
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
