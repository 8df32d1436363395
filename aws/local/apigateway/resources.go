package apigateway

import (
	"cmp"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/proa-cloud/proa/aws/local/wire"
)

// The vendor's quotas.
// https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html
const (
	maxRoutes       = 300
	maxIntegrations = 300
	maxStages       = 10
	maxDeployments  = 500
	minTimeoutMS    = 50
	maxTimeoutMS    = 30000
	targetPrefix    = "integrations/"
)

var (
	functionARN = regexp.MustCompile(
		`^(?:arn:aws:apigateway:[a-z0-9-]+:lambda:path/2015-03-31/functions/)?` +
			`(arn:aws:lambda:[a-z0-9-]+:\d{12}:function:[a-zA-Z0-9-_]{1,64}(?::[$a-zA-Z0-9-_]+)?)` +
			`(?:/invocations)?$`)
	stageName = regexp.MustCompile(`^(\$default|[a-zA-Z0-9_-]{1,128})$`)
)

// functionOf returns the function's ARN in an integration's URI.
func functionOf(uri string) (string, bool) {
	match := functionARN.FindStringSubmatch(uri)
	if match == nil {
		return "", false
	}
	return match[1], true
}

// sorted lists a map's values in the order of their keys, rendered.
func sorted[T any](m map[string]T, render func(T) map[string]any) []any {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	out := make([]any, 0, len(keys))
	for _, key := range keys {
		out = append(out, render(m[key]))
	}
	return out
}

type integrations struct{}

type integrationRequest struct {
	IntegrationType      string
	IntegrationUri       *string
	IntegrationMethod    string
	PayloadFormatVersion string
	TimeoutInMillis      *int
	Description          *string
	ConnectionType       string
	CredentialsArn       string
	IntegrationSubtype   string
	RequestParameters    map[string]string
	ResponseParameters   map[string]json.RawMessage
	TlsConfig            json.RawMessage
}

func renderIntegration(i integration) map[string]any {
	out := map[string]any{
		"integrationId": i.ID, "integrationType": "AWS_PROXY", "integrationUri": i.URI,
		"integrationMethod": i.Method, "payloadFormatVersion": "2.0", "timeoutInMillis": i.TimeoutMS,
		"connectionType": "INTERNET",
	}
	if i.Description != "" {
		out["description"] = i.Description
	}
	return out
}

// apply checks the request and puts what is given into the integration.
func (in *integrationRequest) apply(i *integration) *wire.Error {
	switch {
	case in.IntegrationType != "AWS_PROXY" || in.IntegrationSubtype != "":
		return badRequest("Invalid integration type specified here. Must be one of [AWS_PROXY]")
	case in.PayloadFormatVersion != "2.0":
		return badRequest("Invalid payload format version specified here. Must be one of [2.0]")
	case in.ConnectionType != "" && in.ConnectionType != "INTERNET":
		return badRequest("VPC links are not supported here")
	case len(in.RequestParameters) > 0 || len(in.ResponseParameters) > 0:
		return badRequest("Parameter mapping is not supported here")
	case in.CredentialsArn != "":
		return badRequest("CredentialsArn is not supported here; use a permission of the function")
	}
	if in.IntegrationUri != nil {
		if _, ok := functionOf(*in.IntegrationUri); !ok {
			return badRequest("Invalid function ARN or invalid uri: " + *in.IntegrationUri)
		}
		i.URI = *in.IntegrationUri
	}
	if in.TimeoutInMillis != nil {
		if *in.TimeoutInMillis < minTimeoutMS || *in.TimeoutInMillis > maxTimeoutMS {
			return badRequest("Timeout should be between 50 ms and 30000 ms")
		}
		i.TimeoutMS = *in.TimeoutInMillis
	}
	if in.Description != nil {
		i.Description = *in.Description
	}
	i.Method = cmp.Or(in.IntegrationMethod, i.Method, http.MethodPost)
	return nil
}

func (integrations) create(_ *Server, a *api, r *http.Request) (any, *wire.Error) {
	var in integrationRequest
	if refusal := read(r, &in); refusal != nil {
		return nil, refusal
	}
	if len(a.Integrations) >= maxIntegrations {
		return nil, tooMany("integrations")
	}
	if in.IntegrationUri == nil {
		return nil, badRequest("Integration URI must not be null")
	}
	i := integration{ID: newID(7), TimeoutMS: maxTimeoutMS}
	if refusal := in.apply(&i); refusal != nil {
		return nil, refusal
	}
	a.Integrations[i.ID] = i
	return renderIntegration(i), nil
}

func (integrations) update(_ *Server, a *api, id string, r *http.Request) (any, *wire.Error) {
	i, ok := a.Integrations[id]
	if !ok {
		return nil, notFound("Invalid Integration identifier specified " + id)
	}
	in := integrationRequest{IntegrationType: "AWS_PROXY", PayloadFormatVersion: "2.0"}
	if refusal := read(r, &in); refusal != nil {
		return nil, refusal
	}
	if refusal := in.apply(&i); refusal != nil {
		return nil, refusal
	}
	a.Integrations[id] = i
	return renderIntegration(i), nil
}

func (integrations) remove(a *api, id string) *wire.Error {
	if _, ok := a.Integrations[id]; !ok {
		return notFound("Invalid Integration identifier specified " + id)
	}
	for _, rt := range a.Routes {
		if rt.Target == targetPrefix+id {
			return conflict("Cannot delete Integration '" + id + "' due to Route referencing it")
		}
	}
	delete(a.Integrations, id)
	return nil
}

func (integrations) get(a *api, id string) (any, *wire.Error) {
	i, ok := a.Integrations[id]
	if !ok {
		return nil, notFound("Invalid Integration identifier specified " + id)
	}
	return renderIntegration(i), nil
}

func (integrations) list(a *api) []any { return sorted(a.Integrations, renderIntegration) }

type routes struct{}

type routeRequest struct {
	RouteKey          *string
	Target            *string
	OperationName     *string
	AuthorizationType string
	AuthorizerId      string
	ApiKeyRequired    bool
}

func renderRoute(rt routeRecord) map[string]any {
	out := map[string]any{
		"routeId": rt.ID, "routeKey": rt.Key, "apiKeyRequired": false, "authorizationType": "NONE",
	}
	if rt.Target != "" {
		out["target"] = rt.Target
	}
	if rt.OperationName != "" {
		out["operationName"] = rt.OperationName
	}
	return out
}

func (in *routeRequest) apply(a *api, rt *routeRecord) *wire.Error {
	if in.AuthorizationType != "" && in.AuthorizationType != "NONE" || in.AuthorizerId != "" {
		return badRequest("Authorizers are not supported here. AuthorizationType must be NONE")
	}
	if in.ApiKeyRequired {
		return badRequest("ApiKeyRequired is not currently supported for HTTP APIs")
	}
	if in.RouteKey != nil {
		if refusal := checkRouteKey(*in.RouteKey); refusal != nil {
			return refusal
		}
		for _, other := range a.Routes {
			if other.Key == *in.RouteKey && other.ID != rt.ID {
				return conflict("Route with key " + *in.RouteKey + " already exists for this API")
			}
		}
		rt.Key = *in.RouteKey
	}
	if in.Target != nil {
		id, ok := strings.CutPrefix(*in.Target, targetPrefix)
		if _, known := a.Integrations[id]; !ok || !known {
			return badRequest("Invalid integration target specified: " + *in.Target)
		}
		rt.Target = *in.Target
	}
	if in.OperationName != nil {
		rt.OperationName = *in.OperationName
	}
	return nil
}

func (routes) create(_ *Server, a *api, r *http.Request) (any, *wire.Error) {
	var in routeRequest
	if refusal := read(r, &in); refusal != nil {
		return nil, refusal
	}
	if in.RouteKey == nil {
		return nil, badRequest("Route key must not be null")
	}
	if len(a.Routes) >= maxRoutes {
		return nil, tooMany("routes")
	}
	rt := routeRecord{ID: newID(7)}
	if refusal := in.apply(a, &rt); refusal != nil {
		return nil, refusal
	}
	a.Routes[rt.ID] = rt
	return renderRoute(rt), nil
}

func (routes) update(_ *Server, a *api, id string, r *http.Request) (any, *wire.Error) {
	rt, ok := a.Routes[id]
	if !ok {
		return nil, notFound("Invalid Route identifier specified " + id)
	}
	var in routeRequest
	if refusal := read(r, &in); refusal != nil {
		return nil, refusal
	}
	if refusal := in.apply(a, &rt); refusal != nil {
		return nil, refusal
	}
	a.Routes[id] = rt
	return renderRoute(rt), nil
}

func (routes) remove(a *api, id string) *wire.Error {
	if _, ok := a.Routes[id]; !ok {
		return notFound("Invalid Route identifier specified " + id)
	}
	delete(a.Routes, id)
	return nil
}

func (routes) get(a *api, id string) (any, *wire.Error) {
	rt, ok := a.Routes[id]
	if !ok {
		return nil, notFound("Invalid Route identifier specified " + id)
	}
	return renderRoute(rt), nil
}

func (routes) list(a *api) []any { return sorted(a.Routes, renderRoute) }
