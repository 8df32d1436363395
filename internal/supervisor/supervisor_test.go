package supervisor

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/config"
)

// TestMain lets the test binary act as a child.
func TestMain(m *testing.M) {
	if os.Getenv(EnvReady) == "" {
		os.Exit(m.Run())
	}
	role := os.Args[len(os.Args)-1]
	if role == "dies" {
		fmt.Fprintln(os.Stderr, "cannot open the store")
		os.Exit(7)
	}
	if role == "stubborn" {
		signal.Ignore(os.Interrupt, syscall.SIGTERM)
	}
	fmt.Fprintln(os.Stderr, "environment:", os.Environ())
	if _, err := os.NewFile(3, "ready").Write([]byte{1}); err != nil {
		os.Exit(8)
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	if role == "stubborn" {
		time.Sleep(time.Hour)
	}
	os.Exit(0)
}

func newChild(t *testing.T, role string, restart bool) (*child, *strings.Builder) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out := &strings.Builder{}
	c := &child{name: role, argv: []string{role}, exe: exe, restart: restart, out: out, logger: slog.New(slog.DiscardHandler)}
	t.Cleanup(c.stop)
	return c, out
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("never: %s", what)
}

func TestChildrenDoNotSeeTheUsersClouds(t *testing.T) {
	for _, name := range []string{"AWS_PROFILE", "AWS_ENDPOINT_URL", "AZURE_CLIENT_SECRET", "https_proxy", "HTTP_PROXY", "PROA_ANNOUNCE_URL"} {
		t.Setenv(name, "user's own")
	}
	c, out := newChild(t, "serves", false)
	if err := c.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.stop()
	if got := out.String(); !strings.Contains(got, "PATH=") || strings.Contains(got, "user's own") {
		t.Errorf("the child saw %s", got)
	}
}

func TestAChildThatDiesAtItsStartSaysWhy(t *testing.T) {
	c, _ := newChild(t, "dies", false)
	err := c.start(t.Context())
	if err == nil || !strings.Contains(err.Error(), "cannot open the store") || c.pid() != 0 {
		t.Errorf("got %v, pid %d", err, c.pid())
	}
}

func TestOnlyANodeIsStartedAgain(t *testing.T) {
	for _, restart := range []bool{true, false} {
		c, _ := newChild(t, "serves", restart)
		if err := c.start(t.Context()); err != nil {
			t.Fatal(err)
		}
		old := c.pid()
		if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		until(t, "it died", func() bool { return c.pid() != old })
		if restart {
			until(t, "started again", func() bool { return c.pid() != 0 })
			continue
		}
		time.Sleep(3 * minBackoff)
		if c.pid() != 0 {
			t.Error("a cloud came back by itself")
		}
	}
}

func TestAKilledChildStaysDeadUntilItIsStarted(t *testing.T) {
	c, _ := newChild(t, "stubborn", true)
	if err := c.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	pid := c.pid()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil { // frozen: only SIGKILL reaches it
		t.Fatal(err)
	}
	if err := c.kill(); err != nil {
		t.Fatal(err)
	}
	if err := c.kill(); err == nil || !strings.Contains(err.Error(), "not running") {
		t.Errorf("a second kill: %v", err)
	}
	time.Sleep(3 * minBackoff)
	if c.pid() != 0 {
		t.Error("it came back")
	}
	if err := c.start(t.Context()); err != nil || c.pid() == 0 || c.pid() == pid {
		t.Errorf("start after kill: %v, pid %d", err, c.pid())
	}
	began := time.Now()
	c.stop() // it does not end of itself
	if c.pid() != 0 || time.Since(began) > 2*stopTimeout {
		t.Errorf("pid %d after %v", c.pid(), time.Since(began))
	}
}

func newSupervisor(t *testing.T, dir string, ports Ports) (*Supervisor, error) {
	t.Helper()
	return New(Config{
		Dir: dir, Executable: "/nonexistent", Ports: ports, Proa: config.Default(), Logger: slog.New(slog.DiscardHandler),
		Package: func(io.Writer, string) error { return nil },
	})
}

func TestAFolderHasOneSupervisorAndKeepsItsSecrets(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a b") // with a space
	s, err := newSupervisor(t, dir, Ports{Auto: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.state.save(dir); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]os.FileMode{"": 0o700, "supervisor.json": 0o600, "lock": 0o600, "aws": 0o700, "logs": 0o700} {
		info, err := os.Stat(filepath.Join(dir, path))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%q has mode %v, %v; want %v", path, info.Mode().Perm(), err, want)
		}
	}
	if _, err := newSupervisor(t, dir, Ports{Auto: true}); err == nil ||
		!strings.Contains(err.Error(), fmt.Sprintf("another `proa up` (pid %d) runs there", os.Getpid())) {
		t.Errorf("a second one: %v", err)
	}
	first := s.State()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := newSupervisor(t, dir, Ports{Auto: true})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if again.State().Credentials != first.Credentials || again.State().Token != first.Token {
		t.Error("the credentials changed")
	}
}

func TestATakenPortIsNamedWithItsFlag(t *testing.T) {
	free := func() int {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		return ln.Addr().(*net.TCPAddr).Port
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	ports := Ports{Gateway: free(), AWS: free(), Azure: taken.Addr().(*net.TCPAddr).Port, DNS: free(), Control: free()}
	_, err = newSupervisor(t, t.TempDir(), ports)
	if err == nil || !strings.Contains(err.Error(), taken.Addr().String()) || !strings.Contains(err.Error(), "--azure-port") {
		t.Errorf("got %v", err)
	}
}

func TestADamagedStateIsNamed(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(statePath(dir), []byte(`{"pid": 1,`), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := newSupervisor(t, dir, Ports{Auto: true})
	if !errors.Is(err, proa.ErrInvalid) || !strings.Contains(err.Error(), statePath(dir)) {
		t.Errorf("got %v", err)
	}
	if kept, _ := os.ReadFile(statePath(dir)); string(kept) != `{"pid": 1,` {
		t.Errorf("the file was written over: %s", kept)
	}
}

func TestTheControlSocketWantsItsToken(t *testing.T) {
	s, err := newSupervisor(t, t.TempDir(), Ports{Auto: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	server, err := s.listenControl()
	if err != nil {
		t.Fatal(err)
	}
	defer server.close()
	ask := func(method, path, token string) int {
		r := httptest.NewRequest(method, path, nil)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		server.http.Handler.ServeHTTP(w, r)
		return w.Code
	}
	for _, c := range []struct {
		method, path, token string
		want                int
	}{
		{"POST", "/v1/stop", "", http.StatusUnauthorized},
		{"POST", "/v1/stop", s.state.Token + "x", http.StatusUnauthorized},
		{"POST", "/v1/kill/aws", "wrong", http.StatusUnauthorized},
		{"GET", "/v1/kill/aws", s.state.Token, http.StatusMethodNotAllowed},
		{"POST", "/v1/kill/gcp", s.state.Token, http.StatusConflict},
		{"POST", "/v1/kill/aws", s.state.Token, http.StatusConflict}, // it is not running
		{"GET", "/v1/none", s.state.Token, http.StatusNotFound},
		{"POST", "/v1/stop", s.state.Token, http.StatusOK},
		{"POST", "/v1/stop", s.state.Token, http.StatusOK}, // twice
	} {
		if got := ask(c.method, c.path, c.token); got != c.want {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, got, c.want)
		}
	}
	select {
	case <-s.stop:
	default:
		t.Error("stop did not stop")
	}
}

func TestALogKeepsItsBound(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.log")
	l, err := openLog(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	line := []byte(strings.Repeat("x", 1<<20))
	for range 40 {
		if n, err := l.Write(line); n != len(line) || err != nil {
			t.Fatal(n, err)
		}
	}
	files, err := filepath.Glob(path + "*")
	if err != nil || !slices.Equal(files, []string{path, path + ".1"}) {
		t.Fatal(files, err)
	}
	for _, f := range files {
		if info, err := os.Stat(f); err != nil || info.Size() > maxLogBytes || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", f, info, err)
		}
	}
}
