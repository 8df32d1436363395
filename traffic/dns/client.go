package dns

import (
	"math"
	"net/netip"
	"time"
)

// transport is how a query came.
type transport uint8

const (
	overUDP transport = iota
	overTCP
	overTLS
	overHTTPS
)

// client is who asks.
type client struct {
	addr      netip.Addr
	now       uint32 // seconds since 1970
	transport transport
	// proven: replies are known to reach addr, by TCP's handshake or a server cookie
	proven bool
}

func newClient(addr netip.Addr, now uint32, t transport) client {
	return client{addr: addr, now: now, transport: t, proven: t != overUDP}
}

// stream reports a transport without a limit but the protocol's.
func (c *client) stream() bool { return c.transport != overUDP }

func (c *client) encrypted() bool { return c.transport >= overTLS }

// seconds is a time as a cookie has it.
func seconds(t time.Time) uint32 { return uint32(t.Unix() & math.MaxUint32) }
