package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/proa-cloud/proa"
)

const (
	readyTimeout = 20 * time.Second
	stopTimeout  = 5 * time.Second // a child that has not ended by then is killed
	minBackoff   = 100 * time.Millisecond
	maxBackoff   = 5 * time.Second
)

// EnvReady names the variable that gives a child the file descriptor on which to say that it is ready.
const EnvReady = "PROA_READY_FD"

// child is one supervised process: a process group of its own, whose standard input is a pipe that ends with the
// supervisor, so that no child outlives it.
type child struct {
	name    string
	argv    []string // of the same binary
	exe     string
	restart bool // start again when it dies of itself
	out     io.Writer
	logger  *slog.Logger

	mu      sync.Mutex
	cmd     *exec.Cmd
	stdin   io.Closer
	exited  chan struct{} // closed when the present process has ended
	wanted  bool          // should be running
	started time.Time
	backoff time.Duration
	lastErr string
	died    time.Time // when the last process ended
}

// start runs the process and returns once it says that it is ready.
func (c *child) start(ctx context.Context) error {
	c.mu.Lock()
	if c.runningLocked() {
		c.mu.Unlock()
		return nil
	}
	c.wanted = true
	ready, err := c.spawnLocked()
	exited := c.exited
	c.mu.Unlock()
	if err != nil {
		return fmt.Errorf("start %s: %w", c.name, err)
	}
	defer ready.Close()
	said := make(chan error, 1)
	go func() {
		_, err := ready.Read(make([]byte, 1))
		said <- err
	}()
	select {
	case err = <-said:
		if err == nil {
			return nil
		}
		<-exited
		err = errors.New(c.lastError())
	case <-time.After(readyTimeout):
		err = fmt.Errorf("not ready after %s", readyTimeout)
	case <-ctx.Done():
		err = ctx.Err()
	}
	return fmt.Errorf("start %s: %w", c.name, err)
}

// spawnLocked starts the process; the reader gives one byte when it is ready and fails when it died before.
func (c *child) spawnLocked() (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	cmd := exec.Command(c.exe, c.argv...)
	cmd.Env = append(childEnviron(os.Environ()), EnvReady+"=3")
	cmd.ExtraFiles = []*os.File{w}
	tail := &tailWriter{next: c.out}
	cmd.Stdout, cmd.Stderr = tail, tail
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := cmd.StdinPipe()
	if err == nil {
		// Grandchildren that outlive the process must not keep Wait from returning.
		cmd.WaitDelay = 100 * time.Millisecond
		err = cmd.Start()
	}
	if err != nil {
		r.Close()
		return nil, err
	}
	exited := make(chan struct{})
	c.cmd, c.stdin, c.exited, c.started = cmd, stdin, exited, time.Now()
	go c.reap(cmd, exited, tail)
	return r, nil
}

// reap waits for the process and starts it again with back-off, where that is wanted.
func (c *child) reap(cmd *exec.Cmd, exited chan struct{}, tail *tailWriter) {
	err := cmd.Wait()
	c.mu.Lock()
	why := "exited"
	if err != nil {
		why = err.Error()
	}
	if last := tail.last(); last != "" {
		why += ": " + last
	}
	c.lastErr, c.died = why, time.Now().UTC()
	again := c.wanted && c.restart
	if time.Since(c.started) > 10*maxBackoff {
		c.backoff = 0
	}
	c.backoff = min(max(2*c.backoff, minBackoff), maxBackoff)
	wait := c.backoff
	wanted := c.wanted
	close(exited)
	c.mu.Unlock()
	if wanted {
		c.logger.Warn("process died", "name", c.name, "pid", cmd.Process.Pid, "err", why, "restart", again)
	}
	if !again {
		return
	}
	time.AfterFunc(wait, c.respawn)
}

// respawn starts the process again after its back-off, and tries anew later where that fails.
func (c *child) respawn() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.wanted || c.runningLocked() {
		return
	}
	ready, err := c.spawnLocked()
	if err != nil {
		c.lastErr = err.Error()
		c.logger.Error("process restart failed", "name", c.name, "err", err)
		time.AfterFunc(maxBackoff, c.respawn)
		return
	}
	ready.Close()
}

func (c *child) runningLocked() bool {
	if c.exited == nil {
		return false
	}
	select {
	case <-c.exited:
		return false
	default:
		return true
	}
}

// pid returns the process's id, 0 when it does not run.
func (c *child) pid() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.runningLocked() {
		return 0
	}
	return c.cmd.Process.Pid
}

// diedAt is when the process ended; zero while one runs, or none ever did.
func (c *child) diedAt() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.runningLocked() {
		return time.Time{}
	}
	return c.died
}

func (c *child) lastError() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lastErr
}

// kill sends SIGKILL to the whole process group and waits for the process's end. It stays dead until start.
func (c *child) kill() error {
	c.mu.Lock()
	running, exited := c.runningLocked(), c.exited
	c.wanted = false
	var pid int
	if running {
		pid = c.cmd.Process.Pid
	}
	c.mu.Unlock()
	if !running {
		return &proa.Error{Op: "kill " + c.name, Err: errors.New("it is not running")}
	}
	if err := syscall.Kill(-pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("kill %s: %w", c.name, err)
	}
	select {
	case <-exited:
		return nil
	case <-time.After(stopTimeout):
		return fmt.Errorf("kill %s: pid %d has not ended after %s", c.name, pid, stopTimeout)
	}
}

// stop closes standard input, which asks the process to end, and kills its group when it does not.
func (c *child) stop() {
	c.mu.Lock()
	running, exited, stdin := c.runningLocked(), c.exited, c.stdin
	c.wanted = false
	c.mu.Unlock()
	if !running {
		return
	}
	stdin.Close()
	select {
	case <-exited:
	case <-time.After(stopTimeout):
		c.logger.Warn("process did not stop, killing it", "name", c.name)
		_ = c.kill()
	}
}

// tailWriter passes output on and remembers its last line, which is what a dying process had to say.
type tailWriter struct {
	next io.Writer
	mu   sync.Mutex
	line []byte
	done []byte
}

const maxTail = 512

// Write never fails.
func (t *tailWriter) Write(b []byte) (int, error) {
	t.mu.Lock()
	for _, ch := range b {
		if ch == '\n' {
			if len(t.line) > 0 {
				t.done = append(t.done[:0], t.line...)
			}
			t.line = t.line[:0]
		} else if len(t.line) < maxTail {
			t.line = append(t.line, ch)
		}
	}
	t.mu.Unlock()
	return t.next.Write(b)
}

func (t *tailWriter) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.line) > 0 {
		return string(t.line)
	}
	return string(t.done)
}
