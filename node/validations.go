package node

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/proa-cloud/proa/traffic/dns"
)

// The control API's routes for validation records.
const (
	validationsPath      = "/v1/dns/validations"
	removeValidationPath = validationsPath + "/remove"
)

// validationTTL is how long a validation record may be kept where nothing else is asked for.
const validationTTL = time.Minute

// Validation is a record that a certificate authority or a cloud asks for.
type Validation struct {
	Name       string   `json:"name"`
	Type       string   `json:"type"` // TXT or CNAME
	Values     []string `json:"values"`
	TTLSeconds int      `json:"ttl_seconds"`
	// Fixed says that it is of proa.yaml.
	Fixed bool `json:"fixed"`
}

// ValidationOrder is POST /v1/dns/validations and /v1/dns/validations/remove.
type ValidationOrder struct {
	Name  string `json:"name"`
	Type  string `json:"type"`
	Value string `json:"value"` // to remove: "" is all of the type
	By    string `json:"by"`
}

// ValidationsReply is what this node serves once the order is done, and which nodes did not take it.
type ValidationsReply struct {
	Validations []Validation `json:"validations"`
	Missing     []Silence    `json:"missing"`
}

func (a *api) validationRoutes() map[string]handler {
	return map[string]handler{
		"GET " + validationsPath:       a.validations,
		"POST " + validationsPath:      a.putValidation,
		"POST " + removeValidationPath: a.removeValidation,
	}
}

// validations are those of this node.
func (a *api) validations(*http.Request) (any, error) { return a.node.ownValidations(), nil }

func (n *node) ownValidations() ValidationsReply {
	reply := ValidationsReply{Validations: []Validation{}, Missing: []Silence{}}
	for _, v := range n.dns.Validations() {
		reply.Validations = append(reply.Validations, Validation{
			Name: v.Name, Type: v.Type, Values: v.Values, TTLSeconds: int(v.TTL / time.Second), Fixed: v.Fixed,
		})
	}
	return reply
}

func (a *api) putValidation(r *http.Request) (any, error) {
	return a.onEveryNode(r, func(o ValidationOrder) error {
		return a.node.dns.PutValidation(dns.Validation{
			Name: o.Name, Type: o.Type, Values: []string{o.Value}, TTL: validationTTL,
		})
	})
}

func (a *api) removeValidation(r *http.Request) (any, error) {
	return a.onEveryNode(r, func(o ValidationOrder) error {
		return a.node.dns.DeleteValidation(o.Name, o.Type, o.Value)
	})
}

// onEveryNode carries an order out on all nodes: whoever validates asks any of them. It fails where this node refuses, and
// otherwise tells which others did not do it.
func (a *api) onEveryNode(r *http.Request, do func(ValidationOrder) error) (any, error) {
	var order ValidationOrder
	if err := decode(r, &order); err != nil {
		return nil, err
	}
	here := func() (ValidationsReply, error) {
		if err := do(order); err != nil {
			return ValidationsReply{}, err
		}
		return a.node.ownValidations(), nil
	}
	if a.node.alone(r) {
		return here()
	}
	body, err := json.Marshal(order)
	if err != nil {
		return nil, err
	}
	_, silent, err := everyNode(r.Context(), a.node, r.Method, r.URL.Path, string(body), here)
	reply := a.node.ownValidations()
	reply.Missing = append(reply.Missing, silent...)
	return reply, err
}
