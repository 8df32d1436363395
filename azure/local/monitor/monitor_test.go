package monitor_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"github.com/proa-cloud/proa/azure/local/monitor"
)

const subscription = "00000000-0000-0000-0000-000000000000"

func open(t *testing.T, fs vfs.FS, clock func() time.Time) *monitor.Server {
	t.Helper()
	s, err := monitor.New(monitor.Config{
		Dir: "/monitor", FS: fs, Clock: clock, Subscription: subscription, ResourceGroup: "proa",
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func run(t *testing.T, s *monitor.Server) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func get(t *testing.T, s *monitor.Server, path string, query url.Values, into any) int {
	t.Helper()
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path+"?"+query.Encode(), http.NoBody))
	if err := json.Unmarshal(w.Body.Bytes(), into); err != nil {
		t.Fatal(err)
	}
	return w.Code
}

type alerts struct {
	Value []struct {
		ID, Name   string
		Properties struct {
			Essentials struct {
				AlertRule, MonitorCondition, Severity, Description string
				StartDateTime                                      time.Time
				MonitorConditionResolvedDateTime                   time.Time
			}
		}
	}
}

func alertsOf(t *testing.T, s *monitor.Server, rule string) alerts {
	t.Helper()
	var got alerts
	status := get(t, s, "/subscriptions/"+subscription+"/providers/Microsoft.AlertsManagement/alerts",
		url.Values{"api-version": {"2019-05-05-preview"}, "alertRule": {rule}}, &got)
	if status != http.StatusOK {
		t.Fatalf("answered %d", status)
	}
	return got
}

// await waits until the latest alert of the rule is in a condition.
func await(t *testing.T, s *monitor.Server, rule, condition string) alerts {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		got := alertsOf(t, s, rule)
		if len(got.Value) > 0 && got.Value[0].Properties.Essentials.MonitorCondition == condition {
			return got
		}
		if time.Now().After(deadline) {
			t.Fatalf("the alert does not become %s: %+v", condition, got)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestAnAvailabilityTestFiresAndResolves(t *testing.T) {
	var down atomic.Bool
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer target.Close()
	s := open(t, vfs.NewMem(), time.Now)
	defer s.Close()
	s.SetRules(monitor.Rules{Tests: []monitor.Test{{
		Name: "up", Resource: s.ResourceID("Microsoft.Insights/components", "x"), URL: target.URL,
		Every: time.Millisecond, Timeout: time.Second, Failures: 2, Successes: 2, Severity: 1,
	}}})
	defer run(t, s)()
	down.Store(true)
	fired := await(t, s, "up", "Fired").Value[0]
	e := fired.Properties.Essentials
	if e.Severity != "Sev1" || !strings.Contains(e.Description, "503") || e.StartDateTime.IsZero() ||
		!strings.HasSuffix(e.AlertRule, "/metricAlerts/up") {
		t.Errorf("the alert is %+v", fired)
	}
	down.Store(false)
	if got := await(t, s, e.AlertRule, "Resolved"); len(got.Value) != 1 ||
		got.Value[0].Properties.Essentials.MonitorConditionResolvedDateTime.IsZero() {
		t.Errorf("resolved: %+v", got)
	}
	down.Store(true)
	if await(t, s, "up", "Fired"); len(alertsOf(t, s, "up").Value) != 2 {
		t.Error("a rule that fires again makes no second alert")
	}
}

func TestAFiredAlertOutlivesACrashAndIsResolvedAfterIt(t *testing.T) {
	var down atomic.Bool
	down.Store(true)
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if down.Load() {
			w.WriteHeader(http.StatusBadGateway)
		}
	}))
	defer target.Close()
	fs := vfs.NewCrashableMem()
	if err := fs.MkdirAll("/monitor", 0o700); err != nil {
		t.Fatal(err)
	}
	root, err := fs.OpenDir("/")
	if err != nil {
		t.Fatal(err)
	}
	if err := root.Sync(); err != nil {
		t.Fatal(err)
	}
	first := open(t, fs, time.Now)
	rules := monitor.Rules{Tests: []monitor.Test{{
		Name: "up", URL: target.URL, Resource: first.ResourceID("a/b", "c"),
		Every: time.Millisecond, Timeout: time.Second, Failures: 1, Successes: 1,
	}}}
	first.SetRules(rules)
	stop := run(t, first)
	await(t, first, "up", "Fired")
	crashed := fs.CrashClone(vfs.CrashCloneCfg{})
	stop()
	first.Close()
	second := open(t, crashed, time.Now)
	defer second.Close()
	if got := alertsOf(t, second, "up"); len(got.Value) != 1 ||
		got.Value[0].Properties.Essentials.MonitorCondition != "Fired" {
		t.Fatalf("after the crash: %+v", got)
	}
	down.Store(false)
	second.SetRules(rules)
	defer run(t, second)()
	if got := await(t, second, "up", "Resolved"); len(got.Value) != 1 {
		t.Errorf("resolved: %+v", got)
	}
}

func TestAMetricAlertFollowsItsThreshold(t *testing.T) {
	s := open(t, vfs.NewMem(), time.Now)
	defer s.Close()
	gateway := s.ResourceID("Microsoft.ApiManagement/service", "g")
	s.SetRules(monitor.Rules{Metrics: []monitor.MetricRule{{
		Name: "5xx", Resource: gateway, Metric: "Requests", Dimension: "GatewayResponseCodeCategory=5xx",
		Aggregation: "Total", Operator: "GreaterThan", Threshold: 2, Window: time.Minute,
		Every: time.Millisecond,
	}}})
	defer run(t, s)()
	for range 10 {
		s.Record(gateway, "Requests", 1, "GatewayResponseCodeCategory", "2xx")
	}
	if got := alertsOf(t, s, "5xx"); len(got.Value) != 0 {
		t.Fatalf("fired on good requests: %+v", got)
	}
	for range 3 {
		s.Record(gateway, "Requests", 1, "GatewayResponseCodeCategory", "5xx")
	}
	got := await(t, s, "5xx", "Fired")
	if want := "Total Requests of the last 1m0s is 3"; got.Value[0].Properties.Essentials.Description != want {
		t.Errorf("says %q", got.Value[0].Properties.Essentials.Description)
	}
}

func TestMetricsAreReadInTheVendorsForm(t *testing.T) {
	at := time.Date(2026, 11, 24, 10, 2, 30, 0, time.UTC)
	s := open(t, vfs.NewMem(), func() time.Time { return at })
	defer s.Close()
	gateway := s.ResourceID("Microsoft.ApiManagement/service", "g")
	for _, ms := range []float64{10, 30} {
		s.Record(gateway, "Duration", ms, "ApiId", "a")
	}
	s.Record(gateway, "Duration", 200, "ApiId", "b")
	at = at.Add(time.Minute)
	s.Record(gateway, "Duration", 8, "ApiId", "a")
	var got struct {
		Namespace, Interval string
		Value               []struct {
			ID, Unit   string
			Name       struct{ Value string }
			Timeseries []struct{ Data []map[string]any }
		}
	}
	status := get(t, s, gateway+"/providers/microsoft.insights/metrics", url.Values{
		"api-version": {"2018-01-01"}, "metricnames": {"Duration"}, "interval": {"PT1M"},
		"timespan":    {"2026-11-24T10:01:00Z/2026-11-24T10:04:00Z"},
		"aggregation": {"Average,Maximum,Count"}, "$filter": {"ApiId eq 'a'"},
	}, &got)
	if status != http.StatusOK || len(got.Value) != 1 || got.Namespace != "Microsoft.ApiManagement/service" {
		t.Fatalf("answered %d %+v", status, got)
	}
	want := []map[string]any{
		{"timeStamp": "2026-11-24T10:01:00Z", "count": 0.0},
		{"timeStamp": "2026-11-24T10:02:00Z", "average": 20.0, "maximum": 30.0, "count": 2.0},
		{"timeStamp": "2026-11-24T10:03:00Z", "average": 8.0, "maximum": 8.0, "count": 1.0},
	}
	if diff := cmp.Diff(want, got.Value[0].Timeseries[0].Data); diff != "" {
		t.Error(diff)
	}
}

func TestBadReadsAreRefusedAsResourceManagerDoes(t *testing.T) {
	s := open(t, vfs.NewMem(), time.Now)
	defer s.Close()
	at := s.ResourceID("a/b", "c") + "/providers/microsoft.insights/metrics"
	version := url.Values{"api-version": {"2018-01-01"}}
	with := func(name, value string) url.Values {
		return url.Values{"api-version": {"2018-01-01"}, "metricnames": {"Requests"}, name: {value}}
	}
	for _, tc := range []struct {
		path   string
		query  url.Values
		status int
		code   string
	}{
		{at, nil, 400, "MissingApiVersionParameter"},
		{at, version, 400, "BadRequest"},
		{at, with("interval", "PT7M"), 400, "BadRequest"},
		{at, with("timespan", "yesterday"), 400, "BadRequest"},
		{at, with("aggregation", "Median"), 400, "BadRequest"},
		{at, with("$filter", "x > 1"), 400, "BadRequest"},
		{"/subscriptions/other/providers/Microsoft.AlertsManagement/alerts", version, 404, "SubscriptionNotFound"},
		{"/subscriptions/" + subscription + "/providers/x", version, 404, "InvalidResourceType"},
		{"/subscriptions/" + subscription + "/providers/Microsoft.AlertsManagement/alerts/none", version, 404, "NotFound"},
	} {
		var got struct{ Error struct{ Code string } }
		if status := get(t, s, tc.path, tc.query, &got); status != tc.status || got.Error.Code != tc.code {
			t.Errorf("%s?%s is answered %d %s, want %d %s", tc.path, tc.query.Encode(), status,
				got.Error.Code, tc.status, tc.code)
		}
	}
}

func TestSeriesAreBounded(t *testing.T) {
	s := open(t, vfs.NewMem(), time.Now)
	defer s.Close()
	for i := range 100_000 {
		s.Record("r", "Requests", 1, "ApiId", strings.Repeat("x", i%3000))
	}
	var got struct {
		Value []struct {
			Timeseries []struct{ Data []map[string]any }
		}
	}
	get(t, s, s.ResourceID("a/b", "c")+"/providers/microsoft.insights/metrics",
		url.Values{"api-version": {"2018-01-01"}, "metricnames": {"Requests"}}, &got)
	if len(got.Value) != 1 {
		t.Errorf("the store does not answer any more: %+v", got)
	}
}
