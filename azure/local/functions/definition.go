package functions

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Limits and defaults of the vendor's host
// (https://learn.microsoft.com/azure/azure-functions/functions-host-json).
const (
	maxRequestBody     = 100 << 20 // bytes; FUNCTIONS_REQUEST_BODY_SIZE_LIMIT's default
	defaultOutstanding = 200
	maxOutstanding     = 10_000 // what "unbounded" (-1) means here
	defaultTimeout     = 5 * time.Minute
	maxTimeout         = 230 * time.Second // of an HTTP request: the platform's load balancer
	maxDefinition      = 1 << 20
)

// code is what a package says about itself.
type code struct {
	dir         string
	executable  string
	args        []string
	workingDir  string
	proxy       bool // HTTP is passed on as it is; else wrapped as JSON
	outstanding int
	timeout     time.Duration
	functions   []*function
}

// function is one function with an HTTP trigger.
type function struct {
	name    string
	methods []string // upper case; empty: any
	level   string   // anonymous, function or admin
	route   route
	input   string // name of the trigger binding
	output  string // name of the http output binding; "$return" for the return value
}

type hostJSON struct {
	Version         string          `json:"version"`
	FunctionTimeout string          `json:"functionTimeout"`
	CustomHandler   *handlerJSON    `json:"customHandler"`
	Extensions      extensionsJSON  `json:"extensions"`
	ExtensionBundle json.RawMessage `json:"extensionBundle"`
	Logging         json.RawMessage `json:"logging"`
	Concurrency     json.RawMessage `json:"concurrency"`
	Retry           json.RawMessage `json:"retry"`
	HealthMonitor   json.RawMessage `json:"healthMonitor"`
	Aggregator      json.RawMessage `json:"aggregator"`
	Singleton       json.RawMessage `json:"singleton"`
	WatchDirs       json.RawMessage `json:"watchDirectories"`
	WatchFiles      json.RawMessage `json:"watchFiles"`
	Dependency      json.RawMessage `json:"managedDependency"`
	Telemetry       json.RawMessage `json:"telemetryMode"`
	Schema          json.RawMessage `json:"$schema"`
}

type handlerJSON struct {
	Description struct {
		Executable string   `json:"defaultExecutablePath"`
		Worker     string   `json:"defaultWorkerPath"`
		Arguments  []string `json:"arguments"`
		Directory  string   `json:"workingDirectory"`
	} `json:"description"`
	Forward bool            `json:"enableForwardingHttpRequest"`
	Proxy   bool            `json:"enableProxyingHttpRequest"`
	HTTP    json.RawMessage `json:"http"`
}

type extensionsJSON map[string]json.RawMessage

type httpJSON struct {
	RoutePrefix *string         `json:"routePrefix"`
	Outstanding *int            `json:"maxOutstandingRequests"`
	Concurrent  *int            `json:"maxConcurrentRequests"`
	Throttles   json.RawMessage `json:"dynamicThrottlesEnabled"`
	HSTS        json.RawMessage `json:"hsts"`
	Headers     json.RawMessage `json:"customHeaders"`
}

// readJSON decodes a file and refuses fields that it does not know.
func readJSON(path string, into any) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Size() > maxDefinition {
		return fmt.Errorf("%s: %d bytes is too large", path, info.Size())
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := strictJSON(data, into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func strictJSON(data []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(data, []byte("\ufeff"))))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more follows the JSON object")
	}
	return nil
}

// readCode reads host.json and the function.json of each function in a folder.
func readCode(dir string) (*code, error) {
	var host hostJSON
	path := filepath.Join(dir, "host.json")
	if err := readJSON(path, &host); err != nil {
		return nil, err
	}
	switch {
	case host.Version != "2.0":
		return nil, fmt.Errorf(`%s: version is %q, want "2.0"`, path, host.Version)
	case host.CustomHandler == nil || host.CustomHandler.Description.Executable == "":
		return nil, fmt.Errorf("%s: customHandler.description.defaultExecutablePath is missing", path)
	case host.CustomHandler.HTTP != nil:
		return nil, fmt.Errorf("%s: customHandler.http is not supported: use function.json", path)
	}
	c := &code{
		dir: dir, args: host.CustomHandler.Description.Arguments, timeout: maxTimeout,
		proxy:      host.CustomHandler.Proxy || host.CustomHandler.Forward,
		workingDir: filepath.Join(dir, host.CustomHandler.Description.Directory),
	}
	c.executable = host.CustomHandler.Description.Executable
	if !filepath.IsAbs(c.executable) {
		c.executable = filepath.Join(dir, c.executable)
	}
	if text := host.FunctionTimeout; text != "" && text != "-1" {
		d, err := parseTimeout(text)
		if err != nil {
			return nil, fmt.Errorf("%s: functionTimeout: %w", path, err)
		}
		c.timeout = min(c.timeout, d)
	}
	var http httpJSON
	if raw := host.Extensions["http"]; raw != nil {
		if err := strictJSON(raw, &http); err != nil {
			return nil, fmt.Errorf("%s: extensions.http: %w", path, err)
		}
	}
	c.outstanding = defaultOutstanding
	if n := http.Outstanding; n != nil {
		c.outstanding = *n
	}
	if c.outstanding < 1 || c.outstanding > maxOutstanding {
		c.outstanding = maxOutstanding
	}
	prefix := "api"
	if http.RoutePrefix != nil {
		prefix = strings.Trim(*http.RoutePrefix, "/")
	}
	return c, c.readFunctions(prefix)
}

// parseTimeout reads "hh:mm:ss", as .NET writes spans of time.
func parseTimeout(text string) (time.Duration, error) {
	var h, m, s int
	if n, err := fmt.Sscanf(text, "%d:%d:%d", &h, &m, &s); err != nil || n != 3 {
		return 0, fmt.Errorf("%q is not hh:mm:ss", text)
	}
	d := time.Duration(h)*time.Hour + time.Duration(m)*time.Minute + time.Duration(s)*time.Second
	if d <= 0 {
		return 0, fmt.Errorf("%q is not positive", text)
	}
	return d, nil
}

type functionJSON struct {
	Bindings   []map[string]json.RawMessage `json:"bindings"`
	Disabled   bool                         `json:"disabled"`
	ScriptFile json.RawMessage              `json:"scriptFile"`
	EntryPoint json.RawMessage              `json:"entryPoint"`
	Retry      json.RawMessage              `json:"retry"`
	Schema     json.RawMessage              `json:"$schema"`
}

func (c *code) readFunctions(prefix string) error {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		path := filepath.Join(c.dir, entry.Name(), "function.json")
		var f functionJSON
		err := readJSON(path, &f)
		if errors.Is(err, os.ErrNotExist) || !entry.IsDir() {
			continue
		}
		if err != nil {
			return err
		}
		if f.Disabled {
			continue
		}
		made, err := newFunction(entry.Name(), prefix, f.Bindings)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if made != nil {
			c.functions = append(c.functions, made)
		}
	}
	if len(c.functions) == 0 {
		return fmt.Errorf("%s: no function with an HTTP trigger was found", c.dir)
	}
	// The most telling route is tried first.
	slices.SortStableFunc(c.functions, func(a, b *function) int { return b.route.compare(a.route) })
	return nil
}

// newFunction reads the bindings of a function; nil for one with a trigger other than HTTP, which
// is not run here.
func newFunction(name, prefix string, bindings []map[string]json.RawMessage) (*function, error) {
	f := &function{name: name}
	trigger := false
	for i, b := range bindings {
		var kind, binding string
		if json.Unmarshal(b["type"], &kind) != nil || json.Unmarshal(b["name"], &binding) != nil {
			return nil, fmt.Errorf("bindings[%d]: type and name are needed", i)
		}
		switch {
		case strings.EqualFold(kind, "httpTrigger"):
			trigger, f.input = true, binding
			if err := f.readTrigger(prefix, b); err != nil {
				return nil, fmt.Errorf("bindings[%d]: %w", i, err)
			}
		case strings.EqualFold(kind, "http"):
			f.output = binding
		case strings.HasSuffix(strings.ToLower(kind), "trigger"):
			return nil, nil
		}
	}
	if !trigger {
		return nil, errors.New("no trigger among the bindings")
	}
	return f, nil
}

func (f *function) readTrigger(prefix string, b map[string]json.RawMessage) error {
	text := f.name
	f.level = "function"
	for field, into := range map[string]any{
		"route": &text, "authLevel": &f.level, "methods": &f.methods,
	} {
		if raw := b[field]; raw != nil {
			if err := json.Unmarshal(raw, into); err != nil {
				return fmt.Errorf("%s: %w", field, err)
			}
		}
	}
	for field := range b {
		switch field {
		case "type", "name", "direction", "route", "authLevel", "methods", "webHookType", "dataType":
		default:
			return fmt.Errorf("%s is not known in an httpTrigger", field)
		}
	}
	f.level = strings.ToLower(f.level)
	if !slices.Contains([]string{"anonymous", "function", "admin"}, f.level) {
		return fmt.Errorf("authLevel %q is not anonymous, function or admin", f.level)
	}
	for i, m := range f.methods {
		f.methods[i] = strings.ToUpper(m)
		if f.methods[i] == http.MethodConnect {
			return fmt.Errorf("method %s is not possible", m)
		}
	}
	var err error
	f.route, err = parseRoute(strings.Trim(prefix+"/"+strings.Trim(text, "/"), "/"))
	return err
}

// Check reads the definitions of an unpacked package as the host does, and says what is wrong.
func Check(dir string) error {
	_, err := readCode(dir)
	return err
}
