package drill

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/proa-cloud/proa"
)

// requestTimeout is how long a client waits for one answer before it counts as failed.
const requestTimeout = 2 * time.Second

// resolver answers a name's first IPv4 address from one name server and keeps it for its TTL, as a well-behaved client does.
type resolver struct {
	server, name string
	client       dns.Client

	mu      sync.Mutex
	addr    string
	expires time.Time
}

func newResolver(server, name string) *resolver {
	return &resolver{server: server, name: dns.Fqdn(name), client: dns.Client{Timeout: time.Second}}
}

// fresh asks the name server, whatever is kept.
func (r *resolver) fresh(ctx context.Context) (addr string, ttl time.Duration, err error) {
	q := new(dns.Msg)
	q.SetQuestion(r.name, dns.TypeA)
	in, _, err := r.client.ExchangeContext(ctx, q, r.server)
	if err != nil {
		return "", 0, fmt.Errorf("ask %s for %s: %w", r.server, r.name, err)
	}
	for _, rr := range in.Answer {
		if a, ok := rr.(*dns.A); ok {
			return a.A.String(), time.Duration(a.Hdr.Ttl) * time.Second, nil
		}
	}
	return "", 0, fmt.Errorf("ask %s for %s: no address in the answer (%s)", r.server, r.name, dns.RcodeToString[in.Rcode])
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
	r.addr, r.expires = addr, now.Add(ttl)
	return addr, nil
}

// client sends orders to one gateway address or to wherever the name points.
type client struct {
	http *http.Client
	zone string
	port string
}

func newClient(zone, port string) *client {
	transport := &http.Transport{
		MaxIdleConnsPerHost: 64,
		MaxConnsPerHost:     256,
		IdleConnTimeout:     10 * time.Second,
		DialContext:         (&net.Dialer{Timeout: time.Second}).DialContext,
	}
	return &client{http: &http.Client{Transport: transport, Timeout: requestTimeout}, zone: zone, port: port}
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
	req, err := http.NewRequestWithContext(ctx, method, "http://"+net.JoinHostPort(addr, c.port)+path, payload)
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

// Write is one order that a client sent.
type Write struct {
	ID     string      `json:"id"`
	Sent   time.Time   `json:"sent"`
	Done   time.Time   `json:"done"`
	Region proa.Region `json:"region"` // that answered; "" when none did
	Acked  bool        `json:"acked"`  // 201 was received: the order must not be lost
	Err    string      `json:"err,omitempty"`
}

// load sends new orders at a steady rate until stopped. Its queue is bounded: when the system is too slow, sends are skipped and counted.
type load struct {
	client   *client
	resolver *resolver
	rate     int
	run      string // prefix of the orders' ids

	mu      sync.Mutex
	writes  []Write
	skipped int
}

const loadWorkers = 64

// start begins sending; the returned function stops it and waits for what is under way.
func (l *load) start(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	due := make(chan int, loadWorkers)
	var wg sync.WaitGroup
	for range loadWorkers {
		wg.Go(func() {
			for n := range due {
				l.record(l.send(context.WithoutCancel(ctx), n))
			}
		})
	}
	wg.Go(func() {
		defer close(due)
		tick := time.NewTicker(time.Second / time.Duration(l.rate))
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			select {
			case due <- n:
			default:
				l.mu.Lock()
				l.skipped++
				l.mu.Unlock()
			}
		}
	})
	return func() {
		cancel()
		wg.Wait()
	}
}

func (l *load) send(ctx context.Context, n int) Write {
	w := Write{ID: fmt.Sprintf("%s-%06d", l.run, n), Sent: time.Now()}
	addr, err := l.resolver.resolve(ctx, w.Sent)
	if err == nil {
		var status int
		order := map[string]any{"id": w.ID, "item": "paddle", "quantity": n%9 + 1}
		status, w.Region, _, err = l.client.do(ctx, http.MethodPost, addr, "/orders", order)
		w.Acked = err == nil && status == http.StatusCreated
		if err == nil && !w.Acked {
			err = fmt.Errorf("status %d", status)
		}
	}
	w.Done = time.Now()
	if err != nil {
		w.Err = cause(err)
	}
	return w
}

// cause drops the URL that net/http wraps around each error.
func cause(err error) string {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err.Error()
		}
		err = next
	}
}

func (l *load) record(w Write) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writes = append(l.writes, w)
}

// snapshot returns the writes recorded so far.
func (l *load) snapshot() []Write {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]Write(nil), l.writes...)
}
