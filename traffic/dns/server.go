// Package dns is the authoritative name server. It answers from the last snapshot that was
// published, and from nothing else: it imports neither health checks nor clouds nor replication,
// and goes on when all of them are dead.
//
// A snapshot holds answers in wire format, so that a reply is a lookup and a copy without
// allocation. Publishing swaps one pointer: a query sees the old answers or the new ones, whole.
package dns

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	mdns "github.com/miekg/dns"
	"golang.org/x/sync/errgroup"

	"github.com/proa-cloud/proa"
)

// Config is a name server.
type Config struct {
	// Listen are the addresses, host:port, each served over UDP and TCP. 0.0.0.0 and :: are all of the
	// machine's; on systems other than Linux name them where there are several: there a reply over UDP
	// leaves from the address that the system chooses.
	Listen []string
	// ListenTLS and ListenHTTPS are the addresses of DNS over TLS (RFC 7858) and DNS over HTTPS
	// (RFC 8484, at /dns-query). They need TLS.
	ListenTLS, ListenHTTPS []string
	// TLS has the certificates of both.
	TLS *tls.Config
	// Zones are what is served.
	Zones []*Zone
	// Records are the names in Zones whose addresses follow the plan.
	Records []Record
	// Aliases are names with the addresses of others: apex flattening.
	Aliases []Alias
	// Validations are served from the start on, and stay.
	Validations []Validation
	// Resolver finds the targets of Aliases that lie outside Zones. nil is the system's.
	Resolver Resolver
	// Plan is in force until another is published.
	Plan proa.Plan
	// NSID is the server's identity, told to those who ask (RFC 5001); at most 128 bytes, "" for
	// none.
	NSID string
	// UDPLimit is the longest reply over UDP, 512 to 4096 bytes. 0 is 1232, which no path fragments
	// (RFC 9715).
	UDPLimit int
	// Workers answer UDP for each address. 0 is one a processor.
	Workers int
	// TCPIdle is how long a TCP connection may be silent. 0 is ten seconds.
	TCPIdle time.Duration
	// TCPTotal and TCPPerClient bound the open TCP connections, altogether and from one IPv4 address
	// or IPv6 /56. 0 is 512 and 32.
	TCPTotal, TCPPerClient int
	// QueryLog writes a line a query. It is off without a path.
	QueryLog QueryLog
	// ReportAgent is the domain to which resolvers report what they find wrong, as queries (RFC
	// 9567). "" for none.
	ReportAgent string
	// CookieSecrets make server cookies (RFC 9018): 32 hexadecimal digits each, the same on all
	// servers of a zone. The first makes cookies, all of them are accepted. None: a random one.
	CookieSecrets []proa.Secret
	// RateLimit bounds like replies to one network over UDP.
	RateLimit RateLimit
	// Transfers let secondaries copy zones. None: transfers are refused.
	Transfers []Transfer
	// Signing has the keys of the zones that are signed (DNSSEC).
	Signing Signing
	// Clock tells the time. nil is time.Now.
	Clock func() time.Time
	// Logger takes what an operator should know; never a line a query.
	Logger *slog.Logger
}

// The defaults of Config.
const (
	defaultUDPLimit     = 1232
	defaultTCPIdle      = 10 * time.Second
	defaultTCPTotal     = 512
	defaultTCPPerClient = 32
)

// Server is an authoritative name server.
type Server struct {
	cfg     Config
	current atomic.Pointer[Snapshot]
	// compile orders those who replace zones and keys; it is taken before publish, which nobody holds while
	// zones are compiled.
	compile sync.Mutex
	publish sync.Mutex // orders publishers; queries do not take it
	base    *Base      // guarded by publish, as is state
	state   State
	// isolated is the state's, once it is served.
	isolated atomic.Bool
	// keyStamp tells the state of the folder of keys that the base was signed by.
	keyStamp string
	sockets  []socket
	streams  []stream
	workers  []*counters
	extra    []*counters // of handlers inside other servers; guarded by publish
	clients  clients
	refused  atomic.Uint64
	nsid     []byte
	agent    name
	cookies  *cookies
	limiter  *limiter
	// queries is nil when no log is kept.
	queries *queryLog
	// transfers is nil when none are allowed.
	transfers *transfers
	// degraded is the reason that answers which follow the plan carry, nil for none.
	degraded atomic.Pointer[Reason]
}

// socket is one bound address.
type socket struct {
	address netip.AddrPort
	tcp     *net.TCPListener
	udp     []packetConn
}

// packetConn serves UDP on one socket until ctx ends and owns the socket.
type packetConn interface {
	serve(ctx context.Context, s *Server, c *counters) error
	Close() error
}

// New checks the configuration and compiles the zones. It binds nothing and starts nothing.
func New(cfg Config) (*Server, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, nsid: []byte(cfg.NSID), keyStamp: cfg.Signing.stamp()}
	base, err := s.source().Compile()
	if err != nil {
		return nil, err
	}
	if s.transfers, err = newTransfers(cfg.Transfers); err != nil {
		return nil, err
	}
	s.state = State{
		Plan: cfg.Plan, Aliases: slices.Clone(cfg.Aliases), Stamps: s.transfers.stamps(cfg.Clock()),
	}
	if s.state.Validations, err = fixed(cfg.Validations); err != nil {
		return nil, err
	}
	s.cfg.Zones = s.lean(base, cfg.Zones)
	first, err := base.With(s.state)
	if err != nil {
		return nil, err
	}
	s.base = base
	if cfg.ReportAgent != "" {
		if s.agent, err = parseName(cfg.ReportAgent); err != nil {
			return nil, fmt.Errorf("dns: report agent: %w", err)
		}
	}
	if s.cookies, err = newCookies(cfg.CookieSecrets); err != nil {
		return nil, err
	}
	if s.limiter, err = newLimiter(cfg.RateLimit, rand.Uint64()); err != nil {
		return nil, err
	}
	if s.queries, err = newQueryLog(cfg.QueryLog); err != nil {
		return nil, err
	}
	s.transfers.remember(first)
	s.clients.open = map[netip.Addr]int{}
	s.current.Store(first)
	return s, nil
}

// source is what the server's answers are compiled from, now.
func (s *Server) source() Source {
	return Source{
		Zones: s.cfg.Zones, Records: s.cfg.Records, Signing: s.cfg.Signing, Now: s.cfg.Clock(),
	}
}

// complete sets the defaults and refuses what cannot work.
func (c *Config) complete() error {
	for field, value := range map[*int]int{
		&c.UDPLimit: defaultUDPLimit, &c.TCPTotal: defaultTCPTotal,
		&c.TCPPerClient: defaultTCPPerClient, &c.Workers: runtime.GOMAXPROCS(0),
	} {
		if *field == 0 {
			*field = value
		}
	}
	if c.TCPIdle == 0 {
		c.TCPIdle = defaultTCPIdle
	}
	if c.Resolver == nil {
		c.Resolver = net.DefaultResolver
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	switch {
	case len(c.ListenTLS)+len(c.ListenHTTPS) > 0 && c.TLS == nil:
		return fmt.Errorf("dns: TLS and HTTPS need a certificate: %w", proa.ErrInvalidConfig)
	case len(c.Listen) == 0:
		return fmt.Errorf("dns: no address to listen at: %w", proa.ErrInvalidConfig)
	case c.UDPLimit < 512 || c.UDPLimit > 4096:
		return fmt.Errorf("dns: UDP limit %d: want 512 to 4096: %w", c.UDPLimit, proa.ErrInvalidConfig)
	case len(c.NSID) > 128:
		return fmt.Errorf("dns: NSID of %d bytes: at most 128: %w", len(c.NSID), proa.ErrInvalidConfig)
	case c.Workers < 1 || c.Workers > 256 || c.TCPTotal < 1 || c.TCPPerClient < 1 || c.TCPIdle < 0:
		return fmt.Errorf("dns: workers and TCP limits must be positive: %w", proa.ErrInvalidConfig)
	case c.Logger == nil:
		return fmt.Errorf("dns: a logger is needed: %w", proa.ErrInvalidConfig)
	}
	return nil
}

// Current returns the snapshot that is served.
func (s *Server) Current() *Snapshot { return s.current.Load() }

// Bind opens all sockets. It fails when an address is taken, naming it, and then holds none. Run
// calls it when it has not been called.
func (s *Server) Bind() error {
	if len(s.sockets) > 0 {
		return nil
	}
	for _, listen := range s.cfg.Listen {
		sock, err := s.bindOne(listen)
		if err != nil {
			return errors.Join(err, s.Close())
		}
		s.sockets = append(s.sockets, sock)
		for range sock.udp {
			s.workers = append(s.workers, &counters{})
		}
		s.workers = append(s.workers, &counters{}) // TCP's
	}
	err := s.bindStreams()
	if err == nil {
		err = s.queries.bind()
	}
	if err != nil {
		return errors.Join(err, s.Close())
	}
	return nil
}

// bindOne opens TCP first: it shows a port that another server of this kind holds, whose UDP
// sockets could be shared.
func (s *Server) bindOne(listen string) (socket, error) {
	var sock socket
	want, err := net.ResolveTCPAddr("tcp", listen)
	if err != nil {
		return sock, fmt.Errorf("dns: listen at %q: %w: %w", listen, proa.ErrInvalidConfig, err)
	}
	for attempt := 0; ; attempt++ {
		l, err := net.ListenTCP("tcp", want)
		if err != nil {
			return sock, bindError(listen, "tcp", err)
		}
		sock.tcp = l
		sock.address = l.Addr().(*net.TCPAddr).AddrPort()
		sock.udp, err = bindUDP(sock.address, s.cfg.Workers)
		if err == nil {
			return sock, nil
		}
		_ = l.Close()
		if want.Port != 0 || attempt == 10 { // a free port was asked for, and UDP's may be taken
			return sock, bindError(listen, "udp", err)
		}
	}
}

func bindError(listen, network string, err error) error {
	e := &proa.Error{Op: "dns: listen at " + listen + "/" + network, Err: err}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		e.Hint = "another process holds the port: stop it or choose another address"
	case errors.Is(err, syscall.EACCES):
		e.Hint = "ports below 1024 need CAP_NET_BIND_SERVICE"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		e.Hint = "this machine does not have the address"
	}
	return e
}

// Addrs are the bound addresses, in the order of Config.Listen.
func (s *Server) Addrs() []netip.AddrPort {
	var list []netip.AddrPort
	for _, sock := range s.sockets {
		list = append(list, sock.address)
	}
	return list
}

// Close releases the sockets of a server that was bound and will not run. Run does it by itself.
func (s *Server) Close() error {
	var errs []error
	for _, sock := range s.sockets {
		errs = append(errs, sock.tcp.Close())
		for _, u := range sock.udp {
			errs = append(errs, u.Close())
		}
	}
	for _, l := range s.streams {
		errs = append(errs, l.listener.Close())
	}
	s.sockets, s.streams = nil, nil
	errs = append(errs, s.queries.close())
	return errors.Join(errs...)
}

// Run serves until ctx ends, and then returns nil once every worker has.
func (s *Server) Run(ctx context.Context) error {
	if err := s.Bind(); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	w := 0
	for _, sock := range s.sockets {
		for _, u := range sock.udp {
			c := s.workers[w]
			w++
			group.Go(func() error { return u.serve(ctx, s, c) })
		}
		c := s.workers[w]
		w++
		group.Go(func() error { return s.serveTCP(ctx, sock.tcp, nil, c) })
	}
	for _, l := range s.streams {
		group.Go(func() error { return l.serve(ctx, s) })
	}
	group.Go(func() error { return s.keepSigned(ctx) })
	group.Go(func() error { return s.queries.run(ctx) })
	group.Go(func() error { return s.keepAliases(ctx) })
	group.Go(func() error { return s.keepNotified(ctx) })
	s.cfg.Logger.Info("name server listens", "addresses", fmt.Sprint(s.Addrs()), "zones",
		s.zoneNames())
	return group.Wait()
}

func (s *Server) zoneNames() []string {
	s.publish.Lock() // a reload replaces the zones
	defer s.publish.Unlock()
	var names []string
	for _, z := range s.cfg.Zones {
		names = append(names, z.Origin)
	}
	return names
}

// handle answers one message; a panic costs that message and is counted.
func (s *Server) handle(dst, msg []byte, from client, c *counters) (out []byte) {
	defer func() {
		if v := recover(); v != nil {
			c.panics.Add(1)
			s.cfg.Logger.Error("panic while answering", "panic", fmt.Sprint(v), "bytes", len(msg))
			out = nil
		}
	}()
	out, rcode, kind := s.current.Load().respond(dst, msg, reply{
		limit: s.cfg.UDPLimit, nsid: s.nsid, agent: s.agent, client: from, cookies: s.cookies,
		limiter: s.limiter, keepalive: s.keepalive(), degraded: s.degraded.Load(),
	})
	if rcode == rcodeRefused && kind == mdns.TypeIXFR && s.transfers != nil && from.transport == overUDP {
		if reply := s.datagram(dst, msg, from.addr); reply != nil {
			out = reply
		}
	}
	c.count(rcode, kind, from.transport, out)
	if s.queries != nil && rcode >= 0 {
		s.queries.add(msg, &from, rcode, kind, len(out))
	}
	return out
}
