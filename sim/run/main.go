// Command run plays histories of the simulator: -seeds of them from -first on, or the one of -seed.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"

	"github.com/proa-cloud/proa/sim"
)

func main() {
	seed := flag.Uint64("seed", 0, "replay this history, shrunk where it fails")
	seeds := flag.Uint64("seeds", 100_000, "how many histories")
	first := flag.Uint64("first", 1, "the first seed")
	bug := flag.String("bug", "", "plant this bug")
	bugs := flag.Bool("bugs", false, "plant each bug in turn, and find it")
	workers := flag.Int("workers", runtime.GOMAXPROCS(0), "how many cores to use")
	whole := flag.Bool("whole", false, "replay without shrinking")
	reach := flag.Uint("reach", 0, "fail where a situation came up in fewer histories than this")
	failures := flag.Int("failures", 10, "go on until so many histories have failed")
	flag.Parse()
	c := sim.Campaign{
		First: *first, Seeds: *seeds, Workers: *workers, Bug: *bug, Whole: *whole, Reach: uint32(*reach),
		Failures: *failures, Out: os.Stdout,
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	debug.SetGCPercent(400) // histories leave much behind and keep nothing
	var err error
	switch {
	case *bugs:
		err = c.FindBugs(ctx)
	case *seed != 0:
		err = c.Replay(*seed)
	default:
		err = c.Run(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "sim:", err)
		os.Exit(1)
	}
}
