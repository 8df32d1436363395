package drill

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"github.com/proa-cloud/proa"
)

// requestTimeout is how long a client waits for one answer before it counts as failed.
const requestTimeout = 2 * time.Second

// Model is how a client keeps what it has resolved.
type Model string

// The models. A client that honours the TTL asks again when it is over. Resolvers and libraries with a floor keep an answer
// for a minute, whatever its TTL says. A pinned client stays with its connection for as long as that works.
const (
	HonoursTTL Model = "ttl"
	Floor60    Model = "floor-60s"
	Pinned     Model = "pinned"
)

// Models are all of them.
func Models() []Model { return []Model{HonoursTTL, Floor60, Pinned} }

const floor = time.Minute

// resolver answers a name's first IPv4 address from the first name server that answers, and keeps it as its model does.
type resolver struct {
	servers []string
	name    string
	model   Model
	client  dns.Client
	good    atomic.Int32 // the server that answered last

	mu      sync.Mutex
	addr    string
	expires time.Time
}

func newResolver(servers []string, name string, model Model) *resolver {
	return &resolver{servers: servers, name: dns.Fqdn(name), model: model, client: dns.Client{Timeout: time.Second}}
}

// fresh asks the name servers, whatever is kept, beginning with the one that answered last.
func (r *resolver) fresh(ctx context.Context) (addr string, ttl time.Duration, err error) {
	first := int(r.good.Load())
	for i := range r.servers {
		at := (first + i) % len(r.servers)
		if addr, ttl, err = r.ask(ctx, r.servers[at]); err == nil {
			r.good.Store(int32(at))
			return addr, ttl, nil
		}
	}
	return addr, ttl, err
}

func (r *resolver) ask(ctx context.Context, server string) (addr string, ttl time.Duration, err error) {
	q := new(dns.Msg)
	q.SetQuestion(r.name, dns.TypeA)
	in, _, err := r.client.ExchangeContext(ctx, q, server)
	if err != nil {
		return "", 0, fmt.Errorf("ask %s for %s: %w", server, r.name, err)
	}
	for _, rr := range in.Answer {
		if a, ok := rr.(*dns.A); ok {
			return a.A.String(), time.Duration(a.Hdr.Ttl) * time.Second, nil
		}
	}
	return "", 0, fmt.Errorf("ask %s for %s: no address in the answer (%s)", server, r.name, dns.RcodeToString[in.Rcode])
}

// resolve gives the kept address or asks. When the server does not answer, the last address stands.
func (r *resolver) resolve(ctx context.Context, now time.Time) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Before(r.expires) {
		return r.addr, nil
	}
	addr, ttl, err := r.fresh(ctx)
	if err != nil {
		if r.addr != "" {
			return r.addr, nil
		}
		return "", err
	}
	switch r.model {
	case Floor60:
		ttl = max(ttl, floor)
	case Pinned:
		ttl = 24 * time.Hour
	}
	r.addr, r.expires = addr, now.Add(ttl)
	return addr, nil
}

// broke tells that a connection to addr broke: a pinned client then asks again.
func (r *resolver) broke(addr string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.model == Pinned && r.addr == addr {
		r.expires = time.Time{}
	}
}

// client sends orders to one gateway address or to wherever the name points.
type client struct {
	http   *http.Client
	scheme string
	zone   string
	port   string
}

func newClient(cfg *Config) *client {
	transport := &http.Transport{
		MaxIdleConnsPerHost: 256,
		MaxConnsPerHost:     maxInFlight,
		IdleConnTimeout:     10 * time.Second,
		DialContext:         (&net.Dialer{Timeout: time.Second}).DialContext,
		TLSClientConfig:     &tls.Config{ServerName: cfg.Zone, MinVersion: tls.VersionTLS12},
	}
	return &client{
		http:   &http.Client{Transport: transport, Timeout: requestTimeout},
		scheme: or(cfg.Scheme, "http"), zone: cfg.Zone, port: cfg.Port,
	}
}

// do sends one request to addr and returns status, serving region and body (up to 1 MiB).
func (c *client) do(ctx context.Context, method, addr, path string, body any) (int, proa.Region, []byte, error) {
	var payload io.Reader = http.NoBody
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return 0, "", nil, err
		}
		payload = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.scheme+"://"+net.JoinHostPort(addr, c.port)+path, payload)
	if err != nil {
		return 0, "", nil, err
	}
	req.Host = net.JoinHostPort(c.zone, c.port)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, "", nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return resp.StatusCode, proa.Region(resp.Header.Get("X-Served-By")), data, err
}
