package drill

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/proa-cloud/proa"
)

// timeline gathers what is plotted.
type timeline struct {
	began time.Time
	marks []Mark

	mu       sync.Mutex
	backlogs map[int64]*int64 // by step
}

func newTimeline(began time.Time) *timeline {
	return &timeline{began: began, marks: []Mark{}, backlogs: map[int64]*int64{}}
}

func (t *timeline) mark(at time.Time, kind, text string) {
	t.marks = append(t.marks, Mark{MS: at.Sub(t.began).Milliseconds(), Kind: kind, Text: text})
}

func (t *timeline) step(at time.Time) int64 { return int64(at.Sub(t.began) / sampleEvery) }

// sample asks for the backlog until the context ends.
func (t *timeline) sample(ctx context.Context, s System) {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		n := s.Backlog(ctx)
		t.mu.Lock()
		t.backlogs[t.step(time.Now())] = n
		t.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// series counts the writes of each step, by when they were sent.
func (t *timeline) series(writes []Write) []Bucket {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(writes) == 0 {
		return []Bucket{}
	}
	slices.SortFunc(t.marks, func(a, b Mark) int { return int(a.MS - b.MS) })
	first, last := t.step(writes[0].Sent), t.step(writes[len(writes)-1].Sent)
	list := make([]Bucket, last-first+1)
	took := make([][]float64, len(list))
	for i := range list {
		step := first + int64(i)
		list[i].MS, list[i].Backlog = step*sampleEvery.Milliseconds(), t.backlogs[step]
	}
	for _, w := range writes {
		i := t.step(w.Sent) - first
		switch {
		case !w.Acked:
			list[i].Failed++
			continue
		case w.Region == proa.Azure:
			list[i].Azure++
		default:
			list[i].AWS++
		}
		took[i] = append(took[i], ms(w.Done.Sub(w.Sent)))
	}
	for i := range list {
		slices.Sort(took[i])
		list[i].P99MS = quantile(took[i], 0.99)
	}
	return list
}

// month is the period of an error budget.
const month = 30 * 24 * time.Hour

// budget is what the run spent of the errors that the SLO allows in a month.
func budget(r *Run, slo float64) Budget {
	var b Budget
	if r.Requests == 0 {
		return b
	}
	b.FailedShare = float64(r.Failed) / float64(r.Requests)
	for _, s := range r.Series {
		if s.Failed > 0 && s.Failed >= s.AWS+s.Azure {
			b.DownMS += ms(sampleEvery)
		}
	}
	// Failures weigh by the share of their requests, over the time in which requests were sent.
	spent := b.FailedShare * float64(len(r.Series)) * ms(sampleEvery)
	if allowed := (1 - slo) * ms(month); allowed > 0 {
		b.SpentShare = spent / allowed
	}
	return b
}
