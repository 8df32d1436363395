// Package strictyaml decodes one YAML file into a struct and refuses what it does not know, with errors that say
// file, line, column, path, what is wrong and what was probably meant.
package strictyaml

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/proa-cloud/proa"
)

// MaxBytes is the largest file that is read.
const MaxBytes = 4 << 20

// Error is one complaint about a file. It wraps proa.ErrInvalidConfig.
type Error struct {
	File    string
	Line    int // from 1; 0 where no place is known
	Column  int
	Path    string // "regions.aws.endpoint"
	Message string
	Hint    string // "did you mean …", or what to do; may be empty
}

// Error renders "file:line:column: path: message (hint)".
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", e.Line, e.Column)
	}
	b.WriteString(": ")
	if e.Path != "" {
		b.WriteString(e.Path + ": ")
	}
	b.WriteString(e.Message)
	if e.Hint != "" {
		b.WriteString(" (" + e.Hint + ")")
	}
	return b.String()
}

// Unwrap makes errors.Is(err, proa.ErrInvalidConfig) hold.
func (e *Error) Unwrap() error { return proa.ErrInvalidConfig }

// File is a decoded file that can tell where a path stands in it.
type File struct {
	name string
	root *ast.File
}

// Decode reads data, which came from the named file, into the struct that into points to. Fields that the
// file leaves out keep the values they have. Errors are *Error.
func Decode(name string, data []byte, into any) (*File, error) {
	if len(data) > MaxBytes {
		return nil, &Error{File: name, Message: fmt.Sprintf("%d bytes is too large", len(data)), Hint: fmt.Sprintf("the limit is %d", MaxBytes)}
	}
	root, err := parser.ParseBytes(data, 0)
	if err != nil {
		return nil, located(name, err, into)
	}
	f := &File{name: name, root: root}
	if len(root.Docs) == 0 || root.Docs[0].Body == nil {
		return f, nil
	}
	if len(root.Docs) > 1 {
		return nil, &Error{File: name, Message: "more than one document", Hint: "keep one, without ---"}
	}
	if err := yaml.NodeToValue(root.Docs[0].Body, into, yaml.DisallowUnknownField()); err != nil {
		return nil, located(name, err, into)
	}
	return f, nil
}

// Errorf is a complaint about the value at path, such as "regions.aws.endpoint" or "tables[1].name", placed at the deepest part of the path that
// the file has.
func (f *File) Errorf(path, hint, format string, args ...any) error {
	e := &Error{File: f.name, Path: path, Message: fmt.Sprintf(format, args...), Hint: hint}
	for p := path; p != ""; p = parent(p) {
		query, err := yaml.PathString("$." + p)
		if err != nil || f.root == nil {
			break
		}
		if node, err := query.FilterFile(f.root); err == nil && node != nil {
			e.Line, e.Column = node.GetToken().Position.Line, node.GetToken().Position.Column
			break
		}
	}
	return e
}

func parent(path string) string {
	return path[:max(strings.LastIndexAny(path, ".["), 0)]
}

// located turns the library's error into ours.
func located(name string, err error, into any) error {
	e := &Error{File: name, Message: err.Error()}
	var located yaml.Error
	if !errors.As(err, &located) {
		return e
	}
	e.Message = located.GetMessage()
	tok := located.GetToken()
	if tok == nil {
		return e
	}
	e.Line, e.Column = tok.Position.Line, tok.Position.Column
	if unknown, ok := strings.CutPrefix(e.Message, `unknown field "`); ok {
		unknown = strings.TrimSuffix(unknown, `"`)
		if near := nearest(unknown, fieldNames(reflect.TypeOf(into), map[reflect.Type]bool{})); near != "" {
			e.Hint = fmt.Sprintf("did you mean %q?", near)
		}
	}
	return e
}

// fieldNames lists the YAML names of all fields below t.
func fieldNames(t reflect.Type, seen map[reflect.Type]bool) []string {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || seen[t] {
		return nil
	}
	seen[t] = true
	var names []string
	for f := range t.Fields() {
		tag, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if tag != "" && tag != "-" {
			names = append(names, tag)
		}
		names = append(names, fieldNames(f.Type, seen)...)
	}
	return names
}

// nearest returns the candidate within two edits of s, "" when there is none.
func nearest(s string, candidates []string) string {
	best, bestDistance := "", 3
	for _, c := range candidates {
		if d := distance(s, c); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

// distance is Levenshtein's.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(row[j+1]+1, row[j]+1, cost)
		}
	}
	return row[len(b)]
}
