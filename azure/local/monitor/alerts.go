package monitor

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/proa-cloud/proa/internal/store"
)

// keptAlerts and alertLife bound the history: the vendor keeps alerts for 30 days.
const (
	keptAlerts = 10_000
	alertLife  = 30 * 24 * time.Hour
)

// Monitor conditions.
const (
	conditionFired    = "Fired"
	conditionResolved = "Resolved"
)

// alert is one time that a rule fired. It is stored as JSON under "a<start><id>".
type alert struct {
	ID        string    `json:"id"`
	Rule      string    `json:"rule"` // resource id
	Name      string    `json:"name"`
	Resource  string    `json:"resource"`
	Service   string    `json:"service"` // Platform, or Application Insights
	Severity  int       `json:"severity"`
	Condition string    `json:"condition"`
	Reason    string    `json:"reason"`
	Start     time.Time `json:"start"`
	Modified  time.Time `json:"modified"`
	Resolved  time.Time `json:"resolved,omitzero"`
}

func (r MetricRule) alert() alert {
	return alert{Name: r.Name, Resource: r.Resource, Service: "Platform", Severity: r.Severity}
}

func (t Test) alert() alert {
	return alert{
		Name: t.Name, Resource: t.Resource, Service: "Application Insights", Severity: t.Severity,
	}
}

func (a *alert) key() []byte {
	key := binary.BigEndian.AppendUint64([]byte{'a'}, uint64(a.Start.UnixNano()))
	return append(key, a.ID...)
}

func (s *Server) ruleID(name string) string {
	return s.scope + "/providers/microsoft.insights/metricAlerts/" + name
}

// loadAlerts finds the latest alert of each rule.
func (s *Server) loadAlerts() error {
	all, err := s.history(time.Time{})
	for _, a := range all {
		s.alerts[strings.ToLower(a.Rule)] = &a
	}
	return err
}

// history returns the alerts that began at or after from, oldest first.
func (s *Server) history(from time.Time) ([]alert, error) {
	lower := []byte{'a'}
	if !from.IsZero() {
		lower = binary.BigEndian.AppendUint64(lower, uint64(from.UnixNano()))
	}
	iter, err := s.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: []byte{'b'}})
	if err != nil {
		return nil, err
	}
	defer iter.Close()
	var out []alert
	for ok := iter.First(); ok; ok = iter.Next() {
		var a alert
		if err := json.Unmarshal(iter.Value(), &a); err != nil {
			return nil, fmt.Errorf("read alert: %w", err)
		}
		out = append(out, a)
	}
	return out, iter.Error()
}

// fire begins an alert unless its rule has one that is fired.
func (s *Server) fire(a alert, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a.Rule = s.ruleID(a.Name)
	if last := s.alerts[strings.ToLower(a.Rule)]; last != nil && last.Condition == conditionFired {
		return
	}
	now := s.clock().UTC()
	a.ID, a.Condition, a.Reason, a.Start, a.Modified = newID(), conditionFired, reason, now, now
	s.keep(&a)
	s.logger.Warn("alert fired", "rule", a.Name, "reason", reason)
}

// resolve ends the fired alert of a rule, if there is one.
func (s *Server) resolve(a alert) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.alerts[strings.ToLower(s.ruleID(a.Name))]
	if last == nil || last.Condition != conditionFired {
		return
	}
	next := *last
	now := s.clock().UTC()
	next.Condition, next.Modified, next.Resolved = conditionResolved, now, now
	s.keep(&next)
	s.logger.Info("alert resolved", "rule", next.Name)
}

// keep stores an alert and trims the history. What cannot be stored is not shown: the rule will
// fire again at its next evaluation.
func (s *Server) keep(a *alert) {
	value, err := json.Marshal(a)
	if err == nil {
		err = s.db.Set(a.key(), value, store.Sync)
	}
	if err == nil {
		s.alerts[strings.ToLower(a.Rule)] = a
		err = s.trim(a.Modified)
	}
	if err != nil {
		s.logger.Error("cannot store an alert", "rule", a.Name, "error", err)
	}
}

func (s *Server) trim(now time.Time) error {
	all, err := s.history(time.Time{})
	if err != nil {
		return err
	}
	for i, a := range all {
		if i >= len(all)-keptAlerts && now.Sub(a.Start) < alertLife {
			break
		}
		last := s.alerts[strings.ToLower(a.Rule)]
		if last != nil && last.ID == a.ID && a.Condition == conditionFired {
			continue // still fired, however old
		}
		if err := s.db.Delete(a.key(), pebble.NoSync); err != nil {
			return err
		}
	}
	return nil
}

// list returns the alerts that fit, newest first: rule is a resource id or a name, "" for all.
func (s *Server) list(from time.Time, rule, condition, severity string) ([]alert, error) {
	all, err := s.history(from)
	if err != nil {
		return nil, err
	}
	fits := func(a alert) bool {
		return (rule == "" || strings.EqualFold(a.Rule, rule) || strings.EqualFold(a.Name, rule)) &&
			(condition == "" || strings.EqualFold(a.Condition, condition)) &&
			(severity == "" || strings.EqualFold(fmt.Sprintf("Sev%d", a.Severity), severity))
	}
	all = slices.DeleteFunc(all, func(a alert) bool { return !fits(a) })
	slices.Reverse(all)
	return all, nil
}

func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand crashes the program instead
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
