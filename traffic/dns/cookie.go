package dns

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"

	"github.com/proa-cloud/proa"
)

// Server cookies prove that a client receives what is sent to its address (RFC 7873). They are made
// as RFC 9018 says, so that servers behind one address that share the secret accept each other's.
const (
	clientCookieLen = 8
	serverCookieLen = 16
	minServerCookie = 8
	maxServerCookie = 32
	// A cookie is good for an hour, renewed after half of it, and may be five minutes ahead of our
	// clock (RFC 9018 section 4.3).
	cookieLife  = 3600
	cookieRenew = 1800
	cookieAhead = 300
)

// cookies makes and checks server cookies.
type cookies struct {
	// secrets: the first makes cookies, all of them check, so that a secret can be replaced.
	secrets [][16]byte
}

// newCookies reads secrets of 32 hexadecimal digits; without any a random one is made, which other
// servers and the next start do not know.
func newCookies(secrets []proa.Secret) (*cookies, error) {
	c := &cookies{}
	if len(secrets) > 4 {
		return nil, fmt.Errorf("dns: %d cookie secrets, at most 4: %w", len(secrets),
			proa.ErrInvalidConfig)
	}
	for i, s := range secrets {
		b, err := hex.DecodeString(s.Reveal())
		if err != nil || len(b) != 16 {
			return nil, fmt.Errorf("dns: cookie secret %d is not of 32 hexadecimal digits: %w", i+1,
				proa.ErrInvalidConfig)
		}
		c.secrets = append(c.secrets, [16]byte(b))
	}
	if len(c.secrets) == 0 {
		var random [16]byte
		_, _ = rand.Read(random[:]) // crypto/rand does not fail
		c.secrets = append(c.secrets, random)
	}
	return c, nil
}

// check reports whether the cookie that came with a query is one that was given to its sender, and
// its age in seconds.
func (c *cookies) check(o *options, from netip.Addr, now uint32) (age int32, good bool) {
	got := o.serverCookie
	if len(got) != serverCookieLen || got[0] != 1 {
		return 0, false
	}
	age = int32(now - binary.BigEndian.Uint32(got[4:]))
	if age > cookieLife || age < -cookieAhead {
		return age, false
	}
	for i := range c.secrets {
		var want [serverCookieLen]byte
		copy(want[:], got[:8])
		c.sign(&want, &c.secrets[i], &o.clientCookie, from)
		if subtle.ConstantTimeCompare(want[:], got) == 1 {
			return age, true
		}
	}
	return age, false
}

// make returns a fresh server cookie for a client.
func (c *cookies) make(client *[clientCookieLen]byte, from netip.Addr, now uint32,
) (out [serverCookieLen]byte) {
	out[0] = 1 // version; three reserved bytes follow
	binary.BigEndian.PutUint32(out[4:], now)
	c.sign(&out, &c.secrets[0], client, from)
	return out
}

// sign fills in the hash of client cookie, the first eight bytes and the client's address.
func (c *cookies) sign(out *[serverCookieLen]byte, secret *[16]byte,
	client *[clientCookieLen]byte, from netip.Addr,
) {
	var in [clientCookieLen + 8 + 16]byte
	n := copy(in[:], client[:])
	n += copy(in[n:], out[:8])
	if from = from.Unmap(); from.Is4() {
		a := from.As4()
		n += copy(in[n:], a[:])
	} else {
		a := from.As16()
		n += copy(in[n:], a[:])
	}
	binary.LittleEndian.PutUint64(out[8:], sipHash(secret, in[:n]))
}
