package local_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// Without this, a stranger without any credentials holds a request slot for ever by announcing a body and sending none.
func TestAnAnnouncedBodyThatNeverComesHoldsNothing(t *testing.T) {
	t.Parallel()
	c := start(t, t.TempDir())
	for name, to := range map[string]struct {
		address string
		want    int
	}{"data plane": {c.Data, http.StatusForbidden}, "gateway": {c.Gateway, http.StatusNotFound}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", to.address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
				t.Fatal(err)
			}
			_, err = io.WriteString(conn, "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
			if err != nil {
				t.Fatal(err)
			}
			answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			if answer.StatusCode != to.want {
				t.Errorf("got %d, want %d", answer.StatusCode, to.want)
			}
		})
	}
}
