//go:build !linux

package dns

import "net/netip"

func bindUDP(address netip.AddrPort, workers int) ([]packetConn, error) {
	return bindPortable(address, workers)
}
