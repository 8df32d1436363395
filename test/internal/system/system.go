// Package system runs the built binary for end-to-end tests, as a user runs it: by its command line.
package system

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// Binary returns the binary under test: PROA_BIN, or one built now.
func Binary(t testing.TB) string {
	t.Helper()
	if bin := os.Getenv("PROA_BIN"); bin != "" {
		return bin
	}
	bin := filepath.Join(t.TempDir(), "proa")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", bin,
		"github.com/proa-cloud/proa/cmd/proa")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return bin
}

// Output keeps what a process prints.
type Output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

// String is all that was printed so far.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// System is a folder in which `proa up` runs.
type System struct {
	T     testing.TB
	Bin   string
	Dir   string
	Flags []string // of `proa up`, besides its folder and free ports
	Out   *Output  // of the last Up
	Took  time.Duration

	cmd *exec.Cmd
}

// Up runs `proa up` and waits until it says that it is up. The caller must Stop it.
func (s *System) Up() {
	s.T.Helper()
	started := time.Now()
	s.Out = &Output{}
	s.cmd = exec.Command(s.Bin, append([]string{"up", "--dir", s.Dir, "--ports", "auto"}, s.Flags...)...)
	s.cmd.Stdout, s.cmd.Stderr = s.Out, s.Out
	if err := s.cmd.Start(); err != nil {
		s.T.Fatal(err)
	}
	Until(s.T, 30*time.Second, "proa up", func() error {
		if strings.Contains(s.Out.String(), "proa is up") {
			return nil
		}
		return errors.New(s.Out.String())
	})
	s.Took = time.Since(started)
}

// UpUntilEnd is Up, and Stop at the end of the test, with the end of each log if it has failed.
func (s *System) UpUntilEnd() {
	s.T.Helper()
	s.T.Cleanup(func() {
		s.Stop()
		if s.T.Failed() {
			s.dumpLogs()
		}
	})
	s.Up()
}

// Stop sends the Ctrl-C that a user would send, and expects a clean end.
func (s *System) Stop() {
	s.T.Helper()
	if s.cmd == nil || s.cmd.ProcessState != nil || s.cmd.Process == nil {
		return
	}
	_ = s.cmd.Process.Signal(os.Interrupt)
	done := make(chan error, 1)
	go func() { done <- s.cmd.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			s.T.Errorf("proa up ended with %v\n%s", err, s.Out)
		}
		if out := s.Out.String(); strings.Contains(out, "did not stop") {
			s.T.Errorf("a process had to be killed at the end:\n%s", out)
		}
	case <-time.After(20 * time.Second):
		_ = s.cmd.Process.Kill()
		s.T.Errorf("proa up did not stop within 20 s\n%s", s.Out)
	}
}

func (s *System) dumpLogs() {
	paths, _ := filepath.Glob(filepath.Join(s.Dir, "logs", "*.log"))
	for _, p := range paths {
		data, _ := os.ReadFile(p)
		s.T.Logf("%s (last 4 KiB):\n%s", filepath.Base(p), data[max(0, len(data)-4096):])
	}
}

// Run runs one command in the folder.
func (s *System) Run(args ...string) (stdout, stderr string, code int) {
	s.T.Helper()
	var o, e bytes.Buffer
	cmd := exec.Command(s.Bin, append(args, "--dir", s.Dir)...)
	cmd.Stdout, cmd.Stderr = &o, &e
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.T.Fatal(err)
	}
	return o.String(), e.String(), cmd.ProcessState.ExitCode()
}

// Proa runs one command and returns its standard output; any failure ends the test.
func (s *System) Proa(args ...string) string {
	s.T.Helper()
	out, stderr, code := s.Run(args...)
	if code != 0 {
		s.T.Fatalf("proa %s: exit %d\n%s%s", strings.Join(args, " "), code, out, stderr)
	}
	return out
}

// JSON runs one command with -o json into v.
func (s *System) JSON(v any, args ...string) {
	s.T.Helper()
	out := s.Proa(append(args, "-o", "json")...)
	if err := json.Unmarshal([]byte(out), v); err != nil {
		s.T.Fatalf("proa %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// PID asks for a process by its name; 0 while there is none. It may be called from any goroutine.
func (s *System) PID(name string) int {
	out, err := exec.Command(s.Bin, "status", "--dir", s.Dir, "-o", "json").Output()
	if err != nil {
		return 0
	}
	var st struct {
		Processes []struct {
			Name string `json:"name"`
			PID  int    `json:"pid"`
		} `json:"processes"`
	}
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

// Until polls check until it returns nil.
func Until(t testing.TB, limit time.Duration, what string, check func() error) time.Duration {
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
