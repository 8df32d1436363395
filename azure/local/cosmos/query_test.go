package cosmos

import (
	"fmt"
	"net/http"
	"sort"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"github.com/proa-cloud/proa/azure/local/cosmos/value"
)

// ids runs a cross-partition query that yields strings and returns them sorted.
func (e *env) ids(c *azcosmos.ContainerClient, query string) string {
	e.t.Helper()
	rows, err := e.query(c, azcosmos.NewPartitionKey(), query, nil)
	e.must(err)
	var out []string
	for _, r := range rows {
		v, err := value.Parse([]byte(r))
		e.must(err)
		out = append(out, v.Str)
	}
	sort.Strings(out)
	return strings.Join(out, " ")
}

// query pages through a query.
func (e *env) query(c *azcosmos.ContainerClient, pk azcosmos.PartitionKey, query string,
	o *azcosmos.QueryOptions,
) ([]string, error) {
	pager := c.NewQueryItemsPager(query, pk, o)
	var out []string
	for pager.More() {
		page, err := pager.NextPage(background())
		if err != nil {
			return nil, err
		}
		for _, it := range page.Items {
			out = append(out, string(it))
		}
	}
	return out, nil
}

func TestQueriesPageThroughEverythingOnce(t *testing.T) {
	e := newEnv(t, func(c *Config) { c.Ranges = 3 })
	c := e.container(ContainerSpec{})
	for i := range 50 {
		_, err := c.CreateItem(background(), key(fmt.Sprint(i%5)), fmt.Appendf(nil,
			`{"id":"%02d","pk":"%d","n":%d,"l":[1,2,3]}`, i, i%5, i), nil)
		e.must(err)
	}
	for _, size := range []int32{1, 3, 7, 100} {
		o := &azcosmos.QueryOptions{PageSizeHint: size}
		rows, err := e.query(c, azcosmos.NewPartitionKey(),
			"SELECT c.id, x FROM c JOIN x IN c.l WHERE c.n >= 10", o)
		e.must(err)
		seen := map[string]bool{}
		for _, r := range rows {
			seen[r] = true
		}
		if len(rows) != 120 || len(seen) != 120 {
			t.Errorf("pages of %d: %d rows, %d different, want 120", size, len(rows), len(seen))
		}
		rows, err = e.query(c, key("2"), "SELECT VALUE c.n FROM c ORDER BY c.n DESC", o)
		e.must(err)
		if got := strings.Join(rows, " "); got != "47 42 37 32 27 22 17 12 7 2" {
			t.Errorf("pages of %d: ordered rows are %s", size, got)
		}
	}
}

func TestQueriesOfOnePartition(t *testing.T) {
	e := newEnv(t, func(c *Config) { c.Ranges = 2 })
	c := e.container(ContainerSpec{})
	for i := range 10 {
		_, err := c.CreateItem(background(), key(fmt.Sprint(i%2)), fmt.Appendf(nil,
			`{"id":"%d","pk":"%d","n":%d,"g":%d}`, i, i%2, i, i%3), nil)
		e.must(err)
	}
	tests := []struct {
		query  string
		params []azcosmos.QueryParameter
		want   string
	}{
		{"SELECT VALUE COUNT(1) FROM c", nil, "5"},
		{
			"SELECT COUNT(1) AS n, SUM(c.n) AS s, AVG(c.n) AS a, MIN(c.n) AS lo, MAX(c.n) AS hi FROM c", nil,
			`{"n":5,"s":20,"a":4,"lo":0,"hi":8}`,
		},
		{
			"SELECT c.g, COUNT(1) AS n FROM c GROUP BY c.g", nil,
			`{"g":0,"n":2} {"g":2,"n":2} {"g":1,"n":1}`,
		},
		{"SELECT DISTINCT VALUE c.g FROM c", nil, "0 2 1"},
		{"SELECT TOP 2 VALUE c.n FROM c ORDER BY c.n DESC", nil, "8 6"},
		{"SELECT VALUE c.n FROM c ORDER BY c.n OFFSET 1 LIMIT 2", nil, "2 4"},
		{
			"SELECT VALUE c.n FROM c WHERE c.n > @min AND c.id IN (@a, @b, '8')",
			[]azcosmos.QueryParameter{{Name: "@min", Value: 2}, {Name: "@a", Value: "2"}, {
				Name:  "@b",
				Value: "4",
			}},
			"4 8",
		},
	}
	for _, tt := range tests {
		rows, err := e.query(c, key("0"), tt.query, &azcosmos.QueryOptions{QueryParameters: tt.params})
		e.must(err)
		if got := strings.Join(rows, " "); got != tt.want {
			t.Errorf("%s\ngives %s\nwant  %s", tt.query, got, tt.want)
		}
	}
}

func TestWhatTheGatewayCannotServeIsRefused(t *testing.T) {
	e := newEnv(t, nil)
	c := e.container(ContainerSpec{})
	e.upsert(c, "a", "1", 1)
	tests := []struct {
		query string
		pk    azcosmos.PartitionKey
		sub   string
		text  string
	}{
		{
			"SELECT VALUE COUNT(1) FROM c", azcosmos.NewPartitionKey(), "1004",
			"can not be directly served by the gateway",
		},
		{"SELECT * FROM c ORDER BY c.n", azcosmos.NewPartitionKey(), "1004", "additionalErrorInfo"},
		{"SELECT TOP 1 * FROM c", azcosmos.NewPartitionKey(), "1004", "gateway"},
		{"SELECT * FROM c ORDER BY c.n, c.id", key("a"), "", "composite index"},
		{"SELECT * FROM c ORDER BY LOWER(c.id)", key("a"), "", "could not be mapped to a document path"},
		{"SELECT * FRM c", key("a"), "", `SC1001`},
		{"SELECT * FROM c WHERE c.a = 1 garbage", key("a"), "", `incorrect syntax near 'garbage'`},
		{"SELECT * FROM c WHERE NOSUCH(c.a)", key("a"), "", `is not a recognized built-in function name`},
		{"SELECT * FROM c WHERE d.a = 1", key("a"), "", `Identifier 'd' could not be resolved`},
		{"SELECT * FROM c WHERE c.a = @a", key("a"), "", `Identifier '@a' could not be resolved`},
		{"SELECT c.value FROM c", key("a"), "", `incorrect syntax near 'value'`},
		{"SELECT c.a, COUNT(1) FROM c", key("a"), "", `SC2102`},
	}
	for _, tt := range tests {
		_, err := e.query(c, tt.pk, tt.query, nil)
		if statusOf(err) != http.StatusBadRequest || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s\ngives %v\nwant 400 with %q", tt.query, err, tt.text)
			continue
		}
		if sub := substatus(err); sub != tt.sub {
			t.Errorf("%s: substatus %s, want %s", tt.query, sub, tt.sub)
		}
	}
	rows, err := e.query(c, azcosmos.NewPartitionKey(),
		"SELECT VALUE COUNT(1) FROM c WHERE c.pk = 'a'", nil)
	if err != nil || strings.Join(rows, " ") != "1" {
		t.Errorf("a filter on the partition key makes it servable; got %v, %v", rows, err)
	}
}

func TestReadManyFindsItemsInEveryRange(t *testing.T) {
	e := newEnv(t, func(c *Config) { c.Ranges = 4 })
	c := e.container(ContainerSpec{})
	var want []azcosmos.ItemIdentity
	for i := range 40 {
		pk := fmt.Sprint("k", i)
		e.upsert(c, pk, "1", i)
		want = append(want, azcosmos.ItemIdentity{ID: "1", PartitionKey: key(pk)})
	}
	got, err := c.ReadManyItems(background(), want, nil)
	e.must(err)
	if len(got.Items) != 40 {
		t.Fatalf("read %d of 40 items", len(got.Items))
	}
}

func TestPrefixOfAHierarchicalKeyFindsAllBelow(t *testing.T) {
	e := newEnv(t, func(c *Config) { c.Ranges = 4 })
	c := e.container(ContainerSpec{PartitionKeyPaths: []string{"/t", "/u"}})
	for i := range 20 {
		doc := fmt.Appendf(nil, `{"id":"%d","t":"%d","u":"%d"}`, i, i%2, i)
		_, err := c.CreateItem(background(), key(fmt.Sprint(i%2)).AppendString(fmt.Sprint(i)), doc, nil)
		e.must(err)
	}
	rows, err := e.query(c, key("1"), "SELECT VALUE c.id FROM c", nil)
	e.must(err)
	if len(rows) != 10 {
		t.Fatalf("prefix query sees %d items, want 10", len(rows))
	}
}

func TestOrderByLeavesOutWhatTheDefaultIndexLacks(t *testing.T) {
	e := newEnv(t, nil)
	c := e.container(ContainerSpec{})
	for i, doc := range []string{
		`{"id":"1","pk":"a","n":2}`, `{"id":"2","pk":"a"}`,
		`{"id":"3","pk":"a","n":"x"}`, `{"id":"4","pk":"a","n":null}`,
	} {
		_, err := c.CreateItem(background(), key("a"), []byte(doc), nil)
		if err != nil {
			t.Fatal(i, err)
		}
	}
	rows, err := e.query(c, key("a"), "SELECT VALUE c.id FROM c ORDER BY c.n", nil)
	e.must(err)
	if got := strings.Join(rows, " "); got != `"4" "1" "3"` {
		t.Fatalf("order is %s", got)
	}
}
