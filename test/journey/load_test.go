package journey

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"
)

// write is one order that the load sent.
type write struct {
	id     string
	done   time.Time
	region string
	acked  bool
}

// load sends new orders at a steady rate through DNS, honouring the TTL, until stopped.
type load struct {
	server, zone, port string
	rate               int
	prefix             string

	mu      sync.Mutex
	writes  []write
	addr    string
	expires time.Time
}

func (l *load) resolve() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Now().Before(l.expires) {
		return l.addr
	}
	addr, ttl, err := lookup(l.server, l.zone)
	if err == nil {
		l.addr, l.expires = addr, time.Now().Add(ttl)
	}
	return l.addr
}

func (l *load) start() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	due := make(chan int, 64)
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for n := range due {
				l.send(n)
			}
		})
	}
	wg.Go(func() {
		defer close(due)
		tick := time.NewTicker(time.Second / time.Duration(l.rate))
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			select {
			case due <- n:
			default: // the clients are all waiting: a real user would also not send faster
			}
		}
	})
	return func() {
		cancel()
		wg.Wait()
	}
}

func (l *load) send(n int) {
	w := write{id: fmt.Sprintf("%s-%05d", l.prefix, n)}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	url := "http://" + net.JoinHostPort(l.resolve(), l.port) + "/orders"
	code, region, _, err := request(ctx, "POST", url, fmt.Appendf(nil, `{"id":%q,"item":"paddle","n":%d}`, w.id, n), "application/json")
	w.done, w.region, w.acked = time.Now(), region, err == nil && code == 201
	l.mu.Lock()
	l.writes = append(l.writes, w)
	l.mu.Unlock()
}

// snapshot returns what was sent so far.
func (l *load) snapshot() []write {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]write(nil), l.writes...)
}

// acked returns the writes that a region acknowledged between two moments.
func acked(writes []write, region string, from, to time.Time) []write {
	var out []write
	for _, w := range writes {
		if w.acked && w.region == region && !w.done.Before(from) && !w.done.After(to) {
			out = append(out, w)
		}
	}
	return out
}
