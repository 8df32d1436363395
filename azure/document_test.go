package azure

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud/cloudtest"
	"github.com/proa-cloud/proa/hlc"
)

func anySchema() *rapid.Generator[proa.Schema] {
	kinds := []proa.Kind{proa.KindS, proa.KindN, proa.KindB}
	names := []string{"id", "pk", "orderId", "ttl", "_proa_pk", "~id", "a b", "_etag", "x\"y", "größe"}
	return rapid.Custom(func(t *rapid.T) proa.Schema {
		s := proa.Schema{Table: "t", HashName: rapid.SampledFrom(names).Draw(t, "hash name")}
		s.HashKind = rapid.SampledFrom(kinds).Draw(t, "hash kind")
		if rapid.Bool().Draw(t, "with range") {
			s.RangeName = rapid.SampledFrom(names).Filter(func(n string) bool { return n != s.HashName }).Draw(t, "range name")
			s.RangeKind = rapid.SampledFrom(kinds).Draw(t, "range kind")
		}
		return s
	})
}

func anyImage(t *rapid.T, s proa.Schema) (proa.Key, proa.Image) {
	item := cloudtest.Item(4).Draw(t, "item").Without(proa.EnvelopeAttr)
	item[s.HashName] = cloudtest.KeyValue(s.HashKind).Draw(t, "hash")
	if s.RangeName != "" {
		item[s.RangeName] = cloudtest.KeyValue(s.RangeKind).Draw(t, "range")
	}
	key, err := s.KeyOf(item)
	if err != nil {
		t.Fatal(err)
	}
	img := proa.Image{Item: item}
	if rapid.Bool().Draw(t, "enveloped") {
		version := proa.Version{
			Time: hlc.FromMS(rapid.Int64Range(0, 1<<47).Draw(t, "ms")), Region: proa.AWS,
			Hash: proa.ContentHash(item),
		}
		img.Envelope = &proa.Envelope{Version: version}
		if rapid.Bool().Draw(t, "with parent") {
			img.Envelope.Parent = proa.Version{Time: 7, Region: proa.Azure}
		}
	}
	return key, img
}

// reserialise is what Cosmos DB does to a document: numbers become doubles, members may be reordered, system properties are added.
func reserialise(t *rapid.T, text []byte) []byte {
	var doc map[string]any
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatalf("the document is not JSON: %v\n%s", err, text)
	}
	for name, v := range map[string]any{
		"_rid": "r", "_self": "s", "_etag": `"e"`, "_attachments": "attachments/", "_ts": 1.7e9, "_lsn": 12,
	} {
		doc[name] = v
	}
	out, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestItemsCrossToCosmosAndBackByteForByte(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := anySchema().Draw(t, "schema")
		key, img := anyImage(t, s)
		a, err := addressOf(s, key)
		if errors.Is(err, proa.ErrTooLarge) {
			t.Skip("beyond Cosmos's limits")
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := encodeDocument(s, a, img)
		if err != nil {
			t.Fatal(err)
		}
		got, err := parseDocument(s, reserialise(t, text))
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		want := string(img.Item.AppendJSON(nil))
		if diff := cmp.Diff(want, string(got.image.Item.AppendJSON(nil))); diff != "" {
			t.Fatalf("item changed:\n%s\n%s", diff, text)
		}
		if diff := cmp.Diff(img.Envelope, got.image.Envelope); diff != "" || got.image.Malformed != "" {
			t.Fatalf("envelope changed: %s %s\n%s", diff, got.image.Malformed, text)
		}
		if got.key.ID() != key.ID() {
			t.Fatalf("key %v became %v", key, got.key)
		}
	})
}

func TestDifferentKeysHaveDifferentDocuments(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := anySchema().Draw(t, "schema")
		one, _ := anyImage(t, s)
		other, _ := anyImage(t, s)
		a, errA := addressOf(s, one)
		b, errB := addressOf(s, other)
		if errA != nil || errB != nil {
			t.Skip("beyond Cosmos's limits")
		}
		if (a == b) != (one.ID() == other.ID()) {
			t.Fatalf("%v is at %v, %v at %v", one, a, other, b)
		}
		if strings.ContainsAny(a.id, "/\\?#") || strings.HasSuffix(a.id, " ") || strings.HasSuffix(a.id, ".") {
			t.Fatalf("id %q is not legal", a.id)
		}
	})
}

func TestPlainIDsAreTheSameOnBothSides(t *testing.T) {
	for _, id := range []string{
		"01J9ZK3", "order-7", "a_b.c", "user~123", "käse", "日本", "a b", "x=y&z", "100%", "a+b", "~", "a~B2", "a~2f", "~x2",
	} {
		if got := escapeID(id); got != id {
			t.Errorf("id %q became %q", id, got)
		}
	}
	for id, want := range map[string]string{
		"a/b": "a~x2fb", `a\b`: "a~x5cb", "a?": "a~x3f", "#": "~x23", "..": "~x2e~x2e", "a. ": "a~x2e~x20",
		"~x2f": "~x7ex2f", "\x00": "~x00", " a": "~x20a",
	} {
		if got := escapeID(id); got != want || unescapeID(got) != id {
			t.Errorf("id %q became %q, want %q, and back %q", id, got, want, unescapeID(got))
		}
	}
}

func TestNaturalDocumentOfAnOrder(t *testing.T) {
	s := proa.Schema{Table: "orders", HashName: "id", HashKind: proa.KindS}
	price, _ := proa.Number("19.90")
	exact, _ := proa.Number("0.12345678901234567890123456789")
	item := proa.Item{
		"id": proa.String("o-1"), "price": price, "exact": exact, "open": proa.Bool(true), "ttl": proa.String("mine"),
		"tags": proa.SetOf(proa.KindSS, []string{"b", "a"}), "a/b": proa.Map(proa.Item{"c~": proa.Binary([]byte{1})}),
	}
	text, err := encodeDocument(s, address{"o-1", "o-1"}, proa.Image{Item: item})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"id":"o-1","a/b":{"c~":"AQ=="},"exact":"0.12345678901234567890123456789","open":true,"price":19.9,` +
		`"tags":["a","b"],"~ttl":"mine","_proa":{"t":{"/a~1b/c~0":"B","/exact":"N","/tags":"SS"}}}`
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Error(diff)
	}
}

func TestForeignDocumentsAreReadAsTheyAre(t *testing.T) {
	s := proa.Schema{Table: "t", HashName: "id", HashKind: proa.KindS}
	for name, c := range map[string]struct{ doc, want string }{
		"plain JSON": {
			`{"id":"1","n":1.50,"big":9007199254740993,"f":1e22,"l":[null,true,{"x":[]}],"_ts":5,"_etag":"e"}`,
			`{"big":{"N":"9007199254740992"},"f":{"N":"10000000000000000000000"},"id":{"S":"1"},` +
				`"l":{"L":[{"NULL":true},{"BOOL":true},{"M":{"x":{"L":[]}}}]},"n":{"N":"1.5"}}`,
		},
		"beyond DynamoDB's magnitude": {
			`{"id":"1","huge":1e200,"tiny":1e-200,"negzero":-0}`,
			`{"huge":{"S":"1e200"},"id":{"S":"1"},"negzero":{"N":"0"},"tiny":{"S":"1e-200"}}`,
		},
		"a hint whose value was replaced by another shape": {
			`{"id":"1","n":7,"s":["a","a"],"b":"not base64!","x":["b","a"],` +
				`"_proa":{"t":{"/n":"SS","/s":"SS","/b":"B","/x":"SS"}}}`,
			`{"b":{"S":"not base64!"},"id":{"S":"1"},"n":{"N":"7"},"s":{"L":[{"S":"a"},{"S":"a"}]},"x":{"SS":["a","b"]}}`,
		},
		"names with the escape character": {
			`{"id":"1","~x":1,"~~id":2,"~ttl":3,"~":4}`,
			`{"id":{"S":"1"},"ttl":{"N":"3"},"~":{"N":"4"},"~id":{"N":"2"},"~x":{"N":"1"}}`,
		},
	} {
		d, err := parseDocument(s, []byte(c.doc))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(c.want, string(d.image.Item.AppendJSON(nil))); diff != "" || d.image.Malformed != "" {
			t.Errorf("%s: %s %s", name, diff, d.image.Malformed)
		}
	}
}

// The decoder puts U+FFFD in the place of what is no Unicode: such a document must not be taken for what its writer meant.
func TestTextThatIsNoUnicodeIsNotJudged(t *testing.T) {
	s := proa.Schema{Table: "orders", HashName: "id", HashKind: proa.KindS}
	for text, ok := range map[string]bool{`\ud83d\ude00`: true, `\ufffd`: true, `\ud83d`: false, "\xff": false} {
		d, err := parseDocument(s, []byte(`{"id":"o-1","v":"`+text+`"}`))
		if err != nil || (d.image.Malformed == "") != ok {
			t.Errorf("%q: %q, %v", text, d.image.Malformed, err)
		}
	}
}

func TestForeignPartialUpdateKeepsTheOtherTypes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := proa.Schema{Table: "t", HashName: "id", HashKind: proa.KindS}
		key, img := anyImage(t, s)
		delete(img.Item, "patched")
		a, err := addressOf(s, key)
		if err != nil {
			t.Skip("beyond Cosmos's limits")
		}
		text, err := encodeDocument(s, a, img)
		if err != nil {
			t.Fatal(err)
		}
		var doc map[string]any
		if err := json.Unmarshal(text, &doc); err != nil {
			t.Fatal(err)
		}
		doc["patched"] = "yes"
		text, _ = json.Marshal(doc)
		got, err := parseDocument(s, text)
		if err != nil {
			t.Fatal(err)
		}
		img.Item["patched"] = proa.String("yes")
		if !got.image.Item.Equal(img.Item) {
			t.Fatalf("got %s\nwant %s", got.image.Item.AppendJSON(nil), img.Item.AppendJSON(nil))
		}
		if e := got.image.Envelope; e != nil && e.Version.Hash == proa.ContentHash(got.image.Item) {
			t.Fatal("the stale envelope claims the new content")
		}
	})
}

func TestDocumentsAtNoKeyAreRefused(t *testing.T) {
	number := proa.Schema{Table: "t", HashName: "n", HashKind: proa.KindN}
	ranged := proa.Schema{Table: "t", HashName: "h", HashKind: proa.KindS, RangeName: "r", RangeKind: proa.KindB}
	for _, c := range []struct {
		schema proa.Schema
		doc    string
	}{
		{number, `{"id":"007"}`},
		{number, `{"id":"abc"}`},
		{number, `{}`},
		{ranged, `{"id":"AQ"}`},
		{ranged, `{"id":"A!","h":"x"}`},
		{ranged, `{"id":"AQ","h":7}`},
		{number, `[]`},
	} {
		if _, err := parseDocument(c.schema, []byte(c.doc)); !errors.Is(err, proa.ErrInvalid) {
			t.Errorf("%s: got %v", c.doc, err)
		}
	}
}

func TestWhatCannotCrossSaysWhy(t *testing.T) {
	s := proa.Schema{Table: "t", HashName: "id", HashKind: proa.KindS}
	long := proa.Key{Table: "t", Hash: proa.String(strings.Repeat("x", 1024))}
	if _, err := addressOf(s, long); !errors.Is(err, proa.ErrTooLarge) {
		t.Errorf("long id: %v", err)
	}
	for name, v := range map[string]proa.Value{
		"no type":        {},
		"not UTF-8":      proa.String("\xff"),
		"empty set":      proa.SetOf(proa.KindSS, nil),
		"not UTF-8 deep": proa.List(proa.Map(proa.Item{"x\xff": proa.Null()})),
	} {
		_, err := encodeDocument(s, address{"1", "1"}, proa.Image{Item: proa.Item{"id": proa.String("1"), "v": v}})
		if !errors.Is(err, proa.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	huge := proa.Item{"id": proa.String("1"), "v": proa.String(strings.Repeat("x", 2<<20))}
	if _, err := encodeDocument(s, address{"1", "1"}, proa.Image{Item: huge}); !errors.Is(err, proa.ErrTooLarge) {
		t.Errorf("huge: %v", err)
	}
}

func TestMetadataNamesSurviveBlobStorage(t *testing.T) {
	if got := metadataName("x-amz-thing"); got != "x__2damz__2dthing" {
		t.Errorf("got %q", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		name := strings.ToLower(rapid.StringMatching(`[!#-'*+\-.0-9A-Z^-z|~]{1,20}`).Draw(t, "name"))
		stored := metadataName(name)
		for i, c := range stored {
			legal := c >= 'a' && c <= 'z' || c == '_' || c >= '0' && c <= '9' && i > 0
			if !legal {
				t.Fatalf("%q is stored as %q", name, stored)
			}
		}
		canonical := strings.ToUpper(stored[:1]) + stored[1:] // as an HTTP header comes back
		if got := originalName(canonical); got != name {
			t.Fatalf("%q is stored as %q and comes back as %q", name, stored, got)
		}
	})
}

func TestPartitionKeyHeaderIsJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.String().Draw(t, "key")
		header := fmt.Sprintf("[%+q]", want) // as azcosmos writes it
		if fixed, ok := fixPartitionKey(header); ok {
			header = fixed
		}
		var got []string
		if err := json.Unmarshal([]byte(header), &got); err != nil || len(got) != 1 || got[0] != want {
			t.Fatalf("%q is sent as %s: %v", want, header, err)
		}
	})
}

func FuzzDocumentsNeverPanic(f *testing.F) {
	f.Add([]byte(`{"id":"1","_proa":{"v":1,"t":{"/x":"N"}},"x":"1"}`))
	f.Add([]byte(`{"id":"1","_proa":[]}`))
	s := proa.Schema{Table: "t", HashName: "id", HashKind: proa.KindS}
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := parseDocument(s, text)
		if err != nil {
			return
		}
		again, err := encodeDocument(s, address{d.key.Hash.Str, d.key.Hash.Str}, d.image)
		if err != nil {
			return
		}
		back, err := parseDocument(s, again)
		if err == nil && !back.image.Item.Equal(d.image.Item) {
			t.Fatalf("%s became %s", d.image.Item.AppendJSON(nil), back.image.Item.AppendJSON(nil))
		}
	})
}

// An older format is read, and a later one is not taken for anything.
func TestEnvelopesOfOtherFormats(t *testing.T) {
	s := proa.Schema{Table: "orders", HashName: "id", HashKind: proa.KindS}
	version := `"v":"018bcfe568000000","o":"aws","h":"00000000000000000000000000000000"`
	for format, later := range map[string]bool{``: false, `,"f":1`: false, `,"zz":{"a":1}`: false, `,"f":2`: true, `,"f":"x"`: true} {
		d, err := parseDocument(s, []byte(`{"id":"o-1","x":"1","_proa":{`+version+format+`}}`))
		img := d.image
		if err != nil || proa.LaterFormat(img.Malformed) != later || (img.Envelope == nil) != later || img.Item["x"].Str != "1" {
			t.Errorf("%q: %+v, %v", format, img, err)
		}
	}
}
