package console

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/proa-cloud/proa/internal/telemetry"
)

// history keeps samples of a fixed set of series in three rings of fixed size on disk: a second apart for an hour, ten seconds
// for a day, five minutes for thirty days. A crash costs the last sample at most.
type history struct {
	mu    sync.Mutex
	rings []*ring
}

type ring struct {
	name  string
	step  time.Duration
	slots int64
	file  *os.File
	// what has come in since the slot began
	slot  int64
	sum   []float64
	count []int
}

const (
	historyMagic  = "proa-history-1\n\x00"
	historyHeader = 64
	slotHeader    = 12 // seconds since 1970, CRC
)

// seriesNames are the columns. Changing them empties the rings.
func seriesNames() []string {
	var names []string
	for _, cell := range telemetry.Cells() {
		names = append(names, cell+" rate", cell+" errors", cell+" p99")
	}
	for _, from := range []string{"aws", "azure"} {
		names = append(names, from+" lag", from+" backlog", from+" healthy", from+" unreplicated")
	}
	return append(names, "active", "differences", "conflicts", "quarantined")
}

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
		if err := r.open(dir); err != nil {
			return nil, errors.Join(err, h.Close())
		}
		h.rings = append(h.rings, r)
	}
	return h, nil
}

func (r *ring) open(dir string) error {
	f, err := os.OpenFile(filepath.Join(dir, r.name+".ring"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("console history: %w", err)
	}
	r.file = f
	names := seriesNames()
	want := make([]byte, historyHeader)
	copy(want, historyMagic)
	binary.BigEndian.PutUint32(want[16:], crc32.ChecksumIEEE([]byte(strings.Join(names, "\n"))))
	got := make([]byte, historyHeader)
	if _, err := f.ReadAt(got, 0); err != nil || !slices.Equal(got, want) {
		if err := errors.Join(f.Truncate(0), f.Truncate(historyHeader+r.slots*r.width())); err != nil {
			return fmt.Errorf("console history: %w", err)
		}
		if _, err := f.WriteAt(want, 0); err != nil {
			return fmt.Errorf("console history: %w", err)
		}
	}
	r.sum, r.count = make([]float64, len(names)), make([]int, len(names))
	return nil
}

func (r *ring) width() int64 { return slotHeader + 4*int64(len(seriesNames())) }

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

// add takes a sample; NaN is what is not known.
func (h *history) add(now time.Time, sample []float64) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var errs []error
	for _, r := range h.rings {
		slot := now.Unix() / int64(r.step.Seconds())
		if slot != r.slot && r.slot != 0 {
			errs = append(errs, r.flush())
		}
		r.slot = slot
		for i, v := range sample {
			if !math.IsNaN(v) {
				r.sum[i] += v
				r.count[i]++
			}
		}
	}
	return errors.Join(errs...)
}

// flush writes the slot that has ended.
func (r *ring) flush() error {
	record := make([]byte, r.width())
	binary.BigEndian.PutUint64(record, uint64(r.slot*int64(r.step.Seconds())))
	for i := range r.sum {
		v := math.NaN()
		if r.count[i] > 0 {
			v = r.sum[i] / float64(r.count[i])
		}
		binary.BigEndian.PutUint32(record[slotHeader+4*i:], math.Float32bits(float32(v)))
		r.sum[i], r.count[i] = 0, 0
	}
	binary.BigEndian.PutUint32(record[8:], sumOf(record))
	if _, err := r.file.WriteAt(record, historyHeader+(r.slot%r.slots)*r.width()); err != nil {
		return fmt.Errorf("console history: %w", err)
	}
	return nil
}

func sumOf(record []byte) uint32 {
	sum := crc32.ChecksumIEEE(record[:8])
	return crc32.Update(sum, crc32.IEEETable, record[slotHeader:])
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
	r, names := h.rings[at], seriesNames()
	out := Plots{Step: r.step.Seconds(), Times: []int64{}, Series: map[string][]*number{}}
	columns := map[string]int{}
	for _, name := range series {
		if i := slices.Index(names, name); i >= 0 {
			columns[name] = i
			out.Series[name] = []*number{}
		}
	}
	data := make([]byte, r.slots*r.width())
	if _, err := r.file.ReadAt(data, historyHeader); err != nil {
		return out, fmt.Errorf("console history: %w", err)
	}
	step := int64(r.step.Seconds())
	last := now.Unix() / step
	for slot := last - r.slots + 1; slot < last; slot++ {
		record := data[(slot%r.slots)*r.width():][:r.width()]
		stamp := int64(binary.BigEndian.Uint64(record))
		if stamp != slot*step || binary.BigEndian.Uint32(record[8:]) != sumOf(record) {
			continue // never written, or torn
		}
		out.Times = append(out.Times, stamp)
		for name, i := range columns {
			v := math.Float32frombits(binary.BigEndian.Uint32(record[slotHeader+4*i:]))
			var n *number
			if !math.IsNaN(float64(v)) {
				known := number(v)
				n = &known
			}
			out.Series[name] = append(out.Series[name], n)
		}
	}
	return out, nil
}

// sampleOf is a frame as a row of the history.
func sampleOf(f *Frame) []float64 {
	unknown := math.NaN()
	deref := func(p *float64) float64 {
		if p == nil {
			return unknown
		}
		return *p
	}
	var row []float64
	for _, cell := range telemetry.Cells() {
		s := f.Stats[cell]
		row = append(row, s.Rate, s.ErrorRate, deref(s.P99))
	}
	for _, d := range f.Live.Directions {
		region := f.Live.Regions[d.From]
		healthy, unreplicated := unknown, unknown
		switch region.Health {
		case "healthy":
			healthy = 1
		case "unhealthy":
			healthy = 0
		}
		if region.Unreplicated != nil {
			unreplicated = float64(*region.Unreplicated)
		}
		row = append(row, deref(d.LagMS), float64(d.Backlog), healthy, unreplicated)
	}
	for len(row) < 3*len(telemetry.Cells())+8 {
		row = append(row, unknown)
	}
	active, differences := 0.0, unknown
	if f.Live.Plan.Active == "azure" {
		active = 1
	}
	if v := f.Live.Verified; v != nil {
		differences = float64(v.Differences)
	}
	return append(row, active, differences, float64(f.Live.Conflicts), float64(f.Live.Quarantine))
}
