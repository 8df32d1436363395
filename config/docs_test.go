package config

import (
	"os"
	"regexp"
	"testing"
)

// The example of docs/DATASYNC.md is a valid configuration.
func TestTheExampleInTheDocsIsValid(t *testing.T) {
	text, err := os.ReadFile("../docs/DATASYNC.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindSubmatch(text)
	if block == nil {
		t.Fatal("there is no example")
	}
	c, err := Parse("DATASYNC.md", block[1])
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Events) != 1 || len(c.Tables[0].Attributes) != 9 {
		t.Errorf("%+v", c)
	}
}

// The example of docs/HEALTH.md is a valid configuration.
func TestTheHealthExampleInTheDocsIsValid(t *testing.T) {
	text, err := os.ReadFile("../docs/HEALTH.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindSubmatch(text)
	if block == nil {
		t.Fatal("there is no example")
	}
	c, err := Parse("HEALTH.md", block[1])
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Health.Checks) != 7 || len(c.Health.References) != 1 {
		t.Errorf("%+v", c.Health)
	}
}

// The example of docs/DECISIONS.md is a valid configuration.
func TestTheDecisionsExampleInTheDocsIsValid(t *testing.T) {
	text, err := os.ReadFile("../docs/DECISIONS.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindSubmatch(text)
	if block == nil {
		t.Fatal("there is no example")
	}
	addresses := "regions: {aws: {gateway: {addresses: [192.0.2.1]}}, azure: {gateway: {addresses: [192.0.2.2]}}}\n"
	c, err := Parse("DECISIONS.md", append([]byte(addresses), block[1]...))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Traffic.Records) != 1 || len(c.Traffic.Rules) != 1 {
		t.Errorf("%+v", c.Traffic)
	}
}
