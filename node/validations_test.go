package node

import (
	"os"
	"testing"

	"github.com/proa-cloud/proa/traffic/dns"
)

// A node that starts again serves what it was told, and what is of its configuration once.
func TestValidationRecordsOutliveARestart(t *testing.T) {
	s := newServing(t)
	put := func(name, value string) {
		t.Helper()
		v := dns.Validation{Name: name, Type: "TXT", Values: []string{value}, TTL: validationTTL}
		if err := s.dns.PutValidation(v); err != nil {
			t.Fatal(err)
		}
	}
	put("_acme-challenge.orders.proa.test", "one")
	put("_acme-challenge.orders.proa.test", "two")
	if err := s.keepValidations(); err != nil {
		t.Fatal(err)
	}
	again := func() []Validation {
		t.Helper()
		n := &node{cfg: s.cfg, clock: s.clock, logger: s.logger}
		if err := n.newDNS(); err != nil {
			t.Fatal(err)
		}
		n.recallValidations()
		return n.ownValidations().Validations
	}
	list := again()
	if len(list) != 2 || list[0].Values[0] != "one" || list[1].Values[0] != "two" || list[0].TTLSeconds != 60 || list[0].Fixed {
		t.Errorf("%+v", list)
	}
	for _, broken := range []string{"", "{", `[{"Name": "elsewhere.example", "Type": "TXT", "Values": ["x"]}]`} {
		if err := os.WriteFile(s.validationsFile(), []byte(broken), 0o600); err != nil {
			t.Fatal(err)
		}
		if list := again(); len(list) != 0 {
			t.Errorf("%q: %+v", broken, list)
		}
	}
}
