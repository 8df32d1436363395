package apigateway

import (
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/proa-cloud/proa/aws/local/wire"
)

const maxAPIs = 600

const (
	defaultStage = "$default"
	routeExpr    = "$request.method $request.path"
	apiKeyExpr   = "$request.header.x-api-key"
)

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

type apiRequest struct {
	Name, Description, Version *string
	ProtocolType               string
	Target, RouteKey           string
	RouteSelectionExpression   string
	ApiKeySelectionExpression  string
	CredentialsArn             string
	CorsConfiguration          json.RawMessage
	DisableExecuteApiEndpoint  bool
	DisableSchemaValidation    bool
	Tags                       map[string]string
}

func (s *Server) renderAPI(a *api) map[string]any {
	endpoint := s.cfg.Endpoint
	if endpoint == "" {
		endpoint = "https://" + a.ID + ".execute-api." + s.cfg.Region + ".amazonaws.com"
	}
	out := map[string]any{
		"apiId":                     a.ID,
		"name":                      a.Name,
		"apiEndpoint":               endpoint,
		"protocolType":              "HTTP",
		"createdDate":               stamp(a.Created),
		"routeSelectionExpression":  routeExpr,
		"apiKeySelectionExpression": apiKeyExpr,
		"disableExecuteApiEndpoint": false,
		"ipAddressType":             "ipv4",
		"tags":                      orEmpty(a.Tags),
	}
	if a.Description != "" {
		out["description"] = a.Description
	}
	if a.Version != "" {
		out["version"] = a.Version
	}
	return out
}

func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

// check refuses what would change how the API answers and does not exist here.
func (in *apiRequest) check() *wire.Error {
	switch {
	case len(in.CorsConfiguration) > 0 && string(in.CorsConfiguration) != "null":
		return badRequest("CorsConfiguration is not supported here; answer OPTIONS in the function")
	case in.DisableExecuteApiEndpoint:
		return badRequest("DisableExecuteApiEndpoint is not supported here")
	case in.CredentialsArn != "":
		return badRequest("CredentialsArn is not supported here; use a permission of the function")
	case in.RouteSelectionExpression != "" && in.RouteSelectionExpression != routeExpr &&
		in.RouteSelectionExpression != "${request.method} ${request.path}":
		return badRequest("Invalid route selection expression for HTTP API")
	case in.Name != nil && (*in.Name == "" || len(*in.Name) > 128):
		return badRequest("Name must be between 1 and 128 characters long")
	}
	return nil
}

func (s *Server) createAPI(r *http.Request) (answer, *wire.Error) {
	var in apiRequest
	if refusal := read(r, &in); refusal != nil {
		return answer{}, refusal
	}
	switch {
	case in.Name == nil:
		return answer{}, badRequest("Name must not be null")
	case in.ProtocolType != "HTTP":
		return answer{}, badRequest("Invalid protocol specified here. Must be one of [HTTP]")
	}
	if refusal := in.check(); refusal != nil {
		return answer{}, refusal
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.apis) >= maxAPIs {
		return answer{}, tooMany("APIs")
	}
	a := &api{
		ID: newID(10), Name: *in.Name, Created: s.cfg.Clock(), Serial: s.nextSerial(), Tags: in.Tags,
		Integrations: map[string]integration{}, Routes: map[string]routeRecord{},
		Stages: map[string]stage{}, Deployments: map[string]deployment{},
	}
	in.describe(a)
	if in.Target != "" {
		if refusal := s.quickCreate(a, in.Target, in.RouteKey); refusal != nil {
			return answer{}, refusal
		}
	}
	if err := s.put(apiPrefix+a.ID, a); err != nil {
		return answer{}, internal(err)
	}
	return answer{http.StatusCreated, s.renderAPI(a)}, nil
}

func (in *apiRequest) describe(a *api) {
	if in.Name != nil {
		a.Name = *in.Name
	}
	if in.Description != nil {
		a.Description = *in.Description
	}
	if in.Version != nil {
		a.Version = *in.Version
	}
}

func (s *Server) nextSerial() uint64 {
	next := uint64(1)
	for _, a := range s.apis {
		next = max(next, a.Serial+1)
	}
	return next
}

// quickCreate makes an integration, a route (the default one unless told otherwise) and a stage
// that deploys by itself, as CreateApi with a target does.
func (s *Server) quickCreate(a *api, target, key string) *wire.Error {
	if key == "" {
		key = defaultStage
	}
	function, ok := functionOf(target)
	if !ok {
		return badRequest("Invalid target here. Must be the ARN of a function: " + target)
	}
	if refusal := checkRouteKey(key); refusal != nil {
		return refusal
	}
	i := integration{ID: newID(7), URI: function, TimeoutMS: maxTimeoutMS, Method: http.MethodPost}
	rt := routeRecord{ID: newID(7), Key: key, Target: targetPrefix + i.ID}
	now := s.cfg.Clock()
	a.Integrations[i.ID], a.Routes[rt.ID] = i, rt
	a.Stages[defaultStage] = stage{Name: defaultStage, AutoDeploy: true, Created: now, Updated: now}
	return nil
}

func (s *Server) getAPIs() (answer, *wire.Error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	ordered := make([]*api, 0, len(s.apis))
	for _, a := range s.apis {
		ordered = append(ordered, a)
	}
	slices.SortFunc(ordered, func(a, b *api) int { return int(a.Serial) - int(b.Serial) })
	items := make([]any, 0, len(ordered))
	for _, a := range ordered {
		items = append(items, s.renderAPI(a))
	}
	return answer{http.StatusOK, map[string]any{"items": items}}, nil
}

func (s *Server) updateAPI(r *http.Request, id string) (answer, *wire.Error) {
	var in apiRequest
	if refusal := read(r, &in); refusal != nil {
		return answer{}, refusal
	}
	if refusal := in.check(); refusal != nil {
		return answer{}, refusal
	}
	return s.edit(id, http.StatusOK, func(a *api) (any, *wire.Error) {
		in.describe(a)
		return s.renderAPI(a), nil
	})
}

func (s *Server) deleteAPI(id string) (answer, *wire.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.apis[id]
	if a == nil {
		return answer{}, s.noAPI(id)
	}
	for _, d := range s.domains {
		for _, m := range d.Mappings {
			if m.APIID == id {
				return answer{}, badRequest("Unable to delete API. The API has a mapping of domain " + d.Name)
			}
		}
	}
	delete(s.apis, id)
	if err := s.drop(apiPrefix + id); err != nil {
		s.apis[id] = a
		return answer{}, internal(err)
	}
	return answer{http.StatusNoContent, nil}, nil
}
