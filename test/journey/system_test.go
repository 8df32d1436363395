// Package journey is the end-to-end test: it drives the built binary as a user does, with the vendors' official SDKs and a DNS client,
// through everything that README promises.
package journey

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
	proc "github.com/proa-cloud/proa/test/internal/system"
)

// system is one running `proa up`.
type system struct{ *proc.System }

// start runs `proa up` on free ports and waits until it is up; the test's end stops it.
func start(t testing.TB, bin, dir string) *system {
	t.Helper()
	return startWith(t, bin, dir, "")
}

// startWith is start with a configuration file, "" for none.
func startWith(t testing.TB, bin, dir, config string) *system {
	t.Helper()
	return startSystem(&proc.System{T: t, Bin: bin, Dir: dir, Flags: []string{"--config", config}})
}

// startNodes is start with so many nodes.
func startNodes(t testing.TB, count int) *system {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "proa")
	flags := []string{"--config", "", "--nodes", strconv.Itoa(count)}
	return startSystem(&proc.System{T: t, Bin: proc.Binary(t), Dir: dir, Flags: flags})
}

func startSystem(s *proc.System) *system {
	s.T.Helper()
	s.UpUntilEnd()
	return &system{s}
}

// status is the part of the machine interface that the journey reads. Pointers tell null from zero.
type status struct {
	Zone string   `json:"zone"`
	DNS  []string `json:"dns"`
	Plan *struct {
		Version uint64    `json:"version"`
		Active  string    `json:"active"`
		Reason  string    `json:"reason"`
		Since   time.Time `json:"since"`
	} `json:"plan"`
	Regions map[string]struct {
		Health       string `json:"health"`
		Gateway      string `json:"gateway"`
		PID          *int   `json:"pid"`
		LagMS        *int64 `json:"lag_ms"`
		Backlog      *int64 `json:"backlog"`
		Unreplicated *int64 `json:"unreplicated"`

		LagP50MS *float64 `json:"lag_p50_ms"`
		LagP99MS *float64 `json:"lag_p99_ms"`
	} `json:"regions"`
	Verified *struct {
		Through     time.Time `json:"through"`
		Keys        int64     `json:"keys"`
		Differences int64     `json:"differences"`
	} `json:"verified"`
	Processes []struct {
		Name     string `json:"name"`
		PID      int    `json:"pid"`
		RSSBytes int64  `json:"rss_bytes"`
	} `json:"processes"`
}

func (s *system) status() status {
	s.T.Helper()
	var st status
	s.JSON(&st, "status")
	return st
}

// killNode SIGKILLs a node and waits until the supervisor has started another.
func (s *system) killNode(name string) error {
	old := 0
	for deadline := time.Now().Add(20 * time.Second); old == 0; time.Sleep(10 * time.Millisecond) {
		if old = s.PID(name); old == 0 && time.Now().After(deadline) {
			return errors.New(name + " does not run")
		}
	}
	if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
		return err
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if now := s.PID(name); now != 0 && now != old {
			return nil
		}
		if time.Now().After(deadline) {
			return errors.New(name + " was not started again")
		}
	}
}

// lookup asks the name server as dig does.
func lookup(server, zone string) (addr string, ttl time.Duration, err error) {
	q := new(dns.Msg)
	q.SetQuestion(dns.Fqdn(zone), dns.TypeA)
	c := dns.Client{Timeout: time.Second}
	in, _, err := c.Exchange(q, server)
	if err != nil {
		return "", 0, err
	}
	for _, rr := range in.Answer {
		if a, ok := rr.(*dns.A); ok {
			return a.A.String(), time.Duration(a.Hdr.Ttl) * time.Second, nil
		}
	}
	return "", 0, fmt.Errorf("no address in the answer: %v", in)
}

// gatewayHost is the address that DNS answers for a region.
func (s *system) gatewayHost(region string) string {
	host, _, err := net.SplitHostPort(strings.TrimPrefix(s.status().Regions[region].Gateway, "http://"))
	if err != nil {
		s.T.Fatal(err)
	}
	return host
}

var web = &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}

// request sends one HTTP request and returns status, serving region and body.
func request(ctx context.Context, method, url string, body []byte, contentType string) (int, string, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return 0, "", nil, err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := web.Do(req)
	if err != nil {
		return 0, "", nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header.Get("X-Served-By"), data, err
}

// mustRequest is request for answers that must be 2xx.
func mustRequest(t testing.TB, method, url, body string) []byte {
	t.Helper()
	code, _, data, err := request(t.Context(), method, url, []byte(body), "application/json")
	if err != nil || code/100 != 2 {
		t.Fatalf("%s %s: %d %v\n%s", method, url, code, err, data)
	}
	return data
}
