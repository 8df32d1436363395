package config

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/proa-cloud/proa"
	"github.com/proa-cloud/proa/datasync/policy"
	"github.com/proa-cloud/proa/datasync/residency"
)

const rich = `
tables:
  - name: orders
    database: proa
    hash: {name: id, type: S}
    policy: merge
    ttl: {expire: aws}
    attributes:
      stock: {policy: counter}
      tags: {policy: set}
      owner: {policy: {prefer: azure}}
      score:
        policy:
          cel: "newer.value > older.value ? newer.value : older.value"
      note: {policy: manual, residency: never-logged}
      ssn: {residency: never-copied}
      card: {residency: masked}
      mail: {residency: hashed}
  - name: notes
    database: proa
    hash: {name: id, type: S}
    policy: {prefer: aws}
    residency: never-logged
datasync:
  residency_key: k
  budget: {writes_per_hour: 1000}
events:
  - name: audit
    to: webhook
    url: https://example.com/hook
    secret: s
    tables: [orders]
    filter: event.deleted
`

func TestPoliciesAndRulesAreRead(t *testing.T) {
	c, err := Parse("p.yaml", []byte(rich))
	if err != nil {
		t.Fatal(err)
	}
	orders := c.Tables[0]
	want := map[string]policy.Rule{
		"stock": {Kind: policy.Counter}, "tags": {Kind: policy.Set}, "owner": {Kind: policy.Prefer, Region: proa.Azure},
		"score": {Kind: policy.CEL, Expr: "newer.value > older.value ? newer.value : older.value"},
		"note":  {Kind: policy.Manual},
	}
	got := map[string]policy.Rule{}
	for name, a := range orders.Attributes {
		if a.Policy.Kind != "" {
			got[name] = a.Policy.Rule
		}
	}
	if diff := cmp.Diff(want, got); diff != "" || orders.Policy.Kind != policy.Merge {
		t.Error(diff)
	}
	if orders.Attributes["card"].Residency != residency.Masked || c.Tables[1].Residency != residency.NeverLogged {
		t.Error("residency was not read")
	}
	if orders.TTL.IgnoresExpiry(proa.AWS) || !orders.TTL.IgnoresExpiry(proa.Azure) {
		t.Error("expire: aws means that azure's expiries are no deletes")
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
	if diff := cmp.Diff(c, again, same, cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
}

func TestErrorsOfDataRulesNameThePlace(t *testing.T) {
	table := "tables:\n  - name: t\n    database: d\n    hash: {name: id, type: S}\n"
	for _, tc := range []struct{ name, in, want string }{
		{"unknown policy", table + "    policy: newest\n", `p.yaml:5:13: unknown policy "newest": want lww, prefer, merge, counter, set, cel or manual`},
		{"unknown region", table + "    policy: {prefer: gcp}\n", `p.yaml:5:22: policy prefer: unknown region "gcp": want "aws" or "azure"`},
		{"bad expression", table + "    policy: {cel: \"x > 1\"}\n", `p.yaml:5:19: policy cel: expression: column 1: undeclared reference to 'x' (in container '')`},
		{"two policies", table + "    policy: {prefer: aws, cel: \"true\"}\n", `p.yaml:5:13: one policy, please`},
		{"unknown field", table + "    attributes:\n      x: {polcy: set}\n", `p.yaml:6:11: unknown field "polcy" (did you mean "policy"?)`},
		{"key attribute", table + "    attributes:\n      id: {policy: set}\n", `p.yaml:6:11: tables[0].attributes.id: a key attribute has no policy (it is equal on both sides)`},
		{"residency", table + "    attributes:\n      x: {residency: secret}\n", `p.yaml:6:22: tables[0].attributes.x.residency: unknown residency "secret" (never-copied, masked, hashed or never-logged)`},
		{"hash without key", table + "    attributes:\n      x: {residency: hashed}\n", `p.yaml:6:22: tables[0].attributes.x.residency: hashed needs a key (set datasync.residency_key)`},
		{"expiry", table + "    ttl: {expire: never}\n", `p.yaml:5:19: tables[0].ttl.expire: "never" is no rule of expiry (both, ignore, aws or azure)`},
		{"subscriber", "events:\n  - name: a\n    to: fax\n", `p.yaml:3:9: events[0].to: "fax" is no kind of subscriber (webhook, eventbridge, eventgrid, lambda or functions)`},
		{"unsigned webhook", "events:\n  - name: a\n    to: webhook\n    url: http://x\n", `p.yaml:2:9: events[0]: a webhook needs a secret (set secret: receivers check signatures with it)`},
		{"filter", "events:\n  - name: a\n    to: lambda\n    target: f\n    filter: \"event.\"\n", `p.yaml:5:13: events[0].filter: filter: expression: column 7: Syntax error: no viable alternative at input '.' (see docs/DATASYNC.md)`},
		{"table of a subscriber", "events:\n  - name: a\n    to: lambda\n    target: f\n    tables: [nope]\n", `p.yaml:5:14: events[0].tables[0]: "nope" is not replicated (one of tables)`},
		{"budget", "datasync:\n  budget: {writes_per_hour: -1}\n", `p.yaml:2:29: datasync.budget.writes_per_hour: -1 is out of range (at least 0)`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Parse("p.yaml", []byte(tc.in))
			if err == nil || err.Error() != tc.want {
				t.Errorf("got  %v\nwant %s", err, tc.want)
			}
		})
	}
}
