// Package config is proa.yaml: one strict file that a node and `proa up` read. Default gives every field its value, Load reads a
// file over the defaults, Validate refuses what cannot work. Errors say file:line:column, path, what and what to do.
package config

import (
	"encoding"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/residency"
	"github.com/proa-cloud/proa/internal/strictyaml"
)

// Config is the whole of proa.yaml.
type Config struct {
	// Zone is the DNS zone that the name servers answer for, without the final dot.
	Zone string `yaml:"zone"`
	// Primary is the region that serves while it is healthy.
	Primary proa.Region `yaml:"primary"`
	// Node is this machine's part.
	Node Node `yaml:"node"`
	// Cluster names the nodes that decide together; left out, this node decides alone.
	Cluster Cluster `yaml:"cluster,omitempty"`
	// Regions say how each cloud is reached. `proa up` fills them in for its local clouds.
	Regions Regions `yaml:"regions"`
	// Tables are replicated between DynamoDB and Cosmos DB.
	Tables []Table `yaml:"tables"`
	// Buckets are replicated between S3 and Blob Storage.
	Buckets []Bucket `yaml:"buckets"`
	// Traffic decides when to fail over and back.
	Traffic Traffic `yaml:"traffic"`
	// Health says how the regions are judged.
	Health Health `yaml:"health,omitempty"`
	// Capacity are hooks that tell whether a region could carry all traffic, and that scale it.
	Capacity []Capacity `yaml:"capacity,omitempty"`
	// DNS is what the name server does besides answering for the zone.
	DNS DNS `yaml:"dns,omitempty"`
	// Objectives are what a drill is judged by and what failback waits for.
	Objectives Objectives `yaml:"objectives"`
	// DataSync bounds what data sync keeps and costs.
	DataSync DataSync `yaml:"datasync"`
	// Events are the subscribers that get every change as a CloudEvent.
	Events []Subscriber `yaml:"events,omitempty"`
}

// Node is what one node needs of the machine that it runs on.
type Node struct {
	// Name is the node's name as a vantage point.
	Name string `yaml:"name"`
	// Dir holds the node's durable state.
	Dir string `yaml:"dir"`
	// DNS are the addresses that the name server listens on, UDP and TCP.
	DNS []string `yaml:"dns"`
	// Control is the address of the control API. Keep it on loopback: whoever has the token steers the node.
	Control string `yaml:"control"`
	// ControlToken is the bearer token of the control API.
	ControlToken proa.Secret `yaml:"control_token"`
	// AnnounceToken is the bearer token of the announcement route, which functions hold, and of nothing else.
	AnnounceToken proa.Secret `yaml:"announce_token"`
	// Console is the address of the web console, empty for none. Keep it on loopback, or put TLS in front.
	Console string `yaml:"console,omitempty"`
	// ConsoleHosts are further names under which browsers reach the console, such as a proxy's; others are refused.
	ConsoleHosts []string `yaml:"console_hosts,omitempty"`
	// Telemetry are the base URLs of the other nodes' control APIs, which get this node's counters and spans too.
	Telemetry []string `yaml:"telemetry,omitempty"`
	// Supervisor and SupervisorToken are the control socket of proa up, through which the console makes and heals faults.
	// It fills them in; empty means that nobody makes faults.
	Supervisor      string      `yaml:"supervisor,omitempty"`
	SupervisorToken proa.Secret `yaml:"supervisor_token,omitempty"`
}

// Regions are the two clouds.
type Regions struct {
	AWS   AWS   `yaml:"aws"`
	Azure Azure `yaml:"azure"`
}

// AWS says how the AWS region is reached.
type AWS struct {
	// Endpoint overrides the vendor's endpoints, for a local or attached cloud. Empty means the real cloud.
	Endpoint string `yaml:"endpoint"`
	// MonitorEndpoint is Endpoint for CloudWatch alone, where that differs. Empty means Endpoint.
	MonitorEndpoint string `yaml:"monitor_endpoint"`
	// Region is the vendor's region name.
	Region string `yaml:"region"`
	// AccessKeyID and SecretAccessKey authenticate; empty means the SDK's default chain.
	AccessKeyID     string      `yaml:"access_key_id"`
	SecretAccessKey proa.Secret `yaml:"secret_access_key"`
	// Alarm is the CloudWatch alarm that counts as a health check, empty for none.
	Alarm string `yaml:"alarm"`
	// Gateway is where users reach the region.
	Gateway Gateway `yaml:"gateway"`
}

// Azure says how the Azure region is reached.
type Azure struct {
	// CosmosEndpoint is the account's URL and CosmosKey its key; empty means the machine's identity.
	CosmosEndpoint string      `yaml:"cosmos_endpoint"`
	CosmosKey      proa.Secret `yaml:"cosmos_key"`
	// StorageConnection is the storage account's connection string. Without one, StorageEndpoint and the machine's
	// identity are used, as CosmosEndpoint and that identity are without a CosmosKey.
	StorageConnection proa.Secret `yaml:"storage_connection"`
	// StorageEndpoint is the account's URL, https://ACCOUNT.blob.core.windows.net.
	StorageEndpoint string `yaml:"storage_endpoint,omitempty"`
	// MonitorEndpoint is the management endpoint; empty means the public one.
	MonitorEndpoint string      `yaml:"monitor_endpoint"`
	MonitorToken    proa.Secret `yaml:"monitor_token"`
	// Subscription and Alert name the Azure Monitor alert rule that counts as a health check, empty for none.
	Subscription string `yaml:"subscription"`
	Alert        string `yaml:"alert"`
	// Gateway is where users reach the region.
	Gateway Gateway `yaml:"gateway"`
}

// Gateway is one region's public entrance.
type Gateway struct {
	// Addresses are what the zone answers for the region: IPv4 or IPv6.
	Addresses []string `yaml:"addresses"`
	// URL is where health probes go: scheme, host and port.
	URL string `yaml:"url"`
	// Health is the path that probes request through gateway and function.
	Health string `yaml:"health"`
}

// Table is one replicated table.
type Table struct {
	// Name is the DynamoDB table.
	Name string `yaml:"name"`
	// Hash and Range are its key attributes; Range is left out where there is none.
	Hash  KeyAttribute `yaml:"hash"`
	Range KeyAttribute `yaml:"range"`
	// Database is where its container of the same name lives in Cosmos DB.
	Database string `yaml:"database"`
	// Policy decides conflicts: lww (the default), merge, counter, set, manual, {prefer: REGION} or
	// {cel: "EXPRESSION"}.
	Policy Policy `yaml:"policy,omitempty"`
	// Residency is never-copied or never-logged; left out: the table is data like any other.
	Residency residency.Mode `yaml:"residency,omitempty"`
	// Attributes have rules of their own.
	Attributes map[string]Attribute `yaml:"attributes,omitempty"`
	// TTL says what a removal by a store's time-to-live means.
	TTL TTL `yaml:"ttl,omitempty"`
	// Fencing is none (left out: both regions may write at any time), lease (functions write through
	// function.Table, and only in the region that serves) or hook (a lease, and traffic.fence revokes
	// the credentials of whoever writes otherwise).
	Fencing string `yaml:"fencing,omitempty"`
}

// KeyAttribute is one attribute of a table's key.
type KeyAttribute struct {
	Name string `yaml:"name"`
	// Type is S, N or B.
	Type string `yaml:"type"`
}

// Schema returns the table's key schema.
func (t Table) Schema() proa.Schema {
	return proa.Schema{
		Table:     t.Name,
		HashName:  t.Hash.Name,
		HashKind:  proa.ParseKind(t.Hash.Type),
		RangeName: t.Range.Name,
		RangeKind: proa.ParseKind(t.Range.Type),
	}
}

// Bucket is one replicated bucket.
type Bucket struct {
	// Name is the S3 bucket.
	Name string `yaml:"name"`
	// Container is the Blob container; Name when left out.
	Container string `yaml:"container"`
	// Notices is the name of the SQS queue and of the storage queue into which the clouds put what
	// changed. Without them, a bucket is listed over and over.
	Notices string `yaml:"notices"`
	// HoldObjects and HoldPercent bound the objects that may go missing at once without notices of their deletes:
	// where both are passed, deletes are held until an operator says what happened (docs/OPERATIONS.md). Left out: 100
	// objects and 5 percent; hold_objects: -1 never holds.
	HoldObjects int `yaml:"hold_objects,omitempty"`
	HoldPercent int `yaml:"hold_percent,omitempty"`
}

// Traffic are the controller's and the probes' settings.
type Traffic struct {
	// TTL is how long clients may keep an answer.
	TTL Duration `yaml:"ttl"`
	// Interval lies between two probes of one endpoint.
	Interval Duration `yaml:"interval"`
	// Timeout ends a probe that hangs.
	Timeout Duration `yaml:"timeout"`
	// Recheck lies between the probes that confirm a first failure.
	Recheck Duration `yaml:"recheck"`
	// Fall and Rise are how many results in a row make a region unhealthy, and healthy again.
	Fall int `yaml:"fall"`
	Rise int `yaml:"rise"`
	// Failback is automatic, manual or gradual.
	Failback string `yaml:"failback"`
	// Stages are the percentages of clients that a gradual failback moves before all; left out: 1, 10.
	Stages []int `yaml:"stages,omitempty"`
	// StageTime is how long each stage lasts at least; left out: a minute.
	StageTime Duration `yaml:"stage_time,omitempty"`
	// Drain has a planned move ask for short TTLs first, and wait until the long ones have run out.
	Drain bool `yaml:"drain,omitempty"`
	// MinBetween must lie between two moves, failovers excepted; left out: nothing must.
	MinBetween Duration `yaml:"min_between,omitempty"`
	// WriteLease is how long a function may write a table with fencing after a node last said so, and
	// about how long such writes are refused at each move; left out: 2s.
	WriteLease Duration `yaml:"write_lease,omitempty"`
	// Fence is called with PROA_EVENT fence and PROA_REGION when a region may not write any more, and
	// with allow when it may again. A planned move waits for it; a failover does not.
	Fence *Hook `yaml:"fence,omitempty"`
	// Rules refuse moves.
	Rules []SafetyRule `yaml:"rules,omitempty"`
	// Endpoints are further places for policies.
	Endpoints []Endpoint `yaml:"endpoints,omitempty"`
	// Geo says where clients are, for policies that ask for places.
	Geo Geo `yaml:"geo,omitempty"`
	// Records are names with routing policies.
	Records []Record `yaml:"records,omitempty"`
	// HoldDown is how long the primary must have been healthy before traffic returns to it.
	HoldDown Duration `yaml:"hold_down"`
	// MaxSwitchesPerHour is the flap budget.
	MaxSwitchesPerHour int `yaml:"max_switches_per_hour"`
}

// Objectives are promises to be measured.
type Objectives struct {
	// RTO is the longest time without service after a fault.
	RTO Duration `yaml:"rto"`
	// RPO is the longest stretch of acknowledged writes that may be lost.
	RPO Duration `yaml:"rpo"`
	// Lag is the replication lag under which a direction counts as caught up.
	Lag Duration `yaml:"lag"`
	// Dwell is how long both directions must stay under Lag before failback.
	Dwell Duration `yaml:"dwell"`
}

// Default is the demo system of `proa up` without its addresses.
func Default() Config {
	return Config{
		Zone:    "orders.proa.test",
		Primary: proa.AWS,
		Node:    Node{Name: "node-1"},
		Regions: Regions{
			AWS:   AWS{Region: "us-east-1", Gateway: Gateway{Health: "/healthz"}},
			Azure: Azure{Gateway: Gateway{Health: "/healthz"}},
		},
		Tables:  []Table{{Name: "orders", Hash: KeyAttribute{Name: "id", Type: "S"}, Database: "proa"}},
		Buckets: []Bucket{{Name: "attachments", Container: "attachments", Notices: "proa-attachments"}},
		Traffic: Traffic{
			TTL: Duration(2 * time.Second), Interval: Duration(time.Second), Timeout: Duration(700 * time.Millisecond),
			Recheck: Duration(50 * time.Millisecond), Fall: 3, Rise: 3,
			Failback: "automatic", HoldDown: Duration(5 * time.Second), MaxSwitchesPerHour: 20,
		},
		Health: Health{WarnCertificate: Duration(14 * 24 * time.Hour)},
		Objectives: Objectives{
			RTO: Duration(10 * time.Second), RPO: Duration(5 * time.Second),
			Lag: Duration(5 * time.Second), Dwell: Duration(3 * time.Second),
		},
		DataSync: defaultDataSync(),
	}
}

// Load reads the file over the defaults and validates the result. An empty path gives the defaults.
func Load(path string) (Config, error) {
	c := Default()
	if path == "" {
		return c, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return c, fmt.Errorf("read configuration: %w: %w", proa.ErrInvalidConfig, err)
	}
	return Parse(path, data)
}

// Parse is Load for bytes that were read already from the named file.
func Parse(name string, data []byte) (Config, error) {
	c := Default()
	file, err := strictyaml.Decode(name, data, &c)
	if err != nil {
		return c, err
	}
	for i := range c.Buckets {
		if c.Buckets[i].Container == "" {
			c.Buckets[i].Container = c.Buckets[i].Name
		}
	}
	return c, c.validate(file)
}

// Save writes the configuration, secrets included, to path with mode 0600.
func (c Config) Save(path string) error {
	reveal := yaml.CustomMarshaler(func(s proa.Secret) ([]byte, error) { return json.Marshal(s.Reveal()) })
	data, err := yaml.MarshalWithOptions(c, yaml.Indent(2), reveal)
	if err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	return nil
}

// Duration is a time.Duration that reads and writes "1.5s" in YAML.
type Duration time.Duration

var (
	_ encoding.TextMarshaler = Duration(0)
	_ yaml.NodeUnmarshaler   = (*Duration)(nil)
)

// D returns the plain duration.
func (d Duration) D() time.Duration { return time.Duration(d) }

// String renders as time.Duration does.
func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText writes what String returns.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalYAML reads Go's duration syntax; an error carries the place.
func (d *Duration) UnmarshalYAML(node ast.Node) error {
	text := node.GetToken().Value
	v, err := time.ParseDuration(text)
	if err != nil {
		message := fmt.Sprintf("%q is not a duration such as 500ms, 2s or 1m30s", text)
		return &yaml.SyntaxError{Message: message, Token: node.GetToken()}
	}
	*d = Duration(v)
	return nil
}
