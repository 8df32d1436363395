package azure

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/proa-cloud/proa"
)

func TestTTLCountsFromTheWriteAndIsNoContent(t *testing.T) {
	schema := proa.Schema{Table: "t", HashName: "id", HashKind: proa.KindS}
	now := time.Unix(1_700_000_000, 0)
	number := func(s string) proa.Value {
		v, err := proa.Number(s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for name, c := range map[string]struct {
		expires proa.Value
		want    any
	}{
		"in an hour":        {number("1700003600"), 3600.0},
		"over":              {number("1600000000"), 1.0},
		"fractions":         {number("1700000010.9"), 10.0},
		"in 1,000 years":    {number("33000000000"), nil},
		"milliseconds":      {number("1700003600000"), nil},
		"no number":         {proa.String("soon"), nil},
		"no such attribute": {proa.Value{}, nil},
	} {
		item := proa.Item{"id": proa.String("k"), "ttl": proa.String("the application's own")}
		if c.expires.Kind != proa.KindNone {
			item["expires"] = c.expires
		}
		a, err := addressOf(schema, proa.Key{Table: "t", Hash: proa.String("k")})
		if err != nil {
			t.Fatal(err)
		}
		doc, err := encodeDocument(schema, a, proa.Image{Item: item})
		if err != nil {
			t.Fatal(err)
		}
		doc = withTTL(doc, c.expires, now)
		var got map[string]any
		if err := json.Unmarshal(doc, &got); err != nil {
			t.Fatalf("%s: %v in %s", name, err, doc)
		}
		if got["ttl"] != c.want {
			t.Errorf("%s: ttl %v, want %v", name, got["ttl"], c.want)
		}
		back, err := parseDocument(schema, doc)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(item, back.image.Item); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
