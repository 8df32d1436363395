package lambda

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/proa-cloud/proa/aws/local/wire"
)

const (
	runtimePrefix = "/2018-06-01/runtime/"
	headerType    = "Lambda-Runtime-Function-Error-Type"
	headerBody    = "Lambda-Runtime-Function-Error-Body"
	headerID      = "Lambda-Runtime-Invocation-Id"
	// maxResponse is the vendor's limit of a response, 6 MB and a little (its error names the number).
	maxResponse = 6291556
	maxErrorDoc = 256 << 10
)

// invocation is one request to the function.
type invocation struct {
	id       string // request id
	attempt  string // Lambda-Runtime-Invocation-Id
	payload  []byte
	deadline time.Time
	arn      string
	trace    string
	context  string // client context, JSON
	done     chan outcome
}

// outcome is a response, or a failure of the function.
type outcome struct {
	payload []byte
	failure *failure
}

func (e *environment) runtimeAPI() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+runtimePrefix+"invocation/next", e.next)
	mux.HandleFunc("POST "+runtimePrefix+"invocation/{id}/response", e.response)
	mux.HandleFunc("POST "+runtimePrefix+"invocation/{id}/error", e.functionError)
	mux.HandleFunc("POST "+runtimePrefix+"init/error", e.initError)
	return mux
}

func runtimeRefusal(w http.ResponseWriter, status int, kind, message string) {
	wire.WriteJSON(w, "application/json", status, failure{Type: kind, Message: message})
}

func transitionRefused(w http.ResponseWriter) {
	runtimeRefusal(w, http.StatusForbidden, "InvalidStateTransition", "State transition is not allowed")
}

// next tells the runtime what to do, when there is something to do.
func (e *environment) next(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	// A second call while one is open would offer the environment twice, and it would get two requests at once.
	busy, first := e.current != nil || e.asking, !e.initialised
	e.initialised = true
	e.asking = e.asking || !busy
	e.mu.Unlock()
	switch {
	case busy:
		transitionRefused(w)
		return
	case first:
		close(e.ready)
	default:
		e.pool.give(e)
	}
	select {
	case inv := <-e.work:
		e.mu.Lock()
		e.current, e.asking = inv, false
		e.mu.Unlock()
		e.dispatch(w, inv)
	case <-e.dead:
	case <-r.Context().Done(): // it hung up instead of waiting: it can never be given work again
		go e.kill()
	}
}

func (e *environment) dispatch(w http.ResponseWriter, inv *invocation) {
	h := w.Header()
	h.Set("Lambda-Runtime-Aws-Request-Id", inv.id)
	h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(inv.deadline.UnixMilli(), 10))
	h.Set("Lambda-Runtime-Invoked-Function-Arn", inv.arn)
	h.Set("Lambda-Runtime-Trace-Id", inv.trace)
	h.Set(headerID, inv.attempt)
	if inv.context != "" {
		h.Set("Lambda-Runtime-Client-Context", inv.context)
	}
	h.Set("Content-Type", "application/json")
	wire.Write(w, http.StatusOK, inv.payload)
}

// finish ends the current invocation, if the request is about it.
func (e *environment) finish(w http.ResponseWriter, r *http.Request, read func(*invocation) outcome) {
	e.mu.Lock()
	inv := e.current
	e.mu.Unlock()
	if inv == nil || inv.id != r.PathValue("id") {
		runtimeRefusal(w, http.StatusBadRequest, "InvalidRequestID", "Invalid request ID")
		return
	}
	if echo := r.Header.Get(headerID); echo != "" && echo != inv.attempt {
		runtimeRefusal(w, http.StatusGone, "InvalidInvocationID", "Invocation is no longer active")
		return
	}
	out := read(inv)
	e.mu.Lock()
	mine := e.current == inv
	if mine {
		e.current = nil
	}
	e.mu.Unlock()
	if !mine {
		transitionRefused(w)
		return
	}
	inv.done <- out
	if out.failure != nil && out.failure.Type == "Function.ResponseSizeTooLarge" {
		runtimeRefusal(w, http.StatusRequestEntityTooLarge, "RequestEntityTooLarge",
			out.failure.Message)
		return
	}
	wire.WriteJSON(w, "application/json", http.StatusAccepted, map[string]string{"status": "OK"})
}

// response takes the function's answer. The runtime may send it chunked, with the error of a
// response that broke half-way in trailers.
func (e *environment) response(w http.ResponseWriter, r *http.Request) {
	e.finish(w, r, func(*invocation) outcome {
		body, err := io.ReadAll(io.LimitReader(r.Body, maxResponse+1))
		switch {
		case err != nil:
			return outcome{failure: &failure{
				Type: "Runtime.TruncatedResponse", Message: "Response was truncated",
			}}
		case len(body) > maxResponse:
			return outcome{failure: tooLarge(int64(len(body)), r)}
		}
		if kind := r.Trailer.Get(headerType); kind != "" {
			return outcome{failure: &failure{
				Type: kind, Message: "Response was truncated", raw: trailerBody(r),
			}}
		}
		return outcome{payload: body}
	})
}

func tooLarge(read int64, r *http.Request) *failure {
	rest, _ := io.Copy(io.Discard, io.LimitReader(r.Body, 10*maxResponse))
	size := strconv.FormatInt(read+rest, 10)
	f := &failure{
		Type: "Function.ResponseSizeTooLarge",
		Message: "Response payload size (" + size + " bytes) exceeded maximum allowed payload size (" +
			strconv.Itoa(maxResponse) + " bytes).",
	}
	f.raw, _ = wire.Marshal(failure{Type: f.Type, Message: f.Message})
	return f
}

// trailerBody is the error document that a trailer carries in base64; nil when there is none.
func trailerBody(r *http.Request) []byte {
	var body []byte
	quoted, err := json.Marshal(r.Trailer.Get(headerBody))
	if err != nil || json.Unmarshal(quoted, &body) != nil || !json.Valid(body) {
		return nil
	}
	return body
}

func (e *environment) functionError(w http.ResponseWriter, r *http.Request) {
	e.finish(w, r, func(*invocation) outcome { return outcome{failure: readFailure(r)} })
}

// initError takes the reason why the function cannot start; the process is expected to end then.
func (e *environment) initError(w http.ResponseWriter, r *http.Request) {
	failed := readFailure(r)
	e.mu.Lock()
	refused := e.initialised
	if !refused {
		e.initFailure = failed
	}
	e.mu.Unlock()
	if refused {
		transitionRefused(w)
		return
	}
	wire.WriteJSON(w, "application/json", http.StatusAccepted, map[string]string{"status": "OK"})
}

// readFailure reads the runtime's error document; it is passed on to the caller as it is.
func readFailure(r *http.Request) *failure {
	failed := &failure{Type: r.Header.Get(headerType)}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxErrorDoc))
	if err == nil && json.Valid(body) {
		failed.raw = body
		var document struct{ ErrorType, ErrorMessage string }
		if json.Unmarshal(body, &document) == nil {
			failed.Type, failed.Message = document.ErrorType, document.ErrorMessage
		}
	}
	if failed.Type == "" || strings.ContainsAny(failed.Type, "\r\n") {
		failed.Type = "Runtime.Unknown"
	}
	return failed
}
