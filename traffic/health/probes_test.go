package health

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
)

// here allows the addresses on which the tests' servers listen.
var here = Guard{Loopback: true}

func probe(t *testing.T, p Probe) Outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	return p.Probe(ctx)
}

func TestHTTPProbeExpects(t *testing.T) {
	var redirected atomic.Bool
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "ok for %s with %s", r.Host, r.Header.Get("X-Probe"))
	})
	mux.HandleFunc("POST /post", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) })
	mux.HandleFunc("/down", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	mux.HandleFunc("/hang", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/away", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/followed", http.StatusFound) })
	mux.HandleFunc("/followed", func(http.ResponseWriter, *http.Request) { redirected.Store(true) })
	mux.HandleFunc("/late", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat("x", maxBody), "needle") })
	srv := httptest.NewServer(mux)
	defer srv.Close()
	for _, c := range []struct {
		name string
		cfg  HTTPConfig
		want Outcome
	}{
		{"2xx", HTTPConfig{URL: "/healthz"}, Outcome{Result: Pass, Reason: "status 200"}},
		{"host and header", HTTPConfig{
			URL: "/healthz", Host: "orders.proa.test", Header: http.Header{"X-Probe": {"1"}},
			Expect: Expect{Contains: "ok for orders.proa.test with 1"},
		}, Outcome{Result: Pass, Reason: "status 200"}},
		{"body", HTTPConfig{URL: "/healthz", Expect: Expect{Contains: "nothing like it"}}, Outcome{Result: Fail, Reason: "is not in the body"}},
		{"body past the limit", HTTPConfig{URL: "/late", Expect: Expect{Contains: "needle"}}, Outcome{Result: Fail, Reason: "is not in the body"}},
		{"method", HTTPConfig{URL: "/post", Method: "POST"}, Outcome{Result: Pass, Reason: "status 202"}},
		{"status", HTTPConfig{URL: "/down"}, Outcome{Result: Fail, Reason: "status 503"}},
		{"status that is expected", HTTPConfig{URL: "/down", Expect: Expect{Status: []int{503}}}, Outcome{Result: Pass, Reason: "status 503"}},
		{"status that is not listed", HTTPConfig{URL: "/healthz", Expect: Expect{Status: []int{204}}}, Outcome{Result: Fail, Reason: "status 200"}},
		{"redirect", HTTPConfig{URL: "/away"}, Outcome{Result: Fail, Reason: "status 302"}},
		{"hang", HTTPConfig{URL: "/hang"}, Outcome{Result: Fail, Timeout: true, Reason: "no answer in time"}},
	} {
		c.cfg.URL, c.cfg.Guard = srv.URL+c.cfg.URL, here
		p, err := NewHTTP(c.cfg)
		if err != nil {
			t.Fatal(err)
		}
		got := probe(t, p)
		if got.Result != c.want.Result || got.Timeout != c.want.Timeout || !strings.Contains(got.Reason, c.want.Reason) {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
	if redirected.Load() {
		t.Error("a redirect was followed")
	}
}

func TestHTTPSProbeVerifiesAndReportsExpiry(t *testing.T) {
	srv := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer srv.Close()
	srv.Config.ErrorLog = nil
	pool := x509.NewCertPool()
	pool.AddCert(srv.Certificate())
	for _, c := range []struct {
		name string
		cfg  HTTPConfig
		want Result
	}{
		{"unknown authority", HTTPConfig{URL: srv.URL}, Fail},
		{"known authority", HTTPConfig{URL: srv.URL, RootCAs: pool}, Pass},
		{"other name", HTTPConfig{URL: srv.URL, RootCAs: pool, ServerName: "other.test"}, Fail},
		{"name of the certificate", HTTPConfig{URL: srv.URL, RootCAs: pool, Host: "example.com"}, Pass},
		{"unverified by choice", HTTPConfig{URL: srv.URL, InsecureSkipVerify: true}, Pass},
	} {
		c.cfg.Guard = here
		p, err := NewHTTP(c.cfg)
		if err != nil {
			t.Fatal(err)
		}
		got := probe(t, p)
		if got.Result != c.want {
			t.Errorf("%s: %+v", c.name, got)
		}
		if got.Result == Pass && !got.CertExpires.Equal(srv.TLS.Certificates[0].Leaf.NotAfter) {
			t.Errorf("%s: expiry %s", c.name, got.CertExpires)
		}
	}
}

func TestTCPProbe(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if got := probe(t, TCP{l.Addr().String(), here}); got.Result != Pass {
		t.Errorf("open: %+v", got)
	}
	_ = l.Close()
	if got := probe(t, TCP{l.Addr().String(), here}); got.Result != Fail || !strings.Contains(got.Reason, "refused") {
		t.Errorf("closed: %+v", got)
	}
}

func TestProbesDoNotReachMetadataAddresses(t *testing.T) {
	for _, a := range []string{
		"169.254.169.254", "::ffff:169.254.169.254", "fe80::1", "fd00:ec2::254", "168.63.129.16",
		"100.100.100.200", "0.0.0.0", "::", "224.0.0.1", "255.255.255.255",
		"64:ff9b::a9fe:a9fe", "64:ff9b:1::169.254.169.254", "2002:a9fe:a9fe::1", "::169.254.169.254",
	} {
		if err := here.allowed(netip.MustParseAddr(a)); !errors.Is(err, proa.ErrInvalidConfig) {
			t.Errorf("%s: %v", a, err)
		}
	}
	for _, a := range []string{
		"127.0.64.1", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::1", "::127.0.0.1",
	} {
		if err := here.allowed(netip.MustParseAddr(a)); err != nil {
			t.Errorf("%s: %v", a, err)
		}
		if err := (Guard{}).allowed(netip.MustParseAddr(a)); !errors.Is(err, proa.ErrInvalidConfig) {
			t.Errorf("%s is loopback, and loopback is not allowed: %v", a, err)
		}
	}
	for _, a := range []string{"10.0.0.1", "192.0.2.1", "2001:db8::1", "64:ff9b::c000:201"} {
		if err := (Guard{}).allowed(netip.MustParseAddr(a)); err != nil {
			t.Errorf("%s: %v", a, err)
		}
	}
	p, err := NewHTTP(HTTPConfig{URL: "http://169.254.169.254/latest/meta-data/"})
	if err != nil {
		t.Fatal(err)
	}
	got := probe(t, p)
	if got.Result != Blind || !strings.Contains(got.Reason, "169.254.169.254 (169.254.0.0/16)") {
		t.Errorf("got %+v", got)
	}
}

func TestBadURLsAreRefused(t *testing.T) {
	for _, u := range []string{"", "ftp://x/", "http://", "http://user:pw@x/", "://", "file:///etc/passwd"} {
		if _, err := NewHTTP(HTTPConfig{URL: u}); !errors.Is(err, proa.ErrInvalidConfig) {
			t.Errorf("%q: %v", u, err)
		}
	}
}

func TestOwnFaultsAreToldFromTheEndpoints(t *testing.T) {
	wrap := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	for _, c := range []struct {
		err  error
		want Result
	}{
		{wrap(syscall.ENETUNREACH), Blind},
		{wrap(syscall.EMFILE), Blind},
		{wrap(syscall.EADDRNOTAVAIL), Blind},
		{&net.DNSError{Err: "server misbehaving", IsTemporary: true}, Blind},
		{&net.DNSError{Err: "no such host", IsNotFound: true}, Fail},
		{wrap(syscall.ECONNREFUSED), Fail},
		{wrap(syscall.ECONNRESET), Fail},
		{wrap(syscall.EHOSTUNREACH), Fail},
		{context.DeadlineExceeded, Fail},
		{context.Canceled, Blind},
	} {
		if got := failed(c.err); got.Result != c.want {
			t.Errorf("%v: %+v, want result %d", c.err, got, c.want)
		}
	}
}

type alarmFunc func() (cloud.Alarm, error)

func (f alarmFunc) Alarm(context.Context) (cloud.Alarm, error) { return f() }

func TestMonitorProbe(t *testing.T) {
	for _, c := range []struct {
		alarm cloud.Alarm
		err   error
		want  Result
	}{
		{cloud.Alarm{Known: true}, nil, Pass},
		{cloud.Alarm{Known: true, Firing: true}, nil, Fail},
		{cloud.Alarm{Firing: true}, nil, Blind},
		{cloud.Alarm{}, proa.ErrUnavailable, Blind},
	} {
		p := Monitor{Of: "cloudwatch", From: alarmFunc(func() (cloud.Alarm, error) { return c.alarm, c.err })}
		if got := probe(t, p); got.Result != c.want {
			t.Errorf("%+v %v: %+v", c.alarm, c.err, got)
		}
	}
}

type panicking struct{}

func (panicking) Name() string                  { return "panicking" }
func (panicking) Probe(context.Context) Outcome { panic("bug") }

func TestProbesPanicIsBlind(t *testing.T) {
	if got := safely(t.Context(), panicking{}); got.Result != Blind {
		t.Errorf("got %+v", got)
	}
}

// TestTripwireFindsACrash closes a real listener and its connections, as the kernel does for a
// killed process.
func TestTripwireFindsACrash(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	conns := make(chan net.Conn, 1000)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				close(conns)
				return
			}
			conns <- c
		}
	}()
	slow := DefaultTiming()
	slow.Interval = time.Hour // only the tripwire can find it
	verdicts := make(chan proa.Verdict, 1000)
	p, err := New(Config{
		Vantage: "n", Clock: time.Now, Report: func(v proa.Verdict) { verdicts <- v },
		Endpoints: []Endpoint{
			{
				Region: proa.AWS, Tripwire: l.Addr().String(), Guard: here,
				Checks: []CheckConfig{{Probe: TCP{l.Addr().String(), here}, Timing: slow}},
			},
			endpoint(proa.Azure, &fake{}),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	await := func(h proa.Health) {
		t.Helper()
		for {
			select {
			case v := <-verdicts:
				if v.Region == proa.AWS && v.Health == h {
					return
				}
			case <-ctx.Done():
				t.Fatalf("aws was never %s", h)
			}
		}
	}
	await(proa.Healthy)
	_ = l.Close()
	for c := range conns {
		_ = c.Close()
	}
	began := time.Now()
	await(proa.Unhealthy)
	t.Logf("found after %s", time.Since(began))
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
