package bench

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// system is a `proa up` of its own.
type system struct {
	b   *testing.B
	bin string
	dir string
	cmd *exec.Cmd
}

func start(b *testing.B) *system {
	b.Helper()
	dir := b.TempDir()
	s := &system{b: b, bin: filepath.Join(dir, "proa"), dir: filepath.Join(dir, "data")}
	if out, err := exec.Command("go", "build", "-o", s.bin, "../cmd/proa").CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	s.cmd = exec.Command(s.bin, "up", "--dir", s.dir, "--ports", "auto")
	if err := s.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = s.cmd.Process.Signal(os.Interrupt)
		if err := s.cmd.Wait(); err != nil {
			b.Error(err)
		}
	})
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if st, err := s.status(); err == nil && st.Regions["azure"].LagMS != nil && st.Regions["aws"].LagMS != nil {
			return s
		} else if time.Now().After(end) {
			b.Fatal("it never came up: ", err)
		}
	}
}

type status struct {
	Regions map[string]struct {
		LagMS   *int64 `json:"lag_ms"`
		Backlog *int64 `json:"backlog"`
	} `json:"regions"`
	Processes []struct {
		Name string `json:"name"`
		PID  int    `json:"pid"`
	} `json:"processes"`
}

func (s *system) run(args ...string) ([]byte, error) {
	return exec.Command(s.bin, append(args, "--dir", s.dir)...).Output()
}

func (s *system) must(args ...string) []byte {
	s.b.Helper()
	out, err := s.run(args...)
	if err != nil {
		s.b.Fatalf("proa %v: %v", args, err)
	}
	return out
}

func (s *system) status() (st status, err error) {
	out, err := s.run("status", "-o", "json")
	if err != nil {
		return st, err
	}
	return st, json.Unmarshal(out, &st)
}

func (s *system) env(cloud string) map[string]string {
	s.b.Helper()
	m := map[string]string{}
	if err := json.Unmarshal(s.must("env", cloud, "-o", "json"), &m); err != nil {
		s.b.Fatal(err)
	}
	return m
}

// nodeCPU is the CPU time that the nodes have used so far.
func (s *system) nodeCPU() time.Duration {
	s.b.Helper()
	var used time.Duration
	for name, cpu := range s.cpu() {
		if strings.HasPrefix(name, "node-") {
			used += cpu
		}
	}
	if used == 0 {
		s.b.Fatal("no node runs")
	}
	return used
}

// cpu is the CPU time that each process of the system has used so far, by name.
func (s *system) cpu() map[string]time.Duration {
	s.b.Helper()
	st, err := s.status()
	if err != nil {
		s.b.Fatal(err)
	}
	used := map[string]time.Duration{"supervisor": processCPU(s.b, s.cmd.Process.Pid)}
	for _, p := range st.Processes {
		if p.PID != 0 {
			used[p.Name] = processCPU(s.b, p.PID)
		}
	}
	return used
}

func processCPU(b *testing.B, pid int) time.Duration {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	ticks := 0
	for _, f := range fields[11:13] { // utime and stime, in hundredths of a second
		n, err := strconv.Atoi(f)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// ownCPU is the CPU time that this process has used so far.
func ownCPU(b *testing.B) time.Duration {
	b.Helper()
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
