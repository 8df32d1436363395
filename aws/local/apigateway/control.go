package apigateway

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"strings"

	"github.com/proa-cloud/proa/aws/local/wire"
)

const (
	contentType = "application/json"
	maxRequest  = 1 << 20
)

// answer is what an operation returns: a status and a document, nil for none.
type answer struct {
	status int
	body   any
}

// ServeHTTP answers one call of the control plane.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Amzn-Requestid", wire.RequestID())
	out, refusal := s.dispatch(r)
	if refusal != nil {
		wire.WriteREST(w, refusal)
		return
	}
	wire.WriteJSON(w, contentType, out.status, out.body)
}

func (s *Server) dispatch(r *http.Request) (answer, *wire.Error) {
	var path []string
	for _, segment := range strings.Split(strings.Trim(r.URL.EscapedPath(), "/"), "/") {
		decoded, err := url.PathUnescape(segment)
		if err != nil {
			return answer{}, badRequest("The path is not correctly escaped")
		}
		path = append(path, decoded)
	}
	if len(path) < 2 || path[0] != "v2" {
		return answer{}, unknown()
	}
	switch path[1] {
	case "apis":
		return s.dispatchAPIs(r, path[2:])
	case "domainnames":
		return s.dispatchDomains(r, path[2:])
	case "tags":
		return s.dispatchTags(r, path[2:])
	}
	return answer{}, unknown()
}

func (s *Server) dispatchAPIs(r *http.Request, path []string) (answer, *wire.Error) {
	switch len(path) {
	case 0:
		switch r.Method {
		case http.MethodPost:
			return s.createAPI(r)
		case http.MethodGet:
			return s.getAPIs()
		}
		return answer{}, unknown()
	case 1:
		switch r.Method {
		case http.MethodGet:
			return s.view(path[0], func(a *api) (answer, *wire.Error) {
				return answer{http.StatusOK, s.renderAPI(a)}, nil
			})
		case http.MethodPatch:
			return s.updateAPI(r, path[0])
		case http.MethodDelete:
			return s.deleteAPI(path[0])
		}
		return answer{}, unknown()
	}
	id := ""
	if len(path) == 3 {
		id = path[2]
	} else if len(path) > 3 {
		return answer{}, unknown()
	}
	var kind resource
	switch path[1] {
	case "integrations":
		kind = integrations{}
	case "routes":
		kind = routes{}
	case "stages":
		kind = stages{}
	case "deployments":
		kind = deployments{}
	default:
		return answer{}, unknown()
	}
	return s.dispatchResource(r, path[0], kind, id)
}

// resource is one kind of thing inside an API. Its methods see a private copy of the API.
type resource interface {
	create(s *Server, a *api, r *http.Request) (any, *wire.Error)
	update(s *Server, a *api, id string, r *http.Request) (any, *wire.Error)
	remove(a *api, id string) *wire.Error
	get(a *api, id string) (any, *wire.Error)
	list(a *api) []any
}

func (s *Server) dispatchResource(
	r *http.Request, apiID string, kind resource, id string,
) (answer, *wire.Error) {
	switch {
	case r.Method == http.MethodPost && id == "":
		return s.edit(apiID, http.StatusCreated, func(a *api) (any, *wire.Error) {
			return kind.create(s, a, r)
		})
	case r.Method == http.MethodPatch && id != "":
		return s.edit(apiID, http.StatusOK, func(a *api) (any, *wire.Error) {
			return kind.update(s, a, id, r)
		})
	case r.Method == http.MethodDelete && id != "":
		return s.edit(apiID, http.StatusNoContent, func(a *api) (any, *wire.Error) {
			return nil, kind.remove(a, id)
		})
	case r.Method == http.MethodGet && id != "":
		return s.view(apiID, func(a *api) (answer, *wire.Error) {
			out, refusal := kind.get(a, id)
			return answer{http.StatusOK, out}, refusal
		})
	case r.Method == http.MethodGet:
		return s.view(apiID, func(a *api) (answer, *wire.Error) {
			return answer{http.StatusOK, map[string]any{"items": kind.list(a)}}, nil
		})
	}
	return answer{}, unknown()
}

func (s *Server) view(
	apiID string, look func(*api) (answer, *wire.Error),
) (answer, *wire.Error) {
	s.mu.RLock()
	a := s.apis[apiID]
	s.mu.RUnlock()
	if a == nil {
		return answer{}, s.noAPI(apiID)
	}
	return look(a)
}

// edit changes a copy of an API and commits it.
func (s *Server) edit(
	apiID string, status int, change func(*api) (any, *wire.Error),
) (answer, *wire.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	current := s.apis[apiID]
	if current == nil {
		return answer{}, s.noAPI(apiID)
	}
	next := current.clone()
	out, refusal := change(next)
	if refusal != nil {
		return answer{}, refusal
	}
	if err := s.put(apiPrefix+apiID, next); err != nil {
		return answer{}, internal(err)
	}
	return answer{status, out}, nil
}

func (s *Server) noAPI(id string) *wire.Error {
	return notFound("Invalid API identifier specified " + s.cfg.AccountID + ":" + id)
}

func notFound(message string) *wire.Error {
	return wire.Errorf(http.StatusNotFound, "NotFoundException", "%s", message)
}

func badRequest(message string) *wire.Error {
	return wire.Errorf(http.StatusBadRequest, "BadRequestException", "%s", message)
}

func conflict(message string) *wire.Error {
	return wire.Errorf(http.StatusConflict, "ConflictException", "%s", message)
}

func tooMany(what string) *wire.Error {
	return wire.Errorf(http.StatusTooManyRequests, "TooManyRequestsException",
		"Limit exceeded: maximum number of %s reached", what)
}

func internal(err error) *wire.Error {
	return wire.Errorf(http.StatusInternalServerError, "InternalServerErrorException", "%v", err)
}

func unknown() *wire.Error {
	return wire.Errorf(http.StatusForbidden, "UnknownOperationException",
		"The requested operation is not supported here")
}

const idAlphabet = "abcdefghijklmnopqrstuvwxyz0123456789"

// newID returns a random identifier of n lower-case letters and digits, as the vendor's look.
func newID(n int) string {
	raw := make([]byte, n)
	_, _ = rand.Read(raw) // never fails, says its documentation
	for i, b := range raw {
		raw[i] = idAlphabet[int(b)%len(idAlphabet)]
	}
	return string(raw)
}

func (s *Server) dispatchTags(r *http.Request, path []string) (answer, *wire.Error) {
	arn := strings.Join(path, "/")
	_, id, ok := strings.Cut(arn, "::/apis/")
	if !ok {
		return answer{}, unknown()
	}
	switch r.Method {
	case http.MethodGet:
		return s.view(id, func(a *api) (answer, *wire.Error) {
			return answer{http.StatusOK, map[string]any{"tags": a.Tags}}, nil
		})
	case http.MethodPost:
		var in struct{ Tags map[string]string }
		if refusal := read(r, &in); refusal != nil {
			return answer{}, refusal
		}
		return s.edit(id, http.StatusCreated, func(a *api) (any, *wire.Error) {
			if a.Tags == nil {
				a.Tags = map[string]string{}
			}
			for key, value := range in.Tags {
				a.Tags[key] = value
			}
			return map[string]any{}, nil
		})
	case http.MethodDelete:
		return s.edit(id, http.StatusNoContent, func(a *api) (any, *wire.Error) {
			for _, key := range r.URL.Query()["tagKeys"] {
				delete(a.Tags, key)
			}
			return nil, nil
		})
	}
	return answer{}, unknown()
}

func read(r *http.Request, into any) *wire.Error {
	refusal := wire.ReadRESTJSON(r, maxRequest, into)
	if refusal != nil {
		return badRequest("Invalid request body: " + refusal.Message)
	}
	return nil
}
