package guest

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The test binary is its own guest: the role comes in as argv[1].
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "guest" {
		os.Exit(role(os.Args[2:]))
	}
	os.Exit(m.Run())
}

func role(args []string) int {
	switch args[0] {
	case "describe":
		dir, _ := os.Getwd()
		fmt.Println(strings.Join(os.Environ(), ","))
		fmt.Println(dir)
		_ = os.WriteFile(filepath.Join(os.Getenv("TMPDIR"), "scratch"), nil, 0o600)
		fmt.Fprint(os.Stderr, "no newline at the end")
		return 3
	case "sleep":
		fmt.Println("pid", os.Getpid())
		time.Sleep(time.Minute)
	case "family": // starts a child of its own
		path, _ := os.Executable()
		child := exec.Command(path, "guest", "sleep")
		child.Stdout = os.Stdout
		_ = child.Start()
		_ = child.Wait()
	case "parent": // a cloud that will be killed
		path, _ := os.Executable()
		p, err := Start(Spec{
			Path: path, Args: []string{"x", "guest", "sleep"}, Stdout: os.Stdout,
		})
		if err != nil {
			return 1
		}
		<-p.Done()
	}
	return 0
}

func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestProcessGetsExactlyItsSpec(t *testing.T) {
	t.Setenv("SECRET_OF_THE_PARENT", "leaks")
	dir, scratch := t.TempDir(), filepath.Join(t.TempDir(), "scratch")
	var stdout, stderr bytes.Buffer
	p, err := Start(Spec{
		Path: self(t), Args: []string{"bootstrap", "guest", "describe"}, Dir: dir,
		Env: []string{"A=1", "TMPDIR=" + scratch}, Scratch: scratch,
		Stdout: &stdout, Stderr: &stderr, Prefix: "> ",
	})
	if err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	want := "> A=1,TMPDIR=" + scratch + "\n> " + dir + "\n"
	if diff := cmp.Diff(want, stdout.String()); diff != "" && runtime.GOOS == "linux" {
		t.Errorf("stdout (-want +got):\n%s", diff)
	}
	if got := stderr.String(); got != "> no newline at the end\n" {
		t.Errorf("stderr is %q", got)
	}
	var exit *exec.ExitError
	if err, ok := p.Err().(*exec.ExitError); !ok || err.ExitCode() != 3 {
		t.Errorf("ended with %v, want %T 3", p.Err(), exit)
	}
	if _, err := os.Stat(scratch); !os.IsNotExist(err) {
		t.Errorf("the scratch folder is still there: %v", err)
	}
}

func TestStartReportsWhatCannotRun(t *testing.T) {
	if _, err := Start(Spec{Path: filepath.Join(t.TempDir(), "none")}); err == nil {
		t.Fatal("no error")
	}
}

func TestStopAsksFirst(t *testing.T) {
	p, pid := startSleeper(t, "sleep")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	p.Stop(ctx)
	if pid != p.PID {
		t.Errorf("the process says it is %d, Start said %d", pid, p.PID)
	}
	if got := fmt.Sprint(p.Err()); got != "signal: terminated" {
		t.Errorf("ended by %s", got)
	}
}

func TestKillTakesTheProcessAndItsChildren(t *testing.T) {
	p, grandchild := startSleeper(t, "family")
	if grandchild == p.PID {
		t.Fatal("no grandchild")
	}
	p.Kill()
	p.Kill() // once more is harmless
	waitGone(t, grandchild)
	if got := fmt.Sprint(p.Err()); got != "signal: killed" {
		t.Errorf("ended by %s", got)
	}
}

func TestGuestDiesWithAKilledParent(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has a parent-death signal")
	}
	parent := exec.Command(self(t), "guest", "parent")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	pid := readPID(t, bufio.NewReader(out))
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	waitGone(t, pid)
}

func startSleeper(t *testing.T, role string) (*Process, int) {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	p, err := Start(Spec{Path: self(t), Args: []string{"x", "guest", role}, Stdout: write})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p, readPID(t, bufio.NewReader(read))
}

func readPID(t *testing.T, from *bufio.Reader) int {
	t.Helper()
	line, err := from.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(line, "pid")))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// waitGone waits until the process has ended; one that nobody has reaped yet counts as ended.
func waitGone(t *testing.T, pid int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		zombie := strings.Contains(string(stat), ") Z ")
		if syscall.Kill(pid, 0) != nil || zombie {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Errorf("process %d is still alive", pid)
}

func TestLinesAreWholePrefixedAndBounded(t *testing.T) {
	var out writes
	l := newLines(&out, "p ")
	for _, part := range []string{"a", "b\nc\n\n", strings.Repeat("x", MaxLineBytes+1), "\nend"} {
		if n, err := l.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatal(n, err)
		}
	}
	l.flush()
	want := writes{
		"p ab\n", "p c\n", "p \n",
		"p " + strings.Repeat("x", MaxLineBytes) + "\n", "p x\n", "p end\n",
	}
	if diff := cmp.Diff(want, out); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

type writes []string

func (w *writes) Write(data []byte) (int, error) {
	*w = append(*w, string(data))
	return len(data), nil
}
