package local

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/proa-cloud/proa/internal/atomicfile"
	"github.com/proa-cloud/proa/internal/strictyaml"
)

// FileName is the strict file in the data folder that stands for Azure's management plane.
const FileName = "azure.yaml"

// File says what exists in the local Azure: what a deployment would have created through Azure
// Resource Manager. What it names is created if needed; what it leaves out of data is kept.
type File struct {
	// Databases are Cosmos DB databases with their containers.
	Databases []Database `yaml:"databases,omitempty"`
	// BlobContainers are containers of the storage account.
	BlobContainers []string `yaml:"blob_containers,omitempty"`
	// BlobVersioning keeps replaced and deleted states of blobs as versions. Read at start only.
	BlobVersioning bool `yaml:"blob_versioning,omitempty"`
	// EventSubscriptions are Event Grid's: they put events of a container's blobs into storage queues.
	EventSubscriptions []EventSubscription `yaml:"event_subscriptions,omitempty"`
	// FunctionApps run custom handlers.
	FunctionApps []FunctionApp `yaml:"function_apps,omitempty"`
	// APIs are published by API Management.
	APIs []API `yaml:"apis,omitempty"`
	// MetricAlerts and AvailabilityTests are Monitor's rules.
	MetricAlerts      []MetricAlert      `yaml:"metric_alerts,omitempty"`
	AvailabilityTests []AvailabilityTest `yaml:"availability_tests,omitempty"`
}

// EventSubscription has BlobCreated and BlobDeleted of one container put into one storage queue, which
// is made.
type EventSubscription struct {
	Container string `yaml:"container"`
	Queue     string `yaml:"queue"`
}

// Database is one Cosmos DB database.
type Database struct {
	Name       string            `yaml:"name"`
	Containers []CosmosContainer `yaml:"containers,omitempty"`
}

// CosmosContainer is one Cosmos DB container.
type CosmosContainer struct {
	Name string `yaml:"name"`
	// PartitionKey lists the paths of the partition key, such as /id; several make it hierarchical.
	PartitionKey []string `yaml:"partition_key"`
	// DefaultTTL is in seconds; -1 turns expiry on without a default; left out, it is off.
	DefaultTTL *int64 `yaml:"default_ttl,omitempty"`
}

// FunctionApp is one function app with a custom handler.
type FunctionApp struct {
	Name string `yaml:"name"`
	// Package is a zip file, or a folder, with host.json and one folder a function. A relative path
	// starts at the data folder.
	Package string `yaml:"package"`
	// Settings are the application settings: the handler's environment.
	Settings map[string]string `yaml:"settings,omitempty"`
	// HostKeys open functions whose authLevel is "function"; "master" also opens "admin".
	HostKeys map[string]string `yaml:"host_keys,omitempty"`
	// Workers is the number of processes that share the load; 1 when 0.
	Workers int `yaml:"workers,omitempty"`
	// Concurrency is the most requests in flight, past which the host answers 429; 200 when 0.
	Concurrency int `yaml:"concurrency,omitempty"`
}

// API is one API of the API Management gateway.
type API struct {
	Name string `yaml:"name"`
	// Path is the URL suffix of the API, without slashes around it; "" takes every path.
	Path string `yaml:"path,omitempty"`
	// Hosts limits the API to these host names; every host when empty.
	Hosts []string `yaml:"hosts,omitempty"`
	// FunctionApp is the backend.
	FunctionApp string `yaml:"function_app"`
	// SubscriptionRequired asks for one of SubscriptionKeys on each request.
	SubscriptionRequired bool     `yaml:"subscription_required,omitempty"`
	SubscriptionKeys     []string `yaml:"subscription_keys,omitempty"`
	// Operations are what the API offers; everything when empty.
	Operations []Operation `yaml:"operations,omitempty"`
	// Timeout is the longest wait for the backend's answer to begin; 230 s when 0.
	Timeout time.Duration `yaml:"timeout,omitempty"`
}

// Operation is a method ("*" for any) and a URL template such as /orders/{id} or /*.
type Operation struct {
	Method      string `yaml:"method"`
	URLTemplate string `yaml:"url_template"`
}

// MetricAlert is a static-threshold metric alert rule on the gateway's metrics.
type MetricAlert struct {
	Name string `yaml:"name"`
	// Metric is Requests, Duration, or one of the custom metrics; see package monitor.
	Metric string `yaml:"metric"`
	// Dimension limits it to one value of a dimension: "GatewayResponseCodeCategory=5xx".
	Dimension string `yaml:"dimension,omitempty"`
	// Aggregation is Total, Average, Minimum, Maximum or Count.
	Aggregation string `yaml:"aggregation"`
	// Operator is GreaterThan, GreaterThanOrEqual, LessThan or LessThanOrEqual.
	Operator  string        `yaml:"operator"`
	Threshold float64       `yaml:"threshold"`
	Window    time.Duration `yaml:"window"`
	Every     time.Duration `yaml:"every"`
	Severity  int           `yaml:"severity,omitempty"` // 0 (critical) to 4
}

// AvailabilityTest requests a URL again and again and alerts on failures in a row.
type AvailabilityTest struct {
	Name string `yaml:"name"` // also the name of the alert rule
	URL  string `yaml:"url"`
	// Every is the time between two requests, Timeout the longest wait for an answer.
	Every   time.Duration `yaml:"every"`
	Timeout time.Duration `yaml:"timeout"`
	// Failures in a row fire the alert, Successes in a row resolve it.
	Failures  int `yaml:"failures"`
	Successes int `yaml:"successes"`
	Severity  int `yaml:"severity,omitempty"`
}

// ReadFile reads and checks a file; a missing one is empty. Errors are *strictyaml.Error:
// "file:line:column: path: message (did you mean …)".
func ReadFile(path string) (File, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return File{}, nil
	} else if err != nil {
		return File{}, fmt.Errorf("read the local Azure's file: %w", err)
	}
	return parseFile(path, data)
}

func parseFile(path string, data []byte) (File, error) {
	var f File
	decoded, err := strictyaml.Decode(path, data, &f)
	if err != nil {
		return File{}, err
	}
	if err := f.check(decoded.Errorf); err != nil {
		return File{}, err
	}
	return f, nil
}

// Write replaces the file at path by f, whole or not at all, readable by its owner alone:
// application settings hold credentials.
func (f File) Write(path string) (err error) {
	data, err := yaml.Marshal(f)
	if err != nil {
		return fmt.Errorf("write the local Azure's file: %w", err)
	}
	if _, err := parseFile(path, data); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("write the local Azure's file: %w", err)
	}
	if err := atomicfile.Write(path, data, 0o600); err != nil {
		return fmt.Errorf("write the local Azure's file: %w", err)
	}
	return nil
}
