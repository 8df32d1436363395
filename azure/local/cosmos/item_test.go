package cosmos

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"github.com/proa-cloud/proa/azure/local/cosmos/value"
)

func asResponse(err error, re **azcore.ResponseError) bool { return errors.As(err, re) }

func decode(t *testing.T, b []byte) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatalf("decode %q: %v", b, err)
	}
	return m
}

func TestItemsLiveAndDieThroughTheSDK(t *testing.T) {
	e := newEnv(t, nil)
	c := e.container(ContainerSpec{})
	ctx := background()

	made, err := c.CreateItem(ctx, key("a"), []byte(`{"id":"1","pk":"a","n":1.0,"z":[1,2],"a":"ü"}`),
		nil)
	e.must(err)
	if made.RawResponse.StatusCode != http.StatusCreated || made.ETag == "" ||
		made.RequestCharge <= 0 || *made.SessionToken == "" {
		t.Fatalf("create answered %d, etag %q, charge %v, session %v", made.RawResponse.StatusCode,
			made.ETag, made.RequestCharge, made.SessionToken)
	}
	if got, want := string(made.Value), `{"id":"1","pk":"a","n":1,"z":[1,2],"a":"ü","_rid":"`; !strings.HasPrefix(got, want) {
		t.Fatalf("created %s, want it to begin with %s: order kept, 1.0 is 1", got, want)
	}
	read, err := c.ReadItem(ctx, key("a"), "1", nil)
	e.must(err)
	if string(read.Value) != string(made.Value) || read.ETag != made.ETag {
		t.Fatalf("read %s (%s), want %s (%s)", read.Value, read.ETag, made.Value, made.ETag)
	}
	doc := decode(t, read.Value)
	if doc["_etag"] != string(read.ETag) || doc["_attachments"] != "attachments/" ||
		doc["_ts"] != float64(e.clock.Now().Unix()) {
		t.Fatalf("system properties are wrong: %s", read.Value)
	}
	put, err := c.ReplaceItem(ctx, key("a"), "1", []byte(`{"id":"1","pk":"a","n":2}`), nil)
	e.must(err)
	if put.ETag == made.ETag {
		t.Fatal("a replace kept the ETag")
	}
	if decode(t, put.Value)["_rid"] != doc["_rid"] {
		t.Fatal("a replace changed the _rid")
	}
	up, err := c.UpsertItem(ctx, key("a"), []byte(`{"id":"2","pk":"a"}`), nil)
	e.must(err)
	if up.RawResponse.StatusCode != http.StatusCreated {
		t.Fatalf("an upsert that creates answered %d", up.RawResponse.StatusCode)
	}
	up, err = c.UpsertItem(ctx, key("a"), []byte(`{"id":"2","pk":"a","m":1}`), nil)
	e.must(err)
	if up.RawResponse.StatusCode != http.StatusOK {
		t.Fatalf("an upsert that replaces answered %d", up.RawResponse.StatusCode)
	}
	gone, err := c.DeleteItem(ctx, key("a"), "1", nil)
	e.must(err)
	if gone.RawResponse.StatusCode != http.StatusNoContent {
		t.Fatalf("delete answered %d", gone.RawResponse.StatusCode)
	}
	if _, err := c.ReadItem(ctx, key("a"), "1", nil); statusOf(err) != http.StatusNotFound {
		t.Fatalf("read after delete: %v, want 404", err)
	}
}

func TestAnIDIsUniqueWithinItsPartitionOnly(t *testing.T) {
	e := newEnv(t, nil)
	c := e.container(ContainerSpec{})
	for _, pk := range []string{"a", "b"} {
		_, err := c.CreateItem(background(), key(pk), fmt.Appendf(nil, `{"id":"1","pk":%q}`, pk), nil)
		e.must(err)
	}
	_, err := c.CreateItem(background(), key("a"), []byte(`{"id":"1","pk":"a"}`), nil)
	if statusOf(err) != http.StatusConflict {
		t.Fatalf("a second create: %v, want 409", err)
	}
}

func TestRefusalsAreTheServices(t *testing.T) {
	e := newEnv(t, nil)
	c := e.container(ContainerSpec{})
	e.container(ContainerSpec{ID: "two", PartitionKeyPaths: []string{"/a", "/b"}})
	big := `{"id":"1","pk":"a","x":"` + strings.Repeat("x", 2<<20) + `"}`
	create := func(pk azcosmos.PartitionKey, doc string) func() error {
		return func() error {
			_, err := c.CreateItem(background(), pk, []byte(doc), nil)
			return err
		}
	}
	tests := []struct {
		name   string
		do     func() error
		status int
		sub    string
		code   string
	}{
		{"no id", create(key("a"), `{"pk":"a"}`), 400, "", "BadRequest"},
		{"id is a number", create(key("a"), `{"id":1,"pk":"a"}`), 400, "", "BadRequest"},
		{"slash in id", create(key("a"), `{"id":"a/b","pk":"a"}`), 400, "", "BadRequest"},
		{
			"id of 1024 bytes", create(key("a"), `{"id":"`+strings.Repeat("i", 1024)+`","pk":"a"}`), 400,
			"", "BadRequest",
		},
		{"not JSON", create(key("a"), `{"id":`), 400, "", "BadRequest"},
		{"other key in the document", create(key("a"), `{"id":"1","pk":"b"}`), 400, "1001", "BadRequest"},
		{
			"number instead of string", create(azcosmos.NewPartitionKeyNumber(1), `{"id":"1","pk":"1"}`),
			400, "1001", "BadRequest",
		},
		{
			"no partition key", create(azcosmos.NewPartitionKey(), `{"id":"1","pk":"1"}`), 400, "",
			"BadRequest",
		},
		{
			"too many key levels", create(key("a").AppendString("b"), `{"id":"1","pk":"a"}`), 400, "1001",
			"BadRequest",
		},
		{"too large", create(key("a"), big), 413, "", "RequestEntityTooLarge"},
		{"ttl 0", create(key("a"), `{"id":"1","pk":"a","ttl":0}`), 400, "", "BadRequest"},
		{"missing item", func() error {
			_, err := c.ReadItem(background(), key("a"), "nope", nil)
			return err
		}, 404, "", "NotFound"},
		{"missing container", func() error {
			_, err := e.containerClient(e.client, "nope").ReadItem(background(), key("a"), "1", nil)
			return err
		}, 404, "1003", "NotFound"},
		{"half a hierarchical key", func() error {
			_, err := e.containerClient(e.client, "two").CreateItem(background(), key("a"),
				[]byte(`{"id":"1","a":"a","b":"b"}`), nil)
			return err
		}, 400, "1001", "BadRequest"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var re *azcore.ResponseError
			err := tt.do()
			if !errors.As(err, &re) {
				t.Fatalf("got %v, want a refusal", err)
			}
			sub := re.RawResponse.Header.Get("x-ms-substatus")
			if re.StatusCode != tt.status || sub != tt.sub || !strings.Contains(err.Error(),
				`"code": "`+tt.code+`"`) {
				t.Fatalf("got %d/%s %v, want %d/%s %s", re.StatusCode, sub, err, tt.status, tt.sub, tt.code)
			}
		})
	}
}

func TestConditionsHold(t *testing.T) {
	e := newEnv(t, nil)
	c := e.container(ContainerSpec{})
	ctx := background()
	made, err := c.CreateItem(ctx, key("a"), []byte(`{"id":"1","pk":"a"}`), nil)
	e.must(err)
	old := made.ETag
	put, err := c.ReplaceItem(ctx, key("a"), "1", []byte(`{"id":"1","pk":"a","n":1}`),
		&azcosmos.ItemOptions{IfMatchEtag: &old})
	e.must(err)
	for name, do := range map[string]func() error{
		"replace": func() error {
			_, err := c.ReplaceItem(ctx, key("a"), "1", []byte(`{"id":"1","pk":"a"}`),
				&azcosmos.ItemOptions{IfMatchEtag: &old})
			return err
		},
		"upsert": func() error {
			_, err := c.UpsertItem(ctx, key("a"), []byte(`{"id":"1","pk":"a"}`),
				&azcosmos.ItemOptions{IfMatchEtag: &old})
			return err
		},
		"delete": func() error {
			_, err := c.DeleteItem(ctx, key("a"), "1", &azcosmos.ItemOptions{IfMatchEtag: &old})
			return err
		},
	} {
		if err := do(); statusOf(err) != http.StatusPreconditionFailed {
			t.Errorf("%s with a stale ETag: %v, want 412", name, err)
		}
	}
	resp := e.raw(http.MethodGet, "/dbs/db/colls/items/docs/1", "", map[string]string{
		"x-ms-documentdb-partitionkey": `["a"]`, "If-None-Match": string(put.ETag),
	})
	if resp.StatusCode != http.StatusNotModified {
		t.Errorf("read with the current ETag answered %d, want 304", resp.StatusCode)
	}
}

func TestCompareAndSwapHasOneWinner(t *testing.T) {
	e := newEnv(t, nil)
	c := e.container(ContainerSpec{})
	made, err := c.CreateItem(background(), key("a"), []byte(`{"id":"1","pk":"a"}`), nil)
	e.must(err)
	for round := range 5 {
		etag := made.ETag
		var mu sync.Mutex
		var wg sync.WaitGroup
		var winners []azcosmos.ItemResponse
		for w := range 16 {
			wg.Go(func() {
				put, err := c.ReplaceItem(background(), key("a"), "1", fmt.Appendf(nil,
					`{"id":"1","pk":"a","w":%d}`, w),
					&azcosmos.ItemOptions{IfMatchEtag: &etag})
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					winners = append(winners, put)
				} else if statusOf(err) != http.StatusPreconditionFailed {
					t.Errorf("loser got %v, want 412", err)
				}
			})
		}
		wg.Wait()
		if len(winners) != 1 {
			t.Fatalf("round %d had %d winners", round, len(winners))
		}
		made = winners[0]
	}
}

func TestConcurrentCreatesHaveOneWinner(t *testing.T) {
	e := newEnv(t, nil)
	c := e.container(ContainerSpec{})
	var wg sync.WaitGroup
	var mu sync.Mutex
	won := 0
	for range 16 {
		wg.Go(func() {
			_, err := c.CreateItem(background(), key("a"), []byte(`{"id":"1","pk":"a"}`), nil)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won++
			} else if statusOf(err) != http.StatusConflict {
				t.Errorf("loser got %v, want 409", err)
			}
		})
	}
	wg.Wait()
	if won != 1 {
		t.Fatalf("%d creates won", won)
	}
}

func TestPatchDoesWhatItSays(t *testing.T) {
	e := newEnv(t, nil)
	c := e.container(ContainerSpec{})
	const doc = `{"id":"1","pk":"a","n":1,"o":{"x":1},"l":[1,2,3],"s":"t"}`
	tests := []struct {
		name, body string
		status     int
		want       string // the item without system properties
	}{
		{
			"set",
			`{"operations":[{"op":"set","path":"/n","value":5},{"op":"set","path":"/new","value":null}]}`, 200,
			`{"id":"1","pk":"a","n":5,"o":{"x":1},"l":[1,2,3],"s":"t","new":null}`,
		},
		{
			"add inserts into arrays",
			`{"operations":[{"op":"add","path":"/l/1","value":9},{"op":"add","path":"/l/-","value":4}]}`, 200,
			`{"id":"1","pk":"a","n":1,"o":{"x":1},"l":[1,9,2,3,4],"s":"t"}`,
		},
		{
			"set replaces in arrays", `{"operations":[{"op":"set","path":"/l/1","value":9}]}`, 200,
			`{"id":"1","pk":"a","n":1,"o":{"x":1},"l":[1,9,3],"s":"t"}`,
		},
		{
			"replace", `{"operations":[{"op":"replace","path":"/o/x","value":{"y":[]}}]}`, 200,
			`{"id":"1","pk":"a","n":1,"o":{"x":{"y":[]}},"l":[1,2,3],"s":"t"}`,
		},
		{
			"replace needs the property", `{"operations":[{"op":"replace","path":"/o/y","value":1}]}`, 400,
			doc,
		},
		{
			"remove", `{"operations":[{"op":"remove","path":"/o"},{"op":"remove","path":"/l/0"}]}`, 200,
			`{"id":"1","pk":"a","n":1,"l":[2,3],"s":"t"}`,
		},
		{
			"incr",
			`{"operations":[{"op":"incr","path":"/n","value":-2.5},{"op":"incr","path":"/c","value":1}]}`, 200,
			`{"id":"1","pk":"a","n":-1.5,"o":{"x":1},"l":[1,2,3],"s":"t","c":1}`,
		},
		{"incr of a string", `{"operations":[{"op":"incr","path":"/s","value":1}]}`, 400, doc},
		{
			"move", `{"operations":[{"op":"move","from":"/o/x","path":"/y"}]}`, 200,
			`{"id":"1","pk":"a","n":1,"o":{},"l":[1,2,3],"s":"t","y":1}`,
		},
		{
			"condition holds",
			`{"condition":"FROM c WHERE c.n = 1 AND c.s = 't'","operations":[{"op":"remove","path":"/s"}]}`, 200,
			`{"id":"1","pk":"a","n":1,"o":{"x":1},"l":[1,2,3]}`,
		},
		{
			"condition fails",
			`{"condition":"from c where c.n = 2","operations":[{"op":"remove","path":"/s"}]}`, 412, doc,
		},
		{
			"condition is nonsense",
			`{"condition":"from c whre c.n = 2","operations":[{"op":"remove","path":"/s"}]}`, 400, doc,
		},
		{"no recursive paths", `{"operations":[{"op":"add","path":"/q/r","value":1}]}`, 400, doc},
		{"partition key", `{"operations":[{"op":"set","path":"/pk","value":"b"}]}`, 400, doc},
		{"id", `{"operations":[{"op":"set","path":"/id","value":"2"}]}`, 400, doc},
		{
			"all or nothing",
			`{"operations":[{"op":"set","path":"/n","value":5},{"op":"remove","path":"/nope"}]}`, 400, doc,
		},
		{"eleven operations", `[` + strings.Repeat(`{"op":"set","path":"/n","value":5},`, 10) +
			`{"op":"set","path":"/n","value":5}]`, 400, doc},
		{"unknown operation", `{"operations":[{"op":"twist","path":"/n","value":5}]}`, 400, doc},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := c.UpsertItem(background(), key("a"), []byte(doc), nil)
			e.must(err)
			resp := e.raw(http.MethodPatch, "/dbs/db/colls/items/docs/1", tt.body, map[string]string{
				"x-ms-documentdb-partitionkey": `["a"]`,
			})
			if resp.StatusCode != tt.status {
				t.Fatalf("answered %d %s, want %d", resp.StatusCode, resp.text, tt.status)
			}
			read, err := c.ReadItem(background(), key("a"), "1", nil)
			e.must(err)
			if got := userPart(t, read.Value); got != tt.want {
				t.Fatalf("item is now\n%s, want\n%s", got, tt.want)
			}
		})
	}
}

// userPart is the document without what the service adds.
func userPart(t *testing.T, doc []byte) string {
	t.Helper()
	v, err := value.Parse(doc)
	if err != nil {
		t.Fatal(err)
	}
	return string(v.Without(systemProperties...).JSON())
}

func TestPatchThroughTheSDK(t *testing.T) {
	e := newEnv(t, nil)
	c := e.container(ContainerSpec{})
	_, err := c.CreateItem(background(), key("a"), []byte(`{"id":"1","pk":"a","n":1}`), nil)
	e.must(err)
	p := azcosmos.PatchOperations{}
	p.SetCondition("from c where c.n = 1")
	p.AppendIncrement("/n", 41)
	p.AppendAdd("/tags", []string{"x"})
	got, err := c.PatchItem(background(), key("a"), "1", p, nil)
	e.must(err)
	if want := `{"id":"1","pk":"a","n":42,"tags":["x"]}`; userPart(t, got.Value) != want {
		t.Fatalf("patched to %s, want %s", got.Value, want)
	}
	if _, err := c.PatchItem(background(), key("a"), "1", p,
		nil); statusOf(err) != http.StatusPreconditionFailed {
		t.Fatalf("patch whose condition fails: %v, want 412", err)
	}
}

func TestABatchIsAllOrNothing(t *testing.T) {
	e := newEnv(t, nil)
	c := e.container(ContainerSpec{})
	_, err := c.CreateItem(background(), key("a"), []byte(`{"id":"1","pk":"a"}`), nil)
	e.must(err)

	b := c.NewTransactionalBatch(key("a"))
	b.CreateItem([]byte(`{"id":"2","pk":"a"}`), nil)
	b.ReplaceItem("2", []byte(`{"id":"2","pk":"a","n":1}`), nil)
	b.CreateItem([]byte(`{"id":"1","pk":"a"}`), nil)
	b.DeleteItem("1", nil)
	res, err := c.ExecuteTransactionalBatch(background(), b, nil)
	e.must(err)
	var codes []int32
	for _, r := range res.OperationResults {
		codes = append(codes, r.StatusCode)
	}
	if res.Success || fmt.Sprint(codes) != "[424 424 409 424]" {
		t.Fatalf("success %v, codes %v, want failure and [424 424 409 424]", res.Success, codes)
	}
	if _, err := c.ReadItem(background(), key("a"), "2", nil); statusOf(err) != http.StatusNotFound {
		t.Fatalf("a failed batch left an item: %v", err)
	}

	b = c.NewTransactionalBatch(key("a"))
	b.CreateItem([]byte(`{"id":"2","pk":"a"}`), nil)
	patch := azcosmos.PatchOperations{}
	patch.AppendSet("/n", 7)
	b.PatchItem("2", patch, nil)
	b.ReadItem("2", nil)
	b.DeleteItem("1", nil)
	b.UpsertItem([]byte(`{"id":"3","pk":"a"}`), nil)
	res, err = c.ExecuteTransactionalBatch(background(), b,
		&azcosmos.TransactionalBatchOptions{EnableContentResponseOnWrite: true})
	e.must(err)
	codes = nil
	for _, r := range res.OperationResults {
		codes = append(codes, r.StatusCode)
	}
	if !res.Success || fmt.Sprint(codes) != "[201 200 200 204 201]" {
		t.Fatalf("success %v, codes %v", res.Success, codes)
	}
	if got := userPart(t, res.OperationResults[2].ResourceBody); got != `{"id":"2","pk":"a","n":7}` {
		t.Fatalf("the batch read %s: it must see its own writes", got)
	}
	read, err := c.ReadItem(background(), key("a"), "2", nil)
	e.must(err)
	if read.ETag != res.OperationResults[1].ETag {
		t.Fatalf("the item's ETag is %s, the batch said %s", read.ETag, res.OperationResults[1].ETag)
	}
}

func TestMinimalResponsesHaveNoBody(t *testing.T) {
	e := newEnv(t, nil)
	c := e.container(ContainerSpec{})
	got, err := c.CreateItem(background(), key("a"), []byte(`{"id":"1","pk":"a"}`),
		&azcosmos.ItemOptions{EnableContentResponseOnWrite: false})
	e.must(err)
	if len(got.Value) != 0 && got.ETag == "" {
		t.Fatalf("got a body %q and ETag %q", got.Value, got.ETag)
	}
	resp := e.raw(http.MethodPost, "/dbs/db/colls/items/docs", `{"id":"2","pk":"a"}`,
		map[string]string{
			"x-ms-documentdb-partitionkey": `["a"]`, "Prefer": "return=minimal",
		})
	if resp.StatusCode != http.StatusCreated || resp.text != "" || resp.Header.Get("etag") == "" {
		t.Fatalf("answered %d %q, etag %q", resp.StatusCode, resp.text, resp.Header.Get("etag"))
	}
}

func TestKeysOfEveryKindFindTheirItems(t *testing.T) {
	e := newEnv(t, func(c *Config) { c.Ranges = 4 })
	c := e.container(ContainerSpec{})
	h := e.container(ContainerSpec{ID: "h", PartitionKeyPaths: []string{"/a/b", "/c", "/d"}})
	tests := []struct {
		c   *azcosmos.ContainerClient
		pk  azcosmos.PartitionKey
		doc string
	}{
		{c, key("ü€😀\x01\x1f"), `{"id":"1","pk":"ü€😀\u0001\u001f"}`},
		{c, azcosmos.NewPartitionKeyNumber(-1.5e300), `{"id":"1","pk":-1.5e300}`},
		{c, azcosmos.NewPartitionKeyBool(true), `{"id":"1","pk":true}`},
		{c, azcosmos.NullPartitionKey, `{"id":"1","pk":null}`},
		{h, key("x").AppendNumber(1).AppendNull(), `{"id":"1","a":{"b":"x"},"c":1,"d":null}`},
		{h, key("x").AppendNumber(1).AppendBool(false), `{"id":"1","a":{"b":"x"},"c":1,"d":false}`},
	}
	for i, tt := range tests {
		if i == 0 {
			// azcosmos writes Go escapes (\U0001f600, \x01) into the header, which is no JSON; the raw
			// request takes its place.
			continue
		}
		_, err := tt.c.CreateItem(background(), tt.pk, []byte(tt.doc), nil)
		e.must(err)
		read, err := tt.c.ReadItem(background(), tt.pk, "1", nil)
		e.must(err)
		if userPart(t, read.Value) == "" {
			t.Fatal("empty item")
		}
	}
	for _, header := range []string{
		`["ü€😀\u0001\u001f"]`, `["\u00fc\u20ac\ud83d\ude00\u0001\u001f"]`,
		`[{}]`,
	} {
		doc := tests[0].doc
		if header == `[{}]` {
			doc = `{"id":"1"}`
		}
		hdr := map[string]string{
			"x-ms-documentdb-partitionkey": header,
			"x-ms-documentdb-is-upsert":    "True",
		}
		if resp := e.raw(http.MethodPost, "/dbs/db/colls/items/docs", doc,
			hdr); resp.StatusCode/100 != 2 {
			t.Fatalf("upsert under %s: %d %s", header, resp.StatusCode, resp.text)
		}
		if resp := e.raw(http.MethodGet, "/dbs/db/colls/items/docs/1", "",
			hdr); resp.StatusCode != http.StatusOK {
			t.Fatalf("read under %s: %d %s", header, resp.StatusCode, resp.text)
		}
	}
}

func TestUniqueKeysHoldWithinAPartition(t *testing.T) {
	e := newEnv(t, nil)
	e.container(ContainerSpec{ID: "other"})
	db, err := e.client.NewDatabase("db")
	e.must(err)
	_, err = db.CreateContainer(background(), azcosmos.ContainerProperties{
		ID:                     "u",
		PartitionKeyDefinition: azcosmos.PartitionKeyDefinition{Paths: []string{"/pk"}, Version: 2},
		UniqueKeyPolicy:        &azcosmos.UniqueKeyPolicy{UniqueKeys: []azcosmos.UniqueKey{{Paths: []string{"/email"}}}},
	}, nil)
	e.must(err)
	c := e.containerClient(e.client, "u")
	put := func(pk, id, email string) error {
		_, err := c.UpsertItem(background(), key(pk), fmt.Appendf(nil, `{"id":%q,"pk":%q,"email":%q}`,
			id, pk, email), nil)
		return err
	}
	e.must(put("a", "1", "x"))
	e.must(put("b", "1", "x"))
	if err := put("a", "2", "x"); statusOf(err) != http.StatusConflict {
		t.Fatalf("a second x: %v, want 409", err)
	}
	e.must(put("a", "1", "y"))
	e.must(put("a", "2", "x"))
	_, err = c.DeleteItem(background(), key("a"), "2", nil)
	e.must(err)
	e.must(put("a", "3", "x"))
}
