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

// guardedDialer refuses forbidden addresses at the moment of connecting, after the name has been
// resolved, so that a name cannot point elsewhere between check and use.
func guardedDialer() *net.Dialer {
	return &net.Dialer{Control: func(_, address string, _ syscall.RawConn) error {
		ap, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		return allowed(ap.Addr())
	}}
}

func allowed(a netip.Addr) error {
	a = a.Unmap().WithZone("")
	for _, p := range forbidden {
		if p.Contains(a) {
			return fmt.Errorf("probes may not reach %s (%s): %w", a, p, proa.ErrInvalidConfig)
		}
	}
	return nil
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
