package drill

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/proa-cloud/proa"
)

// maxInFlight bounds the requests that wait for an answer; what is due past it is skipped and counted.
const maxInFlight = 1024

// Write is one order that a client sent.
type Write struct {
	ID     string      `json:"id"`
	Model  Model       `json:"model"`
	Sent   time.Time   `json:"sent"`
	Done   time.Time   `json:"done"`
	Region proa.Region `json:"region"` // that answered; "" when none did
	Acked  bool        `json:"acked"`  // 201 was received: the order must not be lost
	Err    string      `json:"err,omitempty"`
	// Target is the address that it was sent to, Unanswered says that nothing came back: no gateway knows of its failure.
	Target     string `json:"-"`
	Unanswered bool   `json:"-"`
}

// load sends new orders at a steady rate until stopped, from clients of each model in turn.
type load struct {
	clients []*user
	rate    int
	run     string // prefix of the orders' ids
	dice    *rand.Rand
	observe func(Write)

	mu      sync.Mutex
	writes  []Write
	skipped int
}

// user is one client with its connections and its resolver.
type user struct {
	*client
	*resolver
}

func newLoad(cfg *Config, s *Scenario, run string, seed uint64) *load {
	l := &load{rate: s.Rate, run: run, dice: rand.New(rand.NewPCG(seed, 1)), observe: cfg.Observe}
	for _, m := range s.Clients {
		l.clients = append(l.clients, &user{newClient(cfg), newResolver(cfg.DNS, cfg.Zone, m)})
	}
	return l
}

const loadTick = 5 * time.Millisecond

// start begins sending; the returned function stops it and waits for what is under way. It may be called twice.
func (l *load) start(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	slots := make(chan struct{}, maxInFlight)
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(loadTick)
		defer tick.Stop()
		began := time.Now()
		for n := 0; ; {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			for due := int(time.Since(began).Seconds() * float64(l.rate)); n < due; n++ {
				select {
				case slots <- struct{}{}:
				default:
					l.skip()
					continue
				}
				number, quantity := n, l.dice.IntN(9)+1
				wg.Go(func() {
					defer func() { <-slots }()
					l.record(l.send(context.WithoutCancel(ctx), number, quantity))
				})
			}
		}
	})
	return func() {
		cancel()
		wg.Wait()
		for _, u := range l.clients {
			u.http.CloseIdleConnections()
		}
	}
}

func (l *load) skip() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.skipped++
}

func (l *load) send(ctx context.Context, n, quantity int) Write {
	u := l.clients[n%len(l.clients)]
	w := Write{ID: fmt.Sprintf("%s-%06d", l.run, n), Model: u.model, Sent: time.Now()}
	addr, err := u.resolve(ctx, w.Sent)
	if err == nil {
		var status int
		order := map[string]any{"id": w.ID, "item": "paddle", "quantity": quantity}
		status, w.Region, _, err = u.do(ctx, http.MethodPost, addr, "/orders", order)
		w.Target, w.Unanswered = addr, err != nil
		if err != nil {
			u.broke(addr)
		}
		w.Acked = err == nil && status == http.StatusCreated
		if err == nil && !w.Acked {
			err = fmt.Errorf("status %d", status)
		}
	}
	w.Done = time.Now()
	if err != nil {
		w.Err = cause(err)
	}
	return w
}

// cause drops the URL that net/http wraps around each error.
func cause(err error) string {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err.Error()
		}
		err = next
	}
}

func (l *load) record(w Write) {
	if l.observe != nil {
		l.observe(w)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writes = append(l.writes, w)
}

// snapshot returns the writes recorded so far, in the order of their sending.
func (l *load) snapshot() []Write {
	l.mu.Lock()
	list := slices.Clone(l.writes)
	l.mu.Unlock()
	slices.SortFunc(list, func(a, b Write) int { return a.Sent.Compare(b.Sent) })
	return list
}

// Service counts as restored with the first of at least steadyWrites writes, sent over at least steadyFor, that are all
// acknowledged.
const (
	steadyFor    = 200 * time.Millisecond
	steadyWrites = 3
)

// outage is what one model of clients saw of a fault: when service was back, whether it is, and how many writes failed.
// Writes that were under way at the fault count. Failures after service was back count as failures, not as outage.
func outage(writes []Write, m Model, fault, until time.Time) (back time.Time, restored bool, failed int) {
	var began time.Time
	run := 0
	for _, w := range writes {
		if w.Model != m || w.Done.Before(fault) || !w.Sent.Before(until) {
			continue
		}
		switch {
		case !w.Acked:
			failed++
			if !restored {
				run = 0
			}
		case failed > 0 && !restored:
			if run == 0 {
				back, began = w.Done, w.Sent
			}
			run++
			restored = run >= steadyWrites && w.Sent.Sub(began) >= steadyFor
		}
	}
	return back, restored || failed == 0, failed
}
