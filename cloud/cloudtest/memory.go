package cloudtest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
)

// Table is a cloud.Table and cloud.Querier in memory, for tests of what is built on the seam. It compares by ETag, as Cosmos does, and passes
// the suite. Fail, where set, is asked before each call and may fail it.
type Table struct {
	Fail func(op string) error

	schema proa.Schema
	mu     sync.Mutex
	rows   map[string]cloud.Row
	etags  int
}

var (
	_ cloud.Table   = (*Table)(nil)
	_ cloud.Querier = (*Table)(nil)
	_ cloud.Bucket  = (*Bucket)(nil)
)

// NewTable makes an empty table.
func NewTable(s proa.Schema) *Table { return &Table{schema: s, rows: map[string]cloud.Row{}} }

// Schema returns the table's key schema.
func (t *Table) Schema() proa.Schema { return t.schema }

func (t *Table) enter(op string) (leave func(), err error) {
	if t.Fail != nil {
		if err := t.Fail(op); err != nil {
			return nil, err
		}
	}
	t.mu.Lock()
	return t.mu.Unlock, nil
}

func failed(op, key string, err error) error {
	return &proa.Error{Op: op, Region: proa.AWS, Key: key, Err: err}
}

// Get reads one key.
func (t *Table) Get(ctx context.Context, key proa.Key) (cloud.Row, error) {
	leave, err := t.enter("get")
	if err != nil {
		return cloud.Row{}, err
	}
	defer leave()
	return t.at(key), ctx.Err()
}

func (t *Table) at(key proa.Key) cloud.Row {
	if row, ok := t.rows[key.ID()]; ok {
		return row
	}
	return cloud.Row{Key: key}
}

// Swap compares and sets one row.
func (t *Table) Swap(_ context.Context, seen cloud.Row, next proa.Image) (cloud.Row, *proa.Image, error) {
	leave, err := t.enter("swap")
	if err != nil {
		return cloud.Row{}, nil, err
	}
	defer leave()
	if err := t.check(seen.Key, next); err != nil {
		return cloud.Row{}, nil, failed("swap", seen.Key.String(), err)
	}
	now := t.at(seen.Key)
	if !sameRow(now, seen) {
		return now, nil, failed("swap", seen.Key.String(), proa.ErrConflict)
	}
	t.etags++
	row := cloud.Row{Key: seen.Key, Image: next, ETag: strconv.Itoa(t.etags)}
	t.rows[seen.Key.ID()] = row
	return row, &now.Image, nil
}

func sameRow(now, seen cloud.Row) bool {
	if seen.ETag != "" || !now.Image.Exists() || !seen.Image.Exists() {
		return now.Image.Exists() == seen.Image.Exists() && now.ETag == seen.ETag
	}
	return string(now.Image.Stored().AppendJSON(nil)) == string(seen.Image.Stored().AppendJSON(nil))
}

func (t *Table) check(key proa.Key, next proa.Image) error {
	got, err := t.schema.KeyOf(next.Item)
	if err != nil {
		return err
	}
	if got.ID() != key.ID() {
		return fmt.Errorf("another key: %w", proa.ErrInvalid)
	}
	size := 0
	for _, v := range next.Item {
		text := v.AppendJSON(nil)
		size += len(text)
		if bytes.Contains(text, []byte(`{"":}`)) || bytes.Contains(text, []byte(`{"SS":[]}`)) {
			return proa.ErrInvalid
		}
	}
	if size > 400<<10 {
		return proa.ErrTooLarge
	}
	return nil
}

// Purge deletes the row if it still is seen.
func (t *Table) Purge(_ context.Context, seen cloud.Row) (cloud.Row, error) {
	leave, err := t.enter("purge")
	if err != nil {
		return cloud.Row{}, err
	}
	defer leave()
	now := t.at(seen.Key)
	switch {
	case !seen.Image.Exists():
		return now, failed("purge", seen.Key.String(), proa.ErrInvalid)
	case !sameRow(now, seen):
		return now, failed("purge", seen.Key.String(), proa.ErrConflict)
	}
	delete(t.rows, seen.Key.ID())
	return cloud.Row{Key: seen.Key}, nil
}

// Scan returns rows in the order of their key IDs; the cursor is the last ID.
func (t *Table) Scan(_ context.Context, cursor string, limit int) ([]cloud.Row, string, error) {
	leave, err := t.enter("scan")
	if err != nil {
		return nil, "", err
	}
	defer leave()
	if cursor != "" && t.rows[cursor].ETag == "" {
		return nil, "", failed("scan", t.schema.Table, proa.ErrInvalid)
	}
	var rows []cloud.Row
	for _, id := range slices.Sorted(maps.Keys(t.rows)) {
		if id <= cursor && cursor != "" {
			continue
		}
		if len(rows) == max(limit, 1) {
			return rows, rows[len(rows)-1].Key.ID(), nil
		}
		rows = append(rows, t.rows[id])
	}
	return rows, "", nil
}

// Query returns all rows of a hash key in range order, in one page.
func (t *Table) Query(_ context.Context, q cloud.Query) ([]cloud.Row, string, error) {
	leave, err := t.enter("query")
	if err != nil {
		return nil, "", err
	}
	defer leave()
	var rows []cloud.Row
	for _, row := range t.rows {
		r := row.Key.Range
		in := (q.From.Kind == proa.KindNone || r.Compare(q.From) >= 0) && (q.To.Kind == proa.KindNone || r.Compare(q.To) <= 0)
		if row.Key.Hash.Equal(q.Hash) && in && strings.HasPrefix(r.Str, q.Prefix) {
			rows = append(rows, row)
		}
	}
	slices.SortFunc(rows, func(a, b cloud.Row) int {
		if q.Descending {
			a, b = b, a
		}
		return a.Key.Range.Compare(b.Key.Range)
	})
	return rows, "", nil
}

// Bucket is a cloud.Bucket in memory. It passes the suite.
type Bucket struct {
	Fail func(op string) error

	mu      sync.Mutex
	objects map[string]object
	etags   int
}

type object struct {
	info    cloud.ObjectInfo
	content []byte
}

// NewBucket makes an empty bucket.
func NewBucket() *Bucket { return &Bucket{objects: map[string]object{}} }

func (b *Bucket) enter(op string) (leave func(), err error) {
	if b.Fail != nil {
		if err := b.Fail(op); err != nil {
			return nil, err
		}
	}
	b.mu.Lock()
	return b.mu.Unlock, nil
}

// List returns a page in the byte order of names.
func (b *Bucket) List(_ context.Context, after string, limit int) ([]cloud.ObjectInfo, bool, error) {
	leave, err := b.enter("list")
	if err != nil {
		return nil, false, err
	}
	defer leave()
	var page []cloud.ObjectInfo
	for _, name := range slices.Sorted(maps.Keys(b.objects)) {
		if name <= after {
			continue
		}
		if len(page) == max(limit, 1) {
			return page, true, nil
		}
		page = append(page, b.objects[name].info)
	}
	return page, false, nil
}

// Head describes one object.
func (b *Bucket) Head(_ context.Context, name string) (cloud.ObjectInfo, error) {
	leave, err := b.enter("head")
	if err != nil {
		return cloud.ObjectInfo{}, err
	}
	defer leave()
	o, ok := b.objects[name]
	if !ok {
		return o.info, failed("head", name, proa.ErrNotFound)
	}
	return o.info, nil
}

// Get opens one object.
func (b *Bucket) Get(ctx context.Context, name string) (cloud.ObjectInfo, io.ReadCloser, error) {
	info, err := b.Head(ctx, name)
	if err != nil {
		return info, nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return info, io.NopCloser(bytes.NewReader(b.objects[name].content)), nil
}

// Put stores size bytes of body.
func (b *Bucket) Put(
	_ context.Context, name string, body io.Reader, size int64, o cloud.PutOptions,
) (cloud.ObjectInfo, error) {
	content, err := io.ReadAll(body)
	if err == nil && int64(len(content)) != size {
		err = proa.ErrInvalid
	}
	if err != nil {
		return cloud.ObjectInfo{}, failed("put", name, err)
	}
	leave, err := b.enter("put")
	if err != nil {
		return cloud.ObjectInfo{}, err
	}
	defer leave()
	old, exists := b.objects[name]
	if o.IfNoneMatch && exists || o.IfMatch != "" && old.info.ETag != o.IfMatch {
		return cloud.ObjectInfo{}, failed("put", name, proa.ErrConflict)
	}
	crc := cloud.NewCRC64()
	crc.Write(content)
	b.etags++
	info := cloud.ObjectInfo{
		Name: name, Size: size, ETag: fmt.Sprintf(`"%d"`, b.etags), ContentType: o.ContentType, Metadata: o.Metadata,
		Headers:      o.Headers,
		LastModified: time.Unix(1.7e9, 0).UTC(), CRC64: crc.Sum64(), HasCRC64: true,
	}
	b.objects[name] = object{info, content}
	return info, nil
}

// Delete removes the object if its ETag is ifMatch.
func (b *Bucket) Delete(_ context.Context, name, ifMatch string) error {
	leave, err := b.enter("delete")
	if err != nil {
		return err
	}
	defer leave()
	if o, exists := b.objects[name]; exists && ifMatch != "" && o.info.ETag != ifMatch {
		return failed("delete", name, proa.ErrConflict)
	}
	delete(b.objects, name)
	return nil
}
