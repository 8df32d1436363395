package dns

import (
	"fmt"

	mdns "github.com/miekg/dns"
)

// Reason says in an answer why it is not what it could be (RFC 8914).
type Reason struct {
	// Code is an extended DNS error, such as ReasonStale.
	Code uint16
	// Text is for people, at most 120 bytes.
	Text string
}

// Extended DNS errors that are given (RFC 8914 section 4, RFC 9824 section 9).
const (
	ReasonOther            uint16 = 0
	ReasonStale            uint16 = 3
	ReasonNotReady         uint16 = 14
	ReasonProhibited       uint16 = 18
	ReasonNotAuthoritative uint16 = 20
	ReasonNotSupported     uint16 = 21
	ReasonInvalidType      uint16 = 30

	noReason = 0xffff
)

// maxReason keeps a reason from filling the reply.
const maxReason = 120

// Degrade makes answers that follow the plan carry a reason, to clients that speak EDNS: that the
// plan is an old one, say, for want of a majority. An empty text ends it.
func (s *Server) Degrade(why Reason) {
	if why.Text == "" {
		s.degraded.Store(nil)
		return
	}
	why.Text = clip(why.Text, maxReason)
	s.degraded.Store(&why)
}

// explain picks the reason of a failure.
func (r *reply) explain(q *query) {
	switch {
	case r.reason.Code != noReason || !q.edns:
	case q.kind == typeNXNAME && r.rcode == rcodeFormErr:
		r.reason = Reason{Code: ReasonInvalidType}
	case r.rcode == rcodeNotImp:
		r.reason = Reason{Code: ReasonNotSupported}
	case r.rcode == rcodeRefused && (q.kind == mdns.TypeAXFR || q.kind == mdns.TypeIXFR):
		r.reason = Reason{Code: ReasonProhibited}
	case r.rcode == rcodeRefused && q.class != mdns.ClassINET && q.class != mdns.ClassANY:
		r.reason = Reason{Code: ReasonNotSupported}
	case r.rcode == rcodeRefused:
		r.reason = Reason{Code: ReasonNotAuthoritative}
	}
}

// String renders a reason for logs.
func (w Reason) String() string { return fmt.Sprintf("%d (%s)", w.Code, w.Text) }
