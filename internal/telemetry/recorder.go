package telemetry

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/proa-cloud/proa"
)

// Recorder counts for one process. A nil Recorder counts nothing, so that callers need not ask.
type Recorder struct {
	process     string
	incarnation string
	clock       func() time.Time
	cells       map[string]*cell // complete from the start: reading it needs no lock
	tracer      trace.Tracer
	provider    *sdktrace.TracerProvider
	spans       *spanQueue
	roots       bucket // bounds the traces that begin here
	remote      bucket // bounds those that a caller asks to follow
	wake        func() // tells an exporter without a loop of its own; nil for nobody

	mu   sync.Mutex
	last map[string]Failure
}

// Failure is the last error that a box or arrow saw.
type Failure struct {
	Cell string    `json:"cell"`
	At   time.Time `json:"at"`
	Text string    `json:"text"`
}

const (
	rootsPerSecond  = 12
	remotePerSecond = 100
	maxFailureText  = 300
)

// New makes a process's recorder. It starts nothing; an Exporter takes what it holds.
func New(process string, clock func() time.Time) *Recorder {
	id := make([]byte, 8)
	_, _ = rand.Read(id) // never fails (crypto/rand, Go 1.24)
	r := &Recorder{
		process: process, incarnation: hex.EncodeToString(id), clock: clock,
		cells: map[string]*cell{}, spans: &spanQueue{process: process}, last: map[string]Failure{},
		roots: bucket{rate: rootsPerSecond}, remote: bucket{rate: remotePerSecond},
	}
	for _, name := range Cells() {
		r.cells[name] = &cell{}
	}
	r.provider = sdktrace.NewTracerProvider(
		sdktrace.WithSampler(sdktrace.AlwaysSample()), // what is not sampled is not started
		sdktrace.WithSpanProcessor(r.spans),
	)
	r.tracer = r.provider.Tracer("proa")
	return r
}

// Observe counts one crossing that took d; a negative d says that its time is not known.
func (r *Recorder) Observe(name string, d time.Duration, err error) {
	if r == nil {
		return
	}
	c := r.cells[name]
	if c == nil {
		return
	}
	failed := isFailure(err)
	c.observe(d, failed)
	if failed {
		r.note(name, err.Error())
	}
	if r.wake != nil {
		r.wake()
	}
}

// Count adds crossings whose times are not known.
func (r *Recorder) Count(name string, requests, failed uint64) {
	if r == nil {
		return
	}
	if c := r.cells[name]; c != nil {
		c.requests.Add(requests)
		c.errors.Add(failed)
	}
}

func (r *Recorder) note(name, text string) {
	if len(text) > maxFailureText {
		text = text[:maxFailureText]
	}
	r.mu.Lock()
	r.last[name] = Failure{Cell: name, At: r.clock().UTC(), Text: text}
	r.mu.Unlock()
}

// isFailure tells a failed call from one that was answered: an absent item or a lost race is an answer.
func isFailure(err error) bool {
	return err != nil && !errors.Is(err, proa.ErrNotFound) && !errors.Is(err, proa.ErrConflict) &&
		!errors.Is(err, proa.ErrExists) && !errors.Is(err, context.Canceled)
}

// Span follows one crossing from its start; call end once with the outcome. The span is recorded only within a trace that is
// being followed; the crossing is counted always.
func (r *Recorder) Span(ctx context.Context, arrow Arrow) (inner context.Context, end func(error)) {
	if r == nil {
		return ctx, func(error) {}
	}
	began := time.Now()
	var span trace.Span
	if trace.SpanContextFromContext(ctx).IsSampled() {
		ctx, span = r.start(ctx, arrow)
	}
	return ctx, func(err error) {
		r.Observe(arrow, time.Since(began), err)
		finish(span, err)
	}
}

func (r *Recorder) start(ctx context.Context, arrow Arrow) (context.Context, trace.Span) {
	return r.tracer.Start(ctx, arrow, trace.WithAttributes(attribute.String("proa.arrow", arrow)))
}

func finish(span trace.Span, err error) {
	if span == nil {
		return
	}
	if isFailure(err) {
		span.SetStatus(codes.Error, err.Error())
	}
	span.End()
}

// Report is what a process has counted since it began.
type Report struct {
	Process     string            `json:"process"`
	Incarnation string            `json:"incarnation"` // another one after a restart
	Cells       map[string]Counts `json:"cells"`       // those that counted anything
	Failures    []Failure         `json:"failures,omitempty"`
}

// Report reads the counters.
func (r *Recorder) Report() Report {
	out := Report{Process: r.process, Incarnation: r.incarnation, Cells: map[string]Counts{}}
	for name, c := range r.cells {
		if c.requests.Load() > 0 {
			out.Cells[name] = c.counts()
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.last {
		out.Failures = append(out.Failures, f)
	}
	return out
}

// bucket is a token bucket of one second's depth.
type bucket struct {
	rate int64
	at   atomic.Int64 // the second
	used atomic.Int64
}

func (b *bucket) take(now time.Time) bool {
	second := now.Unix()
	if at := b.at.Load(); at != second && b.at.CompareAndSwap(at, second) {
		b.used.Store(0)
	}
	return b.used.Add(1) <= b.rate
}
