// Package delegation compares what the servers of a zone's parent say of it with what the zone says of
// itself: name servers, glue and DS records. It asks; it changes nothing.
package delegation

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/proa-cloud/proa"
)

// Severity is how much a finding matters.
type Severity string

// The severities. An error makes some users fail to resolve the zone, now or when a server is lost.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
)

// Finding is one difference between parent and zone.
type Finding struct {
	Severity Severity `json:"severity"`
	// Server is who said what is wrong, host:port.
	Server string `json:"server"`
	Text   string `json:"text"`
}

// String renders "error: 198.51.100.1:53: text".
func (f Finding) String() string { return string(f.Severity) + ": " + f.Server + ": " + f.Text }

// Report is one look at a delegation.
type Report struct {
	Zone    string    `json:"zone"`
	At      time.Time `json:"at"`
	Parents []string  `json:"parents"` // who was asked
	// Findings are empty when parent and zone agree.
	Findings []Finding `json:"findings"`
}

// Errors counts the findings that are errors.
func (r Report) Errors() int {
	count := 0
	for _, f := range r.Findings {
		if f.Severity == Error {
			count++
		}
	}
	return count
}

// Config says whom to ask.
type Config struct {
	// Zone is the zone that is looked at.
	Zone string
	// Server is one of the zone's own name servers, host:port: what it says is what should be.
	Server string
	// Parents are the parent's name servers, host:port; empty: the Resolver is asked for them.
	Parents []string
	// Resolver is a resolver, host:port.
	Resolver string
	// Port is where the delegated servers are asked; 0 is 53.
	Port uint16
	// Timeout is that of one question; 0 is 2 s.
	Timeout time.Duration
	// Clock tells when the report was made.
	Clock func() time.Time
}

const (
	defaultTimeout = 2 * time.Second
	maxServers     = 13 // of a parent or a zone that are asked
)

// Validate refuses what cannot work; errors wrap proa.ErrInvalidConfig.
func (c Config) Validate() error {
	if _, ok := dns.IsDomainName(c.Zone); !ok || c.Zone == "" || dns.Fqdn(c.Zone) == "." {
		return fmt.Errorf("delegation: %q is not a zone with a parent: %w", c.Zone, proa.ErrInvalidConfig)
	}
	if c.Clock == nil || c.Server == "" || len(c.Parents) == 0 && c.Resolver == "" {
		return fmt.Errorf("delegation: clock, server, and parents or resolver are needed: %w",
			proa.ErrInvalidConfig)
	}
	for _, server := range slices.Concat(c.Parents, []string{c.Server}) {
		if _, err := netip.ParseAddrPort(server); err != nil {
			return fmt.Errorf("delegation: %q is not an address and port: %w", server,
				proa.ErrInvalidConfig)
		}
	}
	return nil
}

// view is what one server says of the zone.
type view struct {
	server    string
	ns        []string
	addresses map[string][]netip.Addr // of name servers inside the zone
	ds        []*dns.DS
	keys      []*dns.DNSKEY
	serial    uint32
}

// Check asks everyone and compares. Its error says that nothing could be compared.
func Check(ctx context.Context, c Config) (Report, error) {
	if err := c.Validate(); err != nil {
		return Report{}, err
	}
	c.Zone = dns.CanonicalName(c.Zone)
	if c.Timeout <= 0 {
		c.Timeout = defaultTimeout
	}
	if c.Port == 0 {
		c.Port = 53
	}
	r := Report{Zone: c.Zone, At: c.Clock(), Parents: c.Parents, Findings: []Finding{}}
	zone, err := c.zone(ctx)
	if err != nil {
		return r, err
	}
	if len(r.Parents) == 0 {
		if r.Parents, err = c.findParents(ctx); err != nil {
			return r, err
		}
	}
	var delegated []string
	for _, parent := range r.Parents {
		view, err := c.parent(ctx, parent)
		if err != nil {
			r.Findings = append(r.Findings, Finding{Warning, parent, err.Error()})
			continue
		}
		r.Findings = append(r.Findings, compare(c.Zone, view, zone)...)
		for _, list := range view.addresses {
			for _, a := range list {
				delegated = append(delegated, netip.AddrPortFrom(a, c.Port).String())
			}
		}
	}
	slices.Sort(delegated)
	delegated = slices.Compact(delegated)
	r.Findings = append(r.Findings, c.lame(ctx, delegated[:min(len(delegated), maxServers)], zone)...)
	return r, nil
}

// zone asks the zone's own server.
func (c Config) zone(ctx context.Context) (view, error) {
	v := view{server: c.Server, addresses: map[string][]netip.Addr{}}
	reply, err := c.ask(ctx, c.Server, c.Zone, dns.TypeNS)
	if err != nil {
		return v, err
	}
	if !reply.Authoritative || reply.Rcode != dns.RcodeSuccess {
		return v, fmt.Errorf("%s does not serve %s: %s", c.Server, c.Zone, dns.RcodeToString[reply.Rcode])
	}
	v.take(reply.Answer)
	for _, ns := range v.ns {
		if !dns.IsSubDomain(c.Zone, ns) {
			continue
		}
		for _, kind := range []uint16{dns.TypeA, dns.TypeAAAA} {
			reply, err := c.ask(ctx, c.Server, ns, kind)
			if err != nil {
				return v, err
			}
			v.take(reply.Answer)
		}
	}
	reply, err = c.ask(ctx, c.Server, c.Zone, dns.TypeDNSKEY)
	if err != nil {
		return v, err
	}
	v.take(reply.Answer)
	reply, err = c.ask(ctx, c.Server, c.Zone, dns.TypeSOA)
	if err != nil {
		return v, err
	}
	v.take(reply.Answer)
	return v, nil
}

// parent asks one of the parent's servers, which answers with a referral.
func (c Config) parent(ctx context.Context, server string) (view, error) {
	v := view{server: server, addresses: map[string][]netip.Addr{}}
	reply, err := c.ask(ctx, server, c.Zone, dns.TypeNS)
	if err != nil {
		return v, err
	}
	if reply.Rcode != dns.RcodeSuccess && reply.Rcode != dns.RcodeNameError {
		return v, fmt.Errorf("does not say where %s is: %s", c.Zone, dns.RcodeToString[reply.Rcode])
	}
	// A server of the parent that serves the zone too answers; any other refers.
	records := slices.Concat(reply.Answer, reply.Ns, reply.Extra)
	v.take(slices.DeleteFunc(records, func(rr dns.RR) bool {
		return rr.Header().Rrtype == dns.TypeNS && dns.CanonicalName(rr.Header().Name) != c.Zone
	}))
	reply, err = c.ask(ctx, server, c.Zone, dns.TypeDS)
	if err != nil {
		return v, err
	}
	v.take(reply.Answer)
	return v, nil
}

// take files records away.
func (v *view) take(records []dns.RR) {
	for _, rr := range records {
		owner := dns.CanonicalName(rr.Header().Name)
		switch rr := rr.(type) {
		case *dns.NS:
			v.ns = append(v.ns, dns.CanonicalName(rr.Ns))
		case *dns.A:
			v.address(owner, rr.A)
		case *dns.AAAA:
			v.address(owner, rr.AAAA)
		case *dns.DS:
			v.ds = append(v.ds, rr)
		case *dns.DNSKEY:
			v.keys = append(v.keys, rr)
		case *dns.SOA:
			v.serial = rr.Serial
		}
	}
	slices.Sort(v.ns)
	v.ns = slices.Compact(v.ns)
}

func (v *view) address(owner string, ip net.IP) {
	if a, ok := netip.AddrFromSlice(ip); ok {
		v.addresses[owner] = append(v.addresses[owner], a.Unmap())
	}
}

// lame asks the delegated servers themselves.
func (c Config) lame(ctx context.Context, servers []string, zone view) []Finding {
	var list []Finding
	for _, server := range servers {
		reply, err := c.ask(ctx, server, c.Zone, dns.TypeSOA)
		switch {
		case err != nil:
			list = append(list, Finding{Error, server, "the parent sends resolvers here, and it does not answer: " + err.Error()})
		case !reply.Authoritative || len(reply.Answer) == 0:
			list = append(list, Finding{Error, server, fmt.Sprintf(
				"the parent sends resolvers here, and it does not serve %s (%s)", c.Zone,
				dns.RcodeToString[reply.Rcode])})
		default:
			var its view
			its.take(reply.Answer)
			if its.serial != zone.serial {
				list = append(list, Finding{Warning, server, fmt.Sprintf("serial %d, while %s has %d",
					its.serial, zone.server, zone.serial)})
			}
		}
	}
	return list
}

// findParents asks the resolver for the servers of the closest zone above.
func (c Config) findParents(ctx context.Context) ([]string, error) {
	labels := dns.SplitDomainName(c.Zone)
	for i := 1; i <= len(labels); i++ {
		above := dns.Fqdn(strings.Join(labels[i:], "."))
		reply, err := c.ask(ctx, c.Resolver, above, dns.TypeNS)
		if err != nil {
			return nil, err
		}
		v := view{addresses: map[string][]netip.Addr{}}
		v.take(reply.Answer)
		if len(v.ns) == 0 {
			continue
		}
		return c.serverAddresses(ctx, v.ns[:min(len(v.ns), maxServers)])
	}
	return nil, fmt.Errorf("resolver %s knows no parent of %s", c.Resolver, c.Zone)
}

func (c Config) serverAddresses(ctx context.Context, names []string) ([]string, error) {
	var list []string
	for _, name := range names {
		reply, err := c.ask(ctx, c.Resolver, name, dns.TypeA)
		if err != nil {
			return nil, err
		}
		v := view{addresses: map[string][]netip.Addr{}}
		v.take(reply.Answer)
		for _, addresses := range v.addresses {
			for _, a := range addresses {
				list = append(list, net.JoinHostPort(a.String(), strconv.Itoa(int(c.Port))))
			}
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("resolver %s knows no address of %s", c.Resolver, strings.Join(names, ", "))
	}
	return list, nil
}

// ask puts one question, over TCP when the answer does not fit.
func (c Config) ask(ctx context.Context, server, name string, kind uint16) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	q := new(dns.Msg).SetQuestion(name, kind)
	q.RecursionDesired = server == c.Resolver
	q.SetEdns0(1232, false)
	for _, transport := range []string{"udp", "tcp"} {
		client := dns.Client{Net: transport, Timeout: c.Timeout}
		reply, _, err := client.ExchangeContext(ctx, q, server)
		if err != nil {
			return nil, fmt.Errorf("ask %s for %s %s: %w", server, name, dns.TypeToString[kind], err)
		}
		if !reply.Truncated {
			return reply, nil
		}
	}
	return nil, fmt.Errorf("ask %s for %s %s: truncated over TCP", server, name, dns.TypeToString[kind])
}
