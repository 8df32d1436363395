package dynamodb

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/proa-cloud/proa"
)

// answers are of every shape that marshal writes itself, and of some that it leaves to encoding/json.
func answers() []any {
	item := proa.Item{
		"id": proa.String("k<1>&"), "odd \"name\"\u2028é": proa.String("line\nsep\u2028end\x01<b>"),
		"n": {Kind: proa.KindN, Str: "12.5"}, "b": proa.Binary([]byte{0, 255}), "yes": proa.Bool(true), "no": proa.Bool(false),
		"nothing": proa.Null(), "list": proa.List(proa.String("a"), proa.Map(proa.Item{})), "deep": proa.Map(proa.Item{"x": proa.List()}),
		"ss": proa.SetOf(proa.KindSS, []string{"b", "a"}),
	}
	s := &Server{cfg: Config{Region: "eu-west-1"}}
	odd := &Server{cfg: Config{Region: `a"b`}}
	m := streamMeta{ID: 7, View: "NEW_AND_OLD_IMAGES"}
	keys := proa.Item{"id": item["id"]}
	records := []wireRecord{
		s.wire(record{event: 'I', keys: keys, new: item, second: 1764000000, size: 77}, m, 1),
		s.wire(record{event: 'M', keys: keys, old: item, new: keys}, m, 2),
		s.wire(record{event: 'R', keys: keys, old: item, expired: true}, m, 3),
		odd.wire(record{event: 'R', old: proa.Item{}}, m, 4),
	}
	return []any{
		&writeOutput{}, &writeOutput{Attributes: item}, &writeOutput{Attributes: proa.Item{}},
		&writeOutput{Attributes: item, ConsumedCapacity: &consumed{TableName: "t<"}}, (*consumed)(nil), nil,
		map[string]any{},
		map[string]any{"Item": item, "ConsumedCapacity": &consumed{}},
		map[string]any{"Item": proa.Item(nil)},
		map[string]any{"Records": records, "NextShardIterator": "abc/+=="},
		map[string]any{"Records": []wireRecord{}},
		map[string]any{"Items": []proa.Item{item, {}, nil}, "Count": 3, "a\"<": map[string]any{"x": "é", "y": "<&>"}},
		map[string]any{"Items": []proa.Item(nil), "none": map[string]any(nil), "records": []wireRecord(nil), "write": (*writeOutput)(nil)},
	}
}

func TestAnswersAreWhatEncodingJSONWrites(t *testing.T) {
	for i, v := range answers() {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			var want bytes.Buffer
			enc := json.NewEncoder(&want)
			enc.SetEscapeHTML(false)
			if err := enc.Encode(v); err != nil {
				t.Fatal(err)
			}
			got, err := marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			if string(got)+"\n" != want.String() {
				t.Errorf("got  %s\nwant %s", got, want.String())
			}
		})
	}
}

// BenchmarkMarshalRecords is the answer of a GetRecords of 100 changed items of 1 KiB.
func BenchmarkMarshalRecords(b *testing.B) {
	s := &Server{cfg: Config{Region: "eu-west-1"}}
	item := proa.Item{"id": proa.String("k1"), "text": proa.String(string(bytes.Repeat([]byte("x"), 1000)))}
	r := s.wire(record{event: 'M', keys: proa.Item{"id": item["id"]}, old: item, new: item}, streamMeta{View: "NEW_AND_OLD_IMAGES"}, 1)
	r.DynamoDB.SizeBytes = 2012
	records := make([]wireRecord, 100)
	for i := range records {
		records[i] = r
	}
	out := map[string]any{"Records": records}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := marshal(out); err != nil {
			b.Fatal(err)
		}
	}
}
