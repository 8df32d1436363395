package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/internal/supervisor"
)

// view is what top knows and how it may draw it.
type view struct {
	samples       []sample // the newest last
	width, height int      // height 0: as much as it takes
	live          bool
	paint         func(code, text string) string
}

// picture draws the system of design's picture in 80 columns and 24 rows: traffic above, a region on each side, data sync
// between them. More columns give wider plots.
func picture(v view) string {
	if len(v.samples) == 0 {
		return "looking …\n"
	}
	s := v.samples[len(v.samples)-1]
	if s.err != nil {
		return v.cut(v.paint(red, "no answer: "+s.err.Error())) + "\n\nq ends\n"
	}
	var b strings.Builder
	line := func(format string, args ...any) { b.WriteString(v.cut(fmt.Sprintf(format, args...)) + "\n") }
	st := s.status
	line("%s%s", v.paint(bold, "proa top  "+st.Zone), v.paint(faint, "  "+s.at.Format("15:04:05")))
	v.traffic(line, st)
	v.regions(line, st)
	v.replication(line, st)
	v.below(line, st)
	if v.live {
		line("%s", v.paint(faint, "q ends   proa explain: why   proa heal all: end faults   proa console: more"))
	}
	return v.fitRows(b.String())
}

func (v view) traffic(line func(string, ...any), st supervisor.Status) {
	line("")
	if st.Plan == nil {
		line("  users → DNS → %s", v.paint(red, "no plan: "+st.NodeError))
		line("")
		return
	}
	line("  users → DNS %s → %s since %s", strings.Join(st.DNS, " "), v.paint(bold, string(st.Plan.Active)), st.Plan.Since.Local().Format(time.TimeOnly))
	line("  %s", v.paint(faint, fmt.Sprintf("plan %d: %s", st.Plan.Version, st.Plan.Reason)))
}

// regions draws both lanes, each in one half.
func (v view) regions(line func(string, ...any), st supervisor.Status) {
	half := max(v.width, narrowest)/2 - 2
	rows := map[proa.Region][]string{}
	for _, r := range proa.Regions() {
		rows[r] = v.lane(st, r, half)
	}
	line("")
	for i := range rows[proa.AWS] {
		line(" %s  %s", pad(rows[proa.AWS][i], half), rows[proa.Azure][i])
	}
}

// chains are the boxes that a request passes in each region.
var chains = map[proa.Region]string{
	proa.AWS:   "API Gateway → Lambda → DynamoDB, S3",
	proa.Azure: "API Mgmt → Functions → Cosmos DB, Blob",
}

func (v view) lane(st supervisor.Status, r proa.Region, width int) []string {
	s := st.Regions[r]
	mark := "○ "
	if st.Plan != nil && st.Plan.Active == r {
		mark = "● "
	}
	colour := map[proa.Health]string{proa.Healthy: green, proa.Unhealthy: red}[s.Health]
	if colour == "" {
		colour = yellow
	}
	name := map[proa.Region]string{proa.AWS: "AWS", proa.Azure: "Azure"}[r]
	title := mark + name
	reason := s.Reason
	if s.Health == proa.Healthy {
		reason = ""
	}
	pid, memory := "dead", ""
	if s.PID != nil {
		pid = fmt.Sprintf("pid %d", *s.PID)
		for _, p := range st.Processes {
			if p.PID == *s.PID {
				memory = fmt.Sprintf(", %.0f MiB", float64(p.RSSBytes)/(1<<20))
			}
		}
	}
	return []string{
		v.paint(bold, title) + "  " + v.paint(colour, string(s.Health)) + v.paint(faint, "  "+pid+memory),
		v.paint(faint, clip(chains[r], width)),
		v.paint(faint, clip(s.Gateway, width)),
		v.paint(colour, clip(reason, width)),
	}
}

// replication draws both directions with what they were lately.
func (v view) replication(line func(string, ...any), st supervisor.Status) {
	line("")
	line(" %s%s", v.paint(bold, pad("data sync", 13)), v.paint(faint, fmt.Sprintf(" %8s %11s %11s %13s", "lag", "p99", "backlog", "unreplicated")))
	for _, r := range proa.Regions() {
		s := st.Regions[r]
		p99 := "–"
		if s.LagP99MS != nil {
			p99 = fmt.Sprintf("%.0f ms", *s.LagP99MS)
		}
		line(" %-5s → %-5s %8s %11s %11s %13s  %s", r, r.Other(), orDash(s.LagMS, " ms"), p99, orDash(s.Backlog, ""),
			orDash(s.Unreplicated, ""), v.sparks(r))
	}
	if c := st.Verified; c != nil {
		verdict := v.paint(green, "equal")
		if c.Differences > 0 {
			verdict = v.paint(red, "NOT equal")
		}
		line(" %s through %s: %d keys, %d differences, %d in flight", verdict, c.Through.Local().Format(time.TimeOnly), c.Keys, c.Differences, c.InFlight)
	} else {
		line(" %s", v.paint(faint, "not compared yet"))
	}
}

// sparks plots the backlog of a direction over the samples.
func (v view) sparks(r proa.Region) string {
	room := v.width - 63
	if room < 4 || len(v.samples) < 2 {
		return ""
	}
	levels := []rune("▁▂▃▄▅▆▇█")
	recent := v.samples[max(0, len(v.samples)-room):]
	var most int64 = 1
	for _, s := range recent {
		if n := s.status.Regions[r].Backlog; n != nil {
			most = max(most, *n)
		}
	}
	var b strings.Builder
	for _, s := range recent {
		n := s.status.Regions[r].Backlog
		if n == nil {
			b.WriteRune('·') // unknown
			continue
		}
		b.WriteRune(levels[int(*n*int64(len(levels)-1)/most)])
	}
	return b.String()
}

// below lists faults and processes.
func (v view) below(line func(string, ...any), st supervisor.Status) {
	line("")
	for _, f := range st.Faults {
		line(" %s", v.paint(yellow, fmt.Sprintf("%s on %s: %s", f.Kind, f.Target, f.Text)))
	}
	var parts []string
	for _, p := range st.Processes {
		if strings.HasPrefix(p.Name, "node") || p.Name == "supervisor" {
			parts = append(parts, fmt.Sprintf("%s %.0f MiB", p.Name, float64(p.RSSBytes)/(1<<20)))
		}
	}
	line(" %s", v.paint(faint, strings.Join(parts, "   ")))
}

// cut ends a line at the width, outside of escapes.
func (v view) cut(text string) string {
	if cells(text) <= v.width {
		return text
	}
	var b strings.Builder
	n, escape := 0, false
	for _, r := range text {
		switch {
		case r == '\x1b':
			escape = true
		case escape:
			escape = r != 'm'
		default:
			if n++; n >= v.width {
				if n == v.width {
					b.WriteRune('…')
				}
				continue
			}
		}
		b.WriteRune(r)
	}
	return b.String()
}

// fitRows leaves out what does not fit the height; the last row, which says how to end, stays.
func (v view) fitRows(text string) string {
	rows := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if v.height <= 0 || len(rows) <= v.height {
		return text
	}
	rows = append(rows[:v.height-1], rows[len(rows)-1])
	return strings.Join(rows, "\n")
}

// clip ends plain text at a width.
func clip(text string, width int) string {
	r := []rune(text)
	if len(r) <= width {
		return text
	}
	return string(r[:width-1]) + "…"
}

func pad(text string, width int) string { return text + strings.Repeat(" ", max(0, width-cells(text))) }
