package console

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/performance"
	"github.com/chromedp/chromedp"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/console"
	"github.com/proa-cloud/proa/internal/telemetry"
)

// busy is a console over a system that does so many requests a second: real counters and spans, and no clouds.
func busy(t testing.TB, perSecond int) string {
	t.Helper()
	recorder, collector := telemetry.New("node-1", time.Now), telemetry.NewCollector(time.Now)
	ctx, cancel := context.WithCancel(context.Background())
	lag := 18.0
	server, err := console.New(console.Config{
		Listen: "127.0.0.1:0", Token: proa.NewSecret("bench"), API: http.NotFoundHandler(), Collector: collector,
		Dir: t.TempDir(), Clock: time.Now, Logger: slog.New(slog.DiscardHandler),
		Live: func() console.Live {
			return console.Live{
				Node: "node-1", Zone: "orders.proa.test", Primary: proa.AWS, TTLSeconds: 2,
				Plan: proa.Plan{Version: 1, Active: proa.AWS}, Published: console.Published{Version: 1},
				Regions: map[proa.Region]console.Region{
					proa.AWS: {Health: proa.Healthy}, proa.Azure: {Health: proa.Healthy},
				},
				Directions: []console.Direction{
					{From: proa.AWS, Known: true, LagMS: &lag, P50: &lag, P99: &lag}, {From: proa.Azure, Known: true, LagMS: &lag},
				},
				Verified: &console.Verified{Through: time.Now(), Keys: 1000},
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Run(ctx)
	}()
	go feed(ctx, recorder, collector, perSecond)
	t.Cleanup(func() { cancel(); <-done })
	link, err := server.Link()
	if err != nil {
		t.Fatal(err)
	}
	return link
}

// feed makes requests through the whole picture, in ten batches a second.
func feed(ctx context.Context, recorder *telemetry.Recorder, collector *telemetry.Collector, perSecond int) {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for _, arrow := range telemetry.Arrows() {
			for range perSecond / 10 {
				recorder.Observe(arrow, 5*time.Millisecond, nil)
			}
		}
		if n%5 != 0 {
			continue
		}
		_ = collector.Add(recorder.Report())
		for i := range 6 {
			id, at := fmt.Sprintf("%032x", n*10+i), time.Now()
			for j, arrow := range []string{telemetry.PrimaryGateway, telemetry.GatewayLambda, telemetry.LambdaTable} {
				collector.AddSpans([]telemetry.Span{{
					Trace: id, ID: fmt.Sprint(j), Arrow: arrow, Start: at.Add(time.Duration(j) * time.Millisecond), MS: 5,
				}})
			}
		}
	}
}

// cpuOf adds up the processor seconds of Chromium's processes of one kind below the browser of the page.
func cpuOf(kind string, parent int) float64 {
	var ticks float64
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		cmdline, err := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
		if err != nil || !strings.Contains(string(cmdline), "--type="+kind) || !below(path, parent) {
			continue
		}
		data, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
		user, _ := strconv.ParseFloat(fields[11], 64)
		system, _ := strconv.ParseFloat(fields[12], 64)
		ticks += user + system
	}
	return ticks / 100
}

// below reports whether a process descends from another.
func below(stat string, ancestor int) bool {
	for range 10 {
		data, err := os.ReadFile(stat)
		if err != nil {
			return false
		}
		fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
		parent, err := strconv.Atoi(fields[1])
		if err != nil || parent <= 1 {
			return false
		}
		if parent == ancestor {
			return true
		}
		stat = fmt.Sprintf("/proc/%d/stat", parent)
	}
	return false
}

// BenchmarkPage measures the live view at 5,000 requests a second: frames a second, the share of one core that the page's own
// thread is busy (by the wall clock, so that other load on the machine counts too), and that of the renderer's whole process (by the
// processor's clock). Chromium runs headless without a graphics processor, so that
// compositing is done by the processor, in its GPU process; that share is reported apart.
func BenchmarkPage(b *testing.B) {
	needChromium(b)
	page := open(b, busy(b, 5000), 1440, 900)
	page.until(20*time.Second, "the picture", `document.querySelectorAll("[data-box]").length === 18`)
	page.until(20*time.Second, "dots", `document.querySelectorAll(".dot").length > 20`)
	if _, err := chromedp.Call(page.ctx, performance.Enable, performance.EnableParams{}); err != nil {
		b.Fatal(err)
	}
	parent := chromedp.FromContext(page.ctx).Browser.Process().Pid
	const span = 10 * time.Second
	for b.Loop() {
		// The processor first: counting frames makes work of its own.
		before, renderer, gpu := metrics(b, page), cpuOf("renderer", parent), cpuOf("gpu-process", parent)
		time.Sleep(span)
		after := metrics(b, page)
		seconds := after["Timestamp"] - before["Timestamp"]
		b.ReportMetric(100*(after["TaskDuration"]-before["TaskDuration"])/seconds, "%page-thread")
		b.ReportMetric(100*(after["ScriptDuration"]-before["ScriptDuration"])/seconds, "%script")
		b.ReportMetric(100*(cpuOf("renderer", parent)-renderer)/seconds, "%renderer")
		b.ReportMetric(100*(cpuOf("gpu-process", parent)-gpu)/seconds, "%compositing")
		frames := eval[float64](page, fmt.Sprintf(`new Promise((done) => {
			let n = 0; const t0 = performance.now();
			const f = (t) => { n++; t - t0 < %d ? requestAnimationFrame(f) : done(n * 1000 / (t - t0)); };
			requestAnimationFrame(f);
		})`, span.Milliseconds()))
		b.ReportMetric(frames, "frames/s")
		b.ReportMetric(eval[float64](page, `document.querySelectorAll(".dot").length`), "dots")
	}
	page.shot("busy")
}

func metrics(b *testing.B, page *browser) map[string]float64 {
	reply, err := chromedp.Call(page.ctx, performance.GetMetrics, cdp.Empty{})
	if err != nil {
		b.Fatal(err)
	}
	out := map[string]float64{}
	for _, m := range reply.Metrics {
		out[m.Name] = m.Value
	}
	return out
}
