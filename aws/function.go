package aws

import (
	"context"
	"fmt"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
)

// Function is one Lambda function as a cloud.Function.
type Function struct {
	name   string
	config Config
	lambda *lambda.Client
}

// Monitor is one CloudWatch alarm as a cloud.Monitor.
type Monitor struct {
	alarm  string
	config Config
	watch  *cloudwatch.Client
}

var (
	_ cloud.Function = (*Function)(nil)
	_ cloud.Monitor  = (*Monitor)(nil)
)

// NewFunction opens a function by name or ARN. A synchronous invocation takes as long as the function does: set Config.Timeout
// above the function's own.
func NewFunction(ctx context.Context, c Config, name string) (*Function, error) {
	cfg, err := c.load(ctx)
	if err != nil {
		return nil, err
	}
	return &Function{name: name, config: c, lambda: lambda.NewFromConfig(cfg)}, nil
}

// Invoke calls the function and waits for its answer. An error that the function itself returned wraps proa.ErrUnavailable and holds
// the function's payload.
func (f *Function) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, f.config.timeout())
	defer cancel()
	out, err := f.lambda.Invoke(ctx, &lambda.InvokeInput{FunctionName: &f.name, Payload: payload})
	if err != nil {
		return nil, fail("invoke function", f.name, err)
	}
	if out.FunctionError != nil {
		return out.Payload, fail("invoke function", f.name,
			fmt.Errorf("function error %s: %.512s: %w", *out.FunctionError, out.Payload, proa.ErrUnavailable))
	}
	return out.Payload, nil
}

// NewMonitor opens a metric or composite alarm by name.
func NewMonitor(ctx context.Context, c Config, alarm string) (*Monitor, error) {
	cfg, err := c.load(ctx)
	if err != nil {
		return nil, err
	}
	return &Monitor{alarm: alarm, config: c, watch: cloudwatch.NewFromConfig(cfg)}, nil
}

// Alarm reads the alarm's state. INSUFFICIENT_DATA is not known; an alarm that does not exist is proa.ErrNotFound.
func (m *Monitor) Alarm(ctx context.Context) (cloud.Alarm, error) {
	ctx, cancel := context.WithTimeout(ctx, m.config.timeout())
	defer cancel()
	out, err := m.watch.DescribeAlarms(ctx, &cloudwatch.DescribeAlarmsInput{
		AlarmNames: []string{m.alarm},
		AlarmTypes: []types.AlarmType{types.AlarmTypeMetricAlarm, types.AlarmTypeCompositeAlarm},
	})
	if err != nil {
		return cloud.Alarm{}, fail("read alarm", m.alarm, err)
	}
	if len(out.MetricAlarms) > 0 {
		a := out.MetricAlarms[0]
		since := a.StateTransitionedTimestamp
		if since == nil {
			since = a.StateUpdatedTimestamp
		}
		return cloud.Alarm{
			Firing: a.StateValue == types.StateValueAlarm, Known: a.StateValue != types.StateValueInsufficientData,
			Reason: sdk.ToString(a.StateReason), Since: sdk.ToTime(since),
		}, nil
	}
	if len(out.CompositeAlarms) > 0 {
		a := out.CompositeAlarms[0]
		return cloud.Alarm{
			Firing: a.StateValue == types.StateValueAlarm, Known: a.StateValue != types.StateValueInsufficientData,
			Reason: sdk.ToString(a.StateReason), Since: sdk.ToTime(a.StateTransitionedTimestamp),
		}, nil
	}
	return cloud.Alarm{}, fail("read alarm", m.alarm, fmt.Errorf("there is no alarm of that name: %w", proa.ErrNotFound))
}
