package supervisor

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"sync"

	"github.com/proa-cloud/proa"
)

// Ports says where to listen. The zero port means any free one.
type Ports struct {
	Gateway int // both gateways, on two addresses
	AWS     int
	Azure   int
	DNS     int
	Control int
	Console int
	// Auto picks free ports for all of them, again the last ones where they are still free.
	Auto bool
}

// DefaultPorts are those of `proa up` without flags.
func DefaultPorts() Ports {
	return Ports{Gateway: 8080, AWS: 4566, Azure: 8081, DNS: 5300, Control: 7700, Console: 7800}
}

// The gateways' loopback addresses, which are what the zone answers.
const (
	awsGatewayIP   = "127.0.64.1"
	azureGatewayIP = "127.0.64.2"
)

// AliasCommand is what adds the gateways' addresses where the system lacks them (macOS).
const AliasCommand = "sudo ifconfig lo0 alias " + awsGatewayIP + " && sudo ifconfig lo0 alias " + azureGatewayIP

// haveGatewayAddresses reports whether both gateways can have an address of their own.
func haveGatewayAddresses() bool {
	for _, ip := range []string{awsGatewayIP, azureGatewayIP} {
		ln, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
		if err != nil {
			return false
		}
		ln.Close()
	}
	return true
}

// plan decides every address. last are those of the previous run on the same folder.
func (p Ports) plan(last Addresses) (Addresses, error) {
	if p.Auto {
		return autoAddresses(last)
	}
	a := Addresses{
		Control: local(p.Control), Console: local(p.Console), DNS: local(p.DNS), AWS: local(p.AWS), Azure: local(p.Azure),
		AWSGateway: net.JoinHostPort(awsGatewayIP, strconv.Itoa(p.Gateway)), AzureGateway: net.JoinHostPort(azureGatewayIP, strconv.Itoa(p.Gateway)),
	}
	if !haveGatewayAddresses() {
		a.AWSGateway, a.AzureGateway = local(p.Gateway), local(p.Gateway+1)
	}
	for _, c := range []struct{ flag, addr string }{
		{"--control-port", a.Control},
		{"--console-port", a.Console},
		{"--dns-port", a.DNS},
		{"--aws-port", a.AWS},
		{"--azure-port", a.Azure},
		{"--gateway-port", a.AWSGateway},
		{"--gateway-port", a.AzureGateway},
	} {
		if err := checkFree(c.addr); err != nil {
			return a, &proa.Error{Op: "listen on " + c.addr, Err: err, Hint: "give another with " + c.flag + ", or use --ports auto"}
		}
	}
	if err := checkFreeUDP(a.DNS); err != nil {
		return a, &proa.Error{Op: "listen on " + a.DNS + " (UDP)", Err: err, Hint: "give another with --dns-port, or use --ports auto"}
	}
	return a, pickInternal(&a, last)
}

// pickInternal chooses the addresses that have no flag.
func pickInternal(a *Addresses, last Addresses) error {
	for _, c := range []struct {
		field *string
		last  string
	}{{&a.Node, last.Node}, {&a.AWSProxy, last.AWSProxy}, {&a.AzureProxy, last.AzureProxy}} {
		addr, err := pick("127.0.0.1", c.last)
		if err != nil {
			return err
		}
		*c.field = addr
	}
	return nil
}

func autoAddresses(last Addresses) (Addresses, error) {
	var a Addresses
	for _, c := range []struct {
		field *string
		last  string
	}{{&a.Control, last.Control}, {&a.Console, last.Console}, {&a.AWS, last.AWS}, {&a.Azure, last.Azure}} {
		addr, err := pick("127.0.0.1", c.last)
		if err != nil {
			return a, err
		}
		*c.field = addr
	}
	var err error
	if a.DNS, err = pickDNS(last.DNS); err != nil {
		return a, err
	}
	if a.AWSGateway, a.AzureGateway, err = pickGateways(last); err != nil {
		return a, err
	}
	return a, pickInternal(&a, last)
}

// pickDNS finds a port that is free for UDP and TCP.
func pickDNS(last string) (string, error) {
	if last != "" && checkFree(last) == nil && checkFreeUDP(last) == nil {
		return last, nil
	}
	for range 50 {
		addr, err := pick("127.0.0.1", "")
		if err != nil {
			return "", err
		}
		if checkFreeUDP(addr) == nil {
			return addr, nil
		}
	}
	return "", fmt.Errorf("find a free DNS port: none in 50 tries")
}

// pickGateways finds one port that is free on both gateways' addresses, or two where there is one address.
func pickGateways(last Addresses) (aws, azure string, err error) {
	if last.AWSGateway != "" && checkFree(last.AWSGateway) == nil && checkFree(last.AzureGateway) == nil {
		return last.AWSGateway, last.AzureGateway, nil
	}
	if !haveGatewayAddresses() {
		if aws, err = pick("127.0.0.1", ""); err == nil {
			azure, err = pick("127.0.0.1", "")
		}
		return aws, azure, err
	}
	for range 50 {
		if aws, err = pick(awsGatewayIP, ""); err != nil {
			return "", "", err
		}
		_, port, _ := net.SplitHostPort(aws)
		azure = net.JoinHostPort(azureGatewayIP, port)
		if checkFree(azure) == nil {
			return aws, azure, nil
		}
	}
	return "", "", fmt.Errorf("find a free gateway port: none in 50 tries")
}

func local(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// Ports that are picked lie below the range from which systems take outgoing connections' ports: one that is free now is
// still free when the process that listens there starts, and when it is started again.
const (
	firstPicked = 20000
	parts       = 30
	partPorts   = 400
)

// part is the first port of the part that this process picks from. It is claimed by listening at its last port, for as
// long as the process lives: systems that are started together do not meet.
var part = sync.OnceValues(func() (int, net.Listener) {
	own := os.Getpid() % parts
	for i := range parts {
		first := firstPicked + (own+i)%parts*partPorts
		ln, err := net.Listen("tcp", local(first+partPorts-1))
		if err != nil {
			continue
		}
		return first, ln // kept: a listener that nobody refers to is closed
	}
	return firstPicked + own*partPorts, nil // all are claimed: checkFree has to do
})

// pick returns last if it is free, else a free port of the address.
func pick(ip, last string) (string, error) {
	if last != "" && checkFree(last) == nil {
		return last, nil
	}
	first, _ := part()
	for range 50 {
		addr := net.JoinHostPort(ip, strconv.Itoa(first+rand.IntN(partPorts-1)))
		if checkFree(addr) == nil {
			return addr, nil
		}
	}
	ln, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	defer ln.Close()
	return ln.Addr().String(), nil
}

func checkFree(addr string) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	return ln.Close()
}

func checkFreeUDP(addr string) error {
	c, err := net.ListenPacket("udp", addr)
	if err != nil {
		return err
	}
	return c.Close()
}

// SharedGatewayAddress reports whether both gateways had to take one address.
func SharedGatewayAddress(a Addresses) bool { return host(a.AWSGateway) == host(a.AzureGateway) }
