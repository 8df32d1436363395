package telemetry

import (
	"context"
	"io"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
)

// Table counts the calls to a table as crossings of an arrow.
type Table struct {
	cloud.Table
	Recorder *Recorder
	Arrow    Arrow
}

// Get implements cloud.Table.
func (t Table) Get(ctx context.Context, key proa.Key) (cloud.Row, error) {
	ctx, end := t.Recorder.Span(ctx, t.Arrow)
	row, err := t.Table.Get(ctx, key)
	end(err)
	return row, err
}

// Swap implements cloud.Table.
func (t Table) Swap(ctx context.Context, seen cloud.Row, next proa.Image) (cloud.Row, *proa.Image, error) {
	ctx, end := t.Recorder.Span(ctx, t.Arrow)
	row, replaced, err := t.Table.Swap(ctx, seen, next)
	end(err)
	return row, replaced, err
}

// Purge implements cloud.Table.
func (t Table) Purge(ctx context.Context, seen cloud.Row) (cloud.Row, error) {
	ctx, end := t.Recorder.Span(ctx, t.Arrow)
	row, err := t.Table.Purge(ctx, seen)
	end(err)
	return row, err
}

// Scan implements cloud.Table.
func (t Table) Scan(ctx context.Context, cursor string, limit int) ([]cloud.Row, string, error) {
	ctx, end := t.Recorder.Span(ctx, t.Arrow)
	rows, next, err := t.Table.Scan(ctx, cursor, limit)
	end(err)
	return rows, next, err
}

// Store is Table for a store that answers queries too.
type Store struct {
	Table
	Querier cloud.Querier
}

// Query implements cloud.Querier.
func (s Store) Query(ctx context.Context, q cloud.Query) ([]cloud.Row, string, error) {
	ctx, end := s.Recorder.Span(ctx, s.Arrow)
	rows, next, err := s.Querier.Query(ctx, q)
	end(err)
	return rows, next, err
}

// Writes counts the writes to a table, and no reads: what replication sends.
type Writes struct {
	cloud.Table
	Recorder *Recorder
	Arrow    Arrow
}

// Swap implements cloud.Table.
func (t Writes) Swap(ctx context.Context, seen cloud.Row, next proa.Image) (cloud.Row, *proa.Image, error) {
	ctx, end := t.Recorder.Span(ctx, t.Arrow)
	row, replaced, err := t.Table.Swap(ctx, seen, next)
	end(err)
	return row, replaced, err
}

// Purge implements cloud.Table.
func (t Writes) Purge(ctx context.Context, seen cloud.Row) (cloud.Row, error) {
	ctx, end := t.Recorder.Span(ctx, t.Arrow)
	row, err := t.Table.Purge(ctx, seen)
	end(err)
	return row, err
}

// Check says why the table could not store an item, where it knows that without a call.
func (t Writes) Check(item proa.Item) error {
	if c, ok := t.Table.(interface{ Check(item proa.Item) error }); ok {
		return c.Check(item)
	}
	return nil
}

// Feed counts the changes that a feed gives.
type Feed struct {
	cloud.Feed
	Recorder *Recorder
	Clock    func() time.Time
}

// Read implements cloud.Feed.
func (f Feed) Read(ctx context.Context, cursor string) (cloud.Batch, error) {
	batch, err := f.Feed.Read(ctx, cursor)
	if err != nil {
		f.Recorder.Observe(EventsReplication, -1, err)
		return batch, err
	}
	f.Recorder.Count(EventsReplication, uint64(len(batch.Changes)), 0)
	return batch, nil
}

// Warning passes on what the inner feed has to say, as residency asks for it.
func (f Feed) Warning(table string) string {
	if w, ok := f.Feed.(interface{ Warning(string) string }); ok {
		return w.Warning(table)
	}
	return ""
}

// Objects counts the calls to a bucket as crossings of an arrow.
type Objects struct {
	cloud.Bucket
	Recorder *Recorder
	Arrow    Arrow
}

// List implements cloud.Bucket.
func (b Objects) List(ctx context.Context, after string, limit int) ([]cloud.ObjectInfo, bool, error) {
	ctx, end := b.Recorder.Span(ctx, b.Arrow)
	list, more, err := b.Bucket.List(ctx, after, limit)
	end(err)
	return list, more, err
}

// Head implements cloud.Bucket.
func (b Objects) Head(ctx context.Context, name string) (cloud.ObjectInfo, error) {
	ctx, end := b.Recorder.Span(ctx, b.Arrow)
	info, err := b.Bucket.Head(ctx, name)
	end(err)
	return info, err
}

// Get implements cloud.Bucket. The crossing ends when the object is open.
func (b Objects) Get(ctx context.Context, name string) (cloud.ObjectInfo, io.ReadCloser, error) {
	_, end := b.Recorder.Span(ctx, b.Arrow)
	info, body, err := b.Bucket.Get(ctx, name)
	end(err)
	return info, body, err
}

// Put implements cloud.Bucket.
func (b Objects) Put(
	ctx context.Context, name string, body io.Reader, size int64, o cloud.PutOptions,
) (cloud.ObjectInfo, error) {
	ctx, end := b.Recorder.Span(ctx, b.Arrow)
	info, err := b.Bucket.Put(ctx, name, body, size, o)
	end(err)
	return info, err
}

// Delete implements cloud.Bucket.
func (b Objects) Delete(ctx context.Context, name, ifMatch string) error {
	ctx, end := b.Recorder.Span(ctx, b.Arrow)
	err := b.Bucket.Delete(ctx, name, ifMatch)
	end(err)
	return err
}

// Copies counts the objects that replication puts and deletes, and no reads: one that crosses in parts is one crossing.
type Copies struct {
	cloud.PartBucket
	Recorder *Recorder
	Arrow    Arrow
}

// Put implements cloud.Bucket.
func (b Copies) Put(
	ctx context.Context, name string, body io.Reader, size int64, o cloud.PutOptions,
) (cloud.ObjectInfo, error) {
	ctx, end := b.Recorder.Span(ctx, b.Arrow)
	info, err := b.PartBucket.Put(ctx, name, body, size, o)
	end(err)
	return info, err
}

// Complete implements cloud.PartBucket.
func (b Copies) Complete(
	ctx context.Context, name, upload string, parts []cloud.Part, o cloud.PutOptions,
) (cloud.ObjectInfo, error) {
	ctx, end := b.Recorder.Span(ctx, b.Arrow)
	info, err := b.PartBucket.Complete(ctx, name, upload, parts, o)
	end(err)
	return info, err
}

// Delete implements cloud.Bucket.
func (b Copies) Delete(ctx context.Context, name, ifMatch string) error {
	ctx, end := b.Recorder.Span(ctx, b.Arrow)
	err := b.PartBucket.Delete(ctx, name, ifMatch)
	end(err)
	return err
}

// Notices counts what a bucket's queue tells.
type Notices struct {
	cloud.ObjectEvents
	Recorder *Recorder
}

// Receive implements cloud.ObjectEvents.
func (n Notices) Receive(ctx context.Context, wait time.Duration) ([]cloud.ObjectEvent, error) {
	list, err := n.ObjectEvents.Receive(ctx, wait)
	if isFailure(err) {
		n.Recorder.Observe(EventsReplication, -1, err)
		return list, err
	}
	n.Recorder.Count(EventsReplication, uint64(len(list)), 0)
	return list, err
}

// Alarms counts the questions to a region's own monitor.
type Alarms struct {
	cloud.Monitor
	Recorder *Recorder
	Arrow    Arrow
}

// Alarm implements cloud.Monitor.
func (a Alarms) Alarm(ctx context.Context) (cloud.Alarm, error) {
	ctx, end := a.Recorder.Span(ctx, a.Arrow)
	alarm, err := a.Monitor.Alarm(ctx)
	end(err)
	return alarm, err
}
