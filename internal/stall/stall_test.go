package stall

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"
)

func quick() Limits {
	return Limits{Idle: 150 * time.Millisecond, BytesPerSecond: 1000, DrainBytes: 4 << 20, DrainTime: 200 * time.Millisecond}
}

// dial sends text to a server with the handler and returns the connection. The client's own patience ends after ten seconds.
func dial(t *testing.T, h http.HandlerFunc, text string) net.Conn {
	t.Helper()
	server := httptest.NewServer(quick().Wrap(h))
	t.Cleanup(server.Close)
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	return conn
}

func statusOf(t *testing.T, conn net.Conn) int {
	t.Helper()
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	return response.StatusCode
}

const promise = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"

func TestARefusalDoesNotWaitForABodyThatNeverComes(t *testing.T) {
	for name, size := range map[string]int{"short answer": 10, "long answer": 10 << 10} {
		t.Run(name, func(t *testing.T) {
			conn := dial(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusForbidden)
				_, _ = w.Write(make([]byte, size))
			}, promise)
			if got := statusOf(t, conn); got != http.StatusForbidden {
				t.Errorf("got %d", got)
			}
		})
	}
}

func TestABodyThatStopsOrTricklesFails(t *testing.T) {
	for name, trickle := range map[string]bool{"stops": false, "trickles": true} {
		t.Run(name, func(t *testing.T) {
			failed := make(chan error, 1)
			conn := dial(t, func(_ http.ResponseWriter, r *http.Request) {
				_, err := io.Copy(io.Discard, r.Body)
				failed <- err
			}, promise)
			for range 100 {
				select {
				case err := <-failed:
					if !errors.Is(err, os.ErrDeadlineExceeded) {
						t.Errorf("got %v", err)
					}
					return
				case <-time.After(50 * time.Millisecond):
				}
				if trickle {
					_, _ = conn.Write([]byte("x"))
				}
			}
			t.Error("the handler is still held after five seconds")
		})
	}
}

func TestAHandlerMayTakeItsTimeBetweenReads(t *testing.T) {
	conn := dial(t, func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(2 * quick().Idle) // the time that the peer is not to be charged for
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			w.WriteHeader(http.StatusBadRequest)
		}
	}, promise+strings.Repeat("x", 1000))
	if got := statusOf(t, conn); got != http.StatusOK {
		t.Errorf("got %d", got)
	}
}

func TestAPeerThatSendsFirstAndReadsThenSeesTheRefusal(t *testing.T) {
	refuse := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusRequestEntityTooLarge) }
	backend := httptest.NewServer(quick().Wrap(http.HandlerFunc(refuse)))
	defer backend.Close()
	target, err := url.Parse(backend.URL)
	if err != nil {
		t.Fatal(err)
	}
	for name, h := range map[string]http.HandlerFunc{
		"unread":  refuse,
		"proxied": httputil.NewSingleHostReverseProxy(target).ServeHTTP,
		"limited": func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1000)); err != nil {
				refuse(w, r)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			const size = 3 << 20
			conn := dial(t, h, fmt.Sprintf("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", size))
			if n, err := conn.Write(make([]byte, size)); err != nil {
				t.Fatalf("broken off after %d bytes: %v", n, err)
			}
			if got := statusOf(t, conn); got != http.StatusRequestEntityTooLarge {
				t.Errorf("got %d", got)
			}
		})
	}
}

func TestAPeerThatWaitsToBeAskedIsNotAskedForARefusedBody(t *testing.T) {
	conn := dial(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
	}, "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\nExpect: 100-continue\r\n\r\n")
	if got := statusOf(t, conn); got != http.StatusRequestEntityTooLarge {
		t.Errorf("got %d", got)
	}
}

func TestAnAnswerThatNobodyTakesFails(t *testing.T) {
	failed := make(chan error, 1)
	dial(t, func(w http.ResponseWriter, _ *http.Request) {
		var err error
		for i := 0; i < 1000 && err == nil; i++ {
			_, err = w.Write(make([]byte, 1<<20))
		}
		failed <- err
	}, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	select {
	case err := <-failed:
		if err == nil {
			t.Error("a gigabyte went to a peer that reads nothing")
		}
	case <-time.After(10 * time.Second):
		t.Error("the handler is still held")
	}
}
