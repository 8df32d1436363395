// Package journey is the end-to-end test: it drives the built binary as a user does, with the vendors' official SDKs and a DNS client,
// through everything that README promises.
package journey

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// binary returns the binary under test: PROA_BIN, or one built now.
func binary(t testing.TB) string {
	t.Helper()
	if bin := os.Getenv("PROA_BIN"); bin != "" {
		return bin
	}
	bin := filepath.Join(t.TempDir(), "proa")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", bin, "github.com/proa-cloud/proa/cmd/proa")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return bin
}

// system is one running `proa up`.
type system struct {
	config string   // a proa.yaml; "": none
	flags  []string // of `proa up`, besides
	t      testing.TB
	bin    string
	dir    string
	cmd    *exec.Cmd
	out    *lockedBuffer
	took   time.Duration // until it said that it is up
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// start runs `proa up` on free ports and waits until it is up; the test's end stops it.
func start(t testing.TB, bin, dir string) *system {
	t.Helper()
	return startWith(t, bin, dir, "")
}

// startWith is start with a configuration file, "" for none.
func startWith(t testing.TB, bin, dir, config string) *system {
	t.Helper()
	return startSystem(t, &system{t: t, bin: bin, dir: dir, config: config, out: &lockedBuffer{}})
}

// startNodes is start with so many nodes.
func startNodes(t testing.TB, count int) *system {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "proa")
	return startSystem(t, &system{t: t, bin: binary(t), dir: dir, out: &lockedBuffer{}, flags: []string{"--nodes", strconv.Itoa(count)}})
}

func startSystem(t testing.TB, s *system) *system {
	t.Helper()
	s.up()
	t.Cleanup(func() {
		s.stop()
		if t.Failed() {
			s.dumpLogs()
		}
	})
	return s
}

func (s *system) up() {
	s.t.Helper()
	started := time.Now()
	s.cmd = exec.Command(s.bin, "up", "--dir", s.dir, "--ports", "auto", "--config", s.config)
	s.cmd.Args = append(s.cmd.Args, s.flags...)
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.out
	s.out = &lockedBuffer{}
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.out
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	until(s.t, 30*time.Second, "proa up", func() error {
		if strings.Contains(s.out.String(), "proa is up") {
			return nil
		}
		return errors.New(s.out.String())
	})
	s.took = time.Since(started)
}

// stop sends the Ctrl-C that a user would send, and expects a clean end.
func (s *system) stop() {
	if s.cmd.ProcessState != nil {
		return
	}
	_ = s.cmd.Process.Signal(os.Interrupt)
	done := make(chan error, 1)
	go func() { done <- s.cmd.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			s.t.Errorf("proa up ended with %v\n%s", err, s.out)
		}
		if out := s.out.String(); strings.Contains(out, "did not stop") {
			s.t.Errorf("a process had to be killed at the end:\n%s", out)
		}
	case <-time.After(20 * time.Second):
		_ = s.cmd.Process.Kill()
		s.t.Errorf("proa up did not stop within 20 s\n%s", s.out)
	}
}

func (s *system) dumpLogs() {
	paths, _ := filepath.Glob(filepath.Join(s.dir, "logs", "*.log"))
	for _, p := range paths {
		data, _ := os.ReadFile(p)
		s.t.Logf("%s (last 4 KiB):\n%s", filepath.Base(p), data[max(0, len(data)-4096):])
	}
}

// proa runs one command and returns its standard output; any failure ends the test.
func (s *system) proa(args ...string) string {
	s.t.Helper()
	out, stderr, code := s.run(args...)
	if code != 0 {
		s.t.Fatalf("proa %s: exit %d\n%s%s", strings.Join(args, " "), code, out, stderr)
	}
	return out
}

func (s *system) run(args ...string) (stdout, stderr string, code int) {
	s.t.Helper()
	var o, e bytes.Buffer
	cmd := exec.Command(s.bin, append(args, "--dir", s.dir)...)
	cmd.Stdout, cmd.Stderr = &o, &e
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	return o.String(), e.String(), cmd.ProcessState.ExitCode()
}

// json runs one command with -o json into v.
func (s *system) json(v any, args ...string) {
	s.t.Helper()
	out := s.proa(append(args, "-o", "json")...)
	if err := json.Unmarshal([]byte(out), v); err != nil {
		s.t.Fatalf("proa %s: %v\n%s", strings.Join(args, " "), err, out)
	}
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
	s.t.Helper()
	var st status
	s.json(&st, "status")
	return st
}

// nodePID asks for a node's process; 0 while there is none. It may be called from any goroutine.
func (s *system) nodePID(name string) int {
	out, err := exec.Command(s.bin, "status", "--dir", s.dir, "-o", "json").Output()
	if err != nil {
		return 0
	}
	var st status
	if json.Unmarshal(out, &st) != nil {
		return 0
	}
	for _, p := range st.Processes {
		if p.Name == name {
			return p.PID
		}
	}
	return 0
}

// killNode SIGKILLs a node and waits until the supervisor has started another.
func (s *system) killNode(name string) error {
	old := 0
	for deadline := time.Now().Add(20 * time.Second); old == 0; time.Sleep(10 * time.Millisecond) {
		if old = s.nodePID(name); old == 0 && time.Now().After(deadline) {
			return errors.New(name + " does not run")
		}
	}
	if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
		return err
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if now := s.nodePID(name); now != 0 && now != old {
			return nil
		}
		if time.Now().After(deadline) {
			return errors.New(name + " was not started again")
		}
	}
}

// until polls check until it returns nil.
func until(t testing.TB, limit time.Duration, what string, check func() error) time.Duration {
	t.Helper()
	started := time.Now()
	for {
		err := check()
		if err == nil {
			return time.Since(started)
		}
		if time.Since(started) > limit {
			t.Fatalf("waited %s for %s: %v", limit, what, err)
		}
		time.Sleep(10 * time.Millisecond)
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
		s.t.Fatal(err)
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
