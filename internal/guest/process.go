package guest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

const (
	// outputGrace is how long the output of a process that has ended is still read, when a child of
	// its own keeps the pipe open.
	outputGrace = time.Second
	// busyTries and busyPause bridge ETXTBSY: another process that is just being forked may for a
	// moment hold the descriptor through which the executable was written (golang.org/issue/22315).
	busyTries = 20
	busyPause = 5 * time.Millisecond
)

// Spec says what to run. Nothing is inherited from the parent: neither its environment nor its
// standard streams nor its open files.
type Spec struct {
	Path string   // the executable
	Args []string // the whole argument vector, argv[0] included; Path alone when empty
	Dir  string   // working folder
	Env  []string // exactly these "name=value" pairs
	// Scratch is a folder that is made for this process alone (mode 0700; what was there is removed)
	// and removed after its end. "" for none. The process learns of it only by its Env.
	Scratch string
	// Stdout and Stderr get whole lines, each in one Write, as Prefix + line + "\n"; nil discards.
	// A line longer than MaxLineBytes comes in pieces. Writers are called from one goroutine each.
	Stdout, Stderr io.Writer
	Prefix         string
	Logger         *slog.Logger // nil discards
}

// Process is a running child. Its methods may be called from several goroutines.
type Process struct {
	PID  int
	cmd  *exec.Cmd
	done chan struct{}
	err  error
}

// Start starts the process, and returns once it runs. The caller must end it, by Kill or Stop, or
// wait for Done.
func Start(spec Spec) (*Process, error) {
	logger := spec.Logger
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	if err := makeScratch(spec.Scratch); err != nil {
		return nil, fmt.Errorf("start guest: %w", err)
	}
	started := make(chan error, 1)
	p := &Process{done: make(chan struct{})}
	go p.run(spec, logger, started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start guest: %w", err)
	}
	return p, nil
}

func makeScratch(dir string) error {
	if dir == "" {
		return nil
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.MkdirAll(dir, 0o700)
}

// run owns the process from fork to reaping. It keeps one operating system thread to itself: the
// kernel's parent-death signal fires when the *thread* that forked ends, so that thread must live as
// long as the child does.
func (p *Process) run(spec Spec, logger *slog.Logger, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(p.done)
	defer func() {
		if spec.Scratch == "" {
			return
		}
		if err := os.RemoveAll(spec.Scratch); err != nil {
			logger.Warn("scratch folder stays behind", "dir", spec.Scratch, "err", err)
		}
	}()
	stdout, stderr := newLines(spec.Stdout, spec.Prefix), newLines(spec.Stderr, spec.Prefix)
	input, err := p.fork(spec, stdout, stderr)
	started <- err
	if err != nil {
		return
	}
	p.err = p.cmd.Wait()
	if errors.Is(p.err, exec.ErrWaitDelay) {
		p.err = nil // it ended well, and a child of its own kept the output open
	}
	stdout.flush()
	stderr.flush()
	if input != nil {
		input.Close()
	}
	logger.Debug("guest ended", "pid", p.PID, "state", p.cmd.ProcessState.String())
}

func (p *Process) fork(spec Spec, stdout, stderr *lines) (input io.Closer, err error) {
	for try := 1; ; try++ {
		p.cmd = command(spec, stdout, stderr)
		if input, err = lifeline(p.cmd); err != nil {
			return nil, err
		}
		if err = p.cmd.Start(); err == nil {
			p.PID = p.cmd.Process.Pid
			return input, nil
		}
		if input != nil {
			input.Close()
		}
		if !errors.Is(err, syscall.ETXTBSY) || try == busyTries {
			return nil, err
		}
		time.Sleep(busyPause)
	}
}

func command(spec Spec, stdout, stderr *lines) *exec.Cmd {
	args := spec.Args
	if len(args) == 0 {
		args = []string{spec.Path}
	}
	env := spec.Env
	if env == nil {
		env = []string{} // nil would mean: the parent's
	}
	return &exec.Cmd{
		Path: spec.Path, Args: args, Dir: spec.Dir, Env: env,
		Stdout: stdout.target(), Stderr: stderr.target(),
		SysProcAttr: attributes(), WaitDelay: outputGrace,
	}
}

// Done is closed when the process has ended, has been reaped and its scratch folder is gone.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err says how the process ended: nil for exit status 0, otherwise an *exec.ExitError. It is valid
// only after Done.
func (p *Process) Err() error {
	select {
	case <-p.done:
		return p.err
	default:
		return nil
	}
}

// Kill ends the process and all its descendants by SIGKILL and waits until it is gone. Descendants
// that outlived a parent of theirs are no longer known as such and are not found.
func (p *Process) Kill() {
	if !p.ended() {
		p.killTree()
	}
	<-p.done
}

// Stop asks the process to end by SIGTERM, and kills it when ctx ends first.
func (p *Process) Stop(ctx context.Context) {
	if !p.ended() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // an error means: already gone
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		p.Kill()
	}
}

func (p *Process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// killTree freezes the process before it looks for its children, so that none is forked meanwhile.
func (p *Process) killTree() {
	_ = p.cmd.Process.Signal(syscall.SIGSTOP)
	victims := descendants(p.PID)
	for range 3 { // freeze level by level, until a look finds nothing new
		for _, pid := range victims {
			_ = syscall.Kill(pid, syscall.SIGSTOP)
		}
		again := descendants(p.PID)
		if len(again) == len(victims) {
			break
		}
		victims = again
	}
	for _, pid := range victims {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	_ = p.cmd.Process.Kill()
}

// descend returns all processes below pid, given every process's parent.
func descend(pid int, parents map[int]int) []int {
	children := make(map[int][]int, len(parents))
	for child, parent := range parents {
		children[parent] = append(children[parent], child)
	}
	var found []int
	for next := []int{pid}; len(next) > 0; {
		current := next[0]
		next = append(next[1:], children[current]...)
		found = append(found, children[current]...)
		delete(children, current)
	}
	return found
}
