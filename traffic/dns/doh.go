package dns

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"
)

// dohPath and dohType are DNS over HTTPS's (RFC 8484).
const (
	dohPath = "/dns-query"
	dohType = "application/dns-message"
)

// serveHTTPS serves DNS over HTTPS until ctx ends.
func (s *Server) serveHTTPS(ctx context.Context, l net.Listener, config *tls.Config, c *counters,
) error {
	mux := http.NewServeMux()
	mux.Handle(dohPath, s.dohHandler(c))
	server := &http.Server{
		Handler: mux, ReadHeaderTimeout: s.cfg.TCPIdle, ReadTimeout: s.cfg.TCPIdle,
		WriteTimeout: s.cfg.TCPIdle, IdleTimeout: s.cfg.TCPIdle, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(s.cfg.Logger.Handler(), slog.LevelDebug),
		HTTP2:    &http.HTTP2Config{MaxConcurrentStreams: 100},
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	err := server.Serve(tls.NewListener(&countedListener{l, s}, config))
	if ctx.Err() != nil && errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// DoH answers DNS over HTTPS, for a server of HTTP that exists already.
func (s *Server) DoH() http.Handler {
	c := &counters{}
	s.publish.Lock()
	defer s.publish.Unlock()
	s.extra = append(s.extra, c)
	return s.dohHandler(c)
}

func (s *Server) dohHandler(c *counters) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		msg, status := dohQuery(w, r)
		if status != 0 {
			http.Error(w, http.StatusText(status), status)
			return
		}
		from, _ := netip.ParseAddrPort(r.RemoteAddr) // without it there is no cookie to check
		reply := s.handle(make([]byte, 0, 2048), msg,
			newClient(from.Addr().Unmap(), seconds(s.cfg.Clock()), overHTTPS), c)
		if len(reply) == 0 {
			http.Error(w, http.StatusText(http.StatusBadRequest), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", dohType)
		w.Header().Set("Content-Length", strconv.Itoa(len(reply)))
		w.Header().Set("Cache-Control", "max-age="+strconv.Itoa(int(minTTL(reply))))
		_, _ = w.Write(reply) // a client that went away asks again
	})
}

// dohQuery takes the message out of a request; a status other than 0 refuses it.
func dohQuery(w http.ResponseWriter, r *http.Request) ([]byte, int) {
	switch r.Method {
	case http.MethodGet:
		text := r.URL.Query().Get("dns")
		if len(text) > base64.RawURLEncoding.EncodedLen(maxTCPQuery) {
			return nil, http.StatusRequestURITooLong
		}
		msg, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil || len(msg) == 0 {
			return nil, http.StatusBadRequest
		}
		return msg, 0
	case http.MethodPost:
		if r.Header.Get("Content-Type") != dohType {
			return nil, http.StatusUnsupportedMediaType
		}
		msg, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxTCPQuery))
		var long *http.MaxBytesError
		switch {
		case errors.As(err, &long):
			return nil, http.StatusRequestEntityTooLarge
		case err != nil || len(msg) == 0:
			return nil, http.StatusBadRequest
		}
		return msg, 0
	}
	w.Header().Set("Allow", "GET, POST")
	return nil, http.StatusMethodNotAllowed
}

// minTTL is how long a reply may be kept (RFC 8484 section 5.1): the lowest TTL of its answers, or
// of the denial.
func minTTL(msg []byte) uint32 {
	lowest := uint32(1<<32 - 1)
	at := headerLen
	if binary.BigEndian.Uint16(msg[4:]) == 1 {
		at += skipName(msg[at:]) + 4
	}
	records := int(binary.BigEndian.Uint16(msg[6:])) + int(binary.BigEndian.Uint16(msg[8:]))
	for range records {
		end := skipRecord(msg, at)
		if end == 0 {
			return 0
		}
		lowest = min(lowest, binary.BigEndian.Uint32(msg[at+skipName(msg[at:])+4:]))
		at = end
	}
	if records == 0 {
		return 0
	}
	return lowest
}

// countedListener holds connections to the limits of TCP clients.
type countedListener struct {
	net.Listener
	server *Server
}

// Accept returns the next connection that has a place.
func (l *countedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		s, from := l.server, remoteAddr(conn)
		if s.clients.enter(from, s.cfg.TCPTotal, s.cfg.TCPPerClient) {
			// Whatever HTTP does, the handshake has a time limit too.
			_ = conn.SetDeadline(time.Now().Add(s.cfg.TCPIdle))
			return &countedConn{Conn: conn, leave: func() { s.clients.leave(from) }}, nil
		}
		s.refused.Add(1)
		_ = conn.Close()
	}
}

// countedConn gives its place back once when it closes.
type countedConn struct {
	net.Conn
	once  sync.Once
	leave func()
}

// Close implements net.Conn.
func (c *countedConn) Close() error {
	c.once.Do(c.leave)
	return c.Conn.Close()
}
