package capacity

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/proa-cloud/proa"
)

// script writes a shell script and returns its hook.
func script(t *testing.T, text string) Hook {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hook.sh")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return Hook{Exec: []string{"/bin/sh", path}, Timeout: 5 * time.Second}
}

func TestHooksAnswer(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q Question
		if json.NewDecoder(r.Body).Decode(&q) != nil || q.Region != proa.Azure || r.Header.Get("X-Key") != "k" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		switch r.URL.Path {
		case "/full":
			http.Error(w, "quota 10 of 10\nand more", http.StatusConflict)
		case "/broken":
			w.WriteHeader(http.StatusInternalServerError)
		case "/away":
			http.Redirect(w, r, "/", http.StatusTemporaryRedirect)
		case "/hang":
			<-r.Context().Done()
		}
	}))
	defer srv.Close()
	url := func(path string) Hook {
		return Hook{URL: srv.URL + path, Header: http.Header{"X-Key": {"k"}}, Timeout: 300 * time.Millisecond}
	}
	slow := script(t, "sleep 30")
	slow.Timeout = 100 * time.Millisecond
	for _, c := range []struct {
		name string
		hook Hook
		want Answer
	}{
		{"program", script(t, `echo "$PROA_REGION $PROA_EVENT $PROA_ACTIVE"`), Answer{Known: true, Enough: true, Reason: "azure check aws"}},
		{"program refuses", script(t, `echo "quota 9 of 10" >&2; exit 3`), Answer{Known: true, Reason: "quota 9 of 10"}},
		{"program refuses silently", script(t, `exit 3`), Answer{Known: true, Reason: "exit status 3"}},
		{"program talks much", script(t, `head -c 100000 /dev/zero | tr '\0' x`), Answer{Known: true, Enough: true, Reason: strings.Repeat("x", maxReason)}},
		{"program hangs", slow, Answer{Reason: "no answer in 100ms"}},
		{"no program", Hook{Exec: []string{"/nonexistent"}, Timeout: time.Second}, Answer{Reason: "fork/exec /nonexistent: no such file or directory"}},
		{"url", url("/"), Answer{Known: true, Enough: true}},
		{"url refuses", url("/full"), Answer{Known: true, Reason: "quota 10 of 10"}},
		{"url is broken", url("/broken"), Answer{Reason: "500 Internal Server Error"}},
		{"url redirects", url("/away"), Answer{Reason: "307 Temporary Redirect"}},
		{"url hangs", url("/hang"), Answer{Reason: "no answer in 300ms"}},
	} {
		if err := c.hook.Validate(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		began := time.Now()
		got := c.hook.Ask(t.Context(), Question{Region: proa.Azure, Event: "check", Active: proa.AWS})
		if got != c.want || time.Since(began) > 5*time.Second {
			t.Errorf("%s: %+v after %s, want %+v", c.name, got, time.Since(began), c.want)
		}
	}
}

func TestWatchWarnsAllowsAndScales(t *testing.T) {
	var active atomic.Value
	active.Store(proa.AWS)
	scaled := filepath.Join(t.TempDir(), "scaled")
	w, err := New(Config{
		Regions: []Region{{
			Region: proa.Azure, Interval: 20 * time.Millisecond,
			Check: script(t, "echo quota 9 of 10; exit 1"), Scale: script(t, "echo x >> "+scaled),
		}},
		Active: func() (proa.Region, bool) { return active.Load().(proa.Region), true },
		Clock:  time.Now, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	await := func(what string, ok func() bool) {
		t.Helper()
		for range 500 {
			if ok() {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Errorf("never: %s", what)
	}
	await("a warning", func() bool {
		list := w.Warnings()
		return len(list) == 1 && list[0] == "azure could not carry all traffic: quota 9 of 10"
	})
	if err := w.Allow(ctx, proa.Azure); !errors.Is(err, proa.ErrConflict) || !strings.Contains(err.Error(), "quota 9 of 10") {
		t.Errorf("planned move to azure: %v", err)
	}
	if err := w.Allow(ctx, proa.AWS); err != nil {
		t.Errorf("planned move to aws, without hooks: %v", err)
	}
	time.Sleep(300 * time.Millisecond) // the watch of the active region has seen aws
	active.Store(proa.Azure)
	await("scaled", func() bool { _, err := os.Stat(scaled); return err == nil })
	time.Sleep(500 * time.Millisecond)
	if text, err := os.ReadFile(scaled); err != nil || string(text) != "x\n" {
		t.Errorf("scaled %q, %v", text, err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestHooksThatCannotWorkAreRefused(t *testing.T) {
	for _, h := range []Hook{
		{Exec: []string{"x"}, URL: "http://x", Timeout: time.Second}, {Exec: []string{"x"}}, {URL: "http://x"},
	} {
		if err := h.Validate(); !errors.Is(err, proa.ErrInvalidConfig) {
			t.Errorf("%+v: %v", h, err)
		}
	}
}
