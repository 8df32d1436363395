package functions

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

// dial connects to a handler.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &patientConn{Conn: conn}, nil
}

// patientConn goes on reading when the other end takes no more. A handler may answer, with a 413
// say, and close before it has read the body; net/http's client would report the failed write and
// lose the answer that has already come. Where none has come, the read fails as well.
type patientConn struct {
	net.Conn
	refused atomic.Bool
}

// Write drops what the other end does not take any more.
func (c *patientConn) Write(p []byte) (int, error) {
	if c.refused.Load() {
		return len(p), nil
	}
	n, err := c.Conn.Write(p)
	if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		c.refused.Store(true)
		return len(p), nil
	}
	return n, err
}
