package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/proa-cloud/proa"
)

// Paths of a node's collector below its control API. Traces are OTLP/HTTP in JSON, so that any collector takes them too.
const (
	CountersPath = "/v1/counters"
	TracesPath   = "/v1/traces"
)

// Variables by which a function finds the nodes' collectors.
const (
	EnvURLs  = "PROA_TELEMETRY_URLS" // base URLs, separated by commas
	EnvToken = "PROA_TELEMETRY_TOKEN"
	// EnvOTLP is OpenTelemetry's own: another collector that gets the spans as well.
	EnvOTLP = "OTEL_EXPORTER_OTLP_ENDPOINT"
)

// Exporter sends what a recorder holds to every node. It drops what nobody takes: counters are totals, so that the next report
// carries them; spans are samples.
type Exporter struct {
	Recorder *Recorder
	// URLs are the nodes' base URLs; none sends nothing.
	URLs  []string
	Token proa.Secret
	// OTLP is the base URL of another collector for spans, "" for none.
	OTLP string
	// Every lies between two reports; 0 is 500 ms.
	Every time.Duration

	once   sync.Once
	client *http.Client
}

const (
	exportEvery   = 500 * time.Millisecond
	exportTimeout = 400 * time.Millisecond
	maxTargets    = 8
)

// FromEnvironment makes the recorder of a function, whose process sleeps between invocations: it reports half a second after
// something was counted, and does nothing otherwise. nil where the environment names no collector.
func FromEnvironment(process string, getenv func(string) string) *Recorder {
	urls, otlp := getenv(EnvURLs), getenv(EnvOTLP)
	if urls == "" && otlp == "" {
		return nil
	}
	r := New(process, time.Now)
	e := &Exporter{Recorder: r, Token: proa.NewSecret(getenv(EnvToken)), OTLP: otlp}
	if urls != "" {
		e.URLs = strings.Split(urls, ",")
	}
	var due atomic.Bool
	r.wake = func() {
		if due.CompareAndSwap(false, true) {
			time.AfterFunc(exportEvery, func() {
				due.Store(false)
				e.Flush(context.Background())
			})
		}
	}
	return r
}

// Run reports until ctx ends. It returns nil.
func (e *Exporter) Run(ctx context.Context) error {
	every := e.Every
	if every <= 0 {
		every = exportEvery
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			e.Flush(ctx)
		}
	}
}

// Flush reports once. Nobody is told of a collector that does not answer: reports must never disturb what they are about.
func (e *Exporter) Flush(ctx context.Context) {
	spans := e.Recorder.Spans()
	if len(e.URLs) == 0 && e.OTLP == "" {
		return
	}
	e.once.Do(func() {
		e.client = &http.Client{Timeout: exportTimeout, Transport: &http.Transport{
			MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute,
		}}
	})
	report := e.Recorder.Report()
	var wg sync.WaitGroup
	for _, base := range e.URLs[:min(len(e.URLs), maxTargets)] {
		wg.Go(func() {
			_ = e.post(ctx, base+CountersPath, e.Token, report)
			if len(spans) > 0 {
				_ = e.post(ctx, base+TracesPath, e.Token, toOTLP(report.Process, spans))
			}
		})
	}
	if e.OTLP != "" && len(spans) > 0 {
		wg.Go(func() {
			_ = e.post(ctx, strings.TrimSuffix(e.OTLP, "/")+TracesPath, proa.Secret{}, toOTLP(report.Process, spans))
		})
	}
	wg.Wait()
}

func (e *Exporter) post(ctx context.Context, url string, token proa.Secret, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	if !token.IsZero() {
		req.Header.Set("Authorization", "Bearer "+token.Reveal())
	}
	resp, err := e.client.Do(req)
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 4<<10)) // so that the connection is kept
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("export to %s: %s", url, resp.Status)
	}
	return nil
}
