package proa

import (
	"errors"
	"strings"
)

// The errors that callers tell apart. Drivers map vendor codes to these once, at the edge.
var (
	ErrNotFound      = errors.New("not found")
	ErrExists        = errors.New("exists already")
	ErrConflict      = errors.New("precondition failed") // the stored state is not the one that was expected
	ErrThrottled     = errors.New("throttled")
	ErrUnavailable   = errors.New("unavailable")       // not reached, timed out, 5xx: the outcome is unknown
	ErrTooLarge      = errors.New("too large")         // beyond a limit of the vendor or of the configuration
	ErrInvalid       = errors.New("invalid")           // will be refused each time it is tried
	ErrUnauthorized  = errors.New("unauthorized")      // credentials missing, wrong or not enough
	ErrFeedGap       = errors.New("change feed gap")   // the position is older than what the feed retains
	ErrUnsupported   = errors.New("not supported")     // the service cannot do this
	ErrStalePlan     = errors.New("stale plan")        // the plan's version is behind the one in force
	ErrNotOwner      = errors.New("not the owner")     // another node owns data sync: ask it
	ErrFenced        = errors.New("fenced")            // another region may write now, or none while traffic moves
	ErrStaleEpoch    = errors.New("stale epoch")       // data sync has had a later owner
	ErrInvalidConfig = errors.New("bad configuration") // a configuration file was refused
)

// Error is the one typed error: what was done, where, to what, why it failed and what to do about it.
type Error struct {
	Op     string // "read change feed", "put item"
	Region Region // "" where none is concerned
	Key    string // table, key or object concerned, "" where none
	Err    error  // the cause; errors.Is finds the sentinels above
	Hint   string // what the operator can do, "" where nothing is known
}

// Error renders "op: region: key: cause (hint)".
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	for _, s := range []string{string(e.Region), e.Key} {
		if s != "" {
			b.WriteString(": " + s)
		}
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	if e.Hint != "" {
		b.WriteString(" (" + e.Hint + ")")
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
