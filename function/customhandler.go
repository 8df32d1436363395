package function

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path"
	"strings"
)

// maxInvocation bounds an invocation's envelope: Functions itself takes up to 100 MB.
const maxInvocation = 100 << 20

// readFunctions lists the app's functions whose invocations come in envelopes: those that have no HTTP trigger, and all where
// host.json does not have HTTP requests proxied.
//
// https://learn.microsoft.com/azure/azure-functions/functions-custom-handlers
func readFunctions(app fs.FS) (map[string]bool, error) {
	var host struct {
		CustomHandler struct {
			Proxy   bool `json:"enableProxyingHttpRequest"`
			Forward bool `json:"enableForwardingHttpRequest"`
		} `json:"customHandler"`
	}
	if err := readJSON(app, "host.json", &host); err != nil {
		return nil, err
	}
	proxied := host.CustomHandler.Proxy || host.CustomHandler.Forward
	files, err := fs.Glob(app, "*/function.json")
	if err != nil {
		return nil, fmt.Errorf("find functions: %w", err)
	}
	enveloped := map[string]bool{}
	for _, file := range files {
		var f struct {
			Bindings []struct {
				Type string `json:"type"`
			} `json:"bindings"`
		}
		if err := readJSON(app, file, &f); err != nil {
			return nil, err
		}
		isHTTP := false
		for _, b := range f.Bindings {
			isHTTP = isHTTP || strings.EqualFold(b.Type, "httpTrigger")
		}
		if !isHTTP || !proxied {
			enveloped[path.Dir(file)] = true
		}
	}
	return enveloped, nil
}

func readJSON(app fs.FS, name string, into any) error {
	text, err := fs.ReadFile(app, name)
	if err != nil {
		return fmt.Errorf("read functions: %w", err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("read functions: %s: %w", name, err)
	}
	return nil
}

// demux answers enveloped invocations and hands all other requests on as they are.
type demux struct {
	functions map[string]bool // enveloped ones, by name
	next      http.Handler
}

// invocation is the envelope of a trigger.
type invocation struct {
	Data     map[string]json.RawMessage `json:"Data"`
	Metadata json.RawMessage            `json:"Metadata"`
}

// result is what the host takes for an answer.
type result struct {
	Outputs     map[string]any `json:"Outputs"`
	Logs        []string       `json:"Logs"`
	ReturnValue any            `json:"ReturnValue"`
}

func (d demux) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/")
	if r.Method != http.MethodPost || !d.functions[name] {
		d.next.ServeHTTP(w, r)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxInvocation))
	if err != nil {
		http.Error(w, "read the invocation: "+err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	var in invocation
	if err := json.Unmarshal(body, &in); err != nil || in.Data == nil {
		http.Error(w, "the invocation has no Data", http.StatusBadRequest)
		return
	}
	d.invoke(w, r, name, in)
}

// invoke gives the handler the HTTP request of an HTTP trigger, or for every other trigger POST /<FunctionName> with the data of
// the one binding, or of all by name where there are several.
func (d demux) invoke(w http.ResponseWriter, r *http.Request, name string, in invocation) {
	if inner, ok := httpTrigger(r, in); ok {
		rec := newRecorder()
		rec.run(d.next, inner)
		body, _ := rec.text()
		answer := map[string]any{"statusCode": rec.status, "headers": flat(rec.sent), "body": body}
		// The output binding is named res by convention; $return takes the return value.
		writeResult(w, http.StatusOK, result{
			Outputs: map[string]any{"res": answer}, Logs: []string{}, ReturnValue: answer,
		})
		return
	}
	inner := r.Clone(r.Context())
	data := unwrap(in.Data)
	inner.Body, inner.ContentLength = io.NopCloser(bytes.NewReader(data)), int64(len(data))
	inner.Header.Set("Content-Type", "application/json")
	rec := newRecorder()
	rec.run(d.next, inner)
	status := http.StatusOK
	if rec.status/100 != 2 {
		status = http.StatusInternalServerError // the host then fails the invocation, and retries by its policy
	}
	var value any = rec.body.String()
	if json.Valid(rec.body.Bytes()) {
		value = json.RawMessage(rec.body.Bytes())
	}
	writeResult(w, status, result{Outputs: map[string]any{}, Logs: []string{}, ReturnValue: value})
}

func writeResult(w http.ResponseWriter, status int, r result) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(r) // the host is gone if this fails
}

// unwrap takes the only binding's data. The host may send JSON as a string that holds it.
func unwrap(data map[string]json.RawMessage) []byte {
	if len(data) != 1 {
		all, _ := json.Marshal(data) // raw messages that were decoded marshal
		return all
	}
	for _, raw := range data {
		var text string
		if json.Unmarshal(raw, &text) == nil && json.Valid([]byte(text)) {
			return []byte(text)
		}
		return raw
	}
	return nil
}

// httpTrigger finds the HTTP request in an envelope.
func httpTrigger(r *http.Request, in invocation) (*http.Request, bool) {
	for _, raw := range in.Data {
		var t struct {
			URL     string              `json:"Url"`
			Method  string              `json:"Method"`
			Headers map[string][]string `json:"Headers"`
			Body    *string             `json:"Body"`
		}
		if json.Unmarshal(raw, &t) != nil || t.URL == "" || t.Method == "" {
			continue
		}
		var body string
		if t.Body != nil {
			body = *t.Body
		}
		inner, err := http.NewRequestWithContext(r.Context(), t.Method, t.URL, strings.NewReader(body))
		if err != nil {
			continue
		}
		for name, values := range t.Headers {
			for _, v := range values {
				inner.Header.Add(name, v)
			}
		}
		inner.RequestURI, inner.RemoteAddr = inner.URL.RequestURI(), r.RemoteAddr
		return inner, true
	}
	return nil, false
}

func flat(h http.Header) map[string]string {
	out := make(map[string]string, len(h))
	for name, values := range h {
		out[name] = strings.Join(values, ",")
	}
	return out
}
