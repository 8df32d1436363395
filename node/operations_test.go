package node

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/proa-cloud/proa/config"
)

// What docs/OPERATIONS.md gives for proa.yaml is valid, and its links lead somewhere.
func TestTheRunbooksAreSound(t *testing.T) {
	b, err := os.ReadFile("../docs/OPERATIONS.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(text, -1)
	if len(blocks) == 0 {
		t.Error("there is no example")
	}
	for _, block := range blocks {
		if _, err := config.Parse("OPERATIONS.md", []byte(block[1])); err != nil {
			t.Error(err)
		}
	}
	anchors := map[string]bool{}
	for _, h := range regexp.MustCompile(`(?m)^## (.*)$`).FindAllStringSubmatch(text, -1) {
		anchors["#"+strings.ReplaceAll(strings.ToLower(h[1]), " ", "-")] = true
	}
	for _, link := range regexp.MustCompile(`\]\((#[^)]*)\)`).FindAllStringSubmatch(text, -1) {
		if !anchors[link[1]] {
			t.Errorf("no section %s", link[1])
		}
	}
}
