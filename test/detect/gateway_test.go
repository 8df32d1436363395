//go:build linux

package detect

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/proa-cloud/proa/internal/netfault"
)

// envGateway makes this test binary a region's gateway, which listens on the address given.
const envGateway = "PROA_DETECT_GATEWAY"

func TestMain(m *testing.M) {
	if address := os.Getenv(envGateway); address != "" {
		if err := serveGateway(address); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// gate is a listener that can fall silent as a machine behind a dead link does: its backlog is full, so
// that the kernel drops every SYN, and nothing answers on the connections that exist.
type gate struct {
	*net.TCPListener
	mu     sync.Mutex
	open   chan struct{} // closed while the gate is open
	filled []net.Conn
}

func (g *gate) isOpen() chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.open
}

// Accept hands out connections while the gate is open.
func (g *gate) Accept() (net.Conn, error) {
	conn, err := g.TCPListener.Accept()
	if err == nil {
		<-g.isOpen()
	}
	return conn, err
}

// shut fills the backlog. The connection after the last that fits is never answered.
func (g *gate) shut() error {
	g.mu.Lock()
	g.open = make(chan struct{})
	g.mu.Unlock()
	if err := g.listen(0); err != nil {
		return err
	}
	for range 4 {
		conn, err := net.DialTimeout("tcp", g.Addr().String(), 30*time.Millisecond)
		if err != nil {
			break
		}
		g.filled = append(g.filled, conn)
	}
	if len(g.filled) == 4 {
		return fmt.Errorf("%s still takes connections", g.Addr())
	}
	return nil
}

func (g *gate) unshut() error {
	if err := g.listen(128); err != nil {
		return err
	}
	for _, conn := range g.filled {
		_ = conn.Close()
	}
	g.filled = nil
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.open)
	return nil
}

// listen sets the backlog anew.
func (g *gate) listen(backlog int) error {
	raw, err := g.SyscallConn()
	if err != nil {
		return err
	}
	var lerr error
	if err := raw.Control(func(fd uintptr) { lerr = syscall.Listen(int(fd), backlog) }); err != nil {
		return err
	}
	return lerr
}

// serveGateway answers health checks until its standard input ends. Each line of it is a fault, answered
// by a line once it is in force.
func serveGateway(address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	g := &gate{TCPListener: l.(*net.TCPListener), open: make(chan struct{})}
	close(g.open)
	var failing, cut atomic.Bool
	server := &http.Server{
		ReadHeaderTimeout: time.Minute,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if failing.Load() {
				http.Error(w, "failing", http.StatusServiceUnavailable)
				return
			}
			_, _ = io.WriteString(w, "ok")
		}),
	}
	go func() {
		_ = server.Serve(netfault.WrapListener(g, func() netfault.Conditions {
			return netfault.Conditions{CutFrom: cut.Load()}
		}))
	}()
	fmt.Println("ready")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); fmt.Println("done") {
		switch lines.Text() {
		case "503":
			failing.Store(true)
		case "cut":
			cut.Store(true)
		case "blackhole":
			err = g.shut()
		case "heal":
			failing.Store(false)
			cut.Store(false)
			if g.filled != nil {
				err = g.unshut()
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// gateway is a region's gateway in a process of its own.
type gateway struct {
	address string
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Scanner
	stopped bool
}

func (g *gateway) start(t testing.TB) {
	t.Helper()
	g.cmd = exec.Command(os.Args[0])
	g.cmd.Env = append(os.Environ(), envGateway+"="+g.address)
	g.cmd.Stderr = os.Stderr
	in, err := g.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := g.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := g.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	g.in, g.out = in, bufio.NewScanner(out)
	g.await(t, "ready")
}

func (g *gateway) await(t testing.TB, word string) {
	t.Helper()
	for g.out.Scan() {
		if strings.TrimSpace(g.out.Text()) == word {
			return
		}
	}
	t.Fatalf("gateway %s ended before it was %s", g.address, word)
}

func (g *gateway) say(t testing.TB, word string) {
	t.Helper()
	if _, err := io.WriteString(g.in, word+"\n"); err != nil {
		t.Fatal(err)
	}
	g.await(t, "done")
}

func (g *gateway) kill() {
	_ = g.cmd.Process.Kill()
	_ = g.cmd.Wait()
}

// heal ends whatever fault there is.
func (g *gateway) heal(t testing.TB) {
	t.Helper()
	switch {
	case g.cmd.ProcessState != nil:
		g.start(t)
	case g.stopped:
		g.stopped = false
		if err := g.cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	default:
		g.say(t, "heal")
	}
}
