// Package cluster is the nodes together: who they are, what they tell each other, and the log on
// whose order they agree.
//
// Guarantees: a state is in force on a node only after a majority of the members has it on stable
// storage; states follow one another without a gap, each decided on its predecessor, with one plan a
// version; a node that lost its disk is a new member and never votes as its old self; nothing is
// heard from a node whose certificate the configured authority did not sign.
//
// Limits: without a majority nothing is agreed, and the last state stands. The first forming needs
// all configured nodes once. The name server does not wait for any of this.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/traffic"
)

// Node is one configured node.
type Node struct {
	Name    string
	Address string      // host:port where its peers reach it
	Beside  proa.Region // the cloud that it sits in, "" for none
}

// Config is what a cluster's node is made of.
type Config struct {
	Self  string // this node's name
	Nodes []Node // all of them, this one included
	// Listen is the address to listen on; "" is this node's address among Nodes.
	Listen string
	Dir    string // for the log; its own
	TLS    Files
	// First gives the state to start from when this node forms a new cluster; nil: plan 1 on
	// Preferred.
	First func() (traffic.State, error)
	// Commit takes each agreed record, in order, on one goroutine. It must not block.
	Commit func(Record)
	// Stand says whether this node decides: standby is why not, "" when it does. It must not block.
	Stand func(standby string)
	// Hear takes what a peer tells, and Recheck its wish to have a region probed at once. They must
	// not block.
	Hear    func(Beat)
	Recheck func(proa.Region)
	// Handler answers the peers' HTTP requests; nil answers none.
	Handler http.Handler
	Clock   func() time.Time
	Logger  *slog.Logger
}

// Times of the log. An election takes 0.6 to 1.2 s after the leader falls silent, and a tenth of
// that when its process is gone, which peers see at once.
const (
	tick           = 50 * time.Millisecond
	heartbeatTicks = 2
	electionTicks  = 12
	staleBeat      = 1500 * time.Millisecond // a beat this late is old news
	lostAfter      = 1500 * time.Millisecond // a node that was not heard for so long is not counted
)

// Cluster is this node among its peers.
type Cluster struct {
	cfg    Config
	creds  *credentials
	disk   *disk
	peers  map[string]*peer
	began  time.Time
	ln     *gate
	inbox  chan inbound
	queued atomic.Int64 // bytes in inbox
	orders chan any     // proposal, forceOrder
	gone   chan string
	core   core

	view atomic.Pointer[View]

	mu    sync.Mutex
	news  News
	heard map[string]hearing
}

// hearing is what a peer last said and when.
type hearing struct {
	beat   Beat
	at     time.Time
	came   time.Time     // its last beat, be it old news
	offset time.Duration // the least difference between our time and its, on this connection; it rises slowly
	// knew is the At of its last beat that was said with all that is agreed here; 0: none.
	knew time.Duration
}

type inbound struct {
	from                string
	cluster, generation uint64
	message             []byte
}

// Validate reports what cannot work.
func (c Config) Validate() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("cluster: "+format+": %w", append(args, proa.ErrInvalidConfig)...)
	}
	if c.Clock == nil || c.Logger == nil || c.Commit == nil || c.Stand == nil || c.Hear == nil ||
		c.Recheck == nil || c.First == nil {
		return bad("clock, logger and every callback are needed")
	}
	var names []string
	for _, n := range c.Nodes {
		if !nodeName.MatchString(n.Name) || slices.Contains(names, n.Name) {
			return bad("node name %q is not a name or not unique", n.Name)
		}
		if _, _, err := net.SplitHostPort(n.Address); err != nil {
			return bad("node %s: address %q: %v", n.Name, n.Address, err)
		}
		names = append(names, n.Name)
	}
	if !slices.Contains(names, c.Self) {
		return bad("this node, %q, is not among %q", c.Self, names)
	}
	if len(names) < 2 || len(names) > 7 {
		return bad("%d nodes: want 3 or 5, at least 2 and at most 7", len(names))
	}
	return nil
}

// New opens the node's log. It starts nothing. The caller must Close.
func New(cfg Config) (*Cluster, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	creds, err := newCredentials(cfg.TLS, time.Now)
	if err != nil {
		return nil, err
	}
	c := &Cluster{
		cfg: cfg, creds: creds, peers: map[string]*peer{}, began: time.Now(),
		inbox: make(chan inbound, 1024), orders: make(chan any), gone: make(chan string, 16),
		heard: map[string]hearing{},
	}
	for _, n := range cfg.Nodes {
		if n.Name == cfg.Self {
			if c.cfg.Listen == "" {
				c.cfg.Listen = n.Address
			}
			continue
		}
		p := newPeer(n, creds, cfg.Logger)
		p.beat, p.refused, p.heard = c.beat, c.lost, c.silence
		c.peers[n.Name] = p
	}
	if c.disk, err = openDisk(c.logDir(), cfg.Logger); err != nil {
		return nil, err
	}
	if err := c.core.open(c); err != nil {
		return nil, errors.Join(err, c.disk.Close())
	}
	c.show()
	return c, nil
}

func (c *Cluster) logDir() string { return filepath.Join(c.cfg.Dir, "log") }

// Close closes the log, after Run.
func (c *Cluster) Close() error { return c.disk.Close() }

// Listen binds the address. Run serves it.
func (c *Cluster) Listen() error {
	ln, err := net.Listen("tcp", c.cfg.Listen)
	if err != nil {
		return &proa.Error{
			Op: "listen for the other nodes on " + c.cfg.Listen, Err: err,
			Hint: "give another address in cluster.nodes or cluster.listen",
		}
	}
	c.ln = &gate{Listener: ln}
	return nil
}

// Run takes part in the cluster until ctx ends. It returns nil: trouble with the log takes this node
// out of the decisions, and View says so, but what the node serves goes on.
func (c *Cluster) Run(ctx context.Context) error {
	var g errgroup.Group
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	server := c.server()
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	g.Go(func() error {
		defer cancel()
		if err := server.ServeTLS(c.ln, "", ""); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("cluster: %w", err)
		}
		return nil
	})
	for _, p := range c.peers {
		g.Go(func() error { return p.run(ctx) })
	}
	g.Go(func() error { c.loop(ctx); return nil })
	return g.Wait()
}

// Tell changes this node's news: the other nodes hear them with the next beat, which is sent at once
// when change says so.
func (c *Cluster) Tell(change func(*News) (atOnce bool)) {
	c.mu.Lock()
	atOnce := change(&c.news)
	c.mu.Unlock()
	if atOnce {
		for _, p := range c.peers {
			p.hurry()
		}
	}
}

// Acknowledged returns when this node sent the last beat that who decides has heard, and that was said
// with all that is agreed: the other node that leads, or a majority where this one does. It carries a monotonic reading, so a node that was
// frozen finds it old. The zero time: nobody has.
func (c *Cluster) Acknowledged() time.Time {
	v := c.view.Load()
	c.mu.Lock()
	defer c.mu.Unlock()
	if v.Leader != c.cfg.Self {
		return c.echoLocked(v.Leader)
	}
	var echoes []time.Time
	for name := range c.peers {
		echoes = append(echoes, c.echoLocked(name))
	}
	slices.SortFunc(echoes, func(a, b time.Time) int { return b.Compare(a) })
	return echoes[len(c.cfg.Nodes)/2-1] // with this node itself: a majority
}

func (c *Cluster) echoLocked(name string) time.Time {
	at, ok := c.heard[name].beat.Echo[c.cfg.Self]
	if !ok {
		return time.Time{}
	}
	return c.Sent(at)
}

// AskRecheck asks all other nodes to probe a region at once.
func (c *Cluster) AskRecheck(r proa.Region) {
	for _, p := range c.peers {
		p.send(frameRecheck, []byte(r))
	}
}

// Heard returns what a peer said last and how long ago; false when it never did.
func (c *Cluster) Heard(name string) (Beat, time.Duration, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h, ok := c.heard[name]
	return h.beat, time.Since(h.at), ok
}

// Sent returns when this process sent the beat with that At; the zero time: it did not.
func (c *Cluster) Sent(at time.Duration) time.Time {
	if at > time.Since(c.began) { // of this node's former process
		return time.Time{}
	}
	return c.began.Add(at)
}

// silence is how long nothing was heard from a peer.
func (c *Cluster) silence(name string) time.Duration {
	if _, ago, ok := c.Heard(name); ok {
		return ago
	}
	return time.Since(c.began)
}

// lost says that a peer's process is gone.
func (c *Cluster) lost(name string) {
	select {
	case c.gone <- name:
	default:
	}
}
