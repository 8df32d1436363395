package orders

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud/cloudtest"
	"github.com/proa-cloud/proa/function"
)

// rig is the application on a table and a bucket in memory.
type rig struct {
	t       *testing.T
	handler http.Handler
	table   *cloudtest.Table
	bucket  *cloudtest.Bucket
}

func newRig(t *testing.T) rig {
	t.Helper()
	table, bucket := cloudtest.NewTable(Schema()), cloudtest.NewBucket()
	handler := Handler(function.NewTable(table, proa.Azure), bucket, proa.Azure, slog.New(slog.DiscardHandler))
	return rig{t: t, handler: handler, table: table, bucket: bucket}
}

func (r rig) do(method, path, body string, header ...string) *httptest.ResponseRecorder {
	r.t.Helper()
	req := httptest.NewRequest(method, path, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	r.handler.ServeHTTP(w, req)
	if got := w.Header().Get("X-Served-By"); got != "azure" {
		r.t.Errorf("%s %s: X-Served-By is %q", method, path, got)
	}
	return w
}

func (r rig) want(w *httptest.ResponseRecorder, status int, body string) {
	r.t.Helper()
	if w.Code != status || body != "" && strings.TrimSpace(w.Body.String()) != body {
		r.t.Errorf("got %d %s\nwant %d %s", w.Code, w.Body, status, body)
	}
}

const mergePatch = "application/merge-patch+json"

func TestAnOrdersLife(t *testing.T) {
	r := newRig(t)
	w := r.do("POST", "/orders", `{"id":"o-1","price":19.90,"big":123456789012345678901234567890,"tags":["a",null]}`)
	r.want(w, 201, `{"big":123456789012345678901234567890,"id":"o-1","price":19.9,"tags":["a",null]}`)
	created := w.Header().Get("ETag")
	if w.Header().Get("Location") != "/orders/o-1" || created == "" {
		t.Errorf("headers %v", w.Header())
	}
	r.want(r.do("POST", "/orders", `{"id":"o-1"}`), 409, "")
	w = r.do("GET", "/orders/o-1", "")
	r.want(w, 200, `{"big":123456789012345678901234567890,"id":"o-1","price":19.9,"tags":["a",null]}`)
	if w.Header().Get("ETag") != created || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("headers %v, want ETag %s", w.Header(), created)
	}
	r.want(r.do("GET", "/orders/o-1", "", "If-None-Match", created), 304, "")
	r.want(r.do("HEAD", "/orders/o-1", ""), 200, "")
	w = r.do("PATCH", "/orders/o-1", `{"price":null,"at":{"x":1,"y":null}}`, "Content-Type", mergePatch, "If-Match", created)
	r.want(w, 200, `{"at":{"x":1},"big":123456789012345678901234567890,"id":"o-1","tags":["a",null]}`)
	r.want(r.do("PATCH", "/orders/o-1", `{}`, "Content-Type", mergePatch, "If-Match", created), 412, "")
	r.want(r.do("DELETE", "/orders/o-1", "", "If-Match", created), 412, "")
	r.want(r.do("DELETE", "/orders/o-1", "", "If-Match", `"x", `+w.Header().Get("ETag")), 204, "")
	r.want(r.do("GET", "/orders/o-1", ""), 404, `{"code":"not_found","error":"there is no such order or attachment"}`)
	r.want(r.do("DELETE", "/orders/o-1", ""), 204, "")
	r.want(r.do("PATCH", "/orders/o-1", `{}`, "Content-Type", mergePatch), 404, "")
}

func TestBadRequestsSayWhatIsWrong(t *testing.T) {
	r := newRig(t)
	for _, c := range []struct {
		method, path, body string
		status             int
		message            string
	}{
		{"POST", "/orders", "{\n \"a\": x}", 400, "malformed JSON at line 2, column 7"},
		{"POST", "/orders", ``, 400, "malformed JSON"},
		{"POST", "/orders", `[1]`, 400, "want a JSON object"},
		{"POST", "/orders", `{"n":1e999}`, 400, ".n: number"},
		{"POST", "/orders", `{"id":7}`, 400, badID},
		{"POST", "/orders", `{"id":"a/b"}`, 400, badID},
		{"POST", "/orders", `{"id":".."}`, 400, badID},
		{"POST", "/orders", `{"_proa":{}}`, 400, "reserved"},
		{"POST", "/orders", `{"":1}`, 400, "name"},
		{"POST", "/orders", `{"x":"` + strings.Repeat("x", MaxOrder) + `"}`, 413, "262144 bytes"},
		{"GET", "/orders/a%20b", "", 400, badID},
		{"GET", "/orders?limit=0", "", 400, "1 to 100"},
		{"GET", "/orders?limit=x", "", 400, "1 to 100"},
		{"GET", "/orders?cursor=!", "", 400, "cursor"},
		{"PUT", "/orders", "", 405, "PUT is not allowed"},
		{"GET", "/nowhere", "", 404, "nothing at /nowhere"},
		{"PUT", "/orders/none/attachment", "x", 404, ""},
		{"GET", "/orders/none/attachment", "", 404, ""},
	} {
		w := r.do(c.method, c.path, c.body)
		var p problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != c.status || !strings.Contains(p.Message, c.message) {
			t.Errorf("%s %s %.40s: got %d %s", c.method, c.path, c.body, w.Code, w.Body)
		}
	}
	if allow := r.do("PUT", "/orders", "").Header().Get("Allow"); allow != "GET, HEAD, POST" {
		t.Errorf("Allow: %s", allow)
	}
	r.do("POST", "/orders", `{"id":"1"}`)
	r.want(r.do("PATCH", "/orders/1", `{"id":"2"}`, "Content-Type", mergePatch), 400, "")
	r.want(r.do("PATCH", "/orders/1", `{"id":null}`, "Content-Type", mergePatch), 400, "")
	r.want(r.do("PATCH", "/orders/1", `[]`, "Content-Type", "application/json-patch+json"), 415, "")
	r.want(r.do("PATCH", "/orders/1", `{"a":1}`, "Content-Type", "application/x-www-form-urlencoded"), 200, `{"a":1,"id":"1"}`)
}

func TestListingPagesThroughEveryOrder(t *testing.T) {
	r := newRig(t)
	want := map[string]bool{}
	for range 25 {
		var o struct{ ID string }
		if err := json.Unmarshal(r.do("POST", "/orders", `{}`).Body.Bytes(), &o); err != nil || len(o.ID) != 26 {
			t.Fatalf("generated id %q: %v", o.ID, err)
		}
		want[o.ID] = true
	}
	got := map[string]bool{}
	for cursor := ""; ; {
		var page struct {
			Orders []struct{ ID string }
			Next   *string
		}
		w := r.do("GET", "/orders?limit=7&cursor="+cursor, "")
		if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil || w.Code != 200 || len(page.Orders) > 7 {
			t.Fatalf("got %d %s: %v", w.Code, w.Body, err)
		}
		for _, o := range page.Orders {
			got[o.ID] = true
		}
		if page.Next == nil {
			break
		}
		cursor = *page.Next
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	r = newRig(t)
	r.want(r.do("GET", "/orders", ""), 200, `{"orders":[],"next":null}`)
}

func TestGeneratedIDsSortByTime(t *testing.T) {
	last := ""
	for ms := range 100 {
		id := newID(time.UnixMilli(int64(1_700_000_000_000 + ms)))
		if id <= last || !validID(id) {
			t.Fatalf("%s after %s", id, last)
		}
		last = id
	}
}

func TestAttachmentsAreKeptAsTheyAre(t *testing.T) {
	r := newRig(t)
	r.do("POST", "/orders", `{"id":"1"}`)
	const sum = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881" // SHA-256 of "x"
	w := r.do("PUT", "/orders/1/attachment", "x", "Content-Type", "image/svg+xml; charset=x")
	r.want(w, 200, `{"content_type":"image/svg+xml; charset=x","id":"1","sha256":"`+sum+`","size":1}`)
	for _, method := range []string{"GET", "HEAD"} {
		w = r.do(method, "/orders/1/attachment", "")
		h := w.Header()
		if w.Code != 200 || h.Get("ETag") != `"`+sum+`"` || h.Get("Content-Type") != "image/svg+xml; charset=x" ||
			h.Get("Content-Length") != "1" || h.Get("Repr-Digest") != "sha-256=:LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE=:" ||
			method == "GET" && w.Body.String() != "x" {
			t.Errorf("%s: %d %v %q", method, w.Code, h, w.Body)
		}
	}
	r.want(r.do("GET", "/orders/1/attachment", "", "If-None-Match", `"`+sum+`"`), 304, "")
	r.want(r.do("PUT", "/orders/1/attachment", "y", "If-None-Match", "*"), 412, "")
	r.want(r.do("PUT", "/orders/1/attachment", "y", "If-Match", `"other"`), 412, "")
	r.want(r.do("PUT", "/orders/1/attachment", "y", "If-Match", `"`+sum+`"`), 200, "")
	r.want(r.do("DELETE", "/orders/1/attachment", ""), 204, "")
	r.want(r.do("HEAD", "/orders/1/attachment", ""), 404, "")
	r.do("PUT", "/orders/1/attachment", "z")
	r.want(r.do("DELETE", "/orders/1", ""), 204, "")
	r.want(r.do("GET", "/orders/1/attachment", ""), 404, "")
}

func TestAttachmentsBeyondTheGatewaysAreRefused(t *testing.T) {
	r := newRig(t)
	r.do("POST", "/orders", `{"id":"1"}`)
	largest := strings.Repeat("x", MaxAttachment)
	r.want(r.do("PUT", "/orders/1/attachment", largest), 200, "")
	if w := r.do("GET", "/orders/1/attachment", ""); w.Body.Len() != MaxAttachment {
		t.Errorf("got %d bytes", w.Body.Len())
	}
	w := r.do("PUT", "/orders/1/attachment", largest+"x")
	r.want(w, 413, "")
	if !strings.Contains(w.Body.String(), "4600000 bytes") {
		t.Errorf("got %s", w.Body)
	}
	req := httptest.NewRequest("PUT", "/orders/1/attachment", io.MultiReader(strings.NewReader(largest+"x")))
	req.ContentLength = -1
	chunked := httptest.NewRecorder()
	r.handler.ServeHTTP(chunked, req)
	r.want(chunked, 413, "")
}

func TestTheStoresErrorsBecomeStatuses(t *testing.T) {
	r := newRig(t)
	for cause, want := range map[error]int{
		proa.ErrUnavailable: 503, proa.ErrFenced: 421, proa.ErrThrottled: 429, proa.ErrInvalid: 400, proa.ErrTooLarge: 413,
		proa.ErrUnauthorized: 500, errors.New("a surprise with a secret"): 500,
	} {
		r.table.Fail = func(string) error { return fmt.Errorf("cause: %w", cause) }
		for _, w := range []*httptest.ResponseRecorder{
			r.do("GET", "/orders/1", ""), r.do("POST", "/orders", "{}"), r.do("GET", "/orders", ""), r.do("DELETE", "/orders/1", ""),
		} {
			if w.Code != want || strings.Contains(w.Body.String(), "cause") || strings.Contains(w.Body.String(), "secret") {
				t.Errorf("%v: got %d %s", cause, w.Code, w.Body)
			}
		}
	}
}

func TestHealthFollowsTheTable(t *testing.T) {
	r := newRig(t)
	r.want(r.do("GET", "/healthz", ""), 200, `{"region":"azure","status":"ok"}`)
	r.table.Fail = func(string) error { return proa.ErrUnavailable }
	r.want(r.do("GET", "/healthz", ""), 503,
		`{"error":"the region's table cannot be read","region":"azure","status":"unavailable"}`)
}

// TestMergePatchOfTheRFC are the examples of RFC 7396, appendix A, whose patch and target are objects.
func TestMergePatchOfTheRFC(t *testing.T) {
	for _, c := range [][3]string{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`{"e":null}`, `{"a":1}`, `{"a":1,"e":null}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
	} {
		target, err1 := function.FromJSON([]byte(c[0]))
		patch, err2 := function.FromJSON([]byte(c[1]))
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		if got := string(function.AppendJSON(nil, merge(target, patch))); got != c[2] {
			t.Errorf("%s patched by %s: got %s, want %s", c[0], c[1], got, c[2])
		}
	}
}

func FuzzCreateNeverPanics(f *testing.F) {
	f.Add([]byte(`{"id":"1","a":[{"b":1e-3}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r := newRig(t)
		req := httptest.NewRequest("POST", "/orders", bytes.NewReader(body))
		w := httptest.NewRecorder()
		r.handler.ServeHTTP(w, req)
		if w.Code >= 500 {
			t.Fatalf("%q: %d %s", body, w.Code, w.Body)
		}
	})
}
