//go:build !linux

package dns

import (
	"context"
	"errors"
	"net"
	"net/netip"
)

// sharedConn serves UDP through package net.
type sharedConn struct{ conn *net.UDPConn }

// bindUDP opens one socket that all workers share.
func bindUDP(address netip.AddrPort, workers int) ([]packetConn, error) {
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(address))
	if err != nil {
		return nil, err
	}
	list := make([]packetConn, workers)
	for i := range list {
		list[i] = sharedConn{conn}
	}
	return list, nil
}

// Close implements packetConn; the workers share the socket, so that all but the first find it
// closed.
func (p sharedConn) Close() error {
	if err := p.conn.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

func (p sharedConn) serve(ctx context.Context, s *Server, c *counters) error {
	stop := context.AfterFunc(ctx, func() { _ = p.Close() })
	defer stop()
	in := make([]byte, maxQuery+1)
	out := make([]byte, 0, s.cfg.UDPLimit)
	for {
		n, from, err := p.conn.ReadFromUDPAddrPort(in)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil:
			continue // an ICMP error of an earlier reply; it concerns one client
		case n > maxQuery:
			c.dropped.Add(1)
			continue
		}
		if reply := s.answerOne(out[:0], in[:n], from.Addr(), c); len(reply) > 0 {
			_, _ = p.conn.WriteToUDPAddrPort(reply, from) // a lost reply is asked for again
		}
	}
}

func (s *Server) answerOne(dst, msg []byte, from netip.Addr, c *counters) []byte {
	return s.handle(dst, msg, newClient(from, seconds(s.cfg.Clock()), overUDP), c)
}
