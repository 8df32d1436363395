package netfault

import (
	"context"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"
)

// echo serves until the test ends; each connection gets back what it sends.
func echo(t *testing.T) string {
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

func start(t *testing.T, target string) *Proxy {
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

func dial(t *testing.T, p *Proxy) net.Conn {
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
