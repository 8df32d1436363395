package health

import (
	"fmt"
	"strings"
	"time"
)

// The local health score, after Lifeguard: it rises by one with each sign that this node itself is
// slow or cut off, at most one a second and sign, and falls by one in each second without a sign.
// https://arxiv.org/abs/1707.00788
const (
	maxScore = 6
	// At this score time-outs are our own fault.
	distrustScore = 4
	scorePeriod   = time.Second
)

// sign is one way in which a node notices that it is itself in trouble.
type sign int

const (
	signLate  sign = iota // this process is woken late
	signProbe             // probes end late after their deadline
	signPeers             // no peer is reached
	signAll               // nothing at all is reached
	signs
)

// lifeguard keeps the local health score. It is pure.
type lifeguard struct {
	score int
	seen  [signs]time.Time // when the sign last counted
	said  [signs]string
	calm  time.Time // when the score last fell, or a sign was last seen
}

// notice takes a sign.
func (l *lifeguard) notice(now time.Time, s sign, format string, args ...any) {
	l.calm = now
	l.said[s] = fmt.Sprintf(format, args...)
	if !l.seen[s].IsZero() && now.Sub(l.seen[s]) < scorePeriod {
		return
	}
	l.seen[s] = now
	l.score = min(l.score+1, maxScore)
}

// rest lets the score fall.
func (l *lifeguard) rest(now time.Time) {
	if l.calm.IsZero() {
		l.calm = now
	}
	for l.score > 0 && now.Sub(l.calm) >= scorePeriod {
		l.score--
		l.calm = l.calm.Add(scorePeriod)
	}
	if l.score == 0 {
		l.calm = now
	}
}

// patient stretches a time-out: by half for each point, to three times at most.
func (l *lifeguard) patient(d time.Duration) time.Duration {
	return d + d*time.Duration(min(l.score, distrustScore))/2
}

// distrusts reports whether time-outs tell nothing now.
func (l *lifeguard) distrusts() bool { return l.score >= distrustScore }

// Self is how well this vantage point itself does.
type Self struct {
	// Score is 0 when all is well, 6 at worst; time-outs are stretched with it, and from 4 on they
	// count for nothing.
	Score int `json:"score"`
	// Reason says what the last signs were, "" at 0.
	Reason string `json:"reason,omitempty"`
}

func (l *lifeguard) self() Self {
	if l.score == 0 {
		return Self{}
	}
	var parts []string
	for s := range signs {
		if l.said[s] != "" && l.calm.Sub(l.seen[s]) <= maxScore*scorePeriod {
			parts = append(parts, l.said[s])
		}
	}
	return Self{Score: l.score, Reason: strings.Join(parts, ", ")}
}
