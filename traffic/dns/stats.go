package dns

import (
	"slices"
	"sync/atomic"

	mdns "github.com/miekg/dns"
)

// Stats counts what a server did since its start.
type Stats struct {
	Queries   uint64 `json:"queries"` // messages answered
	TCP       uint64 `json:"tcp"`     // of those, over TCP
	TLS       uint64 `json:"tls"`     // over TLS
	HTTPS     uint64 `json:"https"`   // over HTTPS
	Dropped   uint64 `json:"dropped"` // messages that must not be answered
	Limited   uint64 `json:"limited"` // messages left without an answer by the rate limit
	Panics    uint64 `json:"panics"`  // bugs that cost one message each
	Truncated uint64 `json:"truncated"`
	Refused   uint64 `json:"refused_connections"` // TCP connections past a limit
	// Queries that the query log could not take
	Unlogged uint64 `json:"unlogged,omitempty"`
	// By query type; "other" for types from 256 up
	Types  map[string]uint64 `json:"types"`
	Rcodes map[string]uint64 `json:"rcodes"`
}

// counters are one worker's; nobody else writes them, so that counting costs no cache line of
// another's.
type counters struct {
	tcp, tls, https, dropped, limited, panics, truncated atomic.Uint64

	types  [257]atomic.Uint64
	rcodes [17]atomic.Uint64
	_      [64]byte
}

func (c *counters) count(rcode int, kind uint16, over transport, out []byte) {
	switch rcode {
	case rcodeDrop:
		c.dropped.Add(1)
		return
	case rcodeLimited:
		c.limited.Add(1)
		return
	}
	c.types[min(kind, 256)].Add(1)
	c.rcodes[min(rcode, 16)].Add(1)
	switch over {
	case overTCP:
		c.tcp.Add(1)
	case overTLS:
		c.tls.Add(1)
	case overHTTPS:
		c.https.Add(1)
	}
	if len(out) > 2 && out[2]&(bitTC>>8) != 0 {
		c.truncated.Add(1)
	}
}

// addTo adds the counters to s.
func (c *counters) addTo(s *Stats) {
	s.TCP += c.tcp.Load()
	s.TLS += c.tls.Load()
	s.HTTPS += c.https.Load()
	s.Limited += c.limited.Load()
	s.Dropped += c.dropped.Load()
	s.Panics += c.panics.Load()
	s.Truncated += c.truncated.Load()
	for i := range c.types {
		if n := c.types[i].Load(); n > 0 {
			text := "other"
			if i < 256 {
				text = typeText(uint16(i))
			}
			s.Types[text] += n
		}
	}
	for i := range c.rcodes {
		if n := c.rcodes[i].Load(); n > 0 {
			s.Rcodes[rcodeText(i)] += n
			s.Queries += n
		}
	}
}

func rcodeText(rcode int) string {
	if rcode == rcodeBadVers {
		return "BADVERS" // 16 is BADSIG in a signature only
	}
	return mdns.RcodeToString[rcode]
}

// Stats sums up all workers' counters.
func (s *Server) Stats() Stats {
	t := Stats{Types: map[string]uint64{}, Rcodes: map[string]uint64{}, Refused: s.refused.Load()}
	if s.queries != nil {
		t.Unlogged = s.queries.lost.Load()
	}
	s.publish.Lock()
	extra := s.extra
	s.publish.Unlock()
	for _, c := range slices.Concat(s.workers, extra) {
		c.addTo(&t)
	}
	return t
}
