package apigateway

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/proa-cloud/proa/aws/local/lambda"
	"github.com/proa-cloud/proa/aws/local/wire"
)

// The vendor's quotas of a request.
const (
	MaxBody        = 10 << 20
	MaxHeaderBytes = 10240 // request line and headers together
)

// maxBodies is how much of all bodies may be in memory at once, in bytes; past it the answer is 429. Anyone may send some.
const maxBodies = 256 << 20

const namespace = "AWS/ApiGateway"

// Gateway returns the handler of the gateway's own listener, which serves the APIs' callers.
func (s *Server) Gateway() http.Handler { return http.HandlerFunc(s.gateway) }

// exchange is one request through the gateway.
type exchange struct {
	id     string
	at     time.Time
	host   string // without a port
	path   string // decoded, as the vendor passes it on
	api    *served
	stage  *servedStage
	route  *route
	values map[string]string // of the path's variables
	trace  string
	body   []byte

	integration time.Duration
}

func (s *Server) gateway(w http.ResponseWriter, r *http.Request) {
	x := s.open(r)
	w.Header().Set("Apigw-Requestid", x.id)
	status := s.answer(w, r, x)
	s.measure(x, status)
}

func (s *Server) open(r *http.Request) *exchange {
	x := &exchange{id: newRequestID(), at: s.cfg.Clock(), host: r.Host, trace: r.Header.Get("X-Amzn-Trace-Id")}
	if host, _, err := net.SplitHostPort(r.Host); err == nil {
		x.host = host
	}
	x.host = strings.ToLower(x.host)
	// The vendor decodes the path, and takes a decoded question mark for the query's beginning.
	x.path, _, _ = strings.Cut(r.URL.Path, "?")
	rest := ""
	x.api, x.stage, rest = s.serving.Load().locate(x.host, x.path)
	if x.stage != nil {
		x.route, x.values = x.stage.routes.find(r.Method, rest)
	}
	return x
}

// newRequestID returns an id of the form that HTTP APIs use.
func newRequestID() string {
	return base64.StdEncoding.EncodeToString([]byte(newID(11)))
}

func refuse(w http.ResponseWriter, status int, message string) int {
	wire.WriteJSON(w, contentType, status, map[string]string{"message": message})
	return status
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request, x *exchange) int {
	switch {
	case headerSize(r) > MaxHeaderBytes:
		return refuse(w, http.StatusRequestHeaderFieldsTooLarge, "Request Header Fields Too Large")
	case x.route == nil:
		return refuse(w, http.StatusNotFound, "Not Found")
	case r.ContentLength > MaxBody:
		return refuse(w, http.StatusRequestEntityTooLarge, "Request Entity Too Large")
	}
	counted := s.bodies.Body(r.Body)
	defer counted.Release()
	var err error
	x.body, err = io.ReadAll(http.MaxBytesReader(w, counted, MaxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.Is(err, wire.ErrBudget):
		return refuse(w, http.StatusTooManyRequests, "Too Many Requests")
	case errors.As(err, &tooLarge):
		return refuse(w, http.StatusRequestEntityTooLarge, "Request Entity Too Large")
	case err != nil:
		return refuse(w, http.StatusBadRequest, "Bad Request")
	}
	event, err := s.event(r, x)
	if err != nil {
		return refuse(w, http.StatusInternalServerError, "Internal Server Error")
	}
	return s.integrate(w, r, x, event)
}

// integrate calls the function and translates what comes back.
func (s *Server) integrate(w http.ResponseWriter, r *http.Request, x *exchange, event []byte) int {
	function, _ := functionOf(x.route.integration.URI)
	if !s.cfg.Functions.Allows(function, "apigateway.amazonaws.com", s.sourceARN(x)) {
		s.cfg.Logger.Warn("function does not let the API call it; add a permission",
			"function", function, "api", x.api.id)
		return refuse(w, http.StatusInternalServerError, "Internal Server Error")
	}
	limit := time.Duration(x.route.integration.TimeoutMS) * time.Millisecond
	ctx, cancel := context.WithTimeout(r.Context(), limit)
	defer cancel()
	start := s.cfg.Clock()
	result, err := s.cfg.Functions.Invoke(ctx, lambda.Call{
		Function: function, Payload: event, TraceID: x.trace,
	})
	x.integration = s.cfg.Clock().Sub(start)
	var refusal *wire.Error
	switch {
	case errors.As(err, &refusal):
		status, message := statusOf(refusal)
		return refuse(w, status, message)
	case err != nil: // the time is over, or the client is gone
		return refuse(w, http.StatusServiceUnavailable, "Service Unavailable")
	case result.FunctionError != "":
		return refuse(w, http.StatusInternalServerError, "Internal Server Error")
	}
	return respond(w, r, result.Payload)
}

// statusOf translates Lambda's refusals.
func statusOf(refusal *wire.Error) (int, string) {
	switch refusal.Status {
	case http.StatusTooManyRequests:
		return http.StatusServiceUnavailable, "Service Unavailable"
	case http.StatusRequestEntityTooLarge:
		return http.StatusRequestEntityTooLarge, "Request Entity Too Large"
	}
	return http.StatusInternalServerError, "Internal Server Error"
}

// sourceARN is on whose behalf the function is called:
// arn:aws:execute-api:region:account:api/stage/method/path.
func (s *Server) sourceARN(x *exchange) string {
	method, path := "*", "/"+defaultStage
	if m, p, ok := strings.Cut(x.route.key, " "); ok {
		path = p
		if m != "ANY" {
			method = m
		}
	}
	return "arn:aws:execute-api:" + s.cfg.Region + ":" + s.cfg.AccountID + ":" + x.api.id + "/" +
		x.stage.name + "/" + method + path
}

func headerSize(r *http.Request) int {
	size := len(r.Method) + len(r.RequestURI) + len(r.Proto) + len(r.Host) + len("Host: ")
	for name, values := range r.Header {
		for _, value := range values {
			size += len(name) + len(value)
		}
	}
	return size
}

// measure publishes the vendor's metrics of HTTP APIs, by API and by stage.
// https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-metrics.html
func (s *Server) measure(x *exchange, status int) {
	if x.api == nil || x.stage == nil {
		return
	}
	byAPI := [2]string{"ApiId", x.api.id}
	byStage := [2]string{"Stage", x.stage.name}
	emit := func(metric, unit string, value float64) {
		s.cfg.Emit(namespace, metric, unit, value, byAPI)
		s.cfg.Emit(namespace, metric, unit, value, byAPI, byStage)
	}
	emit("Count", "Count", 1)
	emit("4xx", "Count", oneIf(status >= 400 && status < 500))
	emit("5xx", "Count", oneIf(status >= 500))
	emit("Latency", "Milliseconds", milliseconds(s.cfg.Clock().Sub(x.at)))
	if x.integration > 0 {
		emit("IntegrationLatency", "Milliseconds", milliseconds(x.integration))
	}
}

func oneIf(condition bool) float64 {
	if condition {
		return 1
	}
	return 0
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
