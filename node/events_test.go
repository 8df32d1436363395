package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/aws"
	"github.com/proa-cloud/proa/azure"
	"github.com/proa-cloud/proa/config"
	"github.com/proa-cloud/proa/datasync/bus"
)

// sinkOf opens a subscriber as a node does.
func sinkOf(t *testing.T, s config.Subscriber, endpoint string) (bus.Sink, int) {
	t.Helper()
	a := aws.Config{Endpoint: endpoint, Region: "us-east-1", AccessKeyID: "a", SecretAccessKey: proa.NewSecret("s"), Attempts: 1}
	to, batch, err := sink(t.Context(), Config{Clock: time.Now}, s, a, azure.Config{Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return to, batch
}

func messages(bodies ...string) (list []bus.Message) {
	for i, b := range bodies {
		list = append(list, bus.Message{Offset: uint64(i + 1), ID: fmt.Sprint(i + 1), Type: "cloud.proa.item.deleted", Body: []byte(b)})
	}
	return list
}

func TestEventBridgeGetsABatchAndOnlyWhatItDidNotTakeAgain(t *testing.T) {
	var calls [][]string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Entries []struct{ Detail, DetailType, Source, EventBusName string }
		}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			t.Error(err)
		}
		var details []string
		for _, e := range in.Entries {
			details = append(details, e.Detail)
			if e.Source != "proa" || e.EventBusName != "orders-bus" || e.DetailType != "cloud.proa.item.deleted" {
				t.Errorf("%+v", e)
			}
		}
		calls = append(calls, details)
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		if len(calls) == 1 {
			io.WriteString(w, `{"FailedEntryCount":1,"Entries":[{"EventId":"1"},{"ErrorCode":"ThrottlingException","ErrorMessage":"slow"}]}`)
			return
		}
		io.WriteString(w, `{"FailedEntryCount":0,"Entries":[{"EventId":"2"}]}`)
	}))
	defer server.Close()
	to, batch := sinkOf(t, config.Subscriber{Name: "b", To: "eventbridge", Target: "orders-bus"}, server.URL)
	if batch != 10 {
		t.Errorf("batches of %d", batch)
	}
	if err := to.Send(t.Context(), messages(`{"a":1}`, `{"b":2}`)); err != nil {
		t.Fatal(err)
	}
	if len(calls) != 2 || len(calls[0]) != 2 || len(calls[1]) != 1 || calls[1][0] != `{"b":2}` {
		t.Errorf("%v", calls)
	}
	server.Close()
	if err := to.Send(t.Context(), messages(`{}`)); !errors.Is(err, proa.ErrUnavailable) {
		t.Errorf("nobody listens: %v", err)
	}
}

func TestEventGridGetsABatchWithTheTopicsKey(t *testing.T) {
	status, body, kind, key := http.StatusOK, "", "", ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		body, kind, key = string(b), r.Header.Get("Content-Type"), r.Header.Get("Aeg-Sas-Key")
		w.WriteHeader(status)
	}))
	defer server.Close()
	to, _ := sinkOf(t, config.Subscriber{Name: "g", To: "eventgrid", URL: server.URL + "/api/events", Secret: proa.NewSecret("k")}, "")
	if err := to.Send(t.Context(), messages(`{"a":1}`, `{"b":2}`)); err != nil {
		t.Fatal(err)
	}
	if body != `[{"a":1},{"b":2}]` || kind != "application/cloudevents-batch+json; charset=utf-8" || key != "k" {
		t.Errorf("%s as %s with %q", body, kind, key)
	}
	for code, want := range map[int]error{400: proa.ErrInvalid, 401: proa.ErrUnauthorized, 413: proa.ErrTooLarge, 429: proa.ErrThrottled, 503: proa.ErrUnavailable} {
		status = code
		if err := to.Send(t.Context(), messages(`{}`)); !errors.Is(err, want) {
			t.Errorf("HTTP %d: %v", code, err)
		}
	}
	if err := to.Send(t.Context(), messages(strings.Repeat("x", azure.MaxGridBatch))); !errors.Is(err, proa.ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
}

func TestFunctionsOfBothCloudsGetEvents(t *testing.T) {
	var paths []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		paths = append(paths, r.URL.Path+" "+r.Header.Get("X-Functions-Key"))
		io.WriteString(w, "{}")
	}))
	defer server.Close()
	lambda, _ := sinkOf(t, config.Subscriber{Name: "l", To: "lambda", Target: "audit"}, server.URL)
	functions, _ := sinkOf(t, config.Subscriber{Name: "f", To: "functions", URL: server.URL + "/api/audit", Secret: proa.NewSecret("k")}, "")
	for _, to := range []bus.Sink{lambda, functions} {
		if err := to.Send(context.Background(), messages(`{}`)); err != nil {
			t.Error(err)
		}
	}
	if len(paths) != 2 || paths[0] != "/2015-03-31/functions/audit/invocations " || paths[1] != "/api/audit k" {
		t.Errorf("%q", paths)
	}
}

func TestAKeyIsReadByItsTablesSchema(t *testing.T) {
	n := &node{cfg: config.Config{Tables: []config.Table{
		{Name: "s", Hash: config.KeyAttribute{Name: "id", Type: "S"}},
		{Name: "nb", Hash: config.KeyAttribute{Name: "id", Type: "N"}, Range: config.KeyAttribute{Name: "r", Type: "B"}},
	}}}
	for _, tc := range []struct {
		in   KeyRequest
		want string
		err  error
	}{
		{in: KeyRequest{Table: "s", Hash: "a"}, want: "s/a"},
		{in: KeyRequest{Table: "nb", Hash: "07.50", Range: "AP8"}, want: "nb/7.5/AP8"},
		{in: KeyRequest{Table: "s"}, err: proa.ErrInvalid},
		{in: KeyRequest{Table: "s", Hash: "a", Range: "b"}, err: proa.ErrInvalid},
		{in: KeyRequest{Table: "nb", Hash: "x", Range: "AP8"}, err: proa.ErrInvalid},
		{in: KeyRequest{Table: "nb", Hash: "1", Range: "!"}, err: proa.ErrInvalid},
		{in: KeyRequest{Table: "other", Hash: "1"}, err: proa.ErrNotFound},
	} {
		k, err := n.key(tc.in)
		if !errors.Is(err, tc.err) || err == nil && k.String() != tc.want {
			t.Errorf("%+v: %s, %v", tc.in, k, err)
		}
	}
}

// A former owner keeps the dead letters of its tenure: those of all nodes are listed and sent again.
func TestDeadLettersOfAllNodesAreJoined(t *testing.T) {
	for _, pattern := range forOwner {
		if strings.Contains(pattern, "/dead") || strings.Contains(pattern, "/redeliver") {
			t.Errorf("%s is asked of the owner only", pattern)
		}
	}
	letter := func(node string, offset uint64, second int64) DeadLetter {
		return DeadLetter{Node: node, DeadLetter: bus.DeadLetter{Offset: offset, At: time.Unix(second, 0)}}
	}
	list := buried([]said[DeadReply]{
		{"node-1", DeadReply{Dead: []DeadLetter{letter("node-1", 1, 5), letter("node-1", 2, 9)}}},
		{"node-2", DeadReply{}},
		{"node-3", DeadReply{Dead: []DeadLetter{letter("node-3", 1, 2), letter("node-3", 7, 7)}}},
	}, 3)
	var got []string
	for _, l := range list {
		got = append(got, fmt.Sprint(l.Node, "/", l.Offset))
	}
	if diff := cmp.Diff([]string{"node-3/1", "node-1/1", "node-3/7"}, got); diff != "" {
		t.Error(diff)
	}
}
