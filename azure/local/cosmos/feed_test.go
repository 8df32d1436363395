package cosmos

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// feedReader reads all feed ranges of a container through the SDK, keeping one token a range.
type feedReader struct {
	e      *env
	c      *azcosmos.ContainerClient
	opts   azcosmos.ChangeFeedOptions
	ranges []azcosmos.FeedRange
	tokens []string
}

func (e *env) feed(client *azcosmos.Client, id string,
	opts azcosmos.ChangeFeedOptions,
) *feedReader {
	e.t.Helper()
	c := e.containerClient(client, id)
	ranges, err := c.ReadFeedRanges(background(), nil)
	e.must(err)
	return &feedReader{e: e, c: c, opts: opts, ranges: ranges, tokens: make([]string, len(ranges))}
}

// drain reads until every range says 304, and returns the documents as they came.
func (f *feedReader) drain() []map[string]any {
	f.e.t.Helper()
	var out []map[string]any
	for i := range f.ranges {
		for {
			o := f.opts
			o.FeedRange = &f.ranges[i]
			if f.tokens[i] != "" {
				o.Continuation = &f.tokens[i]
			}
			resp, err := f.c.ReadChangeFeed(background(), &o)
			f.e.must(err)
			f.tokens[i] = resp.ContinuationToken
			if len(resp.Items) == 0 {
				break
			}
			for _, d := range resp.Items {
				out = append(out, decode(f.e.t, d))
			}
		}
	}
	return out
}

func (e *env) upsert(c *azcosmos.ContainerClient, pk, id string, n int) {
	e.t.Helper()
	_, err := c.UpsertItem(background(), key(pk), fmt.Appendf(nil, `{"id":%q,"pk":%q,"n":%d}`, id, pk,
		n), nil)
	e.must(err)
}

func (e *env) remove(c *azcosmos.ContainerClient, pk, id string) {
	e.t.Helper()
	_, err := c.DeleteItem(background(), key(pk), id, nil)
	e.must(err)
}

func idsAndNs(docs []map[string]any) string {
	var out []string
	for _, d := range docs {
		out = append(out, fmt.Sprint(d["id"], "=", d["n"]))
	}
	return strings.Join(out, " ")
}

func TestLatestVersionFeedCollapsesAndHidesDeletes(t *testing.T) {
	e := newEnv(t, nil)
	c := e.container(ContainerSpec{})
	e.upsert(c, "a", "1", 1)
	e.upsert(c, "b", "2", 1)
	e.upsert(c, "a", "1", 2)
	e.upsert(c, "a", "3", 1)
	e.remove(c, "a", "3")
	f := e.feed(e.client, "items", azcosmos.ChangeFeedOptions{MaxItemCount: 1})
	got := f.drain()
	if want := "2=1 1=2"; idsAndNs(got) != want {
		t.Fatalf("feed shows %s, want %s", idsAndNs(got), want)
	}
	if got[0]["_lsn"] != 2.0 || got[1]["_lsn"] != 3.0 {
		t.Fatalf("_lsn are %v and %v, want 2 and 3", got[0]["_lsn"], got[1]["_lsn"])
	}
	if more := f.drain(); len(more) != 0 {
		t.Fatalf("an idle feed shows %v", more)
	}
	e.upsert(c, "a", "4", 1)
	e.remove(c, "b", "2")
	if got := idsAndNs(f.drain()); got != "4=1" {
		t.Fatalf("feed goes on with %s, want 4=1", got)
	}
}

func TestLatestVersionFeedStartsWhereAsked(t *testing.T) {
	e := newEnv(t, nil)
	c := e.container(ContainerSpec{})
	e.upsert(c, "a", "1", 1)
	e.clock.Advance(10 * time.Second)
	since := e.clock.Now()
	e.upsert(c, "b", "2", 1)
	f := e.feed(e.client, "items", azcosmos.ChangeFeedOptions{StartFrom: &since})
	if got := idsAndNs(f.drain()); got != "2=1" {
		t.Errorf("since: %s, want 2=1", got)
	}
	pk := key("a")
	f = e.feed(e.client, "items", azcosmos.ChangeFeedOptions{PartitionKey: &pk})
	if got := idsAndNs(f.drain()); got != "1=1" {
		t.Errorf("of one partition key: %s, want 1=1", got)
	}
	resp := e.raw(http.MethodGet, "/dbs/db/colls/items/docs", "",
		map[string]string{"A-IM": "Incremental Feed", "If-None-Match": "*"})
	if resp.StatusCode != http.StatusNotModified || resp.Header.Get("etag") != `"2"` {
		t.Errorf("from now: %d, etag %s", resp.StatusCode, resp.Header.Get("etag"))
	}
}

// fullChange is the wire format of the all-versions-and-deletes mode.
type fullChange struct {
	Current  map[string]any `json:"current"`
	Previous map[string]any `json:"previous"`
	Metadata struct {
		OperationType     string         `json:"operationType"`
		LSN               uint64         `json:"lsn"`
		CRTS              int64          `json:"crts"`
		PreviousImageLSN  uint64         `json:"previousImageLSN"`
		TimeToLiveExpired bool           `json:"timeToLiveExpired"`
		ID                string         `json:"id"`
		PartitionKey      map[string]any `json:"partitionKey"`
	} `json:"metadata"`
}

func fullChanges(t *testing.T, docs []map[string]any) []fullChange {
	t.Helper()
	text, err := json.Marshal(docs)
	if err != nil {
		t.Fatal(err)
	}
	var out []fullChange
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// story renders changes as "op id=n@lsn<previous".
func story(changes []fullChange) string {
	var out []string
	for _, c := range changes {
		id := fmt.Sprint(c.Current["id"])
		if c.Metadata.OperationType == "delete" {
			id = c.Metadata.ID
		}
		s := fmt.Sprintf("%s %s=%v@%d<%d", c.Metadata.OperationType, id, c.Current["n"], c.Metadata.LSN,
			c.Metadata.PreviousImageLSN)
		if c.Metadata.TimeToLiveExpired {
			s += " ttl"
		}
		out = append(out, s)
	}
	return strings.Join(out, ", ")
}

func TestAllVersionsFeedShowsEveryChange(t *testing.T) {
	e := newEnv(t, nil)
	c := e.container(ContainerSpec{})
	e.upsert(c, "a", "0", 0)
	f := e.feed(e.full, "items", azcosmos.ChangeFeedOptions{MaxItemCount: 2})
	if got := f.drain(); len(got) != 0 {
		t.Fatalf("from now shows %v", got)
	}
	e.upsert(c, "a", "1", 1)
	e.upsert(c, "a", "1", 2)
	e.remove(c, "a", "1")
	e.upsert(c, "a", "1", 3)
	e.remove(c, "a", "0")
	got := fullChanges(t, f.drain())
	want := "create 1=1@2<0, replace 1=2@3<2, delete 1=<nil>@4<3, create 1=3@5<0, delete 0=<nil>@6<1"
	if story(got) != want {
		t.Fatalf("feed tells\n%s, want\n%s", story(got), want)
	}
	del := got[2]
	if del.Metadata.PartitionKey["pk"] != "a" || len(del.Current) != 0 || del.Previous != nil ||
		del.Metadata.CRTS != e.clock.Now().Unix() {
		t.Fatalf("a delete looks like %+v", del)
	}
	if got[0].Current["_etag"] == nil || got[0].Current["_ts"] == nil {
		t.Fatalf("current lacks system properties: %v", got[0].Current)
	}
}

func TestPreviousImagesComeWhenConfigured(t *testing.T) {
	e := newEnv(t, func(c *Config) { c.PreviousImages = true })
	c := e.container(ContainerSpec{})
	f := e.feed(e.full, "items", azcosmos.ChangeFeedOptions{})
	f.drain()
	e.upsert(c, "a", "1", 1)
	e.upsert(c, "a", "1", 2)
	e.remove(c, "a", "1")
	got := fullChanges(t, f.drain())
	if len(got) != 3 || got[0].Previous != nil || got[1].Previous["n"] != 1.0 ||
		got[2].Previous["n"] != 2.0 {
		t.Fatalf("previous images are wrong: %+v", got)
	}
}

func TestAllVersionsFeedRefusesToStartInThePast(t *testing.T) {
	e := newEnv(t, nil)
	e.container(ContainerSpec{})
	resp := e.raw(http.MethodGet, "/dbs/db/colls/items/docs", "",
		map[string]string{"A-IM": "Full-Fidelity Feed"})
	if resp.StatusCode != http.StatusBadRequest {
		t.Fatalf("answered %d, want 400", resp.StatusCode)
	}
}

func TestAnAccountWithoutBackupsHasNoAllVersionsFeed(t *testing.T) {
	e := newEnv(t, func(c *Config) { c.NoAllVersions = true })
	e.container(ContainerSpec{})
	resp := e.raw(http.MethodGet, "/dbs/db/colls/items/docs", "",
		map[string]string{"A-IM": "Full-Fidelity Feed", "If-None-Match": "*"})
	if resp.StatusCode != http.StatusBadRequest {
		t.Fatalf("answered %d, want 400", resp.StatusCode)
	}
}

func TestAGapBeyondRetentionIsRefused(t *testing.T) {
	e := newEnv(t, func(c *Config) { c.Retention = time.Hour })
	c := e.container(ContainerSpec{})
	e.upsert(c, "a", "1", 1)
	f := e.feed(e.full, "items", azcosmos.ChangeFeedOptions{})
	f.drain()
	e.upsert(c, "a", "1", 2)
	e.clock.Advance(30 * time.Minute)
	e.upsert(c, "a", "1", 3)
	e.must(e.s.Maintain(background()))
	old := *f
	old.tokens = append([]string{}, f.tokens...)
	if got := len(f.drain()); got != 2 {
		t.Fatalf("within the retention %d changes, want 2", got)
	}
	e.clock.Advance(45 * time.Minute)
	e.must(e.s.Maintain(background()))
	if got := len(f.drain()); got != 0 {
		t.Fatalf("an up-to-date reader sees %d changes", got)
	}
	_, err := old.c.ReadChangeFeed(background(),
		&azcosmos.ChangeFeedOptions{FeedRange: &old.ranges[0], Continuation: &old.tokens[0]})
	if statusOf(err) != http.StatusBadRequest || !strings.Contains(err.Error(), "retention") {
		t.Fatalf("a reader left behind gets %v, want 400", err)
	}
	lv := e.feed(e.client, "items", azcosmos.ChangeFeedOptions{})
	if got := idsAndNs(lv.drain()); got != "1=3" {
		t.Fatalf("latest versions show %s, want 1=3: they have no retention", got)
	}
}

func TestExpiryShowsAsDeleteInTheFeed(t *testing.T) {
	e := newEnv(t, nil)
	ttl := int64(10)
	c := e.container(ContainerSpec{DefaultTTL: &ttl})
	f := e.feed(e.full, "items", azcosmos.ChangeFeedOptions{})
	f.drain()
	put := func(doc string) {
		_, err := c.UpsertItem(background(), key("a"), []byte(doc), nil)
		e.must(err)
	}
	put(`{"id":"default","pk":"a"}`)
	put(`{"id":"own","pk":"a","ttl":3}`)
	put(`{"id":"never","pk":"a","ttl":-1}`)
	put(`{"id":"again","pk":"a","ttl":3}`)
	e.clock.Advance(5 * time.Second)
	if _, err := c.ReadItem(background(), key("a"), "own", nil); statusOf(err) != http.StatusNotFound {
		t.Fatalf("an expired item: %v, want 404", err)
	}
	if got := e.ids(c, "SELECT VALUE c.id FROM c"); got != "default never" {
		t.Fatalf("query shows %s", got)
	}
	_, err := c.CreateItem(background(), key("a"), []byte(`{"id":"again","pk":"a","ttl":100}`), nil)
	e.must(err)
	e.must(e.s.Maintain(background()))
	e.clock.Advance(10 * time.Second)
	e.must(e.s.Maintain(background()))
	want := "create default=<nil>@1<0, create own=<nil>@2<0, create never=<nil>@3<0, create " +
		"again=<nil>@4<0, " +
		"delete again=<nil>@5<4 ttl, create again=<nil>@5<0, delete own=<nil>@6<2 ttl, delete " +
		"default=<nil>@7<1 ttl"
	if got := story(fullChanges(t, f.drain())); got != want {
		t.Fatalf("feed tells\n%s, want\n%s", got, want)
	}
}

func TestChangingTheDefaultTTLAppliesToWhatIsStored(t *testing.T) {
	e := newEnv(t, nil)
	c := e.container(ContainerSpec{})
	e.upsert(c, "a", "1", 1)
	props, err := c.Read(background(), nil)
	e.must(err)
	ttl := int32(5)
	props.ContainerProperties.DefaultTimeToLive = &ttl
	_, err = c.Replace(background(), *props.ContainerProperties, nil)
	e.must(err)
	e.clock.Advance(6 * time.Second)
	if _, err := c.ReadItem(background(), key("a"), "1", nil); statusOf(err) != http.StatusNotFound {
		t.Fatalf("after 6 s of 5: %v, want 404", err)
	}
}

func TestATransactionIsOneLSNAndNeverTorn(t *testing.T) {
	e := newEnv(t, nil)
	c := e.container(ContainerSpec{})
	f := e.feed(e.full, "items", azcosmos.ChangeFeedOptions{MaxItemCount: 1})
	f.drain()
	b := c.NewTransactionalBatch(key("a"))
	for i := range 5 {
		b.CreateItem(fmt.Appendf(nil, `{"id":"%d","pk":"a"}`, i), nil)
	}
	_, err := c.ExecuteTransactionalBatch(background(), b, nil)
	e.must(err)
	e.upsert(c, "a", "z", 1)
	resp, err := f.c.ReadChangeFeed(background(), &azcosmos.ChangeFeedOptions{
		FeedRange:    &f.ranges[0],
		Continuation: &f.tokens[0], MaxItemCount: 1,
	})
	e.must(err)
	if len(resp.Items) != 5 {
		t.Fatalf("a page of one item holds %d changes, want the transaction's 5", len(resp.Items))
	}
}

func TestContinuationsSurviveAReopen(t *testing.T) {
	dir := t.TempDir()
	clock := newClock()
	open := func() *Server {
		s, err := New(Config{Dir: dir, Clock: clock.Now, Ranges: 2})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	e := serve(t, s)
	c := e.container(ContainerSpec{})
	lv, av := e.feed(e.client, "items", azcosmos.ChangeFeedOptions{}), e.feed(e.full, "items",
		azcosmos.ChangeFeedOptions{})
	e.upsert(c, "a", "1", 1)
	lv.drain()
	av.drain()
	for i := range 8 {
		e.upsert(c, fmt.Sprint(i), "1", i)
	}
	e.web.Close()
	e.must(s.Close())

	s = open()
	defer s.Close()
	e2 := serve(t, s)
	lv.e, lv.c, av.e, av.c = e2, e2.containerClient(e2.client,
		"items"), e2, e2.containerClient(e2.full, "items")
	e2.upsert(lv.c, "7", "1", 70)
	if got := len(lv.drain()); got != 8 {
		t.Errorf("latest versions: %d changes, want 8", got)
	}
	if got := len(av.drain()); got != 9 {
		t.Errorf("all versions: %d changes, want 9", got)
	}
}

func TestAcknowledgedWritesSurviveACrash(t *testing.T) {
	fs := vfs.NewCrashableMem()
	clock := newClock()
	s, err := New(Config{Dir: "cosmos", FS: fs, Clock: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	e := serve(t, s)
	c := e.container(ContainerSpec{})
	f := e.feed(e.full, "items", azcosmos.ChangeFeedOptions{})
	f.drain()
	for i := range 20 {
		e.upsert(c, "a", fmt.Sprint(i), i)
	}
	e.remove(c, "a", "0")
	crashed := fs.CrashClone(vfs.CrashCloneCfg{})
	e.web.Close()
	e.must(s.Close())

	s, err = New(Config{Dir: "cosmos", FS: crashed, Clock: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	e2 := serve(t, s)
	f.e, f.c = e2, e2.containerClient(e2.full, "items")
	if got := len(f.drain()); got != 21 {
		t.Fatalf("the log holds %d changes after the crash, want 21", got)
	}
	if got := len(strings.Fields(e2.ids(e2.containerClient(e2.client, "items"),
		"SELECT VALUE c.id FROM c"))); got != 19 {
		t.Fatalf("%d items after the crash, want 19", got)
	}
}

// TestFeedReadersNeverSkip reads the feed while many writers commit: every acknowledged write must
// be seen exactly once, in order.
func TestFeedReadersNeverSkip(t *testing.T) {
	dir, err := os.MkdirTemp("", "cosmos")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	s, err := New(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	e := serve(t, s)
	defer s.Close()
	defer e.web.Close()
	c := e.container(ContainerSpec{})
	f := e.feed(e.full, "items", azcosmos.ChangeFeedOptions{MaxItemCount: 7})
	f.drain()
	ctx, stop := context.WithCancel(background())
	done := make(chan error, 8)
	for w := range 8 {
		go func() {
			for i := range 40 {
				doc := fmt.Appendf(nil, `{"id":"%d-%d","pk":"a"}`, w, i)
				if _, err := c.CreateItem(ctx, key("a"), doc, nil); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	defer stop()
	var all []fullChange
	for running := 8; running > 0; {
		select {
		case err := <-done:
			e.must(err)
			running--
		default:
			all = append(all, fullChanges(t, f.drain())...)
		}
	}
	all = append(all, fullChanges(t, f.drain())...)
	seen := map[string]bool{}
	for i, ch := range all {
		seen[fmt.Sprint(ch.Current["id"])] = true
		if i > 0 && ch.Metadata.LSN <= all[i-1].Metadata.LSN {
			t.Fatalf("LSN %d comes after %d", ch.Metadata.LSN, all[i-1].Metadata.LSN)
		}
	}
	if len(seen) != 320 || len(all) != 320 {
		t.Fatalf("saw %d changes of %d items, want 320", len(all), len(seen))
	}
}

func TestASplitKeepsEveryPositionValid(t *testing.T) {
	e := newEnv(t, func(c *Config) { c.Ranges = 2 })
	c := e.container(ContainerSpec{})
	lv, av := e.feed(e.client, "items", azcosmos.ChangeFeedOptions{MaxItemCount: 3}), e.feed(e.full,
		"items", azcosmos.ChangeFeedOptions{MaxItemCount: 3})
	if len(lv.ranges) != 2 {
		t.Fatalf("%d feed ranges, want 2", len(lv.ranges))
	}
	lv.drain()
	av.drain()
	total := 0
	write := func(n int) {
		for i := range n {
			e.upsert(c, fmt.Sprint("k", i), "1", total)
			total++
		}
	}
	write(20)
	first := len(av.drain())
	write(20)
	e.must(e.s.SplitRange("db", "items", "0"))
	write(20)
	e.must(e.s.SplitRange("db", "items", "2"))
	write(20)
	all := first + len(av.drain())
	if all != 80 {
		t.Errorf("all versions shows %d changes over two splits, want 80", all)
	}
	if got := len(lv.drain()); got != 20 {
		t.Errorf("latest versions shows %d, want 20", got)
	}
	ranges, err := c.ReadFeedRanges(background(), nil)
	e.must(err)
	if len(ranges) != 4 {
		t.Errorf("%d feed ranges after two splits, want 4", len(ranges))
	}
	if got := len(strings.Fields(e.ids(c, "SELECT VALUE c.pk FROM c"))); got != 20 {
		t.Errorf("a query over the split container sees %d items, want 20", got)
	}
	resp := e.raw(http.MethodGet, "/dbs/db/colls/items/docs", "", map[string]string{
		"A-IM": "Incremental Feed", "x-ms-documentdb-partitionkeyrangeid": "0",
	})
	if resp.StatusCode != http.StatusGone || resp.Header.Get("x-ms-substatus") != "1002" {
		t.Errorf("the split range answers %d/%s, want 410/1002", resp.StatusCode,
			resp.Header.Get("x-ms-substatus"))
	}
}

func TestPartitionRangesEndInNotModified(t *testing.T) {
	e := newEnv(t, func(c *Config) { c.Ranges = 3 })
	e.container(ContainerSpec{})
	h := map[string]string{"A-IM": "Incremental Feed"}
	resp := e.raw(http.MethodGet, "/dbs/db/colls/items/pkranges", "", h)
	var feed struct {
		RID    string           `json:"_rid"`
		Ranges []map[string]any `json:"PartitionKeyRanges"`
		Count  int              `json:"_count"`
	}
	e.must(json.Unmarshal([]byte(resp.text), &feed))
	if feed.Count != 3 || feed.Ranges[0]["id"] != "0" || feed.Ranges[0]["minInclusive"] != "" ||
		feed.Ranges[2]["maxExclusive"] != "FF" {
		t.Fatalf("ranges are %s", resp.text)
	}
	for i := 1; i < 3; i++ {
		if feed.Ranges[i]["minInclusive"] != feed.Ranges[i-1]["maxExclusive"] {
			t.Fatalf("there is a hole before range %d: %s", i, resp.text)
		}
	}
	h["If-None-Match"] = resp.Header.Get("etag")
	if resp := e.raw(http.MethodGet, "/dbs/db/colls/items/pkranges", "",
		h); resp.StatusCode != http.StatusNotModified {
		t.Fatalf("second page answered %d, want 304", resp.StatusCode)
	}
}

func TestATokenOfADroppedContainerIsRefused(t *testing.T) {
	e := newEnv(t, nil)
	c := e.container(ContainerSpec{})
	e.upsert(c, "a", "1", 1)
	e.upsert(c, "a", "1", 2)
	read, err := c.Read(background(), nil)
	e.must(err)
	_, err = c.Delete(background(), nil)
	e.must(err)
	c = e.container(ContainerSpec{})
	e.upsert(c, "a", "1", 1)
	for name, h := range map[string]map[string]string{
		"position beyond the end": {"A-IM": "Incremental Feed", "If-None-Match": `"2"`},
		"other _rid":              {"x-ms-cosmos-intended-collection-rid": read.ContainerProperties.ResourceID},
	} {
		if resp := e.raw(http.MethodGet, "/dbs/db/colls/items/docs", "",
			h); resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %d, want 400", name, resp.StatusCode)
		}
	}
}
