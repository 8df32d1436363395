package datasync

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/datasync/internal/fake"
)

// picky is a table that takes only short texts.
type picky struct{ cloud.Table }

func (picky) Check(item proa.Item) error {
	if n := len(item["text"].Str); n > 5 {
		return fmt.Errorf("text of %d characters: %w", n, proa.ErrTooLarge)
	}
	return nil
}

func TestPreflightListsWhatCannotCrossAndWritesNothing(t *testing.T) {
	w := newWorld(t)
	for i := range 25 {
		w.aws.Put(order(fmt.Sprint("k", i), "short"), 0)
	}
	w.aws.Put(order("long1", "much too long"), 0)
	w.aws.Put(order("long2", "much too long"), 0)
	bad := order("bad", "x")
	bad[proa.EnvelopeAttr] = proa.String("rubbish")
	w.az.Put(bad, 0)
	tables := w.cfg.Tables
	tables[0].Sides[proa.Azure] = TableSide{Table: picky{w.az}, Feed: w.feeds[proa.Azure]}
	var pages atomic.Int64
	out, err := CheckData(context.Background(), PreflightOptions{
		Tables: tables, Limit: 2, Page: 10, Clock: time.Now, Progress: func(string, proa.Region, int64) { pages.Add(1) },
	})
	if err != nil || out.Total != 3 || len(out.Listed) != 2 || out.Rows[proa.AWS] != 27 || pages.Load() != 4 {
		t.Fatalf("%+v after %d pages, %v", out, pages.Load(), err)
	}
	if u := out.Listed[0]; u.From != proa.AWS || u.To != proa.Azure || u.Reason != "text of 13 characters: too large" {
		t.Errorf("%+v", u)
	}
	if w.aws.Writes+w.az.Writes != 0 {
		t.Error("something was written")
	}
	w.az.Fault = func(string) fake.Fault { return fake.Down }
	out, err = CheckData(context.Background(), PreflightOptions{Tables: tables, Clock: time.Now})
	if err != nil || len(out.Unreadable) != 1 || out.Total != 2 {
		t.Errorf("with a side away: %+v, %v", out, err)
	}
}
