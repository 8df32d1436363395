package wire

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type inner struct{ Name string }

type embedded struct{ QueueUrl string }

// itself decodes itself.
type itself string

func (i *itself) UnmarshalJSON(b []byte) error {
	*i = itself(b)
	return nil
}

type request struct {
	embedded

	TableName string
	Limit     *int
	Renamed   string `json:"nextToken,omitempty"`
	List      []inner
	Deep      map[string]*inner
	Free      itself
}

func TestFieldNamesAreMatchedExactly(t *testing.T) {
	one := 1
	for body, want := range map[string]request{
		`{"TableName":"a","Limit":1}`:                     {TableName: "a", Limit: &one},
		`{"tableName":"a","TABLENAME":"b","limit":1}`:     {},
		`{"TableName":"a","tablename":"b"}`:               {TableName: "a"},
		`{"tablename":"b","TableName":"a"}`:               {TableName: "a"},
		`{"queueUrl":"a"}`:                                {},
		`{"QueueUrl":"a"}`:                                {embedded: embedded{"a"}},
		`{"nextToken":"a"}`:                               {Renamed: "a"},
		`{"NextToken":"a","Renamed":"b"}`:                 {},
		`{"List":[{"Name":"a"},{"name":"b"}]}`:            {List: []inner{{"a"}, {}}},
		`{"Deep":{"name":{"Name":"a"},"x":{"NAME":"b"}}}`: {Deep: map[string]*inner{"name": {"a"}, "x": {}}},
		`{"Free":{"tablename":"b"},"x":[{"limit":1}]}`:    {Free: `{"tablename":"b"}`},
		`{"\u0074ableName":"a"}`:                          {}, // tableName
		`{"\u0054ableName":"a","Li\u006Dit":1}`:           {TableName: "a", Limit: &one},
		`{"ta\u0062leName":"a","\u017F":1,"\u212a":2}`:    {},
		`{"TableName" : "a" , "li\u006dit":1, "z":null}`:  {TableName: "a"},
		`null`: {}, `{}`: {}, ` { } `: {},
	} {
		before := strings.Clone(body)
		var got request
		if err := json.Unmarshal(Exact([]byte(body), &got), &got); err != nil {
			t.Errorf("%s: %v", body, err)
		}
		if d := cmp.Diff(want, got, cmp.AllowUnexported(request{})); d != "" {
			t.Errorf("%s: %s", body, d)
		}
		if body != before {
			t.Errorf("%s was written over", body)
		}
	}
}

// TestWhatIsMalformedStaysSo wants json's own error for it, and no end of the stack.
func TestWhatIsMalformedStaysSo(t *testing.T) {
	for _, body := range []string{
		``, `{`, `{"`, `{"a`, `{"a"`, `{"a":`, `{"a":}`, `{"a":1`, `{"a":1,`, `{"a":1,}`, `[`, `]`, `}`, `{"List":[`, `{"List":[{]}`,
		`{"List":[{"Name":"\`, `{"a" 1}`, `{,}`, `:`, strings.Repeat("[", 1<<20), strings.Repeat(`{"List":[`, 1<<16),
	} {
		if got := Exact([]byte(body), &request{}); string(got) != body {
			t.Errorf("%.40s became %.40s", body, got)
		}
	}
}

func FuzzExact(f *testing.F) {
	f.Add([]byte(`{"TableName":"a","limit":1,"List":[{"Name":"x"}],"Deep":{"a":{"name":"b"}}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var got, again request
		out := Exact(body, &got)
		if len(out) != len(body) {
			t.Fatalf("%d bytes became %d", len(body), len(out))
		}
		before, after := json.Unmarshal(body, &got), json.Unmarshal(out, &again)
		if before == nil && after != nil {
			t.Errorf("%q: %v", out, after)
		}
	})
}
