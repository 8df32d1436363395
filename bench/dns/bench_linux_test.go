package dns

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"
)

const (
	rounds    = 9
	roundTime = 1200 * time.Millisecond
)

func threads() []int {
	paths, _ := filepath.Glob("/proc/self/task/*")
	var list []int
	for _, p := range paths {
		if pid, err := strconv.Atoi(filepath.Base(p)); err == nil {
			list = append(list, pid)
		}
	}
	return list
}

func median(list []float64) float64 {
	sorted := slices.Sorted(slices.Values(list))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// interval is the middle 95 % of the medians of resampled rounds (a bootstrap).
func interval(list []float64) (low, high float64) {
	rng := rand.New(rand.NewPCG(7, 7))
	medians := make([]float64, 2000)
	sample := make([]float64, len(list))
	for i := range medians {
		for k := range sample {
			sample[k] = list[rng.IntN(len(list))]
		}
		medians[i] = median(sample)
	}
	slices.Sort(medians)
	return medians[len(medians)/40], medians[len(medians)-1-len(medians)/40]
}

// BenchmarkCPUPerQuery compares the CPU time of one query, in microseconds: plain answers, answers
// that follow the plan, and signed ones. Ratios are of paired rounds, with their 95 % intervals.
func BenchmarkCPUPerQuery(b *testing.B) {
	if runtime.NumCPU() < 2 {
		b.Skip("it takes two processors")
	}
	zone := filepath.Join(b.TempDir(), "gslb.test.zone")
	writeZone(b, zone)
	servers := []*server{
		startSelf(b, "proa", zone, ""), startSelf(b, "proa-live", zone, "live"),
		startGdnsd(b, zone), startNSD(b, zone),
	}
	pin(b)
	list := queries(b, false)
	cost := map[string][]float64{}
	rate := map[string][]float64{}
	for range b.N {
		for round := range rounds {
			order := slices.Clone(servers)
			if round%2 == 1 {
				slices.Reverse(order)
			}
			for _, s := range order {
				before := s.cpu(b)
				answered := blast(b, s, list, roundTime)
				spent := s.cpu(b) - before
				cost[s.name] = append(cost[s.name], float64(spent.Nanoseconds())/1000/float64(max(answered, 1)))
				rate[s.name] = append(rate[s.name], float64(answered)/roundTime.Seconds())
			}
		}
	}
	for _, s := range servers {
		b.Logf("%-10s %.3f µs/query, %.0f queries/s (medians of %d rounds)", s.name, median(cost[s.name]), median(rate[s.name]), rounds)
		b.ReportMetric(median(cost[s.name]), "µs/"+s.name)
	}
	for _, own := range []string{"proa", "proa-live"} {
		for _, peer := range []string{"gdnsd", "nsd"} {
			var ratios []float64
			for i := range cost[own] {
				ratios = append(ratios, cost[own][i]/cost[peer][i])
			}
			low, high := interval(ratios)
			b.Logf("%s / %s: %.3f (%.3f to %.3f)", own, peer, median(ratios), low, high)
			b.ReportMetric(median(ratios), own+"/"+peer)
		}
	}
}

// BenchmarkLatencyAt20k compares the latency at 20,000 queries a second, in microseconds.
func BenchmarkLatencyAt20k(b *testing.B) {
	if runtime.NumCPU() < 2 {
		b.Skip("it takes two processors")
	}
	zone := filepath.Join(b.TempDir(), "gslb.test.zone")
	writeZone(b, zone)
	servers := []*server{startSelf(b, "proa", zone, "live"), startGdnsd(b, zone), startNSD(b, zone)}
	pin(b)
	list := queries(b, false)
	p50, p99 := map[string][]float64{}, map[string][]float64{}
	for range b.N {
		for round := range 5 {
			order := slices.Clone(servers)
			if round%2 == 1 {
				slices.Reverse(order)
			}
			for _, s := range order {
				times := latencies(b, s, list, 20_000, 40_000)
				p50[s.name] = append(p50[s.name], float64(times[len(times)/2].Nanoseconds())/1000)
				p99[s.name] = append(p99[s.name], float64(times[len(times)*99/100].Nanoseconds())/1000)
			}
		}
	}
	for _, s := range servers {
		b.Logf("%-6s p50 %.0f µs, p99 %.0f µs (medians of 5 rounds)", s.name, median(p50[s.name]), median(p99[s.name]))
		b.ReportMetric(median(p99[s.name]), "µs-p99/"+s.name)
	}
}

// BenchmarkMillionNames reports memory and load time of a zone of 1,000,000 names.
func BenchmarkMillionNames(b *testing.B) {
	for _, kind := range []string{"", "signed"} {
		name := kind
		if kind == "" {
			name = "unsigned"
		}
		b.Run(name, func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "gslb.test.zone")
			f, err := os.Create(path)
			if err != nil {
				b.Fatal(err)
			}
			w := bufio.NewWriter(f)
			fmt.Fprint(w, "$ORIGIN gslb.test.\n$TTL 60\n@ SOA ns h 1 1 1 1 1\n@ NS ns\nns A 192.0.2.1\n")
			for i := range 1_000_000 {
				fmt.Fprintf(w, "host%d A 10.%d.%d.%d\n", i, i>>16, i>>8&255, i&255)
			}
			if err := w.Flush(); err != nil {
				b.Fatal(err)
			}
			if err := f.Close(); err != nil {
				b.Fatal(err)
			}
			for range b.N {
				begin := time.Now()
				s := startSelf(b, "proa", path, kind)
				b.ReportMetric(time.Since(begin).Seconds(), "s-to-serve")
				b.ReportMetric(s.memory(b, "VmRSS"), "MiB-resident")
				b.ReportMetric(s.memory(b, "VmHWM"), "MiB-peak")
			}
		})
	}
}
