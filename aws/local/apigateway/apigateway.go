// Package apigateway is Amazon API Gateway on this machine, as far as HTTP APIs go: the control
// plane that the apigatewayv2 SDK speaks to, and the gateway that turns HTTP requests into Lambda
// invocations and back (payload format 2.0).
//
// Changes are on stable storage before they are acknowledged and are in force at once.
//
// https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/api-reference.html and
// https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api.html
package apigateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/proa-cloud/proa/aws/local/lambda"
	"github.com/proa-cloud/proa/aws/local/wire"
	"github.com/proa-cloud/proa/internal/store"
)

// Functions runs Lambda functions, and says who may.
type Functions interface {
	Invoke(ctx context.Context, call lambda.Call) (lambda.Result, error)
	// Allows reports whether the function's policy lets the service call it on behalf of the ARN.
	Allows(function, service, sourceARN string) bool
}

// Config says where APIs live and what they call. All but Emit are required.
type Config struct {
	Dir       string
	Clock     func() time.Time
	Logger    *slog.Logger
	AccountID string
	Region    string
	// Endpoint is the gateway's base URL, shown as the address of every API; "" shows the vendor's.
	Endpoint  string
	Functions Functions
	// Emit takes one sample of a metric; it must not block. Nil drops them.
	Emit func(namespace, metric, unit string, value float64, dimensions ...[2]string)
}

// Server is the control plane. It is an http.Handler; the caller in front verifies signatures.
type Server struct {
	cfg Config
	db  *pebble.DB

	mu      sync.RWMutex // guards the two maps; a stored value is never changed, but replaced
	apis    map[string]*api
	domains map[string]*domain

	serving atomic.Pointer[serving] // what the gateway answers from
	bodies  *wire.Budget            // of the gateway
}

// New opens the store and loads the APIs. It starts nothing.
func New(cfg Config) (*Server, error) {
	if cfg.Clock == nil || cfg.Logger == nil || cfg.Functions == nil || cfg.Dir == "" {
		return nil, errors.New("apigateway: Dir, Clock, Logger and Functions must be set")
	}
	if cfg.Emit == nil {
		cfg.Emit = func(string, string, string, float64, ...[2]string) {}
	}
	db, err := store.Open(store.Options{Dir: cfg.Dir, Logger: cfg.Logger})
	if err != nil {
		return nil, fmt.Errorf("apigateway: %w", err)
	}
	s := &Server{cfg: cfg, db: db, apis: map[string]*api{}, domains: map[string]*domain{}}
	s.bodies = &wire.Budget{Limit: maxBodies}
	if err := s.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("apigateway: load: %w", err), db.Close())
	}
	s.serving.Store(compile(s.apis, s.domains))
	return s, nil
}

// Close closes the store. No request may be under way.
func (s *Server) Close() error { return s.db.Close() }

// The stored shapes.
type (
	api struct {
		ID, Name, Description, Version string
		Created                        time.Time
		Serial                         uint64 // order of creation
		Tags                           map[string]string
		Integrations                   map[string]integration
		Routes                         map[string]routeRecord
		Stages                         map[string]stage
		Deployments                    map[string]deployment
	}
	integration struct {
		ID, URI, Description, Method string
		TimeoutMS                    int
	}
	routeRecord struct {
		ID, Key, Target, OperationName string
	}
	stage struct {
		Name, Description, DeploymentID string
		AutoDeploy                      bool
		Variables                       map[string]string
		Tags                            map[string]string
		Created, Updated                time.Time
	}
	// deployment is what a stage without automatic deployment serves.
	deployment struct {
		ID, Description string
		Created         time.Time
		Integrations    map[string]integration
		Routes          map[string]routeRecord
	}
	domain struct {
		Name           string
		CertificateARN string
		Tags           map[string]string
		Mappings       map[string]mapping
	}
	mapping struct {
		ID, APIID, Stage, Key string
	}
)

const (
	apiPrefix    = "api/"
	domainPrefix = "domain/"
)

func (s *Server) load() error {
	it, err := s.db.NewIter(nil)
	if err != nil {
		return err
	}
	defer it.Close()
	for it.First(); it.Valid(); it.Next() {
		key := string(it.Key())
		switch {
		case strings.HasPrefix(key, apiPrefix):
			a := &api{}
			err = json.Unmarshal(it.Value(), a)
			s.apis[a.ID] = a
		case strings.HasPrefix(key, domainPrefix):
			d := &domain{}
			err = json.Unmarshal(it.Value(), d)
			s.domains[d.Name] = d
		}
		if err != nil {
			return fmt.Errorf("record %q: %w", key, err)
		}
	}
	return it.Error()
}

// put commits a value and makes the gateway use it. The caller holds mu.
func (s *Server) put(key string, value any) error {
	encoded, err := json.Marshal(value)
	if err != nil {
		return err
	}
	if err := s.db.Set([]byte(key), encoded, store.Sync); err != nil {
		return err
	}
	switch v := value.(type) {
	case *api:
		s.apis[v.ID] = v
	case *domain:
		s.domains[v.Name] = v
	}
	s.serving.Store(compile(s.apis, s.domains))
	return nil
}

// drop removes a value. The caller holds mu and has taken it out of its map.
func (s *Server) drop(key string) error {
	if err := s.db.Delete([]byte(key), store.Sync); err != nil {
		return err
	}
	s.serving.Store(compile(s.apis, s.domains))
	return nil
}

// clone copies an API, so that readers of the old one are not disturbed.
func (a *api) clone() *api {
	encoded, err := json.Marshal(a)
	out := &api{}
	if err == nil {
		err = json.Unmarshal(encoded, out)
	}
	if err != nil { // plain data cannot fail to be encoded
		return &api{ID: a.ID, Name: a.Name}
	}
	return out
}
