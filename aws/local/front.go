package local

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/proa-cloud/proa/aws/local/cloudwatch"
	"github.com/proa-cloud/proa/aws/local/lambda"
	"github.com/proa-cloud/proa/aws/local/s3"
	"github.com/proa-cloud/proa/aws/local/sigv4"
	"github.com/proa-cloud/proa/aws/local/wire"
)

// front verifies a request's signature and hands it to the service that it was signed for.
type front struct {
	services  *services
	verifiers verifiers
	bodies    *wire.Budget // of requests whose signature is not verified yet
}

// maxUnverified is how much of bodies may be in memory before their signatures are verified, in bytes.
const maxUnverified = 512 << 20

// verifiers differ only in how large a body they read into memory.
type verifiers struct{ usual, lambda *sigv4.Verifier }

func newVerifiers(cfg Config) verifiers {
	secret := sigv4.NewSecret(cfg.SecretAccessKey.Reveal())
	usual := sigv4.Verifier{
		Lookup: func(id string) (sigv4.Secret, bool) { return secret, id == cfg.AccessKeyID },
		Clock:  cfg.Clock, Region: cfg.Region,
	}
	large := usual
	large.MaxBody = lambda.MaxRequest
	return verifiers{&usual, &large}
}

// ServeHTTP verifies and routes.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	verifier := f.verifiers.usual
	if strings.Contains(r.Header.Get("Authorization"), "/lambda/aws4_request") {
		verifier = f.verifiers.lambda // nothing is believed yet, only more is read
	}
	identity, err := f.verify(verifier, r)
	switch {
	case errors.Is(err, wire.ErrBudget):
		tooBusyAPI(w, r)
		return
	case err != nil:
		refuse(w, r, err)
		return
	}
	f.services.cfg.Telemetry.Box(boxOf(identity.Service), f.serving(identity.Service)).ServeHTTP(w, r)
}

// serving is what answers a verified request to a service.
func (f *front) serving(service string) http.Handler {
	if isData(service) && f.services.cfg.Faults.Throttles() {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { throttle(w, r, service) })
	}
	if handler := f.handler(service); handler != nil {
		return handler
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { unknownService(w, r, service) })
}

func unknownService(w http.ResponseWriter, r *http.Request, service string) {
	writeRefusal(w, r, sigv4.ProtocolOf(service), wire.Errorf(http.StatusBadRequest,
		"UnknownOperationException", "The service %q does not exist here.", service))
}

// verify verifies a request. The bodies of all services but S3 are read whole for that; S3's stream.
func (f *front) verify(verifier *sigv4.Verifier, r *http.Request) (sigv4.Identity, error) {
	if r.Body == nil || claimedService(r) == "s3" {
		return verifier.Verify(r)
	}
	counted := f.bodies.Body(r.Body)
	r.Body = counted
	defer counted.Release()
	identity, err := verifier.Verify(r)
	if counted.Exhausted {
		return identity, wire.ErrBudget
	}
	return identity, err
}

func (f *front) handler(service string) http.Handler {
	switch service {
	case "dynamodb":
		return f.services.dynamodb
	case "s3":
		return f.services.s3
	case "lambda":
		return f.services.lambda
	case "apigateway":
		return f.services.apigateway
	case "monitoring":
		return f.services.cloudwatch
	case "events":
		return f.services.events
	case "sqs":
		return f.services.sqs
	case "sts":
		return f.services.sts
	}
	return nil
}

// refuse answers a request whose signature does not hold, in the words of the service it is for.
func refuse(w http.ResponseWriter, r *http.Request, err error) {
	refusal := (*sigv4.Error)(nil)
	if !errors.As(err, &refusal) {
		refusal = &sigv4.Error{Status: http.StatusInternalServerError, Code: "InternalFailure"}
	}
	service := claimedService(r)
	protocol := sigv4.ProtocolOf(service)
	if service == "" {
		protocol = guessProtocol(r)
	}
	if protocol == sigv4.S3 {
		s3.WriteError(w, r, refusal.For(protocol))
		return
	}
	if refusal.Reason != 0 {
		refusal = refusal.For(protocol)
	}
	writeRefusal(w, r, protocol, wire.Errorf(refusal.Status, refusal.Code, "%s", refusal.Message))
}

// claimedService is the service in the credential scope, of the header or of a presigned URL.
func claimedService(r *http.Request) string {
	for _, text := range []string{r.Header.Get("Authorization"), r.URL.Query().Get("X-Amz-Credential")} {
		if before, _, ok := strings.Cut(text, "/aws4_request"); ok {
			return before[strings.LastIndexByte(before, '/')+1:]
		}
	}
	return ""
}

// guessProtocol finds the protocol of an unsigned request by its form; a browser's looks like S3's.
func guessProtocol(r *http.Request) sigv4.Protocol {
	form := strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded")
	switch {
	case r.Header.Get("X-Amz-Target") != "" || r.Header.Get("Smithy-Protocol") != "":
		return sigv4.JSON
	case strings.HasPrefix(r.URL.Path, "/2015-03-31/") || strings.HasPrefix(r.URL.Path, "/v2/apis"):
		return sigv4.RESTJSON
	case form || r.URL.Query().Get("Action") != "":
		return sigv4.Query
	}
	return sigv4.S3
}

func writeRefusal(w http.ResponseWriter, r *http.Request, p sigv4.Protocol, e *wire.Error) {
	id := wire.RequestID()
	w.Header().Set("X-Amzn-Requestid", id)
	if r.Header.Get("Smithy-Protocol") != "" {
		cloudwatch.WriteError(w, r, e)
		return
	}
	switch p {
	case sigv4.Query:
		wire.WriteQuery(w, "", id, e)
	case sigv4.RESTJSON:
		wire.WriteREST(w, e)
	default:
		e.Code = strings.TrimPrefix(e.Code, "com.amazon.coral.service#")
		wire.WriteAWSJSON(w, "application/x-amz-json-1.0", e)
	}
}

// gate bounds how many requests run at once and knows when none does.
type gate struct {
	next http.Handler
	busy http.HandlerFunc

	mu      sync.Mutex
	running int
	empty   chan struct{} // closed when running is 0
}

func newGate(next http.Handler, busy http.HandlerFunc) *gate {
	g := &gate{next: next, busy: busy, empty: make(chan struct{})}
	close(g.empty)
	return g
}

// ServeHTTP runs the request, or refuses it past the limit.
func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !g.enter() {
		g.busy(w, r)
		return
	}
	defer g.leave()
	g.next.ServeHTTP(w, r)
}

func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.running >= maxRequests {
		return false
	}
	if g.running == 0 {
		g.empty = make(chan struct{})
	}
	g.running++
	return true
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.running--; g.running == 0 {
		close(g.empty)
	}
}

// idle waits until no request runs, for so long at most.
func (g *gate) idle(limit time.Duration) bool {
	g.mu.Lock()
	empty := g.empty
	g.mu.Unlock()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-empty:
		return true
	case <-timer.C:
		return false
	}
}

// tooBusyAPI answers past the endpoint's limit.
func tooBusyAPI(w http.ResponseWriter, r *http.Request) {
	service := claimedService(r)
	if service == "s3" {
		writeS3Busy(w)
		return
	}
	writeRefusal(w, r, sigv4.ProtocolOf(service), wire.Errorf(http.StatusBadRequest,
		"ThrottlingException", "Rate exceeded"))
}

func writeS3Busy(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/xml")
	wire.Write(w, http.StatusServiceUnavailable, []byte(`<?xml version="1.0" encoding="UTF-8"?>`+
		"\n<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"))
}

// tooBusyGateway answers past the gateway's limit.
func tooBusyGateway(w http.ResponseWriter, _ *http.Request) {
	wire.WriteJSON(w, "application/json", http.StatusTooManyRequests,
		map[string]string{"message": "Too Many Requests"})
}
