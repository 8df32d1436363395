package dns

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/proa-cloud/proa"
)

// Lookup asks one name server, host:port, for a name's IPv4 addresses and how long they may be
// kept: over UDP, and over TCP when the answer is truncated. It fails with proa.ErrNotFound when
// the server denies the name or has no address, and with proa.ErrUnavailable when it does not
// answer or answers with a failure.
func Lookup(ctx context.Context, server, name string) ([]netip.Addr, time.Duration, error) {
	res, err := Exchange(ctx, server, name, mdns.TypeA)
	if err != nil {
		return nil, 0, err
	}
	var addrs []netip.Addr
	ttl := ^uint32(0)
	for _, rr := range res.Answer {
		ttl = min(ttl, rr.Header().Ttl)
		if a, ok := rr.(*mdns.A); ok {
			if addr, ok := netip.AddrFromSlice(a.A.To4()); ok {
				addrs = append(addrs, addr)
			}
		}
	}
	if len(addrs) == 0 {
		return nil, 0, fmt.Errorf("look up %s at %s: no address: %w", name, server, proa.ErrNotFound)
	}
	return addrs, time.Duration(ttl) * time.Second, nil
}

// LookupText asks one name server for a name's TXT strings, all records' strings in one list.
func LookupText(ctx context.Context, server, name string) ([]string, error) {
	res, err := Exchange(ctx, server, name, mdns.TypeTXT)
	if err != nil {
		return nil, err
	}
	var list []string
	for _, rr := range res.Answer {
		if t, ok := rr.(*mdns.TXT); ok {
			list = append(list, t.Txt...)
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("look up %s at %s: no text: %w", name, server, proa.ErrNotFound)
	}
	return list, nil
}

// Exchange asks one name server one question and returns a successful answer.
func Exchange(ctx context.Context, server, name string, kind uint16) (*mdns.Msg, error) {
	q := new(mdns.Msg).SetQuestion(mdns.Fqdn(name), kind)
	q.RecursionDesired = false
	q.SetEdns0(defaultUDPLimit, false)
	client := mdns.Client{Net: "udp", Timeout: 2 * time.Second}
	res, _, err := client.ExchangeContext(ctx, q, server)
	if err == nil && res.Truncated {
		client.Net = "tcp"
		res, _, err = client.ExchangeContext(ctx, q, server)
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("look up %s at %s: %w: %w", name, server, proa.ErrUnavailable, err)
	case res.Rcode == mdns.RcodeNameError:
		return nil, fmt.Errorf("look up %s at %s: no such name: %w", name, server, proa.ErrNotFound)
	case res.Rcode != mdns.RcodeSuccess:
		return nil, fmt.Errorf("look up %s at %s: %s: %w", name, server,
			mdns.RcodeToString[res.Rcode], proa.ErrUnavailable)
	}
	return res, nil
}
