package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/proa-cloud/proa/internal/atomicfile"
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
		a.node.validations.Lock()
		defer a.node.validations.Unlock()
		if err := do(order); err != nil {
			return ValidationsReply{}, err
		}
		if err := a.node.keepValidations(); err != nil {
			return ValidationsReply{}, fmt.Errorf("done until %s is started anew: %w", a.node.cfg.Node.Name, err)
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

func (n *node) validationsFile() string { return filepath.Join(n.cfg.Node.Dir, "validations.json") }

// keepValidations keeps the records that are not of the configuration over a restart: whoever validates may come
// hours after the order.
func (n *node) keepValidations() error {
	list := slices.DeleteFunc(n.dns.Validations(), func(v dns.Validation) bool { return v.Fixed })
	b, err := json.MarshalIndent(list, "", " ")
	if err != nil {
		return fmt.Errorf("keep validation records: %w", err)
	}
	if err := atomicfile.Write(n.validationsFile(), append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("keep validation records: %w", err)
	}
	return nil
}

// recallValidations serves what keepValidations has kept. What cannot be served any more, or read, is said and left out:
// a name server must come up without.
func (n *node) recallValidations() {
	b, err := os.ReadFile(n.validationsFile())
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var list []dns.Validation
	if err == nil {
		err = json.Unmarshal(b, &list)
	}
	if err != nil {
		n.logger.Error("the validation records kept here cannot be read", "file", n.validationsFile(), "error", err)
		return
	}
	for _, v := range list {
		v.Fixed = false
		if err := n.dns.PutValidation(v); err != nil {
			n.logger.Warn("a validation record is not served any more", "name", v.Name, "type", v.Type, "error", err)
		}
	}
}
