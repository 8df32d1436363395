package eventbridge_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/proa-cloud/proa/aws/local/eventbridge"
	"github.com/proa-cloud/proa/aws/local/lambda"
)

const function = "arn:aws:lambda:us-east-1:000000000000:function:f"

type fakeFunctions struct {
	mu    sync.Mutex
	calls []lambda.Call
	deny  bool
}

func (f *fakeFunctions) InvokeAsync(call lambda.Call) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, call)
	return nil
}

func (f *fakeFunctions) Allows(_, service, source string) bool {
	return !f.deny && service == "events.amazonaws.com" && strings.Contains(source, ":rule/")
}

type harness struct {
	functions *fakeFunctions
	server    *eventbridge.Server
	client    *sdk.Client
	dir       string
	close     func()
}

func start(t *testing.T) *harness { return open(t, t.TempDir()) }

func open(t *testing.T, dir string) *harness {
	t.Helper()
	h := &harness{functions: &fakeFunctions{}, dir: dir}
	var err error
	h.server, err = eventbridge.New(eventbridge.Config{
		Dir: dir, Clock: time.Now, Logger: slog.New(slog.DiscardHandler),
		AccountID: "000000000000", Region: "us-east-1", Functions: h.functions,
	})
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(h.server)
	h.close = sync.OnceFunc(func() {
		front.Close()
		if err := h.server.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(h.close)
	h.client = sdk.New(sdk.Options{
		Region: "us-east-1", BaseEndpoint: &front.URL, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
	})
	return h
}

func entry(source, kind, detail string) types.PutEventsRequestEntry {
	return types.PutEventsRequestEntry{Source: &source, DetailType: &kind, Detail: &detail}
}

func (h *harness) put(t *testing.T, entries ...types.PutEventsRequestEntry) *sdk.PutEventsOutput {
	t.Helper()
	out, err := h.client.PutEvents(t.Context(), &sdk.PutEventsInput{Entries: entries})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (h *harness) last(t *testing.T, limit int) []string {
	t.Helper()
	events, err := h.server.Last(limit)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]string, len(events))
	for i, e := range events {
		out[i] = e.Source + string(e.Detail)
	}
	return out
}

func TestEventsAreKeptInOrderAndSurviveARestart(t *testing.T) {
	h := start(t)
	h.put(t, entry("a", "t", `{"n":1}`), entry("a", "t", `{"n":2}`))
	h.close()
	h = open(t, h.dir)
	h.put(t, entry("b", "t", `{"n":3}`))
	if diff := cmp.Diff([]string{`a{"n":1}`, `a{"n":2}`, `b{"n":3}`}, h.last(t, 10)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{`b{"n":3}`}, h.last(t, 1)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestOldEventsMakeRoom(t *testing.T) {
	h := start(t)
	batch := make([]types.PutEventsRequestEntry, 10)
	for n := range 1001 {
		for i := range batch {
			batch[i] = entry("s", "t", fmt.Sprintf(`{"n":%d}`, n*10+i))
		}
		h.put(t, batch...)
	}
	kept := h.last(t, 20_000)
	if len(kept) != 10_000 || kept[0] != `s{"n":10}` || kept[9_999] != `s{"n":10009}` {
		t.Errorf("%d kept, from %s to %s", len(kept), kept[0], kept[len(kept)-1])
	}
}

func TestBadEntriesAreRefusedOneByOne(t *testing.T) {
	h := start(t)
	other := entry("a", "t", "{}")
	other.EventBusName = aws.String("other")
	out := h.put(t, entry("a", "t", `{}`), entry("", "t", `{}`), entry("aws.s3", "t", `{}`),
		entry("a", "", `{}`), entry("a", "t", `[]`), entry("a", "t", ``), other)
	var codes []string
	for _, e := range out.Entries {
		codes = append(codes, aws.ToString(e.ErrorCode))
	}
	want := []string{
		"", "InvalidArgument", "NotAuthorizedForSourceException", "InvalidArgument", "MalformedDetail",
		"InvalidArgument", "ResourceNotFoundException",
	}
	if diff := cmp.Diff(want, codes); diff != "" || out.FailedEntryCount != 6 {
		t.Errorf("%d failed (-want +got):\n%s", out.FailedEntryCount, diff)
	}
	_, err := h.client.PutEvents(t.Context(), &sdk.PutEventsInput{
		Entries: []types.PutEventsRequestEntry{entry("a", "t", `{"x":"`+strings.Repeat("x", 1<<20)+`"}`)},
	})
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != "ValidationException" {
		t.Errorf("too large: %v", err)
	}
}

func TestRulesDeliverMatchingEventsToFunctions(t *testing.T) {
	h := start(t)
	ctx := t.Context()
	if _, err := h.client.PutRule(ctx, &sdk.PutRuleInput{
		Name: aws.String("r"), EventPattern: aws.String(`{"source":["orders"],"detail":{"state":["paid"]}}`),
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.client.PutTargets(ctx, &sdk.PutTargetsInput{
		Rule: aws.String("r"), Targets: []types.Target{{Id: aws.String("1"), Arn: aws.String(function)}},
	}); err != nil {
		t.Fatal(err)
	}
	h.close()
	h = open(t, h.dir)
	h.put(t, entry("orders", "t", `{"state":"paid"}`), entry("orders", "t", `{"state":"new"}`),
		entry("other", "t", `{"state":"paid"}`))
	if len(h.functions.calls) != 1 {
		t.Fatalf("%d deliveries", len(h.functions.calls))
	}
	var event eventbridge.Event
	call := h.functions.calls[0]
	if err := json.Unmarshal(call.Payload, &event); err != nil || call.Function != function ||
		event.Source != "orders" || event.Account != "000000000000" || event.Version != "0" {
		t.Errorf("delivered %s: %s", call.Function, call.Payload)
	}
	if _, err := h.client.DisableRule(ctx, &sdk.DisableRuleInput{Name: aws.String("r")}); err != nil {
		t.Fatal(err)
	}
	h.put(t, entry("orders", "t", `{"state":"paid"}`))
	if len(h.functions.calls) != 1 {
		t.Error("a disabled rule delivers")
	}
	_, err := h.client.DeleteRule(ctx, &sdk.DeleteRuleInput{Name: aws.String("r")})
	if err == nil {
		t.Error("a rule with targets was deleted")
	}
}

func TestPatterns(t *testing.T) {
	h := start(t)
	event := `{"source":"a.b","n":5,"list":["x","y"],"deep":{"k":"Value"},"none":null}`
	for pattern, want := range map[string]bool{
		`{"source":["a.b"]}`:                          true,
		`{"source":["c",{"prefix":"a."}]}`:            true,
		`{"source":[{"suffix":".c"}]}`:                false,
		`{"n":[5]}`:                                   true,
		`{"n":[{"numeric":[">",0,"<=",5]}]}`:          true,
		`{"n":[{"numeric":["<",5]}]}`:                 false,
		`{"list":["y"]}`:                              true,
		`{"list":[{"anything-but":["x","y"]}]}`:       false,
		`{"deep":{"k":[{"equals-ignore-case":"v"}]}}`: false,
		`{"deep":{"k":["Value"]}}`:                    true,
		`{"deep":{"other":[{"exists":false}]}}`:       true,
		`{"missing":{"x":["y"]}}`:                     false,
		`{"missing":[{"exists":false}]}`:              true,
		`{"none":[null]}`:                             true,
	} {
		out, err := h.client.TestEventPattern(t.Context(), &sdk.TestEventPatternInput{
			Event: &event, EventPattern: &pattern,
		})
		if err != nil || out.Result != want {
			t.Errorf("%s: %v, %v", pattern, out, err)
		}
	}
	for _, pattern := range []string{`{`, `{}`, `{"a":"b"}`, `{"a":[]}`, `{"a":[{"magic":1}]}`} {
		_, err := h.client.TestEventPattern(t.Context(), &sdk.TestEventPatternInput{
			Event: &event, EventPattern: &pattern,
		})
		var invalid *types.InvalidEventPatternException
		if !errors.As(err, &invalid) {
			t.Errorf("%s: %v", pattern, err)
		}
	}
}

func TestBusesAndUnknownOperations(t *testing.T) {
	h := start(t)
	buses, err := h.client.ListEventBuses(t.Context(), &sdk.ListEventBusesInput{})
	if err != nil || len(buses.EventBuses) != 1 || *buses.EventBuses[0].Name != "default" {
		t.Error(buses, err)
	}
	_, err = h.client.DescribeEventBus(t.Context(), &sdk.DescribeEventBusInput{Name: aws.String("x")})
	var missing *types.ResourceNotFoundException
	if !errors.As(err, &missing) {
		t.Errorf("got %v", err)
	}
	_, err = h.client.ListArchives(t.Context(), &sdk.ListArchivesInput{})
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != "UnknownOperationException" {
		t.Errorf("got %v", err)
	}
}
