package cloudwatch

import (
	"regexp"
	"slices"
	"time"

	"github.com/proa-cloud/proa/aws/local/wire"
)

// Query is one metric or expression of GetMetricData, or of an alarm on several metrics.
type Query struct {
	Id         string
	Label      string `json:",omitempty"`
	ReturnData *bool  `json:",omitempty"`
	Period     int64  `json:",omitempty"`
	Expression string `json:",omitempty"`
	MetricStat *struct {
		Metric struct {
			Namespace, MetricName string
			Dimensions            []Dimension
		}
		Period     int64
		Stat, Unit string
	} `json:",omitempty"`
}

type dataRequest struct {
	MetricDataQueries  []Query
	StartTime, EndTime *float64
	ScanBy             string
	MaxDatapoints      int
}

var queryID = regexp.MustCompile(`^[a-z][a-zA-Z0-9_]*$`)

// checkQueries refuses queries that are not well-formed, and those that cannot be computed here.
func checkQueries(queries []Query) *wire.Error {
	if len(queries) == 0 || len(queries) > maxQueries {
		return invalidValue("The parameter MetricDataQueries must have between 1 and %d members.", maxQueries)
	}
	seen := map[string]bool{}
	for _, q := range queries {
		switch {
		case !queryID.MatchString(q.Id):
			return invalidValue("The value %s for parameter MetricDataQueries.member.Id is not matching the "+
				"expected pattern ^[a-z][a-zA-Z0-9_]*$.", q.Id)
		case seen[q.Id]:
			return invalidValue("The values for parameter id in MetricDataQueries are not unique.")
		case (q.MetricStat == nil) == (q.Expression == ""):
			return combination("Exactly one of MetricStat and Expression must be given for %s.", q.Id)
		}
		seen[q.Id] = true
		if q.MetricStat == nil {
			if _, err := parse(q.Expression); err != nil {
				return invalidValue("Error in expression '%s': %v", q.Id, err)
			}
			continue
		}
		if refusal := checkPeriod(q.MetricStat.Period); refusal != nil {
			return refusal
		}
		if _, ok := (statistics{}).value(q.MetricStat.Stat); !ok {
			return invalidValue("The value %s for parameter MetricDataQueries.member.MetricStat.Stat is "+
				"not supported here.", q.MetricStat.Stat)
		}
	}
	return nil
}

// points are the values of one query by the second that their period begins at.
type points map[int64]float64

func (s *Server) getMetricData(in dataRequest) (map[string]any, *wire.Error) {
	switch {
	case in.StartTime == nil || in.EndTime == nil:
		return nil, missing("StartTime")
	case *in.StartTime >= *in.EndTime:
		return nil, invalidValue("The parameter StartTime must be less than the parameter EndTime.")
	}
	if refusal := checkQueries(in.MetricDataQueries); refusal != nil {
		return nil, refusal
	}
	values, refusal := s.compute(in.MetricDataQueries, int64(*in.StartTime), int64(*in.EndTime), true)
	if refusal != nil {
		return nil, refusal
	}
	limit := maxDatapoints
	if in.MaxDatapoints > 0 {
		limit = min(limit, in.MaxDatapoints)
	}
	results := []any{}
	for _, q := range in.MetricDataQueries {
		if q.ReturnData != nil && !*q.ReturnData {
			continue
		}
		result, size := renderResult(q, values[q.Id], in.ScanBy == "TimestampAscending", limit)
		limit -= size
		results = append(results, result)
	}
	return map[string]any{"MetricDataResults": results, "Messages": []any{}}, nil
}

func renderResult(q Query, values points, ascending bool, limit int) (map[string]any, int) {
	times := make([]int64, 0, len(values))
	for at := range values {
		times = append(times, at)
	}
	slices.Sort(times)
	if !ascending {
		slices.Reverse(times)
	}
	status := "Complete"
	if len(times) > limit {
		times, status = times[:limit], "PartialData"
	}
	stamps, list := make([]any, len(times)), make([]any, len(times))
	for i, at := range times {
		stamps[i], list[i] = time.Unix(at, 0), values[at]
	}
	label := q.Label
	if label == "" && q.MetricStat != nil {
		label = q.MetricStat.Metric.MetricName
	} else if label == "" {
		label = q.Id
	}
	return map[string]any{
		"Id": q.Id, "Label": label, "Timestamps": stamps, "Values": list, "StatusCode": status,
	}, len(times)
}

// compute evaluates the queries over [from, to). With align, periods begin at multiples of
// themselves, as the vendor's do; without, at from.
func (s *Server) compute(queries []Query, from, to int64, align bool) (map[string]points, *wire.Error) {
	values := make(map[string]points, len(queries))
	for _, q := range queries {
		if q.MetricStat == nil {
			continue
		}
		start, period := from, q.MetricStat.Period
		if align {
			start = from / period * period
		}
		if (to-start)/period > maxDatapoints {
			return nil, invalidValue("The time range has more than %d periods.", maxDatapoints)
		}
		m := q.MetricStat.Metric
		series := points{}
		metric := id{m.Namespace, m.MetricName, m.Dimensions}
		for _, b := range s.metrics.window(metric, q.MetricStat.Unit, start, to, period) {
			series[b.at], _ = b.value(q.MetricStat.Stat)
		}
		values[q.Id] = series
	}
	for range queries { // expressions may use each other, in any order
		for _, q := range queries {
			if _, done := values[q.Id]; done || q.MetricStat != nil {
				continue
			}
			expression, err := parse(q.Expression)
			if err != nil {
				return nil, invalidValue("Error in expression '%s': %v", q.Id, err)
			}
			if result, ok := expression.over(values); ok {
				values[q.Id] = result
			}
		}
	}
	if len(values) < len(queries) {
		return nil, invalidValue("An expression uses an id that does not exist, or itself.")
	}
	return values, nil
}
