package apigateway

import (
	"encoding/json"
	"maps"
	"net/http"

	"github.com/proa-cloud/proa/aws/local/wire"
)

type stages struct{}

type stageRequest struct {
	StageName      string
	AutoDeploy     *bool
	DeploymentId   *string
	Description    *string
	StageVariables map[string]string
	Tags           map[string]string
}

func renderStage(st stage) map[string]any {
	out := map[string]any{
		"stageName": st.Name, "autoDeploy": st.AutoDeploy, "createdDate": stamp(st.Created),
		"lastUpdatedDate": stamp(st.Updated), "stageVariables": orEmpty(st.Variables),
		"defaultRouteSettings": map[string]any{"detailedMetricsEnabled": false},
		"routeSettings":        map[string]any{}, "tags": orEmpty(st.Tags),
	}
	if st.DeploymentID != "" {
		out["deploymentId"] = st.DeploymentID
	}
	if st.Description != "" {
		out["description"] = st.Description
	}
	return out
}

func (in *stageRequest) apply(a *api, st *stage) *wire.Error {
	if in.AutoDeploy != nil {
		st.AutoDeploy = *in.AutoDeploy
	}
	if in.DeploymentId != nil {
		if _, ok := a.Deployments[*in.DeploymentId]; !ok {
			return notFound("Unable to find Deployment by ID " + *in.DeploymentId)
		}
		st.DeploymentID = *in.DeploymentId
	}
	if in.Description != nil {
		st.Description = *in.Description
	}
	for name, value := range in.StageVariables {
		if len(name) > 64 || len(value) > 512 {
			return badRequest("Stage variable names must have at most 64 characters, values 512")
		}
	}
	if in.StageVariables != nil {
		st.Variables = maps.Clone(in.StageVariables)
	}
	return nil
}

func (stages) create(s *Server, a *api, r *http.Request) (any, *wire.Error) {
	var in stageRequest
	if refusal := read(r, &in); refusal != nil {
		return nil, refusal
	}
	switch {
	case !stageName.MatchString(in.StageName):
		return nil, badRequest("Invalid stage name: " + in.StageName)
	case len(a.Stages) >= maxStages:
		return nil, tooMany("stages")
	}
	if _, exists := a.Stages[in.StageName]; exists {
		return nil, conflict("Stage already exists")
	}
	now := s.cfg.Clock()
	st := stage{Name: in.StageName, Created: now, Updated: now, Tags: in.Tags}
	if refusal := in.apply(a, &st); refusal != nil {
		return nil, refusal
	}
	a.Stages[st.Name] = st
	return renderStage(st), nil
}

func (stages) update(s *Server, a *api, name string, r *http.Request) (any, *wire.Error) {
	st, ok := a.Stages[name]
	if !ok {
		return nil, notFound("Invalid stage identifier specified")
	}
	var in stageRequest
	if refusal := read(r, &in); refusal != nil {
		return nil, refusal
	}
	if refusal := in.apply(a, &st); refusal != nil {
		return nil, refusal
	}
	st.Updated = s.cfg.Clock()
	a.Stages[name] = st
	return renderStage(st), nil
}

func (stages) remove(a *api, name string) *wire.Error {
	if _, ok := a.Stages[name]; !ok {
		return notFound("Invalid stage identifier specified")
	}
	delete(a.Stages, name)
	return nil
}

func (stages) get(a *api, name string) (any, *wire.Error) {
	st, ok := a.Stages[name]
	if !ok {
		return nil, notFound("Invalid stage identifier specified")
	}
	return renderStage(st), nil
}

func (stages) list(a *api) []any { return sorted(a.Stages, renderStage) }

type deployments struct{}

func renderDeployment(d deployment) map[string]any {
	return map[string]any{
		"deploymentId": d.ID, "createdDate": stamp(d.Created), "deploymentStatus": "DEPLOYED",
		"autoDeployed": false, "description": d.Description,
	}
}

func (deployments) create(s *Server, a *api, r *http.Request) (any, *wire.Error) {
	var in struct{ Description, StageName string }
	if refusal := read(r, &in); refusal != nil {
		return nil, refusal
	}
	switch {
	case len(a.Deployments) >= maxDeployments:
		return nil, tooMany("deployments")
	case len(a.Routes) == 0:
		return nil, badRequest("At least one route is required before deploying the Api.")
	}
	d := deployment{
		ID: newID(6), Description: in.Description, Created: s.cfg.Clock(),
		Integrations: maps.Clone(a.Integrations), Routes: maps.Clone(a.Routes),
	}
	if in.StageName != "" {
		st, ok := a.Stages[in.StageName]
		if !ok {
			return nil, notFound("Invalid stage identifier specified")
		}
		if st.AutoDeploy {
			return nil, badRequest("Deployment ID cannot be set on a stage with AutoDeploy enabled")
		}
		st.DeploymentID, st.Updated = d.ID, s.cfg.Clock()
		a.Stages[in.StageName] = st
	}
	a.Deployments[d.ID] = d
	return renderDeployment(d), nil
}

func (deployments) update(_ *Server, a *api, id string, r *http.Request) (any, *wire.Error) {
	d, ok := a.Deployments[id]
	if !ok {
		return nil, notFound("Invalid deployment identifier specified")
	}
	var in struct{ Description string }
	if refusal := read(r, &in); refusal != nil {
		return nil, refusal
	}
	d.Description = in.Description
	a.Deployments[id] = d
	return renderDeployment(d), nil
}

func (deployments) remove(a *api, id string) *wire.Error {
	if _, ok := a.Deployments[id]; !ok {
		return notFound("Invalid deployment identifier specified")
	}
	for _, st := range a.Stages {
		if st.DeploymentID == id {
			return badRequest("Active stages pointing to this deployment must be moved or deleted")
		}
	}
	delete(a.Deployments, id)
	return nil
}

func (deployments) get(a *api, id string) (any, *wire.Error) {
	d, ok := a.Deployments[id]
	if !ok {
		return nil, notFound("Invalid deployment identifier specified")
	}
	return renderDeployment(d), nil
}

func (deployments) list(a *api) []any { return sorted(a.Deployments, renderDeployment) }

const maxDomains = 120

type domainRequest struct {
	DomainName               string
	DomainNameConfigurations []struct{ CertificateArn, EndpointType, SecurityPolicy string }
	MutualTlsAuthentication  json.RawMessage
	Tags                     map[string]string
}

func (s *Server) renderDomain(d *domain) map[string]any {
	return map[string]any{
		"domainName": d.Name, "tags": orEmpty(d.Tags), "apiMappingSelectionExpression": "$request.basepath",
		"domainNameConfigurations": []any{map[string]any{
			"certificateArn": d.CertificateARN, "domainNameStatus": "AVAILABLE", "endpointType": "REGIONAL",
			"apiGatewayDomainName": "d-" + s.cfg.AccountID[:min(10, len(s.cfg.AccountID))] +
				".execute-api." + s.cfg.Region + ".amazonaws.com",
			"securityPolicy": "TLS_1_2", "ipAddressType": "ipv4",
		}},
	}
}

func renderMapping(m mapping) map[string]any {
	return map[string]any{"apiMappingId": m.ID, "apiId": m.APIID, "stage": m.Stage, "apiMappingKey": m.Key}
}

// ok answers 200.
func ok(body any) (answer, *wire.Error) { return answer{http.StatusOK, body}, nil }
