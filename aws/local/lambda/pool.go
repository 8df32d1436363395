package lambda

import (
	"context"
	"errors"
	"sync"
	"time"
)

// errPoolClosed says that the function was changed or removed meanwhile.
var errPoolClosed = errors.New("the function's environments are being replaced")

// pool holds the environments of one function in one state of its code and configuration.
type pool struct {
	server *Server
	spec   record
	limit  int // most environments

	mu       sync.Mutex
	idle     []*environment // the most recently used last
	all      map[*environment]bool
	waiting  []chan offer // requests without an environment, oldest first
	starting int
	closed   bool
	quit     chan struct{} // closed with closed
}

// offer is what a waiting request gets: an environment, or why there is none.
type offer struct {
	env     *environment
	failure *failure
}

func newPool(s *Server, spec record) *pool {
	limit := s.cfg.MaxEnvironments
	if spec.Reserved != nil {
		limit = max(1, min(limit, *spec.Reserved))
	}
	return &pool{server: s, spec: spec, limit: limit, all: map[*environment]bool{}, quit: make(chan struct{})}
}

// acquire returns an idle environment, or waits for one, starting more where allowed. A failure is
// the function's own: it could not be initialised.
func (p *pool) acquire(ctx context.Context) (*environment, *failure, error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, nil, errPoolClosed
	}
	if n := len(p.idle); n > 0 {
		env := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		return env, nil, nil
	}
	ticket := make(chan offer, 1)
	p.waiting = append(p.waiting, ticket)
	p.grow()
	p.mu.Unlock()
	select {
	case o, ok := <-ticket:
		if !ok {
			return nil, nil, errPoolClosed
		}
		return o.env, o.failure, nil
	case <-ctx.Done():
		p.abandon(ticket)
		return nil, nil, ctx.Err()
	}
}

// abandon gives up waiting; an environment that was offered at the same moment goes to the next.
func (p *pool) abandon(ticket chan offer) {
	p.mu.Lock()
	for i, t := range p.waiting {
		if t == ticket {
			p.waiting = append(p.waiting[:i:i], p.waiting[i+1:]...)
			p.mu.Unlock()
			return
		}
	}
	p.mu.Unlock()
	if o, ok := <-ticket; ok && o.env != nil {
		p.give(o.env)
	}
}

// grow starts environments for requests that nobody is starting one for. The lock is held.
func (p *pool) grow() {
	for !p.closed && p.starting < len(p.waiting) && len(p.all)+p.starting < p.limit {
		p.start()
	}
}

func (p *pool) start() {
	p.starting++
	p.server.work.Go(p.boot)
}

// warm starts the environments that are to be ready before the first request.
func (p *pool) warm() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for !p.closed && len(p.all)+p.starting < min(p.server.cfg.Warm, p.limit) {
		p.start()
	}
}

// boot initialises one environment and offers it, or the failure, to the oldest request.
func (p *pool) boot() {
	env, failed := p.initialize()
	p.mu.Lock()
	p.starting--
	if failed == nil {
		p.all[env] = true
		p.mu.Unlock()
		p.server.work.Go(func() { p.watch(env) })
		p.give(env)
		return
	}
	if p.closed {
		p.mu.Unlock()
		return
	}
	if len(p.waiting) == 0 {
		p.server.cfg.Logger.Warn("function cannot be initialised",
			"function", p.spec.Name, "type", failed.Type, "message", failed.Message)
	} else {
		ticket := p.waiting[0]
		p.waiting = p.waiting[1:]
		ticket <- offer{failure: failed}
	}
	p.grow()
	p.mu.Unlock()
}

// initialize runs the init phase. The vendor gives it 10 seconds; when they pass, it is run once
// more as part of the invocation and under the function's own time-out.
func (p *pool) initialize() (*environment, *failure) {
	env, failed := startEnvironment(p, p.server.cfg.InitTimeout)
	if failed != nil && failed.initTimeout {
		env, failed = startEnvironment(p, p.spec.timeout())
	}
	return env, failed
}

// give takes an environment that has nothing to do and hands it to the oldest waiting request.
func (p *pool) give(env *environment) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.all[env] { // it died
		return
	}
	if p.closed {
		go env.kill()
		return
	}
	if len(p.waiting) > 0 {
		ticket := p.waiting[0]
		p.waiting = p.waiting[1:]
		ticket <- offer{env: env}
		return
	}
	env.idleSince = p.server.cfg.Clock()
	p.idle = append(p.idle, env)
}

// watch forgets an environment when it dies, and starts another where requests wait.
func (p *pool) watch(env *environment) {
	<-env.dead
	p.mu.Lock()
	delete(p.all, env)
	for i, e := range p.idle {
		if e == env {
			p.idle = append(p.idle[:i:i], p.idle[i+1:]...)
			break
		}
	}
	p.grow()
	p.mu.Unlock()
	env.shut()
}

// reap ends environments that have been idle for long, the least recently used first.
func (p *pool) reap(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.idle) > 0 && len(p.all) > max(0, p.server.cfg.Warm) {
		env := p.idle[0]
		if now.Sub(env.idleSince) < p.server.cfg.IdleTimeout {
			return
		}
		p.idle = p.idle[1:]
		delete(p.all, env)
		go env.kill()
	}
}

// close ends the idle environments at once and the busy ones after their request, or now. Requests
// that wait are told to look for the function anew.
func (p *pool) close(now bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.closed = true
		close(p.quit)
	}
	for _, ticket := range p.waiting {
		close(ticket)
	}
	p.waiting = nil
	doomed := p.idle
	p.idle = nil
	if now {
		doomed = doomed[:0:0]
		for env := range p.all {
			doomed = append(doomed, env)
		}
	}
	for _, env := range doomed {
		go env.kill()
	}
}
