package bus

import (
	"fmt"
	"slices"
	"strings"

	"github.com/proa-cloud/proa/datasync/internal/expr"
)

// Filter chooses events. It is immutable and safe for concurrent use; nil chooses all.
type Filter struct {
	tables  []string
	prefix  string
	program *expr.Program
}

// NewFilter makes a filter of table (or bucket) names, a prefix of the hash key (or the object's
// name) and a CEL expression over event; what is empty chooses all. Errors wrap proa.ErrInvalid.
//
// event has type, region, table, bucket, key, subject, item (null for a delete and for an object),
// deleted, expired, won, version and time.
func NewFilter(tables []string, prefix, source string) (*Filter, error) {
	f := &Filter{tables: slices.Clone(tables), prefix: prefix}
	if source == "" {
		return f, nil
	}
	program, err := expr.Compile(source, "event")
	if err != nil {
		return nil, fmt.Errorf("filter: %w", err)
	}
	f.program = program
	return f, nil
}

// Match reports whether an event is chosen. An expression that fails on an event, such as one that
// asks for an attribute that the item lacks, does not choose it; the error says why.
func (f *Filter) Match(e *Event) (bool, error) {
	if f == nil {
		return true, nil
	}
	table, name := e.Key.Table, e.Key.Hash.Str
	if e.Bucket != "" {
		table, name = e.Bucket, e.Object
	}
	if len(f.tables) > 0 && !slices.Contains(f.tables, table) || !strings.HasPrefix(name, f.prefix) {
		return false, nil
	}
	if f.program == nil {
		return true, nil
	}
	ok, err := f.program.Bool(map[string]any{"event": map[string]any{
		"type": e.Type(), "region": string(e.Region), "table": e.Key.Table, "bucket": e.Bucket,
		"key": name, "subject": e.subject(), "item": expr.Item(e.Image.Item), "deleted": e.Deleted(),
		"expired": e.Expired, "won": e.Won, "version": e.Version.String(), "time": e.Origin,
	}})
	return ok && err == nil, err
}

func (v *Event) subject() string {
	if v.Bucket != "" {
		return v.Object
	}
	return v.Key.String()
}

// Deleted reports whether the event is the deletion of its item or object.
func (v *Event) Deleted() bool { return strings.HasSuffix(v.Type(), ".deleted") }
