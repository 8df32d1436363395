// Package capture paces the reading of change feeds and the retrying of sides that cannot be
// reached.
package capture

import (
	"math/rand/v2"
	"time"
)

// Pace is how long to wait between two reads of a feed: at its shortest while changes come, growing
// to its longest when none do, exponential with jitter while the feed cannot be read. The zero Pace
// has no bounds; set them first. Not safe for concurrent use.
type Pace struct {
	Min, Max time.Duration // between reads that succeed
	RetryMax time.Duration // between reads that fail
	// IdleMax takes the place of Max once nothing has come for IdleAfter: a feed on which nothing
	// happens costs almost nothing. 0: Max stays.
	IdleMax, IdleAfter time.Duration
	Rand               *rand.Rand // jitter; nil for none

	idle     time.Duration
	quiet    time.Duration // pauses since something came
	failures int
}

// Read returns the pause after a read that gave n changes. A feed that is known to have more is
// read at once.
func (p *Pace) Read(n int, more bool) time.Duration {
	p.failures = 0
	switch {
	case more:
		p.idle, p.quiet = p.Min, 0
		return 0
	case n > 0:
		p.idle, p.quiet = p.Min, 0
	default:
		most := p.Max
		if p.IdleMax > most && p.quiet >= p.IdleAfter {
			most = p.IdleMax
		}
		p.idle = min(max(p.idle+p.idle/4, p.Min), most)
		p.quiet += p.idle
	}
	return p.idle
}

// Failed returns the pause after a read that failed.
func (p *Pace) Failed() time.Duration {
	p.failures++
	return Backoff(p.failures, p.Min, p.RetryMax, p.Rand)
}

// Backoff is the pause before try number attempt+1: first doubled for each failure up to most, half
// of it random.
func Backoff(attempt int, first, most time.Duration, r *rand.Rand) time.Duration {
	d := first << min(max(attempt-1, 0), 16)
	if d <= 0 || d > most {
		d = most
	}
	if r == nil {
		return d
	}
	return d/2 + time.Duration(r.Int64N(int64(d/2)+1))
}
