package health

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// maxBody is how much of a body is searched, as much as Route 53 searches, and maxJSON how much is
// parsed.
// https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-determining-health-of-endpoints.html
const (
	maxBody = 5120
	maxJSON = 64 << 10
)

// Expect says which answers of a server pass: those that satisfy all of it.
type Expect struct {
	// Status lists what passes; empty: any 2xx.
	Status []int
	// Contains must be in the first 5,120 bytes of the body; "" for anything.
	Contains string
	// Matches must match in the first 5,120 bytes of the body; nil for anything. Go's expressions
	// take time linear in the body.
	Matches *regexp.Regexp
	// JSON must hold in a body of at most 64 KiB; nil for anything.
	JSON *JSONField
}

// JSONField is one field of a JSON body and what it must be.
type JSONField struct {
	// Path leads to the field: "checks.0.status". Numbers count from 0 in lists.
	Path string
	// Equals is the field as text: a string without quotes, a number as written, true, false or null.
	Equals string
}

func (e Expect) status(code int) bool {
	if len(e.Status) == 0 {
		return code/100 == 2
	}
	return slices.Contains(e.Status, code)
}

// limit is how much of a body is read.
func (e Expect) limit() int64 {
	if e.JSON != nil {
		return maxJSON + 1
	}
	return maxBody
}

// body says what is wrong with a body, "" for nothing.
func (e Expect) body(b []byte) string {
	text := b[:min(len(b), maxBody)]
	switch {
	case e.Contains != "" && !bytes.Contains(text, []byte(e.Contains)):
		return fmt.Sprintf("%.80q is not in the body", e.Contains)
	case e.Matches != nil && !e.Matches.Match(text):
		return fmt.Sprintf("the body does not match %.80q", e.Matches)
	case e.JSON != nil:
		return e.JSON.check(b)
	}
	return ""
}

func (f *JSONField) check(b []byte) string {
	if len(b) > maxJSON {
		return fmt.Sprintf("the body has more than %d bytes", maxJSON)
	}
	decoder := json.NewDecoder(bytes.NewReader(b))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return "the body is not JSON: " + err.Error()
	}
	for part := range strings.SplitSeq(f.Path, ".") {
		next, ok := member(value, part)
		if !ok {
			return fmt.Sprintf("the body has no field %q", f.Path)
		}
		value = next
	}
	if got := text(value); got != f.Equals {
		return fmt.Sprintf("%s is %.80q, not %.80q", f.Path, got, f.Equals)
	}
	return ""
}

// member is a value's field or element.
func member(value any, name string) (any, bool) {
	switch v := value.(type) {
	case map[string]any:
		next, ok := v[name]
		return next, ok
	case []any:
		i, err := strconv.Atoi(name)
		if err != nil || i < 0 || i >= len(v) {
			return nil, false
		}
		return v[i], true
	}
	return nil, false
}

// text renders a JSON value as Equals is written.
func text(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case nil:
		return "null"
	case json.Number, bool:
		return fmt.Sprint(v)
	}
	b, err := json.Marshal(value)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
