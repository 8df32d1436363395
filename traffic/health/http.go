package health

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/proa-cloud/proa"
)

// The bounds of an HTTP check.
const (
	maxRedirects   = 10
	maxRequestBody = 64 << 10
)

// HTTPConfig says what to ask and what to expect.
type HTTPConfig struct {
	// URL is asked: http or https, host and path.
	URL string
	// Method is the request's; "" is GET.
	Method string
	// Host is the Host header, "" for the URL's.
	Host string
	// Header is added to the request.
	Header http.Header
	// Body is sent with the request, at most 64 KiB.
	Body string
	// Expect says which answer passes.
	Expect Expect
	// Redirects is how many redirects are followed, at most 10. Each target is checked as the URL
	// itself is; one from https to http fails, and Header does not travel to another host. 0: a 3xx
	// is the answer, and passes only when it is listed.
	Redirects int
	// ServerName is verified against the certificate, "" for Host or the URL's host.
	ServerName string
	// RootCAs verify the certificate; nil are the system's.
	RootCAs *x509.CertPool
	// InsecureSkipVerify takes any certificate.
	InsecureSkipVerify bool
	// WarnBefore is how long before the certificate expires the check warns; 0: it does not.
	WarnBefore time.Duration
	// Guard says which addresses may be reached.
	Guard Guard
}

// HTTP passes when a request is answered as expected. Each probe opens its own connection.
type HTTP struct {
	cfg    HTTPConfig
	host   string // of the URL, without port
	client http.Client
}

// NewHTTP prepares the probe. What cannot be asked is refused with proa.ErrInvalidConfig.
func NewHTTP(cfg HTTPConfig) (*HTTP, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("health check: %w: %w", proa.ErrInvalidConfig, err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return nil, fmt.Errorf("health check %q: want http://host/path or https://host/path: %w",
			cfg.URL, proa.ErrInvalidConfig)
	}
	if cfg.Redirects < 0 || cfg.Redirects > maxRedirects || len(cfg.Body) > maxRequestBody {
		return nil, fmt.Errorf("health check %q: want at most %d redirects and %d bytes of body: %w",
			cfg.URL, maxRedirects, maxRequestBody, proa.ErrInvalidConfig)
	}
	if cfg.Method == "" {
		cfg.Method = http.MethodGet
	}
	if _, err := http.NewRequest(cfg.Method, cfg.URL, http.NoBody); err != nil {
		return nil, fmt.Errorf("health check %q: %w: %w", cfg.URL, proa.ErrInvalidConfig, err)
	}
	serverName := cfg.ServerName
	if serverName == "" {
		serverName = hostOnly(cfg.Host)
	}
	h := &HTTP{cfg: cfg, host: u.Hostname()}
	dial := cfg.Guard.dialer().DialContext
	h.client.Transport = &http.Transport{
		DialContext: dial,
		DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return h.dialTLS(ctx, dial, network, address, serverName)
		},
		DisableKeepAlives:      true, // the way in is tested, not an old connection
		DisableCompression:     true,
		MaxResponseHeaderBytes: 16 << 10,
	}
	return h, nil
}

// dialTLS verifies the configured name at the URL's own host, and a redirect's name at its own.
func (h *HTTP) dialTLS(
	ctx context.Context, dial func(context.Context, string, string) (net.Conn, error),
	network, address, serverName string,
) (net.Conn, error) {
	conn, err := dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if host := hostOnly(address); serverName == "" || host != h.host {
		serverName = host
	}
	secured := tls.Client(conn, &tls.Config{
		MinVersion: tls.VersionTLS12, ServerName: serverName, RootCAs: h.cfg.RootCAs,
		InsecureSkipVerify: h.cfg.InsecureSkipVerify,
	})
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return secured, nil
}

func hostOnly(hostport string) string {
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		return host
	}
	return hostport
}

// Name implements Probe.
func (h *HTTP) Name() string { return h.cfg.Method + " " + h.cfg.URL }

// Probe implements Probe.
func (h *HTTP) Probe(ctx context.Context) Outcome {
	req, err := http.NewRequestWithContext(ctx, h.cfg.Method, h.cfg.URL,
		bytes.NewReader([]byte(h.cfg.Body)))
	if err != nil {
		return Outcome{Result: Blind, Reason: err.Error()}
	}
	req.Header.Set("User-Agent", "proa-health")
	for name, values := range h.cfg.Header {
		req.Header[name] = values
	}
	req.Host = h.cfg.Host
	client, hops := h.client, 0
	client.CheckRedirect = func(next *http.Request, via []*http.Request) error {
		if len(via) > h.cfg.Redirects {
			return http.ErrUseLastResponse
		}
		hops = len(via)
		return h.redirect(next, via[len(via)-1])
	}
	res, err := client.Do(req)
	if err != nil {
		o := failed(err)
		if hops > 0 && errors.Is(err, errForbidden) {
			o.Result, o.Reason = Fail, "redirected to a forbidden address: "+plain(err)
		}
		return o
	}
	defer func() { _ = res.Body.Close() }()
	o := h.judge(res)
	if res.TLS != nil && len(res.TLS.PeerCertificates) > 0 {
		o.CertExpires = res.TLS.PeerCertificates[0].NotAfter
		o.WarnBefore = h.cfg.WarnBefore
	}
	return o
}

// redirect refuses what leaves the encrypted way, and keeps the check's headers, which may be
// secrets, from other hosts.
func (h *HTTP) redirect(next, last *http.Request) error {
	if last.URL.Scheme == "https" && next.URL.Scheme != "https" ||
		next.URL.Scheme != "https" && next.URL.Scheme != "http" {
		return fmt.Errorf("redirected from %s to %s", last.URL.Scheme, next.URL.Scheme)
	}
	if next.URL.Hostname() != h.host {
		for name := range h.cfg.Header {
			next.Header.Del(name)
		}
	}
	return nil
}

func (h *HTTP) judge(res *http.Response) Outcome {
	if !h.cfg.Expect.status(res.StatusCode) {
		return Outcome{Result: Fail, Reason: "status " + res.Status}
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, h.cfg.Expect.limit()))
	if err != nil {
		return failed(err)
	}
	if wrong := h.cfg.Expect.body(body); wrong != "" {
		return Outcome{Result: Fail, Reason: "status " + res.Status + ", but " + wrong}
	}
	return Outcome{Result: Pass, Reason: "status " + res.Status}
}
