package apigateway_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/proa-cloud/proa/aws/local/apigateway"
	"github.com/proa-cloud/proa/aws/local/lambda"
	"github.com/proa-cloud/proa/aws/local/wire"
)

const function = "arn:aws:lambda:us-east-1:000000000000:function:f"

// fakeFunctions answers every call by what the test says and remembers the event.
type fakeFunctions struct {
	mu      sync.Mutex
	answer  func(ctx context.Context) (lambda.Result, error)
	event   events.APIGatewayV2HTTPRequest
	forbids bool
	source  string
}

func (f *fakeFunctions) Invoke(ctx context.Context, call lambda.Call) (lambda.Result, error) {
	f.mu.Lock()
	f.event = events.APIGatewayV2HTTPRequest{}
	err := json.Unmarshal(call.Payload, &f.event)
	answer := f.answer
	f.mu.Unlock()
	if err != nil {
		return lambda.Result{}, err
	}
	if call.Function != function {
		return lambda.Result{}, errors.New("another function")
	}
	return answer(ctx)
}

func (f *fakeFunctions) Allows(_, service, source string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.source = service + " " + source
	return !f.forbids
}

func (f *fakeFunctions) answers(payload string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer = func(context.Context) (lambda.Result, error) {
		return lambda.Result{Payload: []byte(payload)}, nil
	}
}

func (f *fakeFunctions) does(answer func(context.Context) (lambda.Result, error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer = answer
}

type harness struct {
	functions *fakeFunctions
	client    *apigatewayv2.Client
	gateway   string
	dir       string
	close     func()

	mu      sync.Mutex
	metrics map[string]float64
}

func start(t *testing.T) *harness { return open(t, t.TempDir()) }

func open(t *testing.T, dir string) *harness {
	t.Helper()
	h := &harness{functions: &fakeFunctions{}, dir: dir, metrics: map[string]float64{}}
	h.functions.answers(`{"statusCode":200}`)
	server, err := apigateway.New(apigateway.Config{
		Dir: dir, Clock: time.Now, Logger: slog.New(slog.DiscardHandler),
		AccountID: "000000000000", Region: "us-east-1", Functions: h.functions, Emit: h.emit,
	})
	if err != nil {
		t.Fatal(err)
	}
	control, gateway := httptest.NewServer(server), httptest.NewServer(server.Gateway())
	h.close = sync.OnceFunc(func() {
		control.Close()
		gateway.Close()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(h.close)
	h.gateway = gateway.URL
	h.client = apigatewayv2.New(apigatewayv2.Options{
		Region: "us-east-1", BaseEndpoint: &control.URL, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
	})
	return h
}

func (h *harness) emit(_, metric, _ string, value float64, dimensions ...[2]string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(dimensions) == 1 {
		h.metrics[metric] += value
	}
}

// api makes an API with these routes, deployed by itself.
func (h *harness) api(t *testing.T, name string, routes ...string) string {
	t.Helper()
	created, err := h.client.CreateApi(t.Context(), &apigatewayv2.CreateApiInput{
		Name: &name, ProtocolType: types.ProtocolTypeHttp,
	})
	if err != nil {
		t.Fatal(err)
	}
	integration, err := h.client.CreateIntegration(t.Context(), &apigatewayv2.CreateIntegrationInput{
		ApiId: created.ApiId, IntegrationType: types.IntegrationTypeAwsProxy, TimeoutInMillis: aws.Int32(300),
		IntegrationUri: aws.String(function), PayloadFormatVersion: aws.String("2.0"),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range routes {
		if _, err := h.client.CreateRoute(t.Context(), &apigatewayv2.CreateRouteInput{
			ApiId: created.ApiId, RouteKey: &key,
			Target: aws.String("integrations/" + *integration.IntegrationId),
		}); err != nil {
			t.Fatal(err)
		}
	}
	h.stage(t, *created.ApiId, "$default")
	return *created.ApiId
}

func (h *harness) stage(t *testing.T, api, name string) {
	t.Helper()
	if _, err := h.client.CreateStage(t.Context(), &apigatewayv2.CreateStageInput{
		ApiId: &api, StageName: &name, AutoDeploy: aws.Bool(true),
		StageVariables: map[string]string{"stage": "variable"},
	}); err != nil {
		t.Fatal(err)
	}
}

func (h *harness) do(t *testing.T, r *http.Request) (*http.Response, string) {
	t.Helper()
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(body)
}

func (h *harness) request(t *testing.T, method, path string, body []byte) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, h.gateway+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestEventCarriesTheWholeRequest(t *testing.T) {
	h := start(t)
	id := h.api(t, "a", "POST /orders/{id}/{rest+}")
	r := h.request(t, "POST", "/orders/a%20b/x/y?q=1&q=2&e=%26", []byte("hällo"))
	r.Header.Set("Content-Type", "text/plain")
	r.Header.Add("X-Twice", "1")
	r.Header.Add("X-Twice", "2")
	r.Header.Set("Cookie", "a=1; b=2")
	h.do(t, r)
	e := h.functions.event
	if e.Version != "2.0" || e.RouteKey != "POST /orders/{id}/{rest+}" || e.RawPath != "/orders/a b/x/y" ||
		e.RawQueryString != "q=1&q=2&e=%26" || e.Body != "hällo" || e.IsBase64Encoded {
		t.Errorf("event: %+v", e)
	}
	for what, diff := range map[string]string{
		"cookies":         cmp.Diff([]string{"a=1", "b=2"}, e.Cookies),
		"query":           cmp.Diff(map[string]string{"q": "1,2", "e": "&"}, e.QueryStringParameters),
		"path parameters": cmp.Diff(map[string]string{"id": "a b", "rest": "x/y"}, e.PathParameters),
		"stage variables": cmp.Diff(map[string]string{"stage": "variable"}, e.StageVariables),
	} {
		if diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	if e.Headers["x-twice"] != "1,2" || e.Headers["cookie"] != "" || e.Headers["x-forwarded-for"] != "127.0.0.1" ||
		e.Headers["host"] != strings.TrimPrefix(h.gateway, "http://") || e.Headers["content-length"] != "6" {
		t.Errorf("headers: %v", e.Headers)
	}
	c := e.RequestContext
	if c.APIID != id || c.Stage != "$default" || c.HTTP.Method != "POST" || c.HTTP.SourceIP != "127.0.0.1" ||
		c.AccountID != "000000000000" || c.RequestID == "" || c.TimeEpoch == 0 {
		t.Errorf("context: %+v", c)
	}
	want := "apigateway.amazonaws.com arn:aws:execute-api:us-east-1:000000000000:" + id +
		"/$default/POST/orders/{id}/{rest+}"
	if h.functions.source != want {
		t.Errorf("asked for %s", h.functions.source)
	}
}

func TestBinaryAndFormBodiesAreBase64(t *testing.T) {
	h := start(t)
	h.api(t, "a", "$default")
	for _, c := range []struct {
		media, body string
		encoded     bool
	}{
		{"application/json", `{"a":1}`, false},
		{"application/vnd.x+json; charset=utf-8", `{}`, false},
		{"text/csv", "a,b", false},
		{"application/json", "\xff\xfe", true},
		{"application/octet-stream", "abc", true},
		{"application/x-www-form-urlencoded", "a=b", true},
		{"image/png", "\x89PNG", true},
	} {
		r := h.request(t, "PUT", "/x", []byte(c.body))
		r.Header.Set("Content-Type", c.media)
		h.do(t, r)
		got := h.functions.event.Body
		if c.encoded {
			decoded, err := base64.StdEncoding.DecodeString(got)
			if err != nil {
				t.Errorf("%s: %v", c.media, err)
			}
			got = string(decoded)
		}
		if h.functions.event.IsBase64Encoded != c.encoded || got != c.body {
			t.Errorf("%s: base64 %v, body %q", c.media, h.functions.event.IsBase64Encoded, got)
		}
	}
}

func TestAnswersAreTranslated(t *testing.T) {
	h := start(t)
	h.api(t, "a", "$default")
	for _, c := range []struct {
		name, payload string
		status        int
		media, body   string
	}{
		{"full", `{"statusCode":201,"headers":{"content-type":"a/b"},"body":"x"}`, 201, "a/b", "x"},
		{
			"base64", `{"statusCode":200,"body":"AAEC","isBase64Encoded":true}`, 200,
			"text/plain;charset=utf-8", "\x00\x01\x02",
		},
		{"no body", `{"statusCode":204}`, 204, "text/plain;charset=utf-8", ""},
		{"object without status", `{"a":1}`, 200, "application/json", `{"a":1}`},
		{"string", `"hello"`, 200, "application/json", "hello"},
		{"status as text", `{"statusCode":"202","body":""}`, 202, "text/plain;charset=utf-8", ""},
		{
			"body is no string", `{"statusCode":200,"body":{"a":1}}`, 500, "application/json",
			`{"message":"Internal Server Error"}`,
		},
		{
			"impossible status", `{"statusCode":99}`, 500, "application/json",
			`{"message":"Internal Server Error"}`,
		},
		{
			"broken base64", `{"statusCode":200,"body":"%","isBase64Encoded":true}`, 500, "application/json",
			`{"message":"Internal Server Error"}`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			h.functions.answers(c.payload)
			r, body := h.do(t, h.request(t, "GET", "/", nil))
			if r.StatusCode != c.status || r.Header.Get("Content-Type") != c.media || body != c.body {
				t.Errorf("%d %s %q", r.StatusCode, r.Header.Get("Content-Type"), body)
			}
			if r.Header.Get("Apigw-Requestid") == "" {
				t.Error("no request id")
			}
		})
	}
	h.functions.answers(`{"statusCode":200,"cookies":["a=1; Path=/","b=2"],"headers":{"X-Number":7}}`)
	r, _ := h.do(t, h.request(t, "GET", "/", nil))
	if diff := cmp.Diff([]string{"a=1; Path=/", "b=2"}, r.Header.Values("Set-Cookie")); diff != "" {
		t.Errorf("cookies (-want +got):\n%s", diff)
	}
	if r.Header.Get("X-Number") != "7" {
		t.Errorf("headers: %v", r.Header)
	}
}

func TestMostSpecificRouteAnswers(t *testing.T) {
	h := start(t)
	keys := []string{
		"$default", "ANY /{proxy+}", "GET /pets/{proxy+}", "GET /pets/dog/{id}", "GET /pets/dog/1",
		"ANY /pets/dog/1", "GET /",
	}
	h.api(t, "a", keys...)
	for path, want := range map[string]string{
		"GET /pets/dog/1": "GET /pets/dog/1", "PUT /pets/dog/1": "ANY /pets/dog/1",
		"GET /pets/dog/2": "GET /pets/dog/{id}", "GET /pets/cat/1": "GET /pets/{proxy+}",
		"POST /pets/dog/2": "ANY /{proxy+}", "GET /": "GET /", "POST /": "$default",
		"GET /pets/dog/": "GET /pets/{proxy+}",
	} {
		method, target, _ := strings.Cut(path, " ")
		h.do(t, h.request(t, method, target, nil))
		if got := h.functions.event.RouteKey; got != want {
			t.Errorf("%s is answered by %s, want %s", path, got, want)
		}
	}
}

func TestRefusalsOfTheGateway(t *testing.T) {
	h := start(t)
	h.api(t, "a", "ANY /orders")
	ok := `{"statusCode":200}`
	for _, c := range []struct {
		name    string
		request *http.Request
		answer  func(context.Context) (lambda.Result, error)
		status  int
		message string
	}{
		{"no route", h.request(t, "GET", "/nowhere", nil), nil, 404, "Not Found"},
		{
			"function error", h.request(t, "GET", "/orders", nil),
			func(context.Context) (lambda.Result, error) {
				return lambda.Result{Payload: []byte("{}"), FunctionError: "Unhandled"}, nil
			}, 500, "Internal Server Error",
		},
		{
			"throttled", h.request(t, "GET", "/orders", nil),
			func(context.Context) (lambda.Result, error) {
				return lambda.Result{}, wire.Errorf(429, "TooManyRequestsException", "Rate Exceeded.")
			}, 503, "Service Unavailable",
		},
		{
			"event too large", h.request(t, "GET", "/orders", nil),
			func(context.Context) (lambda.Result, error) {
				return lambda.Result{}, wire.Errorf(413, "RequestTooLargeException", "x")
			}, 413, "Request Entity Too Large",
		},
		{
			"time-out", h.request(t, "GET", "/orders", nil),
			func(ctx context.Context) (lambda.Result, error) {
				<-ctx.Done()
				return lambda.Result{}, ctx.Err()
			}, 503, "Service Unavailable",
		},
		{
			"body too large", h.request(t, "PUT", "/orders", make([]byte, 10<<20+1)), nil, 413,
			"Request Entity Too Large",
		},
		{"headers too large", func() *http.Request {
			r := h.request(t, "GET", "/orders", nil)
			r.Header.Set("X", strings.Repeat("x", 10240))
			return r
		}(), nil, 431, "Request Header Fields Too Large"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h.functions.answers(ok)
			if c.answer != nil {
				h.functions.does(c.answer)
			}
			r, body := h.do(t, c.request)
			if want := `{"message":"` + c.message + `"}`; r.StatusCode != c.status || body != want {
				t.Errorf("%d %s, want %d %s", r.StatusCode, body, c.status, want)
			}
		})
	}
	h.functions.answers(ok)
	h.functions.forbids = true
	if r, _ := h.do(t, h.request(t, "GET", "/orders", nil)); r.StatusCode != 500 {
		t.Errorf("without permission: %d", r.StatusCode)
	}
	if h.metrics["Count"] != 8 || h.metrics["5xx"] != 4 || h.metrics["4xx"] != 4 {
		t.Errorf("metrics: %v", h.metrics)
	}
}

func TestWhichAPIAnswers(t *testing.T) {
	h := start(t)
	first, second := h.api(t, "first", "$default"), h.api(t, "second", "$default")
	h.stage(t, second, "prod")
	if _, err := h.client.CreateDomainName(t.Context(), &apigatewayv2.CreateDomainNameInput{
		DomainName: aws.String("orders.proa.test"),
		DomainNameConfigurations: []types.DomainNameConfiguration{{
			CertificateArn: aws.String("arn:aws:acm:us-east-1:000000000000:certificate/x"),
		}},
	}); err != nil {
		t.Fatal(err)
	}
	for key, stage := range map[string]string{"": "$default", "v1": "prod"} {
		if _, err := h.client.CreateApiMapping(t.Context(), &apigatewayv2.CreateApiMappingInput{
			DomainName: aws.String("orders.proa.test"), ApiId: &second, Stage: &stage, ApiMappingKey: &key,
		}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ host, path, api, stage string }{
		{"", "/x", first, "$default"},
		{"unknown.test", "/x", first, "$default"},
		{second + ".execute-api.us-east-1.amazonaws.com", "/x", second, "$default"},
		{second + ".execute-api.us-east-1.amazonaws.com", "/prod/x", second, "prod"},
		{"orders.proa.test", "/x", second, "$default"},
		{"orders.proa.test:8080", "/v1/x", second, "prod"},
	} {
		r := h.request(t, "GET", c.path, nil)
		r.Host = c.host
		h.do(t, r)
		if got := h.functions.event.RequestContext; got.APIID != c.api || got.Stage != c.stage {
			t.Errorf("%s%s: %s %s, want %s %s", c.host, c.path, got.APIID, got.Stage, c.api, c.stage)
		}
	}
	r := h.request(t, "GET", "/", nil)
	r.Host = "nobody.execute-api.us-east-1.amazonaws.com"
	if answer, _ := h.do(t, r); answer.StatusCode != 404 {
		t.Errorf("an API that does not exist answers %s", answer.Status)
	}
}

func TestAPIsSurviveARestart(t *testing.T) {
	h := start(t)
	id := h.api(t, "a", "GET /x", "$default")
	h.close()
	h = open(t, h.dir)
	routes, err := h.client.GetRoutes(t.Context(), &apigatewayv2.GetRoutesInput{ApiId: &id})
	if err != nil || len(routes.Items) != 2 {
		t.Fatal(routes, err)
	}
	h.do(t, h.request(t, "GET", "/x", nil))
	if got := h.functions.event.RouteKey; got != "GET /x" {
		t.Errorf("answered by %s", got)
	}
}

func TestStageWithoutAutoDeployServesItsDeployment(t *testing.T) {
	h := start(t)
	id := h.api(t, "a", "GET /old")
	h.do(t, h.request(t, "GET", "/old", nil))
	if _, err := h.client.CreateStage(t.Context(), &apigatewayv2.CreateStageInput{
		ApiId: &id, StageName: aws.String("manual"),
	}); err != nil {
		t.Fatal(err)
	}
	status := func(path string) int {
		r, _ := h.do(t, h.request(t, "GET", path, nil))
		return r.StatusCode
	}
	if got := status("/manual/old"); got != 404 {
		t.Errorf("before a deployment: %d", got)
	}
	if _, err := h.client.CreateDeployment(t.Context(), &apigatewayv2.CreateDeploymentInput{
		ApiId: &id, StageName: aws.String("manual"),
	}); err != nil {
		t.Fatal(err)
	}
	integrations, err := h.client.GetIntegrations(t.Context(), &apigatewayv2.GetIntegrationsInput{ApiId: &id})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.client.CreateRoute(t.Context(), &apigatewayv2.CreateRouteInput{
		ApiId: &id, RouteKey: aws.String("GET /new"),
		Target: aws.String("integrations/" + *integrations.Items[0].IntegrationId),
	}); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{"/manual/old": 200, "/manual/new": 404, "/new": 200} {
		if got := status(path); got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
}

func TestControlPlaneRefuses(t *testing.T) {
	h := start(t)
	id := h.api(t, "a", "GET /x")
	ctx := t.Context()
	code := func(err error) string {
		var api smithy.APIError
		if errors.As(err, &api) {
			return api.ErrorCode()
		}
		return ""
	}
	_, noAPI := h.client.GetApi(ctx, &apigatewayv2.GetApiInput{ApiId: aws.String("none")})
	_, duplicate := h.client.CreateRoute(ctx, &apigatewayv2.CreateRouteInput{
		ApiId: &id, RouteKey: aws.String("GET /x"),
	})
	_, malformed := h.client.CreateRoute(ctx, &apigatewayv2.CreateRouteInput{
		ApiId: &id, RouteKey: aws.String("FETCH x"),
	})
	_, greedy := h.client.CreateRoute(ctx, &apigatewayv2.CreateRouteInput{
		ApiId: &id, RouteKey: aws.String("GET /{a+}/b"),
	})
	_, jwt := h.client.CreateRoute(ctx, &apigatewayv2.CreateRouteInput{
		ApiId: &id, RouteKey: aws.String("GET /y"), AuthorizationType: types.AuthorizationTypeJwt,
	})
	_, target := h.client.CreateRoute(ctx, &apigatewayv2.CreateRouteInput{
		ApiId: &id, RouteKey: aws.String("GET /y"), Target: aws.String("integrations/none"),
	})
	_, proxy := h.client.CreateIntegration(ctx, &apigatewayv2.CreateIntegrationInput{
		ApiId: &id, IntegrationType: types.IntegrationTypeHttpProxy, PayloadFormatVersion: aws.String("1.0"),
	})
	_, socket := h.client.CreateApi(ctx, &apigatewayv2.CreateApiInput{
		Name: aws.String("w"), ProtocolType: types.ProtocolTypeWebsocket,
	})
	_, authorizers := h.client.GetAuthorizers(ctx, &apigatewayv2.GetAuthorizersInput{ApiId: &id})
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"no such API": {noAPI, "NotFoundException"}, "duplicate route": {duplicate, "ConflictException"},
		"malformed route": {malformed, "BadRequestException"}, "greedy not last": {greedy, "BadRequestException"},
		"authorizer": {jwt, "BadRequestException"}, "no such target": {target, "BadRequestException"},
		"other integration": {proxy, "BadRequestException"}, "websocket": {socket, "BadRequestException"},
		"not implemented": {authorizers, "UnknownOperationException"},
	} {
		if got := code(c.err); got != c.want {
			t.Errorf("%s: %q (%v), want %s", name, got, c.err, c.want)
		}
	}
}

func TestQuickCreateServesAtOnce(t *testing.T) {
	h := start(t)
	created, err := h.client.CreateApi(t.Context(), &apigatewayv2.CreateApiInput{
		Name: aws.String("quick"), ProtocolType: types.ProtocolTypeHttp, Target: aws.String(function),
	})
	if err != nil {
		t.Fatal(err)
	}
	h.do(t, h.request(t, "GET", "/any/thing", nil))
	if got := h.functions.event.RouteKey; got != "$default" {
		t.Errorf("answered by %q", got)
	}
	if _, err := h.client.DeleteApi(t.Context(), &apigatewayv2.DeleteApiInput{ApiId: created.ApiId}); err != nil {
		t.Fatal(err)
	}
	if r, _ := h.do(t, h.request(t, "GET", "/any/thing", nil)); r.StatusCode != 404 {
		t.Errorf("after deletion: %s", r.Status)
	}
}
