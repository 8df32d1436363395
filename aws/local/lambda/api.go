package lambda

import (
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/proa-cloud/proa/aws/local/wire"
)

const (
	contentType = "application/json"
	// MaxRequest is the vendor's limit of a control-plane request: 50 MB of package in base64.
	MaxRequest       = 70167211
	maxClientContext = 3583
)

// route is one operation; the path's one variable is the function's name.
type route struct {
	method, version, suffix string
	handle                  func(*Server, http.ResponseWriter, *http.Request, string) *wire.Error
}

// routes are the operations of https://docs.aws.amazon.com/lambda/latest/api/API_Operations.html
// that exist here, by what follows the function's name.
func routes() []route {
	const v = "/2015-03-31"
	return []route{
		{http.MethodPost, v, "/invocations", (*Server).invoke},
		{http.MethodGet, v, "", (*Server).getFunction},
		{http.MethodDelete, v, "", (*Server).deleteFunction},
		{http.MethodGet, v, "/configuration", (*Server).getConfiguration},
		{http.MethodPut, v, "/configuration", (*Server).updateConfiguration},
		{http.MethodPut, v, "/code", (*Server).updateCode},
		{http.MethodPost, v, "/policy", (*Server).addPermission},
		{http.MethodGet, v, "/policy", (*Server).getPolicy},
		{http.MethodPut, "/2017-10-31", "/concurrency", (*Server).putConcurrency},
		{http.MethodDelete, "/2017-10-31", "/concurrency", (*Server).deleteConcurrency},
		{http.MethodGet, "/2019-09-30", "/concurrency", (*Server).getConcurrency},
		{http.MethodGet, "/2020-06-30", "/code-signing-config", (*Server).getCodeSigning},
		{http.MethodGet, v, "/versions", (*Server).listVersions},
	}
}

// ServeHTTP answers one call of the API.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Amzn-Requestid", wire.RequestID())
	if refusal := s.dispatch(w, r); refusal != nil {
		if refusal.Fields == nil {
			kind := "User"
			if refusal.Status >= http.StatusInternalServerError {
				kind = "Service"
			}
			refusal.Fields = map[string]any{"Type": kind, "Message": refusal.Message}
		}
		wire.WriteREST(w, refusal)
	}
}

func (s *Server) dispatch(w http.ResponseWriter, r *http.Request) *wire.Error {
	version, rest, ok := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/")
	if !ok {
		return unknownOperation()
	}
	if arn, ok := strings.CutPrefix(rest, "tags/"); ok && version == "2017-03-31" {
		return s.tags(w, r, arn)
	}
	rest = strings.TrimSuffix(rest, "/")
	if rest == "functions" && version == "2015-03-31" {
		switch r.Method {
		case http.MethodPost:
			return s.createFunction(w, r)
		case http.MethodGet:
			return s.listFunctions(w, r)
		}
		return unknownOperation()
	}
	if rest == "account-settings" && r.Method == http.MethodGet && version == "2016-08-19" {
		return s.accountSettings(w)
	}
	segments := strings.SplitN(rest, "/", 3)
	if len(segments) < 2 || segments[0] != "functions" {
		return unknownOperation()
	}
	suffix := ""
	if len(segments) == 3 {
		suffix = "/" + segments[2]
	}
	return s.dispatchFunction(w, r, "/"+version, segments[1], suffix)
}

func (s *Server) dispatchFunction(
	w http.ResponseWriter, r *http.Request, version, escaped, suffix string,
) *wire.Error {
	reference, err := url.PathUnescape(escaped)
	if err != nil {
		return invalid("The function name is not correctly escaped.")
	}
	if statement, ok := strings.CutPrefix(suffix, "/policy/"); ok && r.Method == http.MethodDelete {
		name, refusal := s.known(r, reference)
		if refusal != nil {
			return refusal
		}
		return s.removePermission(w, r, name, statement)
	}
	for _, route := range routes() {
		if route.method == r.Method && route.version == version && route.suffix == suffix {
			name, refusal := s.known(r, reference)
			if refusal != nil {
				return refusal
			}
			return route.handle(s, w, r, name)
		}
	}
	return unknownOperation()
}

// known resolves a reference to the name of a function that exists.
func (s *Server) known(r *http.Request, reference string) (string, *wire.Error) {
	if q := r.URL.Query().Get("Qualifier"); q != "" && q != latest {
		return "", s.notFound(reference + ":" + q)
	}
	name, refusal := resolve(reference)
	if refusal != nil {
		return "", refusal
	}
	if _, ok := s.get(name); !ok {
		return "", s.notFound(name)
	}
	return name, nil
}

const functionPattern = `(arn:(aws[a-zA-Z-]*)?:lambda:)?([a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?` +
	`(\d{12}:)?(function:)?([a-zA-Z0-9-_]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?`

var functionName = regexp.MustCompile(`^` + functionPattern + `$`)

// resolve returns the plain name in a name, a partial ARN or an ARN.
func resolve(reference string) (string, *wire.Error) {
	match := functionName.FindStringSubmatch(reference)
	if match == nil || len(reference) > 170 || len(match[10]) > 64 {
		return "", constraint("functionName", reference,
			"Member must satisfy regular expression pattern: "+functionPattern)
	}
	if q := match[12]; q != "" && q != latest {
		return "", wire.Errorf(http.StatusNotFound, "ResourceNotFoundException",
			"Function not found: %s", reference)
	}
	return match[10], nil
}

func constraint(member, value, must string) *wire.Error {
	e := wire.Errorf(http.StatusBadRequest, "ValidationException",
		"1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: %s",
		value, member, must)
	e.Fields = map[string]any{}
	return e
}

func invalid(message string) *wire.Error {
	return wire.Errorf(http.StatusBadRequest, "InvalidParameterValueException", "%s", message)
}

func unknownOperation() *wire.Error {
	return &wire.Error{
		Status: http.StatusNotFound, Code: "UnknownOperationException",
		Message: "Unknown operation", Fields: map[string]any{},
	}
}

func internal(err error) *wire.Error {
	return wire.Errorf(http.StatusInternalServerError, "ServiceException", "%v", err)
}

func (s *Server) notFound(name string) *wire.Error {
	return wire.Errorf(http.StatusNotFound, "ResourceNotFoundException",
		"Function not found: %s", s.arn(name))
}

// invoke is the Invoke operation.
func (s *Server) invoke(
	w http.ResponseWriter, r *http.Request, name string,
) *wire.Error {
	call := Call{Function: name, TraceID: r.Header.Get("X-Amzn-Trace-Id")}
	call.RequestID = w.Header().Get("X-Amzn-Requestid")
	encoded := r.Header.Get("X-Amz-Client-Context")
	decoded, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(encoded) > maxClientContext {
		return wire.Errorf(http.StatusBadRequest, "InvalidRequestContentException",
			"Client context must be a valid Base64-encoded JSON object.")
	}
	call.ClientContext = string(decoded)
	if call.Payload, err = io.ReadAll(io.LimitReader(r.Body, MaxPayload+1)); err != nil {
		return wire.Errorf(http.StatusBadRequest, "InvalidRequestContentException",
			"Could not read the request body")
	}
	if refusal := checkPayload(call.Payload); refusal != nil {
		return refusal
	}
	switch kind := orDefault(r.Header.Get("X-Amz-Invocation-Type"), "RequestResponse"); kind {
	case "DryRun":
		w.WriteHeader(http.StatusNoContent)
		return nil
	case "Event":
		if err := s.InvokeAsync(call); err != nil {
			return asRefusal(err)
		}
		w.WriteHeader(http.StatusAccepted)
		return nil
	case "RequestResponse":
		return s.invokeSync(w, r, call)
	default:
		return constraint("invocationType", kind,
			"Member must satisfy enum value set: [Event, RequestResponse, DryRun]")
	}
}

func (s *Server) invokeSync(w http.ResponseWriter, r *http.Request, call Call) *wire.Error {
	result, err := s.Invoke(r.Context(), call)
	if err != nil {
		return asRefusal(err)
	}
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("X-Amz-Executed-Version", result.Version)
	if result.FunctionError != "" {
		h.Set("X-Amz-Function-Error", result.FunctionError)
	}
	if r.Header.Get("X-Amz-Log-Type") == "Tail" {
		h.Set("X-Amz-Log-Result", base64.StdEncoding.EncodeToString(result.LogTail))
	}
	wire.Write(w, http.StatusOK, result.Payload)
	return nil
}

func asRefusal(err error) *wire.Error {
	if refusal := (*wire.Error)(nil); errors.As(err, &refusal) {
		return refusal
	}
	return internal(err)
}
