package lambda

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/proa-cloud/proa/aws/local/wire"
	"github.com/proa-cloud/proa/internal/guest"
)

// environment is one execution environment: a child process and the Runtime API that serves it
// alone, on a loopback port of its own (the protocol has no other place for an identity).
type environment struct {
	pool      *pool
	id        string
	process   *guest.Process
	listener  net.Listener
	api       http.Server
	log       *logSink
	started   time.Time
	idleSince time.Time // guarded by the pool's lock

	work     chan *invocation
	ready    chan struct{} // closed at the first call for work
	dead     chan struct{} // closed when the process has ended
	launched chan struct{} // closed when process is set, or never will be

	mu          sync.Mutex
	initialised bool
	asking      bool // a call for work is open
	initFailure *failure
	current     *invocation
	killOnce    sync.Once
}

// failure is an error of the function as Lambda reports it in the payload.
type failure struct {
	Type    string `json:"errorType,omitempty"`
	Message string `json:"errorMessage"`

	raw         []byte // the runtime's own document, which is passed on as it is
	initTimeout bool
}

// payload renders the failure for the caller; the message names the request, as the vendor's does.
func (f *failure) payload(requestID string) []byte {
	if f.raw != nil {
		return f.raw
	}
	out, err := wire.Marshal(failure{
		Type: f.Type, Message: "RequestId: " + requestID + " Error: " + f.Message,
	})
	if err != nil {
		return []byte(`{}`)
	}
	return out
}

// startEnvironment starts the process and waits until it asks for work.
func startEnvironment(p *pool, limit time.Duration) (*environment, *failure) {
	e := &environment{
		pool: p, id: wire.RequestID(), started: p.server.cfg.Clock(),
		work: make(chan *invocation), ready: make(chan struct{}), dead: make(chan struct{}),
		launched: make(chan struct{}),
	}
	e.log = newLogSink(p.server.cfg, p.spec.Name, e.id)
	if failed := e.launch(); failed != nil {
		e.shut()
		return nil, failed
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-e.ready:
		return e, nil
	case <-e.dead:
		e.shut()
		return nil, e.failureOfInit()
	case <-p.quit:
		e.kill()
		e.shut()
		return nil, &failure{Type: "Sandbox.Failure", Message: errPoolClosed.Error()}
	case <-timer.C:
		e.kill()
		e.shut()
		return nil, &failure{
			Type: "Sandbox.Timedout", Message: timedOut(limit), initTimeout: true,
		}
	}
}

func timedOut(limit time.Duration) string {
	return fmt.Sprintf("Task timed out after %.2f seconds", limit.Seconds())
}

func (e *environment) launch() *failure {
	defer close(e.launched)
	var err error
	if e.listener, err = net.Listen("tcp4", "127.0.0.1:0"); err != nil {
		return &failure{Type: "Sandbox.Failure", Message: err.Error()}
	}
	e.api = http.Server{
		Handler: e.runtimeAPI(), ReadHeaderTimeout: 5 * time.Second, MaxHeaderBytes: 1 << 20,
	}
	go func() { _ = e.api.Serve(e.listener) }() // ends with shut
	bootstrap := filepath.Join(e.pool.spec.code.Dir, "bootstrap")
	if _, err := os.Stat(bootstrap); err != nil {
		return &failure{
			Type:    "Runtime.InvalidEntrypoint",
			Message: "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]",
		}
	}
	scratch := filepath.Join(e.pool.server.cfg.Dir, "scratch", e.id)
	e.process, err = guest.Start(guest.Spec{
		Path: bootstrap, Args: []string{"bootstrap"}, Dir: e.pool.spec.code.Dir,
		Env: e.variables(scratch), Scratch: scratch,
		Stdout: e.log, Stderr: e.log, Logger: e.pool.server.cfg.Logger,
	})
	if err != nil {
		if cause := new(os.PathError); errors.As(err, &cause) {
			err = fmt.Errorf("fork/exec /var/task/bootstrap: %w", cause.Err)
		}
		return &failure{Type: "Runtime.InvalidEntrypoint", Message: err.Error()}
	}
	go func() {
		<-e.process.Done()
		close(e.dead)
	}()
	return nil
}

// variables are what Lambda sets, after what the author set: reserved names cannot be taken.
// https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
func (e *environment) variables(scratch string) []string {
	cfg, spec := e.pool.server.cfg, e.pool.spec
	env := make([]string, 0, len(spec.Environment)+24)
	own := func(name, value string) {
		if _, ok := spec.Environment[name]; !ok {
			env = append(env, name+"="+value)
		}
	}
	for name, value := range spec.Environment {
		env = append(env, name+"="+value)
	}
	own("LANG", "en_US.UTF-8")
	own("PATH", "/usr/local/bin:/usr/bin/:/bin:/opt/bin")
	own("TMPDIR", scratch) // here only: /tmp is shared with the rest of the machine
	own("AWS_ENDPOINT_URL", cfg.Endpoint)
	return append(env,
		"TZ=:UTC",
		"_HANDLER="+spec.Handler,
		"LAMBDA_TASK_ROOT="+spec.code.Dir,
		"LAMBDA_RUNTIME_DIR=/var/runtime",
		"AWS_REGION="+cfg.Region,
		"AWS_DEFAULT_REGION="+cfg.Region,
		"AWS_ACCESS_KEY_ID="+cfg.AccessKeyID,
		"AWS_SECRET_ACCESS_KEY="+cfg.SecretAccessKey.Reveal(),
		"AWS_LAMBDA_RUNTIME_API="+e.listener.Addr().String(),
		"AWS_LAMBDA_FUNCTION_NAME="+spec.Name,
		"AWS_LAMBDA_FUNCTION_VERSION="+latest,
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE="+strconv.Itoa(spec.MemoryMB),
		"AWS_LAMBDA_INITIALIZATION_TYPE=on-demand",
		"AWS_LAMBDA_LOG_GROUP_NAME=/aws/lambda/"+spec.Name,
		"AWS_LAMBDA_LOG_STREAM_NAME="+e.started.UTC().Format("2006/01/02")+"/["+latest+"]"+e.id,
	)
}

// failureOfInit says why the process ended before it asked for work.
func (e *environment) failureOfInit() *failure {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.initFailure != nil {
		return e.initFailure
	}
	return e.exitFailure()
}

// exitFailure is what Lambda reports of a process that ended in the middle of its work.
func (e *environment) exitFailure() *failure {
	message := "Runtime exited without providing a reason"
	if err := e.process.Err(); err != nil {
		message = "Runtime exited with error: " + err.Error()
	}
	return &failure{Type: "Runtime.ExitError", Message: message}
}

// run hands one invocation to the process and waits for its end. delivered is false when the
// process died without having seen it.
func (e *environment) run(inv *invocation) (out outcome, delivered bool) {
	select {
	case e.work <- inv:
	case <-e.dead:
		return outcome{}, false
	}
	timer := time.NewTimer(e.pool.spec.timeout())
	defer timer.Stop()
	select {
	case out = <-inv.done:
	case <-e.dead:
		select {
		case out = <-inv.done: // it answered and then ended
		default:
			out = outcome{failure: e.exitFailure()}
		}
	case <-timer.C:
		go e.kill()
		out = outcome{failure: &failure{
			Type: "Sandbox.Timedout", Message: timedOut(e.pool.spec.timeout()),
		}}
	}
	return out, true
}

// kill ends the process and returns when it is gone.
func (e *environment) kill() {
	<-e.launched // the process may ask for work, and hang up, before its start has returned here
	if e.process != nil {
		e.process.Kill()
	}
}

// shut closes the Runtime API and the log.
func (e *environment) shut() {
	e.killOnce.Do(func() {
		if e.listener != nil {
			_ = e.api.Close()
			_ = e.listener.Close()
		}
		e.log.close()
	})
}
