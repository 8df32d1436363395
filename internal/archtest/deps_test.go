package archtest

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestEachDirectDependencyHasItsReason compares go.mod's direct requirements with the modules that
// docs/DEPENDENCIES.md names in backquotes in its first column; a final /* stands for any rest.
func TestEachDirectDependencyHasItsReason(t *testing.T) {
	direct := requirements(t, "../../go.mod")
	for _, m := range direct {
		if strings.HasPrefix(m, "github.com/proa-cloud/") {
			t.Errorf("go.mod requires %s, which is ourselves", m)
		}
	}
	named := reasons(t, "../../docs/DEPENDENCIES.md")
	used := map[string]bool{}
	for _, m := range direct {
		found := ""
		for _, n := range named {
			if n == m || strings.HasSuffix(n, "/*") && strings.HasPrefix(m, strings.TrimSuffix(n, "*")) {
				found = n
			}
		}
		if found == "" {
			t.Errorf("docs/DEPENDENCIES.md does not say why %s is here", m)
		}
		used[found] = true
	}
	for _, n := range named {
		if !used[n] {
			t.Errorf("docs/DEPENDENCIES.md gives a reason for %s, which go.mod does not require directly", n)
		}
	}
}

func requirements(t *testing.T, path string) []string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var direct []string
	for _, m := range regexp.MustCompile(`(?m)^\t(\S+) v\S+$`).FindAllStringSubmatch(string(data), -1) {
		direct = append(direct, m[1])
	}
	if len(direct) < 10 {
		t.Fatalf("read only %v from %s", direct, path)
	}
	return direct
}

func reasons(t *testing.T, path string) []string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var named []string
	for line := range strings.Lines(string(data)) {
		column, _, ok := strings.Cut(strings.TrimPrefix(line, "| "), " | ")
		if !ok || !strings.HasPrefix(line, "| `") {
			continue
		}
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(column, -1) {
			named = append(named, m[1])
		}
	}
	return named
}
