package node

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/console"
	"github.com/proa-cloud/proa/traffic/cluster"
)

// outside serves next as the control API does.
func outside(t *testing.T, patience time.Duration, next http.HandlerFunc) (addr string) {
	s := httptest.NewServer(fromOutside(proa.NewSecret("control"), proa.NewSecret("announce"), patience, next))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// unfinished sends an order whose body does not come, and returns the answer's status.
func unfinished(t *testing.T, addr, token string) string {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second)) // a live connection takes one
	fmt.Fprintf(conn, "POST /v1/traffic HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: 500\r\n\r\n", token)
	status, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(status)
}

func TestAStrangerIsRefusedBeforeItsBodyIsRead(t *testing.T) {
	t.Parallel()
	addr := outside(t, time.Hour, func(_ http.ResponseWriter, r *http.Request) {
		t.Error("let in")
		_, _ = io.ReadAll(r.Body)
	})
	if got := unfinished(t, addr, "guess"); !strings.Contains(got, " 401 ") {
		t.Errorf("answered %q", got)
	}
}

func TestABodyThatDoesNotComeIsGivenUp(t *testing.T) {
	t.Parallel()
	addr := outside(t, 50*time.Millisecond, func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%v, want that the deadline is over", err)
		}
		w.WriteHeader(http.StatusRequestTimeout)
	})
	if got := unfinished(t, addr, "control"); !strings.Contains(got, " 408 ") {
		t.Errorf("answered %q", got)
	}
}

// TestALongAnswerIsNotCutShort: the deadline is the body's, not the handler's.
func TestALongAnswerIsNotCutShort(t *testing.T) {
	t.Parallel()
	const patience = 200 * time.Millisecond
	addr := outside(t, patience, func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err != nil {
			w.WriteHeader(http.StatusRequestTimeout) // a machine this slow shows nothing
			return
		}
		select {
		case <-r.Context().Done():
			t.Error("the request was given up while it was carried out")
		case <-time.After(2 * patience):
		}
	})
	ask(t, addr, nil)
}

func ask(t *testing.T, addr string, header http.Header) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/v1/traffic", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range header {
		req.Header[k] = v
	}
	req.Header.Set("Authorization", "Bearer control")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
}

// TestNobodyOutsideIsANode: an order that says it comes from a node, or is noted already, would not be noted.
func TestNobodyOutsideIsANode(t *testing.T) {
	t.Parallel()
	n := &node{clock: time.Now}
	n.cfg.Node.Dir = t.TempDir()
	n.picture = &picture{}
	closeAudit := n.openAudit() // without a console
	defer closeAudit()
	addr := outside(t, time.Minute, n.audited(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP)
	ask(t, addr, http.Header{cluster.FromHeader: {"node-2"}})
	ask(t, addr, http.Header{console.NotedHeader: {"console"}})
	if list, err := n.audit.Last(10); err != nil || len(list) != 2 {
		t.Errorf("%d of 2 orders are noted: %v", len(list), err)
	}
}
