// Command run plays schedules of the traffic controller's simulator: -seeds of them from -first on,
// or the one of -seed.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime/debug"

	trafficsim "github.com/proa-cloud/proa/sim/traffic"
)

func main() {
	seed := flag.Uint64("seed", 0, "tell this schedule")
	seeds := flag.Uint64("seeds", 100_000, "how many schedules")
	first := flag.Uint64("first", 1, "the first seed")
	bug := flag.String("bug", "", "plant this bug")
	bugs := flag.Bool("bugs", false, "plant each bug in turn, and find it")
	workers := flag.Int("workers", trafficsim.Cores(), "how many cores to use")
	flag.Parse()
	debug.SetGCPercent(800)
	c := trafficsim.Campaign{
		First: *first, Seeds: *seeds, Workers: *workers, Bug: *bug, Out: os.Stdout,
	}
	var err error
	switch {
	case *bugs:
		err = c.FindBugs()
	case *seed != 0:
		err = c.Replay(*seed)
	default:
		err = c.Run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "sim:", err)
		os.Exit(1)
	}
}
