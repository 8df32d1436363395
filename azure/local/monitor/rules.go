package monitor

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// Rules are all alert rules of the subscription.
type Rules struct {
	Metrics []MetricRule
	Tests   []Test
}

// MetricRule fires while a static threshold is crossed.
type MetricRule struct {
	Name        string
	Resource    string // id of the resource whose metric it is
	Metric      string
	Dimension   string // "name=value"; "" for all
	Aggregation string // Total, Average, Minimum, Maximum or Count
	Operator    string // GreaterThan, GreaterThanOrEqual, LessThan or LessThanOrEqual
	Threshold   float64
	Window      time.Duration // up to ten minutes
	Every       time.Duration
	Severity    int
}

// Test requests a URL and fires after a number of failures in a row.
type Test struct {
	Name      string
	Resource  string // id of the resource that it speaks for
	URL       string
	Every     time.Duration
	Timeout   time.Duration
	Failures  int
	Successes int
	Severity  int
}

// resolveAfter is how many evaluations in a row must find the condition over before a metric alert
// is resolved, as the vendor's stateful alerts do.
const resolveAfter = 3

// watchMetric evaluates one rule until ctx ends. A window without data changes nothing.
func (s *Server) watchMetric(ctx context.Context, r MetricRule) {
	ticker := time.NewTicker(r.Every)
	defer ticker.Stop()
	calm := 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		b := s.metrics.window(r.Resource, r.Metric, r.Dimension, s.clock(), r.Window)
		if b.count == 0 {
			continue
		}
		value := aggregate(b, r.Aggregation)
		reason := fmt.Sprintf("%s %s of the last %s is %s", r.Aggregation, r.Metric, r.Window,
			strconv.FormatFloat(value, 'f', -1, 64))
		if crosses(value, r.Operator, r.Threshold) {
			calm = 0
			s.fire(r.alert(), reason)
		} else if calm++; calm >= resolveAfter {
			s.resolve(r.alert())
		}
	}
}

func aggregate(b bucket, aggregation string) float64 {
	switch aggregation {
	case "Average":
		return b.sum / max(b.count, 1)
	case "Minimum":
		return b.min
	case "Maximum":
		return b.max
	case "Count":
		return b.count
	}
	return b.sum
}

func crosses(value float64, operator string, threshold float64) bool {
	switch operator {
	case "GreaterThan":
		return value > threshold
	case "GreaterThanOrEqual":
		return value >= threshold
	case "LessThan":
		return value < threshold
	case "LessThanOrEqual":
		return value <= threshold
	}
	return false
}

// watchURL runs one availability test until ctx ends.
func (s *Server) watchURL(ctx context.Context, t Test) {
	ticker := time.NewTicker(t.Every)
	defer ticker.Stop()
	failed, passed := 0, 0
	for {
		began := s.clock()
		err := s.request(ctx, t)
		if ctx.Err() != nil {
			return
		}
		available := 100.0
		if err != nil {
			available = 0
		}
		s.Record(t.Resource, "availabilityResults/availabilityPercentage", available,
			"availabilityResult/name", t.Name)
		s.Record(t.Resource, "availabilityResults/duration",
			float64(s.clock().Sub(began))/float64(time.Millisecond), "availabilityResult/name", t.Name)
		if err != nil {
			if failed, passed = failed+1, 0; failed >= t.Failures {
				s.fire(t.alert(), err.Error())
			}
		} else if passed, failed = passed+1, 0; passed >= t.Successes {
			s.resolve(t.alert())
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// request passes when the answer is 200 within the time.
func (s *Server) request(ctx context.Context, t Test) error {
	ctx, cancel := context.WithTimeout(ctx, t.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.URL, http.NoBody)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "Mozilla/5.0 (compatible; MSIE 9.0; AppInsights)")
	response, err := s.client.Do(req)
	if err != nil {
		return fmt.Errorf("GET %s: no answer: %w", t.URL, err)
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 1<<20))
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", t.URL, response.Status)
	}
	return nil
}
