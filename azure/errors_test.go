package azure

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/azure/local/cosmos"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/cloud/cloudtest"
)

var orders = proa.Schema{Table: "orders", HashName: "id", HashKind: proa.KindS}

// intercepted is a local Cosmos DB behind answer, which may answer a request itself.
func intercepted(t *testing.T, answer func(w http.ResponseWriter, r *http.Request) bool) Config {
	t.Helper()
	server, err := cosmos.New(cosmos.Config{Dir: t.TempDir(), Clock: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	listener := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !answer(w, r) {
			server.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(func() {
		listener.Close()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	c := Config{Timeout: 20 * time.Second, CosmosEndpoint: listener.URL, CosmosKey: proa.NewSecret(testKey)}
	createDatabase(t, c)
	createTable(t, c, orders)
	return c
}

func refuseWith(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"code":%q,"message":"no"}`, code)
}

func TestAnAccountWithoutAllVersionsFallsBackAndSaysSo(t *testing.T) {
	c := intercepted(t, func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("A-IM") != "Full-Fidelity Feed" {
			return false
		}
		refuseWith(w, http.StatusBadRequest, "BadRequest")
		return true
	})
	feed := openFeed(t, c, orders)
	cursor, err := feed.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if warning := feed.Warning(cursor); !strings.Contains(warning, "deletes") {
		t.Errorf("warning %q", warning)
	}
	cloudtest.RunFeed(t, openTable(t, c, orders), func(t *testing.T) cloud.Feed { return openFeed(t, c, orders) },
		cloudtest.FeedShows{})
}

func TestAPlaceThatIsNoLongerRetainedIsAGap(t *testing.T) {
	gone := false
	c := intercepted(t, func(w http.ResponseWriter, r *http.Request) bool {
		if !gone || r.Header.Get("A-IM") != "Full-Fidelity Feed" {
			return false
		}
		refuseWith(w, http.StatusBadRequest, "BadRequest")
		return true
	})
	feed := openFeed(t, c, orders)
	cursor, err := feed.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if warning := feed.Warning(cursor); warning != "" {
		t.Errorf("warning %q", warning)
	}
	gone = true
	if _, err := feed.Read(t.Context(), cursor); !errors.Is(err, proa.ErrFeedGap) {
		t.Errorf("got %v", err)
	}
	other := strings.Replace(cursor, `"resourceId":"`, `"resourceId":"x`, 1)
	if _, err := feed.Read(t.Context(), other); !errors.Is(err, proa.ErrFeedGap) {
		t.Errorf("a cursor of another container: %v", err)
	}
}

// While a partition is split or moved the service answers 410: the feed goes on from its place afterwards.
func TestASplitThatTakesTimeIsNoGap(t *testing.T) {
	t.Parallel()
	for _, sub := range []string{"1002", "1007", "1008"} {
		splitting := false
		c := intercepted(t, func(w http.ResponseWriter, r *http.Request) bool {
			if !splitting || r.Header.Get("A-IM") != "Full-Fidelity Feed" {
				return false
			}
			w.Header().Set("x-ms-substatus", sub)
			refuseWith(w, http.StatusGone, "Gone")
			return true
		})
		c.Timeout = 2 * time.Second // the SDK tries again for long
		feed := openFeed(t, c, orders)
		cursor, err := feed.Now(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		put(t, c, orders, `{"id":"o-1"}`)
		splitting = true
		if _, err := feed.Read(t.Context(), cursor); !errors.Is(err, proa.ErrUnavailable) || errors.Is(err, proa.ErrFeedGap) {
			t.Errorf("410/%s: %v", sub, err)
		}
		splitting = false
		if batch, err := feed.Read(t.Context(), cursor); err != nil || len(batch.Changes) != 1 {
			t.Errorf("after 410/%s: %d changes, %v", sub, len(batch.Changes), err)
		}
	}
}

// What a status says depends on its sub-status.
func TestSubStatusSaysWhatAWriteMet(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		status int
		sub    string
		want   error
	}{
		{http.StatusForbidden, "1014", proa.ErrTooLarge}, // the logical partition is full
		{http.StatusForbidden, "3", proa.ErrUnavailable},
		{http.StatusForbidden, "", proa.ErrUnauthorized},
		{http.StatusNotFound, "1003", proa.ErrNotFound},
		{http.StatusNotFound, "1002", proa.ErrUnavailable},
		{http.StatusGone, "1007", proa.ErrUnavailable},
	} {
		full := false
		c := intercepted(t, func(w http.ResponseWriter, r *http.Request) bool {
			if !full || !strings.HasSuffix(r.URL.Path, "/docs") {
				return false
			}
			w.Header().Set("x-ms-substatus", tt.sub)
			refuseWith(w, tt.status, "Refused")
			return true
		})
		c.Timeout = 2 * time.Second // the SDK tries again for long
		table := openTable(t, c, orders)
		full = true
		item := proa.Item{"id": proa.String("o-1")}
		key, err := orders.KeyOf(item)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = table.Swap(t.Context(), cloud.Row{Key: key}, proa.Image{Item: item})
		if !errors.Is(err, tt.want) {
			t.Errorf("%d/%s: %v, want %v", tt.status, tt.sub, err, tt.want)
		}
	}
}

func TestForeignDocumentsAtNoKeyAreToldAsWhatTheyAre(t *testing.T) {
	c := intercepted(t, func(http.ResponseWriter, *http.Request) bool { return false })
	numbered := proa.Schema{Table: "parts", HashName: "shop", HashKind: proa.KindS, RangeName: "no", RangeKind: proa.KindN}
	createTable(t, c, numbered)
	for _, tt := range []struct {
		name   string
		schema proa.Schema
		doc    string
		fine   string
	}{
		{"an id that nobody escapes so", orders, `{"id":"a~x41","text":"x"}`, `{"id":"fine"}`},
		{"a range key that is no number", numbered, `{"id":"Sabc","shop":"s","text":"x"}`, ""},
		{"a key attribute of another type", numbered, `{"id":"x","shop":7,"text":"x"}`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			feed := openFeed(t, c, tt.schema)
			cursor, err := feed.Now(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			put(t, c, tt.schema, tt.doc)
			if tt.fine != "" {
				put(t, c, tt.schema, tt.fine)
			}
			batch, err := feed.Read(t.Context(), cursor)
			if err != nil || len(batch.Changes) == 0 {
				t.Fatalf("feed: %+v, %v", batch, err)
			}
			if got := batch.Changes[0]; got.New.Malformed == "" || got.New.Item["text"].Str != "x" || got.Position == "" ||
				got.Key.Hash.Kind != proa.KindNone || got.Time.IsZero() {
				t.Errorf("change %+v", got)
			}
			if tt.fine != "" && (len(batch.Changes) != 2 || batch.Changes[1].Key.Hash.Str != "fine") {
				t.Errorf("changes %+v", batch.Changes)
			}
			rows, _, err := openTable(t, c, tt.schema).Scan(t.Context(), "", 10)
			if err != nil || len(rows) != len(batch.Changes)-1 {
				t.Errorf("scan: %+v, %v", rows, err)
			}
		})
	}
}

// put writes a document as it stands.
func put(t *testing.T, c Config, s proa.Schema, doc string) {
	t.Helper()
	container, err := cosmosClient(t, c).NewContainer("proa", s.Table)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal([]byte(doc), &fields); err != nil {
		t.Fatal(err)
	}
	pk := azcosmos.NewPartitionKeyString("")
	switch v := fields[PartitionKeyPath(s)[1:]].(type) {
	case string:
		pk = azcosmos.NewPartitionKeyString(v)
	case float64:
		pk = azcosmos.NewPartitionKeyNumber(v)
	}
	if _, err := container.CreateItem(t.Context(), pk, []byte(doc), nil); err != nil {
		t.Fatal(err)
	}
}
