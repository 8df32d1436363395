package monitor

import (
	"net/url"
	"strings"
	"time"
)

// definition says what one platform metric is.
type definition struct{ unit, description, aggregation string }

// definitionOf knows the metrics that the local services record.
func definitionOf(metric string) (string, definition, bool) {
	for name, d := range map[string]definition{
		"Requests": {"Count", "Gateway request metrics with multiple dimensions", "Total"},
		"Duration": {"MilliSeconds", "Overall duration of gateway requests in milliseconds", "Average"},
		"BackendDuration": {
			"MilliSeconds", "Duration of backend requests in milliseconds", "Average",
		},
		"FailedRequests":         {"Count", "Number of failures in gateway requests", "Total"},
		"SuccessfulRequests":     {"Count", "Number of successful gateway requests", "Total"},
		"Http5xx":                {"Count", "Requests answered with a status of 500 or more", "Total"},
		"HttpResponseTime":       {"Seconds", "Time taken to serve requests", "Average"},
		"FunctionExecutionCount": {"Count", "Number of times that functions ran", "Total"},
		"availabilityResults/availabilityPercentage": {
			"Percent", "Percentage of successfully completed availability tests", "Average",
		},
		"availabilityResults/duration": {"MilliSeconds", "Availability test duration", "Average"},
	} {
		if strings.EqualFold(name, metric) {
			return name, d, true
		}
	}
	return "", definition{}, false
}

// metricAnswer is one metric of a read.
type metricAnswer struct {
	ID          string            `json:"id"`
	Type        string            `json:"type"`
	Name        map[string]string `json:"name"`
	Description string            `json:"displayDescription"`
	Unit        string            `json:"unit"`
	Timeseries  []timeseries      `json:"timeseries"`
	ErrorCode   string            `json:"errorCode"`
}

type timeseries struct {
	Metadata []any            `json:"metadatavalues"`
	Data     []map[string]any `json:"data"`
}

// intervalOf reads an interval that the vendor offers, in minutes.
func intervalOf(text string) (int64, bool) {
	switch strings.ToUpper(text) {
	case "", "PT1M":
		return 1, true
	case "PT5M":
		return 5, true
	case "PT15M":
		return 15, true
	case "PT30M":
		return 30, true
	case "PT1H":
		return 60, true
	case "P1D":
		return 1440, true
	}
	return 0, false
}

// answerMetrics is Metrics - List: https://learn.microsoft.com/rest/api/monitor/metrics/list.
func (s *Server) answerMetrics(resource string, query url.Values) (any, *failure) {
	interval, ok := intervalOf(query.Get("interval"))
	if !ok {
		return nil, badRequest("Invalid time grain duration: %s, supported ones are: "+
			"00:01:00,00:05:00,00:15:00,00:30:00,01:00:00,1.00:00:00", query.Get("interval"))
	}
	from, to, f := s.timespan(query.Get("timespan"))
	if f != nil {
		return nil, f
	}
	filters, f := dimensionFilters(query.Get("$filter"))
	if f != nil {
		return nil, f
	}
	names := strings.Split(query.Get("metricnames"), ",")
	if len(names) > 20 {
		return nil, badRequest("Requested metrics count: %d bigger than allowed max: 20", len(names))
	}
	value := []metricAnswer{}
	for _, asked := range names {
		name, d, known := definitionOf(strings.TrimSpace(asked))
		if !known {
			return nil, badRequest("Failed to find metric configuration for provider: %s, metric: %s, "+
				"Valid metrics: Requests,Duration,BackendDuration,FailedRequests,SuccessfulRequests,"+
				"Http5xx,HttpResponseTime,FunctionExecutionCount,"+
				"availabilityResults/availabilityPercentage,availabilityResults/duration",
				kindOf(resource), strings.TrimSpace(asked))
		}
		kinds := query.Get("aggregation")
		if kinds == "" {
			kinds = d.aggregation
		}
		points := s.metrics.points(resource, name, filters, from.Unix()/60, (to.Unix()+59)/60, interval)
		data, f := dataOf(points, kinds)
		if f != nil {
			return nil, f
		}
		value = append(value, metricAnswer{
			ID:   resource + "/providers/Microsoft.Insights/metrics/" + name,
			Type: "Microsoft.Insights/metrics", Unit: d.unit, Description: d.description,
			Name:      map[string]string{"value": name, "localizedValue": name},
			ErrorCode: "Success", Timeseries: []timeseries{{Metadata: []any{}, Data: data}},
		})
	}
	grain := strings.ToUpper(query.Get("interval"))
	if grain == "" {
		grain = "PT1M"
	}
	return map[string]any{
		"cost": 0, "interval": grain, "namespace": kindOf(resource), "resourceregion": "local",
		"timespan": from.UTC().Format(time.RFC3339) + "/" + to.UTC().Format(time.RFC3339), "value": value,
	}, nil
}

func kindOf(resource string) string {
	_, rest, _ := strings.Cut(resource, "/providers/")
	parts := strings.Split(rest, "/")
	return strings.Join(parts[:min(2, len(parts))], "/")
}

// timespan reads "start/end", an hour up to now by default and a day at most.
func (s *Server) timespan(text string) (from, to time.Time, f *failure) {
	to = s.clock()
	from = to.Add(-time.Hour)
	if text != "" {
		first, last, _ := strings.Cut(text, "/")
		var err1, err2 error
		from, err1 = time.Parse(time.RFC3339, first)
		to, err2 = time.Parse(time.RFC3339, last)
		if err1 != nil || err2 != nil || !from.Before(to) {
			return from, to, badRequest("Invalid time interval input: %s", text)
		}
	}
	if to.Sub(from) > keptMinutes*time.Minute {
		from = to.Add(-keptMinutes * time.Minute)
	}
	return from, to, nil
}

// dimensionFilters reads "Name eq 'value' and …" into "Name=value".
func dimensionFilters(text string) ([]string, *failure) {
	var out []string
	if text == "" {
		return nil, nil
	}
	for part := range strings.SplitSeq(text, " and ") {
		name, value, ok := strings.Cut(strings.TrimSpace(part), " eq ")
		if !ok || len(value) < 2 || value[0] != '\'' || value[len(value)-1] != '\'' {
			return nil, badRequest("The filter %q is not supported: use Name eq 'value' and …", text)
		}
		if value = value[1 : len(value)-1]; value != "*" {
			out = append(out, strings.TrimSpace(name)+"="+value)
		}
	}
	return out, nil
}

// dataOf renders points with the aggregations asked for; a point without measurements has none.
func dataOf(points []bucket, kinds string) ([]map[string]any, *failure) {
	data := []map[string]any{}
	for _, b := range points {
		point := map[string]any{"timeStamp": time.Unix(b.at*60, 0).UTC().Format(time.RFC3339)}
		for kind := range strings.SplitSeq(kinds, ",") {
			kind = strings.ToLower(strings.TrimSpace(kind))
			name := strings.ToUpper(kind[:min(1, len(kind))]) + kind[min(1, len(kind)):]
			switch kind {
			case "total", "average", "minimum", "maximum", "count":
				if b.count > 0 {
					point[kind] = aggregate(b, name)
				} else if kind == "total" || kind == "count" {
					point[kind] = 0.0
				}
			default:
				return nil, badRequest("The aggregation type %q is not supported.", kind)
			}
		}
		data = append(data, point)
	}
	return data, nil
}
