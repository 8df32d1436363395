package function

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"unicode/utf8"
)

// MaxLambdaPayload is the most that a Lambda may answer, headers, JSON and base64 included.
// https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
const MaxLambdaPayload = 6291556

// lambdaHandler is an http.Handler as the runtime client wants it.
type lambdaHandler struct{ http.Handler }

// Invoke answers one event. Only an event that is no HTTP request is an error of the function.
func (h lambdaHandler) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	e, v2, err := parseEvent(payload)
	if err != nil {
		return nil, err
	}
	r, err := e.request(ctx, v2)
	if err != nil {
		return nil, err
	}
	w := newRecorder()
	w.run(h.Handler, r)
	if r.Method == http.MethodHead {
		w.body.Reset()
	}
	answer := w.answer(v2)
	if len(answer) > MaxLambdaPayload {
		tooLarge := newRecorder()
		tooLarge.refuse(http.StatusInternalServerError,
			fmt.Sprintf("the response of %d bytes is larger than Lambda allows (%d)", len(answer), MaxLambdaPayload))
		answer = tooLarge.answer(v2)
	}
	return answer, nil
}

// recorder keeps one response in memory.
type recorder struct {
	header http.Header
	sent   http.Header // as of the first write
	status int
	body   bytes.Buffer
}

func newRecorder() *recorder { return &recorder{header: http.Header{}} }

func (w *recorder) Header() http.Header { return w.header }

func (w *recorder) WriteHeader(status int) {
	if w.status != 0 || status < 200 { // informational responses cannot travel in an answer
		return
	}
	w.status, w.sent = status, w.header.Clone()
}

// Write refuses what no answer can hold, so that memory is bounded.
func (w *recorder) Write(p []byte) (int, error) {
	if w.status == 0 {
		if w.header.Get("Content-Type") == "" {
			w.header.Set("Content-Type", http.DetectContentType(p))
		}
		w.WriteHeader(http.StatusOK)
	}
	if w.body.Len()+len(p) > MaxLambdaPayload {
		return 0, fmt.Errorf("the response is larger than Lambda allows (%d bytes)", MaxLambdaPayload)
	}
	return w.body.Write(p)
}

// Flush does nothing: answers are not streamed.
func (w *recorder) Flush() {}

func (w *recorder) refuse(status int, message string) {
	w.header.Set("Content-Type", "application/json")
	w.WriteHeader(status)
	text, _ := json.Marshal(map[string]string{"message": message}) // a map of strings always marshals
	w.body.Write(text)
}

// run calls the handler. A panic ends the request and not the process, as in net/http.
func (w *recorder) run(handler http.Handler, r *http.Request) {
	defer func() {
		cause := recover()
		if cause == nil {
			return
		}
		if cause != http.ErrAbortHandler { //nolint:errorlint // net/http compares so, too
			slog.Error("handler panics", "method", r.Method, "path", r.URL.Path, "cause", cause, "stack", string(debug.Stack()))
		}
		*w = *newRecorder()
		w.refuse(http.StatusInternalServerError, "Internal Server Error")
	}()
	handler.ServeHTTP(w, r)
	w.WriteHeader(http.StatusOK)
}

// answerV2 and answerV1 are what API Gateway takes from a function.
type answerV2 struct {
	Status   int               `json:"statusCode"`
	Headers  map[string]string `json:"headers"`
	Cookies  []string          `json:"cookies,omitempty"`
	Body     string            `json:"body"`
	IsBase64 bool              `json:"isBase64Encoded"`
}

type answerV1 struct {
	Status   int                 `json:"statusCode"`
	Headers  map[string][]string `json:"multiValueHeaders"`
	Body     string              `json:"body"`
	IsBase64 bool                `json:"isBase64Encoded"`
}

func (w *recorder) answer(v2 bool) []byte {
	body, isBase64 := w.text()
	var answer any = answerV1{Status: w.status, Headers: w.sent, Body: body, IsBase64: isBase64}
	if v2 {
		a := answerV2{
			Status: w.status, Headers: map[string]string{}, Cookies: w.sent["Set-Cookie"], Body: body, IsBase64: isBase64,
		}
		for name, values := range w.sent {
			if name != "Set-Cookie" {
				a.Headers[name] = strings.Join(values, ",")
			}
		}
		answer = a
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(answer); err != nil { // strings and integers always marshal
		panic(err)
	}
	return out.Bytes()
}

// text is the body as a JSON string can hold it: base64 unless it is UTF-8 of a textual type.
func (w *recorder) text() (string, bool) {
	body := w.body.Bytes()
	if isTextual(w.sent) && utf8.Valid(body) {
		return string(body), false
	}
	return base64.StdEncoding.EncodeToString(body), len(body) > 0
}

func isTextual(h http.Header) bool {
	if h.Get("Content-Encoding") != "" {
		return false
	}
	kind, _, _ := strings.Cut(strings.ToLower(h.Get("Content-Type")), ";")
	kind = strings.TrimSpace(kind)
	switch kind {
	case "", "application/json", "application/javascript", "application/xml", "application/x-www-form-urlencoded":
		return true
	}
	return strings.HasPrefix(kind, "text/") || strings.HasSuffix(kind, "+json") || strings.HasSuffix(kind, "+xml")
}
