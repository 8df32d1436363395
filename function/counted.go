package function

import (
	"net/http"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/cloud"
	"github.com/proa-cloud/proa/internal/telemetry"
)

// counted counts what the function answers and goes on with the trace that a request brings, so that calls of Table and Bucket
// under the request's context are seen as part of it. Without a collector in the environment (PROA_TELEMETRY_URLS, or
// OTEL_EXPORTER_OTLP_ENDPOINT for spans alone) nothing is counted.
func counted(handler http.Handler, getenv func(string) string) http.Handler {
	region, err := regionOf(getenv)
	if err != nil {
		return handler
	}
	box := telemetry.Lambda
	if region == proa.Azure {
		box = telemetry.Functions
	}
	r := telemetry.FromEnvironment("function-"+string(region), getenv)
	if r == nil {
		return handler
	}
	inner := telemetry.Continue(handler)
	answered := r.Box(box, inner)
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.UserAgent() == telemetry.ProbeAgent {
			inner.ServeHTTP(w, req)
			return
		}
		answered.ServeHTTP(w, req)
	})
}

// countedStore counts the function's calls to its table.
func countedStore(s Store, region proa.Region, getenv func(string) string) Store {
	r := telemetry.FromEnvironment("table-"+string(region), getenv)
	if r == nil {
		return s
	}
	arrow := telemetry.LambdaTable
	if region == proa.Azure {
		arrow = telemetry.FunctionsTable
	}
	return telemetry.Store{Table: telemetry.Table{Table: s, Recorder: r, Arrow: arrow}, Querier: s}
}

// countedBucket counts the function's calls to its bucket.
func countedBucket(b cloud.Bucket, region proa.Region, getenv func(string) string) cloud.Bucket {
	r := telemetry.FromEnvironment("bucket-"+string(region), getenv)
	if r == nil {
		return b
	}
	arrow := telemetry.LambdaBucket
	if region == proa.Azure {
		arrow = telemetry.FunctionsBucket
	}
	return telemetry.Objects{Bucket: b, Recorder: r, Arrow: arrow}
}
