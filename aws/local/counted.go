package local

import (
	"context"
	"errors"
	"net/http"

	"github.com/proa-cloud/proa/aws/local/apigateway"
	"github.com/proa-cloud/proa/aws/local/lambda"
	"github.com/proa-cloud/proa/internal/telemetry"
)

// counted is the gateway with its users' requests counted and followed.
func (s *services) counted() http.Handler {
	return s.cfg.Telemetry.Handler(telemetry.PrimaryGateway, failing(s.cfg.Faults, s.apigateway.Gateway()))
}

// boxOf names the picture's box of a service, "" where it has none.
func boxOf(service string) telemetry.Box {
	return map[string]telemetry.Box{
		"dynamodb": telemetry.DynamoDB, "s3": telemetry.S3, "monitoring": telemetry.CloudWatch,
	}[service]
}

// invocations counts the calls of the gateway to functions.
type invocations struct {
	apigateway.Functions
	telemetry *telemetry.Recorder
}

var errFunction = errors.New("the function failed")

// Invoke calls the function.
func (i invocations) Invoke(ctx context.Context, call lambda.Call) (lambda.Result, error) {
	if telemetry.IsProbe(ctx) {
		return i.Functions.Invoke(ctx, call)
	}
	ctx, end := i.telemetry.Span(ctx, telemetry.GatewayLambda)
	result, err := i.Functions.Invoke(ctx, call)
	if err == nil && result.FunctionError != "" {
		end(errFunction)
		return result, nil
	}
	end(err)
	return result, err
}
