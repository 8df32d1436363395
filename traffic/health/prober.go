// Package health probes the regions from one vantage point and reports a verdict on each.
//
// A verdict says unhealthy only on evidence: enough consecutive failures of a check that counts,
// and proof that this vantage point itself sees the network. A fault of the prober's own (no route,
// no file descriptors, running late) and a monitor that cannot be reached give unknown, never
// unhealthy.
package health

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/proa-cloud/proa"
)

// Probe asks one endpoint once. It honours ctx, whose deadline is the check's time-out, and never
// panics.
type Probe interface {
	Name() string // "tcp 127.0.64.1:8443", for people
	Probe(ctx context.Context) Outcome
}

// Prober runs one vantage point's probes.
type Prober struct {
	cfg    Config
	core   *core
	landed chan landing
	urged  chan int
	heeded chan int // peers ask
	status atomic.Pointer[[]CheckStatus]
	self   atomic.Pointer[Self]
	trips  atomic.Pointer[map[proa.Region]time.Duration]
}

type landing struct {
	ref     ref
	outcome Outcome
	late    time.Duration // by how much this machine missed start or deadline
}

// New prepares a prober. It starts nothing.
func New(cfg Config) (*Prober, error) {
	if cfg.Renew <= 0 {
		cfg.Renew = time.Second
	}
	if cfg.Late <= 0 {
		cfg.Late = 250 * time.Millisecond
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	p := &Prober{
		cfg: cfg, core: newCore(cfg, cfg.Clock()),
		landed: make(chan landing, maxEndpoints*maxChecks), urged: make(chan int, maxEndpoints),
		heeded: make(chan int, maxEndpoints),
	}
	p.show(cfg.Clock())
	return p, nil
}

// Status lists every check as last seen. It never blocks.
func (p *Prober) Status() []CheckStatus { return *p.status.Load() }

// Self tells how well this vantage point itself does. It never blocks.
func (p *Prober) Self() Self { return *p.self.Load() }

// Recheck asks for a probe of a region at once, as a peer does that has seen one fail: at most ten
// times a second. It never blocks.
func (p *Prober) Recheck(r proa.Region) {
	for i, e := range p.cfg.Endpoints {
		if e.Region != r || r == "" {
			continue
		}
		select {
		case p.heeded <- i:
		default: // as many wait as there can be endpoints
		}
	}
}

func (p *Prober) urge(endpoint int) {
	select {
	case p.urged <- endpoint:
	default: // as many wait as there can be endpoints
	}
}

// Run probes until ctx ends and returns nil once all probes have ended.
func (p *Prober) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for i, e := range p.cfg.Endpoints {
		if e.Tripwire != "" {
			wg.Go(func() { p.tripwire(ctx, i, e.Tripwire) })
		}
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case l := <-p.landed:
			p.core.done(p.cfg.Clock(), l.ref, l.outcome, l.late)
		case i := <-p.urged:
			p.core.urge(i)
		case i := <-p.heeded:
			p.core.heed(p.cfg.Clock(), i)
		}
		now := p.cfg.Clock()
		start, report, next := p.core.step(now)
		for _, r := range start {
			wg.Go(func() { p.fly(ctx, r, now) })
		}
		for _, v := range report {
			p.cfg.Report(v)
		}
		for _, r := range p.core.taken() {
			if p.cfg.Ask != nil {
				p.cfg.Ask(r)
			}
		}
		p.show(now)
		timer.Reset(next.Sub(now))
	}
}

// fly runs one probe that was due at began. Its number of goroutines is bounded by the machines'
// capacity.
func (p *Prober) fly(ctx context.Context, r ref, began time.Time) {
	check := p.cfg.Endpoints[r.endpoint].Checks[r.check]
	started := p.cfg.Clock()
	probing, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	var watch stopwatch
	if !check.Monitor {
		probing = watch.watch(probing, p.cfg.Clock)
	}
	o := safely(probing, check.Probe)
	if o.Result == Pass {
		o.RoundTrip = watch.time()
	}
	late := max(started.Sub(began), p.cfg.Clock().Sub(started)-r.timeout)
	select {
	case p.landed <- landing{r, o, late}:
	case <-ctx.Done():
	}
}

// safely turns a probe's panic into a blind outcome: a bug of ours says nothing about the endpoint.
func safely(ctx context.Context, probe Probe) (o Outcome) {
	defer func() {
		if v := recover(); v != nil {
			o = Outcome{Result: Blind, Reason: fmt.Sprintf("the probe itself failed: %v", v)}
		}
	}()
	return probe.Probe(ctx)
}

func (p *Prober) show(now time.Time) {
	s, self, trips := p.core.status(now), p.core.self.self(), p.core.roundTrips()
	p.status.Store(&s)
	p.self.Store(&self)
	p.trips.Store(&trips)
}

// tripwire keeps an idle connection to the endpoint and asks for a probe when it breaks: the kernel
// of a dying process closes it at once, long before the next probe is due.
func (p *Prober) tripwire(ctx context.Context, endpoint int, address string) {
	e := p.cfg.Endpoints[endpoint]
	guard, pause := e.Guard, e.Checks[0].Timing.Interval
	for ctx.Err() == nil {
		conn, err := guard.dialer().DialContext(ctx, "tcp", address)
		if err == nil {
			stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
			drain(conn)
			stop()
			_ = conn.Close()
			p.urge(endpoint)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// drain reads until the connection breaks; what the other side says does not matter.
func drain(conn net.Conn) {
	buf := make([]byte, 512)
	for {
		if _, err := conn.Read(buf); err != nil {
			return
		}
	}
}
