package config

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/bus"
	"github.com/proa-cloud/proa/datasync/policy"
	"github.com/proa-cloud/proa/datasync/residency"
	"github.com/proa-cloud/proa/internal/strictyaml"
)

// Policy is a conflict policy: lww, merge, counter, set or manual, or with a parameter
// {prefer: REGION} or {cel: "EXPRESSION"}. The zero Policy is lww.
type Policy struct{ policy.Rule }

var _ yaml.NodeUnmarshaler = (*Policy)(nil)

// IsZero reports whether no policy was named.
func (p Policy) IsZero() bool { return p.Rule == policy.Rule{} }

// MarshalYAML writes what UnmarshalYAML reads.
func (p Policy) MarshalYAML() (any, error) {
	switch p.Kind {
	case "":
		return string(policy.LWW), nil
	case policy.Prefer:
		return map[string]string{"prefer": string(p.Region)}, nil
	case policy.CEL:
		return map[string]string{"cel": p.Expr}, nil
	}
	return string(p.Kind), nil
}

// UnmarshalYAML reads a policy's name, or a map of its name to its parameter; an error carries the
// place.
func (p *Policy) UnmarshalYAML(node ast.Node) error {
	at := node
	switch n := node.(type) {
	case *ast.MappingNode:
		if len(n.Values) != 1 {
			return &yaml.SyntaxError{Message: "one policy, please", Token: node.GetToken()}
		}
		at = p.parameter(n.Values[0])
	case *ast.MappingValueNode:
		at = p.parameter(n)
	default:
		p.Rule = policy.Rule{Kind: policy.Kind(node.GetToken().Value)}
	}
	if err := p.Validate(); err != nil {
		message := strings.TrimSuffix(err.Error(), ": "+proa.ErrInvalid.Error())
		return &yaml.SyntaxError{Message: message, Token: at.GetToken()}
	}
	return nil
}

func (p *Policy) parameter(n *ast.MappingValueNode) ast.Node {
	p.Rule = policy.Rule{Kind: policy.Kind(n.Key.GetToken().Value)}
	value := n.Value.GetToken().Value
	switch p.Kind {
	case policy.Prefer:
		p.Region = proa.Region(value)
		return n.Value
	case policy.CEL:
		p.Expr = value
		return n.Value
	}
	return n.Key
}

// Attribute is what holds for one attribute of a table.
type Attribute struct {
	// Policy decides conflicts of this attribute; left out: the table's.
	Policy Policy `yaml:"policy,omitempty"`
	// Residency is never-copied, masked, hashed or never-logged; left out: it is data like any other.
	Residency residency.Mode `yaml:"residency,omitempty"`
}

// TTL says what a removal by a store's time-to-live means.
type TTL struct {
	// Attribute holds when an item expires, in seconds since 1970, as DynamoDB's time-to-live has it.
	// Cosmos DB's own ttl, which counts from the last write, is set from it at each replicated write.
	Attribute string `yaml:"attribute,omitempty"`
	// Expire is both (a removal on either side is a delete, the default), ignore (on neither), or
	// the region whose removals are deletes.
	Expire string `yaml:"expire,omitempty"`
}

// DataSync are data sync's own settings.
type DataSync struct {
	// JournalAge and JournalMB bound the conflict journal; what goes past them is counted.
	JournalAge Duration `yaml:"journal_age"`
	JournalMB  int      `yaml:"journal_mb"`
	// LogAge and LogMB bound the change log that subscribers read.
	LogAge Duration `yaml:"log_age"`
	LogMB  int      `yaml:"log_mb"`
	// FullScan lies between two complete comparisons of both sides in the background; 0s: never.
	FullScan Duration `yaml:"full_scan"`
	// ResidencyKey makes the hashes of hashed attributes, so that they cannot be guessed. Both
	// regions' nodes need the same one.
	ResidencyKey proa.Secret `yaml:"residency_key,omitempty"`
	// Budget bounds what replication may cost.
	Budget Budget `yaml:"budget"`
}

// Budget is what replication may cost in an hour; past it a warning is shown and logged. 0: no
// bound.
type Budget struct {
	// WritesPerHour counts writes of either cloud.
	WritesPerHour int `yaml:"writes_per_hour"`
	// RequestUnitsPerHour counts Cosmos DB's.
	RequestUnitsPerHour int `yaml:"request_units_per_hour"`
	// EgressMBPerHour counts bytes that leave a cloud.
	EgressMBPerHour int `yaml:"egress_mb_per_hour"`
}

// Subscriber gets changes as CloudEvents.
type Subscriber struct {
	// Name names it in commands and metrics.
	Name string `yaml:"name"`
	// To is webhook, eventbridge, eventgrid, lambda or functions.
	To string `yaml:"to"`
	// URL is where webhook, eventgrid and functions post to.
	URL string `yaml:"url,omitempty"`
	// Target is EventBridge's bus or the Lambda function's name.
	Target string `yaml:"target,omitempty"`
	// Secret signs a webhook's requests; it is Event Grid's or the function's key.
	Secret proa.Secret `yaml:"secret,omitempty"`
	// Tables and KeyPrefix choose changes; left out: all.
	Tables    []string `yaml:"tables,omitempty"`
	KeyPrefix string   `yaml:"key_prefix,omitempty"`
	// Filter is a CEL expression over event; left out: all.
	Filter string `yaml:"filter,omitempty"`
}

// defaultDataSync is DataSync's part of Default.
func defaultDataSync() DataSync {
	return DataSync{
		JournalAge: Duration(90 * 24 * time.Hour), JournalMB: 4096,
		LogAge: Duration(72 * time.Hour), LogMB: 1024, FullScan: Duration(6 * time.Hour),
	}
}

// ConflictPolicy compiles the policies of the table and of its attributes. Errors wrap
// proa.ErrInvalid.
func (t Table) ConflictPolicy() (*policy.Policy, error) {
	attributes := map[string]policy.Rule{}
	for name, a := range t.Attributes {
		if a.Policy.Kind != "" {
			attributes[name] = a.Policy.Rule
		}
	}
	return policy.New(t.Schema(), t.Policy.Rule, attributes)
}

// ResidencyRules returns the residency rules of the table and of its attributes.
func (t Table) ResidencyRules(key proa.Secret) (*residency.Rules, error) {
	attributes := map[string]residency.Mode{}
	for name, a := range t.Attributes {
		attributes[name] = a.Residency
	}
	return residency.New(t.Schema(), t.Residency, attributes, key)
}

// IgnoresExpiry reports whether a removal by a region's time-to-live is no delete.
func (t TTL) IgnoresExpiry(r proa.Region) bool {
	return t.Expire == "ignore" || t.Expire == string(r.Other())
}

func (c Config) checkTableData(f *strictyaml.File, path string, t Table) error {
	for _, name := range []string{t.Hash.Name, t.Range.Name} {
		if a := t.Attributes[name]; a.Policy.Kind != "" {
			return f.Errorf(path+".attributes."+name, "it is equal on both sides", "a key attribute has no policy")
		}
	}
	if _, err := t.ConflictPolicy(); err != nil {
		return f.Errorf(path+".policy", "see docs/DATASYNC.md", "%s", reason(err))
	}
	for _, name := range slices.Sorted(maps.Keys(t.Attributes)) {
		at := fmt.Sprintf("%s.attributes.%s.residency", path, name)
		mode := t.Attributes[name].Residency
		if err := mode.Validate(); err != nil {
			return f.Errorf(at, "never-copied, masked, hashed or never-logged", "%s", reason(err))
		}
		if mode == residency.Hashed && c.DataSync.ResidencyKey.IsZero() {
			return f.Errorf(at, "set datasync.residency_key", "hashed needs a key")
		}
	}
	if _, err := t.ResidencyRules(c.DataSync.ResidencyKey); err != nil {
		return f.Errorf(path+".residency", "never-copied or never-logged", "%s", reason(err))
	}
	if name := t.TTL.Attribute; name != "" && (name == t.Hash.Name || name == t.Range.Name) {
		return f.Errorf(path+".ttl.attribute", "name a number that is not of the key", "%q is of the key", name)
	}
	switch t.TTL.Expire {
	case "", "both", "ignore", string(proa.AWS), string(proa.Azure):
		return nil
	}
	return f.Errorf(path+".ttl.expire", "both, ignore, aws or azure", "%q is no rule of expiry", t.TTL.Expire)
}

func reason(err error) string {
	return strings.TrimSuffix(err.Error(), ": "+proa.ErrInvalid.Error())
}

func (c Config) checkDataSync(f *strictyaml.File) error {
	d := c.DataSync
	for _, n := range []struct {
		path  string
		value int
		min   int
	}{
		{"datasync.journal_mb", d.JournalMB, 1},
		{"datasync.log_mb", d.LogMB, 1},
		{"datasync.budget.writes_per_hour", d.Budget.WritesPerHour, 0},
		{"datasync.budget.request_units_per_hour", d.Budget.RequestUnitsPerHour, 0},
		{"datasync.budget.egress_mb_per_hour", d.Budget.EgressMBPerHour, 0},
	} {
		if n.value < n.min {
			return f.Errorf(n.path, fmt.Sprintf("at least %d", n.min), "%d is out of range", n.value)
		}
	}
	for _, n := range []struct {
		path  string
		value Duration
		min   time.Duration
	}{
		{"datasync.journal_age", d.JournalAge, time.Minute},
		{"datasync.log_age", d.LogAge, time.Minute},
		{"datasync.full_scan", d.FullScan, 0},
	} {
		if n.value.D() < n.min {
			return f.Errorf(n.path, "at least "+n.min.String(), "%s is out of range", n.value)
		}
	}
	return nil
}

func (c Config) checkSubscribers(f *strictyaml.File) error {
	seen := map[string]bool{}
	for i, s := range c.Events {
		path := fmt.Sprintf("events[%d]", i)
		switch {
		case s.Name == "" || strings.ContainsAny(s.Name, " /"):
			return f.Errorf(path+".name", "a word of its own", "%q names no subscriber", s.Name)
		case seen[s.Name]:
			return f.Errorf(path+".name", "name each subscriber once", "%q is listed twice", s.Name)
		}
		seen[s.Name] = true
		if err := s.check(f, path); err != nil {
			return err
		}
		known := func(name string) bool {
			return slices.ContainsFunc(c.Tables, func(t Table) bool { return t.Name == name })
		}
		for j, name := range s.Tables {
			if !known(name) {
				return f.Errorf(fmt.Sprintf("%s.tables[%d]", path, j), "one of tables", "%q is not replicated", name)
			}
		}
	}
	return nil
}

func (s Subscriber) check(f *strictyaml.File, path string) error {
	switch s.To {
	case "webhook", "eventgrid", "functions":
		u, err := url.Parse(s.URL)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return f.Errorf(path+".url", "such as https://example.com/hook", "%q is not an http or https URL", s.URL)
		}
		if s.To == "webhook" && s.Secret.IsZero() {
			return f.Errorf(path, "set secret: receivers check signatures with it", "a webhook needs a secret")
		}
	case "eventbridge", "lambda":
		if s.Target == "" {
			return f.Errorf(path, "name the bus or the function", "target is missing")
		}
	default:
		return f.Errorf(path+".to", "webhook, eventbridge, eventgrid, lambda or functions", "%q is no kind of subscriber", s.To)
	}
	if _, err := bus.NewFilter(s.Tables, s.KeyPrefix, s.Filter); err != nil {
		if errors.Is(err, proa.ErrInvalid) {
			return f.Errorf(path+".filter", "see docs/DATASYNC.md", "%s", reason(err))
		}
		return err
	}
	return nil
}
