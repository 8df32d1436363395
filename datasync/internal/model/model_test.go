package model

import (
	"os"
	"strconv"
	"testing"
	"time"
)

// variants are the biases that histories are run under.
func variants() map[string]Config {
	return map[string]Config{
		"plain":   {Ops: 8},
		"stamped": {Ops: 10, Tables: true, PutBacks: true},
		"faults":  {Ops: 12, Tables: true, PutBacks: true, Faults: true, Crashes: true},
		"outages": {Ops: 20, Tables: true, PutBacks: true, Faults: true, Crashes: true, Outages: true},
		"skewed": {
			Ops: 12, Tables: true, PutBacks: true, Faults: true, Crashes: true,
			Skew: 15 * time.Minute,
		},
		"noimages": {Ops: 10, Tables: true, PutBacks: true, Faults: true, Crashes: true, NoOld: true},
	}
}

// TestHistories runs MODEL_SEEDS histories of each variant from MODEL_FIRST on.
func TestHistories(t *testing.T) {
	seeds, first := 500, uint64(1)
	if s := os.Getenv("MODEL_SEEDS"); s != "" {
		seeds, _ = strconv.Atoi(s)
	}
	if s := os.Getenv("MODEL_FIRST"); s != "" {
		first, _ = strconv.ParseUint(s, 10, 64)
	}
	for name, cfg := range variants() {
		t.Run(name, func(t *testing.T) {
			var sum Report
			failures := 0
			for seed := first; seed < first+uint64(seeds); seed++ {
				rep, err := Run(seed, cfg)
				if err != nil {
					failures++
					if failures == 1 {
						cfg := cfg
						cfg.Trace = true
						_, err = Run(seed, cfg)
					}
					if failures < 4 {
						t.Errorf("%v", err)
					}
				}
				sum.Ops += rep.Ops
				sum.Writes += rep.Writes
				sum.Clashes += rep.Clashes
				sum.Slipped += rep.Slipped
				sum.Late += rep.Late
				sum.Unknown += rep.Unknown
				sum.Unions += rep.Unions
				sum.Doubts += rep.Doubts
			}
			t.Logf("%d histories, %d failures: %d ops, %.2f writes an op, %d conflicts, %d slipped under, %d late, %d unknown, %d unions, %d doubts",
				seeds, failures, sum.Ops, float64(sum.Writes)/float64(sum.Ops), sum.Clashes, sum.Slipped,
				sum.Late, sum.Unknown, sum.Unions, sum.Doubts)
		})
	}
}
