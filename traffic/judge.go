package traffic

import (
	"fmt"
	"strings"
	"time"

	"github.com/proa-cloud/proa"
)

// heard is a verdict and when it was last renewed.
type heard struct {
	verdict proa.Verdict
	at      time.Time
}

type ballot struct {
	by     string
	region proa.Region
}

// place is a region's in a pair.
func place(r proa.Region) int {
	if r == proa.AWS {
		return 0
	}
	return 1
}

// Judgement is what the vantages together say of one region.
type Judgement struct {
	Health proa.Health `json:"health"`
	Since  time.Time   `json:"since"`
	Reason string      `json:"reason"`
}

// VantageView is one vantage's word on one region as the controller counts it.
type VantageView struct {
	Vantage Vantage     `json:"vantage"`
	Region  proa.Region `json:"region"`
	Health  proa.Health `json:"health"`
	Reason  string      `json:"reason"`
	Since   time.Time   `json:"since,omitzero"`
	Heard   time.Time   `json:"heard,omitzero"` // when it was last renewed
}

// votes lists each configured vantage's word on a region; silence and stale words are unknown.
func (c *Controller) votes(r proa.Region) []VantageView {
	views := make([]VantageView, 0, len(c.cfg.Vantages))
	for i, v := range c.cfg.Vantages {
		view := VantageView{Vantage: v, Region: r, Health: proa.Unknown, Reason: "has not reported yet"}
		if h := &c.heard[i][place(r)]; !h.at.IsZero() {
			view.Health, view.Reason = h.verdict.Health, h.verdict.Reason
			view.Since, view.Heard = h.verdict.Since, h.at
			if age := c.now.Sub(h.at); age > c.cfg.StaleAfter {
				view.Health = proa.Unknown
				view.Reason = fmt.Sprintf("silent for %s; last said %s", seconds(age), h.verdict.Health)
			}
		}
		views = append(views, view)
	}
	return views
}

// count is the votes on one region.
type count struct {
	reporting, outside int // of those who report; outside: not beside the region
	up, down           int // the votes that decide
}

// count counts the votes on a region. A vantage beside the region has no say for "healthy" once one
// outside reports.
func (c *Controller) count(r proa.Region) count {
	var n count
	beside := 0 // of those who say "healthy"
	for i := range c.cfg.Vantages {
		v := &c.cfg.Vantages[i]
		h := &c.heard[i][place(r)]
		if h.at.IsZero() || h.verdict.Health == proa.Unknown || c.now.Sub(h.at) > c.cfg.StaleAfter {
			continue
		}
		n.reporting++
		if v.Beside != r {
			n.outside++
		}
		switch {
		case h.verdict.Health == proa.Unhealthy:
			n.down++
		case v.Beside == r:
			beside++
		default:
			n.up++
		}
	}
	if n.outside == 0 {
		n.up += beside
	}
	return n
}

// fewWait is how long fewer than a majority of the configured vantages must have said "unhealthy", with nobody
// outside against them, before that decides: one that lost its own way for a moment while another knows nothing.
// It is no less than StaleAfter's default, so that a node which was frozen counts anew.
const fewWait = 5 * time.Second

// judge says what the votes on a region come to: the majority of those who report decides, provided
// that a majority of the configured vantages report.
func (c *Controller) judge(r proa.Region) proa.Health {
	n := c.count(r)
	few, since := n.few(c.cfg.majority()), &c.few[place(r)]
	switch {
	case !few:
		*since = time.Time{}
	case since.IsZero():
		*since = c.now
	}
	switch {
	case n.reporting < c.cfg.majority():
		return proa.Unknown
	case few && c.judged[r].Health != proa.Unhealthy && c.now.Sub(*since) < fewWait:
		return proa.Unknown
	case n.down > n.up:
		return proa.Unhealthy
	case n.up > n.down:
		return proa.Healthy
	}
	return proa.Unknown
}

// few reports whether those who say "unhealthy" decide without being a majority of the configured vantages.
func (n count) few(majority int) bool {
	return n.reporting >= majority && n.down > n.up && n.down < majority
}

// reason says why a region is judged as it is.
func (c *Controller) reason(r proa.Region, h proa.Health) string {
	votes, n := c.votes(r), c.count(r)
	if need := c.cfg.majority(); n.reporting < need {
		return fmt.Sprintf("%d of %d vantages report, %d needed: %s",
			n.reporting, len(votes), need, reasons(votes, proa.Unknown))
	}
	tally := fmt.Sprintf("%d up, %d down of %d: ", n.up, n.down, len(votes))
	switch {
	case h == proa.Unknown && n.few(c.cfg.majority()):
		return fmt.Sprintf("%scounts once it has lasted %s, since others know nothing: %s", tally, fewWait, reasons(votes, proa.Unhealthy))
	case h == proa.Unknown:
		return tally + "no majority"
	}
	return tally + reasons(votes, h)
}

// judgement is a region's with its reason.
func (c *Controller) judgement(r proa.Region) Judgement {
	j := c.judged[r]
	j.Reason = c.reason(r, j.Health)
	return j
}

// reasons joins what the vantages of one opinion say.
func reasons(votes []VantageView, health proa.Health) string {
	var parts []string
	for _, v := range votes {
		if v.Health == health {
			parts = append(parts, v.Vantage.Name+" says "+v.Reason)
		}
	}
	return strings.Join(parts, "; ")
}

// refreshJudgements recounts the votes and reports what changed.
func (c *Controller) refreshJudgements() {
	for _, r := range proa.Regions() {
		health := c.judge(r)
		if was := c.judged[r].Health; was != health {
			c.judged[r] = Judgement{Health: health, Since: c.now}
			c.event(EventHealth, r, fmt.Sprintf("%s is %s (was %s): %s", r, health, was,
				c.reason(r, health)))
		}
	}
}

// link is one direction of replication as last heard.
type link struct {
	state Replication
	at    time.Time // when it was last renewed; zero: never
	// Since when it has been known and under the objective without a break; zero: it is not
	okSince time.Time
}

// trouble says why the direction does not satisfy the objective, "" when it does.
func (c *Controller) trouble(from proa.Region) string {
	l := c.links[from]
	if c.inOrder(l) {
		return ""
	}
	name := fmt.Sprintf("replication %s→%s", from, from.Other())
	switch {
	case l.at.IsZero():
		return name + " lag unknown: nothing heard yet"
	case c.now.Sub(l.at) > c.cfg.StaleAfter:
		return fmt.Sprintf("%s lag unknown: silent for %s", name, seconds(c.now.Sub(l.at)))
	case !l.state.Known:
		return name + " lag unknown" + because(l.state.Reason)
	case !l.state.CaughtUp:
		return name + " still catches up" + because(l.state.Reason)
	}
	return fmt.Sprintf("%s lag %s is over its objective of %s (backlog %d)",
		name, seconds(l.state.Lag), seconds(c.cfg.LagObjective), l.state.Backlog)
}

// inOrder reports whether there is no trouble.
func (c *Controller) inOrder(l *link) bool {
	return !l.at.IsZero() && c.now.Sub(l.at) <= c.cfg.StaleAfter && l.state.Known &&
		l.state.CaughtUp && l.state.Lag <= c.cfg.LagObjective
}

// hearReplication notes a direction's new state. A gap in the reports breaks the dwell.
func (c *Controller) hearReplication(s Replication) {
	l, ok := c.links[s.From]
	if !ok {
		return
	}
	if c.now.Sub(l.at) > c.cfg.StaleAfter {
		l.okSince = time.Time{}
	}
	l.state, l.at = s, c.now
	c.refreshLinks()
}

// refreshLinks starts, keeps or breaks each direction's dwell.
func (c *Controller) refreshLinks() {
	for _, l := range c.links {
		switch {
		case !c.inOrder(l):
			l.okSince = time.Time{}
		case l.okSince.IsZero():
			l.okSince = c.now
		}
	}
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}

// seconds rounds a duration for people.
func seconds(d time.Duration) string {
	if d < 10*time.Second {
		return d.Round(10 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}
