package local_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/proa-cloud/proa/aws/provision"
)

// exchange sends a head and a body of some length, and only then reads the answer's status.
func exchange(t *testing.T, address, head string, body int) int {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, head); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Write(make([]byte, body)); err != nil {
		t.Fatalf("cut off after %d bytes: %v", n, err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	return answer.StatusCode
}

// Without this, a stranger without any credentials holds a request slot for ever by announcing a body and sending none.
func TestAnAnnouncedBodyThatNeverComesHoldsNothing(t *testing.T) {
	t.Parallel()
	region := start(t, t.TempDir())
	for name, c := range map[string]struct {
		address string
		want    int
	}{"endpoint": {region.API, http.StatusForbidden}, "gateway": {region.Gateway, http.StatusNotFound}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := exchange(t, c.address, "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n", 0)
			if got != c.want {
				t.Errorf("got %d, want %d", got, c.want)
			}
		})
	}
}

func TestATooLargeUploadIsToldSoEvenToClientsThatSendItAllFirst(t *testing.T) {
	region := start(t, t.TempDir())
	if err := provision.Apply(t.Context(), demo(region, packageOf(t))); err != nil {
		t.Fatal(err)
	}
	const size = 11 << 20
	head := fmt.Sprintf("PUT /orders/1/attachment HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", size)
	if got := exchange(t, region.Gateway, head, size); got != http.StatusRequestEntityTooLarge {
		t.Errorf("got %d", got)
	}
}
