package dns

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"net"
	"net/netip"
	"sync"
	"time"
)

// clients counts open TCP connections by who has them: an IPv4 address, or an IPv6 /56, which is what one customer gets.
type clients struct {
	mu    sync.Mutex
	total int
	open  map[netip.Addr]int
}

// count is how many connections are open.
func (c *clients) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.total
}

// enter takes a place; false when there is none.
func (c *clients) enter(a netip.Addr, total, each int) bool {
	a = household(a)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.total >= total || c.open[a] >= each {
		return false
	}
	c.total++
	c.open[a]++
	return true
}

func household(a netip.Addr) netip.Addr {
	if a = a.Unmap(); a.Is4() || !a.IsValid() {
		return a
	}
	network, _ := a.Prefix(56) // never fails for IPv6
	return network.Addr()
}

func (c *clients) leave(a netip.Addr) {
	a = household(a)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total--
	if c.open[a]--; c.open[a] <= 0 {
		delete(c.open, a)
	}
}

// serveTCP accepts until ctx ends and returns when all its connections have. config is nil for plain
// TCP.
func (s *Server) serveTCP(ctx context.Context, l net.Listener, config *tls.Config, c *counters,
) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	for {
		conn, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = conn.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil: // out of file descriptors, most likely: wait for some to close
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
			continue
		}
		from := remoteAddr(conn)
		if !s.clients.enter(from, s.cfg.TCPTotal, s.cfg.TCPPerClient) {
			s.refused.Add(1)
			_ = conn.Close()
			continue
		}
		over := overTCP
		if config != nil {
			conn, over = tls.Server(conn, config), overTLS
		}
		wg.Go(func() {
			defer s.clients.leave(from)
			s.serveConn(ctx, conn, from, over, c)
		})
	}
}

func remoteAddr(conn net.Conn) netip.Addr {
	if a, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		return a.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// idle is how long a connection may be silent: less when the places are nearly taken.
func (s *Server) idle() time.Duration {
	if s.clients.count()*4 > s.cfg.TCPTotal*3 {
		return max(s.cfg.TCPIdle/8, 250*time.Millisecond)
	}
	return s.cfg.TCPIdle
}

// keepalive tells a client how long it may stay, in tenths of a second (RFC 7828).
func (s *Server) keepalive() uint16 {
	return uint16(min(s.cfg.TCPIdle/(100*time.Millisecond), math.MaxUint16))
}

// maxTCPQuery bounds a query over TCP; a longer one ends the connection.
const maxTCPQuery = 8192

// serveConn answers the queries of one connection in their order (RFC 7766: pipelined queries wait
// in the buffer).
func (s *Server) serveConn(ctx context.Context, conn net.Conn, from netip.Addr, over transport,
	c *counters,
) {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	defer func() { _ = conn.Close() }()
	in := bufio.NewReaderSize(conn, 2+maxTCPQuery)
	out := bufio.NewWriterSize(conn, 4096)
	reply := make([]byte, 0, 2048)
	for {
		// One deadline a message: a client that drips bytes does not hold its place.
		if err := conn.SetDeadline(time.Now().Add(s.idle())); err != nil {
			return
		}
		msg, err := readMessage(in)
		if err != nil {
			return
		}
		if s.transfers != nil && isTransfer(msg) {
			if out.Flush() != nil || s.transfer(conn, from, msg) != nil {
				return
			}
			continue
		}
		reply = s.handle(append(reply[:0], 0, 0), msg,
			newClient(from, seconds(s.cfg.Clock()), over), c)
		if len(reply) <= 2 {
			return // nothing to say to this message: this is not a resolver
		}
		binary.BigEndian.PutUint16(reply, uint16(len(reply)-2))
		if _, err := out.Write(reply); err != nil {
			return
		}
		if complete(in) {
			continue
		}
		if err := out.Flush(); err != nil {
			return
		}
	}
}

// readMessage returns the next message, valid until the next read.
func readMessage(in *bufio.Reader) ([]byte, error) {
	size, err := in.Peek(2)
	if err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(size))
	if n < headerLen || n > maxTCPQuery {
		return nil, io.ErrUnexpectedEOF
	}
	msg, err := in.Peek(2 + n)
	if err != nil {
		return nil, err
	}
	_, err = in.Discard(2 + n)
	return msg[2:], err
}

// complete reports whether another whole message is in the buffer.
func complete(in *bufio.Reader) bool {
	if in.Buffered() < 2 {
		return false
	}
	size, err := in.Peek(2)
	return err == nil && in.Buffered() >= 2+int(binary.BigEndian.Uint16(size))
}
