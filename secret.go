package proa

import "log/slog"

// Secret holds a credential and never prints it: it formats, logs and marshals as [redacted]. The text sits
// behind a pointer, so that no reflection-driven printer of an enclosing struct reaches it.
type Secret struct{ text *string }

const redacted = "[redacted]"

// NewSecret wraps a credential.
func NewSecret(s string) Secret { return Secret{&s} }

// Reveal returns the credential; "" where there is none. Call it only where it is sent or stored.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// IsZero reports whether there is no credential.
func (s Secret) IsZero() bool { return s.Reveal() == "" }

// String hides the credential.
func (s Secret) String() string { return redacted }

// GoString hides the credential.
func (s Secret) GoString() string { return redacted }

// LogValue hides the credential.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText hides the credential; whoever must store it calls Reveal.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// UnmarshalText reads a credential.
func (s *Secret) UnmarshalText(b []byte) error {
	*s = NewSecret(string(b))
	return nil
}
