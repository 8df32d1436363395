package config

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/internal/strictyaml"
	"github.com/proa-cloud/proa/traffic/health"
)

// The checks that every region has. A check of the same name takes the place of one.
const (
	CheckPort    = "port"    // a connection to the gateway
	CheckService = "service" // the function's health path through the gateway
	CheckAlarm   = "alarm"   // the region's own monitoring, where one is configured
)

// Health says how the regions are judged, besides the checks that every region has.
type Health struct {
	// AllowLoopback lets probes reach this machine, where the local clouds live.
	AllowLoopback bool `yaml:"allow_loopback,omitempty"`
	// CA is a file (PEM) with the authorities that HTTPS checks trust; left out: the system's.
	CA string `yaml:"ca,omitempty"`
	// WarnCertificate is how long before a certificate expires its check warns.
	WarnCertificate Duration `yaml:"warn_certificate,omitempty"`
	// Checks are further checks of the regions, and replacements of those that every region has.
	Checks []Check `yaml:"checks,omitempty"`
	// References are checks of anything that should always be reached. They decide nothing: they
	// tell a node that its own network works.
	References []Check `yaml:"references,omitempty"`
}

// Check is one health check: of one kind, which is http, tcp, alarm, lag or calculated.
type Check struct {
	// Name tells the check from the others of its region.
	Name string `yaml:"name"`
	// Region is what it judges; left out: both regions, each by a check of its own.
	Region proa.Region `yaml:"region,omitempty"`
	// HTTP sends a request.
	HTTP *HTTPCheck `yaml:"http,omitempty"`
	// TCP opens a connection to host:port.
	TCP string `yaml:"tcp,omitempty"`
	// Alarm is a CloudWatch alarm or an Azure Monitor alert rule that must be quiet.
	Alarm string `yaml:"alarm,omitempty"`
	// Lag is how old a change may be that the other region acknowledged and this one lacks.
	Lag Duration `yaml:"lag,omitempty"`
	// Calculated is made of the region's other checks, which then decide through it alone.
	Calculated *Formula `yaml:"calculated,omitempty"`
	// Advisory shows the check and lets it decide nothing.
	Advisory bool `yaml:"advisory,omitempty"`
	// Interval, Timeout, Fall and Rise take the place of those under traffic.
	Interval Duration `yaml:"interval,omitempty"`
	Timeout  Duration `yaml:"timeout,omitempty"`
	Fall     int      `yaml:"fall,omitempty"`
	Rise     int      `yaml:"rise,omitempty"`
}

// HTTPCheck is a request and the answer that passes.
type HTTPCheck struct {
	// URL is asked, or Path at the region's gateway.
	URL  string `yaml:"url,omitempty"`
	Path string `yaml:"path,omitempty"`
	// Method is GET when left out. Body is sent with it.
	Method string `yaml:"method,omitempty"`
	Body   string `yaml:"body,omitempty"`
	// Host is the Host header; left out: the zone for a path, the URL's for a URL.
	Host string `yaml:"host,omitempty"`
	// Headers are added to the request. They may be secrets.
	Headers map[string]proa.Secret `yaml:"headers,omitempty"`
	// Status lists what passes; left out: 200 to 299.
	Status []int `yaml:"status,omitempty"`
	// Contains must be in the body's first 5,120 bytes, and Matches, an expression, match there.
	Contains string `yaml:"contains,omitempty"`
	Matches  string `yaml:"matches,omitempty"`
	// JSON must hold in the body, of at most 64 KiB.
	JSON *JSONField `yaml:"json,omitempty"`
	// Redirects is how many are followed, at most 10.
	Redirects int `yaml:"redirects,omitempty"`
	// ServerName is the name that the certificate must have; left out: the Host header's or the URL's.
	ServerName string `yaml:"server_name,omitempty"`
	// CA takes the place of health.ca.
	CA string `yaml:"ca,omitempty"`
	// InsecureSkipVerify takes any certificate.
	InsecureSkipVerify bool `yaml:"insecure_skip_verify,omitempty"`
}

// JSONField is a field of a JSON body and the text that it must be.
type JSONField struct {
	// Field leads to it: "checks.0.status".
	Field string `yaml:"field"`
	// Equals is a string without quotes, a number as written, true, false or null.
	Equals string `yaml:"equals"`
}

// For reports whether the check judges the region.
func (c Check) For(r proa.Region) bool { return c.Region == "" || c.Region == r }

// kinds lists the kinds that the check names.
func (c Check) kinds() []string {
	var list []string
	for _, k := range []struct {
		name string
		has  bool
	}{
		{"http", c.HTTP != nil},
		{"tcp", c.TCP != ""},
		{"alarm", c.Alarm != ""},
		{"lag", c.Lag != 0},
		{"calculated", c.Calculated != nil},
	} {
		if k.has {
			list = append(list, k.name)
		}
	}
	return list
}

func (c Config) checkHealth(f *strictyaml.File) error {
	h := c.Health
	if w := h.WarnCertificate.D(); w < 0 {
		return f.Errorf("health.warn_certificate", "such as 336h", "%s is out of range", h.WarnCertificate)
	}
	if n := len(h.Checks); n > 24 || len(h.References) > 8 {
		return f.Errorf("health", "at most 24 checks and 8 references",
			"%d checks and %d references", n, len(h.References))
	}
	for i, check := range h.Checks {
		if err := c.checkCheck(f, fmt.Sprintf("health.checks[%d]", i), check); err != nil {
			return err
		}
	}
	for i, check := range h.References {
		path := fmt.Sprintf("health.references[%d]", i)
		kinds := check.kinds()
		outside := check.TCP != "" || check.HTTP != nil && check.HTTP.Path == ""
		if check.Region != "" || len(kinds) == 1 && !outside {
			return f.Errorf(path, "give tcp, or http with a url, and no region",
				"a reference is outside the regions")
		}
		if err := c.checkCheck(f, path, check); err != nil {
			return err
		}
	}
	for _, r := range proa.Regions() {
		if err := c.checkNames(f, r); err != nil {
			return err
		}
	}
	return nil
}

// checkNames looks at one region's checks together: their names, and the calculated ones' parts.
func (c Config) checkNames(f *strictyaml.File, r proa.Region) error {
	names := []string{CheckPort, CheckService, CheckAlarm}
	seen := map[string]bool{}
	var calculated []health.Calculated
	at := "health.checks"
	for i, check := range c.Health.Checks {
		if !check.For(r) {
			continue
		}
		path := fmt.Sprintf("health.checks[%d]", i)
		if seen[check.Name] {
			return f.Errorf(path+".name", "name each check of a region once", "%q is listed twice", check.Name)
		}
		seen[check.Name] = true
		if check.Calculated != nil {
			at = path + ".calculated"
			names = slices.DeleteFunc(names, func(n string) bool { return n == check.Name })
			calculated = append(calculated, health.Calculated{Name: check.Name, Of: check.Calculated.Health()})
		} else if !slices.Contains(names, check.Name) {
			names = append(names, check.Name)
		}
	}
	if err := health.CheckFormulas(names, calculated); err != nil {
		message := strings.TrimSuffix(err.Error(), ": "+proa.ErrInvalidConfig.Error())
		return f.Errorf(at, "region "+string(r), "%s", message)
	}
	return nil
}

func (c Config) checkCheck(f *strictyaml.File, path string, check Check) error {
	if check.Name == "" {
		return f.Errorf(path, "name the check", "name is missing")
	}
	if kinds := check.kinds(); len(kinds) != 1 {
		return f.Errorf(path, "one of http, tcp, alarm, lag and calculated", "%d kinds in one check",
			len(kinds))
	}
	if check.Region != "" {
		if _, err := proa.ParseRegion(string(check.Region)); err != nil {
			return f.Errorf(path+".region", "aws or azure", "%v", err)
		}
	}
	switch {
	case check.TCP != "":
		if host, port, err := net.SplitHostPort(check.TCP); err != nil || host == "" || port == "" {
			return f.Errorf(path+".tcp", "such as db.example.com:5432", "%q is not host:port", check.TCP)
		}
	case check.Alarm != "" && check.Region == "":
		return f.Errorf(path, "give region", "an alarm is one region's")
	case check.Alarm != "" && check.Region == proa.Azure && c.Regions.Azure.Subscription == "":
		return f.Errorf(path+".alarm", "give regions.azure.subscription", "the alert's subscription is not known")
	case check.Lag != 0 && (check.Lag.D() < time.Millisecond || check.Lag.D() > 24*time.Hour):
		return f.Errorf(path+".lag", "from 1ms to 24h", "%s is out of range", check.Lag)
	}
	if err := check.checkTiming(f, path); err != nil {
		return err
	}
	if check.HTTP != nil {
		return check.HTTP.check(f, path+".http")
	}
	return nil
}

func (c Check) checkTiming(f *strictyaml.File, path string) error {
	if c.Calculated != nil && (c.Interval != 0 || c.Timeout != 0 || c.Fall != 0 || c.Rise != 0) {
		return f.Errorf(path, "set the timing of its parts", "a calculated check asks nothing by itself")
	}
	for name, d := range map[string]time.Duration{".interval": c.Interval.D(), ".timeout": c.Timeout.D()} {
		if d != 0 && (d < 50*time.Millisecond || d > time.Hour) {
			return f.Errorf(path+name, "from 50ms to 1h", "%s is out of range", d)
		}
	}
	for name, n := range map[string]int{".fall": c.Fall, ".rise": c.Rise} {
		if n < 0 || n > 16 {
			return f.Errorf(path+name, "from 1 to 16", "%d is out of range", n)
		}
	}
	return nil
}

func (h HTTPCheck) check(f *strictyaml.File, path string) error {
	if (h.URL == "") == (h.Path == "") {
		return f.Errorf(path, "give url, or path at the region's gateway", "one of both, please")
	}
	if h.Path != "" && !strings.HasPrefix(h.Path, "/") {
		return f.Errorf(path+".path", "such as /healthz", "%q is not a path", h.Path)
	}
	if u, err := url.Parse(h.URL); h.URL != "" && (err != nil || u.Host == "" || u.User != nil ||
		u.Scheme != "http" && u.Scheme != "https") {
		return f.Errorf(path+".url", "such as https://api.example.com/healthz, without a password",
			"%q is not an http or https URL", h.URL)
	}
	if _, err := http.NewRequest(h.Method, "http://x/", http.NoBody); err != nil {
		return f.Errorf(path+".method", "such as GET or POST", "%q is not a method", h.Method)
	}
	for i, status := range h.Status {
		if status < 100 || status > 599 {
			return f.Errorf(fmt.Sprintf("%s.status[%d]", path, i), "from 100 to 599",
				"%d is not a status", status)
		}
	}
	if _, err := regexp.Compile(h.Matches); err != nil {
		return f.Errorf(path+".matches", "Go's syntax: https://pkg.go.dev/regexp/syntax", "%v", err)
	}
	if h.JSON != nil && h.JSON.Field == "" {
		return f.Errorf(path+".json", "such as {field: checks.0.status, equals: ok}", "field is missing")
	}
	if h.Redirects < 0 || h.Redirects > 10 {
		return f.Errorf(path+".redirects", "from 0 to 10", "%d is out of range", h.Redirects)
	}
	if len(h.Body) > 64<<10 {
		return f.Errorf(path+".body", "at most 64 KiB", "%d bytes are too many", len(h.Body))
	}
	return nil
}
