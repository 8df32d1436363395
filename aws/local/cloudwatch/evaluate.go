package cloudwatch

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Evaluate looks at all alarms once, and commits those whose state changes.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/AlarmThatSendsEmail.html#alarm-evaluation
func (s *Server) Evaluate() error {
	s.alarmMu.Lock()
	defer s.alarmMu.Unlock()
	now := s.cfg.Clock()
	var errs []error
	for _, a := range s.alarms {
		state, reason := s.judge(a, now)
		if state == a.State {
			continue
		}
		errs = append(errs, s.transition(a, state, reason, ""))
	}
	return errors.Join(errs...)
}

// transition commits a state. The lock is held.
func (s *Server) transition(a *alarm, state, reason, data string) error {
	now := s.cfg.Clock()
	next := *a
	next.State, next.Reason, next.ReasonData, next.Updated = state, reason, data, now
	if state != a.State {
		next.Transferred = now
		s.cfg.Logger.Info("alarm changes state",
			"alarm", a.AlarmName, "from", a.State, "to", state, "reason", reason)
	}
	return s.save(&next)
}

// judge returns the state that the recent datapoints call for.
func (s *Server) judge(a *alarm, now time.Time) (state, reason string) {
	period := a.period()
	end := now.Unix() + 1 // the second under way counts
	if span := a.EvaluationPeriods * period; span > fineKeep {
		end = (end + coarseStep - 1) / coarseStep * coarseStep // only whole minutes are kept so long
	}
	start := end - a.EvaluationPeriods*period
	values, err := s.datapoints(a, start, end)
	if err != nil {
		return stateNoData, "Insufficient Data: " + err.Error()
	}
	_, holds := comparison(a.ComparisonOperator)
	breaching, present := int64(0), int64(0)
	var shown []string
	for at := start; at < end; at += period {
		value, ok := values[at]
		switch {
		case ok:
			present++
			shown = append(shown, decimal(value)+" ("+
				time.Unix(at, 0).UTC().Format("02/01/06 15:04:05")+")")
			if holds(value, *a.Threshold) {
				breaching++
			}
		case a.TreatMissingData == "breaching":
			breaching++
		}
	}
	return a.verdict(breaching, present, shown)
}

func (a *alarm) verdict(breaching, present int64, shown []string) (state, reason string) {
	treat := a.TreatMissingData
	switch {
	case present == 0 && treat == "ignore":
		return a.State, a.Reason
	case present == 0 && (treat == "" || treat == "missing"):
		return stateNoData, fmt.Sprintf("Insufficient Data: %d datapoints were unknown.", a.EvaluationPeriods)
	}
	words, _ := comparison(a.ComparisonOperator)
	state, negation, arrow := stateOK, "not ", "ALARM -> OK"
	if breaching >= a.needed() {
		state, negation, arrow = stateAlarm, "", "OK -> ALARM"
	}
	if present == 0 {
		return state, fmt.Sprintf("Threshold Crossed: no datapoints were received for %d periods and "+
			"%d missing datapoints were treated as [%s].", a.EvaluationPeriods, a.EvaluationPeriods,
			map[bool]string{true: "Breaching", false: "NonBreaching"}[treat == "breaching"])
	}
	return state, fmt.Sprintf("Threshold Crossed: %d out of the last %d datapoints [%s] was %s%s the "+
		"threshold (%s) (minimum %d datapoint for %s transition).", breaching, a.EvaluationPeriods,
		strings.Join(shown, ", "), negation, words, decimal(*a.Threshold), a.needed(), arrow)
}

// datapoints computes what the alarm compares.
func (s *Server) datapoints(a *alarm, start, end int64) (points, error) {
	if len(a.Metrics) > 0 {
		values, refusal := s.compute(a.Metrics, start, end, false)
		if refusal != nil {
			return nil, refusal
		}
		for _, q := range a.Metrics {
			if q.ReturnData == nil || *q.ReturnData {
				return values[q.Id], nil
			}
		}
		return nil, errors.New("no metric returns data")
	}
	out := points{}
	metric := id{a.Namespace, a.MetricName, a.Dimensions}
	for _, b := range s.metrics.window(metric, a.Unit, start, end, a.Period) {
		out[b.at], _ = b.value(a.Statistic)
	}
	return out, nil
}
