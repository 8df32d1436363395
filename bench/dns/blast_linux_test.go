package dns

import (
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"testing"
	"time"
	"unsafe"

	mdns "github.com/miekg/dns"
	"golang.org/x/sys/unix"
)

// queries are 60 % A, 30 % AAAA, 5 % NS and 5 % denied names, all with EDNS.
func queries(b *testing.B, signed bool) [][]byte {
	b.Helper()
	rng := rand.New(rand.NewPCG(1, 1))
	var list [][]byte
	for range 20_000 {
		q := new(mdns.Msg)
		name := fmt.Sprintf("w%d.gslb.test.", rng.IntN(zoneNames))
		switch n := rng.IntN(100); {
		case n < 60:
			q.SetQuestion(name, mdns.TypeA)
		case n < 90:
			q.SetQuestion(name, mdns.TypeAAAA)
		case n < 95:
			q.SetQuestion("gslb.test.", mdns.TypeNS)
		default:
			q.SetQuestion("nope-"+name, mdns.TypeA)
		}
		q.RecursionDesired = false
		q.SetEdns0(1232, signed)
		msg, err := q.Pack()
		if err != nil {
			b.Fatal(err)
		}
		list = append(list, msg)
	}
	return list
}

const (
	window = 256 // queries that wait for their answers
	burst  = 32
)

// vector is the memory of one sendmmsg or recvmmsg.
type vector struct {
	hdrs []mmsghdr
	iovs []unix.Iovec
}

// mmsghdr is the kernel's struct mmsghdr.
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

func newVector(n int) *vector {
	v := &vector{hdrs: make([]mmsghdr, n), iovs: make([]unix.Iovec, n)}
	for i := range v.hdrs {
		v.hdrs[i].hdr.Iov = &v.iovs[i]
		v.hdrs[i].hdr.SetIovlen(1)
	}
	return v
}

func (v *vector) set(i int, buf []byte) {
	v.iovs[i].Base = &buf[0]
	v.iovs[i].SetLen(len(buf))
}

// call is one system call over the vector, outside the scheduler: it never waits.
func (v *vector) call(trap uintptr, fd, n int) int {
	got, _, errno := unix.RawSyscall6(trap, uintptr(fd), uintptr(unsafe.Pointer(&v.hdrs[0])), uintptr(n), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0
	}
	return int(got)
}

// dial opens a connected socket that the runtime's poller never sees.
func dial(b *testing.B, s *server) int {
	b.Helper()
	to, err := net.ResolveUDPAddr("udp", s.address)
	if err != nil {
		b.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		b.Fatal(err)
	}
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: to.Port, Addr: [4]byte(to.IP.To4())}); err != nil {
		b.Fatal(err)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 4<<20)
	return fd
}

// blast keeps a server busy for a while and returns how many queries it answered.
func blast(b *testing.B, s *server, list [][]byte, d time.Duration) int {
	b.Helper()
	fd := dial(b, s)
	defer func() { _ = unix.Close(fd) }()
	in, out := newVector(window), newVector(burst)
	for i := range window {
		in.set(i, make([]byte, 1500))
	}
	answered, waiting, next := 0, 0, 0
	last := time.Now()
	for end := last.Add(d); ; {
		now := time.Now()
		if now.After(end) {
			return answered
		}
		if now.Sub(last) > 100*time.Millisecond {
			waiting, last = 0, now // lost
		}
		for waiting+burst <= window {
			for i := range burst {
				out.set(i, list[next])
				next = (next + 1) % len(list)
			}
			n := out.call(unix.SYS_SENDMMSG, fd, burst)
			if waiting += n; n < burst {
				break
			}
		}
		if n := in.call(unix.SYS_RECVMMSG, fd, window); n > 0 {
			answered += n
			waiting -= n
			last = now
		}
	}
}

// pin keeps the benchmark's threads on the first processor.
func pin(b *testing.B) {
	b.Helper()
	var set unix.CPUSet
	set.Set(0)
	for _, pid := range threads() {
		if err := unix.SchedSetaffinity(pid, &set); err != nil {
			b.Fatal(err)
		}
	}
}

// latencies asks at a fixed rate and returns the times to the answers, sorted.
func latencies(b *testing.B, s *server, list [][]byte, rate, count int) []time.Duration {
	b.Helper()
	fd := dial(b, s)
	defer func() { _ = unix.Close(fd) }()
	sent := make([]time.Time, 65536)
	var times []time.Duration
	buf := make([]byte, 1500)
	begin := time.Now()
	for i := 0; i < count || time.Since(begin) < time.Duration(count+rate/5)*time.Second/time.Duration(rate); {
		if i < count && time.Since(begin) >= time.Duration(i)*time.Second/time.Duration(rate) {
			msg := list[i%len(list)]
			msg[0], msg[1] = byte(i>>8), byte(i)
			sent[i&0xffff] = time.Now()
			_ = unix.Send(fd, msg, 0)
			i++
		}
		if n, _, err := unix.Recvfrom(fd, buf, 0); err == nil && n > 2 {
			times = append(times, time.Since(sent[int(buf[0])<<8|int(buf[1])]))
		}
	}
	slices.Sort(times)
	if len(times) < count*99/100 {
		b.Fatalf("%s answered %d of %d", s.name, len(times), count)
	}
	return times
}
