package sim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// ErrFailed says that a promise was broken; what and how is in the output.
var ErrFailed = errors.New("a promise was broken")

// Campaign plays many histories and reports to Out.
type Campaign struct {
	First, Seeds uint64
	Workers      int    // cores; at least 1
	Bug          string // the name of a planted bug; "" for none
	Whole        bool   // replays are not shrunk
	Reach        uint32 // Run fails where a situation came up in fewer histories
	Failures     int    // how many failing histories end it; 0: ten
	Out          io.Writer
}

// tally is what a campaign has come to.
type tally struct {
	Reach
	mu       sync.Mutex
	played   atomic.Uint64
	next     atomic.Uint64
	stop     atomic.Bool
	failures map[uint64]error
}

// progress is after how many histories a campaign says how far it has come.
const progress = 250_000

// maxFailures is how many failing histories end a campaign that says nothing else.
const maxFailures = 10

// Run plays the histories until the context ends and prints how many a second, what they came to, and
// the first that failed, shrunk.
func (c Campaign) Run(ctx context.Context) error {
	bug, err := BugNamed(c.Bug)
	if err != nil {
		return err
	}
	began := time.Now()
	most := c.Failures
	if most == 0 {
		most = maxFailures
	}
	t := c.play(ctx, bug, most)
	took := time.Since(began)
	n := t.played.Load()
	fmt.Fprintf(c.Out, "%d histories from seed %d in %s: %.0f a second on %d cores, %d failed\n", n, c.First,
		took.Round(time.Millisecond), float64(n)/took.Seconds(), max(c.Workers, 1), len(t.failures))
	t.print(c.Out)
	if len(t.failures) == 0 {
		return t.rare(c.Out, c.Reach)
	}
	least := ^uint64(0)
	for _, seed := range slices.Sorted(maps.Keys(t.failures)) {
		fmt.Fprintf(c.Out, "seed %d: %v\n", seed, t.failures[seed])
		least = min(least, seed)
	}
	return c.Replay(least)
}

// play runs until there are that many failures; with a planted bug, of histories that hold without it.
func (c Campaign) play(ctx context.Context, bug Bug, most int) *tally {
	t := &tally{failures: map[uint64]error{}}
	defer context.AfterFunc(ctx, func() { t.stop.Store(true) })()
	var running sync.WaitGroup
	for range max(c.Workers, 1) {
		running.Go(func() {
			var sum Reach
			for !t.stop.Load() {
				i := t.next.Add(1) - 1
				if i >= c.Seeds {
					break
				}
				r := Run(c.First+i, bug)
				if n := t.played.Add(1); n%progress == 0 {
					t.say(c.Out, "%d histories\n", n)
				}
				for s, n := range r.Reach {
					sum[s] += n
				}
				if r.Err != nil && (bug == NoBug || Run(c.First+i, NoBug).Err == nil) {
					if bug == NoBug { // a long campaign tells at once
						t.say(c.Out, "failed: seed %d: %v\n", c.First+i, r.Err)
					}
					t.failed(c.First+i, r.Err, most)
				}
			}
			t.mu.Lock()
			defer t.mu.Unlock()
			for s, n := range sum {
				t.Reach[s] += n
			}
		})
	}
	running.Wait()
	return t
}

// say prints while others play.
func (t *tally) say(out io.Writer, format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintf(out, format, args...)
}

func (t *tally) failed(seed uint64, err error, most int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failures[seed] = err
	if len(t.failures) >= most {
		t.stop.Store(true)
	}
}

// print writes in how many histories each situation came up.
func (t *tally) print(out io.Writer) {
	for s, n := range t.Reach {
		fmt.Fprintf(out, "%10d  %s\n", n, Situation(s))
	}
}

// rare fails where a situation came up too rarely: what does not happen is not tested.
func (t *tally) rare(out io.Writer, least uint32) error {
	missed := 0
	for s, n := range t.Reach {
		if n < least {
			missed++
			fmt.Fprintf(out, "%s: in %d histories only, want %d\n", Situation(s), n, least)
		}
	}
	if missed > 0 {
		return fmt.Errorf("%d situations came up too rarely: %w", missed, ErrFailed)
	}
	return nil
}

// Replay plays one history and, where it fails, prints it shrunk, with what happened and the command
// that plays it again.
func (c Campaign) Replay(seed uint64) error {
	bug, err := BugNamed(c.Bug)
	if err != nil {
		return err
	}
	p := Generate(seed)
	r := p.Play(bug, true)
	if r.Err == nil {
		fmt.Fprintf(c.Out, "%sseed %d: all promises hold\n", r.Trace, seed)
		return nil
	}
	if !c.Whole {
		p = p.Shrink(bug)
		r = p.Play(bug, true)
	}
	fmt.Fprintf(c.Out, "\nseed %d, %d actions, %+v:\n", seed, len(p.actions), p.cfg)
	for _, a := range p.actions {
		fmt.Fprintf(c.Out, "  %s\n", a)
	}
	fmt.Fprintf(c.Out, "\n%s\n%v\nreplay: make sim SEED=%d", r.Trace, r.Err, seed)
	if c.Bug != "" {
		fmt.Fprintf(c.Out, " BUG=%q", c.Bug)
	}
	fmt.Fprintln(c.Out)
	return fmt.Errorf("seed %d: %w", seed, ErrFailed)
}

// FindBugs plants each bug in turn and looks for a history that finds it. It fails when one is not
// found.
func (c Campaign) FindBugs(ctx context.Context) error {
	missed := 0
	for _, b := range Bugs() {
		began := time.Now()
		t := c.play(ctx, b, 1)
		took := time.Since(began).Round(time.Millisecond)
		if len(t.failures) == 0 {
			missed++
			fmt.Fprintf(c.Out, "%10s  %s: not found in %d histories\n", took, b, t.played.Load())
			continue
		}
		for seed, err := range t.failures {
			fmt.Fprintf(c.Out, "%10s  %s: history %d of %d: %v\n", took, b, seed-c.First+1,
				t.played.Load(), err)
			break
		}
	}
	if missed > 0 {
		return fmt.Errorf("%d planted bugs are not found: %w", missed, ErrFailed)
	}
	return nil
}
