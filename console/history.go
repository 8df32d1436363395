package console

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/internal/telemetry"
)

// history keeps samples of named series in three rings of fixed length on disk: a second apart for an hour, ten seconds for a day,
// five minutes for thirty days. A crash costs the last sample at most.
type history struct {
	mu    sync.Mutex
	rings []*ring
}

// maxColumns bounds the series that are kept: those of every frame, and those of tables and buckets past and present.
const maxColumns = 600

func openHistory(dir string) (*history, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("console history: %w", err)
	}
	h := &history{}
	for _, r := range []*ring{
		{name: "1h", step: time.Second, slots: 3600},
		{name: "24h", step: 10 * time.Second, slots: 8640},
		{name: "30d", step: 5 * time.Minute, slots: 8640},
	} {
		if err := r.open(filepath.Join(dir, r.name+".ring")); err != nil {
			return nil, errors.Join(err, h.Close())
		}
		h.rings = append(h.rings, r)
	}
	return h, nil
}

// Close releases the files.
func (h *history) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var errs []error
	for _, r := range h.rings {
		errs = append(errs, r.file.Close())
	}
	h.rings = nil
	return errors.Join(errs...)
}

// add takes a sample; what is not in it, or NaN, is not known. A name that is new becomes a column.
func (h *history) add(now time.Time, sample map[string]float64) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var errs []error
	for _, r := range h.rings {
		errs = append(errs, r.add(now, sample))
	}
	return errors.Join(errs...)
}

// Plots is GET /v1/history?range=1h|24h|30d&series=a,b: columns of equal length, null for what is not known.
type Plots struct {
	Step   float64              `json:"step_seconds"`
	Times  []int64              `json:"times"`
	Series map[string][]*number `json:"series"`
}

// number is a float32 that JSON shows with four digits.
type number float32

// MarshalText is not used; MarshalJSON writes what a plot needs.
func (n number) MarshalJSON() ([]byte, error) { return fmt.Appendf(nil, "%.4g", float32(n)), nil }

func (s *Server) plots(w http.ResponseWriter, r *http.Request, _ session) {
	p, err := s.history.read(s.cfg.Clock(), r.FormValue("range"), strings.Split(r.FormValue("series"), ","))
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	answer(w, p, nil)
}

const maxSeries = 24

func (h *history) read(now time.Time, span string, series []string) (Plots, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	at := slices.IndexFunc(h.rings, func(r *ring) bool { return r.name == span })
	if at < 0 || len(series) > maxSeries {
		return Plots{}, errRange
	}
	r := h.rings[at]
	out := Plots{Step: r.step.Seconds(), Times: []int64{}, Series: map[string][]*number{}}
	columns := map[string]int{}
	for _, name := range series {
		if i, ok := r.columns[name]; ok {
			columns[name] = i
			out.Series[name] = []*number{}
		}
	}
	return out, r.each(now, func(stamp int64, value func(int) float32) {
		out.Times = append(out.Times, stamp)
		for name, i := range columns {
			var n *number
			if v := value(i); !math.IsNaN(float64(v)) {
				known := number(v)
				n = &known
			}
			out.Series[name] = append(out.Series[name], n)
		}
	})
}

// sampleOf is a frame as a row of the history.
func sampleOf(f *Frame) map[string]float64 {
	row := map[string]float64{}
	known := func(name string, p *float64) {
		if row[name] = math.NaN(); p != nil {
			row[name] = *p
		}
	}
	for _, cell := range telemetry.Cells() {
		s := f.Stats[cell]
		row[cell+" rate"], row[cell+" errors"] = s.Rate, s.ErrorRate
		known(cell+" p99", s.P99)
	}
	for i := range f.Live.Directions {
		d := &f.Live.Directions[i]
		known(string(d.From)+" lag", d.LagMS)
		row[string(d.From)+" backlog"] = float64(d.Backlog)
	}
	for i := range f.Live.Parts[:min(len(f.Live.Parts), MaxParts)] {
		p := &f.Live.Parts[i]
		known(p.series("lag"), p.LagMS)
		row[p.series("backlog")] = float64(p.Backlog)
	}
	for name, region := range f.Live.Regions {
		switch region.Health {
		case proa.Healthy:
			row[string(name)+" healthy"] = 1
		case proa.Unhealthy:
			row[string(name)+" healthy"] = 0
		}
		if region.Unreplicated != nil {
			row[string(name)+" unreplicated"] = float64(*region.Unreplicated)
		}
	}
	row["active"] = 0
	if f.Live.Plan.Active == proa.Azure {
		row["active"] = 1
	}
	if v := f.Live.Verified; v != nil {
		row["differences"] = float64(v.Differences)
	}
	row["conflicts"], row["quarantined"] = float64(f.Live.Conflicts), float64(f.Live.Quarantine)
	return row
}

// series names a column of the history: "table orders aws lag".
func (p *Part) series(what string) string {
	kind, name := "table", p.Table
	if p.Bucket != "" {
		kind, name = "bucket", p.Bucket
	}
	return kind + " " + name + " " + string(p.From) + " " + what
}
