package dns

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
)

// stream is a bound address of DNS over TLS or HTTPS.
type stream struct {
	listener net.Listener
	over     transport
	counters *counters
}

// bindStreams opens the sockets of encrypted transports.
func (s *Server) bindStreams() error {
	for i, list := range [][]string{s.cfg.ListenTLS, s.cfg.ListenHTTPS} {
		over := []transport{overTLS, overHTTPS}[i]
		for _, listen := range list {
			l, err := net.Listen("tcp", listen)
			if err != nil {
				return bindError(listen, []string{"tls", "https"}[i], err)
			}
			c := &counters{}
			s.streams = append(s.streams, stream{l, over, c})
			s.workers = append(s.workers, c)
		}
	}
	return nil
}

// StreamAddrs are the bound addresses of DNS over TLS, then of DNS over HTTPS, in the order of the
// configuration.
func (s *Server) StreamAddrs() []netip.AddrPort {
	var list []netip.AddrPort
	for _, l := range s.streams {
		list = append(list, l.listener.Addr().(*net.TCPAddr).AddrPort())
	}
	return list
}

func (l stream) serve(ctx context.Context, s *Server) error {
	config := s.cfg.TLS.Clone()
	config.MinVersion = max(config.MinVersion, tls.VersionTLS12)
	if l.over == overTLS {
		config.NextProtos = []string{"dot"}
		return s.serveTCP(ctx, l.listener, config, l.counters)
	}
	config.NextProtos = []string{"h2", "http/1.1"}
	return s.serveHTTPS(ctx, l.listener, config, l.counters)
}
