package dns

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/proa-cloud/proa"
)

// Transfer lets a secondary copy a zone (RFC 5936, RFC 1995) over TCP or TLS, signed by a key it
// shares (RFC 8945); what has changed also over UDP, where it fits. Without it transfers are refused.
type Transfer struct {
	// Zone is the zone's name.
	Zone string
	// Key is the key's name, in DNS form, and Secret what is shared, in base64.
	Key    string
	Secret proa.Secret
	// Algorithm is hmac-sha256, the default, or hmac-sha512.
	Algorithm string
	// Networks are where the secondary may be. nil: anywhere.
	Networks []netip.Prefix
	// Notify are the secondaries, host:port, that are told of a new serial (RFC 1996).
	Notify []string
}

const (
	// transferPlaces is how many transfers run at once; a further one is refused.
	transferPlaces = 4
	// transferMessage is about how much goes into one message.
	transferMessage = 16 << 10
	// transferFudge is how far clocks may be apart, in seconds.
	transferFudge = 300
	// transferHistory is how many earlier states incremental transfers can start from.
	transferHistory = 16
)

// transfers is what the server knows of secondaries.
type transfers struct {
	list    []Transfer // names canonical
	places  chan struct{}
	changed chan struct{} // a token: serials may have changed
	history []*Snapshot   // guarded by publish, the present one last
	stamp   uint32        // guarded by publish: the last one given
}

func newTransfers(list []Transfer) (*transfers, error) {
	if len(list) == 0 {
		return nil, nil
	}
	t := &transfers{places: make(chan struct{}, transferPlaces), changed: make(chan struct{}, 1)}
	for _, x := range list {
		zone, err := parseName(x.Zone)
		if err != nil {
			return nil, err
		}
		key, err := parseName(x.Key)
		if err != nil {
			return nil, err
		}
		x.Zone, x.Key = zone.String(), key.String()
		switch x.Algorithm {
		case "", "hmac-sha256":
			x.Algorithm = mdns.HmacSHA256
		case "hmac-sha512":
			x.Algorithm = mdns.HmacSHA512
		default:
			return nil, fmt.Errorf("dns: transfer of %s: algorithm %q: %w", x.Zone, x.Algorithm,
				proa.ErrInvalidConfig)
		}
		secret, err := base64.StdEncoding.DecodeString(x.Secret.Reveal())
		if err != nil || len(secret) < 16 {
			return nil, fmt.Errorf("dns: transfer of %s: the secret is not base64 of 16 bytes or more: %w",
				x.Zone, proa.ErrInvalidConfig)
		}
		t.list = append(t.list, x)
	}
	return t, nil
}

// stamps gives the zones that secondaries copy what to add to their serials: the seconds since the
// beginning of 2026, and more than last time. So whatever changed (a plan, a validation record, an
// alias's address, signatures), the serial is higher, after a restart too. The publish lock is held.
func (t *transfers) stamps(now time.Time) map[string]uint32 {
	if t == nil {
		return nil
	}
	t.stamp = max(t.stamp+1, uint32(max(0, now.Sub(stampEpoch)/time.Second))) //nolint:gosec // until 2162
	m := make(map[string]uint32, len(t.list))
	for _, x := range t.list {
		m[x.Zone] = t.stamp
	}
	return m
}

var stampEpoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// key finds who signs by a key of this name.
func (t *transfers) key(name, algorithm string) (Transfer, bool) {
	i := slices.IndexFunc(t.list, func(x Transfer) bool {
		return x.Key == mdns.CanonicalName(name) && x.Algorithm == mdns.CanonicalName(algorithm)
	})
	if i < 0 {
		return Transfer{}, false
	}
	return t.list[i], true
}

// allows reports whether a key may copy a zone to an address.
func (t *transfers) allows(zone, key string, from netip.Addr) bool {
	return slices.ContainsFunc(t.list, func(x Transfer) bool {
		in := x.Networks == nil || slices.ContainsFunc(x.Networks, func(p netip.Prefix) bool {
			return p.Contains(from)
		})
		return in && x.Zone == mdns.CanonicalName(zone) && x.Key == mdns.CanonicalName(key)
	})
}

// isTransfer reports a well-formed query for a transfer.
func isTransfer(msg []byte) bool {
	var q query
	return q.parse(msg) == rcodeRefused && q.bits>>11&15 == mdns.OpcodeQuery &&
		(q.kind == mdns.TypeAXFR || q.kind == mdns.TypeIXFR)
}

// transfer answers one query for a transfer on a connection. A panic costs that connection.
func (s *Server) transfer(conn net.Conn, from netip.Addr, msg []byte) (err error) {
	defer func() {
		if v := recover(); v != nil {
			s.cfg.Logger.Error("panic while a zone was transferred", "panic", fmt.Sprint(v), "to", from)
			err = fmt.Errorf("transfer: panic: %v", v)
		}
	}()
	out := &transferWriter{conn: conn, idle: s.cfg.TCPIdle, now: s.cfg.Clock}
	q := new(mdns.Msg)
	if err := q.Unpack(msg); err != nil {
		return err
	}
	rcode, sig := s.admit(out, q, msg, from)
	if rcode != mdns.RcodeSuccess {
		return out.fail(q, rcode, sig)
	}
	zone := q.Question[0].Name
	select {
	case s.transfers.places <- struct{}{}:
		defer func() { <-s.transfers.places }()
	default:
		return out.fail(q, mdns.RcodeRefused, nil)
	}
	list, err := s.transferRecords(q)
	if err != nil {
		s.cfg.Logger.Error("zone cannot be transferred", "zone", zone, "error", err)
		return out.fail(q, mdns.RcodeServerFailure, nil)
	}
	s.cfg.Logger.Info("zone transferred", "zone", zone, "to", from, "records", len(list))
	return out.send(q, list)
}

// admit looks whether a query for a transfer may be answered, and gives out the key that signs the
// answer. It returns the response code of a refusal, with a TSIG record where one belongs.
func (s *Server) admit(out *transferWriter, q *mdns.Msg, msg []byte, from netip.Addr) (int, *mdns.TSIG) {
	sig := q.IsTsig()
	if sig == nil {
		return mdns.RcodeRefused, nil
	}
	key, known := s.transfers.key(sig.Hdr.Name, sig.Algorithm)
	if !known {
		return mdns.RcodeNotAuth, badKey(sig, mdns.RcodeBadKey)
	}
	switch err := mdns.TsigVerify(msg, key.Secret.Reveal(), "", false); {
	case errors.Is(err, mdns.ErrTime):
		return mdns.RcodeNotAuth, badKey(sig, mdns.RcodeBadTime)
	case err != nil:
		return mdns.RcodeNotAuth, badKey(sig, mdns.RcodeBadSig)
	}
	out.key, out.mac = key, sig.MAC
	if !s.transfers.allows(q.Question[0].Name, key.Key, from) {
		return mdns.RcodeRefused, nil
	}
	return mdns.RcodeSuccess, nil
}

// datagram answers an IXFR over UDP: with what has changed where it fits, else with the SOA alone,
// which says "come over TCP" (RFC 1995 section 2). nil: it is none that can be answered.
func (s *Server) datagram(dst, msg []byte, from netip.Addr) []byte {
	q := new(mdns.Msg)
	if !isTransfer(msg) || q.Unpack(msg) != nil || q.Question[0].Qtype != mdns.TypeIXFR {
		return nil
	}
	limit := mdns.MinMsgSize
	if opt := q.IsEdns0(); opt != nil {
		limit = min(max(limit, int(opt.UDPSize())), s.cfg.UDPLimit)
	}
	out := &transferWriter{now: s.cfg.Clock}
	m := new(mdns.Msg).SetReply(q)
	m.Authoritative, m.Compress = true, true
	if rcode, sig := s.admit(out, q, msg, from); rcode != mdns.RcodeSuccess {
		m.Authoritative, m.Rcode = false, rcode
		if sig != nil {
			m.Extra = append(m.Extra, sig)
		}
	} else {
		list, err := s.transferRecords(q)
		if err != nil {
			s.cfg.Logger.Error("zone cannot be transferred", "zone", q.Question[0].Name, "error", err)
			return nil
		}
		m.Answer = list
		if m.Len()+maxTSIG > limit {
			m.Answer = list[:1]
		}
	}
	wire, err := out.pack(m)
	if err != nil || len(wire) > limit {
		return nil
	}
	return append(dst[:0], wire...)
}

// maxTSIG is about as much as a TSIG record of ours takes: two names, a MAC of 64 bytes, the rest.
const maxTSIG = 192

func badKey(of *mdns.TSIG, code int) *mdns.TSIG {
	return &mdns.TSIG{
		Hdr:       mdns.RR_Header{Name: of.Hdr.Name, Rrtype: mdns.TypeTSIG, Class: mdns.ClassANY},
		Algorithm: of.Algorithm, TimeSigned: of.TimeSigned, Fudge: of.Fudge, OrigId: of.OrigId,
		Error: uint16(code),
	}
}

// transferRecords is the whole zone between two SOAs, or what changed since the client's serial.
func (s *Server) transferRecords(q *mdns.Msg) ([]mdns.RR, error) {
	s.publish.Lock()
	history := slices.Clone(s.transfers.history)
	s.publish.Unlock()
	zone := q.Question[0].Name
	list, err := history[len(history)-1].Records(zone)
	if err != nil {
		return nil, err
	}
	soa := list[0]
	if q.Question[0].Qtype == mdns.TypeIXFR && len(q.Ns) == 1 {
		if had, ok := q.Ns[0].(*mdns.SOA); ok {
			if had.Serial == soa.(*mdns.SOA).Serial {
				return []mdns.RR{soa}, nil
			}
			if diff := difference(history, zone, had.Serial, list); diff != nil {
				return diff, nil
			}
		}
	}
	return append(list, soa), nil
}

// difference is an incremental transfer from a serial that is remembered (RFC 1995 section 4), nil
// without one.
func difference(history []*Snapshot, zone string, serial uint32, list []mdns.RR) []mdns.RR {
	for _, s := range history {
		old, err := s.Records(zone)
		if err != nil || old[0].(*mdns.SOA).Serial != serial {
			continue
		}
		diff := append([]mdns.RR{list[0], old[0]}, missing(old[1:], list)...)
		diff = append(append(diff, list[0]), missing(list[1:], old)...)
		return append(diff, list[0])
	}
	return nil
}

// missing are the records of a that are not in b.
func missing(a, b []mdns.RR) []mdns.RR {
	have := make(map[string]bool, len(b))
	for _, rr := range b {
		have[rr.String()] = true
	}
	return slices.DeleteFunc(slices.Clone(a), func(rr mdns.RR) bool { return have[rr.String()] })
}

// transferWriter sends the messages of one transfer.
type transferWriter struct {
	conn net.Conn
	idle time.Duration
	now  func() time.Time
	key  Transfer // "" in Key: messages are not signed
	mac  string   // of the message before
	more bool     // the first message is out
}

func (w *transferWriter) fail(q *mdns.Msg, rcode int, sig *mdns.TSIG) error {
	m := new(mdns.Msg).SetRcode(q, rcode)
	if sig != nil {
		m.Extra = append(m.Extra, sig)
	}
	return w.write(m)
}

func (w *transferWriter) send(q *mdns.Msg, list []mdns.RR) error {
	for first := true; len(list) > 0; first = false {
		m := new(mdns.Msg).SetReply(q)
		m.Authoritative, m.Compress = true, true
		if !first {
			m.Question = nil
		}
		size, n := 0, 0
		for n < len(list) && (n == 0 || size+mdns.Len(list[n]) < transferMessage) {
			size += mdns.Len(list[n])
			n++
		}
		m.Answer, list = list[:n], list[n:]
		if err := w.write(m); err != nil {
			return err
		}
	}
	return nil
}

// pack gives the message's wire form, signed where there is a key.
func (w *transferWriter) pack(m *mdns.Msg) ([]byte, error) {
	if w.key.Key == "" {
		return m.Pack()
	}
	m.SetTsig(w.key.Key, w.key.Algorithm, transferFudge, w.now().Unix())
	wire, mac, err := mdns.TsigGenerate(m, w.key.Secret.Reveal(), w.mac, w.more)
	w.mac, w.more = mac, true
	return wire, err
}

func (w *transferWriter) write(m *mdns.Msg) error {
	wire, err := w.pack(m)
	if err != nil {
		return err
	}
	if err := w.conn.SetDeadline(time.Now().Add(w.idle)); err != nil {
		return err
	}
	n, err := w.conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(wire))), wire...))
	if err == nil && n < len(wire) {
		return io.ErrShortWrite
	}
	return err
}
