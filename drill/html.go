package drill

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"
)

//go:embed report.html.tmpl
var reportTemplate string

// WriteHTML writes the report as one page that needs nothing else: plots are inline SVG, there is no script. It prints well
// and follows the reader's choice of light or dark.
func (r *Report) WriteHTML(w io.Writer) error {
	t, err := template.New("report").Funcs(template.FuncMap{
		"ms":      func(v *float64) string { return value(v) },
		"num":     number,
		"percent": func(v float64) string { return fmt.Sprintf("%.2g %%", v*100) },
		"when":    func(t time.Time) string { return t.Format("2006-01-02 15:04:05 MST") },
		"join":    strings.Join,
		"plot":    plot,
		"bar":     bar,
		"repeats": repeats,
		"partsOf": partsOf,
		"moment":  func(v *float64) bool { return v != nil && *v > 0 },
		"count":   count,
		"checks":  func(run *Run) []Check { return run.checks(r.Objectives) },
		"pointer": func(run Run) *Run { return &run },
		"inc":     func(i int) int { return i + 1 },
	}).Parse(reportTemplate)
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	if err := t.Execute(w, r); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

// number renders milliseconds and counts.
func number(v any) string {
	switch v := v.(type) {
	case float64:
		return fmt.Sprintf("%.0f", v)
	case *float64:
		return value(v)
	}
	return fmt.Sprint(v)
}

// count says how many there are, as people do.
func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
