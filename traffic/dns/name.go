package dns

import (
	"fmt"
	"strings"

	mdns "github.com/miekg/dns"

	"github.com/proa-cloud/proa"
)

// maxName is the longest name on the wire, its root label included (RFC 1035 §2.3.4).
const maxName = 255

// name is a domain name in lower case as it stands on the wire, uncompressed: length-prefixed
// labels, then the root's zero.
type name string

// parseName reads a name in presentation format; a missing last dot is added. Errors wrap
// proa.ErrInvalid.
func parseName(s string) (name, error) {
	var buf [maxName + 1]byte
	n, err := mdns.PackDomainName(mdns.Fqdn(s), buf[:], 0, nil, false)
	if err != nil || n > maxName {
		return "", fmt.Errorf("domain name %.80q: %w: %w", s, proa.ErrInvalid, err)
	}
	lowerInPlace(buf[:n])
	return name(buf[:n]), nil
}

// lowerInPlace lowers ASCII letters. Length bytes are below 64 and so never letters.
func lowerInPlace(b []byte) {
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
}

// String renders the name in presentation format.
func (n name) String() string {
	s, _, err := mdns.UnpackDomainName([]byte(n), 0)
	if err != nil {
		return fmt.Sprintf("%q", string(n))
	}
	return s
}

// parent strips the first label; the root is its own parent.
func (n name) parent() name {
	if len(n) <= 1 {
		return n
	}
	return n[1+int(n[0]):]
}

// under reports whether n is at or below o.
func (n name) under(o name) bool {
	for len(n) > len(o) {
		n = n.parent()
	}
	return n == o
}

func (n name) isWildcard() bool { return strings.HasPrefix(string(n), "\x01*") }

// labels counts the labels without the root's.
func (n name) labels() int {
	count := 0
	for ; len(n) > 1; n = n.parent() {
		count++
	}
	return count
}

// wireNameLen returns the length of the uncompressed name at the start of b, 0 when there is none.
func wireNameLen(b []byte) int {
	for i := 0; i < len(b) && i < maxName; {
		if b[i] == 0 {
			return i + 1
		}
		if b[i] > 63 {
			return 0
		}
		i += 1 + int(b[i])
	}
	return 0
}
