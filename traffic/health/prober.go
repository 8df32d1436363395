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
	status atomic.Pointer[[]CheckStatus]
}

type landing struct {
	ref     ref
	outcome Outcome
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
	}
	p.show()
	return p, nil
}

// Status lists every check as last seen. It never blocks.
func (p *Prober) Status() []CheckStatus { return *p.status.Load() }

// Recheck asks for a probe of a region at once, as a peer does that has seen one fail. It never
// blocks.
func (p *Prober) Recheck(r proa.Region) {
	for i, e := range p.cfg.Endpoints {
		if e.Region == r {
			p.urge(i)
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
			p.core.done(p.cfg.Clock(), l.ref, l.outcome)
		case i := <-p.urged:
			p.core.urge(i)
		}
		now := p.cfg.Clock()
		start, report, next := p.core.step(now)
		for _, r := range start {
			wg.Go(func() { p.fly(ctx, r) })
		}
		for _, v := range report {
			p.cfg.Report(v)
		}
		p.show()
		timer.Reset(next.Sub(now))
	}
}

// fly runs one probe. Its number of goroutines is bounded by the machines' capacity.
func (p *Prober) fly(ctx context.Context, r ref) {
	check := p.cfg.Endpoints[r.endpoint].Checks[r.check]
	probing, cancel := context.WithTimeout(ctx, check.Timing.Timeout)
	defer cancel()
	o := safely(probing, check.Probe)
	select {
	case p.landed <- landing{r, o}:
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

func (p *Prober) show() {
	s := p.core.status()
	p.status.Store(&s)
}

// tripwire keeps an idle connection to the endpoint and asks for a probe when it breaks: the kernel
// of a dying process closes it at once, long before the next probe is due.
func (p *Prober) tripwire(ctx context.Context, endpoint int, address string) {
	pause := p.cfg.Endpoints[endpoint].Checks[0].Timing.Interval
	for ctx.Err() == nil {
		conn, err := guardedDialer().DialContext(ctx, "tcp", address)
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
