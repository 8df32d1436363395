package config

import (
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/internal/strictyaml"
	"github.com/proa-cloud/proa/traffic/capacity"
)

// Capacity are a region's hooks: can it carry all traffic, and scale it.
type Capacity struct {
	// Region is asked about while it does not serve.
	Region proa.Region `yaml:"region"`
	// Interval is the time between two checks; left out: 5 minutes.
	Interval Duration `yaml:"interval,omitempty"`
	// Check tells whether the region could carry all traffic. It is asked each interval and before a
	// planned move; a failover never waits for it.
	Check *Hook `yaml:"check,omitempty"`
	// Scale is called once when traffic goes to the region.
	Scale *Hook `yaml:"scale,omitempty"`
}

// Hook is a program or a URL of the operator's.
type Hook struct {
	// Exec is a program and its arguments: status 0 says that it is enough, another that it is not.
	Exec []string `yaml:"exec,omitempty"`
	// URL gets a POST: 2xx says that it is enough, 409 and 507 that it is not.
	URL string `yaml:"url,omitempty"`
	// Headers are added to the request. They may be secrets.
	Headers map[string]proa.Secret `yaml:"headers,omitempty"`
	// Timeout ends the hook; left out: 10 s.
	Timeout Duration `yaml:"timeout,omitempty"`
}

// Hook is the hook as traffic/capacity asks it; nil is none.
func (h *Hook) Hook() capacity.Hook {
	if h == nil {
		return capacity.Hook{}
	}
	out := capacity.Hook{Exec: h.Exec, URL: h.URL, Header: http.Header{}, Timeout: h.Timeout.D()}
	if out.Timeout == 0 {
		out.Timeout = 10 * time.Second
	}
	for name, value := range h.Headers {
		out.Header.Set(name, value.Reveal())
	}
	return out
}

func (c Config) checkCapacity(f *strictyaml.File) error {
	seen := map[proa.Region]bool{}
	for i, r := range c.Capacity {
		path := fmt.Sprintf("capacity[%d]", i)
		if _, err := proa.ParseRegion(string(r.Region)); err != nil {
			return f.Errorf(path+".region", "aws or azure", "%v", err)
		}
		if seen[r.Region] {
			return f.Errorf(path+".region", "list each region once", "%s is listed twice", r.Region)
		}
		seen[r.Region] = true
		if d := r.Interval.D(); d != 0 && (d < time.Second || d > 24*time.Hour) {
			return f.Errorf(path+".interval", "from 1s to 24h", "%s is out of range", r.Interval)
		}
		if r.Check == nil && r.Scale == nil {
			return f.Errorf(path, "give check, scale or both", "there is no hook")
		}
		for name, h := range map[string]*Hook{"check": r.Check, "scale": r.Scale} {
			if err := h.check(f, path+"."+name); err != nil {
				return err
			}
		}
	}
	return nil
}

func (h *Hook) check(f *strictyaml.File, path string) error {
	if h == nil {
		return nil
	}
	if (len(h.Exec) == 0) == (h.URL == "") {
		return f.Errorf(path, "give exec or url", "one of both, please")
	}
	if u, err := url.Parse(h.URL); h.URL != "" && (err != nil || u.Host == "" ||
		u.Scheme != "http" && u.Scheme != "https") {
		return f.Errorf(path+".url", "such as https://ops.example.com/capacity",
			"%q is not an http or https URL", h.URL)
	}
	if d := h.Timeout.D(); d < 0 || d > 10*time.Minute {
		return f.Errorf(path+".timeout", "at most 10m", "%s is out of range", h.Timeout)
	}
	return nil
}
