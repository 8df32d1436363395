package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/proa-cloud/proa"
)

func TestDefaultIsValid(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Fatal(err)
	}
}

func TestSaveThenLoadGivesTheSameSecretsIncluded(t *testing.T) {
	c := Default()
	c.Regions.AWS.SecretAccessKey = proa.NewSecret("s: #1\"")
	c.Regions.Azure.CosmosKey = proa.NewSecret("key==")
	c.Node.DNS = []string{"127.0.0.1:5300"}
	path := filepath.Join(t.TempDir(), "proa.yaml")
	if err := c.Save(path); err != nil {
		t.Fatal(err)
	}
	got, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	same := cmp.Comparer(func(a, b proa.Secret) bool { return a.Reveal() == b.Reveal() })
	if diff := cmp.Diff(c, got, same, cmpopts.EquateEmpty()); diff != "" {
		t.Fatal(diff)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v", info.Mode())
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	c := Default()
	c.Regions.AWS.SecretAccessKey = proa.NewSecret("hunter2")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if s := fmt.Sprintf(verb, c); strings.Contains(s, "hunter2") {
			t.Errorf("%s prints the secret", verb)
		}
	}
}

func TestErrorsNameFileLineColumnPathAndCure(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{
		{"misspelt", "traffic:\n  tll: 2s\n", `p.yaml:2:3: unknown field "tll" (did you mean "ttl"?)`},
		{"duration", "traffic:\n  ttl: fast\n", `p.yaml:2:8: "fast" is not a duration such as 500ms, 2s or 1m30s`},
		{"range", "traffic:\n  interval: 1ms\n", `p.yaml:2:13: traffic.interval: 1ms is out of range (from 50ms to 1h0m0s)`},
		{"region", "primary: gcp\n", `p.yaml:1:10: primary: unknown region "gcp": want "aws" or "azure" (aws or azure)`},
		{"key type", "tables:\n  - name: t\n    database: d\n    hash: {name: id, type: BOOL}\n", `p.yaml:4:28: tables[0].hash.type: "BOOL" is not a key type (S, N or B)`},
		{"address", "regions:\n  aws:\n    gateway:\n      addresses: [here]\n", `p.yaml:4:19: regions.aws.gateway.addresses[0]: "here" is not an IP address (write an IPv4 or IPv6 address)`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Parse("p.yaml", []byte(tc.in))
			if err == nil || err.Error() != tc.want {
				t.Fatalf("got  %v\nwant %s", err, tc.want)
			}
		})
	}
}
