package health

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"github.com/proa-cloud/proa"
)

// forbidden are the addresses that no probe may reach: they give credentials to whoever asks from
// inside a cloud. 168.63.129.16 is Azure's platform address, fd00:ec2::/32 AWS's over IPv6,
// 100.100.100.200 Alibaba's.
var forbidden = []netip.Prefix{
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("fe80::/10"),
	netip.MustParsePrefix("fd00:ec2::/32"),
	netip.MustParsePrefix("168.63.129.16/32"),
	netip.MustParsePrefix("100.100.100.200/32"),
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("::/128"),
	netip.MustParsePrefix("224.0.0.0/4"),
	netip.MustParsePrefix("ff00::/8"),
	netip.MustParsePrefix("255.255.255.255/32"),
}

// Guard says what probes may reach. The zero value refuses loopback, link-local, metadata, multicast
// and unspecified addresses.
type Guard struct {
	// Loopback allows the addresses of this machine: where the local clouds live, and where nothing
	// that users reach does.
	Loopback bool
}

// errForbidden marks an address that the guard refuses.
var errForbidden = fmt.Errorf("probes may not reach this address: %w", proa.ErrInvalidConfig)

// dialer refuses forbidden addresses at the moment of connecting, after the name has been resolved,
// so that a name cannot point elsewhere between check and use.
func (g Guard) dialer() *net.Dialer {
	return &net.Dialer{Control: func(_, address string, _ syscall.RawConn) error {
		ap, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		return g.allowed(ap.Addr())
	}}
}

// allowed looks at the address and at the IPv4 address inside it, where a translator would find one.
func (g Guard) allowed(a netip.Addr) error {
	a = a.WithZone("")
	for _, a := range []netip.Addr{a, embedded(a)} {
		for _, p := range forbidden {
			if p.Contains(a) {
				return fmt.Errorf("%s (%s): %w", a, p, errForbidden)
			}
		}
		if a.IsLoopback() && !g.Loopback {
			return fmt.Errorf("%s: health.allow_loopback is not set: %w", a, errForbidden)
		}
	}
	return nil
}

// translated are the prefixes whose addresses hold an IPv4 address, and where it starts: NAT64
// (RFC 6052, RFC 8215), 6to4 (RFC 3056), and the compatible ones of RFC 4291 section 2.5.5.1.
var translated = []struct {
	prefix netip.Prefix
	at     int
}{
	{netip.MustParsePrefix("64:ff9b::/96"), 12},
	{netip.MustParsePrefix("64:ff9b:1::/96"), 12},
	{netip.MustParsePrefix("2002::/16"), 2},
	{netip.MustParsePrefix("::/96"), 12},
}

// embedded is the IPv4 address inside an IPv6 one; the address itself where there is none.
func embedded(a netip.Addr) netip.Addr {
	if a = a.Unmap(); a.Is4() || a.IsLoopback() {
		return a
	}
	for _, t := range translated {
		if t.prefix.Contains(a) {
			b := a.As16()
			return netip.AddrFrom4([4]byte(b[t.at : t.at+4]))
		}
	}
	return a
}

// ownErrors are failures of this machine. EHOSTUNREACH is not among them: a router says it of a
// host that is gone, and a cut of our own link shows in the cross-check of the other endpoints.
var ownErrors = []error{
	syscall.ENETUNREACH, syscall.ENETDOWN, syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS,
	syscall.ENOMEM,
	syscall.EADDRNOTAVAIL, syscall.EACCES, syscall.EPERM, syscall.EAFNOSUPPORT,
}

// own reports whether a probe failed for a reason that says nothing about the endpoint.
func own(err error) bool {
	for _, e := range ownErrors {
		if errors.Is(err, e) {
			return true
		}
	}
	var dns *net.DNSError
	return errors.As(err, &dns) && !dns.IsNotFound || errors.Is(err, proa.ErrInvalidConfig)
}
