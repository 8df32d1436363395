package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
)

func TestThePictureHasEighteenBoxesAndTwentyArrowsBetweenThem(t *testing.T) {
	if len(Boxes()) != 18 || len(Arrows()) != 20 {
		t.Fatalf("%d boxes, %d arrows", len(Boxes()), len(Arrows()))
	}
	known := map[string]bool{}
	for _, b := range Boxes() {
		known[b] = true
	}
	for _, a := range Arrows() {
		from, to, _ := strings.Cut(a, ">")
		if !known[from] || !known[to] {
			t.Errorf("arrow %s joins what is no box", a)
		}
	}
}

func TestAQuantileIsOffByAFifthAtMost(t *testing.T) {
	for _, d := range []time.Duration{time.Microsecond, 70 * time.Microsecond, 3 * time.Millisecond, 777 * time.Millisecond, time.Hour} {
		var sum totals
		c := &cell{}
		c.observe(d, false)
		sum.add(c.counts())
		got := *sum.quantile(0.99)
		want := float64(min(max(d, smallest), Bound(bucketCount-2)).Microseconds()) / 1000
		if got < want*0.999 || got > want*1.2 {
			t.Errorf("%s: p99 %.3f ms, want about %.3f", d, got, want)
		}
	}
	if (&totals{}).quantile(0.5) != nil {
		t.Error("nothing was timed, yet there is a median")
	}
}

// A request goes through a gateway, a function in another process and its table; the collector sees the whole way.
func TestATraceCrossesProcesses(t *testing.T) {
	c := NewCollector(time.Now)
	intake := httptest.NewServer(c)
	defer intake.Close()
	cloud, fn := New("cloud-aws", time.Now), New("table-aws", time.Now)

	app := Continue(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, end := fn.Span(r.Context(), LambdaTable)
		end(fmt.Errorf("put: %w", proa.ErrThrottled))
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	function := httptest.NewServer(app)
	defer function.Close()
	gateway := cloud.Handler(PrimaryGateway, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, end := cloud.Span(r.Context(), GatewayLambda)
		out, _ := http.NewRequestWithContext(r.Context(), http.MethodGet, function.URL, http.NoBody)
		out.Header.Set("Traceparent", r.Header.Get("Traceparent"))
		resp, err := http.DefaultClient.Do(out)
		if err == nil {
			resp.Body.Close()
			w.WriteHeader(resp.StatusCode)
		}
		end(err)
	}))
	gateway.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/orders", http.NoBody))
	for _, r := range []*Recorder{cloud, fn} {
		(&Exporter{Recorder: r, URLs: []string{intake.URL}}).Flush(t.Context())
	}

	traces := c.Recent(LambdaTable, 10)
	if len(traces) != 1 || len(traces[0].Spans) != 3 {
		t.Fatalf("traces: %+v", traces)
	}
	for i, want := range []Arrow{PrimaryGateway, GatewayLambda, LambdaTable} {
		if got := traces[0].Spans[i].Arrow; got != want {
			t.Errorf("span %d is %s, want %s", i, got, want)
		}
	}
	if e := traces[0].Spans[2].Error; !strings.Contains(e, "throttled") {
		t.Errorf("the table's error is %q", e)
	}
	stats := c.Read()
	if s := stats[PrimaryGateway]; s.Total != 1 || s.Errors != 1 || s.Last == nil {
		t.Errorf("gateway: %+v", s)
	}
	if s := stats[GatewayLambda]; s.Total != 1 || s.Errors != 0 {
		t.Errorf("lambda: %+v", s)
	}
}

func TestAbsenceAndLostRacesAreNoFailures(t *testing.T) {
	r := New("x", time.Now)
	for _, err := range []error{nil, proa.ErrNotFound, fmt.Errorf("swap: %w", proa.ErrConflict), context.Canceled} {
		r.Observe(LambdaTable, time.Millisecond, err)
	}
	r.Observe(LambdaTable, time.Millisecond, errors.New("boom"))
	if n := r.Report().Cells[LambdaTable]; n.Requests != 5 || n.Errors != 1 {
		t.Errorf("%+v", n)
	}
	var nobody *Recorder
	nobody.Observe(LambdaTable, 0, nil) // must not panic
}

func TestProbesAreNoUsers(t *testing.T) {
	r := New("x", time.Now)
	req := httptest.NewRequest(http.MethodGet, "/healthz", http.NoBody)
	req.Header.Set("User-Agent", ProbeAgent)
	seen := false
	r.Handler(PrimaryGateway, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = IsProbe(r.Context()) })).
		ServeHTTP(httptest.NewRecorder(), req)
	if len(r.Report().Cells) != 0 || !seen {
		t.Error("a probe was counted, or is not known within")
	}
}

func TestFollowedTracesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New("x", time.Now)
		h := r.Handler(PrimaryGateway, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		for range 1000 {
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", http.NoBody))
		}
		forced := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		forced.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
		for range 1000 {
			h.ServeHTTP(httptest.NewRecorder(), forced)
		}
		if n := len(r.Spans()); n != rootsPerSecond+remotePerSecond {
			t.Errorf("%d spans", n)
		}
		if n := r.Report().Cells[PrimaryGateway].Requests; n != 2000 {
			t.Errorf("%d requests counted", n)
		}
	})
}

func TestRatesAreOfTenSecondsAndSurviveARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewCollector(time.Now)
		first, second := New("cloud-aws", time.Now), New("cloud-aws", time.Now)
		for i := range 60 {
			r := first
			if i >= 30 {
				r = second
			}
			r.Count(DynamoDB, 50, 5)
			if err := c.Add(r.Report()); err != nil {
				t.Fatal(err)
			}
			c.Read()
			time.Sleep(500 * time.Millisecond)
		}
		second.Count(DynamoDB, 50, 5)
		_ = c.Add(second.Report())
		s := c.Read()[DynamoDB]
		if s.Total != 61*50 || s.Delta != 50 || s.DeltaErrors != 5 {
			t.Errorf("%+v", s)
		}
		if s.Rate < 95 || s.Rate > 105 || s.ErrorRate < 9 || s.ErrorRate > 11 {
			t.Errorf("rate %.1f, errors %.1f", s.Rate, s.ErrorRate)
		}
	})
}

func TestTheIntakeIsBoundedAndStrict(t *testing.T) {
	c := NewCollector(time.Now)
	for i := range maxSources + 10 {
		err := c.Add(Report{Process: fmt.Sprint("p", i), Incarnation: "1"})
		if (err != nil) != (i >= maxSources) {
			t.Fatalf("process %d: %v", i, err)
		}
	}
	for path, body := range map[string]string{
		CountersPath: `{"process":""}`,
		TracesPath:   strings.Repeat("[", 2<<20),
	} {
		w := httptest.NewRecorder()
		c.ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, strings.NewReader(body)))
		if w.Code != http.StatusBadRequest {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	for i := range maxTraces * 2 {
		spans := make([]Span, maxPerTrace*2)
		for j := range spans {
			spans[j] = Span{Trace: fmt.Sprint(i), Arrow: LambdaTable}
		}
		c.AddSpans(spans)
	}
	if len(c.traces) > maxTraces || len(c.fresh) > maxTraces {
		t.Errorf("%d traces, %d fresh", len(c.traces), len(c.fresh))
	}
	odd := Report{Process: "p0", Incarnation: "1", Cells: map[string]Counts{S3: {Buckets: []uint64{1 << 60, 1, 3}}}}
	if err := c.Add(odd); err != nil {
		t.Fatal(err)
	}
	c.Read() // must not panic
}

func TestMetricsNameBoxesAndArrows(t *testing.T) {
	c := NewCollector(time.Now)
	r := New("node-1", time.Now)
	r.Observe(ReplicationAzure, 3*time.Millisecond, nil)
	if err := c.Add(r.Report()); err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(c)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if len(families) != 3 {
		t.Errorf("%d families: %v", len(families), families)
	}
}

// fakeBucket answers every write with the same outcome.
type fakeBucket struct {
	cloud.PartBucket
	err error
}

func (b fakeBucket) Put(context.Context, string, io.Reader, int64, cloud.PutOptions) (cloud.ObjectInfo, error) {
	return cloud.ObjectInfo{}, b.err
}

func (b fakeBucket) Complete(context.Context, string, string, []cloud.Part, cloud.PutOptions) (cloud.ObjectInfo, error) {
	return cloud.ObjectInfo{}, b.err
}

func (b fakeBucket) Delete(context.Context, string, string) error { return b.err }

func (b fakeBucket) Head(context.Context, string) (cloud.ObjectInfo, error) {
	return cloud.ObjectInfo{}, b.err
}

func TestEachObjectThatReplicationWritesCrossesOnce(t *testing.T) {
	r := New("test", time.Now)
	for _, err := range []error{nil, proa.ErrConflict, proa.ErrUnavailable} {
		b := Copies{PartBucket: fakeBucket{err: err}, Recorder: r, Arrow: ReplicationBlob}
		_, _ = b.Put(t.Context(), "a", strings.NewReader(""), 0, cloud.PutOptions{})
		_, _ = b.Complete(t.Context(), "a", "u", nil, cloud.PutOptions{})
		_ = b.Delete(t.Context(), "a", "")
		_, _ = b.Head(t.Context(), "a")
	}
	if c := r.Report().Cells[ReplicationBlob]; c.Requests != 9 || c.Errors != 3 {
		t.Errorf("9 writes, 3 of them failed, are counted as %d and %d", c.Requests, c.Errors)
	}
}
