package dns

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"
)

// testTLS makes a certificate for 127.0.0.1 and the pool that trusts it.
func testTLS(t *testing.T) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "proa test"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, pool
}

func serveStreams(t *testing.T, change func(*Config)) (*Server, *x509.CertPool) {
	t.Helper()
	cfg := demoConfig(t)
	var pool *x509.CertPool
	cfg.TLS, pool = testTLS(t)
	cfg.ListenTLS, cfg.ListenHTTPS = []string{"127.0.0.1:0"}, []string{"127.0.0.1:0"}
	if change != nil {
		change(&cfg)
	}
	s, _ := serve(t, cfg)
	return s, pool
}

func TestTLSAnswersPipelinedQueries(t *testing.T) {
	s, pool := serveStreams(t, nil)
	conn, err := tls.Dial("tcp", s.StreamAddrs()[0].String(), &tls.Config{RootCAs: pool, NextProtos: []string{"dot"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if got := conn.ConnectionState().NegotiatedProtocol; got != "dot" {
		t.Errorf("protocol %q", got)
	}
	dc := &mdns.Conn{Conn: conn}
	for id := range uint16(20) {
		q := new(mdns.Msg).SetQuestion("orders.proa.test.", mdns.TypeA)
		q.Id = id
		if err := dc.WriteMsg(q); err != nil {
			t.Fatal(err)
		}
	}
	for id := range uint16(20) {
		res, err := dc.ReadMsg()
		if err != nil || res.Id != id || len(res.Answer) != 1 {
			t.Fatalf("answer %d: %v, %v", id, res, err)
		}
	}
	if got := s.Stats().TLS; got != 20 {
		t.Errorf("%d queries over TLS are counted, want 20", got)
	}
}

func TestTLSClientThatDoesNotShakeHandsIsClosed(t *testing.T) {
	s, _ := serveStreams(t, func(c *Config) { c.TCPIdle = 100 * time.Millisecond })
	for _, addr := range s.StreamAddrs() {
		conn, err := net.Dial("tcp", addr.String())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := conn.Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
			t.Errorf("%s: %v, want the connection closed", addr, err)
		}
		_ = conn.Close()
	}
}

func TestHTTPSAnswersBothMethods(t *testing.T) {
	s, pool := serveStreams(t, nil)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}}
	t.Cleanup(client.CloseIdleConnections)
	url := "https://" + s.StreamAddrs()[1].String() + "/dns-query"
	q := new(mdns.Msg).SetQuestion("orders.proa.test.", mdns.TypeA)
	q.Id = 0
	msg, err := q.Pack()
	if err != nil {
		t.Fatal(err)
	}
	check := func(res *http.Response, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		m := new(mdns.Msg)
		if err := m.Unpack(body); err != nil || len(m.Answer) != 1 {
			t.Errorf("%v: %v", err, m)
		}
		if res.Header.Get("Content-Type") != dohType || res.Header.Get("Cache-Control") != "max-age=2" || res.ProtoMajor != 2 {
			t.Errorf("%s, headers %v", res.Proto, res.Header)
		}
	}
	check(client.Get(url + "?dns=" + base64.RawURLEncoding.EncodeToString(msg)))
	check(client.Post(url, dohType, bytes.NewReader(msg)))
	if got := s.Stats().HTTPS; got != 2 {
		t.Errorf("%d queries over HTTPS are counted, want 2", got)
	}
}

func TestHTTPSRefusesWhatIsNoQuery(t *testing.T) {
	s, err := New(demoConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	h := s.DoH()
	for _, c := range []struct {
		name, method, target, kind, body string
		want                             int
	}{
		{"another method", "PUT", "/dns-query", dohType, "x", http.StatusMethodNotAllowed},
		{"no message", "GET", "/dns-query", "", "", http.StatusBadRequest},
		{"bad base64", "GET", "/dns-query?dns=%21", "", "", http.StatusBadRequest},
		{"another type", "POST", "/dns-query", "text/plain", "x", http.StatusUnsupportedMediaType},
		{"too long", "POST", "/dns-query", dohType, strings.Repeat("x", maxTCPQuery+1), http.StatusRequestEntityTooLarge},
		{"too long a parameter", "GET", "/dns-query?dns=" + strings.Repeat("A", 20_000), "", "", http.StatusRequestURITooLong},
		{"empty", "POST", "/dns-query", dohType, "", http.StatusBadRequest},
		{"a response", "POST", "/dns-query", dohType, "\x00\x00\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00", http.StatusBadRequest},
	} {
		r := httptest.NewRequestWithContext(t.Context(), c.method, c.target, strings.NewReader(c.body))
		r.Header.Set("Content-Type", c.kind)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.want {
			t.Errorf("%s: %d, want %d", c.name, w.Code, c.want)
		}
	}
}

func TestMinTTLIsTheLowestOfAnswerAndDenial(t *testing.T) {
	s := richSnapshot(t)
	for _, c := range []struct {
		name string
		want uint32
	}{{"web.example.test.", 300}, {"nope.example.test.", 30}, {"example.net.", 0}} {
		msg, err := new(mdns.Msg).SetQuestion(c.name, mdns.TypeA).Pack()
		if err != nil {
			t.Fatal(err)
		}
		out, _, _ := s.respond(nil, msg, reply{client: testClient(true)})
		if got := minTTL(out); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

// A connection in use stays open past the idle time-out: the limit on handshakes is lifted after them.
func TestHTTPSConnectionInUseStaysOpen(t *testing.T) {
	s, pool := serveStreams(t, func(c *Config) { c.TCPIdle = 400 * time.Millisecond })
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}}
	t.Cleanup(client.CloseIdleConnections)
	q := new(mdns.Msg).SetQuestion("orders.proa.test.", mdns.TypeA)
	msg, err := q.Pack()
	if err != nil {
		t.Fatal(err)
	}
	opened := 0
	trace := &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) {
		if !i.Reused {
			opened++
		}
	}}
	for begin := time.Now(); time.Since(begin) < 1500*time.Millisecond; time.Sleep(50 * time.Millisecond) {
		r, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), http.MethodPost,
			"https://"+s.StreamAddrs()[1].String()+"/dns-query", bytes.NewReader(msg))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", dohType)
		res, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
	}
	if opened != 1 {
		t.Errorf("%d connections were opened, want 1", opened)
	}
}
