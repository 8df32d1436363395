package apigateway

import (
	"maps"
	"net/http"
	"regexp"
	"strings"

	"github.com/proa-cloud/proa/aws/local/wire"
)

var domainPattern = regexp.MustCompile(`^(\*\.)?([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z0-9-]+$`)

func (s *Server) dispatchDomains(r *http.Request, path []string) (answer, *wire.Error) {
	switch {
	case len(path) == 0 && r.Method == http.MethodPost:
		return s.createDomain(r)
	case len(path) == 0 && r.Method == http.MethodGet:
		s.mu.RLock()
		defer s.mu.RUnlock()
		return ok(map[string]any{"items": sorted(s.domains, s.renderDomain)})
	case len(path) == 0:
		return answer{}, unknown()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.domains[path[0]]
	if d == nil {
		return answer{}, notFound("Invalid domain name identifier specified")
	}
	switch {
	case len(path) == 1 && r.Method == http.MethodGet:
		return ok(s.renderDomain(d))
	case len(path) == 1 && r.Method == http.MethodDelete:
		delete(s.domains, d.Name)
		if err := s.drop(domainPrefix + d.Name); err != nil {
			s.domains[d.Name] = d
			return answer{}, internal(err)
		}
		return answer{http.StatusNoContent, nil}, nil
	case len(path) < 2 || path[1] != "apimappings" || len(path) > 3:
		return answer{}, unknown()
	case len(path) == 2 && r.Method == http.MethodGet:
		return ok(map[string]any{"items": sorted(d.Mappings, renderMapping)})
	case len(path) == 2 && r.Method == http.MethodPost:
		return s.createMapping(r, d)
	case len(path) == 3:
		return s.oneMapping(r, d, path[2])
	}
	return answer{}, unknown()
}

func (s *Server) createDomain(r *http.Request) (answer, *wire.Error) {
	var in domainRequest
	if refusal := read(r, &in); refusal != nil {
		return answer{}, refusal
	}
	name := strings.ToLower(in.DomainName)
	if !domainPattern.MatchString(name) || len(name) > 253 {
		return answer{}, badRequest("The domain name to be created is invalid: " + in.DomainName)
	}
	if len(in.MutualTlsAuthentication) > 0 && string(in.MutualTlsAuthentication) != "null" {
		return answer{}, badRequest("Mutual TLS is not supported here")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.domains[name] != nil:
		return answer{}, conflict("The domain name you provided already exists.")
	case len(s.domains) >= maxDomains:
		return answer{}, tooMany("domain names")
	}
	d := &domain{Name: name, Tags: in.Tags, Mappings: map[string]mapping{}}
	for _, configuration := range in.DomainNameConfigurations {
		d.CertificateARN = configuration.CertificateArn
	}
	if err := s.put(domainPrefix+name, d); err != nil {
		return answer{}, internal(err)
	}
	return answer{http.StatusCreated, s.renderDomain(d)}, nil
}

func (s *Server) createMapping(r *http.Request, d *domain) (answer, *wire.Error) {
	var in struct{ ApiId, Stage, ApiMappingKey string }
	if refusal := read(r, &in); refusal != nil {
		return answer{}, refusal
	}
	m := mapping{ID: newID(6), APIID: in.ApiId, Stage: in.Stage, Key: in.ApiMappingKey}
	if refusal := s.checkMapping(m, d); refusal != nil {
		return answer{}, refusal
	}
	return s.saveMapping(http.StatusCreated, d, m)
}

func (s *Server) checkMapping(m mapping, d *domain) *wire.Error {
	a := s.apis[m.APIID]
	if a == nil {
		return badRequest("Invalid API identifier specified " + s.cfg.AccountID + ":" + m.APIID)
	}
	if _, exists := a.Stages[m.Stage]; !exists {
		return badRequest("Invalid stage identifier specified")
	}
	for _, other := range d.Mappings {
		if other.Key == m.Key && other.ID != m.ID {
			return conflict("ApiMapping key already exists for this domain name")
		}
	}
	return nil
}

func (s *Server) saveMapping(status int, d *domain, m mapping) (answer, *wire.Error) {
	next := *d
	next.Mappings = maps.Clone(d.Mappings)
	next.Mappings[m.ID] = m
	if err := s.put(domainPrefix+d.Name, &next); err != nil {
		return answer{}, internal(err)
	}
	return answer{status, renderMapping(m)}, nil
}

func (s *Server) oneMapping(r *http.Request, d *domain, id string) (answer, *wire.Error) {
	m, exists := d.Mappings[id]
	if !exists {
		return answer{}, notFound("Invalid API mapping identifier specified")
	}
	switch r.Method {
	case http.MethodGet:
		return ok(renderMapping(m))
	case http.MethodPatch:
		var in struct{ ApiId, Stage, ApiMappingKey *string }
		if refusal := read(r, &in); refusal != nil {
			return answer{}, refusal
		}
		for _, field := range []struct{ from, to *string }{
			{in.ApiId, &m.APIID}, {in.Stage, &m.Stage}, {in.ApiMappingKey, &m.Key},
		} {
			if field.from != nil {
				*field.to = *field.from
			}
		}
		if refusal := s.checkMapping(m, d); refusal != nil {
			return answer{}, refusal
		}
		return s.saveMapping(http.StatusOK, d, m)
	case http.MethodDelete:
		next := *d
		next.Mappings = maps.Clone(d.Mappings)
		delete(next.Mappings, id)
		if err := s.put(domainPrefix+d.Name, &next); err != nil {
			return answer{}, internal(err)
		}
		return answer{http.StatusNoContent, nil}, nil
	}
	return answer{}, unknown()
}
