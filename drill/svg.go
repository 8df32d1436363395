package drill

import (
	"fmt"
	"html/template"
	"math"
	"strings"
)

// Sizes of a plot, in its own units.
const (
	plotWidth  = 900
	plotLeft   = 46
	plotTop    = 34
	plotHeight = 120
	plotGap    = 26
	lagHeight  = 50
)

// svg builds a picture; its text is escaped, and colours are the page's classes.
type svg struct{ strings.Builder }

func (s *svg) add(format string, args ...any) { fmt.Fprintf(&s.Builder, format+"\n", args...) }

func (s *svg) text(x, y float64, class, anchor, text string) {
	s.add(`<text x="%.1f" y="%.1f" class="%s" text-anchor="%s">%s</text>`, x, y, class, anchor, template.HTMLEscapeString(text))
}

// plot draws a run: the writes of each step by outcome, the backlog below, and the moments across both.
func plot(r *Run) template.HTML {
	if len(r.Series) == 0 {
		return ""
	}
	first, last := r.Series[0].MS, r.Series[len(r.Series)-1].MS+sampleEvery.Milliseconds()
	x := func(ms int64) float64 {
		return plotLeft + (plotWidth-plotLeft-8)*float64(ms-first)/float64(max(last-first, 1))
	}
	var s svg
	height := plotTop + plotHeight + plotGap + lagHeight + 24
	s.add(`<svg viewBox="0 0 %d %d" role="img" aria-label="Writes a step by outcome, backlog, and moments of the drill">`, plotWidth, height)
	s.writes(r, x)
	s.backlog(r, x)
	s.marks(r, x, float64(plotTop+plotHeight+plotGap+lagHeight))
	s.axis(first, last, x, float64(height-6))
	s.add("</svg>")
	return template.HTML(s.String()) //nolint:gosec // built of numbers and escaped text
}

func (s *svg) writes(r *Run, x func(int64) float64) {
	most := 1
	for _, b := range r.Series {
		most = max(most, b.AWS+b.Azure+b.Failed)
	}
	base := float64(plotTop + plotHeight)
	s.text(plotLeft-6, plotTop+8, "axis", "end", fmt.Sprint(most*4))
	s.text(plotLeft-6, base, "axis", "end", "0/s")
	for _, b := range r.Series {
		y, left, width := base, x(b.MS), x(b.MS+sampleEvery.Milliseconds())-x(b.MS)
		for _, part := range []struct {
			n     int
			class string
		}{{b.AWS, "aws"}, {b.Azure, "azure"}, {b.Failed, "failed"}} {
			if part.n == 0 {
				continue
			}
			h := float64(part.n) / float64(most) * plotHeight
			y -= h
			s.add(`<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" class="%s"/>`, left, y, math.Max(width-0.4, 0.4), h, part.class)
		}
	}
	s.add(`<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" class="rule"/>`, plotLeft, base, plotWidth-8, base)
}

func (s *svg) backlog(r *Run, x func(int64) float64) {
	base := float64(plotTop + plotHeight + plotGap + lagHeight)
	var most int64 = 1
	for _, b := range r.Series {
		if b.Backlog != nil {
			most = max(most, *b.Backlog)
		}
	}
	s.text(plotLeft-6, base-lagHeight+8, "axis", "end", fmt.Sprint(most))
	s.text(plotLeft-6, base, "axis", "end", "0")
	s.text(plotLeft, base-lagHeight-6, "axis", "start", "backlog (changes not applied; gaps: unknown)")
	path, pen := "", "M"
	for _, b := range r.Series {
		if b.Backlog == nil {
			pen = "M"
			continue
		}
		path += fmt.Sprintf("%s%.1f %.1f ", pen, x(b.MS), base-float64(*b.Backlog)/float64(most)*lagHeight)
		pen = "L"
	}
	s.add(`<path d="%s" class="lag"/>`, path)
	s.add(`<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" class="rule"/>`, plotLeft, base, plotWidth-8, base)
}

// marks draws the moments. Those that fall close together share the row of names as far as there is room.
func (s *svg) marks(r *Run, x func(int64) float64, bottom float64) {
	free := [2]float64{}
	for _, m := range r.Marks {
		at := x(m.MS)
		if at < plotLeft {
			continue
		}
		s.add(`<line x1="%.1f" y1="%d" x2="%.1f" y2="%.1f" class="mark %s"><title>%s</title></line>`, at, plotTop-4, at, bottom, m.Kind,
			template.HTMLEscapeString(fmt.Sprintf("%s: %s", m.Kind, m.Text)))
		width := float64(6*len(m.Kind) + 6)
		for row := range free {
			if at >= free[row] && at+width < plotWidth {
				s.text(at+2, float64(plotTop-8-12*row), "name "+m.Kind, "start", m.Kind)
				free[row] = at + width
				break
			}
		}
	}
}

func (s *svg) axis(first, last int64, x func(int64) float64, y float64) {
	step := int64(1000)
	for (last-first)/step > 12 {
		step *= 2
		if step == 4000 {
			step = 5000
		}
	}
	for at := (first/step + 1) * step; at < last; at += step {
		s.text(x(at), y, "axis", "middle", fmt.Sprintf("%d s", at/1000))
	}
}

// part is a part of an RTO.
type part struct {
	Name string
	MS   *float64
}

func partsOf(p PhaseRun) []part {
	return []part{{"detect", p.DetectMS}, {"decide", p.DecideMS}, {"publish", p.PublishMS}, {"client", p.ClientMS}}
}

// stack draws the parts side by side, named where there is room.
func (s *svg) stack(p PhaseRun, left, top, height, scale float64) {
	at := left
	for _, part := range partsOf(p) {
		if part.MS == nil || *part.MS <= 0 {
			continue
		}
		w := *part.MS * scale
		s.add(`<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" class="part %s"><title>%s: %.0f ms</title></rect>`,
			at, top, w, height, part.Name, part.Name, *part.MS)
		if w > 90 && height > 20 {
			s.text(at+8, top+21, "in", "start", fmt.Sprintf("%s %.0f ms", part.Name, *part.MS))
		}
		at += w
	}
}

// bar draws the RTO as its parts, to the scale of the RTO.
func bar(p PhaseRun, objective float64) template.HTML {
	if p.RTOMS == nil || *p.RTOMS == 0 {
		return ""
	}
	const width, height = 900.0, 34.0
	var s svg
	s.add(`<svg viewBox="0 0 900 %d" role="img" aria-label="The RTO by its parts">`, int(height)+18)
	s.stack(p, 0, 0, height, width/math.Max(*p.RTOMS, 1))
	s.text(0, height+14, "axis", "start", "0")
	s.text(width, height+14, "axis", "end", fmt.Sprintf("%.0f ms, %.1f %% of the objective of %.0f ms", *p.RTOMS, *p.RTOMS/math.Max(objective, 1)*100, objective))
	s.add("</svg>")
	return template.HTML(s.String()) //nolint:gosec // built of numbers and escaped text
}

// maxRepeats bounds the rows that repeats draws: those of the first runs.
const maxRepeats = 40

// repeats draws the RTO of each run of a phase by its parts, in a row each, to one scale, with the objective where it is near.
func repeats(runs []Run, phase int, objective float64) template.HTML {
	const row, left, width = 16.0, 46.0, 780.0
	longest := 0.0
	for i := range runs {
		if phase < len(runs[i].Phases) && runs[i].Phases[phase].RTOMS != nil {
			longest = math.Max(longest, *runs[i].Phases[phase].RTOMS)
		}
	}
	if longest == 0 {
		return "" // clients never noticed
	}
	shown := runs[:min(len(runs), maxRepeats)]
	height := row*float64(len(shown)) + 18
	var s svg
	s.add(`<svg viewBox="0 0 900 %.0f" role="img" aria-label="The RTO of each run by its parts">`, height)
	for i := range shown {
		y := row * float64(i)
		s.text(left-6, y+11, "axis", "end", fmt.Sprint(i+1))
		if phase >= len(shown[i].Phases) {
			continue
		}
		p := shown[i].Phases[phase]
		text := "not served again"
		end := left
		if p.RTOMS != nil {
			s.stack(p, left, y, row-4, width/longest)
			end, text = left+*p.RTOMS*width/longest, fmt.Sprintf("%.0f ms", *p.RTOMS)
		}
		s.text(end+5, y+11, "axis", "start", text)
	}
	if objective > 0 && objective < longest {
		x := left + objective*width/longest
		s.add(`<line x1="%.1f" y1="0" x2="%.1f" y2="%.1f" class="mark fault"><title>objective: %.0f ms</title></line>`, x, x, height-16, objective)
	}
	s.text(left, height-4, "axis", "start", "0")
	s.text(left+width, height-4, "axis", "end", fmt.Sprintf("%.0f ms; the objective is %.0f ms", longest, objective))
	s.add("</svg>")
	return template.HTML(s.String()) //nolint:gosec // built of numbers and escaped text
}
