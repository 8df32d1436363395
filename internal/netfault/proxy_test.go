package netfault

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"
)

// echo serves until the test ends; each connection gets back what it sends.
func echo(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	return ln.Addr().String()
}

func start(t testing.TB, target string) *Proxy {
	t.Helper()
	p, err := Listen("127.0.0.1:0", target, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return p
}

func dial(t testing.TB, p *Proxy) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func exchange(c net.Conn, msg string, limit time.Duration) error {
	if _, err := io.WriteString(c, msg); err != nil {
		return err
	}
	if err := c.SetReadDeadline(time.Now().Add(limit)); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, len(msg)))
	return err
}

func TestForwardsBothWays(t *testing.T) {
	c := dial(t, start(t, echo(t)))
	if err := exchange(c, "hello", 5*time.Second); err != nil {
		t.Fatal(err)
	}
}

func TestACutIsSilenceAndHeldBytesArriveWhenItHeals(t *testing.T) {
	p := start(t, echo(t))
	old := dial(t, p)
	if err := exchange(old, "before", 5*time.Second); err != nil {
		t.Fatal(err)
	}
	p.Cut()
	fresh := dial(t, p)
	for name, c := range map[string]net.Conn{"old": old, "new": fresh} {
		err := exchange(c, "during", 100*time.Millisecond)
		if nerr, ok := err.(net.Error); !ok || !nerr.Timeout() {
			t.Fatalf("%s connection: want silence, got %v", name, err)
		}
	}
	p.Heal()
	for name, c := range map[string]net.Conn{"old": old, "new": fresh} {
		if err := c.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, len("during"))); err != nil {
			t.Fatalf("%s connection after heal: %v", name, err)
		}
	}
}

func TestADeadTargetClosesTheConnection(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	target := ln.Addr().String()
	ln.Close()
	c := dial(t, start(t, target))
	if err := c.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Fatal("want an error")
	} else if nerr, ok := err.(net.Error); ok && nerr.Timeout() {
		t.Fatal("want a close, got silence")
	}
}

func TestWhatIsHeldKeepsItsPlaceBeforeWhatPasses(t *testing.T) {
	p := start(t, echo(t))
	c := dial(t, p)
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	const rounds, size = 200, 3000
	go func() {
		for i := range rounds {
			switch i % 4 {
			case 0:
				p.Cut()
			case 1:
				p.Set(Conditions{Latency: time.Millisecond})
			default:
				p.Set(Conditions{})
			}
			_, _ = c.Write(bytes.Repeat([]byte{byte(i)}, size))
		}
	}()
	got := make([]byte, rounds*size)
	if _, err := io.ReadFull(c, got); err != nil {
		t.Fatal(err)
	}
	for i, b := range got {
		if b != byte(i/size) {
			t.Fatalf("byte %d is of write %d, want %d", i, b, i/size)
		}
	}
}

func BenchmarkRoundTrip(b *testing.B) {
	p := start(b, echo(b))
	c := dial(b, p)
	out, in := make([]byte, 1500), make([]byte, 1500)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Write(out); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(c, in); err != nil {
			b.Fatal(err)
		}
	}
}
