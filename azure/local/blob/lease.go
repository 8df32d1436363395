package blob

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/proa-cloud/proa/azure/local/auth"
)

// lease is the exclusive right to change a blob or to delete a container. A nil lease is available.
type lease struct {
	ID      string        `json:"i"`
	Length  time.Duration `json:"n"`           // 0: infinite
	Expires time.Time     `json:"e,omitzero"`  // zero: never
	Breaks  time.Time     `json:"b,omitzero"`  // zero: nobody broke it
	Freed   bool          `json:"f,omitempty"` // released: nobody holds it
}

// Lease states.
const (
	leaseAvailable = "available"
	leaseLeased    = "leased"
	leaseExpired   = "expired"
	leaseBreaking  = "breaking"
	leaseBroken    = "broken"
)

func (l *lease) state(now time.Time) string {
	switch {
	case l == nil || l.Freed:
		return leaseAvailable
	case !l.Breaks.IsZero() && now.Before(l.Breaks):
		return leaseBreaking
	case !l.Breaks.IsZero():
		return leaseBroken
	case !l.Expires.IsZero() && !now.Before(l.Expires):
		return leaseExpired
	}
	return leaseLeased
}

// held reports whether a change needs the lease's id.
func (l *lease) held(now time.Time) bool {
	s := l.state(now)
	return s == leaseLeased || s == leaseBreaking
}

// look renders state, status and duration as headers show them.
func (l *lease) look(now time.Time) (state, status, duration string) {
	state, status = l.state(now), "unlocked"
	if l.held(now) {
		status = "locked"
	}
	if state == leaseLeased {
		duration = "fixed"
		if l.Expires.IsZero() {
			duration = "infinite"
		}
	}
	return state, status, duration
}

// guard checks x-ms-lease-id against the lease of what is to be changed ("Blob" or "Container").
// When reading, an id may be left out but must fit when it is given.
func (l *lease) guard(id, kind string, now time.Time, reading bool) *auth.StorageError {
	lower := strings.ToLower(kind)
	switch {
	case l.held(now) && id == "" && !reading:
		return preconditionFailed("LeaseIdMissing", "There is currently a lease on the "+lower+
			" and no lease ID was specified in the request.")
	case id == "":
		return nil
	case l.held(now) && !strings.EqualFold(id, l.ID):
		return preconditionFailed("LeaseIdMismatchWith"+kind+"Operation",
			"The lease ID specified did not match the lease ID for the "+lower+".")
	case l.held(now):
		return nil
	case l != nil && !l.Freed && strings.EqualFold(id, l.ID):
		return preconditionFailed("LeaseLost", "A lease ID was specified, but the lease for the "+
			lower+" has expired.")
	}
	return preconditionFailed("LeaseNotPresentWith"+kind+"Operation",
		"There is currently no lease on the "+lower+".")
}

// leaseRequest is what the headers of a lease operation ask for.
type leaseRequest struct {
	action, id, proposed, kind string
	length                     time.Duration // of an acquisition; 0: infinite
	breakAfter                 time.Duration
	hasBreak                   bool
}

func (c *call) leaseRequest(kind string) (leaseRequest, *auth.StorageError) {
	q := leaseRequest{
		action: strings.ToLower(c.header("x-ms-lease-action")), id: c.header("x-ms-lease-id"),
		proposed: c.header("x-ms-proposed-lease-id"), kind: kind,
	}
	for _, name := range []string{"x-ms-lease-id", "x-ms-proposed-lease-id"} {
		if v := c.header(name); v != "" && !isUUID(v) {
			return q, invalidHeader(name, v)
		}
	}
	switch q.action {
	case "acquire":
		seconds, err := strconv.Atoi(c.header("x-ms-lease-duration"))
		if err != nil || seconds != -1 && (seconds < 15 || seconds > 60) {
			return q, invalidHeader("x-ms-lease-duration", c.header("x-ms-lease-duration"))
		}
		q.length = time.Duration(max(seconds, 0)) * time.Second
	case "renew", "release", "change":
		if q.id == "" {
			return q, missingHeader("x-ms-lease-id")
		}
		if q.action == "change" && q.proposed == "" {
			return q, missingHeader("x-ms-proposed-lease-id")
		}
	case "break":
		if text := c.header("x-ms-lease-break-period"); text != "" {
			seconds, err := strconv.Atoi(text)
			if err != nil || seconds < 0 || seconds > 60 {
				return q, invalidHeader("x-ms-lease-break-period", text)
			}
			q.breakAfter, q.hasBreak = time.Duration(seconds)*time.Second, true
		}
	case "":
		return q, missingHeader("x-ms-lease-action")
	default:
		return q, invalidHeader("x-ms-lease-action", q.action)
	}
	return q, nil
}

func isUUID(s string) bool {
	bare := strings.ReplaceAll(strings.Trim(s, "{}"), "-", "")
	if len(bare) != 32 {
		return false
	}
	for _, c := range []byte(strings.ToLower(bare)) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// apply returns the lease after the operation (never the one given) and answers its headers.
func (q leaseRequest) apply(
	old *lease, h http.Header, now time.Time,
) (next *lease, status int, refusal *auth.StorageError) {
	state := old.state(now)
	var out lease
	if old != nil {
		out = *old
	}
	fits := old != nil && strings.EqualFold(q.id, old.ID)
	mismatch := conflict("LeaseIdMismatchWithLeaseOperation",
		"The lease ID specified did not match the lease ID for the "+strings.ToLower(q.kind)+".")
	absent := conflict("LeaseNotPresentWithLeaseOperation",
		"There is currently no lease on the "+strings.ToLower(q.kind)+".")
	status = http.StatusOK
	switch q.action {
	case "acquire":
		out, refusal = q.acquire(old, state, now)
		status = http.StatusCreated
	case "renew":
		out, refusal = q.renew(out, state, fits, now, mismatch, absent)
	case "change":
		switch {
		case state == leaseBreaking:
			refusal = conflict("LeaseIsBreakingAndCannotBeChanged", "The lease ID matched, but the "+
				"lease is currently in breaking state and cannot be changed.")
		case state != leaseLeased:
			refusal = absent
		case !fits && !strings.EqualFold(q.proposed, old.ID):
			refusal = mismatch
		}
		out.ID = q.proposed
	case "release":
		switch {
		case state == leaseAvailable:
			refusal = absent
		case !fits:
			refusal = mismatch
		}
		out.Freed = true
	case "break":
		status = http.StatusAccepted
		if state == leaseAvailable {
			return nil, 0, absent
		}
		out = q.breakLease(out, state, now)
		left := max(out.Breaks.Sub(now), 0)
		h.Set("x-ms-lease-time", strconv.Itoa(int((left+time.Second-1)/time.Second)))
	}
	if refusal == nil && (q.action == "acquire" || q.action == "renew" || q.action == "change") {
		h.Set("x-ms-lease-id", out.ID)
	}
	return &out, status, refusal
}

func (q leaseRequest) acquire(
	old *lease, state string, now time.Time,
) (lease, *auth.StorageError) {
	id := q.proposed
	switch {
	case state == leaseBreaking && strings.EqualFold(id, old.ID):
		return lease{}, conflict("LeaseIsBreakingAndCannotBeAcquired", "The lease ID matched, but "+
			"the lease is currently in breaking state and cannot be acquired until it is broken.")
	case state == leaseBreaking, state == leaseLeased && !strings.EqualFold(id, old.ID):
		return lease{}, conflict("LeaseAlreadyPresent", "There is already a lease present.")
	}
	if id == "" {
		id = auth.NewID()
	}
	out := lease{ID: id, Length: q.length}
	if q.length > 0 {
		out.Expires = now.Add(q.length)
	}
	return out, nil
}

func (q leaseRequest) renew(
	out lease, state string, fits bool, now time.Time, mismatch, absent *auth.StorageError,
) (lease, *auth.StorageError) {
	switch {
	case state == leaseAvailable:
		return out, absent
	case !fits:
		return out, mismatch
	case state == leaseBreaking || state == leaseBroken:
		return out, conflict("LeaseIsBrokenAndCannotBeRenewed",
			"The lease ID matched, but the lease has been broken explicitly and cannot be renewed.")
	}
	if out.Length > 0 {
		out.Expires = now.Add(out.Length)
	}
	return out, nil
}

// breakLease ends a lease after what is left of it or the period asked for, whichever is shorter.
func (q leaseRequest) breakLease(out lease, state string, now time.Time) lease {
	if state == leaseExpired || state == leaseBroken {
		out.Breaks = now
		return out
	}
	left := time.Duration(0)
	switch {
	case state == leaseBreaking:
		left = out.Breaks.Sub(now)
	case !out.Expires.IsZero():
		left = out.Expires.Sub(now)
	}
	infinite := state == leaseLeased && out.Expires.IsZero()
	if q.hasBreak && (q.breakAfter < left || infinite) {
		left = q.breakAfter
	}
	out.Breaks = now.Add(left)
	return out
}

// leaseBlob is Lease Blob: https://learn.microsoft.com/rest/api/storageservices/lease-blob.
func (c *call) leaseBlob() error {
	q, refusal := c.leaseRequest("Blob")
	if refusal != nil {
		return refusal
	}
	cond, refusal := conditionsOf(c.r.Header, "")
	if refusal != nil {
		return refusal
	}
	status := 0
	err := c.s.change(c.container, c.blob, func(t *tx) error {
		if t.cur == nil {
			return blobNotFound()
		}
		if refusal := cond.write(t.cur); refusal != nil {
			return refusal
		}
		next, code, refusal := q.apply(t.cur.Lease, c.w.Header(), c.now)
		if refusal != nil {
			return refusal
		}
		status = code
		r := *t.cur // a lease changes neither ETag nor time
		r.Lease = next
		stamp(c.w.Header(), r.Tick, r.Modified)
		return t.set(&r)
	})
	if err != nil {
		return err
	}
	c.w.WriteHeader(status)
	return nil
}
