package functions

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// maxAnswer is the largest answer of a handler that is not proxied, in bytes.
const maxAnswer = 100 << 20

// invocation is the body that the host posts to /<function>
// (https://learn.microsoft.com/azure/azure-functions/functions-custom-handlers#request-payload).
type invocation struct {
	Data     map[string]any
	Metadata map[string]any
}

// answer is what the handler returns.
type answer struct {
	Outputs     map[string]json.RawMessage
	Logs        []string
	ReturnValue json.RawMessage
}

// invoke wraps a request as JSON, posts it to the handler and unwraps the answer.
func (a *app) invoke(
	w http.ResponseWriter, r *http.Request, address string, f *function, params map[string]string,
	timeout time.Duration,
) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		a.proxyFailed(w, r, err, false)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	got, err := a.post(ctx, address, f, a.wrap(r, f, params, body))
	if err == nil {
		for _, line := range got.Logs {
			a.host.logger.Info("function log", "app", a.Name, "function", f.name, "line", line)
		}
		err = f.unwrap(w, got)
	}
	if err != nil {
		a.host.logger.Error("function failed", "app", a.Name, "function", f.name, "error", err)
		w.Header().Set("Content-Length", "0")
		w.WriteHeader(http.StatusInternalServerError)
	}
}

func (a *app) wrap(r *http.Request, f *function, params map[string]string, body []byte) invocation {
	setHostHeaders(r.Header, r)
	query := map[string]string{}
	for name, values := range r.URL.Query() {
		query[name] = values[0]
	}
	request := map[string]any{
		"Url": fullURL(r), "Method": r.Method, "Query": query, "Headers": r.Header, "Params": params,
		"Identities": []any{}, "Body": string(body),
	}
	metadata := map[string]any{"Headers": r.Header, "Query": query, "sys": map[string]any{
		"MethodName": f.name, "UtcNow": a.host.clock().UTC(), "RandGuid": newID(),
	}}
	for name, value := range params {
		metadata[name] = value
	}
	return invocation{Data: map[string]any{f.input: request}, Metadata: metadata}
}

func (a *app) post(
	ctx context.Context, address string, f *function, call invocation,
) (*answer, error) {
	payload, err := json.Marshal(call)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/"+f.name,
		bytes.NewReader(payload))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	req.Header.Set("User-Agent", "Azure-Functions-Host/"+hostVersion)
	req.Header.Set("X-Azure-Functions-InvocationId", newID())
	req.Header.Set("X-Azure-Functions-HostVersion", hostVersion)
	response, err := a.transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode < 200 || response.StatusCode > 299 {
		return nil, fmt.Errorf("the handler answered %s", response.Status)
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxAnswer {
		return nil, errors.New("the handler's answer is too large")
	}
	var out answer
	if err := json.Unmarshal(text, &out); err != nil {
		return nil, fmt.Errorf("the handler's answer: %w", err)
	}
	return &out, nil
}

// unwrap answers with the http output binding, or with the return value where that is it.
func (f *function) unwrap(w http.ResponseWriter, got *answer) error {
	raw := got.Outputs[f.output]
	if f.output == "$return" || raw == nil {
		raw = got.ReturnValue
	}
	if f.output == "" || raw == nil {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	var out struct {
		Status     json.RawMessage `json:"statusCode"`
		ShortState json.RawMessage `json:"status"`
		Body       json.RawMessage `json:"body"`
		Headers    map[string]any  `json:"headers"`
	}
	if err := json.Unmarshal(raw, &out); err != nil {
		out.Body = raw // a bare value is the body
	}
	status := http.StatusOK
	for _, raw := range []json.RawMessage{out.ShortState, out.Status} {
		if n, ok := number(raw); ok {
			status = n
		}
	}
	if status < 200 || status > 599 {
		return fmt.Errorf("the handler's status %d is out of range", status)
	}
	body := []byte(out.Body)
	kind := "application/json; charset=utf-8"
	var text string
	if json.Unmarshal(out.Body, &text) == nil {
		body, kind = []byte(text), "text/plain; charset=utf-8"
	}
	w.Header().Set("Content-Type", kind)
	for name, value := range out.Headers {
		w.Header().Set(name, fmt.Sprint(value))
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, err := w.Write(body)
	if err != nil {
		panic(http.ErrAbortHandler) // the client is gone or has half an answer
	}
	return nil
}

// number reads a status that may stand as a number or as text.
func number(raw json.RawMessage) (int, bool) {
	var text string
	if json.Unmarshal(raw, &text) != nil {
		text = string(raw)
	}
	n, err := strconv.Atoi(text)
	return n, err == nil
}
