package cloudwatch

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/proa-cloud/proa/aws/local/wire"
)

// The vendor's limits.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_limits.html
const (
	maxDatums     = 1000
	maxValues     = 150
	maxPoints     = 1440   // of GetMetricStatistics
	maxDatapoints = 100800 // of GetMetricData
	maxQueries    = 500
	listPage      = 500
	pastLimit     = 14 * 24 * time.Hour
	futureLimit   = 2 * time.Hour
)

type datum struct {
	MetricName        string
	Dimensions        []Dimension
	Timestamp         *float64
	Value             *float64
	Values            []float64
	Counts            []float64
	StatisticValues   *struct{ SampleCount, Sum, Minimum, Maximum float64 }
	Unit              string
	StorageResolution *int
}

type putRequest struct {
	Namespace  string
	MetricData []datum
}

func instant(s float64) time.Time { return time.UnixMilli(int64(s * 1000)) }

func (s *Server) putMetricData(in putRequest) (map[string]any, *wire.Error) {
	switch {
	case in.Namespace == "":
		return nil, missing("Namespace")
	case strings.HasPrefix(in.Namespace, "AWS/"):
		return nil, invalidValue("The value AWS/ for parameter Namespace is invalid.")
	case len(in.MetricData) > maxDatums:
		return nil, invalidValue("The collection MetricData must not have a size greater than %d.", maxDatums)
	}
	now := s.cfg.Clock()
	for i := range in.MetricData {
		if refusal := in.MetricData[i].check(i+1, now); refusal != nil {
			return nil, refusal
		}
	}
	for i := range in.MetricData {
		d := &in.MetricData[i]
		at := now
		if d.Timestamp != nil {
			at = instant(*d.Timestamp)
		}
		name := id{in.Namespace, d.MetricName, d.Dimensions}
		err := s.metrics.add(name, orNone(d.Unit), now, at, d.statistics())
		if errors.Is(err, errTooManyMetrics) {
			return nil, wire.Errorf(http.StatusBadRequest, "ThrottlingException",
				"Rate exceeded: at most %d metrics are kept here", maxSeries)
		}
	}
	return nil, nil
}

func orNone(unit string) string {
	if unit == "" {
		return "None"
	}
	return unit
}

func (d *datum) check(number int, now time.Time) *wire.Error {
	at := "MetricData.member." + strconv.Itoa(number) + "."
	switch {
	case d.MetricName == "":
		return missing(at + "MetricName")
	case len(d.MetricName) > 255:
		return invalidValue("The value for parameter %sMetricName is too long.", at)
	case len(d.Dimensions) > maxDimensions:
		return invalidValue("The collection %sDimensions must not have a size greater than %d.",
			at, maxDimensions)
	case d.Value == nil && d.StatisticValues == nil && len(d.Values) == 0:
		return combination("At least one of the parameters %sValue, %sValues or %sStatisticValues "+
			"must be specified.", at, at, at)
	case d.Value != nil && (d.StatisticValues != nil || len(d.Values) > 0):
		return combination("The parameters %sValue and %sStatisticValues are mutually exclusive and "+
			"you have specified both.", at, at)
	case len(d.Values) > maxValues || len(d.Counts) > 0 && len(d.Counts) != len(d.Values):
		return invalidValue("The collections %sValues and %sCounts must have the same size, at most %d.",
			at, at, maxValues)
	case d.StorageResolution != nil && *d.StorageResolution != 1 && *d.StorageResolution != 60:
		return invalidValue("The value for parameter %sStorageResolution must be 1 or 60.", at)
	}
	for _, dimension := range d.Dimensions {
		if dimension.Name == "" || dimension.Value == "" {
			return missing(at + "Dimensions.member.1.Value")
		}
	}
	if d.Timestamp != nil {
		t := instant(*d.Timestamp)
		if t.Before(now.Add(-pastLimit)) || t.After(now.Add(futureLimit)) {
			return invalidValue("The parameter %sTimestamp must specify a time no more than two weeks in "+
				"the past and no more than two hours in the future.", at)
		}
	}
	return nil
}

func (d *datum) statistics() statistics {
	if d.Value != nil {
		return single(*d.Value)
	}
	if v := d.StatisticValues; v != nil {
		return statistics{v.SampleCount, v.Sum, v.Minimum, v.Maximum}
	}
	var sum statistics
	for i, value := range d.Values {
		count := 1.0
		if len(d.Counts) > 0 {
			count = d.Counts[i]
		}
		sum.merge(statistics{count, count * value, value, value})
	}
	return sum
}

type statisticsRequest struct {
	Namespace, MetricName, Unit    string
	Dimensions                     []Dimension
	StartTime, EndTime             *float64
	Period                         int64
	Statistics, ExtendedStatistics []string
}

func checkPeriod(period int64) *wire.Error {
	if period > 0 && period%60 == 0 || slices.Contains([]int64{1, 5, 10, 20, 30}, period) {
		return nil
	}
	return invalidValue("The parameter Period must be 1, 5, 10, 20, 30 or a multiple of 60.")
}

func (s *Server) getMetricStatistics(in statisticsRequest) (map[string]any, *wire.Error) {
	switch {
	case in.Namespace == "" || in.MetricName == "":
		return nil, missing("MetricName")
	case in.StartTime == nil || in.EndTime == nil:
		return nil, missing("StartTime")
	case *in.StartTime >= *in.EndTime:
		return nil, invalidValue("The parameter StartTime must be less than the parameter EndTime.")
	case len(in.ExtendedStatistics) > 0:
		return nil, invalidValue("Percentiles are not supported here.")
	case len(in.Statistics) == 0:
		return nil, missing("Statistics")
	}
	if refusal := checkPeriod(in.Period); refusal != nil {
		return nil, refusal
	}
	from, to := int64(*in.StartTime)/in.Period*in.Period, int64(*in.EndTime)
	if points := (to - from) / in.Period; points > maxPoints {
		return nil, combination("You have requested up to %d datapoints, which exceeds the limit of %d. "+
			"You may reduce the datapoints requested by increasing Period, or decreasing the time range.",
			points, maxPoints)
	}
	metric := id{in.Namespace, in.MetricName, in.Dimensions}
	points := []any{}
	for _, b := range s.metrics.window(metric, in.Unit, from, to, in.Period) {
		point := map[string]any{"Timestamp": time.Unix(b.at, 0), "Unit": s.unitOf(metric)}
		for _, name := range in.Statistics {
			value, ok := b.value(name)
			if !ok {
				return nil, invalidValue("The value %s for parameter Statistics is invalid.", name)
			}
			point[name] = value
		}
		points = append(points, point)
	}
	return map[string]any{"Label": in.MetricName, "Datapoints": points}, nil
}

func (s *Server) unitOf(metric id) string {
	s.metrics.mu.Lock()
	defer s.metrics.mu.Unlock()
	if entry := s.metrics.series[metric.key()]; entry != nil {
		return entry.unit
	}
	return "None"
}

type listRequest struct {
	Namespace, MetricName, NextToken, RecentlyActive string
	Dimensions                                       []struct {
		Name  string
		Value *string
	}
}

func (s *Server) listMetrics(in listRequest) (map[string]any, *wire.Error) {
	offset := 0
	if in.NextToken != "" {
		var err error
		if offset, err = strconv.Atoi(in.NextToken); err != nil || offset < 0 {
			return nil, invalidValue("Invalid nextToken")
		}
	}
	recent := s.cfg.Clock().Add(-3 * time.Hour)
	found := s.metrics.list(func(entry *series) bool {
		if in.Namespace != "" && in.Namespace != entry.id.Namespace ||
			in.MetricName != "" && in.MetricName != entry.id.Name ||
			in.RecentlyActive == "PT3H" && entry.last.Before(recent) {
			return false
		}
		for _, want := range in.Dimensions {
			if !slices.ContainsFunc(entry.id.Dimensions, func(d Dimension) bool {
				return d.Name == want.Name && (want.Value == nil || d.Value == *want.Value)
			}) {
				return false
			}
		}
		return true
	})
	out := map[string]any{}
	found = found[min(offset, len(found)):]
	if len(found) > listPage {
		found = found[:listPage]
		out["NextToken"] = strconv.Itoa(offset + listPage)
	}
	list := make([]any, len(found))
	for i, metric := range found {
		list[i] = map[string]any{
			"Namespace": metric.Namespace, "MetricName": metric.Name,
			"Dimensions": renderDimensions(metric.Dimensions),
		}
	}
	out["Metrics"] = list
	return out, nil
}

func renderDimensions(dimensions []Dimension) []any {
	out := make([]any, len(dimensions))
	for i, d := range dimensions {
		out[i] = map[string]any{"Name": d.Name, "Value": d.Value}
	}
	return out
}
