package datasync

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/datasync/residency"
	"github.com/proa-cloud/proa/datasync/resolve"
)

// checker is a table that says why it cannot store an item, without a call.
type checker interface {
	Check(item proa.Item) error
}

// Uncrossable is one key that cannot cross.
type Uncrossable struct {
	Table  string      `json:"table"`
	Key    proa.Item   `json:"key"`
	From   proa.Region `json:"from"`
	To     proa.Region `json:"to"`
	Reason string      `json:"reason"`
}

// Preflight is what a look at both sides' data has found. Nothing is written for it.
type Preflight struct {
	Rows       map[proa.Region]int64 `json:"rows"`   // that were looked at
	Total      int64                 `json:"total"`  // keys that cannot cross
	Listed     []Uncrossable         `json:"listed"` // of those, up to the limit
	Unreadable []string              `json:"unreadable,omitempty"`
	Took       float64               `json:"took_seconds"`
	// NotReplicated are tables that a rule keeps in their region.
	NotReplicated []string `json:"not_replicated,omitempty"`
	// Heavy are partition keys with 16 GB and more, the heaviest first: Cosmos DB takes 20 GB.
	Heavy []Partition `json:"heavy,omitempty"`
}

// PreflightOptions bound a look at both sides' data.
type PreflightOptions struct {
	Tables   []Table
	Limit    int // of Listed; 1,000 when 0
	Page     int // rows of one read; 500 when 0
	Clock    func() time.Time
	Progress func(table string, region proa.Region, rows int64) // after each page; nil for none
	Near     int64                                              // bytes from which a partition key is told; 16 GB when 0
}

// CheckData reads both sides of every table and says which keys could not be stored on the other
// side, and why: before replication is switched on, or beside it. Memory does not grow with the
// number of rows. A side that cannot be read is told in Unreadable.
func CheckData(ctx context.Context, o PreflightOptions) (Preflight, error) {
	began := o.Clock()
	out := Preflight{Rows: map[proa.Region]int64{}, Listed: []Uncrossable{}}
	if o.Limit == 0 {
		o.Limit = 1000
	}
	if o.Page == 0 {
		o.Page = 500
	}
	if o.Near == 0 {
		o.Near = partitionNear
	}
	for _, t := range o.Tables {
		if !t.Residency.Copies() {
			out.NotReplicated = append(out.NotReplicated, t.Schema.Table)
			continue
		}
		var parts [2]Preflight
		g, gctx := errgroup.WithContext(ctx)
		for i, from := range proa.Regions() {
			g.Go(func() error {
				err := o.side(gctx, t, from, &parts[i])
				if err != nil && gctx.Err() == nil {
					why := fmt.Sprintf("%s at %s: %v", t.Schema.Table, from, err)
					parts[i].Unreadable = append(parts[i].Unreadable, why)
					err = nil
				}
				return err
			})
		}
		if err := g.Wait(); err != nil {
			return out, err
		}
		for i, from := range proa.Regions() {
			p := &parts[i]
			out.Rows[from] += p.Rows[from]
			out.Total += p.Total
			out.Listed = append(out.Listed, p.Listed[:min(len(p.Listed), o.Limit-len(out.Listed))]...)
			out.Unreadable = append(out.Unreadable, p.Unreadable...)
			out.Heavy = append(out.Heavy, p.Heavy...)
		}
	}
	out.Took = o.Clock().Sub(began).Seconds()
	return out, ctx.Err()
}

func (o *PreflightOptions) side(ctx context.Context, t Table, from proa.Region, p *Preflight) error {
	p.Rows = map[proa.Region]int64{}
	table := t.Sides[from].Table
	target, _ := t.Sides[from.Other()].Table.(checker)
	partitions := newHeavy(heavyRoom)
	for cursor := ""; ; {
		rows, next, err := table.Scan(ctx, cursor, o.Page)
		if err != nil {
			return err
		}
		for i := range rows {
			if t.Schema.RangeName != "" { // without one, a partition key has one item
				partitions.add(rows[i].Key, int64(resolve.Size(rows[i].Image.Item)))
			}
			reason := uncrossable(&rows[i], target, t.Residency)
			if reason == "" {
				continue
			}
			p.Total++
			if len(p.Listed) < o.Limit {
				key, _ := t.Residency.Logged(t.Schema.Attributes(rows[i].Key))
				p.Listed = append(p.Listed, Uncrossable{
					Table: t.Schema.Table, Key: key, From: from, To: from.Other(),
					Reason: t.Residency.Text(reason, t.Schema.Attributes(rows[i].Key)),
				})
			}
		}
		p.Rows[from] += int64(len(rows))
		if o.Progress != nil {
			o.Progress(t.Schema.Table, from, p.Rows[from])
		}
		if cursor = next; next == "" {
			o.heavy(t, from, partitions, p)
			return nil
		}
	}
}

// heavy lists the partition keys of a side that are near what Cosmos DB takes.
func (o *PreflightOptions) heavy(t Table, from proa.Region, all *heavy, p *Preflight) {
	for _, w := range all.near(o.Near) {
		if len(p.Heavy) == o.Limit {
			return
		}
		key, _ := t.Residency.Logged(proa.Item{t.Schema.HashName: w.hash})
		p.Heavy = append(p.Heavy, Partition{Table: t.Schema.Table, Key: key, From: from, Bytes: w.bytes, Over: w.over})
	}
}

// uncrossable says why a row cannot cross, "" when it can.
func uncrossable(row *cloud.Row, target checker, rules *residency.Rules) string {
	if row.Image.Malformed != "" {
		return "malformed: " + row.Image.Malformed
	}
	if target == nil || row.Image.Tombstone() || !row.Image.Exists() {
		return ""
	}
	err := target.Check(rules.Project(row.Image.Item))
	if err == nil {
		return ""
	}
	var e *proa.Error
	if errors.As(err, &e) && e.Err != nil {
		err = e.Err
	}
	return err.Error()
}

// CheckData is the look at both sides' data of the tables that the service replicates.
func (s *Service) CheckData(ctx context.Context, limit int) (Preflight, error) {
	return CheckData(ctx, PreflightOptions{
		Tables: s.cfg.Tables, Limit: limit, Page: s.cfg.PageSize, Clock: s.clock.now,
	})
}
