package trafficsim

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/traffic"
)

// ErrFailed says that a promise was broken; what and how is in the output.
var ErrFailed = errors.New("a promise was broken")

// Reach counts what schedules came to.
type Reach [reachCount]uint64

const (
	reachFailover = iota
	reachFailback
	reachSwitchover
	reachForce
	reachWithdraw
	reachOwner
	reachDrain
	reachHealth
	reachElection
	reachRefused
	reachLost
	reachUntold
	reachBurst
	reachSettled
	reachCount
)

var reachNames = [reachCount]string{
	"failovers", "failbacks and their stages", "switchovers", "forced", "withdrawn", "owners",
	"drains begun or ended", "regions down or up", "elections", "proposals refused", "proposals lost",
	"proposals agreed untold", "bursts of lost probes", "schedules settled at their end",
}

func (r *Reach) count(what int) { r[what]++ }

func (r *Reach) cause(c traffic.Cause) {
	of := map[traffic.Cause]int{
		traffic.CauseFailover: reachFailover, traffic.CauseFailback: reachFailback,
		traffic.CauseSwitchover: reachSwitchover, traffic.CauseForce: reachForce,
		traffic.CauseWithdraw: reachWithdraw, traffic.CauseOwner: reachOwner,
		traffic.CauseDrain: reachDrain, traffic.CauseHealth: reachHealth,
	}
	if i, ok := of[c]; ok {
		r[i]++
	}
}

// Run plays one schedule. log, where there is one, hears of everything.
func Run(seed uint64, bug Bug, log func(string, ...any)) (Reach, error) {
	w := newWorld(seed, bug)
	w.log = log
	for range w.rounds {
		w.round(true)
		if w.check.failed != nil {
			return w.reach, w.check.failed
		}
	}
	if seed%16 == 0 {
		w.settle()
	}
	if w.check.failed != nil {
		return w.reach, w.check.failed
	}
	return w.reach, nil
}

// settle heals everything, and looks whether all comes to be well; then the active region dies.
func (w *world) settle() {
	w.reach.count(reachSettled)
	w.note("everything heals")
	w.up, w.broken, w.unknown = [2]bool{true, true}, [2]bool{}, [2]bool{}
	w.cut = [nodes][nodes]bool{}
	for i := range w.nodes {
		w.nodes[i].frozen, w.nodes[i].blind = 0, 0
	}
	for range 12 {
		w.round(false)
	}
	for range 4 { // an order may be lost
		for _, a := range []traffic.Action{traffic.Release, traffic.Failback} {
			w.order(traffic.Command{Action: a, By: "ann", Override: true, Reason: "the end"})
		}
		w.round(false)
	}
	for range 110 {
		w.round(false)
	}
	w.check.settled(w)
	if w.check.failed != nil || w.cfg.StayPastBudget {
		return
	}
	active := w.agreed[len(w.agreed)-1].Plan.Active
	w.up[index(active)] = false
	w.note("%s fails", active)
	for range 8 {
		w.round(false)
	}
	if p := w.agreed[len(w.agreed)-1].Plan; p.Active == active {
		w.check.fail("a dead region is left", "%+v: %v", p, w.nodes[w.leader].ctl.Explain().Waiting)
	}
}

// Campaign plays many schedules and reports to Out.
type Campaign struct {
	First, Seeds uint64
	Workers      int
	Bug          string
	Out          io.Writer
}

// Run plays the schedules, and replays the first that fails.
func (c Campaign) Run() error {
	bug, err := BugNamed(c.Bug)
	if err != nil {
		return err
	}
	began := time.Now()
	reach, played, failed := c.play(bug)
	took := time.Since(began)
	fmt.Fprintf(c.Out, "%d schedules from seed %d in %s: %.0f a second\n", played, c.First,
		took.Round(time.Millisecond), float64(played)/took.Seconds())
	for i, n := range reach {
		fmt.Fprintf(c.Out, "%14d %s\n", n, reachNames[i])
	}
	if failed == 0 {
		return nil
	}
	return c.Replay(failed)
}

// Replay plays one schedule and tells it.
func (c Campaign) Replay(seed uint64) error {
	bug, err := BugNamed(c.Bug)
	if err != nil {
		return err
	}
	_, err = Run(seed, bug, func(format string, args ...any) { fmt.Fprintf(c.Out, format+"\n", args...) })
	if err == nil {
		fmt.Fprintf(c.Out, "seed %d holds\n", seed)
		return nil
	}
	fmt.Fprintf(c.Out, "seed %d: %v\n", seed, err)
	return ErrFailed
}

// play returns the least seed that failed, 0 for none.
func (c Campaign) play(bug Bug) (Reach, uint64, uint64) {
	var (
		mu           sync.Mutex
		sum          Reach
		next, played atomic.Uint64
		failed       atomic.Uint64
		running      sync.WaitGroup
	)
	for range max(c.Workers, 1) {
		running.Go(func() {
			var mine Reach
			for failed.Load() == 0 {
				i := next.Add(1) - 1
				if i >= c.Seeds {
					break
				}
				r, err := Run(c.First+i, bug, nil)
				played.Add(1)
				for k, n := range r {
					mine[k] += n
				}
				if err != nil {
					failed.CompareAndSwap(0, c.First+i)
				}
			}
			mu.Lock()
			for k, n := range mine {
				sum[k] += n
			}
			mu.Unlock()
		})
	}
	running.Wait()
	return sum, played.Load(), failed.Load()
}

// FindBugs plants each bug in turn and fails where one is not found.
func (c Campaign) FindBugs() error {
	var missed error
	for _, b := range Bugs() {
		began := time.Now()
		_, played, failed := c.play(b)
		if failed == 0 {
			fmt.Fprintf(c.Out, "%-45s NOT FOUND in %d schedules\n", b.Name, played)
			missed = fmt.Errorf("planted bug %q: %w", b.Name, proa.ErrNotFound)
			continue
		}
		_, err := Run(failed, b, nil)
		fmt.Fprintf(c.Out, "%-45s found after %d schedules, %s: %v\n", b.Name, played,
			time.Since(began).Round(time.Millisecond), err)
	}
	return missed
}

// Cores is how many workers there can be.
func Cores() int { return runtime.GOMAXPROCS(0) }
