package health

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/proa-cloud/proa"
)

// newExpectServer answers what the checks of this file ask for.
func newExpectServer(t *testing.T) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/json", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"status":"ok","checks":[{"name":"db","up":true,"ms":1.50},{"name":"queue"}],"none":null}`)
	})
	mux.HandleFunc("/text", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "version 1.23 ready") })
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s", r.Method, b)
	})
	mux.HandleFunc("/big", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"pad":%q}`, strings.Repeat("x", maxJSON))
	})
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return srv
}

func TestHTTPProbeJudgesTheAnswer(t *testing.T) {
	srv := newExpectServer(t)
	field := func(path, equals string) Expect { return Expect{JSON: &JSONField{Path: path, Equals: equals}} }
	for _, c := range []struct {
		cfg  HTTPConfig
		want Result
		said string
	}{
		{HTTPConfig{URL: "/json", Expect: field("status", "ok")}, Pass, ""},
		{HTTPConfig{URL: "/json", Expect: field("status", "down")}, Fail, `status is "ok", not "down"`},
		{HTTPConfig{URL: "/json", Expect: field("checks.0.up", "true")}, Pass, ""},
		{HTTPConfig{URL: "/json", Expect: field("checks.0.ms", "1.50")}, Pass, ""},
		{HTTPConfig{URL: "/json", Expect: field("checks.1.up", "true")}, Fail, `no field "checks.1.up"`},
		{HTTPConfig{URL: "/json", Expect: field("checks.2.up", "true")}, Fail, "no field"},
		{HTTPConfig{URL: "/json", Expect: field("checks.-1.up", "true")}, Fail, "no field"},
		{HTTPConfig{URL: "/json", Expect: field("none", "null")}, Pass, ""},
		{HTTPConfig{URL: "/text", Expect: field("status", "ok")}, Fail, "not JSON"},
		{HTTPConfig{URL: "/big", Expect: field("pad", "x")}, Fail, "more than 65536 bytes"},
		{HTTPConfig{URL: "/text", Expect: Expect{Matches: regexp.MustCompile(`version 1\.\d+ ready$`)}}, Pass, ""},
		{HTTPConfig{URL: "/text", Expect: Expect{Matches: regexp.MustCompile(`version 2`)}}, Fail, "does not match"},
		{HTTPConfig{URL: "/echo", Method: "PURGE", Body: "all of it", Expect: Expect{Contains: "PURGE all of it"}}, Pass, ""},
	} {
		c.cfg.URL, c.cfg.Guard = srv.URL+c.cfg.URL, here
		p, err := NewHTTP(c.cfg)
		if err != nil {
			t.Fatal(err)
		}
		got := probe(t, p)
		if got.Result != c.want || !strings.Contains(got.Reason, c.said) {
			t.Errorf("%+v: %+v, want %d, %q", c.cfg.Expect.JSON, got, c.want, c.said)
		}
	}
}

func TestRedirectsAreFollowedOnlyWhereTheyMayLead(t *testing.T) {
	var leaked atomic.Bool
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		leaked.Store(leaked.Load() || r.Header.Get("X-Key") != "")
		fmt.Fprint(w, "there")
	}))
	defer other.Close()
	mux := http.NewServeMux()
	redirect := func(path, to string) {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, to, http.StatusTemporaryRedirect)
		})
	}
	redirect("/once", "/ok")
	redirect("/twice", "/once")
	redirect("/loop", "/loop")
	redirect("/metadata", "http://169.254.169.254/latest/meta-data/")
	redirect("/file", "file:///etc/passwd")
	away, err := url.Parse(other.URL)
	if err != nil {
		t.Fatal(err)
	}
	redirect("/away", "http://localhost:"+away.Port())
	mux.HandleFunc("/ok", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "key "+r.Header.Get("X-Key")) })
	srv := httptest.NewServer(mux)
	defer srv.Close()
	for _, c := range []struct {
		path string
		hops int
		want Result
		said string
	}{
		{"/once", 0, Fail, "status 307"},
		{"/once", 1, Pass, "status 200"},
		{"/twice", 1, Fail, "status 307"},
		{"/twice", 2, Pass, "status 200"},
		{"/loop", 10, Fail, "status 307"},
		{"/metadata", 1, Fail, "redirected to a forbidden address"},
		{"/file", 1, Fail, "redirected from http to file"},
		{"/away", 1, Pass, "status 200"},
	} {
		p, err := NewHTTP(HTTPConfig{
			URL: srv.URL + c.path, Redirects: c.hops, Header: http.Header{"X-Key": {"k"}}, Guard: here,
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := probe(t, p); got.Result != c.want || !strings.Contains(got.Reason, c.said) {
			t.Errorf("%s, %d redirects: %+v", c.path, c.hops, got)
		}
	}
	if leaked.Load() {
		t.Error("the check's header travelled to another host")
	}
	if _, err := NewHTTP(HTTPConfig{URL: srv.URL, Redirects: 11}); err == nil {
		t.Error("11 redirects are taken")
	}
}

// A name may point elsewhere between a look and the use: the guard looks at what is connected to.
func TestNamesAreJudgedByWhatTheyLeadTo(t *testing.T) {
	srv := newExpectServer(t)
	_, port, _ := strings.Cut(strings.TrimPrefix(srv.URL, "http://"), ":")
	p, err := NewHTTP(HTTPConfig{URL: "http://localhost:" + port + "/text"})
	if err != nil {
		t.Fatal(err)
	}
	if got := probe(t, p); got.Result != Blind || !strings.Contains(got.Reason, "health.allow_loopback") {
		t.Errorf("%+v", got)
	}
}

func TestCertificateThatEndsSoonWarns(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	c := newCore(Config{
		Vantage: "n", Renew: time.Second, Late: time.Second,
		Endpoints: []Endpoint{endpoint(proa.AWS, &fake{})},
	}, now)
	start, _, _ := c.step(now)
	c.done(now, start[0], Outcome{
		Result: Pass, CertExpires: now.Add(6 * 24 * time.Hour), WarnBefore: 14 * 24 * time.Hour,
	}, 0)
	got := c.status(now)[0].Warning
	if got != "its certificate expires in 144h0m0s, on 2026-11-30T12:00:00Z" {
		t.Errorf("%q", got)
	}
	if w := c.status(now.Add(-30 * 24 * time.Hour))[0].Warning; w != "" {
		t.Errorf("warned too early: %q", w)
	}
}

func TestLagProbe(t *testing.T) {
	lag, unknown := 2*time.Second, ""
	p := Lag{From: proa.AWS, Max: 5 * time.Second, Of: func() (time.Duration, string) { return lag, unknown }}
	if got := probe(t, p); got.Result != Pass {
		t.Errorf("%+v", got)
	}
	lag = 6 * time.Second
	if got := probe(t, p); got.Result != Fail || got.Reason != "6s, over 5s" {
		t.Errorf("%+v", got)
	}
	unknown = "not the owner"
	if got := probe(t, p); got.Result != Blind {
		t.Errorf("%+v", got)
	}
}

// A status line has room for 16 KiB of anything.
func TestWhatAnEndpointSaysIsBounded(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = conn.Close() }()
		fmt.Fprintf(conn, "HTTP/1.1 503 \x1b[2J%s\r\nConnection: close\r\n\r\n", strings.Repeat("x", 8000))
	}))
	t.Cleanup(srv.Close)
	p, err := NewHTTP(HTTPConfig{URL: srv.URL, Guard: here})
	if err != nil {
		t.Fatal(err)
	}
	m := machine{timing: Timing{Fall: 1, Rise: 1}, flights: []flight{{1, time.Now()}}}
	m.done(time.Now(), 1, p.Probe(t.Context()))
	if m.health != proa.Unhealthy || len(m.reason) > 256 || strings.Contains(m.reason, "\x1b") || !strings.Contains(m.reason, "503") {
		t.Errorf("%s: %d bytes %q", m.health, len(m.reason), m.reason)
	}
}
