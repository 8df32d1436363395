package config

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/proa-cloud/proa"
)

// The example of docs/DNS.md is a valid configuration, and survives being written.
func TestTheNameServersExampleInTheDocsIsValid(t *testing.T) {
	text, err := os.ReadFile("../docs/DNS.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindSubmatch(text)
	if block == nil {
		t.Fatal("there is no example")
	}
	c, err := Parse("DNS.md", block[1])
	if err != nil {
		t.Fatal(err)
	}
	if len(c.DNS.Transfers) != 1 || len(c.DNS.Aliases) != 1 || c.DNS.RateLimit.PerSecond == 0 {
		t.Errorf("%+v", c.DNS)
	}
	path := filepath.Join(t.TempDir(), "proa.yaml")
	if err := c.Save(path); err != nil {
		t.Fatal(err)
	}
	again, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	same := cmp.Comparer(func(a, b proa.Secret) bool { return a.Reveal() == b.Reveal() })
	if diff := cmp.Diff(c.DNS, again.DNS, same); diff != "" {
		t.Error(diff)
	}
}

func TestNameServersSettingsThatCannotWorkAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"dns: {tls: ['127.0.0.1:853']}":                                                               "need a certificate",
		"dns: {certificate: a, private_key: b, https: ['443']}":                                       "is not an address and port",
		"dns: {cookie_secrets: [abc]}":                                                                "32 hexadecimal digits",
		"dns: {rate_limit: {exempt: [10.0.0.1]}}":                                                     "is not a network",
		"dns: {aliases: [{name: a.test, target: A.test, ttl: 60s}]}":                                  "leads nowhere",
		"dns: {aliases: [{name: a.test, target: b.test, ttl: 0s}]}":                                   "out of range",
		"dns: {transfers: [{zone: a.test, key: k, secret: c2hvcnQ=}]}":                                "base64 of 16 bytes",
		"dns: {transfers: [{zone: a.test}]}":                                                          "zone or key is missing",
		"dns: {transfers: [{zone: a, key: k, secret: c2VjcmV0LXNlY3JldC1zZWNyZXQ=, algorithm: md5}]}": "is not an algorithm",
		"dns: {transfers: [{zone: a, key: k, secret: c2VjcmV0LXNlY3JldC1zZWNyZXQ=, networks: [x]}]}":  "is not a network",
		"dns: {transfers: [{zone: a, key: k, secret: c2VjcmV0LXNlY3JldC1zZWNyZXQ=, notify: [x]}]}":    "is not an address and port",
		"dns: {validations: [{name: a.test, type: A, value: 192.0.2.1}]}":                             "is neither",
		"dns: {validations: [{name: a.test, type: TXT}]}":                                             "missing or too long",
		"dns: {validations: [{name: a.test, type: TXT, value: x, ttl: 48h}]}":                         "out of range",
		"dns: {nothing: 1}": "nothing",
	} {
		_, err := Parse("x.yaml", []byte(text+"\n"))
		if !errors.Is(err, proa.ErrInvalidConfig) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
