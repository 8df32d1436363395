package function

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// mirror answers with what it was asked, so that a golden file shows both directions.
func mirror(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Add("Set-Cookie", "c=1")
	w.Header().Add("Set-Cookie", "d=2; Path=/")
	w.Header().Add("X-Two", "a")
	w.Header().Add("X-Two", "b")
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(http.StatusTeapot)
	fmt.Fprintf(w, "%s %s host=%s path=%q query=%v from=%s length=%d\n", r.Method, r.RequestURI, r.Host, r.URL.Path,
		r.URL.Query(), r.RemoteAddr, r.ContentLength)
	fmt.Fprintf(w, "cookie=%q many=%q body=%q", r.Header.Get("Cookie"), r.Header.Values("X-Many"), body)
}

func TestEveryKindOfHTTPEventReachesTheHandler(t *testing.T) {
	events, err := filepath.Glob("testdata/*.json")
	if err != nil || len(events) == 0 {
		t.Fatal("no events", err)
	}
	for _, name := range events {
		payload, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		got, err := lambdaHandler{http.HandlerFunc(mirror)}.Invoke(t.Context(), payload)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var pretty bytes.Buffer
		if err := json.Indent(&pretty, got, "", "  "); err != nil {
			t.Fatal(err)
		}
		golden := strings.TrimSuffix(name, ".json") + ".golden"
		if *update {
			if err := os.WriteFile(golden, pretty.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), pretty.String()); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}

func invokeV2(t *testing.T, handler http.HandlerFunc) answerV2 {
	t.Helper()
	payload := []byte(`{"version":"2.0","rawPath":"/","requestContext":{"http":{"method":"GET"}}}`)
	got, err := lambdaHandler{handler}.Invoke(t.Context(), payload)
	if err != nil {
		t.Fatal(err)
	}
	var a answerV2
	if err := json.Unmarshal(got, &a); err != nil {
		t.Fatal(err)
	}
	return a
}

func TestBinaryBodiesTravelInBase64(t *testing.T) {
	for name, c := range map[string]struct {
		kind, encoding, body string
		base64               bool
	}{
		"JSON":             {"application/problem+json", "", `{"ü":1}`, false},
		"an image":         {"image/png", "", "text all the same", true},
		"text in no UTF-8": {"text/plain", "", "\xff", true},
		"compressed text":  {"text/plain", "gzip", "x", true},
	} {
		a := invokeV2(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", c.kind)
			if c.encoding != "" {
				w.Header().Set("Content-Encoding", c.encoding)
			}
			_, _ = io.WriteString(w, c.body)
		})
		if a.IsBase64 != c.base64 || a.Status != 200 {
			t.Errorf("%s: %+v", name, a)
		}
	}
}

func TestAPanicAnswers500(t *testing.T) {
	a := invokeV2(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "half")
		panic(http.ErrAbortHandler)
	})
	if a.Status != 500 || strings.Contains(a.Body, "half") {
		t.Errorf("got %+v", a)
	}
}

func TestAnAnswerBeyondLambdasLimitIsAnError(t *testing.T) {
	a := invokeV2(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "image/png")
		_, _ = w.Write(make([]byte, 5_000_000)) // 6.7 MB in base64
	})
	if a.Status != 500 || !strings.Contains(a.Body, "larger than Lambda allows") {
		t.Errorf("got %d %.200s", a.Status, a.Body)
	}
	var failed error
	invokeV2(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(make([]byte, 5_000_000))
		_, failed = w.Write(make([]byte, 5_000_000))
	})
	if failed == nil {
		t.Error("memory is not bounded")
	}
}

func TestOtherEventsAreRefused(t *testing.T) {
	for _, payload := range []string{`{"Records":[]}`, `[]`, `{`, `{"version":"2.0"}`, `null`} {
		_, err := lambdaHandler{http.HandlerFunc(mirror)}.Invoke(t.Context(), []byte(payload))
		if !errors.Is(err, errNoHTTP) {
			t.Errorf("%s: got %v", payload, err)
		}
	}
}

var app = fstest.MapFS{
	"host.json":             {Data: []byte(`{"customHandler":{"enableProxyingHttpRequest":true}}`)},
	"api/function.json":     {Data: []byte(`{"bindings":[{"type":"httpTrigger"},{"type":"http"}]}`)},
	"changes/function.json": {Data: []byte(`{"bindings":[{"type":"cosmosDBTrigger"}]}`)},
}

func TestOnlyFunctionsWithoutProxiedHTTPAreEnveloped(t *testing.T) {
	got, err := readFunctions(app)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]bool{"changes": true}, got); diff != "" {
		t.Error(diff)
	}
	plain := fstest.MapFS{"host.json": {Data: []byte(`{}`)}, "api/function.json": app["api/function.json"]}
	if got, err = readFunctions(plain); err != nil || !got["api"] {
		t.Errorf("without proxying: %v, %v", got, err)
	}
	if _, err = readFunctions(fstest.MapFS{}); err == nil {
		t.Error("an app without host.json was accepted")
	}
}

// listen serves a custom handler on loopback until the test ends.
func listen(t *testing.T, handler http.Handler) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- serveHTTP(ctx, listener, handler) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return "http://" + listener.Addr().String()
}

func post(t *testing.T, url, body string) (int, string) {
	t.Helper()
	resp, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(text))
}

func TestCustomHandlerTellsEnvelopesFromRequests(t *testing.T) {
	handler := demux{functions: map[string]bool{"changes": true, "web": true}, next: http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if strings.Contains(string(body), "poison") {
				w.WriteHeader(http.StatusInternalServerError)
			}
			fmt.Fprintf(w, "%s %s %s", r.Method, r.URL.Path, body)
		})}
	url := listen(t, handler)
	for _, c := range []struct {
		path, body string
		status     int
		want       string
	}{
		{"/orders", `{"Data":{"x":1}}`, 200, `POST /orders {"Data":{"x":1}}`},
		{
			"/changes", `{"Data":{"docs":"[{\"id\":1}]"},"Metadata":{}}`, 200,
			`{"Outputs":{},"Logs":[],"ReturnValue":"POST /changes [{\"id\":1}]"}`,
		},
		{"/changes", `{"Data":{"docs":"poison"}}`, 500, `{"Outputs":{},"Logs":[],"ReturnValue":"POST /changes \"poison\""}`},
		{"/changes", `{}`, 400, `the invocation has no Data`},
		{
			"/web", `{"Data":{"req":{"Url":"http://h/orders?x=1","Method":"PUT","Body":"b","Headers":{"A":["1"]}}}}`, 200,
			`{"Outputs":{"res":{"body":"PUT /orders b","headers":{"Content-Type":"text/plain; charset=utf-8"},"statusCode":200}},` +
				`"Logs":[],"ReturnValue":{"body":"PUT /orders b","headers":{"Content-Type":"text/plain; charset=utf-8"},` +
				`"statusCode":200}}`,
		},
	} {
		status, got := post(t, url+c.path, c.body)
		if status != c.status || got != c.want {
			t.Errorf("%s %s: got %d %s\nwant %d %s", c.path, c.body, status, got, c.status, c.want)
		}
	}
}

func TestServingEndsAfterRequestsInFlight(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	inside, release := make(chan struct{}), make(chan struct{})
	done := make(chan error, 1)
	go func() {
		done <- serveHTTP(ctx, listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			close(inside)
			<-release
			fmt.Fprint(w, "answered")
		}))
	}()
	answer := make(chan string, 1)
	go func() {
		resp, err := http.Get("http://" + listener.Addr().String())
		if err != nil {
			answer <- err.Error()
			return
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		answer <- string(text)
	}()
	<-inside
	stop()
	close(release)
	if got := <-answer; got != "answered" {
		t.Errorf("the request in flight got %q", got)
	}
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(2 * shutdownGrace):
		t.Error("serving did not end")
	}
}

func TestThePlatformDecidesWhereToListen(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	env := map[string]string{"PORT": "0"}
	if err := serve(ctx, http.NotFoundHandler(), func(name string) string { return env[name] }); err != nil {
		t.Errorf("plain: %v", err)
	}
	t.Chdir(t.TempDir())
	env["FUNCTIONS_CUSTOMHANDLER_PORT"] = "0"
	err := serve(ctx, http.NotFoundHandler(), func(name string) string { return env[name] })
	if err == nil || !strings.Contains(err.Error(), "host.json") {
		t.Errorf("outside a Functions app: %v", err)
	}
}

func TestPathsAreDecodedOnce(t *testing.T) {
	for _, tt := range []struct{ name, event, want string }{
		{
			"HTTP API", `{"version":"2.0","rawPath":"/orders/%41 é/b","requestContext":{
			"domainName":"x.execute-api.eu-west-1.amazonaws.com","stage":"$default","http":{"method":"GET"}}}`,
			"/orders/%41 é/b|/orders/%2541%20%C3%A9/b",
		},
		{
			"function URL", `{"version":"2.0","rawPath":"/orders/%2541%2Fb","requestContext":{
			"domainName":"x.lambda-url.eu-west-1.on.aws","http":{"method":"GET"}}}`,
			"/orders/%41/b|/orders/%2541%2Fb",
		},
		{"REST API", `{"path":"/orders/%2541%2Fb","httpMethod":"GET"}`, "/orders/%41/b|/orders/%2541%2Fb"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, v2, err := parseEvent([]byte(tt.event))
			if err != nil {
				t.Fatal(err)
			}
			r, err := e.request(t.Context(), v2)
			if err != nil {
				t.Fatal(err)
			}
			if got := r.URL.Path + "|" + r.URL.EscapedPath(); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}
