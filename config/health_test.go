package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/proa-cloud/proa"
)

const healthExample = `health:
  references: [{name: resolver, tcp: "192.0.2.53:53"}]
  checks:
    - {name: service, http: {path: /deep, headers: {Authorization: Bearer x}, json: {field: db.up, equals: "true"}}}
    - {name: db, region: aws, tcp: "db.example.com:5432", interval: 5s, fall: 2}
    - {name: errors, region: aws, alarm: orders-5xx}
    - {name: fresh, lag: 30s}
    - name: sound
      region: aws
      calculated: {at_least: 2, of: [service, {not: {any: [db, errors]}}, {all: [port]}]}
`

func TestHealthSurvivesSaveAndLoad(t *testing.T) {
	c, err := Parse("proa.yaml", []byte(healthExample))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "proa.yaml")
	if err := c.Save(path); err != nil {
		t.Fatal(err)
	}
	again, err := Load(path)
	if err != nil {
		text, _ := os.ReadFile(path)
		t.Fatalf("%v\n%s", err, text)
	}
	reveal := cmp.Comparer(func(a, b proa.Secret) bool { return a.Reveal() == b.Reveal() })
	if diff := cmp.Diff(c.Health, again.Health, reveal); diff != "" {
		t.Error(diff)
	}
	if got := again.Health.Checks[0].HTTP.Headers["Authorization"].Reveal(); got != "Bearer x" {
		t.Errorf("header %q", got)
	}
}

func TestHealthIsRefusedWithThePlace(t *testing.T) {
	for _, c := range []struct{ check, want string }{
		{`{name: a}`, "3:5: health.checks[0]: 0 kinds in one check"},
		{`{name: a, tcp: "x:1", lag: 1s}`, "2 kinds"},
		{`{name: a, tcp: x}`, `3:20: health.checks[0].tcp: "x" is not host:port`},
		{`{tcp: "x:1"}`, "name is missing"},
		{`{name: a, region: gcp, tcp: "x:1"}`, "health.checks[0].region"},
		{`{name: a, alarm: x}`, "an alarm is one region's"},
		{`{name: a, lag: 25h}`, "25h0m0s is out of range"},
		{`{name: a, http: {}}`, "one of both"},
		{`{name: a, http: {path: x}}`, `"x" is not a path`},
		{`{name: a, http: {url: "ftp://x/"}}`, "not an http or https URL"},
		{`{name: a, http: {path: /, method: "G ET"}}`, "is not a method"},
		{`{name: a, http: {path: /, matches: "("}}`, "missing closing )"},
		{`{name: a, http: {path: /, status: [99]}}`, "health.checks[0].http.status[0]"},
		{`{name: a, http: {path: /, redirects: 11}}`, "from 0 to 10"},
		{`{name: a, http: {path: /, contain: x}}`, `did you mean "contains"?`},
		{`{name: a, calculated: b}`, `there is no check "b", only port, service, alarm, a`},
		{`{name: a, calculated: {all: [a]}}`, "depends on itself: a → a"},
		{`{name: a, calculated: {all: [port], any: [port]}}`, "want one of all, any, not"},
		{`{name: a, calculated: {at_least: 2, of: [port]}}`, "wants at_least from 1 to 1, not 2"},
		{`{name: a, calculated: {all: []}}`, "wants a check's name"},
		{`{name: a, calculated: {every: [port]}}`, `unknown field "every"`},
		{`{name: a, interval: 1s, calculated: port}`, "asks nothing by itself"},
		{"{name: a, tcp: \"x:1\"}\n  - {name: a, region: aws, tcp: \"x:1\"}", `"a" is listed twice`},
		{"{name: a, calculated: b}\n  - {name: b, calculated: {not: a}}", "depends on itself: a → b → a"},
	} {
		_, err := Parse("proa.yaml", []byte("health:\n  checks:\n  - "+c.check+"\n"))
		if !errors.Is(err, proa.ErrInvalidConfig) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s\n%v\nwant %q", c.check, err, c.want)
		}
	}
	for _, ref := range []string{`{name: a, lag: 1s}`, `{name: a, region: aws, tcp: "x:1"}`, `{name: a, http: {path: /}}`} {
		if _, err := Parse("proa.yaml", []byte("health:\n  references:\n  - "+ref+"\n")); !errors.Is(err, proa.ErrInvalidConfig) {
			t.Errorf("reference %s: %v", ref, err)
		}
	}
}
