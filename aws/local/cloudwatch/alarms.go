package cloudwatch

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/proa-cloud/proa/aws/local/wire"
	"github.com/proa-cloud/proa/internal/store"
)

const (
	maxAlarms   = 5000
	maxActions  = 5
	maxRange    = 7 * 24 * 60 * 60 // seconds that an alarm may look back
	stateOK     = "OK"
	stateAlarm  = "ALARM"
	stateNoData = "INSUFFICIENT_DATA"
)

// definition is an alarm as PutMetricAlarm takes it.
type definition struct {
	AlarmName               string
	AlarmDescription        string      `json:",omitempty"`
	ActionsEnabled          *bool       `json:",omitempty"`
	OKActions               []string    `json:",omitempty"`
	AlarmActions            []string    `json:",omitempty"`
	InsufficientDataActions []string    `json:",omitempty"`
	MetricName              string      `json:",omitempty"`
	Namespace               string      `json:",omitempty"`
	Statistic               string      `json:",omitempty"`
	ExtendedStatistic       string      `json:",omitempty"`
	Dimensions              []Dimension `json:",omitempty"`
	Period                  int64       `json:",omitempty"`
	Unit                    string      `json:",omitempty"`
	EvaluationPeriods       int64
	DatapointsToAlarm       int64    `json:",omitempty"`
	Threshold               *float64 `json:",omitempty"`
	ComparisonOperator      string
	TreatMissingData        string  `json:",omitempty"`
	Metrics                 []Query `json:",omitempty"`
	ThresholdMetricId       string  `json:",omitempty"`
}

// alarm is a definition with its state, as stored.
type alarm struct {
	definition
	State       string
	Reason      string
	ReasonData  string
	Updated     time.Time // of the state
	Transferred time.Time // when the state last became another
	Configured  time.Time
}

func (d *definition) needed() int64 {
	if d.DatapointsToAlarm > 0 {
		return d.DatapointsToAlarm
	}
	return d.EvaluationPeriods
}

func comparison(operator string) (words string, holds func(value, threshold float64) bool) {
	switch operator {
	case "GreaterThanThreshold":
		return "greater than", func(v, t float64) bool { return v > t }
	case "GreaterThanOrEqualToThreshold":
		return "greater than or equal to", func(v, t float64) bool { return v >= t }
	case "LessThanThreshold":
		return "less than", func(v, t float64) bool { return v < t }
	case "LessThanOrEqualToThreshold":
		return "less than or equal to", func(v, t float64) bool { return v <= t }
	}
	return "", nil
}

func (d *definition) check() *wire.Error {
	_, holds := comparison(d.ComparisonOperator)
	switch {
	case d.AlarmName == "" || len(d.AlarmName) > 255:
		return missing("AlarmName")
	case d.EvaluationPeriods < 1:
		return missing("EvaluationPeriods")
	case d.DatapointsToAlarm < 0 || d.DatapointsToAlarm > d.EvaluationPeriods:
		return combination("DatapointsToAlarm must not be greater than EvaluationPeriods.")
	case holds == nil || d.ThresholdMetricId != "":
		return invalidValue("The value %s for parameter ComparisonOperator is not supported here.",
			d.ComparisonOperator)
	case d.Threshold == nil:
		return missing("Threshold")
	case len(d.AlarmActions) > maxActions || len(d.OKActions) > maxActions ||
		len(d.InsufficientDataActions) > maxActions:
		return invalidValue("At most %d actions are allowed for a state.", maxActions)
	case !slices.Contains([]string{"", "breaching", "notBreaching", "ignore", "missing"}, d.TreatMissingData):
		return invalidValue("Option %s is not supported for parameter TreatMissingData.", d.TreatMissingData)
	case d.ExtendedStatistic != "":
		return invalidValue("Percentiles are not supported here.")
	}
	if len(d.Metrics) > 0 {
		return d.checkMetrics()
	}
	return d.checkMetric()
}

func (d *definition) checkMetric() *wire.Error {
	switch _, known := (statistics{}).value(d.Statistic); {
	case d.MetricName == "" || d.Namespace == "":
		return missing("MetricName")
	case !known:
		return missing("Statistic")
	}
	if refusal := checkPeriod(d.Period); refusal != nil {
		return refusal
	}
	return d.checkRange(d.Period)
}

func (d *definition) checkRange(period int64) *wire.Error {
	if d.EvaluationPeriods > maxRange/period {
		return combination("Metrics cannot be checked across more than seven days " +
			"(EvaluationPeriods * Period must be <= 604800).")
	}
	return nil
}

// checkMetrics wants all periods equal and exactly one query that returns data: that is compared.
func (d *definition) checkMetrics() *wire.Error {
	if refusal := checkQueries(d.Metrics); refusal != nil {
		return refusal
	}
	if d.MetricName != "" || d.Namespace != "" {
		return combination("When Metrics is specified, MetricName and Namespace must not be.")
	}
	returned := 0
	for _, q := range d.Metrics {
		if q.ReturnData == nil || *q.ReturnData {
			returned++
		}
		if q.MetricStat != nil && q.MetricStat.Period != d.period() {
			return invalidValue("All metrics of an alarm must have the same period.")
		}
	}
	if returned != 1 {
		return invalidValue("Exactly one element of the metrics list should return data.")
	}
	if d.period() == 0 {
		return invalidValue("An alarm needs a metric.")
	}
	return d.checkRange(d.period())
}

// period is that of the alarm's metrics, in seconds.
func (d *definition) period() int64 {
	for _, q := range d.Metrics {
		if q.MetricStat != nil {
			return q.MetricStat.Period
		}
	}
	return d.Period
}

func (s *Server) putMetricAlarm(in definition) (map[string]any, *wire.Error) {
	if refusal := in.check(); refusal != nil {
		return nil, refusal
	}
	s.alarmMu.Lock()
	defer s.alarmMu.Unlock()
	now := s.cfg.Clock()
	next := &alarm{
		definition: in, State: stateNoData, Reason: "Unchecked: Initial alarm creation",
		Updated: now, Transferred: now,
	}
	if before := s.alarms[in.AlarmName]; before != nil {
		*next = *before
		next.definition = in
	} else if len(s.alarms) >= maxAlarms {
		return nil, wire.Errorf(http.StatusBadRequest, "LimitExceededFault",
			"The maximum limit of %d alarms has been reached.", maxAlarms)
	}
	next.Configured = now
	if err := s.save(next); err != nil {
		return nil, internal(err)
	}
	return nil, nil
}

// save commits an alarm. The lock is held.
func (s *Server) save(a *alarm) error {
	value, err := json.Marshal(a)
	if err != nil {
		return err
	}
	if err := s.db.Set([]byte(a.AlarmName), value, store.Sync); err != nil {
		return err
	}
	s.alarms[a.AlarmName] = a
	return nil
}

type describeRequest struct {
	AlarmNames      []string
	AlarmNamePrefix string
	AlarmTypes      []string
	StateValue      string
	MaxRecords      int
	NextToken       string
}

func (s *Server) describeAlarms(in describeRequest) (map[string]any, *wire.Error) {
	limit := in.MaxRecords
	if limit < 0 || limit > 100 {
		return nil, invalidValue("The parameter MaxRecords must be between 1 and 100.")
	}
	if limit == 0 {
		limit = max(50, len(in.AlarmNames))
	}
	out := map[string]any{"MetricAlarms": []any{}, "CompositeAlarms": []any{}}
	if len(in.AlarmTypes) > 0 && !slices.Contains(in.AlarmTypes, "MetricAlarm") {
		return out, nil
	}
	found := s.find(func(a *alarm) bool {
		return a.AlarmName > in.NextToken && strings.HasPrefix(a.AlarmName, in.AlarmNamePrefix) &&
			(in.StateValue == "" || a.State == in.StateValue) &&
			(len(in.AlarmNames) == 0 || slices.Contains(in.AlarmNames, a.AlarmName))
	})
	if len(found) > limit {
		found = found[:limit]
		out["NextToken"] = found[limit-1].AlarmName
	}
	out["MetricAlarms"] = s.renderAlarms(found)
	return out, nil
}

type forMetricRequest struct {
	MetricName, Namespace, Statistic, Unit string
	Dimensions                             []Dimension
	Period                                 int64
}

func (s *Server) describeAlarmsForMetric(in forMetricRequest) (map[string]any, *wire.Error) {
	want := id{in.Namespace, in.MetricName, in.Dimensions}.key()
	found := s.find(func(a *alarm) bool {
		return id{a.Namespace, a.MetricName, a.Dimensions}.key() == want &&
			(in.Statistic == "" || in.Statistic == a.Statistic) &&
			(in.Period == 0 || in.Period == a.Period) && (in.Unit == "" || in.Unit == a.Unit)
	})
	return map[string]any{"MetricAlarms": s.renderAlarms(found)}, nil
}

// find returns copies of the alarms that pass, by name.
func (s *Server) find(pass func(*alarm) bool) []alarm {
	s.alarmMu.Lock()
	defer s.alarmMu.Unlock()
	var found []alarm
	for _, a := range s.alarms {
		if pass(a) {
			found = append(found, *a)
		}
	}
	slices.SortFunc(found, func(a, b alarm) int { return strings.Compare(a.AlarmName, b.AlarmName) })
	return found
}

func (s *Server) renderAlarms(alarms []alarm) []any {
	out := make([]any, len(alarms))
	for i := range alarms {
		out[i] = s.renderAlarm(&alarms[i])
	}
	return out
}

func (s *Server) renderAlarm(a *alarm) map[string]any {
	out := map[string]any{
		"AlarmName": a.AlarmName, "AlarmArn": s.arn(a.AlarmName),
		"ActionsEnabled": a.ActionsEnabled == nil || *a.ActionsEnabled,
		"OKActions":      texts(a.OKActions), "AlarmActions": texts(a.AlarmActions),
		"InsufficientDataActions": texts(a.InsufficientDataActions),
		"StateValue":              a.State, "StateReason": a.Reason,
		"StateUpdatedTimestamp":              a.Updated,
		"StateTransitionedTimestamp":         a.Transferred,
		"AlarmConfigurationUpdatedTimestamp": a.Configured,
		"EvaluationPeriods":                  int(a.EvaluationPeriods),
		"Threshold":                          *a.Threshold,
		"ComparisonOperator":                 a.ComparisonOperator,
		"Dimensions":                         renderDimensions(a.Dimensions),
	}
	for name, value := range map[string]string{
		"AlarmDescription": a.AlarmDescription, "MetricName": a.MetricName, "Namespace": a.Namespace,
		"Statistic": a.Statistic, "Unit": a.Unit, "TreatMissingData": a.TreatMissingData,
		"StateReasonData": a.ReasonData,
	} {
		if value != "" {
			out[name] = value
		}
	}
	if a.Period > 0 {
		out["Period"] = int(a.Period)
	}
	if a.DatapointsToAlarm > 0 {
		out["DatapointsToAlarm"] = int(a.DatapointsToAlarm)
	}
	if len(a.Metrics) > 0 {
		out["Metrics"] = renderQueries(a.Metrics)
	}
	return out
}

func (s *Server) arn(name string) string {
	return "arn:aws:cloudwatch:" + s.cfg.Region + ":" + s.cfg.AccountID + ":alarm:" + name
}

func texts(list []string) []any {
	out := make([]any, len(list))
	for i, text := range list {
		out[i] = text
	}
	return out
}

func renderQueries(queries []Query) []any {
	out := make([]any, len(queries))
	for i, q := range queries {
		m := map[string]any{"Id": q.Id, "ReturnData": q.ReturnData == nil || *q.ReturnData}
		if q.Label != "" {
			m["Label"] = q.Label
		}
		if q.Expression != "" {
			m["Expression"] = q.Expression
		}
		if stat := q.MetricStat; stat != nil {
			m["MetricStat"] = map[string]any{
				"Metric": map[string]any{
					"Namespace": stat.Metric.Namespace, "MetricName": stat.Metric.MetricName,
					"Dimensions": renderDimensions(stat.Metric.Dimensions),
				},
				"Period": int(stat.Period), "Stat": stat.Stat,
			}
		}
		out[i] = m
	}
	return out
}

func (s *Server) deleteAlarms(in struct{ AlarmNames []string }) (map[string]any, *wire.Error) {
	if len(in.AlarmNames) > 100 {
		return nil, invalidValue("At most 100 alarms can be deleted at once.")
	}
	s.alarmMu.Lock()
	defer s.alarmMu.Unlock()
	for _, name := range in.AlarmNames {
		if s.alarms[name] == nil {
			return nil, wire.Errorf(http.StatusNotFound, "ResourceNotFound", "Alarm %s does not exist", name)
		}
	}
	batch := s.db.NewBatch()
	defer batch.Close()
	for _, name := range in.AlarmNames {
		if err := batch.Delete([]byte(name), nil); err != nil {
			return nil, internal(err)
		}
	}
	if err := batch.Commit(store.Sync); err != nil {
		return nil, internal(err)
	}
	for _, name := range in.AlarmNames {
		delete(s.alarms, name)
	}
	return nil, nil
}

type stateRequest struct{ AlarmName, StateValue, StateReason, StateReasonData string }

func (s *Server) setAlarmState(in stateRequest) (map[string]any, *wire.Error) {
	if !slices.Contains([]string{stateOK, stateAlarm, stateNoData}, in.StateValue) {
		return nil, invalidValue("The value %s for parameter StateValue is invalid.", in.StateValue)
	}
	s.alarmMu.Lock()
	defer s.alarmMu.Unlock()
	a := s.alarms[in.AlarmName]
	if a == nil {
		return nil, wire.Errorf(http.StatusNotFound, "ResourceNotFound", "Alarm does not exist")
	}
	if err := s.transition(a, in.StateValue, in.StateReason, in.StateReasonData); err != nil {
		return nil, internal(err)
	}
	return nil, nil
}

func (s *Server) enableAlarmActions(in struct{ AlarmNames []string }) (map[string]any, *wire.Error) {
	return s.switchActions(in.AlarmNames, true)
}

func (s *Server) disableAlarmActions(in struct{ AlarmNames []string }) (map[string]any, *wire.Error) {
	return s.switchActions(in.AlarmNames, false)
}

func (s *Server) switchActions(names []string, on bool) (map[string]any, *wire.Error) {
	s.alarmMu.Lock()
	defer s.alarmMu.Unlock()
	for _, name := range names {
		a := s.alarms[name]
		if a == nil {
			continue // as the vendor: no error
		}
		next := *a
		next.ActionsEnabled = &on
		if err := s.save(&next); err != nil {
			return nil, internal(err)
		}
	}
	return nil, nil
}

func decimal(f float64) string {
	text := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(text, ".") {
		text += ".0"
	}
	return text
}
