package functions

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/proa-cloud/proa/internal/guest"
)

// Times of the host.
const (
	startLimit   = 60 * time.Second // for the handler to answer HTTP, as the vendor documents
	stopGrace    = 3 * time.Second  // between SIGTERM and SIGKILL
	firstBackoff = 100 * time.Millisecond
	lastBackoff  = 30 * time.Second
	steadyAfter  = time.Minute // a handler that lived this long begins its back-off anew
	poll         = 3 * time.Millisecond
)

// app is the running state of one function app.
type app struct {
	App
	host      *Host
	identity  string
	busy      atomic.Int64 // requests in flight
	turn      atomic.Uint64
	transport *http.Transport

	mu      sync.Mutex
	code    *code
	hash    string         // of the package that the code came from; "" for a folder
	workers map[int]string // ready workers: their number and host:port
	failure error          // why the app does not serve; nil while it starts or runs
	news    chan struct{}  // closed when any of the above changes
}

func newApp(h *Host, a App) *app {
	return &app{
		App: a, host: h, identity: a.identity(), workers: map[int]string{}, news: make(chan struct{}),
		transport: &http.Transport{
			DisableCompression: true, MaxIdleConnsPerHost: 128, IdleConnTimeout: time.Minute,
			DialContext: dial,
		},
	}
}

// update changes the state and wakes the requests that wait for it.
func (a *app) update(change func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change()
	close(a.news)
	a.news = make(chan struct{})
}

// run loads and runs the app until ctx ends. Failures are logged and tried again with back-off.
func (a *app) run(ctx context.Context) {
	defer a.transport.CloseIdleConnections()
	logger := a.host.logger.With("app", a.Name)
	backoff := firstBackoff
	for {
		c, hash, err := a.load()
		if err == nil {
			a.update(func() { a.code, a.hash, a.failure = c, hash, nil })
			a.host.tidy()
			break
		}
		a.update(func() { a.failure = err })
		logger.Error("cannot load the function app", "error", err, "again_in", backoff)
		if !pause(ctx, backoff) {
			return
		}
		backoff = min(2*backoff, lastBackoff)
	}
	var group sync.WaitGroup
	for n := range max(a.Workers, 1) {
		group.Go(func() { a.keepWorker(ctx, n) })
	}
	group.Wait()
}

func (a *app) load() (*code, string, error) {
	unpacked, err := a.host.unpack(a.App)
	if err != nil {
		return nil, "", err
	}
	c, err := readCode(unpacked.Dir)
	return c, unpacked.Hash, err
}

func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// keepWorker runs one handler process after another until ctx ends.
func (a *app) keepWorker(ctx context.Context, n int) {
	logger := a.host.logger.With("app", a.Name, "worker", n)
	backoff := firstBackoff
	for ctx.Err() == nil {
		began := a.host.clock()
		err := a.runWorker(ctx, n)
		if ctx.Err() != nil {
			return
		}
		if a.host.clock().Sub(began) > steadyAfter {
			backoff = firstBackoff
		}
		a.update(func() {
			delete(a.workers, n)
			a.failure = err
		})
		logger.Error("the custom handler ended", "error", err, "again_in", backoff)
		if !pause(ctx, backoff) {
			return
		}
		backoff = min(2*backoff, lastBackoff)
	}
}

// runWorker starts one process, waits until it answers and then until it or ctx ends.
func (a *app) runWorker(ctx context.Context, n int) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	scratch, err := filepath.Abs(filepath.Join(a.host.dir, "scratch", a.Name+"-"+strconv.Itoa(n)))
	if err != nil {
		return err
	}
	process, err := guest.Start(guest.Spec{
		Path: a.code.executable, Args: append([]string{a.code.executable}, a.code.args...),
		Dir: a.code.workingDir, Env: a.environment(port, scratch), Scratch: scratch,
		Stdout: logWriter{a, "stdout"}, Stderr: logWriter{a, "stderr"}, Logger: a.host.logger,
	})
	if err != nil {
		return err
	}
	defer func() {
		a.update(func() { delete(a.workers, n) })
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
		defer cancel()
		process.Stop(grace)
	}()
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	if err := a.awaitAnswer(ctx, address, process.Done()); err != nil {
		return err
	}
	a.update(func() { a.workers[n], a.failure = address, nil })
	a.host.logger.Info("custom handler ready", "app", a.Name, "worker", n, "pid", process.PID)
	select {
	case <-ctx.Done():
		return nil
	case <-process.Done():
		return fmt.Errorf("the process ended: %w", orExited(process.Err()))
	}
}

func orExited(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

// awaitAnswer returns once the process answers HTTP in any way.
func (a *app) awaitAnswer(ctx context.Context, address string, ended <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/", http.NoBody)
		if err != nil {
			return err
		}
		req.Header.Set("User-Agent", "Azure-Functions-Host/"+hostVersion)
		response, err := a.transport.RoundTrip(req)
		if err == nil {
			return response.Body.Close()
		}
		select {
		case <-ended:
			return errors.New("the process ended before it answered")
		case <-ctx.Done():
			return fmt.Errorf("no answer on %s within %s", address, startLimit)
		case <-time.After(poll):
		}
	}
}

// freePort finds a port that nobody listens on. Somebody else may take it before the handler does;
// the handler then fails and is started again on another.
func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}

// environment is all that the handler sees: the application settings, and what the platform sets.
func (a *app) environment(port int, scratch string) []string {
	var env []string
	fixed := map[string]string{
		"FUNCTIONS_CUSTOMHANDLER_PORT": strconv.Itoa(port),
		"FUNCTIONS_WORKER_RUNTIME":     "custom",
		"FUNCTIONS_EXTENSION_VERSION":  "~4",
		"AZURE_FUNCTIONS_ENVIRONMENT":  "Production",
		"AzureWebJobsScriptRoot":       a.code.dir,
		"WEBSITE_SITE_NAME":            a.Name,
		"WEBSITE_HOSTNAME":             a.hostName(),
		"WEBSITE_INSTANCE_ID":          "proa-local",
		"WEBSITE_OWNER_NAME":           "proa+proa-local",
		"HOME":                         scratch,
		"TMPDIR":                       scratch,
		"PATH":                         "/usr/local/bin:/usr/bin:/bin",
	}
	for name, value := range a.Settings {
		if _, taken := fixed[name]; !taken {
			env = append(env, name+"="+value)
		}
	}
	for name, value := range fixed {
		env = append(env, name+"="+value)
	}
	return env
}

func (a *app) hostName() string { return a.Name + ".azurewebsites.net" }

// logWriter passes what a handler prints on to the log, a line at a time.
type logWriter struct {
	app    *app
	stream string
}

func (w logWriter) Write(line []byte) (int, error) {
	text := line
	if n := len(text); n > 0 && text[n-1] == '\n' {
		text = text[:n-1]
	}
	w.app.host.logger.Info("function output",
		"app", w.app.Name, "stream", w.stream, "line", string(text))
	return len(line), nil
}
