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
	"slices"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
)

// maxBody is how much of a body is searched, as much as Route 53 searches.
// https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-determining-health-of-endpoints.html
const maxBody = 5120

// TCP passes when a connection opens.
type TCP struct {
	Address string // host:port
}

// Name implements Probe.
func (t TCP) Name() string { return "tcp " + t.Address }

// Probe implements Probe.
func (t TCP) Probe(ctx context.Context) Outcome {
	conn, err := guardedDialer().DialContext(ctx, "tcp", t.Address)
	if err != nil {
		return failed(err)
	}
	_ = conn.Close()
	return Outcome{Result: Pass, Reason: "connected"}
}

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
	// Status lists what passes; empty: any 2xx. Redirects are not followed: a 3xx passes only when
	// it is listed.
	Status []int
	// Contains must be in the first 5,120 bytes of the body; "" for anything.
	Contains string
	// ServerName is verified against the certificate, "" for Host or the URL's host.
	ServerName string
	// RootCAs verify the certificate; nil are the system's.
	RootCAs *x509.CertPool
	// InsecureSkipVerify takes any certificate.
	InsecureSkipVerify bool
}

// HTTP passes when a request is answered as expected. Each probe opens its own connection.
type HTTP struct {
	cfg    HTTPConfig
	client *http.Client
}

// NewHTTP prepares the probe. A URL that cannot be asked is refused with proa.ErrInvalidConfig.
func NewHTTP(cfg HTTPConfig) (*HTTP, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("health check: %w: %w", proa.ErrInvalidConfig, err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return nil, fmt.Errorf("health check %q: want http://host/path or https://host/path: %w",
			cfg.URL, proa.ErrInvalidConfig)
	}
	if cfg.Method == "" {
		cfg.Method = http.MethodGet
	}
	serverName := cfg.ServerName
	if serverName == "" {
		serverName = hostOnly(cfg.Host)
	}
	transport := &http.Transport{
		DialContext:            guardedDialer().DialContext,
		DisableKeepAlives:      true, // the way in is tested, not an old connection
		DisableCompression:     true,
		MaxResponseHeaderBytes: 16 << 10,
		TLSClientConfig: &tls.Config{
			MinVersion: tls.VersionTLS12, ServerName: serverName, RootCAs: cfg.RootCAs,
			InsecureSkipVerify: cfg.InsecureSkipVerify,
		},
	}
	return &HTTP{cfg: cfg, client: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
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
	req, err := http.NewRequestWithContext(ctx, h.cfg.Method, h.cfg.URL, nil)
	if err != nil {
		return Outcome{Result: Blind, Reason: err.Error()}
	}
	req.Header.Set("User-Agent", "proa-health")
	for name, values := range h.cfg.Header {
		req.Header[name] = values
	}
	req.Host = h.cfg.Host
	res, err := h.client.Do(req)
	if err != nil {
		return failed(err)
	}
	defer func() { _ = res.Body.Close() }()
	o := h.judge(res)
	if res.TLS != nil && len(res.TLS.PeerCertificates) > 0 {
		o.CertExpires = res.TLS.PeerCertificates[0].NotAfter
	}
	return o
}

func (h *HTTP) judge(res *http.Response) Outcome {
	ok := res.StatusCode/100 == 2
	if len(h.cfg.Status) > 0 {
		ok = slices.Contains(h.cfg.Status, res.StatusCode)
	}
	if !ok {
		return Outcome{Result: Fail, Reason: "status " + res.Status}
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBody))
	if err != nil {
		return failed(err)
	}
	if h.cfg.Contains != "" && !bytes.Contains(body, []byte(h.cfg.Contains)) {
		return Outcome{Result: Fail, Reason: fmt.Sprintf("status %s, but %.80q is not in the body",
			res.Status, h.cfg.Contains)}
	}
	return Outcome{Result: Pass, Reason: "status " + res.Status}
}

// Monitor passes while a cloud's own alarm is quiet. A monitor that cannot be asked or has no data
// is blind.
type Monitor struct {
	Of   string // "cloudwatch", "monitor"
	From cloud.Monitor
}

// Name implements Probe.
func (m Monitor) Name() string { return m.Of + " alarm" }

// Probe implements Probe.
func (m Monitor) Probe(ctx context.Context) Outcome {
	alarm, err := m.From.Alarm(ctx)
	switch {
	case err != nil:
		return Outcome{Result: Blind, Reason: "monitor not reached: " + err.Error()}
	case !alarm.Known:
		return Outcome{Result: Blind, Reason: "no data" + because(alarm.Reason)}
	case alarm.Firing:
		return Outcome{
			Result: Fail,
			Reason: "alarm since " + alarm.Since.UTC().Format(time.RFC3339) + because(alarm.Reason),
		}
	}
	return Outcome{Result: Pass, Reason: "quiet" + because(alarm.Reason)}
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}

// failed tells a failure of the endpoint from one of our own.
func failed(err error) Outcome {
	o := Outcome{Result: Fail, Reason: plain(err)}
	var timeout net.Error
	switch {
	case own(err):
		o.Result = Blind
		o.Reason = "distrusts itself: " + o.Reason
	case errors.Is(err, context.Canceled):
		o.Result = Blind
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		o.Timeout = true
		o.Reason = "no answer in time"
	}
	return o
}

// plain drops the wrapping that repeats what the check's name says.
func plain(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return err.Error()
}
