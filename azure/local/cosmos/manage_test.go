package cosmos

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
)

func TestDatabasesAndContainersThroughTheSDK(t *testing.T) {
	e := newEnv(t, nil)
	ctx := background()
	made, err := e.client.CreateDatabase(ctx, azcosmos.DatabaseProperties{ID: "shop"}, nil)
	e.must(err)
	if made.DatabaseProperties.ID != "shop" || made.DatabaseProperties.ResourceID == "" ||
		made.DatabaseProperties.ETag == nil {
		t.Fatalf("created %+v", made.DatabaseProperties)
	}
	if _, err := e.client.CreateDatabase(ctx, azcosmos.DatabaseProperties{ID: "shop"},
		nil); statusOf(err) != http.StatusConflict {
		t.Fatalf("a second create: %v, want 409", err)
	}
	db, err := e.client.NewDatabase("shop")
	e.must(err)
	ttl := int32(60)
	props := azcosmos.ContainerProperties{
		ID: "c 1", DefaultTimeToLive: &ttl,
		PartitionKeyDefinition: azcosmos.PartitionKeyDefinition{
			Paths: []string{"/a", "/b"},
			Kind:  azcosmos.PartitionKeyKindMultiHash, Version: 2,
		},
		IndexingPolicy: &azcosmos.IndexingPolicy{
			Automatic:     true,
			IndexingMode:  azcosmos.IndexingModeConsistent,
			IncludedPaths: []azcosmos.IncludedPath{{Path: "/*"}},
		},
	}
	_, err = db.CreateContainer(ctx, props, nil)
	e.must(err)
	c, err := db.NewContainer("c 1")
	e.must(err)
	read, err := c.Read(ctx, nil)
	e.must(err)
	got := read.ContainerProperties
	if *got.DefaultTimeToLive != 60 || len(got.PartitionKeyDefinition.Paths) != 2 ||
		got.ConflictResolutionPolicy == nil ||
		got.IndexingPolicy.IncludedPaths[0].Path != "/*" {
		t.Fatalf("container reads as %+v", got)
	}
	got.PartitionKeyDefinition.Paths = []string{"/x"}
	got.PartitionKeyDefinition.Kind = azcosmos.PartitionKeyKindHash
	if _, err := c.Replace(ctx, *got, nil); statusOf(err) != http.StatusBadRequest {
		t.Fatalf("a change of the partition key: %v, want 400", err)
	}
	var names []string
	pager := db.NewQueryContainersPager("SELECT * FROM c WHERE STARTSWITH(c.id, 'c')", nil)
	for pager.More() {
		page, err := pager.NextPage(ctx)
		e.must(err)
		for _, p := range page.Containers {
			names = append(names, p.ID)
		}
	}
	if fmt.Sprint(names) != "[c 1]" {
		t.Fatalf("query lists %v", names)
	}
	_, err = db.Delete(ctx, nil)
	e.must(err)
	if _, err := c.Read(ctx, nil); statusOf(err) != http.StatusNotFound {
		t.Fatalf("container of a deleted database: %v, want 404", err)
	}
}

func TestEverythingIsThereAfterAReopen(t *testing.T) {
	dir := t.TempDir()
	for round := range 3 {
		s, err := New(Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		e := serve(t, s)
		c := e.container(ContainerSpec{Throughput: 400})
		_, err = c.CreateItem(background(), key("a"), fmt.Appendf(nil, `{"id":"%d","pk":"a"}`, round),
			nil)
		e.must(err)
		rows, err := e.query(c, key("a"), "SELECT VALUE c._rid FROM c", nil)
		e.must(err)
		distinct := map[string]bool{}
		for _, r := range rows {
			distinct[r] = true
		}
		if len(distinct) != round+1 {
			t.Fatalf("round %d: _rids %v", round, rows)
		}
		th, err := c.ReadThroughput(background(), nil)
		e.must(err)
		if n, _ := th.ThroughputProperties.ManualThroughput(); n != 400 {
			t.Fatalf("throughput is %d", n)
		}
		e.web.Close()
		e.must(s.Close())
	}
}

func TestThroughputIsKeptAndEnforcedWhenAsked(t *testing.T) {
	e := newEnv(t, func(c *Config) { c.RateLimiting = true })
	c := e.container(ContainerSpec{Throughput: 400})
	write := func() error {
		_, err := c.UpsertItem(background(), key("a"), []byte(`{"id":"1","pk":"a"}`), nil)
		return err
	}
	n := 0
	var err error
	for ; n < 1000 && err == nil; n++ {
		err = write()
	}
	if statusOf(err) != http.StatusTooManyRequests || substatus(err) != "3200" || n < 30 || n > 100 {
		t.Fatalf("write %d ends with %v, want a 429 after about 40", n, err)
	}
	e.clock.Advance(time.Second)
	e.must(write())
	th := azcosmos.NewManualThroughputProperties(10000)
	_, err = c.ReplaceThroughput(background(), th, nil)
	e.must(err)
	got, err := c.ReadThroughput(background(), nil)
	e.must(err)
	if n, _ := got.ThroughputProperties.ManualThroughput(); n != 10000 {
		t.Fatalf("throughput is %d after the replace", n)
	}
}

func TestDiscoveryEchoesTheRequestsHost(t *testing.T) {
	e := newEnv(t, nil)
	req := httptest.NewRequest(http.MethodGet, "http://proxy.example:4242/", nil)
	w := httptest.NewRecorder()
	e.s.ServeHTTP(w, req)
	var doc struct {
		Writable []struct{ Name, DatabaseAccountEndpoint string } `json:"writableLocations"`
	}
	e.must(json.Unmarshal(w.Body.Bytes(), &doc))
	if got := doc.Writable[0].DatabaseAccountEndpoint; got != "http://proxy.example:4242/" {
		t.Fatalf("endpoint is %s", got)
	}
}

// TestResourceOfMatchesWhatSDKsSign verifies real signatures of azcosmos over every kind of
// request.
func TestResourceOfMatchesWhatSDKsSign(t *testing.T) {
	e := newEnv(t, nil)
	signed := 0
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kind, link := ResourceOf(r)
		text := strings.ToLower(r.Method) + "\n" + kind + "\n" + link + "\n" +
			strings.ToLower(r.Header.Get("x-ms-date")) + "\n\n"
		k, err := base64.StdEncoding.DecodeString(testKey)
		if err != nil {
			t.Error(err)
		}
		mac := hmac.New(sha256.New, k)
		mac.Write([]byte(text))
		want := "type=master&ver=1.0&sig=" + base64.StdEncoding.EncodeToString(mac.Sum(nil))
		if got, err := url.QueryUnescape(r.Header.Get("Authorization")); err != nil || got != want {
			t.Errorf("%s %s: the signature does not cover %q", r.Method, r.URL.EscapedPath(), text)
		}
		signed++
		e.s.ServeHTTP(w, r)
	}))
	defer front.Close()
	e.container(ContainerSpec{ID: "ünï cøde", Throughput: 400})
	client := newClient(t, front.URL)
	c := e.containerClient(client, "ünï cøde")
	ctx := background()
	for _, id := range []string{"plain", "with space", "ünï+%25", "a&b=c;d,e@f:g$"} {
		_, err := c.CreateItem(ctx, key("a"), fmt.Appendf(nil, `{"id":%q,"pk":"a"}`, id), nil)
		e.must(err)
		read, err := c.ReadItem(ctx, key("a"), id, nil)
		e.must(err)
		if decode(t, read.Value)["id"] != id {
			t.Errorf("read %s for %q", read.Value, id)
		}
	}
	_, err := e.query(c, key("a"), "SELECT * FROM c", nil)
	e.must(err)
	_, err = c.ReadFeedRanges(ctx, nil)
	e.must(err)
	_, err = c.ReadThroughput(ctx, nil)
	e.must(err)
	th := azcosmos.NewManualThroughputProperties(500)
	_, err = c.ReplaceThroughput(ctx, th, nil)
	e.must(err)
	_, err = client.CreateDatabase(ctx, azcosmos.DatabaseProperties{ID: "x"}, nil)
	e.must(err)
	if signed < 15 {
		t.Fatalf("only %d requests came through", signed)
	}
}

func TestUnknownPathsAndVerbsAreRefused(t *testing.T) {
	e := newEnv(t, nil)
	e.container(ContainerSpec{})
	for path, want := range map[string]int{
		"POST /":                                     405,
		"GET /nope":                                  404,
		"DELETE /dbs":                                405,
		"GET /dbs/nope":                              404,
		"GET /dbs/db/users":                          501,
		"GET /dbs/db/colls/nope":                     404,
		"PATCH /dbs/db/colls/items":                  405,
		"DELETE /dbs/db/colls/items/docs":            405,
		"POST /dbs/db/colls/items/sprocs":            501,
		"GET /dbs/db/colls/items/sprocs":             200,
		"GET /dbs/db/colls/items/docs/1/attachments": 404,
		"GET /offers/nope":                           404,
		"POST /dbs/db/colls/items/docs/1":            405,
	} {
		verb, p, _ := strings.Cut(path, " ")
		if resp := e.raw(verb, p, "{}", nil); resp.StatusCode != want {
			t.Errorf("%s answered %d %s, want %d", path, resp.StatusCode, resp.text, want)
		}
	}
}
