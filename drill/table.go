package drill

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// WriteTable prints the report for people, in 80 columns.
func (r *Report) WriteTable(w io.Writer) error {
	for i := range r.Scenarios {
		if err := r.Scenarios[i].writeTable(w); err != nil {
			return err
		}
	}
	if r.Passed {
		_, err := fmt.Fprintf(w, "PASS: every objective was met (RTO %.0f ms, RPO %.0f ms, seed %d)\n", r.Objectives.RTOMS, r.Objectives.RPOMS, r.Seed)
		return err
	}
	_, err := fmt.Fprintln(w, "MISSED:")
	for i := range r.Scenarios {
		for _, m := range r.Scenarios[i].Missed {
			_, err = fmt.Fprintf(w, "  %s: %s\n", r.Scenarios[i].Name, m)
		}
	}
	if err == nil {
		_, err = fmt.Fprintf(w, "replay with --seed %d\n", r.Seed)
	}
	return err
}

func value(v *float64) string {
	if v == nil {
		return "–"
	}
	return fmt.Sprintf("%.0f", *v)
}

func (s *ScenarioReport) writeTable(w io.Writer) error {
	fmt.Fprintf(w, "%s: %s\n\n", s.Name, s.About)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "PHASE\tRTO =\tDETECT +\tDECIDE +\tPUBLISH +\tCLIENT\tCONVERGE\tFAILBACK")
	for i := range s.Runs {
		for k := range s.Runs[i].Phases {
			p := &s.Runs[i].Phases[k]
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", p.Name, value(p.RTOMS), value(p.DetectMS), value(p.DecideMS),
				value(p.PublishMS), value(p.ClientMS), value(p.ConvergeMS), value(p.FailbackMS))
		}
	}
	if len(s.Runs) > 1 {
		for _, p := range s.Parts {
			for _, q := range []struct {
				name string
				of   func(Distribution) float64
			}{{"p50", func(d Distribution) float64 { return d.P50 }}, {"p90", func(d Distribution) float64 { return d.P90 }}, {"max", func(d Distribution) float64 { return d.Max }}} {
				fmt.Fprintf(t, "%s %s", p.Phase, q.name)
				for _, d := range []Distribution{p.RTO, p.Detect, p.Decide, p.Publish, p.Client, p.Converge, p.Failback} {
					if d.N == 0 {
						fmt.Fprint(t, "\t–")
					} else {
						fmt.Fprintf(t, "\t%.0f", q.of(d))
					}
				}
				fmt.Fprintln(t)
			}
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w, "milliseconds; the RTO is of clients that honour the TTL, 0: never noticed")
	for i := range s.Runs {
		if err := s.Runs[i].writeTable(w, i); err != nil {
			return err
		}
	}
	return nil
}

func (r *Run) writeTable(w io.Writer, i int) error {
	fmt.Fprintf(w, "\nrun %d (seed %d)\n", i+1, r.Seed)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(t, "  %s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	row("requests", "%d sent, %d acknowledged, %d failed, %d skipped", r.Requests, r.Acked, r.Failed, r.Skipped)
	for k := range r.Phases {
		p := &r.Phases[k]
		if p.WaitedMS != nil {
			row(p.Name, "traffic had moved before the fault, which waited %.0f ms", *p.WaitedMS)
		}
		for _, c := range p.Clients {
			served := "not served before the heal"
			if c.RTOMS != nil {
				served = fmt.Sprintf("served after %.0f ms", *c.RTOMS)
			}
			if c.Failed == 0 {
				served = "never noticed"
			}
			row(fmt.Sprintf("%s, %s", p.Name, c.Model), "%s; %d of %d failed, p99 %.0f ms", served, c.Failed, c.Requests, c.P99MS)
		}
		if p.RPOMS != nil {
			row(p.Name+", RPO", "%.0f ms, %d writes, %d of them listed by proa", *p.RPOMS, len(p.Unreplicated), len(p.Listed))
		}
		if len(p.ConflictsMade) > 0 {
			row(p.Name+", conflicts", "%d of %d in the journal", len(p.Journaled), len(p.ConflictsMade))
		}
	}
	if r.Error != "" {
		row("ended early", "%s", r.Error)
	}
	row("lost", "%d   late %d   unsure %d   conflicts %d", len(r.Lost), len(r.Late), len(r.Unsure), len(r.Conflicts))
	row("equal", "%d differences of %d keys", r.Differences, r.Keys)
	row("error budget", "%.3g %% failed; %.3g %% of 30 days' budget spent", r.Budget.FailedShare*100, r.Budget.SpentShare*100)
	if err := t.Flush(); err != nil {
		return err
	}
	writeList(w, "lost", r.Lost)
	writeList(w, "late", r.Late)
	var conflicts []string
	for _, c := range r.Conflicts {
		conflicts = append(conflicts, fmt.Sprintf("#%d %s: %s won over %s", c.ID, c.Key, c.Winner, c.Loser))
	}
	writeList(w, "conflicting", conflicts)
	_, err := fmt.Fprintln(w)
	return err
}

// maxListed bounds what the table prints; JSON and HTML have everything.
const maxListed = 10

func writeList(w io.Writer, title string, keys []string) {
	if len(keys) == 0 {
		return
	}
	shown := keys[:min(len(keys), maxListed)]
	fmt.Fprintf(w, "  %s:\n    %s\n", title, strings.Join(shown, "\n    "))
	if len(keys) > maxListed {
		fmt.Fprintf(w, "    … and %d more (-o json and --html list all)\n", len(keys)-maxListed)
	}
}
