package lambda

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/proa-cloud/proa/aws/local/wire"
)

// Limits of a request's payload. The asynchronous one was 256 KB until October 2025.
// https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
const (
	MaxPayload      = 6 << 20
	MaxAsyncPayload = 1 << 20
)

const namespace = "AWS/Lambda"

// Call is one synchronous invocation.
type Call struct {
	Function      string // name, partial ARN or ARN
	Payload       []byte // JSON; {} when empty
	RequestID     string // a new one when ""
	TraceID       string // X-Amzn-Trace-Id; a new one when ""
	ClientContext string // JSON
}

// Result is what the function answered.
type Result struct {
	Payload       []byte
	FunctionError string // "" or "Unhandled": Payload is then an error document
	ErrorType     string // its errorType
	Version       string
	LogTail       []byte // the last 4 KB of the invocation's log
}

// Invoke runs the function and waits for its answer. An error is a *wire.Error (no such function,
// throttled, payload too large), or that of ctx: a function that runs by then goes on to its end.
func (s *Server) Invoke(ctx context.Context, call Call) (Result, error) {
	name, refusal := resolve(call.Function)
	if refusal != nil {
		return Result{}, refusal
	}
	if len(call.Payload) > MaxPayload {
		return Result{}, wire.Errorf(http.StatusRequestEntityTooLarge, "RequestTooLargeException",
			"Request must be smaller than %d bytes for the InvokeFunction operation", MaxPayload)
	}
	f, shared, refusal := s.enter(name)
	if refusal != nil {
		return Result{}, refusal
	}
	done := make(chan Result, 1)
	go func() {
		defer s.work.Done() // enter has added it
		defer s.leave(f, shared)
		done <- s.execute(ctx, name, f, s.newInvocation(name, call))
	}()
	select {
	case result := <-done:
		return result, nil
	case <-ctx.Done():
		return Result{}, ctx.Err()
	}
}

func (s *Server) newInvocation(name string, call Call) *invocation {
	inv := &invocation{
		id: orDefault(call.RequestID, wire.RequestID()), attempt: wire.RequestID(),
		payload: call.Payload, arn: s.arn(name), trace: call.TraceID,
		context: call.ClientContext, done: make(chan outcome, 1),
	}
	if len(inv.payload) == 0 {
		inv.payload = []byte("{}")
	}
	if inv.trace == "" {
		hex := strings.ReplaceAll(wire.RequestID(), "-", "")
		inv.trace = fmt.Sprintf("Root=1-%08x-%s;Parent=%s;Sampled=0",
			s.cfg.Clock().Unix(), hex[:24], strings.ReplaceAll(wire.RequestID(), "-", "")[:16])
	}
	return inv
}

// enter counts a request in, unless its function or the account has too many under way. Requests
// without reserved concurrency share what the reservations leave.
func (s *Server) enter(name string) (f *function, shared bool, refusal *wire.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f = s.functions[name]
	if f == nil || s.closed {
		return nil, false, s.notFound(name)
	}
	if limit := f.record.Reserved; limit != nil {
		if f.inflight >= *limit {
			return nil, false, s.throttled(name, "ReservedFunctionConcurrentInvocationLimitExceeded")
		}
		f.inflight++
		s.work.Add(1)
		return f, false, nil
	}
	if s.inflight >= s.cfg.AccountConcurrency-s.reservedSum("") {
		return nil, false, s.throttled(name, "ConcurrentInvocationLimitExceeded")
	}
	f.inflight++
	s.inflight++
	s.work.Add(1)
	return f, true, nil
}

func (s *Server) throttled(name, reason string) *wire.Error {
	s.cfg.Emit(namespace, "Throttles", "Count", 1, [2]string{"FunctionName", name})
	return &wire.Error{
		Status: http.StatusTooManyRequests, Code: "TooManyRequestsException", Message: "Rate Exceeded.",
		Fields: map[string]any{"Reason": reason, "Type": "User"},
		Header: http.Header{"Retry-After": {"1"}},
	}
}

// leave counts a request out where it was counted in.
func (s *Server) leave(f *function, shared bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.inflight--
	if shared {
		s.inflight--
	}
}

// execute runs the invocation on an environment; when the function is changed while it waits, on
// one of the new state.
func (s *Server) execute(
	ctx context.Context, name string, f *function, inv *invocation,
) Result {
	for range maxReplacements {
		pool := s.poolOf(f)
		if pool == nil {
			break
		}
		env, failed, err := pool.acquire(ctx)
		if errors.Is(err, errPoolClosed) {
			continue
		}
		if err != nil {
			return Result{} // nobody waits for it any more, and it has not begun
		}
		if failed != nil {
			s.measure(name, 0, failed)
			return failedResult(inv.id, failed)
		}
		if result, ok := s.runOn(env, inv); ok {
			return result
		}
	}
	return failedResult(inv.id, &failure{
		Type: "Sandbox.Failure", Message: "The function's environments ended before they took the request",
	})
}

// maxReplacements bounds how often a request looks for another environment.
const maxReplacements = 10

func (s *Server) poolOf(f *function) *pool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	return f.pool
}

func (s *Server) runOn(env *environment, inv *invocation) (Result, bool) {
	start := s.cfg.Clock()
	// The function compares it with the machine's clock, which is right where this cloud's is wrong on purpose.
	inv.deadline = time.Now().Add(env.pool.spec.timeout())
	env.log.begin()
	_, _ = env.log.Write([]byte("START RequestId: " + inv.id + " Version: " + latest + "\n"))
	out, delivered := env.run(inv)
	if !delivered {
		return Result{}, false
	}
	took := s.cfg.Clock().Sub(start)
	env.report(inv, took, out.failure)
	s.measure(env.pool.spec.Name, took, out.failure)
	result := Result{Payload: out.payload, Version: latest}
	if out.failure != nil {
		result = failedResult(inv.id, out.failure)
	}
	result.LogTail = env.log.end()
	return result, true
}

func (e *environment) report(inv *invocation, took time.Duration, failed *failure) {
	line := "END RequestId: " + inv.id + "\n"
	ms := float64(took.Microseconds()) / 1000
	status := ""
	if failed != nil {
		status = "\tStatus: error\tError Type: " + failed.Type
	}
	if failed != nil && failed.Type == "Sandbox.Timedout" {
		status = "\tStatus: timeout"
	}
	line += fmt.Sprintf("REPORT RequestId: %s\tDuration: %.2f ms\tBilled Duration: %.0f ms\t"+
		"Memory Size: %d MB%s\n", inv.id, ms, math.Ceil(ms), e.pool.spec.MemoryMB, status)
	_, _ = e.log.Write([]byte(line))
}

func failedResult(requestID string, f *failure) Result {
	return Result{
		Payload: f.payload(requestID), FunctionError: "Unhandled", ErrorType: f.Type, Version: latest,
	}
}

func (s *Server) measure(name string, took time.Duration, failed *failure) {
	errorCount := 0.0
	if failed != nil {
		errorCount = 1
	}
	s.mu.Lock()
	running := 0
	if f := s.functions[name]; f != nil {
		running = f.inflight
	}
	s.mu.Unlock()
	dimension := [2]string{"FunctionName", name}
	s.cfg.Emit(namespace, "Invocations", "Count", 1, dimension)
	s.cfg.Emit(namespace, "Errors", "Count", errorCount, dimension)
	s.cfg.Emit(namespace, "ConcurrentExecutions", "Count", float64(running), dimension)
	if took > 0 {
		s.cfg.Emit(namespace, "Duration", "Milliseconds",
			float64(took.Microseconds())/1000, dimension)
	}
}

// checkPayload refuses what is not JSON, as the vendor does before it runs anything.
func checkPayload(payload []byte) *wire.Error {
	if len(payload) > MaxPayload {
		return wire.Errorf(http.StatusRequestEntityTooLarge, "RequestTooLargeException",
			"Request must be smaller than %d bytes for the InvokeFunction operation", MaxPayload)
	}
	if len(payload) > 0 && !json.Valid(payload) {
		return wire.Errorf(http.StatusBadRequest, "InvalidRequestContentException",
			"Could not parse request body into json: Unrecognized token")
	}
	return nil
}
