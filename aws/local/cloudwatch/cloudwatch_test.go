package cloudwatch_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/proa-cloud/proa/aws/local/cloudwatch"
)

// clock is moved by the test; it begins on a minute, so that periods are easy to read.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

type harness struct {
	server *cloudwatch.Server
	client *sdk.Client
	clock  *clock
	url    string
	dir    string
	close  func()
}

func start(t *testing.T) *harness {
	return open(t, t.TempDir(), &clock{now: time.Date(2026, 11, 24, 3, 0, 0, 0, time.UTC)})
}

func open(t *testing.T, dir string, c *clock) *harness {
	t.Helper()
	server, err := cloudwatch.New(cloudwatch.Config{
		Dir: dir, Clock: c.Now, Logger: slog.New(slog.DiscardHandler),
		AccountID: "000000000000", Region: "us-east-1",
	})
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(server)
	h := &harness{server: server, clock: c, url: front.URL, dir: dir}
	h.close = sync.OnceFunc(func() {
		front.Close()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(h.close)
	h.client = sdk.New(sdk.Options{
		Region: "us-east-1", BaseEndpoint: &front.URL, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
	})
	return h
}

func (h *harness) put(t *testing.T, data ...types.MetricDatum) {
	t.Helper()
	_, err := h.client.PutMetricData(t.Context(), &sdk.PutMetricDataInput{
		Namespace: aws.String("App"), MetricData: data,
	})
	if err != nil {
		t.Fatal(err)
	}
}

func dimension(name, value string) types.Dimension {
	return types.Dimension{Name: &name, Value: &value}
}

func TestStatisticsSumUpThePeriod(t *testing.T) {
	h := start(t)
	now := h.clock.Now()
	h.put(t,
		types.MetricDatum{MetricName: aws.String("m"), Value: aws.Float64(-1.5), Timestamp: aws.Time(now)},
		types.MetricDatum{
			MetricName: aws.String("m"), Values: []float64{2, 4}, Counts: []float64{3, 1},
			Timestamp: aws.Time(now.Add(10 * time.Second)),
		},
		types.MetricDatum{
			MetricName: aws.String("m"), Timestamp: aws.Time(now.Add(time.Minute)),
			StatisticValues: &types.StatisticSet{
				SampleCount: aws.Float64(2), Sum: aws.Float64(20),
				Minimum: aws.Float64(5), Maximum: aws.Float64(15),
			},
		},
	)
	out, err := h.client.GetMetricStatistics(t.Context(), &sdk.GetMetricStatisticsInput{
		Namespace: aws.String("App"), MetricName: aws.String("m"), Period: aws.Int32(60),
		StartTime: aws.Time(now), EndTime: aws.Time(now.Add(2 * time.Minute)),
		Statistics: []types.Statistic{"SampleCount", "Sum", "Average", "Minimum", "Maximum"},
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range out.Datapoints {
		got = append(got, fmt.Sprint(p.Timestamp.Sub(now), *p.SampleCount, *p.Sum, *p.Average, *p.Minimum, *p.Maximum))
	}
	if diff := cmp.Diff([]string{"0s 5 8.5 1.7 -1.5 4", "1m0s 2 20 10 5 15"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func stat(id, metric, statistic string, period int32) types.MetricDataQuery {
	return types.MetricDataQuery{Id: &id, MetricStat: &types.MetricStat{
		Metric: &types.Metric{Namespace: aws.String("App"), MetricName: &metric},
		Period: &period, Stat: &statistic,
	}}
}

func TestDataQueriesAndExpressions(t *testing.T) {
	h := start(t)
	now := h.clock.Now()
	for i, counts := range [][2]float64{{10, 1}, {20, 5}, {0, 0}} {
		at := aws.Time(now.Add(time.Duration(i) * 10 * time.Second))
		h.put(t, types.MetricDatum{MetricName: aws.String("all"), Value: &counts[0], Timestamp: at},
			types.MetricDatum{MetricName: aws.String("bad"), Value: &counts[1], Timestamp: at})
	}
	hidden := stat("bad", "bad", "Sum", 10)
	hidden.ReturnData = aws.Bool(false)
	out, err := h.client.GetMetricData(t.Context(), &sdk.GetMetricDataInput{
		StartTime: aws.Time(now), EndTime: aws.Time(now.Add(time.Minute)), ScanBy: types.ScanByTimestampAscending,
		MetricDataQueries: []types.MetricDataQuery{
			{Id: aws.String("rate"), Expression: aws.String("(bad / all) * 100 - -1"), Label: aws.String("errors")},
			stat("all", "all", "Sum", 10), hidden,
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]float64{}
	for _, result := range out.MetricDataResults {
		got[*result.Label] = result.Values
	}
	want := map[string][]float64{"errors": {11, 26}, "all": {10, 20, 0}} // 0/0 is no value
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestListMetricsFilters(t *testing.T) {
	h := start(t)
	h.put(t, types.MetricDatum{
		MetricName: aws.String("m"), Value: aws.Float64(1),
		Dimensions: []types.Dimension{dimension("b", "2"), dimension("a", "1")},
	}, types.MetricDatum{MetricName: aws.String("n"), Value: aws.Float64(1)})
	h.server.Observe("AWS/Lambda", "Errors", "Count", 1, [2]string{"FunctionName", "f"})
	for _, c := range []struct {
		in   *sdk.ListMetricsInput
		want int
	}{
		{&sdk.ListMetricsInput{}, 3},
		{&sdk.ListMetricsInput{Namespace: aws.String("App")}, 2},
		{&sdk.ListMetricsInput{MetricName: aws.String("Errors")}, 1},
		{&sdk.ListMetricsInput{Dimensions: []types.DimensionFilter{{Name: aws.String("a")}}}, 1},
		{&sdk.ListMetricsInput{Dimensions: []types.DimensionFilter{
			{Name: aws.String("a"), Value: aws.String("2")},
		}}, 0},
	} {
		out, err := h.client.ListMetrics(t.Context(), c.in)
		if err != nil || len(out.Metrics) != c.want {
			t.Errorf("%+v: %v, %v", c.in, out, err)
		}
	}
}

func errorRate(treat string) *sdk.PutMetricAlarmInput {
	return &sdk.PutMetricAlarmInput{
		AlarmName: aws.String("alarm"), Namespace: aws.String("App"), MetricName: aws.String("5xx"),
		Statistic: types.StatisticAverage, Period: aws.Int32(10), EvaluationPeriods: aws.Int32(3),
		DatapointsToAlarm: aws.Int32(2), Threshold: aws.Float64(0.5), TreatMissingData: &treat,
		ComparisonOperator: types.ComparisonOperatorGreaterThanThreshold,
	}
}

func (h *harness) state(t *testing.T) types.MetricAlarm {
	t.Helper()
	if err := h.server.Evaluate(); err != nil {
		t.Fatal(err)
	}
	out, err := h.client.DescribeAlarms(t.Context(), &sdk.DescribeAlarmsInput{AlarmNames: []string{"alarm"}})
	if err != nil || len(out.MetricAlarms) != 1 {
		t.Fatal(out, err)
	}
	return out.MetricAlarms[0]
}

func TestAlarmFiresOnEnoughDatapointsAndRecovers(t *testing.T) {
	h := start(t)
	if _, err := h.client.PutMetricAlarm(t.Context(), errorRate("notBreaching")); err != nil {
		t.Fatal(err)
	}
	if got := h.state(t); got.StateValue != types.StateValueOk {
		t.Errorf("without data: %s %s", got.StateValue, *got.StateReason)
	}
	step := func(value float64, want types.StateValue) {
		t.Helper()
		h.clock.advance(10 * time.Second)
		h.put(t, types.MetricDatum{MetricName: aws.String("5xx"), Value: &value})
		if got := h.state(t); got.StateValue != want {
			t.Errorf("%s: %s, want %s", got.StateValue, *got.StateReason, want)
		}
	}
	step(1, types.StateValueOk)
	step(1, types.StateValueAlarm)
	if got := h.state(t); !strings.HasPrefix(*got.StateReason,
		"Threshold Crossed: 2 out of the last 3 datapoints [1.0 (") || got.StateTransitionedTimestamp == nil {
		t.Errorf("reason: %s", *got.StateReason)
	}
	step(0, types.StateValueAlarm)
	step(0, types.StateValueOk)
}

func TestMissingDataIsTreatedAsAsked(t *testing.T) {
	for treat, want := range map[string]types.StateValue{
		"breaching": types.StateValueAlarm, "notBreaching": types.StateValueOk,
		"missing": types.StateValueInsufficientData, "ignore": types.StateValueInsufficientData,
	} {
		t.Run(treat, func(t *testing.T) {
			h := start(t)
			if _, err := h.client.PutMetricAlarm(t.Context(), errorRate(treat)); err != nil {
				t.Fatal(err)
			}
			if got := h.state(t); got.StateValue != want {
				t.Errorf("%s: %s", got.StateValue, *got.StateReason)
			}
		})
	}
}

func TestAlarmOnAnExpression(t *testing.T) {
	h := start(t)
	in := errorRate("notBreaching")
	in.Namespace, in.MetricName, in.Statistic, in.Period = nil, nil, "", nil
	in.EvaluationPeriods, in.DatapointsToAlarm = aws.Int32(1), nil
	all, bad := stat("all", "all", "Sum", 10), stat("bad", "bad", "Sum", 10)
	all.ReturnData, bad.ReturnData = aws.Bool(false), aws.Bool(false)
	in.Metrics = []types.MetricDataQuery{all, bad, {Id: aws.String("rate"), Expression: aws.String("bad/all")}}
	if _, err := h.client.PutMetricAlarm(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	h.put(t, types.MetricDatum{MetricName: aws.String("all"), Value: aws.Float64(4)},
		types.MetricDatum{MetricName: aws.String("bad"), Value: aws.Float64(3)})
	got := h.state(t)
	if got.StateValue != types.StateValueAlarm || len(got.Metrics) != 3 {
		t.Errorf("%s: %s", got.StateValue, *got.StateReason)
	}
}

func TestAlarmsSurviveARestart(t *testing.T) {
	h := start(t)
	if _, err := h.client.PutMetricAlarm(t.Context(), errorRate("ignore")); err != nil {
		t.Fatal(err)
	}
	if _, err := h.client.SetAlarmState(t.Context(), &sdk.SetAlarmStateInput{
		AlarmName: aws.String("alarm"), StateValue: types.StateValueAlarm, StateReason: aws.String("drill"),
	}); err != nil {
		t.Fatal(err)
	}
	h.close()
	h = open(t, h.dir, h.clock)
	got := h.state(t)
	if got.StateValue != types.StateValueAlarm || *got.StateReason != "drill" || *got.Threshold != 0.5 {
		t.Errorf("%+v", got)
	}
	if _, err := h.client.DeleteAlarms(t.Context(), &sdk.DeleteAlarmsInput{
		AlarmNames: []string{"alarm"},
	}); err != nil {
		t.Fatal(err)
	}
	h.close()
	h = open(t, h.dir, h.clock)
	out, err := h.client.DescribeAlarms(t.Context(), &sdk.DescribeAlarmsInput{})
	if err != nil || len(out.MetricAlarms) != 0 {
		t.Errorf("%v %v", out, err)
	}
}

func TestRefusals(t *testing.T) {
	h := start(t)
	ctx := t.Context()
	put := func(namespace string, d types.MetricDatum) error {
		_, err := h.client.PutMetricData(ctx, &sdk.PutMetricDataInput{
			Namespace: &namespace, MetricData: []types.MetricDatum{d},
		})
		return err
	}
	m := aws.String("m")
	bad := errorRate("never")
	_, treat := h.client.PutMetricAlarm(ctx, bad)
	_, noAlarm := h.client.SetAlarmState(ctx, &sdk.SetAlarmStateInput{
		AlarmName: aws.String("x"), StateValue: "OK", StateReason: aws.String("r"),
	})
	_, delete := h.client.DeleteAlarms(ctx, &sdk.DeleteAlarmsInput{AlarmNames: []string{"x"}})
	_, expression := h.client.GetMetricData(ctx, &sdk.GetMetricDataInput{
		StartTime: aws.Time(time.Unix(0, 0)), EndTime: aws.Time(time.Unix(60, 0)),
		MetricDataQueries: []types.MetricDataQuery{{Id: aws.String("a"), Expression: aws.String("SUM(b)")}},
	})
	_, unknown := h.client.ListDashboards(ctx, &sdk.ListDashboardsInput{})
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"reserved namespace": {put("AWS/X", types.MetricDatum{MetricName: m, Value: aws.Float64(1)}), "InvalidParameterValue"},
		"no value":           {put("A", types.MetricDatum{MetricName: m}), "InvalidParameterCombination"},
		"NaN":                {put("A", types.MetricDatum{MetricName: m, Value: aws.Float64(math.NaN())}), "SerializationException"},
		"too old": {put("A", types.MetricDatum{
			MetricName: m, Value: aws.Float64(1), Timestamp: aws.Time(time.Unix(0, 0)),
		}), "InvalidParameterValue"},
		"missing data": {treat, "InvalidParameterValue"}, "no alarm": {noAlarm, "ResourceNotFound"},
		"delete": {delete, "ResourceNotFound"}, "expression": {expression, "InvalidParameterValue"},
		"not implemented": {unknown, "UnknownOperationException"},
	} {
		var api smithy.APIError
		if !errors.As(c.err, &api) || !strings.HasPrefix(api.ErrorCode(), c.want) {
			t.Errorf("%s: %v, want %s", name, c.err, c.want)
		}
	}
}

func TestJSONProtocolSpeaksTheSame(t *testing.T) {
	h := start(t)
	call := func(operation, body string) (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Amz-Target", "GraniteServiceVersion20100801."+operation)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		text, _ := io.ReadAll(answer.Body)
		return answer.StatusCode, string(text)
	}
	if status, text := call("PutMetricData",
		`{"Namespace":"App","MetricData":[{"MetricName":"m","Value":3}]}`); status != 200 {
		t.Fatal(status, text)
	}
	if status, text := call("ListMetrics", `{}`); status != 200 || !strings.Contains(text, `"MetricName":"m"`) {
		t.Error(status, text)
	}
	if status, text := call("PutMetricData", `{`); status != 400 || !strings.Contains(text, "Serialization") {
		t.Error(status, text)
	}
}

func TestManyMetricsAreBounded(t *testing.T) {
	h := start(t)
	for i := range 1000 {
		h.server.Observe("App", fmt.Sprint("m", i), "None", 1)
	}
	_, err := h.client.PutMetricData(t.Context(), &sdk.PutMetricDataInput{
		Namespace:  aws.String("App"),
		MetricData: []types.MetricDatum{{MetricName: aws.String("one more"), Value: aws.Float64(1)}},
	})
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != "ThrottlingException" {
		t.Errorf("got %v", err)
	}
	h.clock.advance(25 * time.Hour)
	h.put(t, types.MetricDatum{MetricName: aws.String("one more"), Value: aws.Float64(1)})
}
