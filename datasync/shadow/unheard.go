package shadow

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/resolve"
)

// Span is a span of time.
type Span struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// maxUnheard bounds the spans that are kept for a region; past it the oldest two become one.
const maxUnheard = 64

func unheardKey(region proa.Region) []byte {
	return []byte{keyUnheard, byte('0' + resolve.Index(region))}
}

// Unheard lists a region's spans in which writes could not be announced, the oldest first.
func (s *Store) Unheard(region proa.Region) ([]Span, error) {
	var spans []Span
	if err := s.getJSON(unheardKey(region), &spans); err != nil {
		return nil, fmt.Errorf("read unheard spans: %w", err)
	}
	return spans, nil
}

// AddUnheard keeps a span; one that touches the last one extends it.
func (tx *Tx) AddUnheard(region proa.Region, span Span) error {
	spans, err := tx.s.Unheard(region)
	if err != nil {
		return err
	}
	if n := len(spans); n > 0 && !span.From.After(spans[n-1].To) {
		spans[n-1].To = later(spans[n-1].To, span.To)
	} else {
		spans = append(spans, span)
	}
	if len(spans) > maxUnheard {
		spans[1].From = spans[0].From
		spans = spans[1:]
	}
	return tx.setUnheard(region, spans)
}

// DropUnheard forgets the spans that ended before a time.
func (tx *Tx) DropUnheard(region proa.Region, before time.Time) error {
	spans, err := tx.s.Unheard(region)
	if err != nil {
		return err
	}
	n := len(spans)
	spans = slices.DeleteFunc(spans, func(u Span) bool { return u.To.Before(before) })
	if len(spans) == n {
		return nil
	}
	return tx.setUnheard(region, spans)
}

func (tx *Tx) setUnheard(region proa.Region, spans []Span) error {
	body, err := json.Marshal(spans)
	if err != nil {
		return fmt.Errorf("write unheard spans: %w", err)
	}
	return tx.b.Set(unheardKey(region), body, nil)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
