package sigv4

import (
	"fmt"
	"log/slog"
)

// Secret holds a secret access key. It prints as [redacted] with every verb of fmt, in JSON, in
// text and in slog, also from inside an unexported field, since all that reflection finds is a
// pointer.
type Secret struct{ p *string }

// NewSecret wraps a secret access key.
func NewSecret(s string) Secret { return Secret{p: &s} }

const redacted = "[redacted]"

// Reveal returns the secret itself, for signing and for handing it to the process that must have
// it.
func (s Secret) Reveal() string {
	if s.p == nil {
		return ""
	}
	return *s.p
}

// String returns [redacted].
func (s Secret) String() string { return redacted }

// Format prints [redacted] whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// MarshalText returns [redacted].
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue returns [redacted].
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }
