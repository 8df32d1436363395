package functions_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/proa-cloud/proa/azure/local/functions"
)

// TestMain makes the test binary a custom handler when it is started as one.
func TestMain(m *testing.M) {
	if port := os.Getenv("FUNCTIONS_CUSTOMHANDLER_PORT"); port != "" {
		if os.Getenv("MUTE") != "" {
			select {}
		}
		if err := http.ListenAndServe("127.0.0.1:"+port, http.HandlerFunc(handler)); err != nil {
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// goOn lets a stream of the handler process continue.
var goOn = make(chan struct{})

func handler(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/crash":
		os.Exit(3)
	case "/slow":
		time.Sleep(time.Minute)
	case "/stream":
		for i := range 3 {
			fmt.Fprintln(w, i)
			_ = http.NewResponseController(w).Flush()
			<-goOn // the client says so, in a request of its own
		}
	case "/go":
		goOn <- struct{}{}
	case "/headers":
		_ = r.Header.Write(w)
	case "/wrapped":
		wrapped(w, r)
	case "/refuses":
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		fmt.Fprint(conn, "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		conn.Close() // with a body on its way: a reset
	case "/fails":
		w.WriteHeader(http.StatusTeapot)
	default:
		body, err := io.ReadAll(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		fmt.Fprintf(w, "%d %s %d", os.Getpid(), r.Host, len(body))
	}
}

// wrapped answers an invocation whose HTTP request is wrapped as JSON.
func wrapped(w http.ResponseWriter, r *http.Request) {
	var call struct {
		Data struct {
			Req struct {
				Method string
				Query  map[string]string
				Params map[string]string
				Body   string
			} `json:"req"`
		}
		Metadata map[string]any
	}
	if err := json.NewDecoder(r.Body).Decode(&call); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	req := call.Data.Req
	_ = json.NewEncoder(w).Encode(map[string]any{
		"Logs": []string{"a line"},
		"Outputs": map[string]any{"res": map[string]any{
			"statusCode": 201, "headers": map[string]string{"X-Id": req.Params["id"]},
			"body": req.Method + " " + req.Query["q"] + " " + req.Body,
		}},
	})
}

type function struct{ name, text string }

const proxied = `"enableProxyingHttpRequest":true`

// folder makes a package whose bootstrap is this test binary.
func folder(t *testing.T, mode string, fs ...function) string {
	t.Helper()
	dir := t.TempDir()
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(executable, filepath.Join(dir, "bootstrap")); err != nil {
		t.Fatal(err)
	}
	if mode != "" {
		mode = "," + mode
	}
	put(t, filepath.Join(dir, "host.json"), `{"version":"2.0","functionTimeout":"00:00:01",
		"extensions":{"http":{"routePrefix":""}},
		"customHandler":{"description":{"defaultExecutablePath":"bootstrap"}`+mode+`}}`)
	for _, f := range fs {
		put(t, filepath.Join(dir, f.name, "function.json"), f.text)
	}
	return dir
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func trigger(route, level string) string {
	return `{"bindings":[{"type":"httpTrigger","direction":"in","name":"req","authLevel":"` + level +
		`","route":"` + route + `"},{"type":"http","direction":"out","name":"res"}]}`
}

func anything() function { return function{"api", trigger("{*path}", "anonymous")} }

// run runs the apps; the returned URL of a name is its entrance.
func run(t *testing.T, apps ...functions.App) (url func(name string) string, host *functions.Host) {
	t.Helper()
	host, err := functions.New(functions.Config{Dir: t.TempDir(), Clock: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	host.SetApps(apps)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- host.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return func(name string) string {
		server := httptest.NewServer(host.Handler(name))
		t.Cleanup(server.Close)
		return server.URL
	}, host
}

func do(t *testing.T, method, url string, body io.Reader, h ...string) (int, string, http.Header) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(h); i += 2 {
		r.Header.Set(h[i], h[i+1])
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text), response.Header
}

func TestACrashedHandlerIsStartedAgain(t *testing.T) {
	url, _ := run(t, functions.App{Name: "app", Package: folder(t, proxied, anything())})
	at := url("app")
	_, before, _ := do(t, "GET", at+"/", nil)
	if status, _, _ := do(t, "GET", at+"/crash", nil); status != http.StatusBadGateway {
		t.Errorf("the crash is answered %d", status)
	}
	deadline := time.Now().Add(20 * time.Second)
	for {
		status, after, _ := do(t, "GET", at+"/", nil)
		if status == http.StatusOK && after != before {
			return
		}
		if status != http.StatusOK && status != http.StatusServiceUnavailable && status != http.StatusBadGateway {
			t.Fatalf("answered %d meanwhile", status)
		}
		if time.Now().After(deadline) {
			t.Fatal("the handler does not come back")
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestABrokenAppDoesNotTouchItsNeighbour(t *testing.T) {
	broken := folder(t, proxied, anything())
	put(t, filepath.Join(broken, "host.json"), `{"version":"2.0","costumHandler":{}}`)
	url, _ := run(t,
		functions.App{Name: "broken", Package: broken},
		functions.App{Name: "missing", Package: filepath.Join(t.TempDir(), "none.zip")},
		functions.App{Name: "app", Package: folder(t, proxied, anything())})
	if status, _, _ := do(t, "GET", url("app")+"/", nil); status != http.StatusOK {
		t.Errorf("the good app answers %d", status)
	}
	for _, name := range []string{"broken", "missing"} {
		status, body, _ := do(t, "GET", url(name)+"/", nil)
		if status != http.StatusServiceUnavailable || !strings.Contains(body, "Function host is not running.") {
			t.Errorf("%s answers %d %s", name, status, body)
		}
	}
	if status, _, _ := do(t, "GET", url("unknown")+"/", nil); status != http.StatusNotFound {
		t.Errorf("an unknown app answers %d", status)
	}
}

func TestAnAnswerStreamsThroughTheProxy(t *testing.T) {
	url, _ := run(t, functions.App{Name: "app", Package: folder(t, proxied, anything())})
	at := url("app")
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, at+"/stream", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	line := make([]byte, 2)
	for i := range 3 {
		if _, err := io.ReadFull(response.Body, line); err != nil || string(line) != fmt.Sprintln(i) {
			t.Fatalf("line %d did not come while the function runs: %q, %v", i, line, err)
		}
		if status, _, _ := do(t, "GET", at+"/go", nil); status != http.StatusOK {
			t.Fatalf("answered %d", status)
		}
	}
}

func TestLimitsAreTheVendors(t *testing.T) {
	patient := folder(t, proxied, anything())
	put(t, filepath.Join(patient, "host.json"), `{"version":"2.0","functionTimeout":"00:03:00",
		"extensions":{"http":{"routePrefix":""}},
		"customHandler":{"description":{"defaultExecutablePath":"bootstrap"},`+proxied+`}}`)
	url, _ := run(t,
		functions.App{Name: "app", Package: folder(t, proxied, anything()), Concurrency: 1},
		functions.App{Name: "patient", Package: patient})
	at := url("app")
	status, _, _ := do(t, "POST", url("patient")+"/", io.LimitReader(zeros{}, 100<<20+1))
	if status != http.StatusRequestEntityTooLarge {
		t.Errorf("too large a body is answered %d", status)
	}
	began := time.Now()
	slow := make(chan int, 1)
	go func() {
		for { // until it is let in between the others
			response, err := http.Get(at + "/slow")
			if err != nil {
				slow <- 0
				return
			}
			response.Body.Close()
			if response.StatusCode != http.StatusTooManyRequests {
				slow <- response.StatusCode
				return
			}
		}
	}()
	for { // until the slow request is in flight
		status, _, _ := do(t, "GET", at+"/", nil)
		if status == http.StatusTooManyRequests {
			break
		}
		if time.Since(began) > 10*time.Second {
			t.Fatal("a request past the limit was let through")
		}
	}
	if status := <-slow; status != http.StatusGatewayTimeout {
		t.Errorf("the function that takes too long is answered %d", status)
	}
}

// A handler that answers before it has read the body is heard, whatever the connection does then.
func TestAnEarlyAnswerIsNotLost(t *testing.T) {
	const size = 20 << 20
	url, _ := run(t, functions.App{Name: "app", Package: folder(t, proxied, anything())})
	address := strings.TrimPrefix(url("app"), "http://")
	for i := range 20 {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		go func() { // the client goes on sending, whatever comes back
			fmt.Fprintf(conn, "PUT /refuses HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", size)
			_, _ = io.Copy(struct{ io.Writer }{conn}, io.LimitReader(zeros{}, size))
		}()
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		conn.Close()
		if response.StatusCode != http.StatusRequestEntityTooLarge {
			t.Fatalf("request %d is answered %s", i, response.Status)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestKeysOpenWhatIsNotAnonymous(t *testing.T) {
	url, _ := run(t, functions.App{
		Name: "app", HostKeys: map[string]string{"default": "d", "master": "m"},
		Package: folder(t, proxied, function{"f", trigger("f", "function")},
			function{"a", trigger("a", "admin")}, function{"open", trigger("o/{id:int}", "anonymous")}),
	})
	at := url("app")
	for _, tc := range []struct {
		path, key string
		status    int
	}{
		{"/f", "", 401},
		{"/f", "wrong", 401},
		{"/f", "d", 200},
		{"/f", "m", 200},
		{"/f?code=d", "", 200},
		{"/a", "d", 401},
		{"/a", "m", 200},
		{"/o/12", "", 200},
		{"/o/x", "", 404},
		{"/none", "m", 404},
	} {
		if status, _, _ := do(t, "GET", at+tc.path, nil, "x-functions-key", tc.key); status != tc.status {
			t.Errorf("%s with key %q is answered %d, want %d", tc.path, tc.key, status, tc.status)
		}
	}
}

func TestWrappedRequestsAreUnwrapped(t *testing.T) {
	url, _ := run(t, functions.App{Name: "app", Package: folder(t, "",
		function{"wrapped", trigger("w/{id}", "anonymous")},
		function{"fails", trigger("fails", "anonymous")})})
	at := url("app")
	status, body, h := do(t, "POST", at+"/w/7?q=1", strings.NewReader("hi"))
	if status != 201 || body != "POST 1 hi" || h.Get("X-Id") != "7" {
		t.Errorf("answered %d %q %v", status, body, h)
	}
	if status, _, _ := do(t, "GET", at+"/fails", nil); status != http.StatusInternalServerError {
		t.Errorf("a failed invocation is answered %d", status)
	}
}

func TestAChangedAppIsStartedAnewAndOthersGoOn(t *testing.T) {
	one := functions.App{Name: "one", Package: folder(t, proxied, anything())}
	two := functions.App{Name: "two", Package: folder(t, proxied, anything()), Workers: 2}
	url, host := run(t, one, two)
	first, second := url("one"), url("two")
	_, pidOne, _ := do(t, "GET", first+"/", nil)
	before := pids(t, second)
	one.Settings = map[string]string{"A": "B"}
	host.SetApps([]functions.App{one, two})
	deadline := time.Now().Add(20 * time.Second)
	for {
		status, now, _ := do(t, "GET", first+"/", nil)
		if status == http.StatusOK && now != pidOne {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the changed app was not started anew")
		}
		time.Sleep(5 * time.Millisecond)
	}
	for pid := range pids(t, second) {
		if !before[pid] {
			t.Error("the other app was started anew too")
		}
	}
}

// pids asks until both workers have answered.
func pids(t *testing.T, at string) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	for range 1000 {
		_, body, _ := do(t, "GET", at+"/", nil)
		out[body] = true
		if len(out) == 2 {
			return out
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("only one worker answers")
	return nil
}

func TestPackagesThatCannotWorkSayWhy(t *testing.T) {
	for name, tc := range map[string]struct{ host, function, want string }{
		"version":  {`{"version":"1.0"}`, "", `version is "1.0"`},
		"no path":  {`{"version":"2.0","customHandler":{}}`, "", "defaultExecutablePath is missing"},
		"misspelt": {`{"version":"2.0","customHandlr":{}}`, "", "customHandlr"},
		"routes": {`{"version":"2.0","customHandler":{"description":{"defaultExecutablePath":"b"},
			"http":{}}}`, "", "customHandler.http is not supported"},
		"level": {"", strings.Replace(trigger("x", "anonymous"), "anonymous", "everyone", 1), "authLevel"},
		"route": {"", trigger("a/{b}c", "anonymous"), "segment"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := folder(t, proxied, anything())
			if tc.host != "" {
				put(t, filepath.Join(dir, "host.json"), tc.host)
			}
			if tc.function != "" {
				put(t, filepath.Join(dir, "bad", "function.json"), tc.function)
			}
			err := functions.Check(dir)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("says %v, want something with %q", err, tc.want)
			}
		})
	}
	if err := functions.Check(folder(t, proxied, anything())); err != nil {
		t.Error(err)
	}
}

func TestCallersCannotSayWhoTheyAre(t *testing.T) {
	url, _ := run(t, functions.App{Name: "app", Package: folder(t, proxied, anything())})
	_, got, _ := do(t, "GET", url("app")+"/headers", nil, "X-MS-CLIENT-PRINCIPAL", "forged",
		"x-ms-client-principal-id", "forged", "X-MS-TOKEN-AAD-ACCESS-TOKEN", "forged",
		"X-Azure-Functions-Future", "forged", "CLIENT-IP", "forged", "X-Forwarded-Host", "forged",
		"X-Own", "kept")
	if strings.Contains(got, "forged") || !strings.Contains(got, "kept") {
		t.Errorf("the function got\n%s", got)
	}
}
