package netfault

import (
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/proa-cloud/proa"
)

// roundTrip sends one byte and waits for its echo, for so long at most.
func roundTrip(c net.Conn, limit time.Duration) (time.Duration, error) {
	began := time.Now()
	if err := c.SetDeadline(began.Add(limit)); err != nil {
		return 0, err
	}
	if _, err := c.Write([]byte{1}); err != nil {
		return 0, err
	}
	_, err := io.ReadFull(c, make([]byte, 1))
	return time.Since(began), err
}

func TestLatencyFallsOnEachExchangeAndEnds(t *testing.T) {
	p := start(t, echo(t))
	c := dial(t, p)
	p.Set(Conditions{Latency: 80 * time.Millisecond})
	for range 2 {
		if took, err := roundTrip(c, time.Second); err != nil || took < 80*time.Millisecond {
			t.Errorf("took %s, %v; want 80 ms and more", took, err)
		}
	}
	p.Set(Conditions{})
	if took, err := roundTrip(c, time.Second); err != nil || took > 60*time.Millisecond {
		t.Errorf("took %s, %v after the end", took, err)
	}
}

func TestLatencyDoesNotBoundTheRate(t *testing.T) {
	p := start(t, echo(t))
	c := dial(t, p)
	p.Set(Conditions{Latency: 100 * time.Millisecond})
	const size = 16 * chunkBytes
	began := time.Now()
	go func() { _, _ = c.Write(make([]byte, size)) }()
	if _, err := io.ReadFull(c, make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("16 chunks took %s: they waited for each other", took)
	}
}

func TestBandwidthPaces(t *testing.T) {
	p := start(t, echo(t))
	c := dial(t, p)
	p.Set(Conditions{BytesPerSecond: 40000})
	began := time.Now()
	go func() { _, _ = c.Write(make([]byte, 4000)) }()
	if _, err := io.ReadFull(c, make([]byte, 4000)); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < 180*time.Millisecond { // 100 ms there and 100 ms back
		t.Errorf("took %s", took)
	}
}

func TestOneWayCuts(t *testing.T) {
	var arrived atomic.Int64
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
				b := make([]byte, 1)
				for {
					if _, err := c.Read(b); err != nil {
						return
					}
					arrived.Add(1)
					if _, err := c.Write(b); err != nil {
						return
					}
				}
			}()
		}
	}()
	p := start(t, ln.Addr().String())
	c := dial(t, p)
	if _, err := roundTrip(c, time.Second); err != nil {
		t.Fatal(err)
	}
	p.Set(Conditions{CutFrom: true})
	if _, err := roundTrip(c, 100*time.Millisecond); err == nil || arrived.Load() != 2 {
		t.Errorf("answers cut: %v, %d arrived; want none answered, both arrived", err, arrived.Load())
	}
	p.Set(Conditions{CutTo: true})
	if _, err := roundTrip(c, 100*time.Millisecond); err != nil || arrived.Load() != 2 {
		t.Errorf("requests cut: the held answer: %v, %d arrived", err, arrived.Load())
	}
	p.Heal()
	if _, err := roundTrip(c, time.Second); err != nil || arrived.Load() < 3 {
		t.Errorf("healed: %v, %d arrived", err, arrived.Load())
	}
}

func TestAResetIsSeenAsOne(t *testing.T) {
	p := start(t, echo(t))
	c := dial(t, p)
	p.Set(Conditions{ResetRate: 1})
	if _, err := roundTrip(c, time.Second); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v, want a reset", err)
	}
}

func TestConditionsAreValidated(t *testing.T) {
	for _, c := range []Conditions{
		{Latency: -1}, {Latency: time.Hour}, {Jitter: -1}, {ResetRate: 1.1}, {ResetRate: -0.1}, {BytesPerSecond: 1},
	} {
		if err := c.Validate(); !errors.Is(err, proa.ErrInvalid) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if err := (Conditions{Latency: time.Second, Jitter: time.Second, ResetRate: 1, BytesPerSecond: 64}).Validate(); err != nil {
		t.Error(err)
	}
}

// served is an HTTP server behind a wrapped listener.
func served(t *testing.T) (url string, set func(Conditions)) {
	t.Helper()
	var now atomic.Pointer[Conditions]
	now.Store(&Conditions{})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{
		ReadHeaderTimeout: time.Minute,
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) }),
	}
	go func() { _ = s.Serve(WrapListener(ln, func() Conditions { return *now.Load() })) }()
	t.Cleanup(func() { s.Close() })
	return "http://" + ln.Addr().String(), func(c Conditions) { now.Store(&c) }
}

func TestAServersListenerHasTheSameFaults(t *testing.T) {
	url, set := served(t)
	client := &http.Client{Timeout: 400 * time.Millisecond}
	get := func() (time.Duration, error) {
		began := time.Now()
		resp, err := client.Get(url)
		if err != nil {
			return time.Since(began), err
		}
		defer resp.Body.Close()
		_, err = io.ReadAll(resp.Body)
		return time.Since(began), err
	}
	if took, err := get(); err != nil || took > 100*time.Millisecond {
		t.Fatalf("in order: %s, %v", took, err)
	}
	for range 2 { // the second on the kept connection
		set(Conditions{Latency: 120 * time.Millisecond})
		if took, err := get(); err != nil || took < 120*time.Millisecond || took > 300*time.Millisecond {
			t.Errorf("late: %s, %v; want about 120 ms", took, err)
		}
	}
	for _, c := range []Conditions{{CutTo: true}, {CutFrom: true}, {CutTo: true, CutFrom: true}} {
		set(c)
		if _, err := get(); err == nil {
			t.Errorf("%+v: answered", c)
		}
		set(Conditions{})
		if _, err := get(); err != nil {
			t.Errorf("healed after %+v: %v", c, err)
		}
	}
	set(Conditions{ResetRate: 1})
	if _, err := get(); err == nil {
		t.Error("no reset")
	}
}
