package telemetry

import (
	"context"
	"strconv"
	"sync"
	"time"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// Span is one followed crossing of an arrow.
type Span struct {
	Trace   string    `json:"trace"`
	ID      string    `json:"id"`
	Parent  string    `json:"parent,omitempty"`
	Arrow   Arrow     `json:"arrow"`
	Process string    `json:"process"`
	Start   time.Time `json:"start"`
	MS      float64   `json:"ms"`
	Error   string    `json:"error,omitempty"`
}

const maxSpans = 2048 // that wait for the exporter

// spanQueue is a span processor: it keeps ended spans until the exporter takes them. It is bounded and never blocks.
type spanQueue struct {
	process string

	mu      sync.Mutex
	waiting []Span
	dropped uint64
}

var _ sdktrace.SpanProcessor = (*spanQueue)(nil)

// OnStart does nothing.
func (q *spanQueue) OnStart(context.Context, sdktrace.ReadWriteSpan) {}

// OnEnd queues the span.
func (q *spanQueue) OnEnd(s sdktrace.ReadOnlySpan) {
	span := Span{
		Trace: s.SpanContext().TraceID().String(), ID: s.SpanContext().SpanID().String(),
		Arrow: s.Name(), Process: q.process, Start: s.StartTime().UTC(),
		MS: float64(s.EndTime().Sub(s.StartTime()).Microseconds()) / 1000,
	}
	if s.Parent().IsValid() {
		span.Parent = s.Parent().SpanID().String()
	}
	if st := s.Status(); st.Code == codes.Error {
		span.Error = st.Description
		if len(span.Error) > maxFailureText {
			span.Error = span.Error[:maxFailureText]
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) >= maxSpans {
		q.dropped++
		return
	}
	q.waiting = append(q.waiting, span)
}

// Shutdown does nothing: the exporter owns what is queued.
func (q *spanQueue) Shutdown(context.Context) error { return nil }

// ForceFlush does nothing.
func (q *spanQueue) ForceFlush(context.Context) error { return nil }

func (q *spanQueue) take() []Span {
	q.mu.Lock()
	defer q.mu.Unlock()
	out := q.waiting
	q.waiting = nil
	return out
}

// Spans takes the spans that ended since the last call.
func (r *Recorder) Spans() []Span { return r.spans.take() }

// The parts of an OTLP/HTTP trace request in JSON that we write and read.
// https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding
type (
	otlpTraces struct {
		ResourceSpans []otlpResource `json:"resourceSpans"`
	}
	otlpResource struct {
		Resource   otlpAttributes `json:"resource"`
		ScopeSpans []otlpScope    `json:"scopeSpans"`
	}
	otlpAttributes struct {
		Attributes []otlpAttribute `json:"attributes"`
	}
	otlpAttribute struct {
		Key   string    `json:"key"`
		Value otlpValue `json:"value"`
	}
	otlpValue struct {
		String string `json:"stringValue"`
	}
	otlpScope struct {
		Scope otlpName   `json:"scope"`
		Spans []otlpSpan `json:"spans"`
	}
	otlpName struct {
		Name string `json:"name"`
	}
	otlpSpan struct {
		TraceID    string          `json:"traceId"`
		SpanID     string          `json:"spanId"`
		Parent     string          `json:"parentSpanId,omitempty"`
		Name       string          `json:"name"`
		Kind       int             `json:"kind"`
		Start      string          `json:"startTimeUnixNano"`
		End        string          `json:"endTimeUnixNano"`
		Attributes []otlpAttribute `json:"attributes,omitempty"`
		Status     otlpStatus      `json:"status"`
	}
	otlpStatus struct {
		Code    int    `json:"code,omitempty"`
		Message string `json:"message,omitempty"`
	}
)

const (
	kindInternal = 1
	statusError  = 2
	arrowKey     = "proa.arrow"
	serviceKey   = "service.name"
)

// toOTLP is one process's spans as an OTLP trace request.
func toOTLP(process string, spans []Span) otlpTraces {
	scope := otlpScope{Scope: otlpName{"proa"}}
	for _, s := range spans {
		end := s.Start.Add(time.Duration(s.MS * float64(time.Millisecond)))
		o := otlpSpan{
			TraceID: s.Trace, SpanID: s.ID, Parent: s.Parent, Name: s.Arrow, Kind: kindInternal,
			Start:      strconv.FormatInt(s.Start.UnixNano(), 10),
			End:        strconv.FormatInt(end.UnixNano(), 10),
			Attributes: []otlpAttribute{{arrowKey, otlpValue{s.Arrow}}},
		}
		if s.Error != "" {
			o.Status = otlpStatus{statusError, s.Error}
		}
		scope.Spans = append(scope.Spans, o)
	}
	resource := otlpAttributes{[]otlpAttribute{{serviceKey, otlpValue{"proa-" + process}}}}
	return otlpTraces{[]otlpResource{{resource, []otlpScope{scope}}}}
}

// fromOTLP reads the spans that name one of our arrows; others are left out.
func fromOTLP(t otlpTraces) []Span {
	known := map[string]bool{}
	for _, a := range Arrows() {
		known[a] = true
	}
	var out []Span
	for _, r := range t.ResourceSpans {
		process := attributeOf(r.Resource.Attributes, serviceKey)
		for _, sc := range r.ScopeSpans {
			for _, o := range sc.Spans {
				arrow := attributeOf(o.Attributes, arrowKey)
				start, err := strconv.ParseInt(o.Start, 10, 64)
				end, err2 := strconv.ParseInt(o.End, 10, 64)
				if !known[arrow] || err != nil || err2 != nil || len(o.TraceID) != 32 || len(o.SpanID) != 16 {
					continue
				}
				s := Span{
					Trace: o.TraceID, ID: o.SpanID, Parent: o.Parent, Arrow: arrow, Process: process,
					Start: time.Unix(0, start).UTC(), MS: float64((end-start)/1000) / 1000,
				}
				if o.Status.Code == statusError {
					s.Error = o.Status.Message
				}
				out = append(out, s)
			}
		}
	}
	return out
}

func attributeOf(list []otlpAttribute, key string) string {
	for _, a := range list {
		if a.Key == key {
			return a.Value.String
		}
	}
	return ""
}
