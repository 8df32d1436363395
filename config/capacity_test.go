package config

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/proa-cloud/proa"
)

func TestCapacityHooks(t *testing.T) {
	c, err := Parse("proa.yaml", []byte(`capacity:
  - region: azure
    check: {exec: [/usr/local/bin/quota, azure]}
    scale: {url: "https://ops.example.com/scale", headers: {Authorization: Bearer x}, timeout: 30s}
dns: {delegation: {interval: 10m, parents: ["198.51.100.1:53"]}}
`))
	if err != nil {
		t.Fatal(err)
	}
	check, scale := c.Capacity[0].Check.Hook(), c.Capacity[0].Scale.Hook()
	if check.Timeout != 10*time.Second || scale.Timeout != 30*time.Second || scale.Header.Get("Authorization") != "Bearer x" {
		t.Errorf("%+v %+v", check, scale)
	}
	for _, bad := range []struct{ text, want string }{
		{"capacity: [{region: gcp, check: {url: 'http://x'}}]", "capacity[0].region"},
		{"capacity: [{region: aws}]", "there is no hook"},
		{"capacity: [{region: aws, check: {}}]", "one of both"},
		{"capacity: [{region: aws, check: {exec: [x], url: 'http://x'}}]", "one of both"},
		{"capacity: [{region: aws, check: {url: 'ftp://x'}}]", "not an http or https URL"},
		{"capacity: [{region: aws, check: {exec: [x], timeout: 1h}}]", "1h0m0s is out of range"},
		{"capacity: [{region: aws, interval: 1ms, check: {exec: [x]}}]", "capacity[0].interval"},
		{"capacity: [{region: aws, check: {exec: [x]}}, {region: aws, scale: {exec: [x]}}]", "listed twice"},
		{"dns: {delegation: {interval: 1ms}}", "dns.delegation.interval"},
		{"dns: {delegation: {interval: 1m, parents: [ns.example.com]}}", "dns.delegation.parents[0]"},
		{"dns: {delegation: {interval: 1m, resolver: x}}", "dns.delegation.resolver"},
	} {
		if _, err := Parse("proa.yaml", []byte(bad.text)); !errors.Is(err, proa.ErrInvalidConfig) || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("%s: %v, want %q", bad.text, err, bad.want)
		}
	}
}
